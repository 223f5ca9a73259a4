//! Keys and certificates of the cluster, all in one directory of the data directory.
//!
//! Made at the first start, kept afterwards, renewed (at a start or while the server runs) when a
//! third of their life is left, or when the names have changed. Private keys have mode 0600. The CA
//! signs: the API server's serving certificate, the administrator's client certificate, the API
//! server's client certificate for agents, and each node's certificate. Service-account tokens have
//! a key of their own.
//!
//! [`lifetime`] decides when, [`renewal`] waits and tries, [`issue`] makes, [`pair`] writes,
//! [`rotating`] is what TLS uses.

mod files;
mod issue;
mod kept;
mod kubeconfig;
mod lifetime;
mod pair;
mod renewal;
mod request;
mod rotating;
mod server_names;

use std::fmt::Write;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use jiff::{SignedDuration, Timestamp};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use tokio::sync::watch;

use crate::env::{Env, hex};
use crate::http::metrics::head;
pub(crate) use issue::Signed;
use issue::{Authority, Purpose, Subject};
use kept::Kept;
pub use lifetime::Lifetime;
pub use renewal::keep_renewed;
pub(crate) use request::Request;
pub use rotating::RotatingCertificate;

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
    /// What clients reach the server by.
    names: Vec<String>,
    serving: Arc<Kept>,
    admin: Arc<Kept>,
    agent_client: Arc<Kept>,
    /// Of agents in this process.
    nodes: Mutex<Vec<Arc<Kept>>>,
    /// The service-account signing key: private and public PEM.
    accounts: (String, String),
    join_token: String,
    env: Env,
    /// Says when certificates were renewed.
    renewed: watch::Sender<()>,
    renewals: AtomicU64,
    renewals_failed: AtomicU64,
}

