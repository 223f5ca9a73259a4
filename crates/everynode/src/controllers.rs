//! The controllers of our own server: all of them on one cache.

use std::sync::Arc;
use std::time::Duration;

use everynode_api::kinds::{self, Kind};
use everynode_api::ports::Api;
use everynode_api::reconcile::Reconciler;
use everynode_controllers::accounts::Accounts;
use everynode_controllers::cluster_roles::ClusterRoles;
use everynode_controllers::disruption::Disruption;
use everynode_controllers::garbage::Garbage;
use everynode_controllers::namespaces::Namespaces;
use everynode_controllers::node_lifecycle::NodeLifecycle;
use everynode_controllers::pod_gc::PodGc;
use everynode_controllers::protection::Protection;
use everynode_controllers::quotas::Quotas;
use everynode_controllers::scheduler::Scheduler;
use everynode_controllers::taint_eviction::TaintEviction;
use everynode_controllers::zones::Zones;
use everynode_daemonset::DaemonSetController;
use everynode_runtime::{Env, Manager, Options};
use jiff::SignedDuration;

use crate::args::ApiArgs;

/// Workers of controllers whose keys are nodes or pods.
const WORKERS: usize = 4;

/// A manager with every controller, ready to run.
pub(crate) fn manager(api: Arc<dyn Api>, args: &ApiArgs, ca_pem: &str) -> Manager {
    let mut manager = Manager::new(api, Env::real());
    manager.discover(is_collected);
    manager.add(daemon_sets(args.strict), options(WORKERS, "daemonset-controller"));
    let lifecycle = NodeLifecycle { monitor_grace: signed(args.node_monitor_grace), ..NodeLifecycle::default() };
    add(&mut manager, lifecycle, WORKERS);
    add(&mut manager, Zones::default(), 1);
    add(&mut manager, TaintEviction, WORKERS);
    add(&mut manager, Disruption, 1);
    add(&mut manager, PodGc { quarantine: signed(args.gone_node_quarantine), ..PodGc::default() }, 1);
    add(&mut manager, Accounts { ca_pem: ca_pem.into() }, 1);
    add(&mut manager, ClusterRoles, 1);
    add(&mut manager, Quotas, 1);
    add(&mut manager, Protection, 1);
    add(&mut manager, Namespaces, 1);
    add(&mut manager, Garbage, WORKERS);
    add(&mut manager, Scheduler, 1);
    manager
}

/// The DaemonSet controller as our own server runs it: pods are bound at creation where they fit.
fn daemon_sets(strict: bool) -> DaemonSetController {
    DaemonSetController::new(everynode_daemonset::Options {
        strict,
        bind: everynode_daemonset::Bind::WhereFits,
        ..everynode_daemonset::Options::default()
    })
}

fn add<R: Reconciler>(manager: &mut Manager, reconciler: R, workers: usize) {
    let name = reconciler.name();
    manager.add(reconciler, options(workers, name));
}

fn options(workers: usize, component: &str) -> Options {
    Options { workers, event_component: Some(component.to_owned()), ..Options::default() }
}

/// Events end by themselves within the hour; keeping all of them in the cache would cost more than
/// collecting them early is worth.
fn is_collected(kind: &Kind) -> bool {
    *kind != kinds::EVENT && *kind != kinds::EVENTS_EVENT
}

fn signed(duration: Duration) -> SignedDuration {
    SignedDuration::try_from(duration).unwrap_or(SignedDuration::MAX)
}
