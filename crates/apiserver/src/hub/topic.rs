//! One stored kind: its objects, its recent events, its watchers.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::ops::Bound;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use everynode_store::{Change, Key, KeyValue};

use super::event::{Event, Item};
use super::filter::{Filter, Route};
use super::queue::Queue;
use crate::catalogue::RowRef;
use crate::keys;

/// Events kept for watchers that resume are at most so many bytes of objects (per kind), and as
/// many as the kind's row says.
const RING_BYTES_MAX: usize = 24 << 20;
/// Frames are kept for the newest events only.
const FRAMES_KEPT: usize = 512;

#[derive(Debug)]
pub(crate) struct Topic {
    pub(crate) row: RowRef,
    state: Mutex<State>,
    /// Whether pods are indexed by node: their traits are then read before the lock is taken.
    indexed: AtomicBool,
}

#[derive(Debug, Default)]
struct State {
    objects: BTreeMap<Key, Arc<Item>>,
    /// Pods by node, made when first asked for.
    by_node: Option<HashMap<Box<str>, BTreeSet<Key>>>,
    ring: VecDeque<Arc<Event>>,
    ring_bytes: usize,
    ring_max: usize,
    /// Every event after this revision is in the ring.
    floor: u64,
    /// Changes up to this revision are known without being applied.
    started: u64,
    /// The newest event.
    revision: u64,
    /// By route and number; ordered, because the order of telling is visible.
    watchers: BTreeMap<Route, BTreeMap<u64, Arc<Queue>>>,
    next_watcher: u64,
    closed: bool,
}

/// The ring no longer reaches back to the revision asked for.
pub(crate) struct TooOld {
    pub(crate) oldest: u64,
}

/// A registered watcher's place in the topic.
#[derive(Debug)]
pub(crate) struct Registration {
    pub(crate) id: u64,
    pub(crate) route: Route,
    pub(crate) queue: Arc<Queue>,
}

impl Topic {
    pub(crate) fn new(row: RowRef) -> Arc<Topic> {
        let state = Mutex::new(State { ring_max: row.history_events_max, ..State::default() });
        Arc::new(Topic { row, state, indexed: AtomicBool::new(false) })
    }

    /// A topic that begins with these objects; changes up to the revision are in them.
    pub(crate) fn starting(row: RowRef, items: Vec<Item>, revision: u64) -> Arc<Topic> {
        let topic = Topic::new(row);
        topic.reset(items, revision);
        topic.lock().started = revision;
        topic
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts from a full state; all watchers have to start again.
    pub(crate) fn reset(&self, items: Vec<Item>, revision: u64) {
        let mut state = self.lock();
        state.close_watchers();
        let (ring_max, watched) = (state.ring_max, state.next_watcher);
        let objects = items.into_iter().map(|item| (item.kv.key.clone(), Arc::new(item))).collect();
        *state = State { objects, floor: revision, revision, ring_max, next_watcher: watched, ..State::default() };
    }

    pub(crate) fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        state.close_watchers();
    }

    /// Takes in a change from before the state that the topic started from: only for watchers that
    /// resume.
    pub(crate) fn remember(&self, change: &Change) {
        if change.revision.0 <= self.lock().floor {
            return;
        }
        let item = |kv: &Option<KeyValue>| kv.clone().map(|kv| Arc::new(Item::new(&self.row, kv)));
        let event = Event::new(change.revision.0, item(&change.value), item(&change.previous));
        self.lock().remember(&Arc::new(event));
    }

    /// Takes in one change and tells those whom it concerns.
    pub(crate) fn apply(&self, change: &Change) {
        let current = change.value.clone().map(|kv| Arc::new(Item::new(&self.row, kv)));
        if self.indexed.load(Ordering::Relaxed) {
            current.as_ref().map(|item| item.selectable());
        }
        let mut state = self.lock();
        if change.revision.0 <= state.started {
            return;
        }
        let held = state.put(&change.key, current.as_ref());
        let previous = change.previous.as_ref().map(|before| self.before(before, held));
        state.index(&change.key, previous.as_ref(), current.as_ref());
        self.indexed.store(state.by_node.is_some(), Ordering::Relaxed);
        let event = Arc::new(Event::new(change.revision.0, current, previous));
        state.remember(&event);
        state.tell(&event);
    }

