//! A pod that must end: kill in order, release the network, tear down, tell, remove.

use jiff::SignedDuration;
use k8s_openapi::api::core::v1::Container;

use super::action::{Action, Slot};
use super::memory::{Stopping, Work};
use super::planner::Planner;
use super::seen::is_alive;
use super::spec::{self, RestartPolicy};
use super::status::DEADLINE_EXCEEDED;
use crate::cri::{self, ContainerState};
use crate::ports::Severity;

/// What is left of a grace period is at least this (DS-H24, DS-H26).
const GRACE_SECONDS_MIN: i64 = 2;
/// What an evicted pod has, as in Kubernetes.
const EVICTED_GRACE_SECONDS: i64 = 1;
/// A pod that is still there so long after its deletion was answered is deleted again.
const DELETE_AGAIN: SignedDuration = SignedDuration::from_secs(10);

/// Why a pod must end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// Deleted, with this many seconds.
    Deleted { grace_seconds: i64 },
    /// The object is gone.
    Gone,
    /// Rejected, past its deadline, or all its containers have ended for good.
    Finished,
}

impl Planner<'_> {
    /// Whether, and why, the pod must end.
    pub(super) fn ending(&mut self) -> Option<Ending> {
        let metadata = &self.seen.pod.metadata;
        if self.memory.gone {
            return Some(Ending::Gone);
        }
        if metadata.deletion_timestamp.is_some() {
            let grace_seconds = metadata.deletion_grace_period_seconds.unwrap_or_else(|| self.seen.grace_seconds());
            return Some(Ending::Deleted { grace_seconds });
        }
        self.note_deadline();
        if self.memory.rejection.is_some() {
            self.memory.start_time.get_or_insert(self.now);
        }
        let refused = self.memory.rejection.is_some() || self.memory.deadline_exceeded || self.memory.evicted.is_some();
        (refused || self.was_terminal() || self.has_finished()).then_some(Ending::Finished)
    }

    /// A terminal phase is for ever.
    fn was_terminal(&self) -> bool {
        let phase = self.seen.pod.status.as_ref().and_then(|status| status.phase.as_deref());
        matches!(phase, Some("Failed" | "Succeeded"))
    }

    fn note_deadline(&mut self) {
        let (Some(seconds), Some(start)) = (self.seen.spec().active_deadline_seconds, self.memory.start_time) else {
            return;
        };
        let deadline = start.saturating_add(SignedDuration::from_secs(seconds));
        let passed = deadline.is_ok_and(|deadline| deadline <= self.now);
        if passed && !std::mem::replace(&mut self.memory.deadline_exceeded, true) && !self.was_terminal() {
            self.emit_pod(Severity::Normal, "DeadlineExceeded", DEADLINE_EXCEEDED.into());
        }
    }

    /// Every container has ended and none will be started again.
    fn has_finished(&self) -> bool {
        let policy = spec::restart_policy(self.seen.spec());
        if policy == RestartPolicy::Always {
            return false;
        }
        let ended = |container: &Container| self.seen.observed.latest(&container.name).filter(|found| has_ended(found));
        let init_failed = spec::init_containers(self.seen.spec()).iter().any(|container| {
            !spec::is_sidecar(container) && ended(container).is_some_and(|found| found.exit_code != 0)
        });
        if init_failed && policy == RestartPolicy::Never {
            return true;
        }
        let for_good = |found: &cri::Container| policy == RestartPolicy::Never || found.exit_code == 0;
        self.seen.spec().containers.iter().all(|container| ended(container).is_some_and(for_good))
    }

    /// One pass over a pod that must end.
    pub(super) fn stop(&mut self, ending: Ending) {
        let deadline = self.begin_stopping(ending);
        self.abort_starts();
        if self.kill_all(ending, deadline) || self.any_container_busy() {
            return;
        }
        if !self.stop_sandboxes() || !self.tear_down() {
            return;
        }
        match ending {
            Ending::Finished => {}
            Ending::Gone => {
                self.remove_sandboxes();
                self.done = self.seen.observed.sandboxes.is_empty();
            }
            Ending::Deleted { .. } => self.delete(),
        }
    }

    /// The moment of KILL. A shorter grace period later on is honoured, a longer one is not
    /// (DS-H24).
    fn begin_stopping(&mut self, ending: Ending) -> jiff::Timestamp {
        let seconds = match ending {
            Ending::Deleted { grace_seconds } => grace_seconds.max(1),
            Ending::Gone => GRACE_SECONDS_MIN,
            // It goes on using what it has too much of.
            Ending::Finished if self.memory.evicted.is_some() => EVICTED_GRACE_SECONDS,
            Ending::Finished => self.seen.grace_seconds(),
        };
        if self.memory.stopping.is_none() {
            self.act(Action::Terminating);
        }
        let now = self.now;
        let fresh = Stopping { since: now, deadline: self.after_seconds(seconds) };
        let stopping = self.memory.stopping.get_or_insert(fresh);
        let shorter = match ending {
            // The object vanished in the middle of a longer grace period.
            Ending::Gone => Some(fresh.deadline),
            _ => stopping.since.saturating_add(SignedDuration::from_secs(seconds)).ok(),
        };
        stopping.deadline = shorter.map_or(stopping.deadline, |shorter| shorter.min(stopping.deadline));
        stopping.deadline
    }

    /// Pulls are given up; hooks of containers that run are replaced by the kill.
    fn abort_starts(&mut self) {
        let pulls: Vec<Slot> =
            self.memory.busy.iter().filter(|(_, work)| **work == Work::Image).map(|(slot, _)| slot.clone()).collect();
        for slot in pulls {
            self.memory.busy.remove(&slot);
            self.actions.push(Action::Abort(slot));
        }
    }

    fn any_container_busy(&self) -> bool {
        self.memory.busy.keys().any(|slot| matches!(slot, Slot::Container(_) | Slot::Sandbox | Slot::SetUp))
    }

    /// Kills what runs: first everything but sidecars, then the sidecars from the last to the
    /// first (DS-H21). Answers whether anything still runs.
    fn kill_all(&mut self, ending: Ending, deadline: jiff::Timestamp) -> bool {
        let seen = self.seen;
        let alive: Vec<&cri::Container> = seen.observed.containers.iter().filter(|found| is_alive(found)).collect();
        let sidecars = spec::init_containers(seen.spec()).iter().filter(|container| spec::is_sidecar(container));
        let order: Vec<&str> = sidecars.map(|container| container.name.as_str()).collect();
        let (last, first): (Vec<_>, Vec<_>) = alive.iter().partition(|found| order.contains(&found.name.as_str()));
        let group = if first.is_empty() {
            let rank = |found: &&cri::Container| order.iter().position(|name| *name == found.name);
            last.into_iter().max_by_key(rank).into_iter().collect()
        } else {
            first
        };
        group.into_iter().for_each(|found| self.kill_by(found, ending, deadline));
        !alive.is_empty()
    }

    /// Kills one container by the deadline; again if an earlier kill would take longer.
    fn kill_by(&mut self, found: &cri::Container, ending: Ending, deadline: jiff::Timestamp) {
        let deadline = deadline.max(self.after_seconds(GRACE_SECONDS_MIN));
        let pre_stop = match self.work(&found.name) {
            Some(Work::Short) => return,
            Some(Work::Kill { deadline: earlier }) if earlier <= deadline => return,
            Some(Work::Kill { .. }) => false,
            Some(Work::Image | Work::Hook) | None => ending != Ending::Gone,
        };
        let slot = Slot::Container(found.name.clone());
        if self.must_wait(&slot) {
            return;
        }
        let left = deadline.duration_since(self.now);
        // Whole seconds, rounded up.
        let grace_seconds = left.as_secs() + i64::from(left.subsec_nanos() > 0);
        let message = format!("Stopping container {}", found.name);
        let (container, id) = (found.name.clone(), found.id.clone());
        self.occupy(slot.clone(), Action::Kill { container, id, grace_seconds, pre_stop, message });
        self.memory.busy.insert(slot, Work::Kill { deadline });
    }

    /// Whether every sandbox's network is released.
    fn stop_sandboxes(&mut self) -> bool {
        let open = |sandbox: &&cri::Sandbox| !self.memory.stopped.contains(&sandbox.id);
        let Some(sandbox) = self.seen.observed.sandboxes.iter().find(open) else { return true };
        self.act(Action::StopSandbox { id: sandbox.id.clone() });
        false
    }

    /// Whether volumes and cgroup are gone.
    fn tear_down(&mut self) -> bool {
        if !self.memory.torn_down {
            self.act(Action::TearDown);
        }
        self.memory.torn_down
    }

    /// Deletes the object, again and again until it is seen to be gone: an answer is no proof. A
    /// server that starts or is restored may say that the pod is not there, or may have lost what
    /// it acknowledged.
    fn delete(&mut self) {
        if self.memory.deleted_at.is_some() {
            self.remove_sandboxes();
        }
        let again = self.memory.deleted_at.and_then(|at| at.checked_add(DELETE_AGAIN).ok());
        let told = matches!(self.memory.written_phase.as_deref(), Some("Succeeded" | "Failed"));
        if told && !again.is_some_and(|again| self.wait_until(again)) {
            self.act(Action::Delete);
        }
    }

    fn remove_sandboxes(&mut self) {
        let seen = self.seen;
        for sandbox in &seen.observed.sandboxes {
            self.act(Action::RemoveSandbox { id: sandbox.id.clone() });
        }
    }
}

fn has_ended(found: &cri::Container) -> bool {
    found.state == ContainerState::Exited
}
