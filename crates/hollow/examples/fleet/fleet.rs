//! The simulated nodes of the benchmark, running beside it.

use std::sync::Arc;
use std::time::Duration;

use anyhow::bail;
use everynode_hollow::{ApiFactory, Group, Mode, Options, Orders, Progress, Report, Step, StepEvent};
use everynode_runtime::{Env, Shutdown, shutdown::Trigger};
use serde_json::Value;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use crate::cluster::Cluster;
use crate::identities::{Heartbeats, NodeApis};
use crate::outside::Outside;
use crate::process::Process;
use crate::writes::{TimedApis, Writes};
use crate::{Args, Scenario};

pub(crate) struct Fleet {
    nodes: usize,
    /// The number of the first that joins later.
    first_joining: usize,
    trigger: Trigger,
    orders: mpsc::Sender<Step>,
    progress: watch::Receiver<Progress>,
    task: JoinHandle<Result<Report, everynode_hollow::RunError>>,
    /// Where all nodes but those that join later are.
    outside: Option<Outside>,
    /// Of nodes that speak as nodes.
    heartbeats: Heartbeats,
}

impl Fleet {
    /// Answers when every node is registered, and has its watch.
    pub(crate) async fn start(args: &Args, cluster: &Cluster, writes: &Writes) -> anyhow::Result<Fleet> {
        let outside = match &args.hollow {
            Some(binary) => Some(Outside::start(args, binary, cluster).await?),
            None => None,
        };
        // Those that join have watches of their own, lest a shared one follows all pods of the
        // others.
        let hostile = args.scenario == Scenario::Hostile;
        let own_watches = args.watch_per_node || outside.is_some() || hostile;
        let mode = if own_watches { Mode::WatchPerNode } else { Mode::SharedWatch };
        let nodes_here = if outside.is_some() { 0 } else { args.nodes };
        let joining = Group { name: "joining".into(), node_name: "joining-{}".into(), ..Group::default() };
        let leases = args.scenario == Scenario::Idle || hostile;
        let mut options = Options { mode, leases, clean_up: args.clean_up, ..Options::fast(nodes_here) };
        options.groups.push(joining);
        let heartbeats = Heartbeats::default();
        let apis: ApiFactory = match &args.kubeconfig {
            Some(path) if hostile => Arc::new(NodeApis::new(path, heartbeats.clone())?),
            path => Arc::new(TimedApis::new(path.clone(), writes.clone())),
        };
        let (trigger, shutdown) = Shutdown::new();
        let (orders, receiver) = Orders::channel();
        let (told, progress) = watch::channel(Progress::default());
        let task =
            tokio::spawn(everynode_hollow::run_with(options, apis, shutdown, Env::real(), receiver, move |progress| {
                told.send_replace(progress.clone());
            }));
        let mut fleet = Fleet {
            nodes: args.nodes,
            first_joining: nodes_here,
            trigger,
            orders,
            progress,
            task,
            outside,
            heartbeats,
        };
        let up = nodes_here as u64;
        let watches = if mode == Mode::WatchPerNode { up } else { 1 };
        fleet.wait(args.patience, |now| now.nodes_up >= up && now.watches >= watches).await?;
        eprintln!("{} nodes are registered", args.nodes);
        Ok(fleet)
    }

    pub(crate) fn nodes(&self) -> usize {
        self.nodes
    }

    /// Those of nodes that speak as nodes.
    pub(crate) fn heartbeats(&self) -> &Heartbeats {
        &self.heartbeats
    }

    pub(crate) fn first_joining(&self) -> usize {
        self.first_joining
    }

    /// The nodes' own process, if they have one.
    pub(crate) fn process(&self) -> Option<&Process> {
        self.outside.as_ref().map(Outside::process)
    }

    pub(crate) fn progress(&self) -> Progress {
        self.progress.borrow().clone()
    }

    pub(crate) async fn wait(&mut self, patience: u64, done: impl Fn(&Progress) -> bool) -> anyhow::Result<()> {
        let waited = tokio::time::timeout(Duration::from_secs(patience), self.progress.wait_for(done)).await;
        match waited.map(|waited| waited.is_ok()) {
            Ok(true) => Ok(()),
            _ => bail!("the nodes are not as they should be: {}", *self.progress.borrow()),
        }
    }

    pub(crate) async fn join_one(&self) -> anyhow::Result<()> {
        let (at, over) = (Duration::ZERO, Duration::ZERO);
        let step = Step { at, over, count: 1, group: Some("joining".into()), event: StepEvent::Join };
        Ok(self.orders.send(step).await?)
    }

    /// Nodes that joined during a round go again.
    pub(crate) async fn leave(&self, count: usize) -> anyhow::Result<()> {
        let (at, over) = (Duration::ZERO, Duration::ZERO);
        let step = Step { at, over, count, group: Some("joining".into()), event: StepEvent::Leave };
        Ok(self.orders.send(step).await?)
    }

    /// Ends the nodes; answers their report.
    pub(crate) async fn stop(self) -> anyhow::Result<Value> {
        self.trigger.fire();
        let report = serde_json::to_value(self.task.await??)?;
        match self.outside {
            Some(outside) => outside.stop().await,
            None => Ok(report),
        }
    }
}