    /// The state before a change: what was held if it is that, so that its traits need no second
    /// reading.
    fn before(&self, before: &KeyValue, held: Option<Arc<Item>>) -> Arc<Item> {
        let held = held.filter(|item| item.kv.modified == before.modified);
        held.unwrap_or_else(|| Arc::new(Item::new(&self.row, before.clone())))
    }

    /// The item for a key-value, with its cached traits if this is the current state.
    pub(crate) fn item(&self, kv: KeyValue) -> Arc<Item> {
        let known = self.lock().objects.get(&kv.key).filter(|item| item.kv.modified == kv.modified).cloned();
        known.unwrap_or_else(|| Arc::new(Item::new(&self.row, kv)))
    }

    /// The items for a page of a list, with one lock for all.
    pub(crate) fn items(&self, page: Vec<KeyValue>) -> Vec<Arc<Item>> {
        let state = self.lock();
        let item = |kv: KeyValue| match state.objects.get(&kv.key).filter(|item| item.kv.modified == kv.modified) {
            Some(item) => item.clone(),
            None => Arc::new(Item::new(&self.row, kv)),
        };
        page.into_iter().map(item).collect()
    }

    /// How many objects' keys begin with this, counted up to a bound.
    pub(crate) fn count(&self, prefix: &str, max: usize) -> usize {
        let state = self.lock();
        let from = state.objects.range::<str, _>((Bound::Included(prefix), Bound::Unbounded));
        from.take_while(|(key, _)| key.starts_with(prefix)).take(max).count()
    }

    /// What the filter matches now, in key order.
    pub(crate) fn select(&self, filter: &Filter) -> Vec<Arc<Item>> {
        let candidates = self.lock().candidates(&self.row.storage, filter);
        // The filter may have to read objects: outside the lock.
        candidates.into_iter().filter(|item| filter.matches(item)).collect()
    }

    /// All objects now.
    pub(crate) fn all(&self) -> Vec<Arc<Item>> {
        self.lock().objects.values().cloned().collect()
    }

    /// One object now.
    pub(crate) fn get(&self, key: &str) -> Option<Arc<Item>> {
        self.lock().objects.get(key).cloned()
    }

    pub(crate) fn len(&self) -> usize {
        self.lock().objects.len()
    }

    /// The newest event's revision: a version of the topic's content.
    pub(crate) fn version(&self) -> u64 {
        self.lock().revision
    }

    /// Registers a watcher for events after `after`; those that have already happened are queued.
    pub(crate) fn resume(&self, filter: &Filter, after: u64) -> Result<Registration, TooOld> {
        let mut state = self.lock();
        state.check(after)?;
        let registration = state.register(filter.route());
        registration.queue.refill(state.since(after));
        Ok(registration)
    }

    /// Registers a watcher for everything after now; what there is now comes along.
    pub(crate) fn begin(&self, filter: &Filter) -> (Registration, Vec<Arc<Item>>) {
        let mut state = self.lock();
        let candidates = state.candidates(&self.row.storage, filter);
        (state.register(filter.route()), candidates)
    }

    /// Fills a lagging watcher's queue from the ring.
    pub(crate) fn catch_up(&self, registration: &Registration, after: u64) -> Result<(), TooOld> {
        let state = self.lock();
        state.check(after)?;
        registration.queue.refill(state.since(after));
        Ok(())
    }

    pub(crate) fn unregister(&self, registration: &Registration) {
        let mut state = self.lock();
        if let Some(watchers) = state.watchers.get_mut(&registration.route) {
            watchers.remove(&registration.id);
            if watchers.is_empty() {
                state.watchers.remove(&registration.route);
            }
        }
    }
}

impl State {
    fn close_watchers(&mut self) {
        std::mem::take(&mut self.watchers).into_values().flatten().for_each(|(_, queue)| queue.close());
    }

    /// Sets or removes an object; returns what was held.
    fn put(&mut self, key: &Key, current: Option<&Arc<Item>>) -> Option<Arc<Item>> {
        match current {
            Some(item) => self.objects.insert(key.clone(), item.clone()),
            None => self.objects.remove(key),
        }
    }

