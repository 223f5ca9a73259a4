//! `everynode controller`: only the DaemonSet controller, as a client of any Kubernetes cluster.

use std::sync::Arc;

use anyhow::{Context, bail};
use everynode_api::ports::Api;
use everynode_controllers::rival::{RivalNote, Rivals};
use everynode_daemonset::{Bind, CLASS_ANNOTATION, DaemonSetController, Options};
use everynode_runtime::lease::{Election, End, LeaseCandidate, Timing};
use everynode_runtime::{Env, Handle, Manager, Shutdown};

use crate::args::ControllerArgs;
use crate::client;
use crate::signals::Signals;

/// The lease lies where the original's lies.
const LEASE_NAMESPACE: &str = "kube-system";
const LEASE: &str = "everynode-controller";
const WORKERS: usize = 4;
/// So much of the machine's name is in our identity.
const HOST_CHARS_MAX: usize = 64;
const RIVAL_ADVICE: &str = "two controllers would undo each other's work. Switch the cluster's own one off \
    (kube-controller-manager --controllers=*,-daemonset-controller)";

pub(crate) async fn run(args: ControllerArgs) -> anyhow::Result<()> {
    let mut signals = Signals::new()?;
    let api = client::connect(&args.client).await?;
    let election = match args.no_leader_election {
        true => None,
        false => Some(candidate(api.clone(), args.class.as_deref())?),
    };
    // What a leader writes counts only while it leads.
    let api = election.as_ref().map_or(api, Election::leaders_api);
    let (manager, rivals) = manager(api, &args);
    let (stop, stopped) = Shutdown::new();
    let work = async {
        let Some(election) = &election else {
            manager.run(stopped.clone()).await;
            // It only ends by itself when a part of it has failed.
            return if stopped.is_fired() { End::Released } else { End::Lost };
        };
        let lead = |stop| {
            tracing::info!("leading: everynode keeps the DaemonSets of this cluster");
            manager.run(stop)
        };
        election.lead(&stopped, lead).await
    };
    tokio::pin!(work);
    let end = tokio::select! {
        end = &mut work => end,
        () = signals.asked() => {
            stop.fire();
            work.await
        }
        seen = rivals.first_note() => {
            tracing::error!("{seen}; stopping");
            stop.fire();
            work.await;
            bail!("{seen}: {RIVAL_ADVICE}");
        }
    };
    match end {
        End::Released => Ok(()),
        End::Lost if args.no_leader_election => bail!("a part of the controller ended by itself; see the log"),
        End::Lost => bail!("the leader lease is lost; another process leads now"),
    }
}

fn candidate(api: Arc<dyn Api>, class: Option<&str>) -> anyhow::Result<Election> {
    let env = Env::real();
    let lease = LeaseCandidate { namespace: LEASE_NAMESPACE.into(), name: lease_name(class), identity: identity(&env) };
    Election::new(api, env, lease, Timing::default()).context("--class cannot be part of a lease's name")
}

/// The controller, and the task that tells when another one works on its sets.
fn manager(api: Arc<dyn Api>, args: &ControllerArgs) -> (Manager, Arc<Handle<RivalNote>>) {
    let mut manager = Manager::new(api, Env::real());
    let options = Options { strict: args.strict, bind: Bind::Off, class: args.class.clone(), ..Options::default() };
    let driver = everynode_runtime::Options {
        workers: WORKERS,
        event_component: Some("daemonset-controller".into()),
        ..everynode_runtime::Options::default()
    };
    let rivals = Rivals { class_annotation: CLASS_ANNOTATION, class: args.class.clone() };
    manager.add(DaemonSetController::new(options), driver);
    let rivals =
        manager.add(rivals, everynode_runtime::Options { workers: 1, ..everynode_runtime::Options::default() });
    (manager, rivals)
}

/// Controllers of different classes lead side by side.
fn lease_name(class: Option<&str>) -> String {
    class.map_or(LEASE.to_owned(), |class| format!("{LEASE}-{class}"))
}

/// Our identity among those that want to lead: the machine, and a number that no other process has.
/// The process's own would not do: in containers it is 1.
fn identity(env: &Env) -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.');
    let host: String = host.trim().chars().filter(|c| is_plain(*c)).take(HOST_CHARS_MAX).collect();
    format!("{host}_{:016x}", env.random())
}
