//! Keys and certificates of the cluster, all in one directory of the data directory.
//!
//! Made at the first start, kept afterwards, renewed at a start when they are near their end or
//! the names have changed. Private keys have mode 0600. The CA signs: the API server's serving
//! certificate, the administrator's client certificate, the API server's client certificate for
//! agents, and each node's certificate. Service-account tokens have a key of their own.

mod files;
mod issue;
mod kubeconfig;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::env::{Env, hex};
pub(crate) use issue::Signed;
use issue::{Authority, Purpose, Subject};

/// Certificates that end sooner than this are renewed at start.
const RENEW_BEFORE: SignedDuration = SignedDuration::from_hours(24 * 30);

/// Why the keys and certificates are not usable; names the file and what to do.
#[derive(Debug, thiserror::Error)]
pub enum PkiError {
    #[error("cannot {what} {path}: {source}", path = .path.display())]
    File { what: &'static str, path: PathBuf, source: io::Error },
    #[error("{path} cannot be used: {reason}; move it away to have it made anew", path = .path.display())]
    Unusable { path: PathBuf, reason: String },
    #[error("cannot make a certificate: {0}")]
    Make(String),
}

/// A certificate and its private key, PEM.
#[derive(Clone, Debug)]
pub struct Credentials {
    pub certificate: String,
    pub key: String,
}

/// The cluster's keys and certificates.
pub struct Pki {
    directory: PathBuf,
    authority: Authority,
    serving: Credentials,
    admin: Credentials,
    agent_client: Credentials,
    /// The service-account signing key: private and public PEM.
    accounts: (String, String),
    join_token: String,
    now: Timestamp,
}

impl Pki {
    /// Opens (or makes) the keys and certificates in `directory`. `names` are the DNS names and IP addresses that
    /// the API server is reached under, beyond those that every cluster has.
    pub(crate) fn open(directory: &Path, names: &[String], service_ip: &str, env: &Env) -> Result<Pki, PkiError> {
        files::make_directory(directory)?;
        let now = env.now();
        let authority = Authority::open(directory, now)?;
        let serving = Subject {
            name: "kube-apiserver",
            groups: &[],
            names: &serving_names(names, service_ip),
            purpose: Purpose::Server,
        };
        let admin =
            Subject { name: "kubernetes-admin", groups: &["system:masters"], names: &[], purpose: Purpose::Client };
        let agent = Subject {
            name: "kube-apiserver-kubelet-client",
            groups: &["system:masters"],
            names: &[],
            purpose: Purpose::Client,
        };
        Ok(Pki {
            serving: authority.credentials(directory, "apiserver", &serving, now)?,
            admin: authority.credentials(directory, "admin", &admin, now)?,
            agent_client: authority.credentials(directory, "apiserver-kubelet-client", &agent, now)?,
            accounts: issue::account_key(directory)?,
            join_token: join_token(directory, &authority, env)?,
            directory: directory.to_owned(),
            authority,
            now,
        })
    }

    /// The CA certificate.
    pub fn ca_pem(&self) -> &str {
        self.authority.certificate()
    }

    /// The token with which machines join: `everynode.<SHA-256 of the CA certificate>.<secret>`. The agent can
    /// check the server's CA by it before it has been given anything.
    pub fn join_token(&self) -> &str {
        &self.join_token
    }

    /// The administrator's client certificate (group `system:masters`).
    pub fn admin(&self) -> &Credentials {
        &self.admin
    }

    pub(crate) fn account_key(&self) -> (&str, &str) {
        (&self.accounts.0, &self.accounts.1)
    }

    /// Tells the service-account key apart from later ones.
    pub(crate) fn account_key_id(&self) -> String {
        sha256_hex(self.accounts.1.as_bytes())[..16].to_owned()
    }

    /// A certificate for an agent in this process, made and renewed like the others.
    pub fn node_credentials(&self, node: &str) -> Result<Credentials, PkiError> {
        let name = format!("{}{node}", crate::auth::NODE_PREFIX);
        let subject =
            Subject { name: &name, groups: &[crate::auth::NODES], names: &[node.to_owned()], purpose: Purpose::Both };
        self.authority.credentials(&self.directory, &format!("node-{node}"), &subject, self.now)
    }

    /// Signs a joining machine's certificate request. Only its public key is taken from it.
    pub(crate) fn sign_node(&self, node: &str, request: &str, now: Timestamp) -> Result<Signed, PkiError> {
        let name = format!("{}{node}", crate::auth::NODE_PREFIX);
        let subject =
            Subject { name: &name, groups: &[crate::auth::NODES], names: &[node.to_owned()], purpose: Purpose::Both };
        self.authority.sign(request, &subject, now)
    }

