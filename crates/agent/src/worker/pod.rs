//! The task of one pod.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use tokio::sync::{mpsc, watch};
use tokio::task::{AbortHandle, Id, JoinError, JoinSet};
use tokio::time::Instant;

use super::Context;
use super::execute::execute;
use super::relist::Resync;
use super::status::StatusWriter;
use crate::ports::{PodRef, ProbeReport, ProbeReports};
use crate::sync::{Action, Memory, Observed, Outcome, Plan, Seen, Slot, apply, plan};

/// Probe results that wait: a few per container.
const PROBE_REPORTS_MAX: usize = 256;

/// What the dispatcher tells a worker.
#[derive(Clone, Debug)]
pub(super) struct DesiredPod {
    pub pod: Arc<Pod>,
    /// The object does not exist any more.
    pub gone: bool,
    /// Why it must end although it was not deleted.
    pub evicted: Option<String>,
}

/// An observation of the pod.
#[derive(Clone, Debug)]
pub(super) struct PodObservation {
    pub begun: Instant,
    pub observed: Arc<Observed>,
}

/// What others may know about a pod: for the agent's server.
#[derive(Clone, Debug, Default)]
pub struct PodSnapshot {
    pub pod: Arc<Pod>,
    pub observed: Observed,
}

/// One pod's task: it ends when nothing of the pod is left.
pub(super) struct PodWorker {
    context: Arc<Context>,
    seen: Seen,
    memory: Memory,
    told: watch::Receiver<DesiredPod>,
    looks: watch::Receiver<PodObservation>,
    facts: watch::Receiver<Arc<crate::sync::NodeFacts>>,
    snapshot: watch::Sender<PodSnapshot>,
    reports: mpsc::Receiver<ProbeReport>,
    report: ProbeReports,
    resync: Resync,
    tasks: JoinSet<(u64, Outcome)>,
    /// What occupies each slot, and the number of the task.
    running: BTreeMap<Slot, (u64, AbortHandle)>,
    slots: BTreeMap<Id, Slot>,
    sequence: u64,
    last_outcome: Instant,
    status: StatusWriter,
}

/// What a worker is started with.
pub(super) struct Start {
    pub context: Arc<Context>,
    pub told: watch::Receiver<DesiredPod>,
    pub looks: watch::Receiver<PodObservation>,
    pub snapshot: watch::Sender<PodSnapshot>,
    pub memory: Memory,
    pub resync: Resync,
}

impl PodWorker {
    pub fn new(start: Start) -> Self {
        let Start { context, mut told, mut looks, snapshot, memory, resync } = start;
        let mut facts = context.facts.clone();
        let (sender, reports) = mpsc::channel(PROBE_REPORTS_MAX);
        let report: ProbeReports = Arc::new(move |report| {
            if sender.try_send(report).is_err() {
                tracing::warn!("a probe report was lost: the pod's worker is gone or overwhelmed");
            }
        });
        let seen = Seen {
            pod: told.borrow_and_update().pod.clone(),
            node: facts.borrow_and_update().clone(),
            observed: Observed::clone(&looks.borrow_and_update().observed),
        };
        let status = StatusWriter::new(context.clone());
        PodWorker {
            context,
            seen,
            memory,
            told,
            looks,
            facts,
            snapshot,
            reports,
            report,
            resync,
            tasks: JoinSet::new(),
            running: BTreeMap::new(),
            slots: BTreeMap::new(),
            sequence: 0,
            last_outcome: Instant::now(),
            status,
        }
    }

    /// Runs until nothing of the pod is left.
    pub async fn run(mut self) {
        if self.told.borrow().gone {
            self.memory.set_gone();
        }
        while let Some(wake_at) = self.step() {
            self.wait(wake_at).await;
        }
        self.context.probes.forget(self.uid());
    }

    fn uid(&self) -> &str {
        self.seen.pod.metadata.uid.as_deref().unwrap_or_default()
    }

    /// Plans and begins what is planned. Answers when to plan again; `None`: the pod is done with.
    fn step(&mut self) -> Option<Option<Timestamp>> {
        let now = self.context.clock.now();
        let Plan { actions, status, wake_at, done, memory } = plan(&self.seen, &self.memory, now);
        self.memory = memory;
        actions.into_iter().for_each(|action| self.begin(action));
        if !self.memory.is_gone() {
            self.status.offer(&self.seen.pod, status, now);
        }
        self.snapshot.send_replace(PodSnapshot { pod: self.seen.pod.clone(), observed: self.seen.observed.clone() });
        // What is gone has no status.
        let retry_at = self.status.retry_at().filter(|_| !self.memory.is_gone());
        let wake_at = [wake_at, retry_at].into_iter().flatten().min();
        (!done).then_some(wake_at)
    }

