//! The controllers: everything of `everynode/src/controllers.rs`, in a process that may end at any
//! request.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use everynode_api::kinds::{self, Kind};
use everynode_api::ports::Api;
use everynode_api::reconcile::Reconciler;
use everynode_controllers::accounts::Accounts;
use everynode_controllers::disruption::Disruption;
use everynode_controllers::garbage::Garbage;
use everynode_controllers::namespaces::Namespaces;
use everynode_controllers::node_lifecycle::NodeLifecycle;
use everynode_controllers::pod_gc::PodGc;
use everynode_controllers::quotas::Quotas;
use everynode_controllers::scheduler::Scheduler;
use everynode_controllers::taint_eviction::TaintEviction;
use everynode_controllers::zones::Zones;
use everynode_daemonset::{Bind, DaemonSetController, Options as DaemonSetOptions};
use everynode_runtime::{Env, Manager, Metrics, Options, Shutdown};

use crate::ledger::Ledger;
use crate::scenario::Scenario;
use crate::wire::{Client, Wire};

/// Workers of controllers whose keys are nodes or pods.
const WORKERS: usize = 4;

/// How often informers list although nothing is amiss, give or take a half: what a lost watch event
/// costs at most. Shorter than in the product, so that a run need not last as long.
pub(crate) const LIST_EVERY: Duration = Duration::from_secs(60);

/// One controller process.
pub(crate) struct ControllerProcess {
    pub(crate) wire: Arc<Wire>,
    pub(crate) env: Env,
    options: DaemonSetOptions,
    ledger: Arc<Ledger>,
    name: &'static str,
    down_ms: Mutex<u64>,
}

impl ControllerProcess {
    pub(crate) fn new(
        name: &'static str,
        wire: Arc<Wire>,
        env: Env,
        scenario: &Scenario,
        ledger: Arc<Ledger>,
    ) -> Arc<ControllerProcess> {
        let bind = if scenario.binds { Bind::WhereFits } else { Bind::Off };
        let options = match scenario.strict {
            true => DaemonSetOptions { bind, ..DaemonSetOptions::strict() },
            false => DaemonSetOptions { bind, ..DaemonSetOptions::default() },
        };
        Arc::new(ControllerProcess { wire, env, options, ledger, name, down_ms: Mutex::new(1) })
    }

    /// The process ends after so many more requests.
    pub(crate) fn crash_in(&self, calls: u64, carried_out: bool, down_ms: u64) {
        *self.down_ms.lock().unwrap_or_else(PoisonError::into_inner) = down_ms;
        self.wire.crash_in(calls, carried_out);
    }

    /// The process ends now.
    pub(crate) fn kill(&self, down_ms: u64) {
        *self.down_ms.lock().unwrap_or_else(PoisonError::into_inner) = down_ms;
        self.wire.crash.notify_one();
    }

    /// Runs, ends and starts again, without any memory; for ever.
    pub(crate) async fn run(self: Arc<Self>) {
        loop {
            let (_keep, shutdown) = Shutdown::new();
            let manager = self.manager();
            let metrics = manager.metrics();
            tokio::select! {
                biased;
                () = self.wire.crash.notified() => self.ledger.tell(format!("{} controllers crash", self.name)),
                () = manager.run(shutdown) => self.ledger.fail(format!("{} controllers ended by themselves", self.name)),
                () = self.inspect(&metrics) => {}
            }
            let down_ms = *self.down_ms.lock().unwrap_or_else(PoisonError::into_inner);
            tokio::time::sleep(Duration::from_millis(down_ms)).await;
        }
    }

    /// Ends when something is wrong with a plan.
    async fn inspect(&self, metrics: &Metrics) {
        loop {
            tokio::time::sleep(Duration::from_millis(500)).await;
            let counters = metrics.counters();
            let wrong = [
                ("audit found fault", &counters.audit_violations_total),
                ("plan panicked", &counters.panics_total),
                ("object could not be decoded", &counters.decode_errors_total),
            ];
            for (what, counter) in wrong {
                if counter.load(Ordering::Relaxed) > 0 {
                    return self.ledger.fail(format!("{} controllers: {what}", self.name));
                }
            }
        }
    }

    fn manager(&self) -> Manager {
        let api = Arc::new(Client(self.wire.clone()));
        manager(api, self.env.clone(), self.options.clone(), NodeLifecycle::default(), LIST_EVERY)
    }
}

/// Every controller that a simulated cluster has, ready to run.
pub(crate) fn manager(
    api: Arc<dyn Api>,
    env: Env,
    daemon_sets: DaemonSetOptions,
    node_lifecycle: NodeLifecycle,
    list_every: Duration,
) -> Manager {
    let mut manager = Manager::new(api, env);
    manager.set_list_every(Some(list_every));
    add(&mut manager, DaemonSetController::new(daemon_sets), WORKERS);
    add(&mut manager, node_lifecycle, WORKERS);
    add(&mut manager, Zones::default(), 1);
    add(&mut manager, TaintEviction, WORKERS);
    add(&mut manager, Disruption, 1);
    add(&mut manager, PodGc::default(), 1);
    add(&mut manager, Accounts { ca_pem: "simulated".into() }, 1);
    manager.discover(is_collected);
    add(&mut manager, Quotas, 1);
    add(&mut manager, Namespaces, 1);
    add(&mut manager, Garbage, WORKERS);
    add(&mut manager, Scheduler, 1);
    manager
}

fn add<R: Reconciler>(manager: &mut Manager, reconciler: R, workers: usize) {
    manager.add(reconciler, Options { workers, audit: true, ..Options::default() });
}

/// The kinds that a simulated cluster has objects of; each costs a watch.
fn is_collected(kind: &Kind) -> bool {
    let collected = [
        kinds::NAMESPACE,
        kinds::NODE,
        kinds::POD,
        kinds::SERVICE_ACCOUNT,
        kinds::CONFIG_MAP,
        kinds::DAEMON_SET,
        kinds::CONTROLLER_REVISION,
        kinds::POD_DISRUPTION_BUDGET,
        kinds::LEASE,
    ];
    collected.contains(kind)
}
