//! A sorted map whose snapshot costs one pointer copy, and that tells cheaply what has changed
//! since one.
//!
//! Entries lie in chunks of at most [`CHUNK_MAX`]; a chunk that a snapshot shares is copied when it
//! is written. Every chunk answers for a span of keys and carries the clock of the last change
//! within it, so that a reader that has seen the map before looks at the spans that changed and at
//! nothing else.

use std::cmp::Ordering;
use std::sync::Arc;

use crate::meta::Key;

/// Entries of a chunk. A write copies at most this many pointers, and as many chunks as 16,000
/// entries have.
const CHUNK_MAX: usize = 128;
/// A chunk with fewer is joined to its neighbour where both fit into one.
const CHUNK_MIN: usize = 32;

/// A sorted, persistent map.
#[derive(Debug)]
pub struct Sorted<V, K = Key> {
    chunks: Arc<Chunks<V, K>>,
    len: usize,
    clock: u64,
    line: Arc<Line>,
}

/// What makes a map and its snapshots known as relatives.
#[derive(Debug)]
struct Line;

type Chunks<V, K> = Vec<Arc<Chunk<V, K>>>;

#[derive(Debug)]
struct Chunk<V, K> {
    /// The chunk answers for keys from here on, up to the next chunk's; the first one also for all
    /// before.
    low: K,
    /// When something in its span changed.
    changed: u64,
    entries: Vec<(K, V)>,
}

/// The state of a map at one moment, without its content.
#[derive(Clone, Debug)]
pub struct Mark {
    clock: u64,
    line: Arc<Line>,
}

/// A span of keys within which something changed, and what is there now.
#[derive(Debug)]
pub struct Span<'a, V, K = Key> {
    /// `None`: from the first key on.
    pub low: Option<&'a K>,
    /// `None`: to the last key.
    pub high: Option<&'a K>,
    pub entries: &'a [(K, V)],
}

impl<V, K> Default for Sorted<V, K> {
    fn default() -> Self {
        Sorted { chunks: Arc::default(), len: 0, clock: 0, line: Arc::new(Line) }
    }
}

impl<V, K> Clone for Sorted<V, K> {
    fn clone(&self) -> Self {
        Sorted { chunks: self.chunks.clone(), len: self.len, clock: self.clock, line: self.line.clone() }
    }
}

impl<V: Clone, K: Clone> Clone for Chunk<V, K> {
    fn clone(&self) -> Self {
        // A copy is made to be written: room for one more.
        let mut entries = Vec::with_capacity(self.entries.len() + 1);
        entries.extend_from_slice(&self.entries);
        Chunk { low: self.low.clone(), changed: self.changed, entries }
    }
}

impl<V> Sorted<V> {
    /// As [`Sorted::get`], without a key at hand.
    pub fn find(&self, namespace: &str, name: &str) -> Option<&V> {
        Some(self.find_entry(namespace, name)?.1)
    }

    /// The same, with the key that is in the map.
    pub fn find_entry(&self, namespace: &str, name: &str) -> Option<(&Key, &V)> {
        self.entry(|key| compare(key, namespace, name))
    }

    /// Entries from this key on.
    pub fn from<'a>(&'a self, namespace: &str, name: &str) -> impl Iterator<Item = (&'a Key, &'a V)> + use<'a, V> {
        self.after(self.position(|key| compare(key, namespace, name)))
    }
}

fn compare(key: &Key, namespace: &str, name: &str) -> Ordering {
    (*key.namespace).cmp(namespace).then_with(|| (*key.name).cmp(name))
}

