//! The HTTP client over TLS, with certificates on both sides and a kubeconfig file.

use std::sync::Arc;

use everynode_api::ports::{Api, ApiError, Request};
use everynode_runtime::http_api::ServerConfig;
use everynode_runtime::{Env, HttpApi};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::RootCertStore;
use rustls::pki_types::PrivateKeyDer;
use rustls::server::WebPkiClientVerifier;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

struct Authority {
    pem: String,
    der: rustls::pki_types::CertificateDer<'static>,
    issuer: Issuer<'static, KeyPair>,
}

fn authority() -> Authority {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let certificate = params.self_signed(&key).unwrap();
    Authority { pem: certificate.pem(), der: certificate.der().clone(), issuer: Issuer::new(params, key) }
}

impl Authority {
    fn issue(&self, name: &str) -> (rcgen::Certificate, KeyPair) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        (params.signed_by(&key, &self.issuer).unwrap(), key)
    }

    /// A server that answers everything with `{}` and lets in only whom we know.
    async fn serve(&self) -> String {
        let (certificate, key) = self.issue("127.0.0.1");
        let mut roots = RootCertStore::empty();
        roots.add(self.der.clone()).unwrap();
        let verifier = WebPkiClientVerifier::builder(Arc::new(roots)).build().unwrap();
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let config = rustls::ServerConfig::builder().with_client_cert_verifier(verifier);
        let config = config.with_single_cert(vec![certificate.der().clone()], key).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("https://{}", listener.local_addr().unwrap());
        let acceptor = TlsAcceptor::from(Arc::new(config));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                if let Ok(mut stream) = acceptor.accept(stream).await {
                    let mut buffer = [0; 4096];
                    let _request = stream.read(&mut buffer).await;
                    let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}";
                    let _sent = stream.write_all(answer).await;
                    let _closed = stream.shutdown().await;
                }
            }
        });
        url
    }

    async fn config(&self) -> ServerConfig {
        let (certificate, key) = self.issue("admin");
        ServerConfig {
            server: self.serve().await,
            ca_pem: Some(self.pem.clone().into_bytes()),
            client_pem: Some((certificate.pem().into_bytes(), key.serialize_pem().into_bytes())),
            ..ServerConfig::default()
        }
    }
}

fn version() -> Request {
    Request::Raw { path: "/version".into() }
}

#[tokio::test]
async fn both_sides_prove_who_they_are() {
    let config = authority().config().await;
    let client = HttpApi::connect(&config, Env::real()).await.unwrap();
    assert_eq!(client.call(version()).await.unwrap(), "{}");
}

#[tokio::test]
async fn a_server_of_another_authority_is_not_spoken_to() {
    let mut config = authority().config().await;
    config.ca_pem = Some(authority().pem.into_bytes());
    let client = HttpApi::connect(&config, Env::real()).await.unwrap();
    let error = client.call(version()).await.unwrap_err();
    assert!(matches!(&error, ApiError::Unreachable(text) if text.contains("certificate")), "{error}");
}

#[tokio::test]
async fn a_kubeconfig_says_where_and_who() {
    let config = authority().config().await;
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, content: &[u8]| std::fs::write(folder.path().join(name), content).unwrap();
    let (certificate, key) = config.client_pem.unwrap();
    write("ca.crt", &config.ca_pem.unwrap());
    write("admin.crt", &certificate);
    write("admin.key", &key);
    let text = format!(
        "apiVersion: v1
kind: Config
clusters: [{{name: c, cluster: {{server: \"{}\", certificate-authority: ca.crt}}}}]
users: [{{name: u, user: {{client-certificate: admin.crt, client-key: admin.key}}}}]
contexts: [{{name: here, context: {{cluster: c, user: u}}}}]
",
        config.server
    );
    write("config", text.as_bytes());
    let path = folder.path().join("config");
    let client = HttpApi::from_kubeconfig(std::slice::from_ref(&path), Some("here"), Env::real()).await.unwrap();
    assert_eq!(client.call(version()).await.unwrap(), "{}");
    assert!(HttpApi::from_kubeconfig(std::slice::from_ref(&path), Some("elsewhere"), Env::real()).await.is_err());
    assert!(HttpApi::from_kubeconfig(&[folder.path().join("none")], None, Env::real()).await.is_err());
}
