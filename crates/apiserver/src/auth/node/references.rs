//! What a pod refers to: an agent may read that, and mirror pods may not have any.

use serde_json::Value;

use crate::object::{items, text};

/// The annotation of pods that an agent made from a file: the API shows them, and they grant
/// nothing.
pub(crate) const MIRROR: &str = "kubernetes.io/config.mirror";

/// Where each type of volume names a secret.
const SECRET_VOLUMES: &[&[&str]] = &[
    &["azureFile", "secretName"],
    &["cephfs", "secretRef", "name"],
    &["cinder", "secretRef", "name"],
    &["csi", "nodePublishSecretRef", "name"],
    &["flexVolume", "secretRef", "name"],
    &["iscsi", "secretRef", "name"],
    &["rbd", "secretRef", "name"],
    &["scaleIO", "secretRef", "name"],
    &["secret", "secretName"],
    &["storageos", "secretRef", "name"],
];

/// Volumes that need nothing of the API.
const PLAIN_VOLUMES: &[&str] = &[
    "awsElasticBlockStore",
    "azureDisk",
    "cephfs",
    "cinder",
    "downwardAPI",
    "emptyDir",
    "fc",
    "flexVolume",
    "flocker",
    "gcePersistentDisk",
    "gitRepo",
    "hostPath",
    "image",
    "iscsi",
    "nfs",
    "photonPersistentDisk",
    "portworxVolume",
    "quobyte",
    "rbd",
    "scaleIO",
    "storageos",
    "vsphereVolume",
];

/// Volumes that do, and what Kubernetes says of them.
const API_VOLUMES: &[(&str, &str)] = &[
    ("csi", "csidrivers (via CSI volumes)"),
    ("glusterfs", "endpoints (via glusterFS volumes)"),
    ("persistentVolumeClaim", "persistentvolumeclaims"),
    ("ephemeral", "persistentvolumeclaims (via ephemeral volumes)"),
];

/// Sources of a projected volume that do.
const API_SOURCES: &[(&str, &str)] = &[
    ("serviceAccountToken", "serviceaccounts (via projected volumes)"),
    ("clusterTrustBundle", "clustertrustbundles"),
    ("podCertificate", "podcertificates"),
];

pub(crate) fn is_mirror(pod: &Value) -> bool {
    !pod["metadata"]["annotations"][MIRROR].is_null()
}

/// The pod's account; `serviceAccount` is the name's former form.
pub(crate) fn account(pod: &Value) -> &str {
    match text(pod, &["spec", "serviceAccountName"]) {
        "" => text(pod, &["spec", "serviceAccount"]),
        name => name,
    }
}

/// Whether a pod refers to the object of this resource and name. Mirror pods grant nothing.
pub(super) fn refers(pod: &Value, resource: &str, name: &str) -> bool {
    !is_mirror(pod)
        && match resource {
            "serviceaccounts" => account(pod) == name,
            "secrets" => secrets(pod).any(|held| held == name),
            "configmaps" => config_maps(pod).any(|held| held == name),
            _ => false,
        }
}

pub(crate) fn secrets(pod: &Value) -> impl Iterator<Item = &str> {
    let pulls = items(pod, &["spec", "imagePullSecrets"]).iter().map(|secret| text(secret, &["name"]));
    let mounted = volumes(pod).flat_map(|volume| SECRET_VOLUMES.iter().map(move |path| text(volume, path)));
    let projected = sources(pod).map(|source| text(source, &["secret", "name"]));
    named(pulls.chain(mounted).chain(projected).chain(environment(pod, "secretRef", "secretKeyRef")))
}

pub(crate) fn config_maps(pod: &Value) -> impl Iterator<Item = &str> {
    let mounted = volumes(pod).map(|volume| text(volume, &["configMap", "name"]));
    let projected = sources(pod).map(|source| text(source, &["configMap", "name"]));
    named(mounted.chain(projected).chain(environment(pod, "configMapRef", "configMapKeyRef")))
}

/// The sources of projected volumes that hold a token of the pod's account.
pub(crate) fn token_sources(pod: &Value) -> impl Iterator<Item = &Value> {
    sources(pod).map(|source| &source["serviceAccountToken"]).filter(|source| !source.is_null())
}

/// The first object of the API that a pod needs, as Kubernetes names it. What is not known is taken
/// for one.
pub(crate) fn first_of_the_api(pod: &Value) -> Option<String> {
    let known = |what: &str| Some(what.to_owned());
    if !account(pod).is_empty() {
        return known("serviceaccounts");
    }
    if secrets(pod).next().is_some() {
        return known("secrets");
    }
    if config_maps(pod).next().is_some() {
        return known("configmaps");
    }
    if !items(pod, &["spec", "resourceClaims"]).is_empty() {
        return known("resourceclaims");
    }
    volumes(pod).find_map(of_volume)
}

