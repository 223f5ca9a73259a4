//! How long a pod that failed is left before it is replaced (docs/requirements.md, C).

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

const FIRST_SECONDS: i64 = 1;
const LONGEST_SECONDS: i64 = 15 * 60;

/// The back-offs of one set at one generation, by node (DS-C40, DS-C43).
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct BackOffs {
    generation: i64,
    entries: BTreeMap<Arc<str>, Entry>,
}

#[derive(Clone, Debug, PartialEq)]
struct Entry {
    seconds: i64,
    stepped_at: Timestamp,
}

impl Entry {
    fn until(&self) -> Timestamp {
        self.stepped_at.saturating_add(SignedDuration::from_secs(self.seconds)).unwrap_or(Timestamp::MAX)
    }

    /// Forgotten after twice the cap without a failure.
    fn is_idle(&self, now: Timestamp) -> bool {
        now.duration_since(self.stepped_at).as_secs() > 2 * LONGEST_SECONDS
    }
}

impl BackOffs {
    /// Begins a plan: another generation starts afresh, idle entries are dropped.
    pub fn at(&self, generation: i64, now: Timestamp) -> Self {
        let mut entries = if generation == self.generation { self.entries.clone() } else { BTreeMap::new() };
        entries.retain(|_, entry| !entry.is_idle(now));
        BackOffs { generation, entries }
    }

    /// Until when a failed pod on this node is left alone; `None`: it may be deleted now.
    pub fn until(&self, node: &str, now: Timestamp) -> Option<Timestamp> {
        self.entries.get(node).map(Entry::until).filter(|until| *until > now)
    }

    /// A failed pod is deleted now: the next one waits twice as long, up to 15 minutes.
    pub fn step(&mut self, node: &Arc<str>, now: Timestamp) {
        let seconds = self.entries.get(node).map_or(FIRST_SECONDS, |entry| (entry.seconds * 2).min(LONGEST_SECONDS));
        self.entries.insert(node.clone(), Entry { seconds, stepped_at: now });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_to_the_cap_and_forgets() {
        // DS-C40, DS-C43
        let node: Arc<str> = "a".into();
        let mut now = Timestamp::UNIX_EPOCH;
        let mut back_offs = BackOffs::default().at(1, now);
        let mut waits = Vec::new();
        for _ in 0..12 {
            assert_eq!(back_offs.until(&node, now), None);
            back_offs.step(&node, now);
            let until = back_offs.until(&node, now).unwrap();
            waits.push(until.duration_since(now).as_secs());
            now = until;
        }
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900]);
        assert!(back_offs.at(2, now).entries.is_empty());
        let later = now + SignedDuration::from_secs(2 * LONGEST_SECONDS + 1);
        assert!(back_offs.at(1, later).entries.is_empty());
    }
}
