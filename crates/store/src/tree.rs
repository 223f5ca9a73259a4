//! A persistent ordered map: the current state as one immutable value.
//!
//! Why persistent: a reader takes the root under a lock for a few nanoseconds and then walks it
//! for as long as it likes, and the writer stages a whole batch on a copy that it throws away if
//! the disk refuses. Why our own: nodes hold one pointer per entry and each branch knows the size
//! of its children, so "how many keys remain beyond this page" costs a descent and not a walk.
//!
//! Invariants (held by the model test below): all leaves have the same depth; child `i` of a
//! branch holds the keys from its `first` up to the next child's `first` (the first child is open
//! below); `count` is the number of entries in the child; no node but the root is empty, and none
//! has more than [`FANOUT`] slots.

use std::sync::Arc;

use crate::{Key, KeyValue};

/// Slots per node: 64 pointers are eight cache lines, and three levels hold 260,000 keys.
const FANOUT: usize = 64;
/// Below this many slots a node is merged with a neighbour if both fit into one.
const MERGE_BELOW: usize = FANOUT / 4;

/// One stored key, with what the store knows beyond the contract.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) kv: KeyValue,
    /// When the key deletes itself, in milliseconds since the Unix epoch.
    pub(crate) expires_ms: Option<u64>,
    /// Names this incarnation of the key; the embedded backend's row id. Never used twice.
    pub(crate) row: u64,
}

impl Entry {
    pub(crate) fn key(&self) -> &Key {
        &self.kv.key
    }
}

#[derive(Clone, Debug)]
enum Node {
    Leaf(Vec<Arc<Entry>>),
    Branch(Vec<Child>),
}

#[derive(Clone, Debug)]
struct Child {
    first: Key,
    count: usize,
    node: Arc<Node>,
}

/// The map. Cloning costs one reference count.
#[derive(Clone, Debug)]
pub(crate) struct Tree {
    root: Arc<Node>,
    len: usize,
}

impl Default for Tree {
    fn default() -> Tree {
        Tree { root: Arc::new(Node::Leaf(Vec::new())), len: 0 }
    }
}

impl Tree {
    /// Builds the map from entries that are sorted by key and distinct.
    pub(crate) fn from_sorted(entries: Vec<Arc<Entry>>) -> Tree {
        let len = entries.len();
        let mut level: Vec<Child> = chunks(entries).map(|leaf| Child::over(Node::Leaf(leaf))).collect();
        while level.len() > 1 {
            level = chunks(level).map(|branch| Child::over(Node::Branch(branch))).collect();
        }
        level.pop().map_or_else(Tree::default, |root| Tree { root: root.node, len })
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn get(&self, key: &str) -> Option<&Arc<Entry>> {
        let mut node = &*self.root;
        loop {
            match node {
                Node::Leaf(entries) => return find(entries, key).ok().map(|at| &entries[at]),
                Node::Branch(children) => node = &children[child_of(children, key)].node,
            }
        }
    }

    /// Puts an entry under its key and returns the one that it replaced.
    pub(crate) fn insert(&mut self, entry: Arc<Entry>) -> Option<Arc<Entry>> {
        let (replaced, split) = self.root_mut().insert(entry);
        if let Some(right) = split {
            let left = Child::over_arc(self.root.clone());
            self.root = Arc::new(Node::Branch(vec![left, right]));
        }
        self.len += usize::from(replaced.is_none());
        replaced
    }

    /// Removes a key and returns its entry.
    pub(crate) fn remove(&mut self, key: &str) -> Option<Arc<Entry>> {
        self.get(key)?;
        let removed = self.root_mut().remove(key);
        self.len -= usize::from(removed.is_some());
        while let Node::Branch(children) = &*self.root
            && children.len() == 1
        {
            self.root = children[0].node.clone();
        }
        removed
    }

    /// The entries with keys at or after `start`, in key order, to the end of the map.
    pub(crate) fn iter_from(&self, start: &str) -> Iter<'_> {
        let mut iter = Iter { branches: Vec::new(), leaf: [].iter() };
        let mut node = &*self.root;
        loop {
            match node {
                Node::Leaf(entries) => {
                    let at = find(entries, start).unwrap_or_else(|at| at);
                    iter.leaf = entries[at..].iter();
                    return iter;
                }
                Node::Branch(children) => {
                    let at = child_of(children, start);
                    iter.branches.push(children[at + 1..].iter());
                    node = &children[at].node;
                }
            }
        }
    }

