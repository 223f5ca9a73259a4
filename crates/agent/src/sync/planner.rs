//! The frame of a decision: what is common to a pod that runs and one that ends.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{Container, PodStatus};

use super::action::{Action, Slot};
use super::memory::{ContainerMemory, Memory, Work};
use super::seen::Seen;
use super::{spec, status};
use crate::ports::{Event, PodRef, Regarding, Severity};

/// What to do now, what to say, when to look again.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    pub actions: Vec<Action>,
    pub status: PodStatus,
    pub wake_at: Option<Timestamp>,
    /// The object is gone and nothing of the pod is left: its worker may end.
    pub done: bool,
    pub memory: Memory,
}

/// Decides about one pod.
pub fn plan(seen: &Seen, memory: &Memory, now: Timestamp) -> Plan {
    let (mut memory, actions) = (memory.clone(), Vec::new());
    memory.note_addresses(seen);
    let mut planner = Planner { seen, memory, now, actions, wake_at: None, done: false, starts_held: false };
    match planner.ending() {
        Some(ending) => planner.stop(ending),
        None => planner.run(),
    }
    planner.collect_garbage();
    let status = status::status(seen, &planner.memory, now);
    let Planner { memory, actions, wake_at, done, .. } = planner;
    Plan { actions, status, wake_at, done, memory }
}

/// A decision being made.
pub(super) struct Planner<'a> {
    pub seen: &'a Seen,
    pub memory: Memory,
    pub now: Timestamp,
    pub actions: Vec<Action>,
    pub wake_at: Option<Timestamp>,
    pub done: bool,
    /// A container before this one is being started: only its image may be fetched.
    pub starts_held: bool,
}

impl Planner<'_> {
    /// Plans an action unless its slot is occupied or must wait after a failure. Answers whether
    /// it was planned.
    pub fn act(&mut self, action: Action) -> bool {
        let Some(slot) = action.slot() else {
            self.actions.push(action);
            return true;
        };
        if self.memory.busy.contains_key(&slot) || self.must_wait(&slot) {
            return false;
        }
        self.occupy(slot, action);
        true
    }

    /// Plans an action whatever occupies its slot.
    pub fn occupy(&mut self, slot: Slot, action: Action) {
        let work = match &action {
            Action::EnsureImage { .. } => Work::Image,
            Action::PostStart { .. } => Work::Hook,
            Action::Kill { grace_seconds, .. } => Work::Kill { deadline: self.after_seconds(*grace_seconds) },
            _ => Work::Short,
        };
        self.memory.busy.insert(slot, work);
        self.actions.push(action);
    }

    /// Whether the slot's last work failed a moment ago.
    pub fn must_wait(&mut self, slot: &Slot) -> bool {
        let until = self.memory.retry.get(slot).map(|retry| retry.until);
        until.is_some_and(|until| self.wait_until(until))
    }

    /// Whether `until` is still to come; if so, the plan is made again then.
    pub fn wait_until(&mut self, until: Timestamp) -> bool {
        if until <= self.now {
            return false;
        }
        self.wake_at = Some(self.wake_at.map_or(until, |earlier| earlier.min(until)));
        true
    }

    pub fn is_busy(&self, container: &str) -> bool {
        self.work(container).is_some()
    }

    pub fn work(&self, container: &str) -> Option<Work> {
        self.memory.busy.get(&Slot::Container(container.to_owned())).copied()
    }

    pub fn entry(&mut self, container: &str) -> &mut ContainerMemory {
        self.memory.containers.entry(container.to_owned()).or_default()
    }

    pub fn after_seconds(&self, seconds: i64) -> Timestamp {
        self.now.saturating_add(SignedDuration::from_secs(seconds)).unwrap_or(Timestamp::MAX)
    }

    pub fn emit_pod(&mut self, severity: Severity, reason: &'static str, message: String) {
        let regarding = Regarding::Pod(PodRef::of(&self.seen.pod));
        self.actions.push(Action::Emit(Event { regarding, severity, reason, message }));
    }

    pub fn emit_container(&mut self, container: &Container, severity: Severity, reason: &'static str, message: String) {
        let init = spec::container_named(self.seen.spec(), &container.name).is_some_and(|(_, init)| init);
        let regarding = Regarding::Container { pod: PodRef::of(&self.seen.pod), name: container.name.clone(), init };
        self.actions.push(Action::Emit(Event { regarding, severity, reason, message }));
    }
}
