//! The agent in this process: its runtime, its server, its forwarder, and what it says at start.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use everynode_agent::agent::{Agent, Parts, Setup};
use everynode_agent::cri::{CriRuntime, Runtime};
use everynode_agent::env::Objects;
use everynode_agent::forward::Forwarder;
use everynode_agent::host::LinuxHost;
use everynode_agent::node::Readiness;
use everynode_agent::node::machine::Machine;
use everynode_agent::ports::{Clock, EventSink, SystemClock};
use everynode_agent::probes::ProbeManager;
use everynode_agent::server::ServerTls;
use everynode_agent::volumes::{self, PodVolumes};
use everynode_api::ports::Api;
use everynode_apiserver::RotatingCertificate;
use everynode_runtime::{Shutdown, Trigger};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::containerd::{Containerd, Network};
use crate::node::NodeSetup;
use crate::output;

/// The common name that an API server shows to agents.
const API_SERVER_NAME: &str = "kube-apiserver-kubelet-client";
/// How long a given runtime may take to answer the first time.
const RUNTIME_PATIENCE: Duration = Duration::from_secs(10);

/// The identity of the agent at the API server, and how it reaches it.
pub(crate) struct Identity {
    pub(crate) api: Arc<dyn Api>,
    pub(crate) ca_pem: String,
    /// Renewed by whoever made it.
    pub(crate) certificate: Arc<RotatingCertificate>,
    /// Where the forwarder sends pods' requests.
    pub(crate) servers: Vec<SocketAddr>,
}

/// A running agent.
pub(crate) struct NodeAgent {
    stop: Trigger,
    tasks: JoinSet<()>,
    beside: JoinSet<()>,
}

impl NodeAgent {
    /// Starts the agent; the node becomes Ready some time later, and says so.
    pub(crate) async fn start(setup: NodeSetup, identity: Arc<Identity>) -> anyhow::Result<NodeAgent> {
        let NodeSetup { config, endpoint, private, admission, .. } = setup;
        output::notice(format_args!("  node        {} (runtime {endpoint})", config.node_name));
        let config = Arc::new(config);
        prepare(&config.dirs.root)?;
        let runtime: Arc<dyn Runtime> = Arc::new(connect(&endpoint).await?);
        let service = config.kubernetes_service;
        let (root, max_pods) = (config.dirs.root.clone(), config.max_pods);
        let parts = |events: Arc<dyn EventSink>| {
            let objects = Objects::new(identity.api.clone());
            let allocatable = Machine::measure(&root, max_pods).capacity();
            let clock: Arc<dyn Clock> = Arc::new(SystemClock);
            Parts {
                volumes: Arc::new(PodVolumes::new(config.clone(), objects, allocatable, events.clone(), clock.clone())),
                probes: Arc::new(ProbeManager::new(runtime.clone(), events, clock.clone())),
            }
        };
        let setup = Setup {
            config: config.clone(),
            api: identity.api.clone(),
            runtime: runtime.clone(),
            host: Arc::new(LinuxHost::new(config.clone())),
            admission: Arc::new(admission),
            tls: Some(server_tls(&identity)?),
        };
        let agent = Agent::new(setup, parts).await.with_context(|| {
            format!("the agent cannot listen on {}: choose another --agent-listen", config.server_address)
        })?;
        let mut beside = JoinSet::new();
        beside.spawn(announce(config.node_name.clone(), agent.readiness()));
        if let Some(service) = service {
            beside.spawn(Forwarder::new(service, identity.servers.clone()).run());
        }
        let (stop, stopped) = Shutdown::new();
        if let Some((containerd, network)) = private {
            beside.spawn(keep_running(containerd, network, stopped.clone()));
        }
        let mut tasks = JoinSet::new();
        tasks.spawn(agent.run(stopped));
        Ok(NodeAgent { stop, tasks, beside })
    }

    /// Stops the agent; pods and the private runtime run on.
    pub(crate) async fn stop(mut self) {
        self.stop.fire();
        while self.tasks.join_next().await.is_some() {}
        self.beside.shutdown().await;
    }
}

async fn keep_running(containerd: Containerd, network: Network, stopped: Shutdown) {
    containerd.supervise(network, stopped.wait()).await;
}

/// The directories that node services expect, and mounts that can propagate.
fn prepare(kubelet_dir: &Path) -> anyhow::Result<()> {
    volumes::prepare_directories(kubelet_dir)
        .with_context(|| format!("cannot prepare {}; the agent needs root", kubelet_dir.display()))?;
    if let Err(error) = volumes::make_root_shared(kubelet_dir) {
        tracing::warn!("mounts cannot propagate between pods and the host: {error}");
    }
    Ok(())
}

async fn connect(endpoint: &str) -> anyhow::Result<CriRuntime> {
    let runtime = CriRuntime::new(endpoint).with_context(|| format!("--cri-endpoint `{endpoint}`"))?;
    let deadline = tokio::time::Instant::now() + RUNTIME_PATIENCE;
    loop {
        match runtime.version().await {
            Ok(_) => return Ok(runtime),
            Err(error) if tokio::time::Instant::now() > deadline => {
                return Err(error).with_context(|| {
                    format!("no container runtime answers on {endpoint}; without --cri-endpoint everynode runs its own")
                });
            }
            Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
        }
    }
}

/// The agent's server: its own certificate, callers checked against the cluster's authority.
fn server_tls(identity: &Identity) -> anyhow::Result<ServerTls> {
    let config = identity.certificate.server_config(&identity.ca_pem).context("the cluster's certificate authority")?;
    Ok(ServerTls { config: Arc::new(config), allowed_client: API_SERVER_NAME.to_owned() })
}

/// Says how the node gets ready, line by line, when it changes.
async fn announce(name: String, mut readiness: watch::Receiver<Readiness>) {
    let mut last = Readiness::default();
    loop {
        let now = readiness.borrow_and_update().clone();
        match (now.ready, last.ready) {
            (true, false) => output::notice(format_args!("  node {name} is Ready")),
            (false, true) => output::notice(format_args!("  node {name} is not Ready: {}", now.message)),
            (false, false) if !now.message.is_empty() && now.message != last.message => {
                output::notice(format_args!("  node {name} is not Ready yet: {}", now.message));
            }
            _ => {}
        }
        last = now;
        if readiness.changed().await.is_err() {
            return;
        }
    }
}
