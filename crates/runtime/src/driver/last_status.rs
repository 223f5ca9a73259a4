//! The status that was written last for a key: the same one is not written over another writer's
//! again and again.
//!
//! Two leaders that come to different results (their clocks differ, or one has seen less) would
//! otherwise overwrite each other's status as fast as they can. A status that another client
//! changed is written again at once, and after that only every few seconds.

use std::hash::Hasher;
use std::time::Duration;

use everynode_common::fnv::Fnv64;
use jiff::Timestamp;
use serde_json::Value;

use crate::clock::later;

/// A status is written at most [`WRITES_MAX`] times within this time.
const WINDOW: Duration = Duration::from_secs(10);
const WRITES_MAX: u32 = 2;

/// What was written last, and how often.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct LastStatus {
    fingerprint: Fingerprint,
    since: Timestamp,
    writes: u32,
}

impl LastStatus {
    /// Until when the status is not written again; `None`: it may be written now.
    pub fn held_until(self, fingerprint: Fingerprint, now: Timestamp) -> Option<Timestamp> {
        let is_held = self.is_about(fingerprint, now) && self.writes >= WRITES_MAX;
        is_held.then(|| later(self.since, WINDOW))
    }

    /// What is known after a write.
    pub fn after(last: Option<LastStatus>, fingerprint: Fingerprint, now: Timestamp) -> LastStatus {
        match last.filter(|last| last.is_about(fingerprint, now)) {
            Some(last) => LastStatus { writes: last.writes + 1, ..last },
            None => LastStatus { fingerprint, since: now, writes: 1 },
        }
    }

    /// The same status, within the same window. A clock that was set back begins a new one.
    fn is_about(self, fingerprint: Fingerprint, now: Timestamp) -> bool {
        self.fingerprint == fingerprint && self.since <= now && now < later(self.since, WINDOW)
    }
}

/// Stands for a status without its times of transition: those differ whenever a condition was
/// another one in between.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fingerprint(u64);

impl Fingerprint {
    pub fn of(status: &Value) -> Fingerprint {
        let mut hasher = Fnv64::default();
        add(&mut hasher, status);
        Fingerprint(hasher.finish())
    }
}

fn add(hasher: &mut Fnv64, value: &Value) {
    match value {
        Value::Object(members) => {
            for (name, member) in members.iter().filter(|(name, _)| *name != "lastTransitionTime") {
                hasher.write(name.as_bytes());
                hasher.write(b":");
                add(hasher, member);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| add(hasher, item)),
        Value::String(text) => hasher.write(text.as_bytes()),
        scalar => hasher.write(scalar.to_string().as_bytes()),
    }
    hasher.write(b",");
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn status(ready: u32, since: &str) -> Fingerprint {
        let conditions = json!([{"type": "Available", "lastTransitionTime": since}]);
        Fingerprint::of(&json!({"numberReady": ready, "conditions": conditions}))
    }

    #[test]
    fn a_status_that_is_overwritten_is_written_twice_in_ten_seconds() {
        let at = |second: i64| Timestamp::from_second(1_000 + second).unwrap();
        let (mut last, mut written) = (None, Vec::new());
        for second in 0..25 {
            let status = status(3, &at(second).to_string());
            match last.and_then(|last: LastStatus| last.held_until(status, at(second))) {
                Some(until) => assert!(until > at(second)),
                None => {
                    last = Some(LastStatus::after(last, status, at(second)));
                    written.push(second);
                }
            }
        }
        assert_eq!(written, [0, 1, 10, 11, 20, 21]);
    }

    #[test]
    fn another_status_and_a_clock_that_was_set_back_are_not_held() {
        let at = |second: i64| Timestamp::from_second(1_000 + second).unwrap();
        let (one, other) = (status(1, "a"), status(2, "a"));
        assert_ne!(one, other);
        let first = LastStatus::after(None, one, at(0));
        let last = LastStatus::after(Some(first), one, at(1));
        assert_eq!(last.held_until(one, at(1)), Some(at(10)));
        assert_eq!(last.held_until(other, at(1)), None);
        assert_eq!(last.held_until(one, at(-5)), None);
        assert_eq!(LastStatus::after(Some(last), other, at(1)).held_until(one, at(1)), None);
    }
}
