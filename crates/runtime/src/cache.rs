//! The shared informer cache: one [`View`], fed by one informer per kind, read by all reconcilers.
//!
//! Each kind has exactly one writer, its informer, so what is here is always a state that the
//! server went through. The driver's own writes arrive here by the watch, as other clients' do.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard, Weak};

use everynode_api::kinds::Kind;
use everynode_api::meta::Key;
use everynode_api::view::{Change, Item, Served, View};
use tokio::sync::{Notify, watch};

/// Told of changes, in coalesced batches, while the view stands as the batch left it. Must not
/// block. An empty batch says only that the kind's seen revision has grown.
pub(crate) trait Subscriber: Send + Sync {
    fn changed(&self, view: &View, kind: &Kind, changes: &[Change]);
    /// A kind was listed for the first time, or the kinds that are served are others.
    fn kinds_changed(&self) {}
}

/// One step of a watch, decoded.
#[derive(Debug)]
pub(crate) enum Delta {
    Upsert(Item),
    /// The revision is that of the deletion.
    Remove(Key, u64),
    /// Everything up to this revision has been delivered.
    Observe(u64),
}

/// Everything that has been seen of the cluster.
#[derive(Default)]
pub struct Cache {
    view: RwLock<View>,
    kinds: RwLock<BTreeMap<Kind, Arc<Lists>>>,
    /// They hold the cache, and not the other way round: a driver that has ended is told nothing
    /// more.
    subscribers: RwLock<Vec<Weak<dyn Subscriber>>>,
    /// Counts batches, so that waiters can look again.
    progress: watch::Sender<u64>,
    /// The same for waiters in this crate: wakes them in the order in which they came, which a
    /// watch channel does not.
    advanced: Notify,
}

/// How many lists of a kind were asked for and taken.
#[derive(Debug, Default)]
pub(crate) struct Lists {
    state: std::sync::Mutex<ListCounts>,
    asked: Notify,
}

#[derive(Clone, Copy, Debug, Default)]
struct ListCounts {
    /// The number of the newest list that was asked for; the informer's first one is 1.
    wanted: u64,
    /// The number of the newest list that was begun.
    begun: u64,
    /// The number of the newest list that was taken.
    taken: u64,
}

impl Lists {
    fn counts(&self) -> std::sync::MutexGuard<'_, ListCounts> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks for a list that begins after now; returns its number.
    fn ask(&self) -> u64 {
        let wanted = {
            let mut counts = self.counts();
            counts.wanted += 1;
            counts.wanted
        };
        self.asked.notify_one();
        wanted
    }

    /// Returns when a list was asked for since the last one began. Cancel-safe.
    pub async fn asked(&self) {
        loop {
            let ListCounts { wanted, begun, .. } = *self.counts();
            if wanted > begun {
                return;
            }
            self.asked.notified().await;
        }
    }

    /// The number that a list that begins now will have.
    pub fn begin(&self) -> u64 {
        let mut counts = self.counts();
        counts.wanted = counts.wanted.max(1);
        counts.begun = counts.wanted;
        counts.begun
    }

    /// Whether it was the first.
    fn finish(&self, number: u64) -> bool {
        let mut counts = self.counts();
        let is_first = counts.taken == 0;
        counts.taken = counts.taken.max(number);
        is_first
    }
}

