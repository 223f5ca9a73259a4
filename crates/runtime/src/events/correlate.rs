//! Which events are written, and as what: the original's three stages, as a value (DS-C73).
//!
//! 1. More than ten messages that differ in nothing else within ten minutes become one, marked
//!    `(combined from similar events)`.
//! 2. A repetition raises `count` and `lastTimestamp` of the event that is there.
//! 3. A token bucket per source and object drops what is too much.

use std::collections::BTreeSet;

use everynode_api::reconcile::{Event, Regarding};
use jiff::Timestamp;

use super::lru::Lru;
use crate::clock::until;

/// What the API takes as the name of an object.
const NAME_BYTES_MAX: usize = 253;
/// Entries kept per stage, as client-go does.
const CACHE_ENTRIES: usize = 4096;
/// From this many similar messages on they are combined.
const SIMILAR_MAX: usize = 10;
/// Similar events further apart than this are not combined.
const SIMILAR_INTERVAL_SECONDS: f64 = 600.0;
/// The bucket's size.
const BURST: f64 = 25.0;
/// One token so often.
const REFILL_SECONDS: f64 = 300.0;

/// The component that speaks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Source {
    pub component: String,
    pub host: String,
}

/// An event as it is to be written.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Written {
    /// `<object>.<hex>` (DS-I44)
    pub name: String,
    pub message: String,
    pub count: u32,
    pub first: Timestamp,
    pub last: Timestamp,
}

#[derive(Debug)]
pub(crate) struct Correlator {
    similar: Lru<Similar>,
    known: Lru<Known>,
    buckets: Lru<Bucket>,
    last_suffix: i128,
}

#[derive(Debug)]
struct Similar {
    messages: BTreeSet<String>,
    last: Timestamp,
}

#[derive(Debug)]
struct Known {
    name: String,
    count: u32,
    first: Timestamp,
}

#[derive(Debug)]
struct Bucket {
    tokens: f64,
    at: Timestamp,
}

impl Correlator {
    pub fn new() -> Self {
        Correlator {
            similar: Lru::new(CACHE_ENTRIES),
            known: Lru::new(CACHE_ENTRIES),
            buckets: Lru::new(CACHE_ENTRIES),
            last_suffix: 0,
        }
    }

    /// What to write for `event`; `None`: it is dropped. A `count` above one continues the event
    /// of that name.
    pub fn correlate(&mut self, source: &Source, event: &Event, now: Timestamp) -> Option<Written> {
        let object = object_key(source, &event.regarding);
        let group = join(&[&object, event.kind.as_str(), &event.reason, &event.action]);
        let (key, message) = self.aggregate(group, event, now);
        let written = self.observe(&key, message, &event.regarding.name, now);
        self.allow(&object, now).then_some(written)
    }

    fn aggregate(&mut self, group: String, event: &Event, now: Timestamp) -> (String, String) {
        let similar = self.similar.entry(&group, || Similar { messages: BTreeSet::new(), last: now });
        if until(similar.last, now).as_secs_f64() > SIMILAR_INTERVAL_SECONDS {
            similar.messages.clear();
        }
        similar.messages.insert(event.message.clone());
        similar.last = now;
        if similar.messages.len() < SIMILAR_MAX {
            return (join(&[&group, &event.message]), event.message.clone());
        }
        similar.messages.pop_first();
        (group, format!("(combined from similar events): {}", event.message))
    }

    fn observe(&mut self, key: &str, message: String, object: &str, now: Timestamp) -> Written {
        let suffix = now.as_nanosecond().max(self.last_suffix + 1);
        let known = self.known.entry(key, || Known { name: event_name(object, suffix), count: 0, first: now });
        if known.count == 0 {
            self.last_suffix = suffix;
        }
        known.count += 1;
        Written { name: known.name.clone(), message, count: known.count, first: known.first, last: now }
    }

