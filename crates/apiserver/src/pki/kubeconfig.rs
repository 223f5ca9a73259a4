//! Kubeconfig files.

use super::Credentials;
use everynode_common::base64;

/// A kubeconfig with one cluster, one user and one context, credentials embedded.
pub(super) fn text(server: &str, ca: &str, user: &str, credentials: &Credentials) -> String {
    let data = |pem: &str| base64::encode(pem.as_bytes());
    format!(
        "apiVersion: v1
kind: Config
clusters:
- name: everynode
  cluster:
    server: {server}
    certificate-authority-data: {ca}
users:
- name: {user}
  user:
    client-certificate-data: {certificate}
    client-key-data: {key}
contexts:
- name: everynode
  context:
    cluster: everynode
    user: {user}
current-context: everynode
",
        ca = data(ca),
        certificate = data(&credentials.certificate),
        key = data(&credentials.key),
    )
}