    /// How many keys are before `key`.
    pub(crate) fn rank(&self, key: &str) -> usize {
        let (mut node, mut before) = (&*self.root, 0);
        loop {
            match node {
                Node::Leaf(entries) => return before + find(entries, key).unwrap_or_else(|at| at),
                Node::Branch(children) => {
                    let at = child_of(children, key);
                    before += children[..at].iter().map(|child| child.count).sum::<usize>();
                    node = &children[at].node;
                }
            }
        }
    }

    fn root_mut(&mut self) -> &mut Node {
        Arc::make_mut(&mut self.root)
    }
}

/// Entries in key order. See [`Tree::iter_from`].
pub(crate) struct Iter<'a> {
    branches: Vec<std::slice::Iter<'a, Child>>,
    leaf: std::slice::Iter<'a, Arc<Entry>>,
}

impl<'a> Iterator for Iter<'a> {
    type Item = &'a Arc<Entry>;

    fn next(&mut self) -> Option<&'a Arc<Entry>> {
        loop {
            if let Some(entry) = self.leaf.next() {
                return Some(entry);
            }
            match self.branches.last_mut()?.next() {
                Some(child) => self.descend(&child.node),
                None => drop(self.branches.pop()),
            }
        }
    }
}

impl<'a> Iter<'a> {
    fn descend(&mut self, node: &'a Node) {
        match node {
            Node::Leaf(entries) => self.leaf = entries.iter(),
            Node::Branch(children) => self.branches.push(children.iter()),
        }
    }
}

impl Node {
    fn slots(&self) -> usize {
        match self {
            Node::Leaf(entries) => entries.len(),
            Node::Branch(children) => children.len(),
        }
    }

    fn insert(&mut self, entry: Arc<Entry>) -> (Option<Arc<Entry>>, Option<Child>) {
        match self {
            Node::Leaf(entries) => match find(entries, entry.key()) {
                Ok(at) => (Some(std::mem::replace(&mut entries[at], entry)), None),
                Err(at) => {
                    entries.insert(at, entry);
                    (None, split(entries).map(|right| Child::over(Node::Leaf(right))))
                }
            },
            Node::Branch(children) => {
                let at = child_of(children, entry.key());
                let child = &mut children[at];
                let (replaced, split_child) = Arc::make_mut(&mut child.node).insert(entry);
                child.count += usize::from(replaced.is_none());
                if let Some(right) = split_child {
                    child.count -= right.count;
                    children.insert(at + 1, right);
                }
                (replaced, split(children).map(|right| Child::over(Node::Branch(right))))
            }
        }
    }

    fn remove(&mut self, key: &str) -> Option<Arc<Entry>> {
        match self {
            Node::Leaf(entries) => find(entries, key).ok().map(|at| entries.remove(at)),
            Node::Branch(children) => {
                let at = child_of(children, key);
                let child = &mut children[at];
                let removed = Arc::make_mut(&mut child.node).remove(key)?;
                child.count -= 1;
                shrink(children, at);
                Some(removed)
            }
        }
    }

    /// Takes over the slots of the right neighbour, whose keys begin at `first`.
    fn append(&mut self, first: Key, right: Node) {
        match (self, right) {
            (Node::Leaf(left), Node::Leaf(right)) => left.extend(right),
            (Node::Branch(left), Node::Branch(mut right)) => {
                // It was open below as the first child there; here it has a left neighbour.
                right[0].first = first;
                left.extend(right);
            }
            _ => unreachable!("siblings have the same depth"),
        }
    }
}

impl Child {
    fn over(node: Node) -> Child {
        Child::over_arc(Arc::new(node))
    }

    fn over_arc(node: Arc<Node>) -> Child {
        let (first, count) = match &*node {
            Node::Leaf(entries) => (entries[0].key().clone(), entries.len()),
            Node::Branch(children) => (children[0].first.clone(), children.iter().map(|child| child.count).sum()),
        };
        Child { first, count, node }
    }
}

/// Drops the child at `at` if it became empty; merges it with a neighbour if it became small.
fn shrink(children: &mut Vec<Child>, at: usize) {
    let slots = children[at].node.slots();
    if slots == 0 && children.len() > 1 {
        children.remove(at);
        return;
    }
    if slots >= MERGE_BELOW || children.len() < 2 {
        return;
    }
    let left = at.saturating_sub(1);
    if children[left].node.slots() + children[left + 1].node.slots() <= FANOUT {
        let right = children.remove(left + 1);
        let into = &mut children[left];
        into.count += right.count;
        Arc::make_mut(&mut into.node).append(right.first, Arc::unwrap_or_clone(right.node));
    }
}

