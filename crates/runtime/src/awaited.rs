//! Read your own writes: what a key has written and the cache has not shown yet.
//!
//! A key is not planned again before the cache has reached every revision that it wrote, shows
//! every object that it deleted as gone or terminating (by uid), and holds a list that began
//! after every write whose outcome is unknown. After two seconds one consistent list decides.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use everynode_api::kinds::Kind;
use everynode_api::meta::Key;
use everynode_api::view::View;
use jiff::Timestamp;

use crate::cache::Cache;
use crate::clock::later;

/// After so long a consistent list decides (ARCHITECTURE.md, invariants 2 and 10).
pub(crate) const PATIENCE: Duration = Duration::from_secs(2);

/// One thing to wait for.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Await {
    /// The cache has everything of this kind up to this revision.
    Revision(Kind, u64),
    /// The cache shows the object with this uid as gone or terminating.
    Deletion(Kind, Key, Arc<str>),
    /// The cache shows the object at another revision than this, or not at all: it was written to
    /// in a way that did not tell the new revision (a binding).
    Change(Kind, Key, u64),
    /// The list with this number has been taken.
    List(Kind, u64),
}

/// Everything that one key waits for.
#[derive(Clone, Debug, Default)]
pub(crate) struct Awaited {
    revisions: BTreeMap<Kind, u64>,
    deletions: BTreeMap<(Kind, Key), Arc<str>>,
    changes: BTreeMap<(Kind, Key), u64>,
    lists: BTreeMap<Kind, u64>,
    /// When patience ends; `None` until waiting begins and after the lists were asked for.
    deadline: Option<Timestamp>,
}

impl Awaited {
    pub fn add(&mut self, await_: Await) {
        let raise = |map: &mut BTreeMap<Kind, u64>, kind: Kind, value: u64| {
            let known = map.entry(kind).or_default();
            *known = (*known).max(value);
        };
        match await_ {
            Await::Revision(kind, revision) => raise(&mut self.revisions, kind, revision),
            Await::List(kind, number) => raise(&mut self.lists, kind, number),
            Await::Change(kind, key, revision) => drop(self.changes.insert((kind, key), revision)),
            Await::Deletion(kind, key, uid) => drop(self.deletions.insert((kind, key), uid)),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.lists.is_empty() && self.is_list_enough()
    }

    /// Whether nothing is left that a list would decide.
    fn is_list_enough(&self) -> bool {
        self.revisions.is_empty() && self.deletions.is_empty() && self.changes.is_empty()
    }

    /// Drops what the cache shows and says whether nothing is left.
    pub fn is_met(&mut self, cache: &Cache, view: &View) -> bool {
        self.revisions.retain(|kind, revision| view.seen_revision(kind) < *revision);
        self.lists.retain(|kind, number| !cache.has_list(kind, *number));
        drop_met(&mut self.deletions, |(kind, key), uid| {
            !view.meta(kind, key).is_some_and(|meta| meta.uid == *uid && !meta.is_terminating())
        });
        drop_met(&mut self.changes, |(kind, key), revision| {
            view.meta(kind, key).is_none_or(|meta| meta.resource_version != *revision)
        });
        self.is_empty()
    }

    /// Waiting begins now, unless it has begun.
    pub fn begin(&mut self, now: Timestamp) {
        if !self.is_list_enough() {
            self.deadline.get_or_insert(later(now, PATIENCE));
        }
    }

    pub fn deadline(&self) -> Option<Timestamp> {
        self.deadline
    }

    /// If patience has ended: replaces everything by one list of each kind concerned, and says so.
    pub fn give_up(&mut self, cache: &Cache, now: Timestamp) -> bool {
        if self.deadline.is_none_or(|deadline| deadline > now) {
            return false;
        }
        self.deadline = None;
        let revisions = std::mem::take(&mut self.revisions).into_keys();
        let deletions = std::mem::take(&mut self.deletions).into_keys();
        let changes = std::mem::take(&mut self.changes).into_keys();
        let objects = deletions.chain(changes).map(|(kind, _)| kind);
        let kinds: std::collections::BTreeSet<Kind> = revisions.chain(objects).collect();
        for kind in kinds {
            let number = cache.ask_for_list(&kind);
            self.add(Await::List(kind, number));
        }
        true
    }
}

/// Drops entries from the front until one is not met, so that waiting for many stays linear.
fn drop_met<K: Ord, V>(map: &mut BTreeMap<K, V>, is_met: impl Fn(&K, &V) -> bool) {
    while map.first_key_value().is_some_and(|(key, value)| is_met(key, value)) {
        map.pop_first();
    }
}

#[cfg(test)]
mod tests {
    use everynode_api::kinds;
    use everynode_api::view::Item;

