//! The watch hub: one stream of the store's changes, fanned out to every watcher.
//!
//! One feeder task follows the whole registry and sorts changes into topics, one per stored kind.
//! A topic knows the current objects, a bounded ring of recent events, and its watchers by what
//! they can be looked up by (a node name, an object name, a namespace, or nothing), so that an
//! event costs one lookup and not one comparison per watcher. Events are shared; their encoded
//! frames are made once per form (see [`event`]). Watchers filter on their own side and their
//! queues are bounded: one that falls behind catches up from the ring, and is told 410 when the
//! ring no longer reaches back to it.

mod encode;
mod event;
mod filter;
mod queue;
mod selectable_fields;
#[cfg(test)]
mod tests;
mod topic;
mod watcher;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use everynode_api::kinds::Text;
use everynode_store::{Change, Revision, Store, StoreError, Watch, WatchItem, prefix_range};
use tokio::sync::{Notify, watch};

use crate::catalogue::{RowRef, built_in};
use crate::keys;

pub(crate) use encode::{Form, Shown, frame_of_type, json_frame, protobuf_frame};
pub(crate) use event::{EventKind, Item};
pub(crate) use filter::Filter;
pub(crate) use selectable_fields::FieldRules;
pub(crate) use topic::Topic;
pub(crate) use watcher::{Delivery, Start, WatchOptions, Watcher};

/// All topics, and how far the hub has followed the store.
pub(crate) struct Hub {
    /// Ordered, so that a simulation goes through them in the same order every time.
    topics: BTreeMap<Text, Arc<Topic>>,
    /// Those of custom resources, which come and go.
    defined: RwLock<BTreeMap<Text, Arc<Topic>>>,
    /// Every change up to this revision has been handed to all topics.
    revision: watch::Sender<u64>,
    /// The revision of the state that the topics started from; changes up to it are history.
    loaded: AtomicU64,
    /// The store is gone: nothing is worth waiting for any more.
    closed: AtomicBool,
    /// Wakes the tasks that wait for either, in the order in which they came: a run is then a
    /// function of what came before.
    advanced: Notify,
}

impl Hub {
    /// Reads the registry and opens the store's watch; [`Feeder::run`] then has to be driven.
    ///
    /// `defined` are the rows of the stored versions of custom resources.
    pub(crate) fn open(store: &Arc<dyn Store>, defined: &[RowRef]) -> Result<(Arc<Hub>, Feeder), StoreError> {
        let topic = |row: RowRef| (row.storage.clone(), Topic::new(row));
        // Of several forms of the same objects, the stored one knows their fields.
        let stored = built_in::all().into_iter().filter(|row| row.is_stored_form());
        let topics = stored.map(|row| topic(RowRef::BuiltIn(row))).collect();
        let defined = RwLock::new(defined.iter().cloned().map(topic).collect());
        let (loaded, closed) = (AtomicU64::new(0), AtomicBool::new(false));
        let hub =
            Arc::new(Hub { topics, defined, revision: watch::Sender::new(0), loaded, closed, advanced: Notify::new() });
        let watch = hub.reload(store)?;
        Ok((hub.clone(), Feeder { hub, store: store.clone(), watch }))
    }

    /// Takes the registry's state anew and watches from there.
    fn reload(&self, store: &Arc<dyn Store>) -> Result<Box<dyn Watch>, StoreError> {
        // The watch first: it also brings what happened before, so that watchers can resume across
        // a restart.
        let (watch, floor) = watch_history(store)?;
        let page = store.range(&prefix_range(keys::REGISTRY), None, 0)?;
        let mut sorted: HashMap<String, Vec<Item>> = HashMap::new();
        for kv in page.items {
            let topic = keys::split(&kv.key).and_then(|(storage, _)| self.topic(storage));
            if let Some(topic) = topic {
                sorted.entry(topic.row.storage.to_string()).or_default().push(Item::new(&topic.row, kv));
            }
        }
        for topic in self.all() {
            // Renewals may have been lost without a sign: a watch of them begins with a list.
            let floor = if topic.row.is_durable { floor } else { page.revision };
            topic.reset(sorted.remove(&*topic.row.storage).unwrap_or_default(), floor.0);
        }
        self.loaded.store(page.revision.0, Ordering::Release);
        self.revision.send_replace(floor.0);
        if floor == page.revision {
            self.advance(page.revision.0);
        }
        Ok(watch)
    }

    pub(crate) fn topic(&self, storage: &str) -> Option<Arc<Topic>> {
        match self.topics.get(storage) {
            Some(topic) => Some(topic.clone()),
            None => self.defined().get(storage).cloned(),
        }
    }

    fn defined(&self) -> RwLockReadGuard<'_, BTreeMap<Text, Arc<Topic>>> {
        self.defined.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn all(&self) -> Vec<Arc<Topic>> {
        self.topics.values().chain(self.defined().values()).cloned().collect()
    }

