//! From what a connection and a request show to a user.

use everynode_api::kinds::find;
use everynode_api::status::Status;
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::{AUTHENTICATED, User};
use crate::keys;
use crate::registry::Registry;

/// What a verified client certificate says.
pub(crate) struct Certified {
    pub(crate) user: User,
    /// How long it still is valid.
    pub(crate) left: SignedDuration,
}

/// The user that a verified client certificate names (CN is the name, each O a group), unless it has ended meanwhile: a
/// session that is resumed is not verified again.
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

/// A node's certificate counts while the node's name is its key's: a former owner's is nobody's.
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
    service_account_user(registry, token, &[]).ok_or_else(Status::unauthorized)
}

/// Compares secrets in a time that depends on their length only.
fn same(a: &[u8], b: &[u8]) -> bool {
    !b.is_empty() && a.len() == b.len() && a.iter().zip(b).fold(0, |different, (a, b)| different | (a ^ b)) == 0
}

/// The user of a service-account token whose account (and pod, secret or node) still exists.
pub(crate) fn service_account_user(registry: &Registry, token: &str, audiences: &[String]) -> Option<User> {
    let claims = registry.tokens.check(token, audiences, registry.env.now())?;
    let bound = &claims.bound;
    let namespace = bound.namespace.as_str();
    exists(registry, "serviceaccounts", namespace, &bound.serviceaccount.name, &bound.serviceaccount.uid)?;
    let mut user = User::service_account(namespace, &bound.serviceaccount.name, &bound.serviceaccount.uid);
    if let Some(pod) = &bound.pod {
        exists(registry, "pods", namespace, &pod.name, &pod.uid)?;
        user.extra.insert("authentication.kubernetes.io/pod-name".into(), vec![pod.name.clone()]);
        user.extra.insert("authentication.kubernetes.io/pod-uid".into(), vec![pod.uid.clone()]);
    }
    if let Some(secret) = &bound.secret {
        exists(registry, "secrets", namespace, &secret.name, &secret.uid)?;
    }
    if let Some(node) = &bound.node {
        user.extra.insert("authentication.kubernetes.io/node-name".into(), vec![node.name.clone()]);
    }
    Some(user)
}

fn exists(registry: &Registry, plural: &str, namespace: &str, name: &str, uid: &str) -> Option<()> {
    let key = keys::object(find("", plural)?, namespace, name);
    let kv = registry.store.get(&key, None).ok()??;
    let held: Identity = serde_json::from_slice(&kv.value).ok()?;
    (held.metadata.uid == uid).then_some(())
}

/// An object's uid, read without building the object: this runs for every request with a token.
#[derive(Deserialize)]
struct Identity {
    metadata: IdentityMeta,
}

#[derive(Deserialize)]
struct IdentityMeta {
    uid: String,
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
