//! The API server as a value: registry, hub, policy and keys, without any socket.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use everynode_api::ports::Api;
use everynode_api::status::Status;
use everynode_store::{Store, StoreError, Transaction, Write};
use jiff::SignedDuration;

use crate::auth::User;
use crate::auth::authorize::{self, Attributes};
use crate::auth::rbac::Rbac;
use crate::auth::token::Issuer;
use crate::catalogue::Catalogue;
use crate::custom::lifecycle;
use crate::env::{Env, Environment, SystemEnvironment};
use crate::http::Limits;
use crate::http::metrics::Metrics;
use crate::hub::Hub;
use crate::operation::budget::ListBudget;
use crate::pki::{Pki, PkiError, keep_renewed};
use crate::registry::quota::Locks;
use crate::registry::rooms::Rooms;
use crate::registry::{Registry, Settings};
use crate::{bootstrap, inproc, keys};

/// How a server is set up.
pub struct Config {
    /// Keys and certificates live in `DATA/pki`.
    pub data_dir: PathBuf,
    /// Names and addresses that clients use, beyond those that every cluster has.
    pub server_names: Vec<String>,
    /// Where pods reach this server: published as the endpoints of the `kubernetes` service.
    pub advertised: Option<SocketAddr>,
    /// The first three bytes of the /24 that services get their addresses from.
    pub service_network: [u8; 3],
    /// How long certificates are valid that this server issues, to itself and to nodes that join.
    pub certificate_validity: SignedDuration,
    /// Whether a second live pod of a DaemonSet, node and revision is refused. It always is, except
    /// where another Kubernetes server is simulated, none of which does so.
    pub exclusive_places: bool,
    /// How much of the server clients may take.
    pub limits: Limits,
    /// Time and randomness.
    pub environment: Arc<dyn Environment>,
}

impl Config {
    /// A server with its data in `data_dir` and Kubernetes' usual service network.
    pub fn new(data_dir: PathBuf) -> Config {
        Config {
            data_dir,
            server_names: Vec::new(),
            advertised: None,
            service_network: [10, 96, 0],
            certificate_validity: SignedDuration::from_hours(24 * 365),
            exclusive_places: true,
            limits: Limits::default(),
            environment: Arc::new(SystemEnvironment),
        }
    }
}

