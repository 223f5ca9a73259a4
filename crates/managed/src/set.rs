//! Sets of paths, as a tree: what they have in common is there once.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry as Slot;

use crate::element::{Element, Path};

/// A set of paths. No node of the tree is without use: it is a member or has members below it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FieldSet {
    pub(crate) nodes: BTreeMap<Element, Node>,
}

/// What a set has at and below one element.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Node {
    /// The path up to here is in the set.
    pub(crate) member: bool,
    pub(crate) children: FieldSet,
}

impl Node {
    fn is_empty(&self) -> bool {
        !self.member && self.children.is_empty()
    }
}

impl FieldSet {
    /// A set with these paths of field names.
    pub fn of_fields(paths: &[&[&str]]) -> FieldSet {
        let mut set = FieldSet::default();
        for path in paths {
            set.insert(&path.iter().map(|name| Element::field(name)).collect::<Path>());
        }
        set
    }

    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// The number of paths in it.
    pub fn len(&self) -> usize {
        self.nodes.values().map(|node| usize::from(node.member) + node.children.len()).sum()
    }

    /// Adds a path; the empty path is in no set.
    pub fn insert(&mut self, path: &[Element]) {
        let [first, rest @ ..] = path else { return };
        let node = match self.nodes.entry(first.clone()) {
            Slot::Vacant(slot) => slot.insert(Node::default()),
            Slot::Occupied(slot) => slot.into_mut(),
        };
        if rest.is_empty() {
            node.member = true;
        } else {
            node.children.insert(rest);
        }
    }

    pub fn contains(&self, path: &[Element]) -> bool {
        match path {
            [] => false,
            [last] => self.nodes.get(last).is_some_and(|node| node.member),
            [first, rest @ ..] => self.nodes.get(first).is_some_and(|node| node.children.contains(rest)),
        }
    }

    /// Whether the path of this one element is in the set.
    pub(crate) fn has_member(&self, element: &Element) -> bool {
        self.nodes.get(element).is_some_and(|node| node.member)
    }

    /// The paths below an element, without it; `None`: there are none.
    pub fn below(&self, element: &Element) -> Option<&FieldSet> {
        self.nodes.get(element).map(|node| &node.children).filter(|children| !children.is_empty())
    }

    /// All paths: those of one level in their order, then those below.
    pub fn paths(&self) -> Vec<Path> {
        let mut found = Vec::new();
        self.collect(&mut Vec::new(), &mut found);
        found
    }

    fn collect(&self, prefix: &mut Path, found: &mut Vec<Path>) {
        for (element, node) in self.nodes.iter().filter(|(_, node)| node.member) {
            debug_assert!(!node.is_empty());
            found.push(prefix.iter().chain([element]).cloned().collect());
        }
        for (element, node) in &self.nodes {
            prefix.push(element.clone());
            node.children.collect(prefix, found);
            prefix.pop();
        }
    }

    /// The paths that are in this set, in the other one, or in both.
    #[must_use]
    pub fn union(mut self, other: &FieldSet) -> FieldSet {
        for (element, theirs) in &other.nodes {
            match self.nodes.entry(element.clone()) {
                Slot::Vacant(slot) => _ = slot.insert(theirs.clone()),
                Slot::Occupied(slot) => {
                    let ours = slot.into_mut();
                    ours.member |= theirs.member;
                    ours.children = std::mem::take(&mut ours.children).union(&theirs.children);
                }
            }
        }
        self
    }

    /// The paths that are in both sets.
    #[must_use]
    pub fn intersection(&self, other: &FieldSet) -> FieldSet {
        let shared = self.nodes.iter().filter_map(|(element, ours)| {
            let theirs = other.nodes.get(element)?;
            let member = ours.member && theirs.member;
            let node = Node { member, children: ours.children.intersection(&theirs.children) };
            (!node.is_empty()).then(|| (element.clone(), node))
        });
        FieldSet { nodes: shared.collect() }
    }

    /// The paths of this set that are not in the other one.
    #[must_use]
    pub fn difference(mut self, other: &FieldSet) -> FieldSet {
        self.subtract(other, false);
        self
    }

    /// The paths of this set that are neither in the other one nor below a path of it.
    #[must_use]
    pub fn recursive_difference(mut self, other: &FieldSet) -> FieldSet {
        self.subtract(other, true);
        self
    }

    fn subtract(&mut self, other: &FieldSet, recursive: bool) {
        for (element, theirs) in &other.nodes {
            let Some(ours) = self.nodes.get_mut(element) else { continue };
            ours.member &= !theirs.member;
            if recursive && theirs.member {
                ours.children = FieldSet::default();
            }
            ours.children.subtract(&theirs.children, recursive);
            if ours.is_empty() {
                self.nodes.remove(element);
            }
        }
    }

    /// The paths below which no other path of the set is.
    #[must_use]
    pub fn leaves(&self) -> FieldSet {
        let nodes = self.nodes.iter().map(|(element, node)| {
            let children = node.children.leaves();
            (element.clone(), Node { member: node.member && children.is_empty(), children })
        });
        FieldSet { nodes: nodes.collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(paths: &[&str]) -> FieldSet {
        let split: Vec<Vec<&str>> = paths.iter().map(|path| path.split('.').collect()).collect();
        FieldSet::of_fields(&split.iter().map(Vec::as_slice).collect::<Vec<_>>())
    }

    #[test]
    fn the_algebra_is_that_of_sets_of_paths() {
        let (one, two) = (set(&["a", "a.b", "c.d"]), set(&["a.b", "c", "e"]));
        assert_eq!(one.clone().union(&two), set(&["a", "a.b", "c", "c.d", "e"]));
        assert_eq!(one.intersection(&two), set(&["a.b"]));
        assert_eq!(one.clone().difference(&two), set(&["a", "c.d"]));
        assert_eq!(one.clone().recursive_difference(&two), set(&["a"]), "what is below a path leaves, too");
        assert_eq!(one.leaves(), set(&["a.b", "c.d"]));
        assert_eq!((one.len(), one.paths().len()), (3, 3));
    }

    #[test]
    fn a_path_is_in_or_only_on_the_way() {
        let set = set(&["a.b"]);
        assert!(set.contains(&[Element::field("a"), Element::field("b")]));
        assert!(!set.contains(&[Element::field("a")]) && !set.contains(&[]));
        assert_eq!(set.below(&Element::field("a")).map(FieldSet::len), Some(1));
        assert!(set.below(&Element::field("b")).is_none());
    }

    #[test]
    fn nothing_is_left_of_what_is_taken_away_whole() {
        let one = set(&["a.b.c", "d"]);
        assert!(one.clone().difference(&one).is_empty());
        assert_eq!(one.difference(&set(&["a"])), set(&["a.b.c", "d"]), "a path above takes nothing below");
    }
}
