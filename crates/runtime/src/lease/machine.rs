//! Leader election through a Lease, as a state machine without I/O: what to do next, given what
//! the Lease says and when it was seen to say so.
//!
//! Other clocks are not trusted: a Lease has run out when *we* have seen it unchanged for its
//! duration (as client-go does). Our own leadership ends when we have not renewed it for the
//! renew deadline, which is shorter, so that two clocks that run at nearly the same speed never
//! make two leaders.

use std::time::Duration;

use jiff::Timestamp;

use crate::clock::later;

/// How an election is held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timing {
    /// How long others wait for a holder that is silent (DS-F19).
    pub lease_duration: Duration,
    /// A holder that could not renew for so long gives up.
    pub renew_deadline: Duration,
    /// Between attempts.
    pub retry_period: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        let [lease_duration, renew_deadline, retry_period] = [15, 10, 2].map(Duration::from_secs);
        Timing { lease_duration, renew_deadline, retry_period }
    }
}

/// The part of a Lease's `spec` that matters, and its revision.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Record {
    pub holder: String,
    pub duration_seconds: u64,
    pub acquire_time: String,
    pub renew_time: String,
    pub transitions: u64,
    pub revision: u64,
}

/// What to do about the Lease.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Another candidate holds it.
    Leave,
    /// There is none: make one. Or: write this into the one of that revision.
    Write { record: Record, exists: bool },
}

#[derive(Debug)]
pub(crate) struct Machine {
    identity: String,
    timing: Timing,
    /// What the Lease said last, and since when it has been saying so.
    observed: Option<(Record, Timestamp)>,
    /// When our last successful write was begun.
    renewed: Option<Timestamp>,
}

impl Machine {
    pub fn new(identity: String, timing: Timing) -> Machine {
        Machine { identity, timing, observed: None, renewed: None }
    }

    /// Whether we lead: as of our last write, and not past the deadline.
    pub fn is_leader(&self, now: Timestamp) -> bool {
        self.deadline().is_some_and(|deadline| now < deadline)
    }

    /// When leadership ends unless it is renewed.
    pub fn deadline(&self) -> Option<Timestamp> {
        self.renewed.map(|at| later(at, self.timing.renew_deadline))
    }

    /// The Lease was read; `written` is `now` in the Lease's own form.
    pub fn on_read(&mut self, lease: Option<Record>, now: Timestamp, written: &str) -> Step {
        let Some(lease) = lease else {
            return Step::Write { record: self.record(written, None), exists: false };
        };
        if self.observed.as_ref().is_none_or(|(known, _)| *known != lease) {
            self.observed = Some((lease.clone(), now));
        }
        let is_ours = lease.holder == self.identity;
        if !is_ours {
            self.renewed = None;
        }
        match is_ours || lease.holder.is_empty() || self.has_run_out(&lease, now) {
            true => Step::Write { record: self.record(written, Some(&lease)), exists: true },
            false => Step::Leave,
        }
    }

    fn has_run_out(&self, lease: &Record, now: Timestamp) -> bool {
        let duration = Duration::from_secs(lease.duration_seconds);
        self.observed.as_ref().is_some_and(|(_, since)| later(*since, duration) <= now)
    }

    fn record(&self, written: &str, old: Option<&Record>) -> Record {
        let ours = old.filter(|lease| lease.holder == self.identity);
        Record {
            holder: self.identity.clone(),
            duration_seconds: self.timing.lease_duration.as_secs(),
            acquire_time: ours.map_or(written, |lease| &lease.acquire_time).to_owned(),
            renew_time: written.to_owned(),
            transitions: old.map_or(0, |lease| lease.transitions + u64::from(ours.is_none())),
            revision: old.map_or(0, |lease| lease.revision),
        }
    }

    /// Our write, begun at `begun`, was carried out.
    pub fn on_written(&mut self, begun: Timestamp) {
        self.renewed = Some(begun);
    }

    /// Leadership was given up.
    pub fn on_released(&mut self) {
        self.renewed = None;
    }

    /// What to write to give the Lease up at once, if it is ours: it has no holder, for a second.
    pub fn release(&self, lease: &Record, written: &str) -> Option<Record> {
        (lease.holder == self.identity).then(|| Record {
            holder: String::new(),
            duration_seconds: 1,
            acquire_time: written.to_owned(),
            renew_time: written.to_owned(),
            ..lease.clone()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(seconds).unwrap()
    }

    fn machine() -> Machine {
        Machine::new("me".into(), Timing::default())
    }

    fn other(renew_time: &str) -> Record {
        let (holder, duration_seconds) = ("other".into(), 15);
        Record {
            holder,
            duration_seconds,
            renew_time: renew_time.into(),
            transitions: 3,
            revision: 7,
            ..Record::default()
        }
    }

    #[test]
    fn takes_a_free_lease_and_keeps_it_while_renewing() {
        // DS-F19
        let mut machine = machine();
        let Step::Write { record, exists: false } = machine.on_read(None, at(0), "t0") else { panic!("no write") };
        assert_eq!((record.holder.as_str(), record.transitions, record.duration_seconds), ("me", 0, 15));
        machine.on_written(at(0));
        let Step::Write { record, exists: true } = machine.on_read(Some(record), at(2), "t2") else {
            panic!("no write")
        };
        assert_eq!((record.acquire_time.as_str(), record.renew_time.as_str(), record.transitions), ("t0", "t2", 0));
        machine.on_written(at(2));
        assert!(machine.is_leader(at(11)) && !machine.is_leader(at(12)));
    }

    #[test]
    fn waits_for_the_lease_to_be_silent_for_its_duration() {
        // DS-F19
        let mut machine = machine();
        assert_eq!(machine.on_read(Some(other("a")), at(0), ""), Step::Leave);
        assert_eq!(machine.on_read(Some(other("b")), at(10), ""), Step::Leave);
        assert_eq!(machine.on_read(Some(other("b")), at(24), ""), Step::Leave);
        let Step::Write { record, exists: true } = machine.on_read(Some(other("b")), at(25), "now") else {
            panic!("no write")
        };
        assert_eq!((record.transitions, record.revision, record.acquire_time.as_str()), (4, 7, "now"));
    }

    #[test]
    fn sees_that_it_was_taken_away() {
        let mut machine = machine();
        machine.on_written(at(0));
        assert!(machine.is_leader(at(1)));
        assert_eq!(machine.on_read(Some(other("a")), at(2), ""), Step::Leave);
        assert!(!machine.is_leader(at(2)));
    }

    #[test]
    fn releases_only_its_own() {
        let machine = machine();
        assert_eq!(machine.release(&other("a"), "t"), None);
        let ours = Record { holder: "me".into(), ..other("a") };
        assert_eq!(machine.release(&ours, "t").unwrap().holder, "");
    }
}
