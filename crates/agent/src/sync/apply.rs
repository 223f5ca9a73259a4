//! What an executed action brought: into what is seen, and into memory.

use jiff::{SignedDuration, Timestamp};

use super::action::{Outcome, Slot};
use super::backoff::{Backoff, CRASH, RETRY};
use super::memory::{ContainerMemory, Memory, Retry, Waiting};
use super::seen::Observed;

/// A configuration that is not there yet is looked for again after this: it appears when it is
/// created.
const CONFIG_RETRY: SignedDuration = SignedDuration::from_secs(3);

/// Takes an outcome in. The slot is free afterwards.
pub fn apply(outcome: Outcome, observed: &mut Observed, memory: &mut Memory, now: Timestamp) {
    let slot = outcome.slot();
    memory.busy.remove(&slot);
    let failure = match outcome {
        Outcome::SetUp(result) => {
            memory.volumes_ready = result.is_ok();
            result.err()
        }
        Outcome::SandboxCreated(result) => result.map(|sandbox| observed.upsert_sandbox(sandbox)).err(),
        Outcome::SandboxStopped { id, result } => result.map(|()| stopped(&id, observed, memory)).err(),
        Outcome::SandboxRemoved { id, result } => result.map(|()| removed_sandbox(&id, observed, memory)).err(),
        Outcome::ContainerRemoved { id, result } => {
            result.map(|()| observed.containers.retain(|found| found.id != id)).err()
        }
        Outcome::Image { container, result } => {
            image(memory.containers.entry(container).or_default(), result, now);
            None
        }
        Outcome::Started { container, seen, result } => {
            seen.into_iter().for_each(|seen| observed.upsert_container(seen));
            started(memory.containers.entry(container).or_default(), result, now);
            None
        }
        Outcome::Hooked { container, id, result } => {
            hooked(memory.containers.entry(container).or_default(), id, result);
            None
        }
        Outcome::Killed { seen, result, .. } => {
            seen.into_iter().for_each(|seen| observed.upsert_container(seen));
            result.err()
        }
        Outcome::TornDown(result) => {
            memory.torn_down = result.is_ok();
            result.err()
        }
        Outcome::Deleted(result) => {
            memory.deleted_at = result.is_ok().then_some(now);
            result.err()
        }
    };
    note_failure(memory, slot, failure, now);
}

impl Memory {
    /// Frees a slot whose work came to nothing.
    pub fn release(&mut self, slot: &Slot, message: &str, now: Timestamp) {
        self.busy.remove(slot);
        note_failure(self, slot.clone(), Some(message.to_owned()), now);
    }
}

/// From this delay on a failure is no hiccup: it was the fourth in a row.
const PERSISTENT: SignedDuration = SignedDuration::from_secs(4);

impl Memory {
    /// What the slot's work fails with, if it does so again and again.
    pub fn keeps_failing(&self, slot: &Slot) -> Option<&str> {
        let retry = self.retry.get(slot).filter(|retry| retry.backoff.delay >= PERSISTENT);
        retry.map(|retry| retry.message.as_str())
    }
}

/// A failure makes the slot wait, longer each time; a success forgets the failures.
fn note_failure(memory: &mut Memory, slot: Slot, failure: Option<String>, now: Timestamp) {
    let Some(message) = failure else {
        memory.retry.remove(&slot);
        return;
    };
    let earlier = memory.retry.get(&slot).map(|retry| retry.backoff);
    let backoff = Backoff::next(earlier, now, now, RETRY);
    let until = now.saturating_add(backoff.delay).unwrap_or(Timestamp::MAX);
    memory.retry.insert(slot, Retry { backoff, until, message });
}

/// A stopped sandbox has no network, and nothing runs in it.
fn stopped(id: &str, observed: &mut Observed, memory: &mut Memory) {
    memory.stopped.insert(id.to_owned());
    for sandbox in observed.sandboxes.iter_mut().filter(|sandbox| sandbox.id == id) {
        sandbox.ready = false;
    }
}

fn removed_sandbox(id: &str, observed: &mut Observed, memory: &mut Memory) {
    memory.stopped.remove(id);
    memory.sandbox_change_told.remove(id);
    observed.sandboxes.retain(|sandbox| sandbox.id != id);
    observed.containers.retain(|container| container.sandbox_id != id);
}

fn image(entry: &mut ContainerMemory, result: Result<String, (&'static str, String)>, now: Timestamp) {
    match result {
        Ok(image) => {
            entry.image = Some(image);
            (entry.pulls, entry.retry_at) = (None, None);
        }
        Err((reason, message)) => {
            let backoff = Backoff::next(entry.pulls, now, now, CRASH);
            entry.pulls = Some(backoff);
            entry.retry_at = now.saturating_add(backoff.delay).ok();
            entry.waiting = Some(Waiting { reason: reason.into(), message });
        }
    }
}

fn started(entry: &mut ContainerMemory, result: Result<(), (&'static str, String)>, now: Timestamp) {
    match result {
        Ok(()) => entry.waiting = None,
        Err((reason, message)) => {
            entry.retry_at = now.saturating_add(CONFIG_RETRY).ok();
            entry.waiting = Some(Waiting { reason: reason.into(), message });
        }
    }
}

/// A failed postStart hook killed the container (DS-H19); the reason is kept for the status.
fn hooked(entry: &mut ContainerMemory, id: String, result: Result<(), String>) {
    entry.hooked = Some(id);
    if let Err(message) = result {
        entry.waiting = Some(Waiting { reason: "PostStartHookError".into(), message });
    }
}
