//! From what a connection and a request show to a user.

use everynode_api::status::Status;
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::token::{Checked, Reference};
use super::{AUTHENTICATED, User};
use crate::catalogue::{Row, built_in};
use crate::keys;
use crate::registry::Registry;

/// What a verified client certificate says.
pub(crate) struct Certified {
    pub(crate) user: User,
    /// How long it still is valid.
    pub(crate) left: SignedDuration,
}

/// The user that a verified client certificate names (CN is the name, each O a group), unless it
/// has ended meanwhile: a session that is resumed is not verified again.
pub(crate) fn certificate_user(der: &[u8], now: Timestamp) -> Option<Certified> {
    let (_, certificate) = X509Certificate::from_der(der).ok()?;
    let left = Timestamp::from_second(certificate.validity().not_after.timestamp()).ok()?.duration_since(now);
    let subject = certificate.subject();
    let name = subject.iter_common_name().next()?.as_str().ok()?.to_owned();
    let groups = subject.iter_organization().filter_map(|group| group.as_str().ok());
    let groups = groups.map(str::to_owned).chain([AUTHENTICATED.to_owned()]).collect();
    let certificate_key = crate::pki::sha256_hex(certificate.public_key().raw);
    let user = User { name, groups, certificate_key, ..User::default() };
    left.is_positive().then_some(Certified { user, left })
}

/// A node's certificate counts while the node's name is its key's: that of a former owner is
/// refused.
pub(crate) fn check_certificate(registry: &Registry, user: &User) -> Result<(), Status> {
    let Some(node) = user.node().filter(|_| !user.certificate_key.is_empty()) else { return Ok(()) };
    match registry.is_nodes_key(node, &user.certificate_key)? {
        true => Ok(()),
        false => Err(Status::unauthorized()),
    }
}

/// The user of a bearer token, or 401.
pub(crate) fn token_user(registry: &Registry, join_token: &str, token: &str) -> Result<User, Status> {
    if same(token.as_bytes(), join_token.as_bytes()) {
        return Ok(User::new("system:bootstrap:everynode", &["system:bootstrappers"]));
    }
    service_account_user(registry, token, &[]).map(|known| known.user).map_err(|_| Status::unauthorized())
}

/// Compares secrets in a time that depends on their length only.
fn same(a: &[u8], b: &[u8]) -> bool {
    !b.is_empty() && a.len() == b.len() && a.iter().zip(b).fold(0, |different, (a, b)| different | (a ^ b)) == 0
}

/// The user of a token.
pub(crate) struct Known {
    pub(crate) user: User,
    /// Those of the audiences asked for that the token is meant for.
    pub(crate) audiences: Vec<String>,
}

const INVALIDATED: &str = "[invalid bearer token, service account token has been invalidated]";
/// A token outlives the end of what it is bound to by so much, as in Kubernetes: what is being
/// ended still has things to do.
const ENDED_LEEWAY: SignedDuration = SignedDuration::from_secs(60);

/// The user of a service-account token whose account, and whose pod, secret or node, still are what
/// they were; or why the token is refused.
pub(crate) fn service_account_user(registry: &Registry, token: &str, audiences: &[String]) -> Result<Known, String> {
    let Checked { claims, audiences } = registry.tokens.check(token, audiences, registry.env.now())?;
    let bound = &claims.bound;
    let namespace = bound.namespace.as_str();
    let exists = |row: &Row, namespace: &str, reference: &Reference| {
        exists(registry, row, namespace, reference).ok_or_else(|| INVALIDATED.to_owned())
    };
    exists(&built_in::SERVICE_ACCOUNT, namespace, &bound.serviceaccount)?;
    let mut user = User::service_account(namespace, &bound.serviceaccount.name, &bound.serviceaccount.uid);
    let mut tell = |what: &str, value: String| {
        user.extra.insert(format!("authentication.kubernetes.io/{what}"), vec![value]);
    };
    tell("credential-id", format!("JTI={}", claims.jti));
    if let Some(pod) = &bound.pod {
        exists(&built_in::POD, namespace, pod)?;
        tell("pod-name", pod.name.clone());
        tell("pod-uid", pod.uid.clone());
    }
    if let Some(secret) = &bound.secret {
        exists(&built_in::SECRET, namespace, secret)?;
    }
    if let Some(node) = &bound.node {
        // A pod's node is told; a token that is bound to a node ends with it.
        if bound.pod.is_none() {
            exists(&built_in::NODE, "", node)?;
        }
        tell("node-name", node.name.clone());
        if !node.uid.is_empty() {
            tell("node-uid", node.uid.clone());
        }
    }
    Ok(Known { user, audiences })
}

fn exists(registry: &Registry, row: &Row, namespace: &str, reference: &Reference) -> Option<()> {
    let key = keys::object(row, namespace, &reference.name);
    let kv = registry.store.get(&key, None).ok()??;
    let held: Identity = serde_json::from_slice(&kv.value).ok()?;
    let ended = |at: Timestamp| registry.env.now().duration_since(at) > ENDED_LEEWAY;
    let ends = held.metadata.deletion_timestamp.is_some_and(ended);
    (held.metadata.uid == reference.uid && !ends).then_some(())
}

/// An object's uid, read without building the object: this runs for every request with a token.
#[derive(Deserialize)]
struct Identity {
    metadata: IdentityMeta,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct IdentityMeta {
    uid: String,
    /// When it is to be gone.
    #[serde(default)]
    deletion_timestamp: Option<Timestamp>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_that_has_ended_is_nobodys() {
        let mut params = rcgen::CertificateParams::default();
        params.distinguished_name.push(rcgen::DnType::CommonName, "jane");
        params.not_after = rcgen::date_time_ymd(2030, 1, 1);
        let certificate = params.self_signed(&rcgen::KeyPair::generate().unwrap()).unwrap();
        let seen = |now: &str| certificate_user(certificate.der(), now.parse().unwrap());
        let before = seen("2029-12-31T23:59:00Z").unwrap();
        assert_eq!((before.user.name.as_str(), before.left.as_secs()), ("jane", 60));
        assert!(seen("2030-01-01T00:00:00Z").is_none());
    }

    #[test]
    fn secrets_are_compared_whole() {
        assert!(same(b"abc", b"abc"));
        assert!(!same(b"abc", b"abd") && !same(b"ab", b"abc") && !same(b"", b""));
    }
}