impl Cache {
    /// The view, locked for reading. Never hold it across an await.
    pub fn read(&self) -> RwLockReadGuard<'_, View> {
        self.view.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, View> {
        self.view.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether all of `kinds` have been listed at least once.
    pub fn is_synced(&self, kinds: &[Kind]) -> bool {
        kinds.iter().all(|kind| self.lists(kind).is_some_and(|lists| lists.counts().taken > 0))
    }

    /// Waits until all of `kinds` have been listed once (DS-F04). Cancel-safe.
    pub async fn wait_synced(&self, kinds: &[Kind]) {
        loop {
            // From here on nothing is missed: what advances later wakes it.
            let mut advanced = std::pin::pin!(self.advanced.notified());
            advanced.as_mut().enable();
            if self.is_synced(kinds) {
                return;
            }
            advanced.await;
        }
    }

    /// Whether an informer feeds this kind.
    pub fn watches(&self, kind: &Kind) -> bool {
        self.lists(kind).is_some()
    }

    /// A receiver that changes with every batch that is applied.
    pub fn progress(&self) -> watch::Receiver<u64> {
        self.progress.subscribe()
    }

    pub(crate) fn register(&self, kind: &Kind) -> Arc<Lists> {
        let mut kinds = self.kinds.write().unwrap_or_else(PoisonError::into_inner);
        kinds.entry(kind.clone()).or_default().clone()
    }

    /// `subscriber` is told of changes as long as it is held.
    pub(crate) fn subscribe(&self, subscriber: Weak<dyn Subscriber>) {
        self.subscribers.write().unwrap_or_else(PoisonError::into_inner).push(subscriber);
    }

    fn lists(&self, kind: &Kind) -> Option<Arc<Lists>> {
        self.kinds.read().unwrap_or_else(PoisonError::into_inner).get(kind).cloned()
    }

    /// Asks the kind's informer for a consistent list that begins after now; returns its number.
    pub(crate) fn ask_for_list(&self, kind: &Kind) -> u64 {
        self.lists(kind).map_or(0, |lists| lists.ask())
    }

    /// Whether the list with this number has been taken.
    pub(crate) fn has_list(&self, kind: &Kind, number: u64) -> bool {
        self.lists(kind).is_none_or(|lists| lists.counts().taken >= number)
    }

    /// What discovery told; what belongs to `gone` kinds, which have no informer any more, is
    /// forgotten.
    pub(crate) fn set_served(&self, served: Served, gone: &[Kind]) {
        let mut view = self.write();
        let (old, new) = (view.served(), &served);
        let is_same = old.kinds == new.kinds && old.failed == new.failed && gone.is_empty();
        view.set_served(served);
        let mut kinds = self.kinds.write().unwrap_or_else(PoisonError::into_inner);
        for kind in gone {
            kinds.remove(kind);
            view.forget_kind(kind);
        }
        drop(kinds);
        drop(view);
        if !is_same {
            self.tell_kinds();
        }
        self.advance();
    }

    /// Applies a batch of watch events and tells the subscribers.
    pub(crate) fn apply(&self, kind: &Kind, deltas: Vec<Delta>) {
        let mut view = self.write();
        let changes: Vec<Change> = deltas.into_iter().filter_map(|delta| apply_one(&mut view, kind, delta)).collect();
        self.tell(view, kind, &changes);
    }

    /// Makes the kind exactly what list number `number` found at `revision`.
    pub(crate) fn replace(&self, kind: &Kind, items: Vec<Item>, revision: u64, number: u64) {
        let mut view = self.write();
        if revision != 0 && revision < view.seen_revision(kind) {
            tracing::warn!(kind = %kind.kind, revision, "the server's history went back; taking the list as it is");
            view.rewind_revision(kind);
        }
        let changes = view.replace(kind, items, revision);
        let is_first = self.lists(kind).is_some_and(|lists| lists.finish(number));
        self.tell(view, kind, &changes);
        if is_first {
            self.tell_kinds();
        }
    }

    fn tell(&self, view: RwLockWriteGuard<'_, View>, kind: &Kind, changes: &[Change]) {
        let view = RwLockWriteGuard::downgrade(view);
        for subscriber in self.subscribers.read().unwrap_or_else(PoisonError::into_inner).iter() {
            let Some(subscriber) = subscriber.upgrade() else { continue };
            subscriber.changed(&view, kind, changes);
        }
        drop(view);
        self.advance();
    }

    fn tell_kinds(&self) {
        for subscriber in self.subscribers.read().unwrap_or_else(PoisonError::into_inner).iter() {
            let Some(subscriber) = subscriber.upgrade() else { continue };
            subscriber.kinds_changed();
        }
    }

    fn advance(&self) {
        self.progress.send_modify(|count| *count += 1);
        self.advanced.notify_waiters();
    }
}

/// Applies one event unless it is a repetition or older than what is known.
fn apply_one(view: &mut View, kind: &Kind, delta: Delta) -> Option<Change> {
    match delta {
        Delta::Upsert(item) => {
            let revision = item.meta().resource_version;
            match is_older(view, kind, &item.meta().key(), revision.saturating_sub(1)) {
                true => None,
                false => Some(view.upsert(kind, item)),
            }
        }
        Delta::Remove(key, revision) => match is_older(view, kind, &key, revision) {
            true => None,
            false => view.remove(kind, &key, revision),
        },
        Delta::Observe(revision) => {
            view.observe_revision(kind, revision);
            None
        }
    }
}

/// Whether the known object is newer than `revision`; opaque revisions (0) never are.
fn is_older(view: &View, kind: &Kind, key: &Key, revision: u64) -> bool {
    revision != 0 && view.meta(kind, key).is_some_and(|known| known.resource_version > revision)
}

#[cfg(test)]
mod tests {
    use everynode_api::kinds;