    /// A kubeconfig for the administrator.
    pub fn kubeconfig(&self, server: &str) -> String {
        kubeconfig::text(server, self.ca_pem(), "kubernetes-admin", &self.admin)
    }

    /// A kubeconfig for other credentials of this cluster.
    pub fn kubeconfig_for(&self, server: &str, user: &str, credentials: &Credentials) -> String {
        kubeconfig::text(server, self.ca_pem(), user, credentials)
    }

    /// Writes a file that only its owner may read, atomically.
    pub fn write_private(path: &Path, text: &str) -> Result<(), PkiError> {
        files::write(path, text, files::PRIVATE)
    }

    /// The TLS side of the server: its chain, its key, and clients' certificates checked against the CA if they
    /// show one.
    pub(crate) fn server_config(&self) -> Result<rustls::ServerConfig, PkiError> {
        let failed = |error: &dyn std::fmt::Display| PkiError::Make(error.to_string());
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let roots = Arc::new(self.roots()?);
        let verifier = rustls::server::WebPkiClientVerifier::builder_with_provider(roots, provider.clone())
            .allow_unauthenticated()
            .build()
            .map_err(|error| failed(&error))?;
        let mut chain = chain(&self.serving)?;
        chain.extend(certificates(self.ca_pem())?);
        let mut config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| failed(&error))?
            .with_client_cert_verifier(verifier)
            .with_single_cert(chain, key(&self.serving)?)
            .map_err(|error| failed(&error))?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(config)
    }

    /// The TLS side of connections to agents.
    pub(crate) fn agent_config(&self) -> Result<rustls::ClientConfig, PkiError> {
        let failed = |error: &dyn std::fmt::Display| PkiError::Make(error.to_string());
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| failed(&error))?;
        let mut config = builder
            .with_root_certificates(self.roots()?)
            .with_client_auth_cert(chain(&self.agent_client)?, key(&self.agent_client)?)
            .map_err(|error| failed(&error))?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(config)
    }

    fn roots(&self) -> Result<rustls::RootCertStore, PkiError> {
        let mut roots = rustls::RootCertStore::empty();
        for certificate in certificates(self.ca_pem())? {
            roots.add(certificate).map_err(|error| PkiError::Make(error.to_string()))?;
        }
        Ok(roots)
    }
}

/// Every name under which clients may reach the server.
fn serving_names(given: &[String], service_ip: &str) -> Vec<String> {
    let own = [
        "localhost",
        "kubernetes",
        "kubernetes.default",
        "kubernetes.default.svc",
        "kubernetes.default.svc.cluster.local",
        "127.0.0.1",
        "::1",
        service_ip,
    ];
    let mut names: Vec<String> = own.iter().map(|name| (*name).to_owned()).chain(given.iter().cloned()).collect();
    names.sort();
    names.dedup();
    names
}

fn join_token(directory: &Path, authority: &Authority, env: &Env) -> Result<String, PkiError> {
    let fingerprint = authority.fingerprint()?;
    let path = directory.join("join.token");
    let held = files::read(&path)?.map(|text| text.trim().to_owned());
    if let Some(token) = held.filter(|token| token.starts_with(&format!("everynode.{fingerprint}."))) {
        return Ok(token);
    }
    let token = format!("everynode.{fingerprint}.{}", hex(&env.bytes::<16>()));
    files::write(&path, &format!("{token}\n"), files::PRIVATE)?;
    Ok(token)
}

fn certificates(pem: &str) -> Result<Vec<CertificateDer<'static>>, PkiError> {
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
    all.map_err(|error| PkiError::Make(error.to_string()))
}

fn chain(credentials: &Credentials) -> Result<Vec<CertificateDer<'static>>, PkiError> {
    certificates(&credentials.certificate)
}

fn key(credentials: &Credentials) -> Result<PrivateKeyDer<'static>, PkiError> {
    PrivateKeyDer::from_pem_slice(credentials.key.as_bytes()).map_err(|error| PkiError::Make(error.to_string()))
}

/// SHA-256 through the TLS library's own digest.
fn sha256_hex(bytes: &[u8]) -> String {
    let suite = rustls::crypto::ring::cipher_suite::TLS13_AES_128_GCM_SHA256.tls13();
    suite.map(|suite| hex(suite.common.hash_provider.hash(bytes).as_ref())).unwrap_or_default()
}