    fn allow(&mut self, object: &str, now: Timestamp) -> bool {
        let bucket = self.buckets.entry(object, || Bucket { tokens: BURST, at: now });
        let refill = until(bucket.at, now).as_secs_f64() / REFILL_SECONDS;
        bucket.tokens = (bucket.tokens + refill).min(BURST);
        bucket.at = now;
        let allowed = bucket.tokens >= 1.0;
        if allowed {
            bucket.tokens -= 1.0;
        }
        allowed
    }
}

/// The object's name and a number. A long one is cut, so that the event can be stored: the event
/// itself says in full which object it is about.
fn event_name(object: &str, suffix: i128) -> String {
    let suffix = format!(".{suffix:x}");
    let object: String = object.chars().take(NAME_BYTES_MAX - suffix.len()).collect();
    format!("{}{suffix}", object.trim_end_matches(['-', '.']))
}

fn object_key(source: &Source, regarding: &Regarding) -> String {
    let Regarding { kind, namespace, name, uid, field_path: _ } = regarding;
    join(&[&source.component, &source.host, &kind.api_version(), &kind.kind, namespace, name, uid])
}

fn join(parts: &[&str]) -> String {
    parts.join("\u{1f}")
}

#[cfg(test)]
mod tests {
    use everynode_api::kinds;
    use everynode_api::reconcile::EventType;

    use super::*;

    fn event(message: &str) -> Event {
        let regarding = Regarding {
            kind: kinds::DAEMON_SET,
            namespace: "x".into(),
            name: "web".into(),
            uid: "u".into(),
            field_path: String::new(),
        };
        let (reason, action) = ("SuccessfulCreate".into(), String::new());
        Event { regarding, kind: EventType::Normal, reason, action, message: message.into() }
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(seconds).unwrap()
    }

    fn say(correlator: &mut Correlator, message: &str, seconds: i64) -> Option<Written> {
        correlator.correlate(&Source::default(), &event(message), at(seconds))
    }

    #[test]
    fn a_repetition_raises_the_count() {
        // DS-C73
        let mut correlator = Correlator::new();
        let first = say(&mut correlator, "m", 1).unwrap();
        let second = say(&mut correlator, "m", 5).unwrap();
        assert_eq!((first.count, second.count), (1, 2));
        assert_eq!((&second.name, second.first, second.last), (&first.name, at(1), at(5)));
        assert_eq!(first.name, format!("web.{:x}", 1_000_000_000)); // DS-I44
    }

    #[test]
    fn a_long_name_is_cut() {
        let name = event_name(&format!("{}.{}", "a".repeat(235), "b".repeat(17)), 0x1234_5678_9abc_def0);
        assert_eq!(name, format!("{}.123456789abcdef0", "a".repeat(235)));
        assert_eq!(event_name(&"a".repeat(253), 0x1234_5678_9abc_def0).len(), 253);
    }

    #[test]
    fn similar_events_are_combined() {
        // DS-C73
        let mut correlator = Correlator::new();
        let said: Vec<_> = (0..12).map(|n| say(&mut correlator, &format!("Created pod: p{n}"), 1).unwrap()).collect();
        let names: BTreeSet<_> = said.iter().map(|written| written.name.clone()).collect();
        assert_eq!(names.len(), 10);
        assert_eq!(said[8].message, "Created pod: p8");
        assert_eq!(said[11].message, "(combined from similar events): Created pod: p11");
        assert_eq!(said[11].count, 3);
        assert_eq!(say(&mut correlator, "Created pod: late", 700).unwrap().message, "Created pod: late");
    }

    #[test]
    fn the_bucket_drops_what_is_too_much_and_refills() {
        // DS-C73
        let mut correlator = Correlator::new();
        let written = (0..5000).filter(|n| say(&mut correlator, &format!("m{n}"), 1).is_some()).count();
        assert_eq!(written, 25);
        assert!(say(&mut correlator, "m", 300).is_none());
        assert!(say(&mut correlator, "m", 302).is_some());
    }
}