    use super::*;

    fn pod(name: &str, revision: u64) -> Item {
        let text = format!(r#"{{"metadata":{{"name":"{name}","uid":"{name}","resourceVersion":"{revision}"}}}}"#);
        Item::parse(&kinds::POD, text.as_bytes()).unwrap()
    }

    #[derive(Default)]
    struct Recorder(std::sync::Mutex<Vec<(String, bool)>>);

    impl Subscriber for Recorder {
        fn changed(&self, _view: &View, _kind: &Kind, changes: &[Change]) {
            let mut seen = self.0.lock().unwrap();
            seen.extend(changes.iter().map(|change| (change.key.to_string(), change.new.is_some())));
        }
    }

    #[test]
    fn repeated_and_reordered_events_change_nothing() {
        let (cache, recorder) = (Cache::default(), Arc::new(Recorder::default()));
        let (subscriber, gone) = (Arc::downgrade(&recorder), Arc::downgrade(&Arc::new(Recorder::default())));
        cache.subscribe(subscriber);
        cache.subscribe(gone);
        cache.apply(&kinds::POD, vec![Delta::Upsert(pod("a", 5)), Delta::Upsert(pod("a", 7))]);
        cache.apply(&kinds::POD, vec![Delta::Upsert(pod("a", 7)), Delta::Upsert(pod("a", 5))]);
        cache.apply(&kinds::POD, vec![Delta::Remove(Key::new("", "a"), 6)]);
        assert_eq!(cache.read().meta(&kinds::POD, &Key::new("", "a")).unwrap().resource_version, 7);
        cache.apply(&kinds::POD, vec![Delta::Remove(Key::new("", "a"), 9)]);
        let expected = [("a", true), ("a", true), ("a", false)].map(|(name, present)| (name.to_string(), present));
        assert_eq!(*recorder.0.lock().unwrap(), expected);
    }

    #[test]
    fn synced_means_listed_once_and_lists_are_numbered() {
        // DS-F04
        let cache = Cache::default();
        let lists = cache.register(&kinds::POD);
        assert!(!cache.is_synced(&[kinds::POD]) && cache.watches(&kinds::POD) && !cache.watches(&kinds::NODE));
        let first = lists.begin();
        let asked = cache.ask_for_list(&kinds::POD);
        cache.replace(&kinds::POD, vec![pod("a", 3)], 9, first);
        assert!(cache.is_synced(&[kinds::POD]));
        assert!(!cache.has_list(&kinds::POD, asked), "a list that began before it was asked for does not count");
        cache.replace(&kinds::POD, vec![], 10, lists.begin());
        assert!(cache.has_list(&kinds::POD, asked));
    }

    #[test]
    fn a_history_that_went_back_is_taken_as_it_is() {
        let cache = Cache::default();
        cache.replace(&kinds::POD, vec![pod("a", 90)], 100, 1);
        cache.replace(&kinds::POD, vec![pod("b", 9)], 10, 2);
        assert_eq!(cache.read().seen_revision(&kinds::POD), 10);
        assert_eq!(cache.read().pods().len(), 1);
    }
}
