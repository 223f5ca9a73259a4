//! The index over all views: what an informer cache holds.
//!
//! Pure data: `runtime` feeds it from watches, tests and `sim` by hand. All maps are ordered, so
//! that what is planned from it is replayable.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use jiff::Timestamp;
use serde::Deserialize;

use super::{ControllerRevision, DaemonSet, Node, Object, Pod, Pods, Served, Sorted, Zones};
use crate::kinds::{self, Kind, Text};
use crate::meta::{Key, Meta};

/// One object of the view.
#[derive(Clone, Debug, PartialEq)]
pub enum Item {
    DaemonSet(Arc<DaemonSet>),
    Node(Arc<Node>),
    Pod(Arc<Pod>),
    Revision(Arc<ControllerRevision>),
    /// Every kind without a view of its own.
    Object(Arc<Object>),
}

impl Item {
    /// Decodes an object of `kind` that was heard of at some time before. The error names the
    /// offending field.
    pub fn parse(kind: &Kind, json: &[u8]) -> Result<Item, serde_json::Error> {
        Item::heard(kind, json, Timestamp::MIN)
    }

    /// Decodes an object of `kind` that is heard of at `at`. The error names the offending field.
    pub fn heard(kind: &Kind, json: &[u8], at: Timestamp) -> Result<Item, serde_json::Error> {
        fn read<'a, T: Deserialize<'a>>(json: &'a [u8]) -> Result<Arc<T>, serde_json::Error> {
            serde_json::from_slice(json).map(Arc::new)
        }
        Ok(match () {
            () if *kind == kinds::POD => Item::Pod(read(json)?),
            () if *kind == kinds::NODE => Item::Node(read(json)?),
            () if *kind == kinds::DAEMON_SET => Item::DaemonSet(read(json)?),
            () if *kind == kinds::CONTROLLER_REVISION => Item::Revision(read(json)?),
            () => Item::Object(Arc::new(Object::parse(json, at)?)),
        })
    }

    pub fn meta(&self) -> &Meta {
        match self {
            Item::DaemonSet(item) => &item.meta,
            Item::Node(item) => &item.meta,
            Item::Pod(item) => &item.meta,
            Item::Revision(item) => &item.meta,
            Item::Object(item) => &item.meta,
        }
    }

    pub fn pod(&self) -> Option<&Arc<Pod>> {
        match self {
            Item::Pod(pod) => Some(pod),
            _ => None,
        }
    }

    pub fn node(&self) -> Option<&Arc<Node>> {
        match self {
            Item::Node(node) => Some(node),
            _ => None,
        }
    }
}

/// What one event did to the view.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    pub kind: Kind,
    pub key: Key,
    pub old: Option<Item>,
    pub new: Option<Item>,
}

pub(super) fn in_namespace<'a, T>(
    map: &'a BTreeMap<Key, Arc<T>>,
    namespace: &str,
) -> impl Iterator<Item = &'a Arc<T>> + use<'a, T> {
    let namespace: Arc<str> = namespace.into();
    let first = Key { namespace: namespace.clone(), name: "".into() };
    map.range(first..).take_while(move |(key, _)| key.namespace == namespace).map(|(_, item)| item)
}

/// Everything that controllers see.
#[derive(Debug, Default)]
pub struct View {
    pods: Pods,
    /// A change that placement does not look at (a heartbeat) leaves no mark.
    nodes: Sorted<Arc<Node>>,
    zones: Zones,
    daemon_sets: BTreeMap<Key, Arc<DaemonSet>>,
    revisions: BTreeMap<Key, Arc<ControllerRevision>>,
    objects: BTreeMap<Kind, BTreeMap<Key, Arc<Object>>>,
    seen: BTreeMap<Kind, u64>,
    served: Served,
    ownership: Ownership,
}

/// Objects by uid, and their dependents; for garbage collection.
#[derive(Debug, Default)]
struct Ownership {
    /// Kinds, interned: an index into this list stands for a kind below.
    kinds: Vec<Kind>,
    /// Places in `kinds` whose kind was forgotten: nothing refers to them.
    free: Vec<u16>,
    by_uid: BTreeMap<Arc<str>, (u16, Key)>,
    dependents: BTreeMap<Box<str>, BTreeSet<(u16, Key)>>,
    /// Uids that were here and are gone for good, oldest first; at most [`GONE_MAX`].
    gone: BTreeSet<Arc<str>>,
    gone_order: VecDeque<Arc<str>>,
}

