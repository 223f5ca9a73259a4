//! Reads: a fixed state, now or at an older revision.
//!
//! A view is made from pieces taken under the index's lock in constant time and then works alone,
//! so that the longest list never delays a write. An older state is the current tree with the
//! later changes of the range undone: the value at revision R is what the first change after R
//! says was there before.

use std::collections::BTreeMap;
use std::ops::Bound;

use crate::history::Suffix;
use crate::tree::Tree;
use crate::{Key, KeyValue, Page, Range, Revision};

pub(crate) struct View {
    pub(crate) tree: Tree,
    pub(crate) revision: Revision,
    /// What happened after `revision` and must be undone.
    pub(crate) later: Suffix,
}

/// Keys of a range that have changed since, and what they held.
type EarlierValues<'a> = BTreeMap<&'a Key, Option<&'a KeyValue>>;

impl View {
    pub(crate) fn get(&self, key: &str) -> Option<KeyValue> {
        let mut changes = self.later.commits().flat_map(|commit| commit.iter());
        match changes.find(|change| &*change.key == key) {
            Some(change) => change.previous.clone(),
            None => self.tree.get(key).map(|entry| entry.kv.clone()),
        }
    }

    pub(crate) fn range(&self, range: &Range, limit: usize) -> Page {
        let undone = self.undone(range);
        let limit = if limit == 0 { usize::MAX } else { limit };
        let items: Vec<_> = self.merged(range, &undone).take(limit).cloned().collect();
        let remaining = match items.last() {
            Some(last) if items.len() == limit => self.count_after(&last.key, range, &undone),
            _ => 0,
        };
        Page { items, revision: self.revision, remaining }
    }

    fn undone(&self, range: &Range) -> EarlierValues<'_> {
        let mut undone = EarlierValues::new();
        for change in self.later.commits().flat_map(|commit| commit.iter()) {
            if *change.key >= *range.start && range.holds_below_end(&change.key) {
                undone.entry(&change.key).or_insert(change.previous.as_ref());
            }
        }
        undone
    }

    fn merged<'a>(&'a self, range: &'a Range, undone: &'a EarlierValues<'a>) -> impl Iterator<Item = &'a KeyValue> {
        let current = self.tree.iter_from(&range.start).map(|entry| &entry.kv);
        let mut current = current.take_while(|kv| range.holds_below_end(&kv.key)).peekable();
        let mut undone = undone.iter().peekable();
        let step = move || match (current.peek(), undone.peek()) {
            (Some(now), Some((key, _))) if now.key < ***key => Some(current.next()),
            (Some(now), Some((key, _))) if now.key == ***key => {
                current.next();
                undone.next().map(|(_, was)| *was)
            }
            (_, Some(_)) => undone.next().map(|(_, was)| *was),
            (Some(_), None) => Some(current.next()),
            (None, None) => None,
        };
        std::iter::from_fn(step).flatten()
    }

    /// How many keys of the range come after `last`, a key of the view.
    fn count_after(&self, last: &Key, range: &Range, undone: &EarlierValues<'_>) -> u64 {
        let end = if range.end.is_empty() { self.tree.len() } else { self.tree.rank(&range.end) };
        let upto = self.tree.rank(last) + usize::from(self.tree.get(last).is_some());
        let (mut gone, mut back) = (0, 0);
        for (key, was) in undone.range::<Key, _>((Bound::Excluded(last), Bound::Unbounded)) {
            back += usize::from(was.is_some());
            gone += usize::from(self.tree.get(key).is_some());
        }
        (end.saturating_sub(upto) + back - gone) as u64
    }
}
