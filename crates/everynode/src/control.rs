//! The control plane in this process: store, API server, controllers.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use anyhow::Context;
use everynode_apiserver::{ApiServer, Config, Listener, ServeOptions, User};
use everynode_runtime::{Shutdown, Trigger};
use everynode_store::{EmbeddedOptions, EmbeddedStore, Store, StoreError};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

use crate::args::ApiArgs;
use crate::controllers;
use crate::data::DataDir;
use crate::exit::{Exit, coded};
use crate::files::write_secret;

/// A running control plane.
pub(crate) struct ControlPlane {
    pub(crate) server: Arc<ApiServer>,
    /// Where the API listens.
    pub(crate) address: SocketAddr,
    /// Where pods of this machine find it, and the service's own address.
    pub(crate) service: SocketAddr,
    store: Arc<dyn Store>,
    stop_controllers: Trigger,
    controllers: JoinHandle<()>,
    stop_serving: Trigger,
    serving: JoinHandle<Result<(), everynode_apiserver::ServeError>>,
    /// Ends with this value.
    _beside: JoinSet<()>,
}

impl ControlPlane {
    /// Starts store, API server and controllers; the API answers when this returns.
    pub(crate) async fn start(args: &ApiArgs, data: &DataDir) -> anyhow::Result<ControlPlane> {
        let listener = Listener::bind(args.listen)
            .with_context(|| format!("cannot listen on {}: choose another --listen", args.listen))?;
        let address = listener.address();
        let store = open_store(data)?;
        let mut config = Config::new(data.root().to_owned());
        config.service_network = args.service_network;
        config.server_names = server_names(args, address);
        config.advertised = Some(reachable(address));
        config.certificate_validity =
            args.certificate_validity_period.try_into().unwrap_or(config.certificate_validity);
        let server = ApiServer::new(store.clone(), config)
            .await
            .map_err(|error| coded(Exit::Data, format!("cannot start the API server: {error}")))?;
        let renewed = server.pki().renewed();
        write_kubeconfigs(args, data, &server, address)?;
        let mut beside = JoinSet::new();
        beside.spawn(rewrite_kubeconfigs(args.clone(), data.clone(), server.clone(), address, renewed));
        let (stop_serving, serving_stopped) = Shutdown::new();
        let serving = tokio::spawn(serve(server.clone(), listener, serving_stopped));
        let (stop_controllers, controllers_stopped) = Shutdown::new();
        let client = server.client(User::new("system:kube-controller-manager", &["system:masters"]));
        let manager = controllers::manager(client, args, server.pki().ca_pem());
        let metrics = manager.metrics();
        server.add_metrics(move || metrics.render());
        let controllers = tokio::spawn(manager.run(controllers_stopped));
        let [a, b, c] = args.service_network;
        let service = SocketAddr::from(([a, b, c, 1], 443));
        Ok(ControlPlane {
            server,
            address,
            service,
            store,
            stop_controllers,
            controllers,
            stop_serving,
            serving,
            _beside: beside,
        })
    }

    /// Ends when a part that should never end has ended.
    pub(crate) async fn failed(&mut self) -> anyhow::Error {
        tokio::select! {
            ended = &mut self.controllers => anyhow::anyhow!("the controllers ended: {ended:?}"),
            ended = &mut self.serving => anyhow::anyhow!("the API server ended: {ended:?}"),
        }
    }

    /// Controllers first, then the API, then the store: nothing acknowledged is lost.
    pub(crate) async fn stop(self) {
        self.stop_controllers.fire();
        if !self.controllers.is_finished() {
            let _ = self.controllers.await;
        }
        self.stop_serving.fire();
        if !self.serving.is_finished() {
            let _ = self.serving.await;
        }
        if let Err(error) = self.store.shutdown().await {
            tracing::error!("the store did not close cleanly: {error}");
        }
    }

    /// `https://127.0.0.1:6443`, as clients on this machine reach it.
    pub(crate) fn url(&self) -> String {
        format!("https://{}", local(self.address))
    }

    /// The same for other machines.
    pub(crate) fn join_url(&self) -> String {
        format!("https://{}", reachable(self.address))
    }
}

async fn serve(
    server: Arc<ApiServer>,
    listener: Listener,
    shutdown: Shutdown,
) -> Result<(), everynode_apiserver::ServeError> {
    server.serve(listener, ServeOptions::default(), async move { shutdown.wait().await }).await
}

fn open_store(data: &DataDir) -> anyhow::Result<Arc<dyn Store>> {
    let opened = EmbeddedStore::open(&data.store(), EmbeddedOptions::default());
    match opened {
        Ok(store) => Ok(Arc::new(store)),
        Err(error @ (StoreError::InUse(_) | StoreError::Corrupt(_) | StoreError::Full(_) | StoreError::Disk(_))) => {
            Err(coded(Exit::Data, error.to_string()))
        }
        Err(error) => Err(error.into()),
    }
}

fn write_kubeconfigs(args: &ApiArgs, data: &DataDir, server: &ApiServer, address: SocketAddr) -> anyhow::Result<()> {
    let text = server.pki().kubeconfig(&format!("https://{}", local(address)));
    write_secret(&data.admin_kubeconfig(), text.as_bytes())?;
    match &args.kubeconfig {
        Some(path) => write_secret(path, text.as_bytes()),
        None => Ok(()),
    }
}

/// The administrator's certificate is renewed while the server runs; the files hold copies of it.
async fn rewrite_kubeconfigs(
    args: ApiArgs,
    data: DataDir,
    server: Arc<ApiServer>,
    address: SocketAddr,
    mut renewed: watch::Receiver<()>,
) {
    while renewed.changed().await.is_ok() {
        if let Err(error) = write_kubeconfigs(&args, &data, &server, address) {
            tracing::warn!("the administrator's certificate was renewed: {error:#}; its copy ends before long");
        }
    }
}

/// Where the kubeconfig is that the user is told of.
pub(crate) fn kubeconfig_path(args: &ApiArgs, data: &DataDir) -> std::path::PathBuf {
    args.kubeconfig.clone().unwrap_or_else(|| data.admin_kubeconfig())
}

/// The address that clients on this machine use: a wildcard is reached through the loopback.
fn local(address: SocketAddr) -> SocketAddr {
    match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => SocketAddr::new([127, 0, 0, 1].into(), address.port()),
        IpAddr::V6(ip) if ip.is_unspecified() => SocketAddr::new(std::net::Ipv6Addr::LOCALHOST.into(), address.port()),
        _ => address,
    }
}

/// The address that other machines use: a wildcard stands for the one that leads out.
fn reachable(address: SocketAddr) -> SocketAddr {
    match address.ip().is_unspecified() {
        true => SocketAddr::new(crate::node::address_towards(None), address.port()),
        false => address,
    }
}

fn server_names(args: &ApiArgs, address: SocketAddr) -> Vec<String> {
    let own = [local(address).ip().to_string(), reachable(address).ip().to_string()];
    args.tls_san.iter().cloned().chain(own).collect()
}
