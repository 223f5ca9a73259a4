//! How a machine becomes a node: with a token it gets a certificate, which it keeps.
//!
//! The token is `everynode.FINGERPRINT.SECRET`. The fingerprint (SHA-256 of the certificate
//! authority) makes sure of the server before anything secret is sent; the secret makes sure of
//! the machine.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, bail, ensure};
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use jiff::{SignedDuration, Timestamp};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{DigitallySignedStruct, RootCertStore, SignatureScheme};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::exit::{Exit, coded};
use crate::files::write_secret;

/// Certificates that end sooner than this are renewed at a start.
const RENEW_BEFORE: SignedDuration = SignedDuration::from_hours(24 * 30);
/// A join answer is two certificates.
const ANSWER_BYTES_MAX: usize = 64 << 10;

/// What a node authenticates with, all PEM.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Credentials {
    pub(crate) server: String,
    pub(crate) node_name: String,
    pub(crate) ca: String,
    pub(crate) certificate: String,
    pub(crate) key: String,
    /// When the certificate ends; `None`: unknown (credentials of a kubeconfig).
    #[serde(default)]
    pub(crate) expires: Option<Timestamp>,
}

impl Credentials {
    /// Whether the certificate ends soon: time to join again.
    fn is_old(&self) -> bool {
        self.expires.is_some_and(|expires| expires < Timestamp::now() + RENEW_BEFORE)
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

/// Joins, or uses the credentials of a former join to the same server under the same name while
/// they are good for a while. With old ones it joins again, and gets on with them if that fails.
pub(crate) async fn join(directory: &Path, server: &str, token: &str, node_name: &str) -> anyhow::Result<Credentials> {
    let former = former(directory, node_name).filter(|former| former.server == server);
    match former {
        Some(former) if former.is_old() => {
            let renewed = join_anew(directory, server, token, node_name).await;
            Ok(renewed.unwrap_or_else(|error| {
                tracing::warn!("the node's certificate ends soon and cannot be renewed: {error:#}");
                former
            }))
        }
        Some(former) => Ok(former),
        None => join_anew(directory, server, token, node_name).await,
    }
}

async fn join_anew(directory: &Path, server: &str, token: &str, node_name: &str) -> anyhow::Result<Credentials> {
    let ["everynode", pin, _secret] = token.split('.').collect::<Vec<_>>()[..] else {
        bail!("--token is not a join token; `everynode token` on the server's machine prints it");
    };
    let key = rcgen::KeyPair::generate().context("cannot make a key")?;
    let mut request =
        rcgen::CertificateParams::new(vec![node_name.to_owned()]).context("cannot make a certificate request")?;
    request.distinguished_name.push(rcgen::DnType::CommonName, format!("system:node:{node_name}"));
    request.distinguished_name.push(rcgen::DnType::OrganizationName, "system:nodes");
    let csr = request.serialize_request(&key).and_then(|csr| csr.pem()).context("cannot make a certificate request")?;
    let answer = ask(server, token, pin, &json!({ "nodeName": node_name, "csr": csr }).to_string()).await?;
    let text = |field: &str| answer[field].as_str().unwrap_or_default().to_owned();
    let credentials = Credentials {
        server: server.to_owned(),
        node_name: node_name.to_owned(),
        ca: text("ca"),
        certificate: text("certificate"),
        key: key.serialize_pem(),
        expires: answer["expires"].as_str().and_then(|time| time.parse().ok()),
    };
    ensure!(!credentials.certificate.is_empty(), "the server's answer to the join request holds no certificate");
    write_secret(&credentials_file(directory), &serde_json::to_vec(&credentials)?)?;
    Ok(credentials)
}

async fn ask(server: &str, token: &str, pin: &str, body: &str) -> anyhow::Result<serde_json::Value> {
    let uri: http::Uri = server.parse().with_context(|| format!("--server `{server}` is not a URL"))?;
    ensure!(uri.scheme_str() == Some("https"), "--server `{server}` must begin with https://");
    let host = uri.host().with_context(|| format!("--server `{server}` names no host"))?;
    let port = uri.port_u16().unwrap_or(443);
    let unreachable = |error: &dyn std::fmt::Display| coded(Exit::Connection, format!("cannot join {server}: {error}"));
    let stream = tokio::net::TcpStream::connect((host.trim_matches(['[', ']']), port))
        .await
        .map_err(|error| unreachable(&error))?;
    let connector = tokio_rustls::TlsConnector::from(Arc::new(pinned_config(pin)?));
    let name =
        ServerName::try_from(host.trim_matches(['[', ']']).to_owned()).context("--server names no valid host")?;
    let stream = connector.connect(name, stream).await.map_err(|error| unreachable(&error))?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(hyper_util::rt::TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let request = http::Request::post("/everynode.dev/v1/join")
        .header("host", host)
        .header("authorization", format!("Bearer {token}"))
        .header("content-type", "application/json")
        .body(Full::new(Bytes::from(body.to_owned())))?;
    let answer = sender.send_request(request).await.map_err(|error| unreachable(&error))?;
    let status = answer.status();
    let body = Limited::new(answer.into_body(), ANSWER_BYTES_MAX).collect().await;
    let body = body.map_err(|error| unreachable(&error))?.to_bytes();
    let value: serde_json::Value = serde_json::from_slice(&body).unwrap_or_default();
    if !status.is_success() {
        let message = value["message"].as_str().unwrap_or("no reason given");
        let hint =
            if status == 401 { "; `everynode token` on the server's machine prints the right token" } else { "" };
        return Err(coded(Exit::Connection, format!("{server} refuses the join: {message} ({status}){hint}")));
    }
    Ok(value)
}

fn pinned_config(pin: &str) -> anyhow::Result<rustls::ClientConfig> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = Arc::new(PinnedAuthority { pin: pin.to_owned(), provider: provider.clone() });
    let builder = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    Ok(builder.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth())
}

/// Trusts the one authority whose fingerprint is known, and verifies everything else as usual.
#[derive(Debug)]
struct PinnedAuthority {
    pin: String,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for PinnedAuthority {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        chain: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let authority = chain.iter().find(|certificate| fingerprint(certificate) == self.pin);
        let authority = authority.ok_or_else(|| {
            rustls::Error::General("the server's certificate authority is not the one of the token".into())
        })?;
        let mut roots = RootCertStore::empty();
        roots.add(authority.clone().into_owned())?;
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), self.provider.clone())
            .build()
            .map_err(|error| rustls::Error::General(error.to_string()))?;
        verifier.verify_server_cert(leaf, chain, name, ocsp, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

fn fingerprint(certificate: &CertificateDer<'_>) -> String {
    let hash = ring::digest::digest(&ring::digest::SHA256, certificate);
    hash.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_credentials_are_known_by_their_end() {
        let ending = |expires: Option<Timestamp>| {
            let json =
                json!({ "server": "", "nodeName": "a", "ca": "", "certificate": "", "key": "", "expires": expires });
            serde_json::from_value::<Credentials>(json).unwrap().is_old()
        };
        let days = |days: i64| Some(Timestamp::now() + SignedDuration::from_hours(24 * days));
        assert!(ending(days(-1)) && ending(days(29)) && !ending(days(31)) && !ending(None));
    }

    #[tokio::test]
    async fn wrong_words_are_told() {
        let directory = tempfile::tempdir().unwrap();
        let attempt = |server: &'static str, token: &'static str| join(directory.path(), server, token, "a");
        assert!(attempt("https://127.0.0.1:1", "nonsense").await.unwrap_err().to_string().contains("not a join token"));
        let error = attempt("https://127.0.0.1:1", "everynode.a.b").await.unwrap_err();
        assert_eq!(crate::exit::code(&error), Exit::Connection);
        assert!(attempt("http://127.0.0.1:1", "everynode.a.b").await.unwrap_err().to_string().contains("https://"));
    }
}