impl<V, K: Ord> Sorted<V, K> {
    pub fn len(&self) -> usize {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The chunk that answers for what is looked for. `order` tells how a key compares to that.
    fn chunk_of(&self, order: impl Fn(&K) -> Ordering) -> usize {
        let after = self.chunks.partition_point(|chunk| order(&chunk.low).is_le());
        after.saturating_sub(1)
    }

    fn entry(&self, order: impl Fn(&K) -> Ordering) -> Option<(&K, &V)> {
        let entries = &self.chunks.get(self.chunk_of(&order))?.entries;
        let index = entries.binary_search_by(|(key, _)| order(key)).ok()?;
        let (key, value) = &entries[index];
        Some((key, value))
    }

    pub fn get(&self, key: &K) -> Option<&V> {
        Some(self.entry(|known| known.cmp(key))?.1)
    }

    /// Where the first entry is that is not less than what is looked for: its chunk, and its place
    /// in it.
    fn position(&self, order: impl Fn(&K) -> Ordering) -> (usize, usize) {
        let number = self.chunk_of(&order);
        let chunk = self.chunks.get(number);
        (number, chunk.map_or(0, |chunk| chunk.entries.partition_point(|(key, _)| order(key).is_lt())))
    }

    fn after(&self, (chunk, skip): (usize, usize)) -> impl Iterator<Item = (&K, &V)> {
        let entries = self.chunks.iter().skip(chunk).flat_map(|chunk| chunk.entries.iter());
        entries.skip(skip).map(|(key, value)| (key, value))
    }

    pub fn iter(&self) -> impl Iterator<Item = (&K, &V)> + Clone {
        self.chunks.iter().flat_map(|chunk| chunk.entries.iter().map(|(key, value)| (key, value)))
    }

    pub fn values(&self) -> impl Iterator<Item = &V> + Clone {
        self.iter().map(|(_, value)| value)
    }

    pub fn first(&self) -> Option<&V> {
        self.chunks.first()?.entries.first().map(|(_, value)| value)
    }

    pub fn last(&self) -> Option<&V> {
        self.chunks.last()?.entries.last().map(|(_, value)| value)
    }

    /// The state now, to ask later what has changed since.
    pub fn mark(&self) -> Mark {
        Mark { clock: self.clock, line: self.line.clone() }
    }

    /// The spans within which something changed after the mark; `None` if the mark is not of this
    /// map or of a later state.
    pub fn changed_since(&self, mark: &Mark) -> Option<impl Iterator<Item = Span<'_, V, K>>> {
        let known = Arc::ptr_eq(&self.line, &mark.line) && mark.clock <= self.clock;
        let since = mark.clock;
        let span = move |(index, chunk): (usize, &'_ Arc<Chunk<V, K>>)| (chunk.changed > since).then_some(index);
        let spans = self.chunks.iter().enumerate().filter_map(span).map(|index| Span {
            low: (index > 0).then(|| &self.chunks[index].low),
            high: self.chunks.get(index + 1).map(|next| &next.low),
            entries: &self.chunks[index].entries,
        });
        // With the last entry its chunk went: nothing is left that could tell.
        let emptied =
            (self.chunks.is_empty() && self.clock > since).then_some(Span { low: None, high: None, entries: &[] });
        known.then(|| spans.chain(emptied))
    }

    /// The entries of a span, as they are in this state of the map.
    pub fn within<'a>(&'a self, span: &Span<'a, V, K>) -> impl Iterator<Item = (&'a K, &'a V)> + use<'a, V, K> {
        let start = span.low.map_or((0, 0), |low| self.position(|key| key.cmp(low)));
        let high = span.high;
        self.after(start).take_while(move |(key, _)| high.is_none_or(|high| *key < high))
    }
}

impl<V: Clone, K: Ord + Clone> Sorted<V, K> {
    /// Adds or replaces.
    pub fn insert(&mut self, key: K, value: V) -> Option<V> {
        self.clock += 1;
        self.put(key, value, self.clock)
    }

    /// As [`Sorted::insert`] for a change that a comparison of states need not look at: a key that
    /// is there already changes no mark.
    pub fn insert_quietly(&mut self, key: K, value: V) -> Option<V> {
        match self.get(&key).is_some() {
            true => self.put(key, value, 0),
            false => self.insert(key, value),
        }
    }

    fn put(&mut self, key: K, value: V, clock: u64) -> Option<V> {
        let number = self.chunk_of(|known| known.cmp(&key));
        let chunks = Arc::make_mut(&mut self.chunks);
        let Some(chunk) = chunks.get_mut(number).map(Arc::make_mut) else {
            chunks.push(Arc::new(Chunk { low: key.clone(), changed: clock, entries: vec![(key, value)] }));
            self.len += 1;
            return None;
        };
        chunk.changed = chunk.changed.max(clock);
        match chunk.entries.binary_search_by(|(known, _)| known.cmp(&key)) {
            Ok(index) => Some(std::mem::replace(&mut chunk.entries[index].1, value)),
            Err(index) => {
                chunk.entries.insert(index, (key, value));
                self.len += 1;
                if chunk.entries.len() > CHUNK_MAX {
                    // What comes in order leaves full chunks behind.
                    let at = if index == CHUNK_MAX { CHUNK_MAX } else { CHUNK_MAX / 2 };
                    let entries = chunk.entries.split_off(at);
                    let upper = Chunk { low: entries[0].0.clone(), changed: clock, entries };
                    chunks.insert(number + 1, Arc::new(upper));
                }
                None
            }
        }
    }

