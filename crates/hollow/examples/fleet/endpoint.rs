//! The server's address, and single requests over connections of their own.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, ensure};
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use serde_json::Value;
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// The largest answer that is read.
const ANSWER_BYTES_MAX: usize = 1 << 20;
/// A whole exchange, connecting included.
const EXCHANGE_MAX: Duration = Duration::from_secs(30);

/// Where the server is, and whom its certificate must be signed by.
#[derive(Clone, Debug)]
pub(crate) struct Endpoint {
    pub(crate) address: SocketAddr,
    roots: Arc<rustls::RootCertStore>,
    /// The authority, in PEM.
    pub(crate) ca_pem: Vec<u8>,
}

impl Endpoint {
    /// From a server that was started here: its kubeconfig, and the authority beside it.
    pub(crate) fn of_kubeconfig(kubeconfig: &Path) -> anyhow::Result<Endpoint> {
        let text = std::fs::read_to_string(kubeconfig).with_context(|| kubeconfig.display().to_string())?;
        let value: Value = serde_saphyr::from_str(&text)?;
        let server = value["clusters"][0]["cluster"]["server"].as_str().unwrap_or_default();
        let address = server.strip_prefix("https://").unwrap_or_default().trim_end_matches('/');
        let address = address.parse().with_context(|| format!("{server} is not an address and a port"))?;
        Endpoint::new(address, &pki(kubeconfig)?.join("ca.crt"))
    }

    /// From an address and the file of the authority.
    pub(crate) fn new(address: SocketAddr, ca: &Path) -> anyhow::Result<Endpoint> {
        let ca_pem = std::fs::read(ca).with_context(|| ca.display().to_string())?;
        let mut roots = rustls::RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(&ca_pem) {
            roots.add(certificate?)?;
        }
        Ok(Endpoint { address, roots: Arc::new(roots), ca_pem })
    }

    /// A TCP connection, from an address of this machine if one is given.
    pub(crate) async fn tcp(&self, from: Option<std::net::Ipv4Addr>) -> anyhow::Result<TcpStream> {
        let socket = TcpSocket::new_v4()?;
        if let Some(from) = from {
            socket.bind((from, 0).into())?;
        }
        Ok(socket.connect(self.address).await?)
    }

    /// A TLS connection of a client without a certificate.
    pub(crate) async fn tls(&self, stream: TcpStream, protocol: &[u8]) -> anyhow::Result<TlsStream<TcpStream>> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
        let mut config = builder.with_root_certificates(self.roots.clone()).with_no_client_auth();
        config.alpn_protocols = vec![protocol.to_vec()];
        let name = ServerName::IpAddress(self.address.ip().into());
        Ok(TlsConnector::from(Arc::new(config)).connect(name, stream).await?)
    }

    /// One request over HTTP/1.1 and a connection of its own.
    ///
    /// # Errors
    /// There is no whole answer within half a minute.
    pub(crate) async fn ask(
        &self,
        method: &str,
        path: &str,
        token: &str,
        body: String,
    ) -> anyhow::Result<(u16, Bytes)> {
        tokio::time::timeout(EXCHANGE_MAX, self.exchange(method, path, token, body)).await.context("no answer")?
    }

    async fn exchange(&self, method: &str, path: &str, token: &str, body: String) -> anyhow::Result<(u16, Bytes)> {
        let stream = self.tls(self.tcp(None).await?, b"http/1.1").await?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        let connection = tokio::spawn(connection);
        let mut request = http::Request::builder().method(method).uri(path).header("host", "localhost");
        if !token.is_empty() {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        let request = request.header("content-type", "application/json").body(Full::new(Bytes::from(body)))?;
        let answer = sender.send_request(request).await?;
        let status = answer.status().as_u16();
        let body = Limited::new(answer.into_body(), ANSWER_BYTES_MAX).collect().await;
        connection.abort();
        Ok((status, body.map_err(|error| anyhow::anyhow!("{error}"))?.to_bytes()))
    }
}

/// Where the keys of the server are that wrote this kubeconfig.
pub(crate) fn pki(kubeconfig: &Path) -> anyhow::Result<std::path::PathBuf> {
    let pki = kubeconfig.parent().unwrap_or(Path::new(".")).join("pki");
    ensure!(pki.is_dir(), "{} is not there: this scenario wants a server that is started here", pki.display());
    Ok(pki)
}