impl Pki {
    /// Opens (or makes) the keys and certificates in `directory`. `names` are the DNS names and IP
    /// addresses that the API server is reached under, beyond those that every cluster has; what is
    /// signed is valid for `validity`.
    pub(crate) fn open(
        directory: &Path,
        names: &[String],
        service_ip: &str,
        validity: SignedDuration,
        env: &Env,
    ) -> Result<Pki, PkiError> {
        files::make_directory(directory)?;
        let authority = Authority::open(directory, validity, env.now())?;
        let keep = |file: &str, subject: Subject, chain: &str| {
            Kept::open(&authority, directory, file, subject, chain, env.now()).map(Arc::new)
        };
        let client = |name: &str, groups: &'static [&'static str]| Subject {
            name: name.to_owned(),
            groups,
            names: Vec::new(),
            purpose: Purpose::Client,
        };
        let names = serving_names(names, service_ip);
        let serving =
            Subject { name: "kube-apiserver".to_owned(), groups: &[], names: names.clone(), purpose: Purpose::Server };
        Ok(Pki {
            // The CA goes along: a machine that joins knows it by its fingerprint only.
            serving: keep("apiserver", serving, authority.certificate())?,
            admin: keep("admin", client("kubernetes-admin", &[crate::auth::MASTERS]), "")?,
            // In no group: a thief of it can ask agents, and has no rights at this server.
            agent_client: keep("apiserver-kubelet-client", client(crate::auth::AGENT_CLIENT, &[]), "")?,
            nodes: Mutex::default(),
            accounts: issue::account_key(directory)?,
            join_token: join_token(directory, &authority, env)?,
            directory: directory.to_owned(),
            authority,
            names,
            env: env.clone(),
            renewed: watch::Sender::new(()),
            renewals: AtomicU64::new(0),
            renewals_failed: AtomicU64::new(0),
        })
    }

    /// The CA certificate.
    pub fn ca_pem(&self) -> &str {
        self.authority.certificate()
    }

    /// The token with which machines join: `everynode.<SHA-256 of the CA certificate>.<secret>`.
    /// The agent can check the server's CA by it before it has been given anything.
    pub fn join_token(&self) -> &str {
        &self.join_token
    }

    /// The administrator's client certificate (group `system:masters`).
    pub fn admin(&self) -> Credentials {
        self.admin.credentials()
    }

    /// The private key that signs service-account tokens, as PEM.
    pub(crate) fn account_key(&self) -> &str {
        &self.accounts.0
    }

    /// Tells the service-account key apart from later ones.
    pub(crate) fn account_key_id(&self) -> String {
        sha256_hex(self.accounts.1.as_bytes())[..16].to_owned()
    }

    /// A certificate for an agent in this process, made and renewed like the others.
    pub fn node_certificate(&self, node: &str) -> Result<Arc<RotatingCertificate>, PkiError> {
        let file = node_file(node);
        let kept = Kept::open(&self.authority, &self.directory, &file, node_subject(node), "", self.env.now())?;
        let certificate = kept.certificate.clone();
        self.nodes.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::new(kept));
        Ok(certificate)
    }

    /// Signs a joining machine's certificate request.
    pub(crate) fn sign_node(&self, node: &str, request: Request, now: Timestamp) -> Result<Signed, PkiError> {
        self.authority.sign(request, &node_subject(node), now)
    }

    /// Whether a name is this server's, or that of an agent in this process: no machine joins under
    /// it.
    pub(crate) fn is_the_servers(&self, name: &str) -> bool {
        let nodes = self.nodes.lock().unwrap_or_else(PoisonError::into_inner);
        let file = node_file(name);
        nodes.iter().any(|kept| kept.file == file) || server_names::is_the_servers(name, &self.names)
    }

    /// A kubeconfig for the administrator.
    pub fn kubeconfig(&self, server: &str) -> String {
        kubeconfig::text(server, self.ca_pem(), "kubernetes-admin", &self.admin())
    }

    /// A kubeconfig for other credentials of this cluster.
    pub fn kubeconfig_for(&self, server: &str, user: &str, credentials: &Credentials) -> String {
        kubeconfig::text(server, self.ca_pem(), user, credentials)
    }

    /// Writes a file that only its owner may read, atomically.
    pub fn write_private(path: &Path, text: &str) -> Result<(), PkiError> {
        files::write(path, text, files::PRIVATE)
    }

    /// The TLS side of the server: its chain, its key, and clients' certificates checked against
    /// the CA if they show one.
    pub(crate) fn server_config(&self) -> Result<rustls::ServerConfig, PkiError> {
        let mut config = self.serving.certificate.server_config(self.ca_pem())?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        // Clients that come back resume their sessions, which spares both sides signatures: by
        // tickets, since there may be many of them. Their keys change every six hours and are never
        // written down: after a restart no session is resumed.
        config.ticketer = rustls::crypto::ring::Ticketer::new().map_err(|error| PkiError::Make(error.to_string()))?;
        Ok(config)
    }

    /// The TLS side of connections to agents.
    pub(crate) fn agent_config(&self) -> Result<rustls::ClientConfig, PkiError> {
        let mut config = self.agent_client.certificate.client_config(self.ca_pem())?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(config)
    }

    /// Changes when certificates were renewed: what holds copies (kubeconfigs) is to be written
    /// again.
    pub fn renewed(&self) -> watch::Receiver<()> {
        self.renewed.subscribe()
    }

    /// The life of the certificate that ends first.
    pub(crate) fn lifetime(&self) -> Lifetime {
        let serving = self.serving.certificate.lifetime();
        let lives = self.kept().into_iter().map(|kept| kept.certificate.lifetime());
        lives.min_by_key(|life| life.until).unwrap_or(serving)
    }

    /// Renews every certificate that is due; what cannot be renewed stays as it is.
    pub(crate) fn renew(&self) -> Result<(), PkiError> {
        let now = self.env.now();
        let due = self.kept().into_iter().filter(|kept| kept.certificate.lifetime().is_due(now));
        let result = due.map(|kept| kept.renew(&self.authority, &self.directory, now)).collect::<Vec<_>>();
        let failed = result.iter().filter(|result| result.is_err()).count();
        self.renewals.fetch_add((result.len() - failed) as u64, Ordering::Relaxed);
        self.renewals_failed.fetch_add(failed as u64, Ordering::Relaxed);
        self.renewed.send_replace(());
        result.into_iter().collect()
    }

    fn kept(&self) -> Vec<Arc<Kept>> {
        let nodes = self.nodes.lock().unwrap_or_else(PoisonError::into_inner);
        [&self.serving, &self.admin, &self.agent_client].into_iter().chain(nodes.iter()).cloned().collect()
    }

    /// When certificates end, and how renewing them went, in Prometheus' text form.
    pub(crate) fn metrics(&self) -> String {
        let mut out = String::new();
        let name = "everynode_certificate_expiration_timestamp_seconds";
        head(&mut out, name, "gauge", "When a certificate of this process ends.");
        let kept = self.kept();
        let ends = kept.iter().map(|kept| (kept.file.as_str(), kept.certificate.lifetime().until));
        for (file, end) in self.authority.end().map(|end| ("ca", end)).into_iter().chain(ends) {
            let _ = writeln!(out, "{name}{{name=\"{file}\"}} {}", end.as_second());
        }
        let name = "everynode_certificate_renewals_total";
        head(&mut out, name, "counter", "Certificates renewed while the process runs, and attempts that failed.");
        for (result, count) in [("success", &self.renewals), ("error", &self.renewals_failed)] {
            let _ = writeln!(out, "{name}{{result=\"{result}\"}} {}", count.load(Ordering::Relaxed));
        }
        out
    }
}

fn node_file(node: &str) -> String {
    format!("node-{node}")
}

fn node_subject(node: &str) -> Subject {
    Subject {
        name: format!("{}{node}", crate::auth::NODE_PREFIX),
        groups: &[crate::auth::NODES],
        names: vec![node.to_owned()],
        purpose: Purpose::Both,
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

fn key(credentials: &Credentials) -> Result<PrivateKeyDer<'static>, PkiError> {
    PrivateKeyDer::from_pem_slice(credentials.key.as_bytes()).map_err(|error| PkiError::Make(error.to_string()))
}

/// A certificate with its chain and its key, for TLS; an error if they do not belong together.
fn certified(credentials: &Credentials) -> Result<CertifiedKey, PkiError> {
    let provider = rustls::crypto::ring::default_provider();
    let chain = certificates(&credentials.certificate)?;
    CertifiedKey::from_der(chain, key(credentials)?, &provider).map_err(|error| PkiError::Make(error.to_string()))
}

/// SHA-256 through the TLS library's own digest.
pub(crate) fn sha256_hex(bytes: &[u8]) -> String {
    let suite = rustls::crypto::ring::cipher_suite::TLS13_AES_128_GCM_SHA256.tls13();
    suite.map(|suite| hex(suite.common.hash_provider.hash(bytes).as_ref())).unwrap_or_default()
}