    use super::*;
    use crate::cache::Delta;

    fn pod(revision: u64, extra: &str) -> Item {
        let text = format!(r#"{{"metadata":{{"name":"a","uid":"u1","resourceVersion":"{revision}"{extra}}}}}"#);
        Item::parse(&kinds::POD, text.as_bytes()).unwrap()
    }

    fn cache() -> Cache {
        let cache = Cache::default();
        let number = cache.register(&kinds::POD).begin();
        cache.replace(&kinds::POD, vec![pod(3, "")], 5, number);
        cache
    }

    fn met(awaited: &mut Awaited, cache: &Cache) -> bool {
        awaited.is_met(cache, &cache.read())
    }

    #[test]
    fn a_revision_is_reached_by_event_bookmark_or_list() {
        let cache = cache();
        let mut awaited = Awaited::default();
        awaited.add(Await::Revision(kinds::POD, 7));
        awaited.add(Await::Revision(kinds::POD, 6));
        cache.apply(&kinds::POD, vec![Delta::Observe(6)]);
        assert!(!met(&mut awaited, &cache));
        cache.apply(&kinds::POD, vec![Delta::Observe(7)]);
        assert!(met(&mut awaited, &cache));
    }

    #[test]
    fn a_deletion_is_seen_by_uid() {
        let key = || Key::new("", "a");
        let awaited = || {
            let mut awaited = Awaited::default();
            awaited.add(Await::Deletion(kinds::POD, key(), "u1".into()));
            awaited
        };
        let cache = cache();
        assert!(!met(&mut awaited(), &cache));
        cache.apply(&kinds::POD, vec![Delta::Upsert(pod(8, r#","deletionTimestamp":"2026-01-01T00:00:00Z""#))]);
        assert!(met(&mut awaited(), &cache));
        cache.apply(&kinds::POD, vec![Delta::Remove(key(), 9)]);
        assert!(met(&mut awaited(), &cache));
    }

    #[test]
    fn a_binding_is_seen_as_another_revision() {
        let cache = cache();
        let mut awaited = Awaited::default();
        awaited.add(Await::Change(kinds::POD, Key::new("", "a"), 3));
        cache.apply(&kinds::POD, vec![Delta::Observe(9)]);
        assert!(!met(&mut awaited, &cache));
        cache.apply(&kinds::POD, vec![Delta::Upsert(pod(10, ""))]);
        assert!(met(&mut awaited, &cache));
    }

    #[test]
    fn after_two_seconds_one_list_decides() {
        let cache = cache();
        let at = |ms| Timestamp::from_millisecond(ms).unwrap();
        let mut awaited = Awaited::default();
        awaited.add(Await::Revision(kinds::POD, 99));
        awaited.begin(at(0));
        awaited.begin(at(500));
        assert_eq!(awaited.deadline(), Some(at(2000)));
        assert!(!awaited.give_up(&cache, at(1999)));
        assert!(awaited.give_up(&cache, at(2000)));
        assert!(!met(&mut awaited, &cache));
        let number = cache.register(&kinds::POD).begin();
        cache.replace(&kinds::POD, vec![pod(3, "")], 6, number);
        assert!(met(&mut awaited, &cache));
    }
}
