//! The whole agent: every part, wired to an API server and a container runtime.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use everynode_api::ports::Api;
use everynode_runtime::metrics::Counters;
use everynode_runtime::{Env, Events, Shutdown};
use tokio::sync::{Notify, Semaphore, mpsc, watch};
use tokio::task::JoinSet;

use crate::config::AgentConfig;
use crate::cri::Runtime;
use crate::env::{Objects, Resolver};
use crate::events::RecorderSink;
use crate::host::Host;
use crate::logs::Rotation;
use crate::network;
use crate::node::machine::Machine;
use crate::node::{NodeObject, NodeReporter, Readiness};
use crate::pods::PodSource;
use crate::ports::{Admission, Clock, EventSink, Probes, SystemClock, Volumes};
use crate::server::{Server, ServerTls};
use crate::storage::Storage;
use crate::sync::NodeFacts;
use crate::worker::{Context, Dispatcher, Inspector};
use crate::writer::ApiWriter;

/// Updates that wait for the dispatcher: it takes them in microseconds.
const UPDATES_MAX: usize = 64;
/// How often the runtime is asked whether its network works.
const FACTS_INTERVAL: Duration = Duration::from_secs(5);

/// What an agent is made from.
pub struct Setup {
    pub config: Arc<AgentConfig>,
    pub api: Arc<dyn Api>,
    pub runtime: Arc<dyn Runtime>,
    pub host: Arc<dyn Host>,
    pub admission: Arc<dyn Admission>,
    /// `None`: the agent has no server of its own (simulated nodes).
    pub tls: Option<ServerTls>,
}

/// What [`Setup`]'s owner must bring because it needs the agent's events.
pub struct Parts {
    pub volumes: Arc<dyn Volumes>,
    pub probes: Arc<dyn Probes>,
}

/// An agent that is ready to run.
pub struct Agent {
    context: Arc<Context>,
    api: Arc<dyn Api>,
    dispatcher: Dispatcher,
    inspector: Inspector,
    node: NodeReporter,
    server: Option<Server>,
    server_address: Option<SocketAddr>,
    event_writer: everynode_runtime::events::EventWriter,
    facts: watch::Sender<Arc<NodeFacts>>,
}

impl Agent {
    /// Binds the agent's server and puts everything together. `parts` makes the modules that need
    /// the agent's event sink.
    ///
    /// # Errors
    /// The server's address cannot be had.
    pub async fn new(setup: Setup, parts: impl FnOnce(Arc<dyn EventSink>) -> Parts) -> std::io::Result<Agent> {
        let Setup { config, api, runtime, host, admission, tls } = setup;
        let (events, event_writer) = Events::new(api.clone(), Env::real(), Arc::new(Counters::default()));
        let recorder = events.recorder("kubelet", &config.node_name);
        let sink: Arc<dyn EventSink> = Arc::new(RecorderSink::new(recorder, config.node_name.clone()));
        let Parts { volumes, probes } = parts(sink.clone());
        let machine = Machine::measure(&config.dirs.root, config.max_pods);
        let objects = Objects::new(api.clone());
        let resolver = Arc::new(Resolver::new(objects, config.clone(), machine.capacity(), sink.clone()));
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let object = NodeObject::new(api.clone(), &config, &machine);
        let first = NodeFacts { ips: config.node_ips.clone(), ..NodeFacts::default() };
        let (facts_sender, facts) = watch::channel(Arc::new(first));
        let context = Arc::new(Context {
            config: config.clone(),
            runtime: runtime.clone(),
            host,
            volumes,
            environment: resolver.clone(),
            secrets: resolver,
            probes,
            events: sink,
            writer: Arc::new(ApiWriter::new(api.clone())),
            admission,
            node: object.clone(),
            clock: clock.clone(),
            pulls: Semaphore::new(config.parallel_pulls),
            facts,
        });
        let dispatcher = Dispatcher::new(context.clone());
        let inspector = dispatcher.inspector();
        let server = match tls {
            Some(tls) => Some(Server::bind(config.server_address, tls, context.clone(), inspector.clone()).await?),
            None => None,
        };
        let server_address = server.as_ref().map(Server::address).transpose()?;
        let port = server_address.map_or(0, |address| address.port());
        let node = NodeReporter::new(config, api.clone(), runtime, clock, machine, object, port);
        Ok(Agent {
            context,
            api,
            dispatcher,
            inspector,
            node,
            server,
            server_address,
            event_writer,
            facts: facts_sender,
        })
    }

