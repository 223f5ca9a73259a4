//! Liveness, readiness and startup probes (behaviour section H.2).
//!
//! ```text
//! machine  PURE: when a probe is due, what its outcomes mean
//! check    PURE: what a probe does, from the container's spec
//! http     one HTTP GET, with redirects and without certificate checks
//! grpc     one call of the gRPC health service
//! attempt  one attempt of any kind, with its time limit
//! hook     the same HTTP GET for lifecycle hooks
//! ```
//!
//! One task per probe: it asks its machine what to do next, does it, and hands the outcome back.

mod attempt;
mod check;
mod grpc;
pub(crate) mod hook;
mod http;
mod machine;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Container, Probe};
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio::time::Instant;

use crate::cri::Runtime;
use crate::ports::{
    Clock, Event, EventSink, PodRef, ProbeKind, ProbeReport, ProbeReports, ProbeTarget, Probes, Regarding, Severity,
};

use attempt::Attempts;
use machine::{Gate, Machine, Next, Settings};

/// Runs the probes of this node's containers.
pub struct ProbeManager {
    attempts: Arc<Attempts>,
    events: Arc<dyn EventSink>,
    clock: Arc<dyn Clock>,
    /// Containers that ran before this are spread over their period (DS-H16).
    since: Timestamp,
    running: Mutex<BTreeMap<Key, Running>>,
}

/// Pod uid and container name.
type Key = (String, String);

/// The probes of one container.
struct Running {
    container_id: String,
    gate: watch::Sender<Gate>,
    tasks: Vec<AbortHandle>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.tasks.iter().for_each(AbortHandle::abort);
    }
}

impl ProbeManager {
    pub fn new(runtime: Arc<dyn Runtime>, events: Arc<dyn EventSink>, clock: Arc<dyn Clock>) -> Self {
        let attempts = Arc::new(Attempts::new(runtime));
        let since = clock.now();
        ProbeManager { attempts, events, clock, since, running: Mutex::default() }
    }

    fn running(&self) -> MutexGuard<'_, BTreeMap<Key, Running>> {
        self.running.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn run(&self, target: &Arc<ProbeTarget>, reports: &ProbeReports) -> Running {
        let terminating = target.pod.metadata.deletion_timestamp.is_some();
        let started = target.container.startup_probe.is_none();
        let gate = watch::channel(Gate { started, terminating }).0;
        let tasks = probes_of(&target.container).into_iter().map(|(kind, probe)| {
            let worker = Worker {
                machine: Machine::new(Settings::of(kind, probe), self.first_delay(target, kind, probe)),
                probe: probe.clone(),
                target: target.clone(),
                reports: reports.clone(),
                attempts: self.attempts.clone(),
                events: self.events.clone(),
                gate: gate.clone(),
            };
            tokio::spawn(worker.run()).abort_handle()
        });
        Running { container_id: target.container_id.clone(), tasks: tasks.collect(), gate }
    }

    /// What is left of the initial delay; for a container that is older than this agent, a part
    /// of its period that differs from container to container.
    fn first_delay(&self, target: &ProbeTarget, kind: ProbeKind, probe: &Probe) -> Duration {
        let age = Duration::try_from(self.clock.now().duration_since(target.started_at)).unwrap_or_default();
        let initial = seconds(probe.initial_delay_seconds, 0).saturating_sub(age);
        if target.started_at >= self.since {
            return initial;
        }
        let mut hasher = DefaultHasher::new();
        (&target.container_id, kind).hash(&mut hasher);
        let period =
            u64::try_from(seconds(probe.period_seconds, machine::DEFAULT_PERIOD).as_millis()).unwrap_or(u64::MAX);
        initial + Duration::from_millis(hasher.finish() % period.max(1))
    }
}

impl Probes for ProbeManager {
    fn start(&self, target: ProbeTarget, reports: ProbeReports) {
        let key = (PodRef::of(&target.pod).uid, target.container.name.clone());
        let mut running = self.running();
        if running.get(&key).is_some_and(|known| known.container_id == target.container_id) {
            return;
        }
        let started = self.run(&Arc::new(target), &reports);
        running.insert(key, started);
    }

    fn stop(&self, pod_uid: &str, container: &str) {
        self.running().remove(&(pod_uid.to_owned(), container.to_owned()));
    }

    fn terminating(&self, pod_uid: &str) {
        for ((uid, _), running) in self.running().iter() {
            if uid == pod_uid {
                running.gate.send_modify(|gate| gate.terminating = true);
            }
        }
    }

    fn forget(&self, pod_uid: &str) {
        self.running().retain(|(uid, _), _| uid != pod_uid);
    }
}

fn probes_of(container: &Container) -> Vec<(ProbeKind, &Probe)> {
    let probes = [
        (ProbeKind::Startup, &container.startup_probe),
        (ProbeKind::Liveness, &container.liveness_probe),
        (ProbeKind::Readiness, &container.readiness_probe),
    ];
    probes.into_iter().filter_map(|(kind, probe)| Some((kind, probe.as_ref()?))).collect()
}

fn seconds(value: Option<i32>, default: u32) -> Duration {
    let value = value.map_or(default, |value| u32::try_from(value).unwrap_or(default));
    Duration::from_secs(value.into())
}

/// One probe of one container.
struct Worker {
    machine: Machine,
    probe: Probe,
    target: Arc<ProbeTarget>,
    reports: ProbeReports,
    attempts: Arc<Attempts>,
    events: Arc<dyn EventSink>,
    gate: watch::Sender<Gate>,
}

impl Worker {
    async fn run(mut self) {
        let beginning = Instant::now();
        let mut gate = self.gate.subscribe();
        loop {
            let now = *gate.borrow_and_update();
            match self.machine.next(beginning.elapsed(), now) {
                Next::Probe => self.probe(beginning).await,
                // The channel cannot close: this task holds a sender.
                Next::At(due) => tokio::select! {
                    () = tokio::time::sleep_until(beginning + due) => {}
                    _ = gate.changed() => {}
                },
                Next::Parked => drop(gate.changed().await),
                Next::Over => return,
            }
        }
    }

    async fn probe(&mut self, beginning: Instant) {
        let began = beginning.elapsed();
        let outcome = self.attempts.probe(&self.probe, &self.target).await;
        // Termination may have begun meanwhile: then this outcome is about the end, not about
        // health.
        let gate = *self.gate.borrow();
        let observed = self.machine.observe(began, &outcome, gate);
        if let Some((reason, message)) = observed.event {
            self.tell(reason, message);
        }
        if let Some(passed) = observed.report {
            let kind = self.machine.kind();
            (self.reports)(ProbeReport {
                container: self.target.container.name.clone(),
                container_id: self.target.container_id.clone(),
                probe: kind,
                passed,
            });
            if kind == ProbeKind::Startup && passed {
                self.gate.send_modify(|gate| gate.started = true);
            }
        }
    }

    fn tell(&self, reason: &'static str, message: String) {
        let target = &self.target;
        self.events.emit(Event {
            regarding: Regarding::Container {
                pod: PodRef::of(&target.pod),
                name: target.container.name.clone(),
                init: target.init,
            },
            severity: Severity::Warning,
            reason,
            message,
        });
    }
}