fn of_volume(volume: &Value) -> Option<String> {
    let has = |kind: &str| !volume[kind].is_null();
    if has("projected") {
        return items(volume, &["projected", "sources"]).iter().find_map(of_source);
    }
    match API_VOLUMES.iter().find(|(kind, _)| has(kind)) {
        Some((_, what)) => Some((*what).to_owned()),
        None if PLAIN_VOLUMES.iter().any(|kind| has(kind)) => None,
        // Without a type it is an empty directory.
        None if volume.as_object().is_none_or(|volume| volume.keys().all(|key| key == "name")) => None,
        None => Some(format!("an unknown type of volume {:?}", text(volume, &["name"]))),
    }
}

fn of_source(source: &Value) -> Option<String> {
    match API_SOURCES.iter().find(|(kind, _)| !source[*kind].is_null()) {
        Some((_, what)) => Some((*what).to_owned()),
        None if !source["downwardAPI"].is_null() => None,
        None => Some("an unknown source of a projected volume".to_owned()),
    }
}

fn named<'a>(names: impl Iterator<Item = &'a str>) -> impl Iterator<Item = &'a str> {
    names.filter(|name| !name.is_empty())
}

fn volumes(pod: &Value) -> impl Iterator<Item = &Value> {
    items(pod, &["spec", "volumes"]).iter()
}

fn sources(pod: &Value) -> impl Iterator<Item = &Value> {
    volumes(pod).flat_map(|volume| items(volume, &["projected", "sources"]))
}

fn environment<'a>(pod: &'a Value, whole: &'static str, key: &'static str) -> impl Iterator<Item = &'a str> {
    let lists = ["containers", "initContainers", "ephemeralContainers"];
    lists.into_iter().flat_map(move |list| items(pod, &["spec", list])).flat_map(move |container| {
        let all = items(container, &["envFrom"]).iter().map(move |from| text(from, &[whole, "name"]));
        let single = items(container, &["env"]).iter().map(move |env| text(env, &["valueFrom", key, "name"]));
        all.chain(single)
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn pods_refer_to_what_they_mount_and_read() {
        let pod = json!({"spec": {"serviceAccountName": "sa", "imagePullSecrets": [{"name": "pull"}],
            "volumes": [{"configMap": {"name": "conf"}}, {"projected": {"sources": [{"secret": {"name": "proj"}}]}},
                        {"csi": {"driver": "d", "nodePublishSecretRef": {"name": "csi"}}}],
            "containers": [{"env": [{"valueFrom": {"secretKeyRef": {"name": "key"}}}]}]}});
        assert!(["pull", "proj", "key", "csi"].iter().all(|name| refers(&pod, "secrets", name)));
        assert!(refers(&pod, "configmaps", "conf") && !refers(&pod, "configmaps", "key"));
        assert!(refers(&pod, "serviceaccounts", "sa") && !refers(&pod, "serviceaccounts", "other"));
        let mut mirror = pod.clone();
        mirror["metadata"]["annotations"][MIRROR] = "x".into();
        assert!(!refers(&mirror, "secrets", "pull") && !refers(&mirror, "serviceaccounts", "sa"));
    }

    #[test]
    fn what_needs_the_api_is_named() {
        let first = |spec: Value| first_of_the_api(&json!({ "spec": spec })).unwrap_or_default();
        let volume = |volume: Value| first(json!({"volumes": [volume]}));
        let source = |source: Value| volume(json!({"name": "v", "projected": {"sources": [source]}}));
        assert_eq!(first(json!({"containers": [{"name": "c"}]})), "");
        assert_eq!(first(json!({"serviceAccountName": "a"})), "serviceaccounts");
        assert_eq!(first(json!({"serviceAccount": "a"})), "serviceaccounts");
        assert_eq!(first(json!({"imagePullSecrets": [{"name": "a"}]})), "secrets");
        assert_eq!(first(json!({"resourceClaims": [{"name": "a"}]})), "resourceclaims");
        assert_eq!(volume(json!({"name": "v", "hostPath": {"path": "/"}})), "");
        assert_eq!(volume(json!({"name": "v", "secret": {"secretName": "a"}})), "secrets");
        assert_eq!(volume(json!({"name": "v", "configMap": {"name": "a"}})), "configmaps");
        assert_eq!(volume(json!({"name": "v", "csi": {"driver": "a"}})), "csidrivers (via CSI volumes)");
        assert_eq!(volume(json!({"name": "v", "persistentVolumeClaim": {"claimName": "a"}})), "persistentvolumeclaims");
        assert_eq!(source(json!({"downwardAPI": {"items": []}})), "");
        assert_eq!(source(json!({"serviceAccountToken": {"path": "a"}})), "serviceaccounts (via projected volumes)");
        assert_eq!(source(json!({"secret": {"name": "a"}})), "secrets");
        assert!(!volume(json!({"name": "v", "later": {}})).is_empty() && !source(json!({"later": {}})).is_empty());
    }
}
