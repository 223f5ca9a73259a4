//! The request with which a machine joins, and how it makes sure of the server.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, ensure};
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{DigitallySignedStruct, RootCertStore, SignatureScheme};

use crate::exit::{Exit, coded};

/// The whole exchange; a server that starts just now takes a while.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
/// A join answer is two certificates.
const ANSWER_BYTES_MAX: usize = 64 << 10;

/// Sends a join request over `tls`, with a token unless the connection's certificate says who asks.
pub(super) async fn ask(
    server: &str,
    tls: rustls::ClientConfig,
    token: Option<&str>,
    body: &str,
) -> anyhow::Result<serde_json::Value> {
    match tokio::time::timeout(ANSWER_TIMEOUT, exchange(server, tls, token, body)).await {
        Ok(answer) => answer,
        Err(_) => Err(coded(Exit::Connection, format!("cannot join {server}: it does not answer"))),
    }
}

async fn exchange(
    server: &str,
    tls: rustls::ClientConfig,
    token: Option<&str>,
    body: &str,
) -> anyhow::Result<serde_json::Value> {
    let uri: http::Uri = server.parse().with_context(|| format!("`{server}` is not a URL"))?;
    ensure!(uri.scheme_str() == Some("https"), "`{server}` must begin with https://");
    let host = uri.host().with_context(|| format!("--server `{server}` names no host"))?;
    let port = uri.port_u16().unwrap_or(443);
    let unreachable = |error: &dyn std::fmt::Display| coded(Exit::Connection, format!("cannot join {server}: {error}"));
    let stream = tokio::net::TcpStream::connect((host.trim_matches(['[', ']']), port))
        .await
        .map_err(|error| unreachable(&error))?;
    let connector = tokio_rustls::TlsConnector::from(Arc::new(tls));
    let name =
        ServerName::try_from(host.trim_matches(['[', ']']).to_owned()).context("--server names no valid host")?;
    let stream = connector.connect(name, stream).await.map_err(|error| unreachable(&error))?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(hyper_util::rt::TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let mut request = http::Request::post("/everynode.dev/v1/join").header("host", host);
    if let Some(token) = token {
        request = request.header("authorization", format!("Bearer {token}"));
    }
    let request = request.header("content-type", "application/json").body(Full::new(Bytes::from(body.to_owned())))?;
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

/// Trusts the authority with this fingerprint.
pub(super) fn pinned_config(pin: &str) -> anyhow::Result<rustls::ClientConfig> {
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
