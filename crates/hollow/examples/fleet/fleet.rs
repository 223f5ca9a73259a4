//! The simulated nodes of the benchmark, running beside it.

use std::sync::Arc;
use std::time::Duration;

use anyhow::bail;
use everynode_hollow::{Group, KubeconfigApis, Mode, Options, Orders, Progress, Report, Step, StepEvent};
use everynode_runtime::{Env, Shutdown, shutdown::Trigger};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use crate::Args;

pub(crate) struct Fleet {
    nodes: usize,
    trigger: Trigger,
    orders: mpsc::Sender<Step>,
    progress: watch::Receiver<Progress>,
    task: JoinHandle<Result<Report, everynode_hollow::RunError>>,
}

impl Fleet {
    /// Answers when every node is registered.
    pub(crate) async fn start(args: &Args, mode: Mode) -> anyhow::Result<Fleet> {
        let joining = Group { name: "joining".into(), node_name: "joining-{}".into(), ..Group::default() };
        let mut options = Options { mode, leases: args.idle > 0, clean_up: args.clean_up, ..Options::fast(args.nodes) };
        options.groups.push(joining);
        let apis = Arc::new(KubeconfigApis::new(args.kubeconfig.clone(), None));
        let (trigger, shutdown) = Shutdown::new();
        let (orders, receiver) = Orders::channel();
        let (told, progress) = watch::channel(Progress::default());
        let task =
            tokio::spawn(everynode_hollow::run_with(options, apis, shutdown, Env::real(), receiver, move |progress| {
                told.send_replace(progress.clone());
            }));
        let mut fleet = Fleet { nodes: args.nodes, trigger, orders, progress, task };
        let nodes = args.nodes as u64;
        fleet.wait(args.patience, |progress| progress.nodes_up >= nodes).await?;
        eprintln!("{} nodes are registered", args.nodes);
        Ok(fleet)
    }

    pub(crate) fn nodes(&self) -> usize {
        self.nodes
    }

    async fn wait(&mut self, patience: u64, done: impl Fn(&Progress) -> bool) -> anyhow::Result<()> {
        let waited = tokio::time::timeout(Duration::from_secs(patience), self.progress.wait_for(done)).await;
        match waited.map(|waited| waited.is_ok()) {
            Ok(true) => Ok(()),
            _ => bail!("the nodes did not come up: {}", *self.progress.borrow()),
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

    pub(crate) async fn stop(self) -> anyhow::Result<Report> {
        self.trigger.fire();
        Ok(self.task.await??)
    }
}