    /// Where the agent's own server really listens.
    pub fn server_address(&self) -> Option<SocketAddr> {
        self.server_address
    }

    /// What this agent takes care of.
    pub fn inspector(&self) -> Inspector {
        self.inspector.clone()
    }

    /// Follows what the node says of itself.
    pub fn readiness(&self) -> watch::Receiver<Readiness> {
        self.node.readiness()
    }

    /// Runs until shutdown. Containers run on.
    pub async fn run(self, shutdown: Shutdown) {
        let Agent { context, api, dispatcher, inspector, node, server, event_writer, facts, .. } = self;
        let (updates, receiver) = mpsc::channel(UPDATES_MAX);
        let (stop, stopped) = watch::channel(false);
        let mut beside = JoinSet::new();
        let source = PodSource::new(api, &context.config.node_name, updates.clone());
        beside.spawn(source.run());
        beside.spawn(watch_runtime(context.clone(), facts));
        let storage = Storage { context: context.clone(), inspector: inspector.clone(), updates };
        beside.spawn(storage.run());
        let rotation = Rotation {
            limits: context.config.logs,
            runtime: context.runtime.clone(),
            inspector,
            clock: context.clock.clone(),
        };
        beside.spawn(rotation.run());
        beside.spawn(async move { node.run(stopped).await });
        if let Some(server) = server {
            beside.spawn(server.run());
        }
        let writer = tokio::spawn(event_writer.run(shutdown.clone()));
        let dispatcher = tokio::spawn(dispatcher.run(receiver, Arc::new(Notify::new())));
        shutdown.wait().await;
        stop.send_replace(true);
        // Ends the source of updates, which ends the dispatcher and its workers.
        beside.shutdown().await;
        for task in [dispatcher, writer] {
            if let Err(error) = task.await {
                tracing::error!(%error, "a part of the agent failed");
            }
        }
    }
}

/// Keeps the node's side of every decision: the runtime's name, and whether its network works.
async fn watch_runtime(context: Arc<Context>, facts: watch::Sender<Arc<NodeFacts>>) {
    loop {
        let known = facts.borrow().clone();
        let fresh = ask_runtime(&context, &known).await;
        facts.send_if_modified(|last| {
            let changed = **last != fresh;
            *last = Arc::new(fresh);
            changed
        });
        let network_works = facts.borrow().network_error.is_none();
        if !network_works && let Some(directory) = context.config.cni_conf_dir.clone() {
            let looked = tokio::task::spawn_blocking(move || network::make_runtime_look(&directory)).await;
            if let Ok(Err(error)) = looked {
                tracing::debug!(%error, "cannot make the runtime look at its network configurations");
            }
        }
        tokio::time::sleep(if network_works { FACTS_INTERVAL } else { Duration::from_secs(1) }).await;
    }
}

/// While the runtime does not answer, what was known stands.
async fn ask_runtime(context: &Context, known: &NodeFacts) -> NodeFacts {
    let mut facts = known.clone();
    if let Ok(version) = context.runtime.version().await {
        facts.runtime = version.name;
    }
    if let Ok(readiness) = context.runtime.status().await {
        let message = readiness.network.as_ref().map(|condition| condition.message.clone()).unwrap_or_default();
        facts.network_error = (!readiness.network_ready()).then_some(message);
    }
    facts
}