    /// Has a topic for each of these rows of custom resources. One whose row is another than before
    /// begins anew, and its watches end.
    pub(crate) fn define(&self, store: &Arc<dyn Store>, rows: &[RowRef]) -> Result<(), StoreError> {
        for row in rows {
            // Nothing is applied meanwhile: what comes later comes after the state that is read
            // here.
            let mut defined = self.defined.write().unwrap_or_else(PoisonError::into_inner);
            if defined.get(&row.storage).is_some_and(|topic| topic.row.is_same(row)) {
                continue;
            }
            let page = store.range(&prefix_range(&keys::collection(row, None)), None, 0)?;
            let items = page.items.into_iter().map(|kv| Item::new(row, kv)).collect();
            let topic = Topic::starting(row.clone(), items, page.revision.0);
            if let Some(former) = defined.insert(row.storage.clone(), topic) {
                former.close();
            }
        }
        Ok(())
    }

    /// Ends the topics of custom resources that are no longer defined.
    pub(crate) fn forget_all_but(&self, rows: &[RowRef]) {
        let wanted: HashSet<&str> = rows.iter().map(|row| &*row.storage).collect();
        let mut defined = self.defined.write().unwrap_or_else(PoisonError::into_inner);
        defined.retain(|storage, topic| {
            let stays = wanted.contains(&**storage);
            if !stays {
                topic.close();
            }
            stays
        });
    }

    /// Whether the store has been shut down.
    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// A receiver that follows the hub's revision.
    pub(crate) fn follow(&self) -> watch::Receiver<u64> {
        self.revision.subscribe()
    }

    /// Waits until the history before the start has been taken in.
    pub(crate) async fn loaded(&self) {
        self.reached(Revision(self.loaded.load(Ordering::Acquire))).await;
    }

    /// Waits until everything up to `revision` has reached the topics, or the store is shut down.
    pub(crate) async fn reached(&self, revision: Revision) {
        loop {
            // From here on nothing is missed: what advances later wakes it.
            let mut advanced = std::pin::pin!(self.advanced.notified());
            advanced.as_mut().enable();
            if *self.revision.borrow() >= revision.0 || self.closed.load(Ordering::Acquire) {
                return;
            }
            advanced.await;
        }
    }

    fn apply(&self, changes: &[Change]) {
        let mut at = 0;
        let loaded = self.loaded.load(Ordering::Acquire);
        for change in changes {
            at = at.max(change.revision.0);
            let Some((storage, _)) = keys::split(&change.key) else { continue };
            if let Some(topic) = self.topics.get(storage) {
                apply(topic, change, loaded);
            } else if let Some(topic) = self.defined().get(storage) {
                apply(topic, change, loaded);
            }
        }
        self.advance(at);
    }

    fn advance(&self, revision: u64) {
        self.revision.send_if_modified(|at| {
            let newer = revision > *at;
            *at = revision.max(*at);
            newer
        });
        self.advanced.notify_waiters();
    }

    fn close(&self) {
        self.all().iter().for_each(|topic| topic.close());
        self.closed.store(true, Ordering::Release);
        self.advanced.notify_waiters();
    }
}

/// A change of what a topic started from is history.
fn apply(topic: &Topic, change: &Change, loaded: u64) {
    match change.revision.0 <= loaded {
        true => topic.remember(change),
        false => topic.apply(change),
    }
}

/// A watch from as far back as the store remembers, and from where that is.
fn watch_history(store: &Arc<dyn Store>) -> Result<(Box<dyn Watch>, Revision), StoreError> {
    // Of all keys, not only the registry's: then every commit is seen, and "reached" never waits
    // for the next one.
    match store.watch(keys::EVERYTHING, Revision(0)) {
        Ok(watch) => Ok((watch, Revision(0))),
        Err(StoreError::Compacted { oldest, .. }) => store.watch(keys::EVERYTHING, oldest).map(|watch| (watch, oldest)),
        Err(error) => Err(error),
    }
}

/// The one task that follows the store.
pub(crate) struct Feeder {
    hub: Arc<Hub>,
    store: Arc<dyn Store>,
    watch: Box<dyn Watch>,
}

impl Feeder {
    /// Follows the store until it shuts down; then every watch ends.
    pub(crate) async fn run(mut self) {
        while let Some(item) = self.watch.next().await {
            match item {
                WatchItem::Changes(changes) => self.hub.apply(&changes),
                WatchItem::Progress(revision) => self.hub.advance(revision.0),
                WatchItem::Overrun => match self.hub.reload(&self.store) {
                    Ok(watch) => self.watch = watch,
                    Err(error) => {
                        tracing::error!(%error, "the watch hub cannot read the store again");
                        break;
                    }
                },
            }
        }
        self.hub.close();
    }
}