    pub fn remove(&mut self, key: &K) -> Option<V> {
        let number = self.chunk_of(|known| known.cmp(key));
        let index = self.chunks.get(number)?.entries.binary_search_by(|(known, _)| known.cmp(key)).ok()?;
        self.clock += 1;
        self.len -= 1;
        let clock = self.clock;
        let chunks = Arc::make_mut(&mut self.chunks);
        let chunk = Arc::make_mut(&mut chunks[number]);
        chunk.changed = clock;
        let (_, value) = chunk.entries.remove(index);
        if chunk.entries.len() < CHUNK_MIN {
            join(chunks, number, clock);
        }
        Some(value)
    }
}

/// Joins a chunk that has become small to the one before it (the first one to the one after), if
/// both fit into one.
fn join<V: Clone, K: Clone>(chunks: &mut Chunks<V, K>, number: usize, clock: u64) {
    let lower = number.saturating_sub(1);
    let Some(upper) = chunks.get(lower + 1).cloned() else {
        if chunks[number].entries.is_empty() {
            chunks.remove(number);
        }
        return;
    };
    if chunks[lower].entries.len() + upper.entries.len() <= CHUNK_MAX {
        let chunk = Arc::make_mut(&mut chunks[lower]);
        chunk.entries.extend_from_slice(&upper.entries);
        // The span is the one of both now.
        chunk.changed = clock;
        chunks.remove(lower + 1);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn key(number: u16) -> Key {
        Key::new(if number.is_multiple_of(3) { "a" } else { "b" }, &format!("{number:05}"))
    }

    /// What a reader knows that follows only the changed spans.
    fn follow(known: &mut BTreeMap<Key, u32>, map: &Sorted<u32>, mark: &Mark) {
        for span in map.changed_since(mark).unwrap() {
            let inside = |key: &Key| span.low.is_none_or(|low| key >= low) && span.high.is_none_or(|high| key < high);
            known.retain(|key, _| !inside(key));
            known.extend(span.entries.iter().cloned());
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn it_is_a_sorted_map_with_snapshots(steps in prop::collection::vec((0_u16..600, 0_u8..10), 0..1200)) {
            let (mut map, mut model) = (Sorted::default(), BTreeMap::new());
            let (mut snapshot, mut then) = (map.clone(), model.clone());
            let mut known = BTreeMap::new();
            for (number, (name, what)) in steps.into_iter().enumerate() {
                let key = key(name);
                match what {
                    0..=5 => prop_assert_eq!(map.insert(key.clone(), number as u32), model.insert(key, number as u32)),
                    6..=8 => prop_assert_eq!(map.remove(&key), model.remove(&key)),
                    _ => {
                        prop_assert!(snapshot.iter().eq(then.iter()));
                        follow(&mut known, &map, &snapshot.mark());
                        prop_assert_eq!(&known, &model);
                        (snapshot, then) = (map.clone(), model.clone());
                    }
                }
                prop_assert_eq!(map.len(), model.len());
            }
            prop_assert!(map.iter().eq(model.iter()));
            let probe = key(300);
            prop_assert_eq!(map.get(&probe), model.get(&probe));
            let later = map.from(&probe.namespace, &probe.name);
            prop_assert!(later.eq(model.range(probe.clone()..)));
        }
    }

    #[test]
    fn a_quiet_change_is_seen_by_readers_and_not_by_marks() {
        let mut map = Sorted::default();
        for number in 0..500 {
            map.insert(key(number), 0);
        }
        let mark = map.mark();
        map.insert_quietly(key(7), 1);
        assert_eq!((map.get(&key(7)), map.changed_since(&mark).unwrap().count()), (Some(&1), 0));
        map.insert_quietly(key(900), 1);
        assert_eq!(map.changed_since(&mark).unwrap().count(), 1, "a new key is no quiet change");
        assert!(Sorted::<u32>::default().changed_since(&mark).is_none(), "of another map");
    }

    #[test]
    fn one_change_shows_one_span() {
        let mut map = Sorted::default();
        for number in 0..5000 {
            map.insert(key(number), 0);
        }
        let mark = map.mark();
        map.insert(key(2500), 1);
        let spans: Vec<_> = map.changed_since(&mark).unwrap().collect();
        assert!(spans.len() == 1 && spans[0].entries.len() <= CHUNK_MAX, "{}", spans.len());
    }
}
