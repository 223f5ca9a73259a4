//! How a machine becomes a node: with a token it gets a certificate, which it keeps and renews.
//!
//! The token is `everynode.FINGERPRINT.SECRET`. The fingerprint (SHA-256 of the certificate
//! authority) makes sure of the server before anything secret is sent; the secret makes sure of
//! the machine. A certificate is renewed by the same request ([`ask`]) with the certificate itself
//! in the token's place. The key stays: the server remembers whose a node's name is by it.

mod ask;

use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use everynode_apiserver::{Lifetime, RotatingCertificate};
use jiff::Timestamp;
use rcgen::KeyPair;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::files::write_secret;

/// What a node authenticates with, all PEM.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Credentials {
    pub(crate) server: String,
    pub(crate) node_name: String,
    pub(crate) ca: String,
    pub(crate) certificate: String,
    pub(crate) key: String,
}

impl Credentials {
    /// Certificate and key alone.
    pub(crate) fn pair(&self) -> everynode_apiserver::Credentials {
        everynode_apiserver::Credentials { certificate: self.certificate.clone(), key: self.key.clone() }
    }

    pub(crate) fn key_pair(&self) -> anyhow::Result<KeyPair> {
        KeyPair::from_pem(&self.key).context("the node's key cannot be read")
    }

    fn are_over(&self) -> bool {
        Lifetime::of(&self.certificate).is_ok_and(|life| life.is_over(Timestamp::now()))
    }
}

/// The credentials of a former join under this name.
pub(crate) fn former(directory: &Path, node_name: &str) -> Option<Credentials> {
    let json = std::fs::read(credentials_file(directory)).ok()?;
    serde_json::from_slice::<Credentials>(&json).ok().filter(|former| former.node_name == node_name)
}

fn credentials_file(directory: &Path) -> PathBuf {
    directory.join("credentials.json")
}

/// The key of a machine that has not joined yet.
fn key_file(directory: &Path) -> PathBuf {
    directory.join("node.key")
}

/// The machine's key: a node's name belongs to it, so that a machine keeps it for as long as it
/// can. It is on disk before the server hears of it: an answer may get lost.
fn own_key(directory: &Path, node_name: &str) -> anyhow::Result<KeyPair> {
    let former = former(directory, node_name).map(|former| former.key);
    let held = former.or_else(|| std::fs::read_to_string(key_file(directory)).ok());
    if let Some(key) = held.and_then(|pem| KeyPair::from_pem(&pem).ok()) {
        return Ok(key);
    }
    let key = KeyPair::generate().context("cannot make a key")?;
    write_secret(&key_file(directory), key.serialize_pem().as_bytes())?;
    Ok(key)
}

/// Keeps credentials for the next start: certificate and key in one file, replaced as a whole.
pub(crate) fn keep(directory: &Path, credentials: &Credentials) -> anyhow::Result<()> {
    write_secret(&credentials_file(directory), &serde_json::to_vec(credentials)?)
}

/// Joins, or uses the credentials of a former join to the same server under the same name unless
/// they are over. Old ones are renewed later, by the running agent.
pub(crate) async fn join(directory: &Path, server: &str, token: &str, node_name: &str) -> anyhow::Result<Credentials> {
    let former = former(directory, node_name).filter(|former| former.server == server && !former.are_over());
    if let Some(former) = former {
        return Ok(former);
    }
    let credentials = by_token(server, token, node_name, &own_key(directory, node_name)?).await?;
    keep(directory, &credentials)?;
    // From now on it is in the credentials.
    let _ = std::fs::remove_file(key_file(directory));
    Ok(credentials)
}

/// The former join's credentials, for an agent that was given no token.
pub(crate) fn without_token(directory: &Path, node_name: &str) -> anyhow::Result<Credentials> {
    match former(directory, node_name) {
        Some(former) if former.are_over() => {
            bail!("the certificate of node {node_name} has ended; start the agent with --server and --token once more")
        }
        Some(former) => Ok(former),
        None => bail!("the agent needs --server and --token (from `everynode token`), or --kubeconfig"),
    }
}

/// A certificate for a machine that has the token.
pub(crate) async fn by_token(server: &str, token: &str, node_name: &str, key: &KeyPair) -> anyhow::Result<Credentials> {
    let ["everynode", pin, _secret] = token.split('.').collect::<Vec<_>>()[..] else {
        bail!("--token is not a join token; `everynode token` on the server's machine prints it");
    };
    new_certificate(server, ask::pinned_config(pin)?, Some(token), node_name, key).await
}

/// Another certificate for a node that has one, which the server takes for the token.
pub(crate) async fn by_certificate(held: &Credentials) -> anyhow::Result<Credentials> {
    let tls = RotatingCertificate::new(held.pair())?.client_config(&held.ca)?;
    new_certificate(&held.server, tls, None, &held.node_name, &held.key_pair()?).await
}

async fn new_certificate(
    server: &str,
    tls: rustls::ClientConfig,
    token: Option<&str>,
    node_name: &str,
    key: &KeyPair,
) -> anyhow::Result<Credentials> {
    let mut request =
        rcgen::CertificateParams::new(vec![node_name.to_owned()]).context("cannot make a certificate request")?;
    request.distinguished_name = rcgen::DistinguishedName::new();
    request.distinguished_name.push(rcgen::DnType::CommonName, format!("system:node:{node_name}"));
    request.distinguished_name.push(rcgen::DnType::OrganizationName, "system:nodes");
    let csr = request.serialize_request(key).and_then(|csr| csr.pem()).context("cannot make a certificate request")?;
    let body = json!({ "nodeName": node_name, "csr": csr }).to_string();
    let answer = ask::ask(server, tls, token, &body).await?;
    let text = |field: &str| answer[field].as_str().unwrap_or_default().to_owned();
    let credentials = Credentials {
        server: server.to_owned(),
        node_name: node_name.to_owned(),
        ca: text("ca"),
        certificate: text("certificate"),
        key: key.serialize_pem(),
    };
    ensure!(!credentials.certificate.is_empty(), "the server's answer to the join request holds no certificate");
    Ok(credentials)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exit::Exit;

    #[tokio::test]
    async fn wrong_words_are_reported() {
        let directory = tempfile::tempdir().unwrap();
        let attempt = |server: &'static str, token: &'static str| join(directory.path(), server, token, "a");
        assert!(attempt("https://127.0.0.1:1", "nonsense").await.unwrap_err().to_string().contains("not a join token"));
        let error = attempt("https://127.0.0.1:1", "everynode.a.b").await.unwrap_err();
        assert_eq!(crate::exit::code(&error), Exit::Connection);
        let key = own_key(directory.path(), "a").unwrap().serialize_pem();
        assert_eq!(own_key(directory.path(), "a").unwrap().serialize_pem(), key, "a failed join keeps its key");
        assert!(attempt("http://127.0.0.1:1", "everynode.a.b").await.unwrap_err().to_string().contains("https://"));
    }
}