/// Stands in places that are free.
const NO_KIND: Kind = Kind {
    group: Text::Borrowed(""),
    version: Text::Borrowed(""),
    kind: Text::Borrowed(""),
    plural: Text::Borrowed(""),
    namespaced: false,
};

/// How many gone uids are remembered: 5,000 nodes' pods several times over, about 4 MB at most.
const GONE_MAX: usize = 32_768;

impl Ownership {
    fn kind_index(&mut self, kind: &Kind) -> u16 {
        if let Some(known) = self.kinds.iter().position(|known| known == kind) {
            return u16::try_from(known).unwrap_or(u16::MAX);
        }
        if let Some(free) = self.free.pop() {
            self.kinds[usize::from(free)] = kind.clone();
            return free;
        }
        self.kinds.push(kind.clone());
        u16::try_from(self.kinds.len() - 1).unwrap_or(u16::MAX)
    }

    /// A kind of which no object is left.
    fn forget_kind(&mut self, kind: &Kind) {
        if let Some(index) = self.kinds.iter().position(|known| known == kind) {
            self.kinds[index] = NO_KIND;
            self.free.extend(u16::try_from(index));
        }
    }

    fn insert(&mut self, kind: &Kind, meta: &Meta) {
        if meta.uid.is_empty() {
            return;
        }
        let entry = (self.kind_index(kind), meta.key());
        for owner in meta.owner_references.iter() {
            self.dependents.entry(owner.uid.clone()).or_default().insert(entry.clone());
        }
        self.by_uid.insert(meta.uid.clone(), entry);
    }

    /// Forgets an object; `for_good` when it was deleted and not merely replaced.
    fn remove(&mut self, kind: &Kind, meta: &Meta, for_good: bool) {
        let entry = (self.kind_index(kind), meta.key());
        for owner in meta.owner_references.iter() {
            if let Some(set) = self.dependents.get_mut(owner.uid.as_ref()) {
                set.remove(&entry);
                if set.is_empty() {
                    self.dependents.remove(owner.uid.as_ref());
                }
            }
        }
        // The same object may also be here as one of another kind (one storage under two groups).
        if for_good || self.by_uid.get(meta.uid.as_ref()) == Some(&entry) {
            self.by_uid.remove(meta.uid.as_ref());
        }
        if for_good && !meta.uid.is_empty() && self.gone.insert(meta.uid.clone()) {
            self.gone_order.push_back(meta.uid.clone());
            if self.gone_order.len() > GONE_MAX
                && let Some(oldest) = self.gone_order.pop_front()
            {
                self.gone.remove(&oldest);
            }
        }
    }
}

impl View {
    pub fn pods(&self) -> &Pods {
        &self.pods
    }

    pub fn node(&self, name: &str) -> Option<&Arc<Node>> {
        self.nodes.find("", name)
    }

    /// In name order.
    pub fn nodes(&self) -> impl Iterator<Item = &Arc<Node>> + Clone {
        self.nodes.values()
    }

    /// All nodes, to hold on to. Marks tell of changes that placement looks at
    /// ([`Node::looks_like`]).
    pub fn nodes_snapshot(&self) -> Sorted<Arc<Node>> {
        self.nodes.clone()
    }

    /// How the failure zones fare (DS-G05).
    pub fn zones(&self) -> &Zones {
        &self.zones
    }

    pub fn daemon_set(&self, key: &Key) -> Option<&Arc<DaemonSet>> {
        self.daemon_sets.get(key)
    }

    pub fn daemon_sets(&self) -> impl ExactSizeIterator<Item = &Arc<DaemonSet>> {
        self.daemon_sets.values()
    }

    pub fn daemon_sets_in(&self, namespace: &str) -> impl Iterator<Item = &Arc<DaemonSet>> {
        in_namespace(&self.daemon_sets, namespace)
    }

    pub fn revision(&self, key: &Key) -> Option<&Arc<ControllerRevision>> {
        self.revisions.get(key)
    }

    pub fn revisions_in(&self, namespace: &str) -> impl Iterator<Item = &Arc<ControllerRevision>> {
        in_namespace(&self.revisions, namespace)
    }

    /// An object of a kind without a view of its own.
    pub fn object(&self, kind: &Kind, key: &Key) -> Option<&Arc<Object>> {
        self.objects.get(kind)?.get(key)
    }