/// Cuts the right half off when there are too many slots.
fn split<T>(slots: &mut Vec<T>) -> Option<Vec<T>> {
    (slots.len() > FANOUT).then(|| slots.split_off(slots.len() / 2))
}

/// Cuts sorted slots into full nodes, leaving no tiny last one.
fn chunks<T>(slots: Vec<T>) -> impl Iterator<Item = Vec<T>> {
    let nodes = slots.len().div_ceil(FANOUT);
    let per_node = slots.len().checked_div(nodes).unwrap_or(0);
    let mut longer = slots.len().checked_rem(nodes).unwrap_or(0);
    let mut slots = slots.into_iter();
    (0..nodes).map(move |_| {
        let take = per_node + usize::from(longer > 0);
        longer = longer.saturating_sub(1);
        slots.by_ref().take(take).collect()
    })
}

fn find(entries: &[Arc<Entry>], key: &str) -> Result<usize, usize> {
    entries.binary_search_by(|entry| (**entry.key()).cmp(key))
}

fn child_of(children: &[Child], key: &str) -> usize {
    children.partition_point(|child| &*child.first <= key).saturating_sub(1)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use bytes::Bytes;

    use super::*;
    use crate::Revision;

    fn entry(key: &str, row: u64) -> Arc<Entry> {
        let (created, modified) = (Revision(row), Revision(row));
        let kv = KeyValue { key: key.into(), value: Bytes::new(), created, modified };
        Arc::new(Entry { kv, expires_ms: None, row })
    }

    /// Walks every node and checks the invariants of the module documentation.
    fn check(node: &Node, is_root: bool) -> (usize, usize) {
        assert!(node.slots() <= FANOUT);
        assert!(is_root || node.slots() > 0);
        let Node::Branch(children) = node else {
            return (1, node.slots());
        };
        let below: Vec<_> = children.iter().map(|child| check(&child.node, false)).collect();
        for (child, (depth, count)) in children.iter().zip(&below) {
            assert_eq!((child.count, *depth), (*count, below[0].0));
        }
        (below[0].0 + 1, below.iter().map(|(_, count)| count).sum())
    }

    fn agree(tree: &Tree, model: &BTreeMap<String, u64>, probe: &str) {
        assert_eq!(check(&tree.root, true).1, model.len());
        assert_eq!(tree.len(), model.len());
        assert_eq!(tree.get(probe).map(|found| found.row), model.get(probe).copied());
        assert_eq!(tree.rank(probe), model.range(..probe.to_owned()).count());
        let seen: Vec<_> = tree.iter_from(probe).map(|found| found.row).collect();
        let want: Vec<_> = model.range(probe.to_owned()..).map(|(_, row)| *row).collect();
        assert_eq!(seen, want);
    }

    /// Grows, churns and empties a tree beside a model; a clone taken half-way must not change.
    #[test]
    fn behaves_like_a_sorted_map() {
        for seed in 1..=4u64 {
            let mut random = everynode_common::random::Random::new(seed);
            let (mut tree, mut model) = (Tree::default(), BTreeMap::new());
            let mut kept = None;
            for step in 0..24_000u64 {
                let key = format!("/k/{:04}", random.below(3_000));
                // Mostly inserts first, mostly removals in the end.
                if random.below(24_000) > step {
                    let replaced = tree.insert(entry(&key, step)).map(|old| old.row);
                    assert_eq!(replaced, model.insert(key.clone(), step));
                } else {
                    assert_eq!(tree.remove(&key).map(|old| old.row), model.remove(&key));
                }
                if step == 12_000 {
                    kept = Some((tree.clone(), model.clone()));
                }
                if step % 500 == 0 {
                    agree(&tree, &model, &key);
                }
            }
            let (kept_tree, kept_model) = kept.expect("taken half-way");
            agree(&kept_tree, &kept_model, "");
        }
    }

    #[test]
    fn bulk_load_keeps_the_invariants() {
        for size in [0, 1, 63, 64, 65, 128, 129, 4_096, 4_097, 10_000] {
            let model: BTreeMap<_, _> = (0..size).map(|row| (format!("/k/{row:06}"), row)).collect();
            let sorted = model.iter().map(|(key, row)| entry(key, *row)).collect();
            agree(&Tree::from_sorted(sorted), &model, "/k/000064");
        }
    }
}