    fn index(&mut self, key: &Key, previous: Option<&Arc<Item>>, current: Option<&Arc<Item>>) {
        let Some(by_node) = &mut self.by_node else { return };
        let (from, to) = (previous.map_or("", |item| item.node()), current.map_or("", |item| item.node()));
        if from == to && current.is_some() && previous.is_some() {
            return;
        }
        if let Some(keys) = by_node.get_mut(from) {
            keys.remove(key);
            if keys.is_empty() {
                by_node.remove(from);
            }
        }
        if current.is_some() {
            by_node.entry(to.into()).or_default().insert(key.clone());
        }
    }

    fn remember(&mut self, event: &Arc<Event>) {
        self.revision = event.revision;
        self.ring_bytes += weight(event);
        self.ring.push_back(event.clone());
        if let Some(old) = self.ring.len().checked_sub(FRAMES_KEPT + 1).and_then(|at| self.ring.get(at)) {
            old.forget_frames();
        }
        while self.ring.len() > self.ring_max || self.ring_bytes > RING_BYTES_MAX {
            let Some(oldest) = self.ring.pop_front() else { break };
            self.ring_bytes -= weight(&oldest);
            self.floor = oldest.revision;
        }
    }

    fn tell(&self, event: &Arc<Event>) {
        let current = event.current.as_deref();
        let previous = event.previous.as_deref();
        let Some(item) = current.or(previous) else { return };
        let (namespace, name) = item.namespace_and_name();
        self.tell_route(&Route::Everything, event);
        self.tell_route(&Route::Namespace(namespace.into()), event);
        self.tell_route(&Route::Name(name.into()), event);
        if self.by_node.is_some() {
            let (now, before) = (current.map_or("", Item::node), previous.map_or("", Item::node));
            self.tell_route(&Route::Node(now.into()), event);
            if now != before {
                self.tell_route(&Route::Node(before.into()), event);
            }
        }
    }

    fn tell_route(&self, route: &Route, event: &Arc<Event>) {
        self.watchers.get(route).into_iter().flatten().for_each(|(_, queue)| queue.push(event));
    }

    fn check(&self, after: u64) -> Result<(), TooOld> {
        match after < self.floor {
            true => Err(TooOld { oldest: self.floor }),
            false => Ok(()),
        }
    }

    fn since(&self, after: u64) -> impl Iterator<Item = Arc<Event>> + '_ {
        let start = self.ring.partition_point(|event| event.revision <= after);
        self.ring.range(start..).cloned()
    }

    fn register(&mut self, route: Route) -> Registration {
        if matches!(route, Route::Node(_)) {
            self.nodes_index();
        }
        let (id, queue) = (self.next_watcher, Arc::new(Queue::default()));
        self.next_watcher += 1;
        if self.closed {
            queue.close();
        }
        self.watchers.entry(route.clone()).or_default().insert(id, queue.clone());
        Registration { id, route, queue }
    }

    fn nodes_index(&mut self) -> &HashMap<Box<str>, BTreeSet<Key>> {
        let objects = &self.objects;
        self.by_node.get_or_insert_with(|| {
            let mut by_node: HashMap<Box<str>, BTreeSet<Key>> = HashMap::new();
            for (key, item) in objects {
                by_node.entry(item.node().into()).or_default().insert(key.clone());
            }
            by_node
        })
    }

    /// A superset of what the filter matches, as small as the indexes allow.
    fn candidates(&mut self, storage: &str, filter: &Filter) -> Vec<Arc<Item>> {
        if let Some(node) = filter.node() {
            let keys: Vec<Key> = self.nodes_index().get(node).into_iter().flatten().cloned().collect();
            return keys.iter().filter_map(|key| self.objects.get(key).cloned()).collect();
        }
        let prefix = match filter.namespace.as_deref() {
            Some(namespace) => format!("{}{storage}/{namespace}/", keys::REGISTRY),
            None => format!("{}{storage}/", keys::REGISTRY),
        };
        let start: Key = prefix.as_str().into();
        let below = self.objects.range(start..).take_while(|(key, _)| key.starts_with(&prefix));
        below.map(|(_, item)| item.clone()).collect()
    }
}

/// What an event adds to the ring: the state before it was counted with the event that made it.
fn weight(event: &Event) -> usize {
    event.current.as_ref().map_or(0, |item| item.kv.value.len()) + 128
}