    /// Begins one action: at once where that is all, else in a task of its own.
    fn begin(&mut self, action: Action) {
        match action {
            Action::Emit(event) => self.context.events.emit(event),
            Action::Abort(slot) => self.abort(&slot),
            Action::Probe { container, id } => self.probe(&container, &id),
            Action::StopProbes { container } => self.context.probes.stop(self.uid(), &container),
            Action::Terminating => self.context.probes.terminating(self.uid()),
            action => self.spawn(action),
        }
    }

    fn abort(&mut self, slot: &Slot) {
        if let Some((_, task)) = self.running.remove(slot) {
            task.abort();
        }
    }

    fn spawn(&mut self, action: Action) {
        let Some(slot) = action.slot() else { return };
        self.abort(&slot);
        self.sequence += 1;
        let sequence = self.sequence;
        let (context, seen) = (self.context.clone(), self.seen.clone());
        let task = self.tasks.spawn(async move { (sequence, execute(&context, &seen, action).await) });
        self.slots.insert(task.id(), slot.clone());
        self.running.insert(slot, (sequence, task));
    }

    fn probe(&self, container: &str, id: &str) {
        let Some((spec, init)) = crate::sync::container_named(self.seen.spec(), container) else { return };
        let started_at = self.seen.observed.container(id).and_then(|found| found.started_at);
        let target = crate::ports::ProbeTarget {
            pod: self.seen.pod.clone(),
            container: spec.clone(),
            init,
            container_id: id.to_owned(),
            started_at: started_at.unwrap_or_else(|| self.context.clock.now()),
            ip: self.seen.pod_ips().first().copied(),
        };
        self.context.probes.start(target, self.report.clone());
    }

    /// Waits for something to happen and takes it in.
    async fn wait(&mut self, wake_at: Option<Timestamp>) {
        let sleep = super::sleep_until(wake_at, self.context.clock.now());
        tokio::select! {
            Some(joined) = self.tasks.join_next_with_id(), if !self.tasks.is_empty() => self.joined(joined),
            Some(report) = self.reports.recv() => self.memory.probed(&report),
            result = self.status.written() => self.written(result),
            Ok(()) = self.told.changed() => self.heard(),
            Ok(()) = self.looks.changed() => self.looked(),
            Ok(()) = self.facts.changed() => self.seen.node = self.facts.borrow_and_update().clone(),
            () = sleep => {}
        }
        self.take_what_is_ready();
    }

    /// The rest of a burst, so that it is planned once.
    fn take_what_is_ready(&mut self) {
        while let Some(joined) = self.tasks.try_join_next_with_id() {
            self.joined(joined);
        }
        while let Ok(report) = self.reports.try_recv() {
            self.memory.probed(&report);
        }
    }

    fn joined(&mut self, joined: Result<(Id, (u64, Outcome)), JoinError>) {
        let id = joined.as_ref().map_or_else(JoinError::id, |(id, _)| *id);
        let Some(slot) = self.slots.remove(&id) else { return };
        let (sequence, outcome) = match joined {
            Ok((_, finished)) => finished,
            Err(error) if error.is_cancelled() => return,
            Err(error) => {
                tracing::error!(?slot, %error, "an action failed unexpectedly");
                self.running.remove(&slot);
                self.memory.release(&slot, "internal error", self.context.clock.now());
                return;
            }
        };
        // An outcome of a task that was replaced in the meantime is not news.
        if self.running.get(&slot).is_none_or(|(current, _)| *current != sequence) {
            return;
        }
        self.running.remove(&slot);
        self.last_outcome = Instant::now();
        apply(outcome, &mut self.seen.observed, &mut self.memory, self.context.clock.now());
        // Nothing that keeps a pod from starting or ending is silent.
        if let Some(error) = self.memory.keeps_failing(&slot) {
            tracing::warn!(pod = %PodRef::of(&self.seen.pod), ?slot, error, "this fails again and again");
        }
    }

    fn heard(&mut self) {
        let told = self.told.borrow_and_update().clone();
        if told.gone {
            self.memory.set_gone();
            return;
        }
        if let Some(message) = told.evicted {
            self.memory.evict(message);
        }
        self.seen.pod = self.status.merge(told.pod);
        self.context.volumes.pod_changed(&self.seen.pod);
    }

    fn looked(&mut self) {
        let look = self.looks.borrow_and_update().clone();
        if look.begun <= self.last_outcome {
            let uid = self.uid().to_owned();
            self.resync.lock().unwrap_or_else(std::sync::PoisonError::into_inner).insert(uid);
            return;
        }
        self.seen.observed = Observed::clone(&look.observed);
    }

    fn written(&mut self, result: Option<Arc<Pod>>) {
        if let Some(pod) = result {
            let phase = pod.status.as_ref().and_then(|status| status.phase.clone());
            self.memory.status_written(phase.as_deref().unwrap_or_default());
            self.seen.pod = pod;
        }
    }
}