    pub fn objects<'a>(&'a self, kind: &Kind) -> impl Iterator<Item = &'a Arc<Object>> + use<'a> {
        self.objects.get(kind).into_iter().flat_map(BTreeMap::values)
    }

    pub fn objects_in<'a>(&'a self, kind: &Kind, namespace: &str) -> impl Iterator<Item = &'a Arc<Object>> + use<'a> {
        let namespace: Arc<str> = namespace.into();
        let objects = self.objects.get(kind).into_iter();
        objects.flat_map(move |map| in_namespace(map, &namespace))
    }

    /// The metadata of any object, of any kind.
    pub fn meta(&self, kind: &Kind, key: &Key) -> Option<&Meta> {
        match () {
            () if *kind == kinds::POD => self.pods.get(key).map(|item| &item.meta),
            () if *kind == kinds::NODE => self.nodes.get(key).map(|item| &item.meta),
            () if *kind == kinds::DAEMON_SET => self.daemon_sets.get(key).map(|item| &item.meta),
            () if *kind == kinds::CONTROLLER_REVISION => self.revisions.get(key).map(|item| &item.meta),
            () => self.object(kind, key).map(|item| &item.meta),
        }
    }

    /// The metadata of all objects of a kind.
    pub fn metas(&self, kind: &Kind) -> Vec<&Meta> {
        match () {
            () if *kind == kinds::POD => self.pods.iter().map(|item| &item.meta).collect(),
            () if *kind == kinds::NODE => self.nodes.values().map(|item| &item.meta).collect(),
            () if *kind == kinds::DAEMON_SET => self.daemon_sets.values().map(|item| &item.meta).collect(),
            () if *kind == kinds::CONTROLLER_REVISION => self.revisions.values().map(|item| &item.meta).collect(),
            () => self.objects(kind).map(|item| &item.meta).collect(),
        }
    }

    /// The object with this uid.
    pub fn by_uid(&self, uid: &str) -> Option<(&Kind, &Key)> {
        let (kind, key) = self.ownership.by_uid.get(uid)?;
        Some((&self.ownership.kinds[usize::from(*kind)], key))
    }

    /// Objects with an owner reference to this uid.
    pub fn dependents(&self, uid: &str) -> impl Iterator<Item = (&Kind, &Key)> {
        let entries = self.ownership.dependents.get(uid).into_iter().flatten();
        entries.map(|(kind, key)| (&self.ownership.kinds[usize::from(*kind)], key))
    }

    /// Every uid that some object names as its owner.
    pub fn owner_uids(&self) -> impl Iterator<Item = &str> {
        self.ownership.dependents.keys().map(Box::as_ref)
    }

    /// Whether an object with this uid was here and is gone; uids never come back.
    pub fn is_gone(&self, uid: &str) -> bool {
        self.ownership.gone.contains(uid)
    }

    /// What is served, as discovery told last.
    pub fn served(&self) -> &Served {
        &self.served
    }

    pub fn set_served(&mut self, served: Served) {
        self.served = served;
    }

    /// Everything of the kind is forgotten, since it is not followed any more. Its objects are not
    /// gone for good: what becomes of them is unknown from now on.
    pub fn forget_kind(&mut self, kind: &Kind) {
        let keys: Vec<Key> = self.metas(kind).into_iter().map(Meta::key).collect();
        let mut uids = BTreeSet::new();
        for key in &keys {
            let Some(old) = self.take(kind, key) else { continue };
            self.ownership.remove(kind, old.meta(), false);
            self.zones.change(old.node().map(Arc::as_ref), None);
            uids.insert(old.meta().uid.clone());
        }
        self.seen.remove(kind);
        self.ownership.forget_kind(kind);
        self.find_again(&uids);
    }

    /// Objects that are here as one of another kind, too, are still present.
    fn find_again(&mut self, uids: &BTreeSet<Arc<str>>) {
        let kinds: Vec<Kind> = self.seen.keys().cloned().collect();
        for kind in kinds {
            let metas = self.metas(&kind).into_iter();
            let found: Vec<(Arc<str>, Key)> =
                metas.filter(|meta| uids.contains(&meta.uid)).map(|meta| (meta.uid.clone(), meta.key())).collect();
            for (uid, key) in found {
                let index = self.ownership.kind_index(&kind);
                self.ownership.by_uid.entry(uid).or_insert((index, key));
            }
        }
    }

    /// The newest revision of any kind that has been applied.
    pub fn newest_revision(&self) -> u64 {
        self.seen.values().copied().max().unwrap_or(0)
    }

    /// Everything of this kind up to this revision has been applied.
    pub fn seen_revision(&self, kind: &Kind) -> u64 {
        self.seen.get(kind).copied().unwrap_or(0)
    }

    /// Notes that everything of `kind` up to `revision` has been applied (list, bookmark).
    pub fn observe_revision(&mut self, kind: &Kind, revision: u64) {
        let seen = self.seen.entry(kind.clone()).or_default();
        *seen = (*seen).max(revision);
    }

    /// Forgets up to where `kind` has been seen: the server's history was put back.
    pub fn rewind_revision(&mut self, kind: &Kind) {
        self.seen.remove(kind);
    }

    /// Adds or replaces an object.
    pub fn upsert(&mut self, kind: &Kind, item: Item) -> Change {
        self.observe_revision(kind, item.meta().resource_version);
        let item = match item {
            Item::Pod(pod) => Item::Pod(self.pods.share(pod, |name| self.node_name(name))),
            Item::Node(node) => Item::Node(self.share_name(node)),
            item => item,
        };
        let key = item.meta().key();
        let old = self.put(kind, &key, &item);
        // Nearly always the same object with the same owners: nothing to note.
        if !old.as_ref().is_some_and(|old| old.meta().relates_like(item.meta())) {
            if let Some(old) = &old {
                self.ownership.remove(kind, old.meta(), old.meta().uid != item.meta().uid);
            }
            self.ownership.insert(kind, item.meta());
        }
        self.zones.change(old.as_ref().and_then(Item::node).map(Arc::as_ref), item.node().map(Arc::as_ref));
        Change { kind: kind.clone(), key, old, new: Some(item) }
    }

    /// A node's name as it is in memory already: the node and all its pods have the same one, so
    /// that they are told to belong together without a look at the text.
    fn node_name(&self, name: &str) -> Option<Arc<str>> {
        let node = self.nodes.find_entry("", name).map(|(key, _)| key);
        let used = || self.pods.node_key(name);
        Some(node.or_else(used)?.name.clone())
    }

    fn share_name(&self, mut node: Arc<Node>) -> Arc<Node> {
        // Just parsed, so that it is not shared.
        if let Some(node) = Arc::get_mut(&mut node)
            && let Some(name) = self.node_name(&node.meta.name)
        {
            node.meta.name = name;
        }
        node
    }

    /// Removes an object; `revision` is that of its deletion (0 if unknown). `None` if it was not
    /// there.
    pub fn remove(&mut self, kind: &Kind, key: &Key, revision: u64) -> Option<Change> {
        self.observe_revision(kind, revision);
        let old = self.take(kind, key)?;
        self.ownership.remove(kind, old.meta(), true);
        self.zones.change(old.node().map(Arc::as_ref), None);
        Some(Change { kind: kind.clone(), key: key.clone(), old: Some(old), new: None })
    }

    /// Makes the view of a kind exactly `items`, as listed at `revision`; returns what differs.
    pub fn replace(&mut self, kind: &Kind, items: Vec<Item>, revision: u64) -> Vec<Change> {
        let mut changes = Vec::new();
        let listed: BTreeSet<Key> = items.iter().map(|item| item.meta().key()).collect();
        let gone: Vec<Key> = self.metas(kind).into_iter().map(Meta::key).filter(|key| !listed.contains(key)).collect();
        changes.extend(gone.iter().filter_map(|key| self.remove(kind, key, 0)));
        for item in items {
            let known = self.meta(kind, &item.meta().key());
            let same = known.is_some_and(|meta| {
                meta.resource_version == item.meta().resource_version && meta.uid == item.meta().uid
            });
            if !same || item.meta().resource_version == 0 {
                changes.push(self.upsert(kind, item));
            }
        }
        self.observe_revision(kind, revision);
        changes
    }

    fn put(&mut self, kind: &Kind, key: &Key, item: &Item) -> Option<Item> {
        match item {
            Item::Pod(pod) => self.pods.insert(key, pod.clone()).map(Item::Pod),
            Item::Node(node) => {
                let alike = self.nodes.get(key).is_some_and(|old| old.looks_like(node));
                let old = match alike {
                    true => self.nodes.insert_quietly(key.clone(), node.clone()),
                    false => self.nodes.insert(key.clone(), node.clone()),
                };
                old.map(Item::Node)
            }
            Item::DaemonSet(set) => self.daemon_sets.insert(key.clone(), set.clone()).map(Item::DaemonSet),
            Item::Revision(revision) => self.revisions.insert(key.clone(), revision.clone()).map(Item::Revision),
            Item::Object(object) => {
                let known = self.objects.entry(kind.clone()).or_default();
                known.insert(key.clone(), object.clone()).map(Item::Object)
            }
        }
    }

    fn take(&mut self, kind: &Kind, key: &Key) -> Option<Item> {
        match () {
            () if *kind == kinds::POD => self.pods.remove(key).map(Item::Pod),
            () if *kind == kinds::NODE => self.nodes.remove(key).map(Item::Node),
            () if *kind == kinds::DAEMON_SET => self.daemon_sets.remove(key).map(Item::DaemonSet),
            () if *kind == kinds::CONTROLLER_REVISION => self.revisions.remove(key).map(Item::Revision),
            () => self.objects.get_mut(kind)?.remove(key).map(Item::Object),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(text: &str) -> Item {
        Item::parse(&kinds::POD, text.as_bytes()).unwrap()
    }

    #[test]
    fn ownership_follows_objects() {
        let mut view = View::default();
        let owner = |uid: &str| pod(&format!(r#"{{"metadata":{{"name":"o","uid":"{uid}"}}}}"#));
        view.upsert(&kinds::POD, owner("u1"));
        view.upsert(&kinds::POD, pod(r#"{"metadata":{"name":"d","uid":"u9","ownerReferences":[{"uid":"u1"}]}}"#));
        assert_eq!(view.dependents("u1").map(|(_, key)| key.to_string()).collect::<Vec<_>>(), ["d"]);
        assert!(view.by_uid("u1").is_some() && !view.is_gone("u1"));
        view.upsert(&kinds::POD, owner("u2")); // re-created under the same name
        assert!(view.by_uid("u1").is_none() && view.is_gone("u1") && !view.is_gone("u2"));
        view.remove(&kinds::POD, &Key::new("", "d"), 0);
        assert_eq!(view.owner_uids().count(), 0);
    }

    #[test]
    fn what_belongs_to_a_forgotten_kind_is_unknown_and_not_gone() {
        let widget = |name: &str| Kind { kind: name.to_owned().into(), ..kinds::CONFIG_MAP };
        let object = |kind: &Kind, uid: &str, owner: &str| {
            let text = format!(
                r#"{{"metadata":{{"name":"{uid}","uid":"{uid}","resourceVersion":"4","ownerReferences":[{{"uid":"{owner}"}}]}}}}"#
            );
            Item::parse(kind, text.as_bytes()).unwrap()
        };
        let mut view = View::default();
        view.upsert(&widget("A"), object(&widget("A"), "a", "p"));
        view.upsert(&kinds::POD, object(&kinds::POD, "p", "a"));
        view.forget_kind(&widget("A"));
        assert!(view.by_uid("a").is_none() && !view.is_gone("a"));
        assert_eq!((view.seen_revision(&widget("A")), view.dependents("p").count()), (0, 0));
        assert_eq!((view.newest_revision(), view.dependents("a").count()), (4, 1));
        // Kinds that come and go take no more room than those that are there.
        for number in 0..5 {
            let kind = widget(&number.to_string());
            view.upsert(&kind, object(&kind, "a", "p"));
            assert_eq!(view.by_uid("a").unwrap().0, &kind);
            view.forget_kind(&kind);
        }
        assert_eq!(view.ownership.kinds.len(), 2);
        assert_eq!(view.by_uid("p").unwrap().0, &kinds::POD);
    }

    #[test]
    fn an_object_of_two_kinds_stays_when_one_of_them_is_removed() {
        let alias = Kind { group: "old".into(), ..kinds::CONFIG_MAP };
        let text = br#"{"metadata":{"name":"a","uid":"a","resourceVersion":"4"}}"#;
        let mut view = View::default();
        for kind in [&kinds::CONFIG_MAP, &alias] {
            view.upsert(kind, Item::parse(kind, text).unwrap());
        }
        view.forget_kind(&alias);
        assert_eq!(view.by_uid("a").unwrap().0, &kinds::CONFIG_MAP);
        view.remove(&kinds::CONFIG_MAP, &Key::cluster("a"), 5);
        assert!(view.by_uid("a").is_none() && view.is_gone("a"));
    }

    #[test]
    fn replace_reports_only_differences() {
        let mut view = View::default();
        let at = |name: &str, version: u64| {
            pod(&format!(r#"{{"metadata":{{"name":"{name}","resourceVersion":"{version}"}}}}"#))
        };
        view.replace(&kinds::POD, vec![at("a", 1), at("b", 2)], 2);
        let changes = view.replace(&kinds::POD, vec![at("b", 2), at("c", 3)], 3);
        let names: Vec<_> = changes.iter().map(|c| (c.key.name.to_string(), c.new.is_some())).collect();
        assert_eq!(names, [("a".to_string(), false), ("c".to_string(), true)]);
    }
}
