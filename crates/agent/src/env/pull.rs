//! Logins for image pulls, from the pod's `imagePullSecrets`.

use k8s_openapi::api::core::v1::Pod;
use serde::Deserialize;
use std::collections::BTreeMap;

use super::objects::Objects;
use crate::ports::PullCredential;

/// The usual registry of names without one.
const DEFAULT_REGISTRY: &str = "docker.io";

/// `.dockerconfigjson`, and the older `.dockercfg` (its inner map).
#[derive(Deserialize, Default)]
#[serde(default)]
struct DockerConfig {
    auths: BTreeMap<String, Auth>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Auth {
    username: String,
    password: String,
    /// base64 of `username:password`
    auth: String,
}

/// The logins that fit the image's registry, and the secrets that cannot be had: the image may be
/// public, so the pull is tried without them.
pub(super) async fn credentials(objects: &Objects, pod: &Pod, image: &str) -> (Vec<PullCredential>, Vec<String>) {
    let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
    let references = pod.spec.iter().flat_map(|spec| spec.image_pull_secrets.iter().flatten());
    let (mut found, mut missing) = (Vec::new(), Vec::new());
    for reference in references.filter(|reference| !reference.name.is_empty()) {
        let Ok(Some(data)) = objects.secret(namespace, &reference.name).await else {
            missing.push(reference.name.clone());
            continue;
        };
        let auths = match (data.get(".dockerconfigjson"), data.get(".dockercfg")) {
            (Some(json), _) => serde_json::from_slice::<DockerConfig>(json).map(|config| config.auths),
            (None, Some(json)) => serde_json::from_slice(json),
            (None, None) => continue,
        };
        found.extend(fitting(auths.unwrap_or_default(), registry(image)));
    }
    (found, missing)
}

fn fitting(auths: BTreeMap<String, Auth>, registry: &str) -> impl Iterator<Item = PullCredential> {
    auths.into_iter().filter(move |(server, _)| host(server) == registry).filter_map(|(_, auth)| {
        let (username, password) = match auth.auth.is_empty() {
            true => (auth.username, auth.password),
            false => decode(&auth.auth)?,
        };
        Some(PullCredential {
            username,
            password,
            // Empty, as the kubelet sends it: containerd reads it as a URL, where `registry:5000`
            // is none, and does not use the login if the host is not exactly the registry's.
            server_address: String::new(),
        })
    })
}

fn decode(auth: &str) -> Option<(String, String)> {
    // serde knows base64 through the byte string of the schema; no further library is needed.
    let bytes: k8s_openapi::ByteString = serde_json::from_value(auth.trim().into()).ok()?;
    let text = String::from_utf8(bytes.0).ok()?;
    let (user, password) = text.split_once(':')?;
    Some((user.to_owned(), password.to_owned()))
}

/// `https://index.docker.io/v1/` to `docker.io`, `registry.example.com:5000/x` to its host.
fn host(server: &str) -> &str {
    let bare = server.split_once("://").map_or(server, |(_, rest)| rest);
    match bare.split('/').next().unwrap_or(bare) {
        "index.docker.io" | "registry-1.docker.io" => DEFAULT_REGISTRY,
        host => host,
    }
}

/// The registry of an image name: its first part if that has a dot, a port, or is `localhost`.
fn registry(image: &str) -> &str {
    match image.split_once('/') {
        Some((first, _)) if first.contains(['.', ':']) || first == "localhost" => host(first),
        _ => DEFAULT_REGISTRY,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logins_fit_by_registry() {
        let config: DockerConfig = serde_json::from_str(
            r#"{"auths":{"https://index.docker.io/v1/":{"auth":"dTpw"},"r.example.com:5000":{"username":"a","password":"b"}}}"#,
        )
        .unwrap();
        let logins: Vec<_> = fitting(config.auths, registry("prom/node-exporter:v1")).collect();
        assert_eq!(logins.len(), 1);
        assert_eq!((logins[0].username.as_str(), logins[0].password.as_str()), ("u", "p"));
        assert_eq!(logins[0].server_address, "");
        assert_eq!(registry("r.example.com:5000/x/y:1"), "r.example.com:5000");
        assert_eq!(registry("busybox"), "docker.io");
        assert_eq!(registry("localhost/pause:1"), "localhost");
    }
}