/// Why a server could not be started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error(transparent)]
    Pki(#[from] PkiError),
    #[error("cannot read the store: {0}")]
    Store(#[from] StoreError),
    #[error("cannot prepare the cluster: {0}")]
    Bootstrap(#[source] Box<Status>),
}

/// A running API server.
pub struct ApiServer {
    pub(crate) registry: Arc<Registry>,
    pub(crate) pki: Pki,
    /// The address that the cluster knows the server by.
    pub(crate) advertised: Option<SocketAddr>,
    pub(crate) metrics: Metrics,
    /// How many objects are listed at once.
    pub(crate) lists: ListBudget,
    /// Metrics of other parts of this process, in the Prometheus text format.
    pub(crate) further_metrics: OnceLock<Box<dyn Fn() -> String + Send + Sync>>,
    ready: AtomicBool,
}

impl ApiServer {
    /// Opens keys and hub, makes what every cluster has, and is ready. Needs a tokio runtime: the
    /// hub's feeder runs until the store is shut down.
    pub async fn new(store: Arc<dyn Store>, config: Config) -> Result<Arc<ApiServer>, StartError> {
        let env = Env::new(config.environment);
        let [a, b, c] = config.service_network;
        let (directory, service_ip) = (config.data_dir.join("pki"), format!("{a}.{b}.{c}.1"));
        let pki = Pki::open(&directory, &config.server_names, &service_ip, config.certificate_validity, &env)?;
        let tokens = Issuer::new(ISSUER, pki.account_key(), &pki.account_key_id())
            .map_err(|error| PkiError::Make(error.to_string()))?;
        let mut definitions = lifecycle::Definitions::default();
        let known = lifecycle::Known::default().of(&definitions.current(&*store)?);
        let (hub, feeder) = Hub::open(&store, &known.stored())?;
        tokio::spawn(feeder.run());
        let settings = Settings {
            service_network: config.service_network,
            ca_pem: pki.ca_pem().into(),
            exclusive_places: config.exclusive_places,
        };
        // A first commit: everything before it is then known to have reached the hub, whatever
        // numbers a crash left out.
        let mark = Write::Put { key: keys::STARTED.into(), value: env.now_text().into(), expires_in: None };
        store.commit(Transaction { writes: vec![mark], ..Transaction::default() }).await?;
        let rooms = Rooms::load(&*store)?;
        let tokens = Arc::new(tokens);
        let catalogue = Catalogue::new(known.rows());
        let (rbac, quota_locks) = (Rbac::default(), Locks::default());
        let registry = Arc::new(Registry { catalogue, store, hub, env, settings, tokens, rbac, rooms, quota_locks });
        bootstrap::run(&registry, config.advertised).await.map_err(|status| StartError::Bootstrap(Box::new(status)))?;
        tokio::spawn(lifecycle::run(registry.clone(), definitions, known));
        let server = ApiServer {
            registry,
            pki,
            advertised: config.advertised,
            metrics: Metrics::new(config.limits),
            lists: ListBudget::default(),
            further_metrics: OnceLock::new(),
            ready: AtomicBool::new(true),
        };
        Ok(Arc::new(server))
    }

    /// The API with an identity, for parts of this process.
    pub fn client(self: &Arc<Self>, user: User) -> Arc<dyn Api> {
        Arc::new(inproc::InProcess { server: self.clone(), user, dry_run: false })
    }

    /// The same, but answers say what would be, and nothing is kept.
    pub fn dry_run_client(self: &Arc<Self>, user: User) -> Arc<dyn Api> {
        Arc::new(inproc::InProcess { server: self.clone(), user, dry_run: true })
    }

    /// Appends what `render` prints (Prometheus text format) to `/metrics`; the first call counts.
    pub fn add_metrics(&self, render: impl Fn() -> String + Send + Sync + 'static) {
        let _ = self.further_metrics.set(Box::new(render));
    }

    /// Whether requests are served.
    pub fn ready(&self) -> bool {
        self.ready.load(Ordering::Acquire)
    }

    /// From now on `/readyz` fails, so that clients go elsewhere before the server stops.
    pub(crate) fn stop_being_ready(&self) {
        self.ready.store(false, Ordering::Release);
    }

    /// Renews this process's certificates in time, for ever.
    pub(crate) async fn keep_certificates(self: Arc<Self>) {
        let renew = || {
            let server = self.clone();
            // Keys are made and files are written, and synced.
            let renewed = tokio::task::spawn_blocking(move || server.pki.renew());
            async move { renewed.await.map_err(|error| PkiError::Make(error.to_string()))? }
        };
        let environment = self.registry.env.environment();
        keep_renewed(environment, "the server's certificates", || self.pki.lifetime(), renew).await;
    }

    /// Keys, certificates, kubeconfigs and the join token.
    pub fn pki(&self) -> &Pki {
        &self.pki
    }

    pub(crate) fn authorize(&self, user: &User, attributes: &Attributes) -> Result<(), Status> {
        authorize::check(&self.registry, user, attributes)
    }

    /// A GET by path of what is no stored object.
    pub(crate) fn raw(&self, user: &User, path: &str) -> Result<Bytes, Status> {
        let attributes = Attributes { verb: "get".into(), path: path.into(), ..Attributes::default() };
        self.authorize(user, &attributes)?;
        crate::http::document(&self.registry.catalogue.rows(), path, "application/json")
            .map(|answer| answer.body)
            .ok_or_else(Status::no_such_path)
    }
}

/// The issuer of service-account tokens; also their default audience, as in Kubernetes.
pub(crate) const ISSUER: &str = "https://kubernetes.default.svc.cluster.local";
