//! The index over all views: what an informer cache holds.
//!
//! Pure data: `runtime` feeds it from watches, tests and `sim` by hand. All maps are ordered, so
//! that what is planned from it is replayable.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use jiff::Timestamp;
use serde::Deserialize;

use super::{ControllerRevision, DaemonSet, Node, Object, Pod, Served, Sorted, Zones};
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
    /// Decodes an object of `kind` that was heard of at some time before. The error names the offending field.
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

/// Pods, indexed by key, controller and target node. What a plan holds on to is a snapshot.
#[derive(Debug, Default)]
pub struct Pods {
    by_key: Sorted<Arc<Pod>>,
    by_owner: BTreeMap<Arc<str>, Sorted<Arc<Pod>>>,
    /// What those own who own none.
    none: Sorted<Arc<Pod>>,
    /// By a key that is the node's; each list in key order.
    by_node: Sorted<Arc<[Arc<Pod>]>>,
    orphans: BTreeMap<Key, Arc<Pod>>,
    unbound: BTreeMap<Key, Arc<Pod>>,
    terminal: BTreeMap<Key, Arc<Pod>>,
}

impl Pods {
    pub fn get(&self, key: &Key) -> Option<&Arc<Pod>> {
        self.by_key.get(key)
    }

    pub fn iter(&self) -> impl Iterator<Item = &Arc<Pod>> {
        self.by_key.values()
    }

    pub fn len(&self) -> usize {
        self.by_key.len()
    }

    pub fn is_empty(&self) -> bool {
        self.by_key.is_empty()
    }

    /// All pods, to hold on to.
    pub fn snapshot(&self) -> Sorted<Arc<Pod>> {
        self.by_key.clone()
    }

    /// The pods of every node that one is bound or pinned to, to hold on to; the keys are those of nodes.
    pub fn nodes_snapshot(&self) -> Sorted<Arc<[Arc<Pod>]>> {
        self.by_node.clone()
    }

    /// Pods whose controller reference has this uid.
    pub fn owned_by(&self, uid: &str) -> impl Iterator<Item = &Arc<Pod>> {
        self.by_owner.get(uid).into_iter().flat_map(Sorted::values)
    }

    /// Likewise, to hold on to.
    pub fn owned_snapshot(&self, uid: &str) -> Sorted<Arc<Pod>> {
        self.by_owner.get(uid).unwrap_or(&self.none).clone()
    }

    /// Pods of a namespace without a controller reference.
    pub fn orphans_in(&self, namespace: &str) -> impl Iterator<Item = &Arc<Pod>> {
        in_namespace(&self.orphans, namespace)
    }

    pub fn in_namespace(&self, namespace: &str) -> impl Iterator<Item = &Arc<Pod>> {
        self.named_like(namespace, "")
    }

    /// Pods of a namespace whose names begin with `prefix`.
    pub fn named_like(&self, namespace: &str, prefix: &str) -> impl Iterator<Item = &Arc<Pod>> {
        let (space, start) = (namespace.to_owned(), prefix.to_owned());
        let like = move |key: &Key| *key.namespace == *space && key.name.starts_with(&start);
        self.by_key.from(namespace, prefix).take_while(move |(key, _)| like(key)).map(|(_, pod)| pod)
    }

    /// Pods bound or pinned to this node (DS-B32).
    pub fn on_node(&self, node: &str) -> impl Iterator<Item = &Arc<Pod>> {
        self.by_node.find("", node).into_iter().flat_map(|pods| pods.iter())
    }

    /// Pods without a binding, whether they are pinned or not.
    pub fn unbound(&self) -> impl ExactSizeIterator<Item = &Arc<Pod>> {
        self.unbound.values()
    }

    /// Pods that have ended, in phase `Succeeded` or `Failed`.
    pub fn terminal(&self) -> impl ExactSizeIterator<Item = &Arc<Pod>> {
        self.terminal.values()
    }

    /// Names of all nodes that a pod is bound or pinned to, whether they exist or not.
    pub fn nodes(&self) -> impl Iterator<Item = &str> {
        self.by_node.iter().map(|(key, _)| &*key.name)
    }

    /// A pod whose template is in memory once, if its siblings have the same: the one that it replaces, or its
    /// controller's first or last in the order of names.
    fn share(&self, key: &Key, mut pod: Arc<Pod>) -> Arc<Pod> {
        let owned = pod.meta.controller().and_then(|owner| self.by_owner.get(owner.uid.as_ref()));
        let siblings = owned.into_iter().flat_map(|owned| [owned.first(), owned.last()]).flatten();
        let siblings: Vec<Arc<Pod>> = self.get(key).into_iter().chain(siblings).cloned().collect();
        // Just parsed, so that nobody else has it.
        if let Some(pod) = Arc::get_mut(&mut pod) {
            siblings.iter().for_each(|sibling| pod.spec.share(&sibling.spec));
        }
        pod
    }

    /// Adds or replaces; returns what was there.
    fn insert(&mut self, key: &Key, pod: Arc<Pod>) -> Option<Arc<Pod>> {
        let old = self.by_key.insert(key.clone(), pod.clone());
        if let Some(old) = &old {
            self.unlist(key, old, Some(&pod));
        }
        match pod.meta.controller() {
            Some(owner) => {
                let owned = match self.by_owner.get_mut(owner.uid.as_ref()) {
                    Some(owned) => owned,
                    None => self.by_owner.entry(owner.uid.as_ref().into()).or_default(),
                };
                owned.insert(key.clone(), pod.clone());
            }
            None => {
                self.orphans.insert(key.clone(), pod.clone());
            }
        }
        if pod.spec.node_name.is_empty() {
            self.unbound.insert(key.clone(), pod.clone());
        }
        if pod.is_terminal() {
            self.terminal.insert(key.clone(), pod.clone());
        }
        if let Some(node) = pod.target_node() {
            self.set_on_node(node, &pod.meta, Some(pod.clone()));
        }
        old
    }

    fn remove(&mut self, key: &Key) -> Option<Arc<Pod>> {
        let pod = self.by_key.remove(key)?;
        self.unlist(key, &pod, None);
        Some(pod)
    }

    /// Takes a pod out of every index where the one that replaces it will not stand.
    fn unlist(&mut self, key: &Key, old: &Pod, new: Option<&Pod>) {
        let owner = |pod: &Pod| pod.meta.controller().map(|owner| owner.uid.clone());
        match owner(old) {
            None => drop(self.orphans.remove(key)),
            Some(uid) if new.and_then(owner).as_ref() != Some(&uid) => self.disown(&uid, key),
            Some(_) => {}
        }
        if old.spec.node_name.is_empty() {
            self.unbound.remove(key);
        }
        if old.is_terminal() {
            self.terminal.remove(key);
        }
        if let Some(node) = old.target_node().filter(|node| new.and_then(Pod::target_node) != Some(node)) {
            self.set_on_node(node, &old.meta, None);
        }
    }

    fn disown(&mut self, uid: &str, key: &Key) {
        if let Some(owned) = self.by_owner.get_mut(uid) {
            owned.remove(key);
            if owned.is_empty() {
                self.by_owner.remove(uid);
            }
        }
    }

    /// Sets what is on a node under a pod's name; `None`: nothing.
    fn set_on_node(&mut self, node: &str, meta: &Meta, pod: Option<Arc<Pod>>) {
        let others = self.by_node.find("", node);
        let order = |pod: &Arc<Pod>| (&*pod.meta.namespace, &*pod.meta.name).cmp(&(&*meta.namespace, &*meta.name));
        let (before, after): (Vec<_>, Vec<_>) = others
            .into_iter()
            .flat_map(|pods| pods.iter())
            .filter(|pod| order(pod).is_ne())
            .cloned()
            .partition(|pod| order(pod).is_lt());
        let pods: Arc<[Arc<Pod>]> = before.into_iter().chain(pod).chain(after).collect();
        match pods.is_empty() {
            true => drop(self.by_node.remove(&Key::cluster(node))),
            false => drop(self.by_node.insert(Key::cluster(node), pods)),
        }
    }
}

fn in_namespace<'a, T>(
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

/// Who is who by uid, and who depends on whom; for garbage collection.
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
        for owner in &meta.owner_references {
            self.dependents.entry(owner.uid.clone()).or_default().insert(entry.clone());
        }
        self.by_uid.insert(meta.uid.clone(), entry);
    }

    /// Forgets an object; `for_good` when it was deleted and not merely replaced.
    fn remove(&mut self, kind: &Kind, meta: &Meta, for_good: bool) {
        let entry = (self.kind_index(kind), meta.key());
        for owner in &meta.owner_references {
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

    /// All nodes, to hold on to. Marks tell of changes that placement looks at ([`Node::looks_like`]).
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

    /// Everything of the kind is forgotten, since nobody follows it any more. Its objects are not gone for good: what
    /// becomes of them is unknown from now on.
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
        let key = item.meta().key();
        let item = match item {
            Item::Pod(pod) => Item::Pod(self.pods.share(&key, pod)),
            item => item,
        };
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

    /// Removes an object; `revision` is that of its deletion (0 if unknown). `None` if it was not there.
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
    fn pods_are_found_by_owner_node_and_namespace() {
        let mut view = View::default();
        let owned = r#"{"metadata":{"name":"a","namespace":"x","resourceVersion":"5",
            "ownerReferences":[{"uid":"u1","controller":true}]},"spec":{"nodeName":"n1"}}"#;
        view.upsert(&kinds::POD, pod(owned));
        view.upsert(&kinds::POD, pod(r#"{"metadata":{"name":"b","namespace":"x"}}"#));
        assert_eq!(view.pods().owned_by("u1").count(), 1);
        assert_eq!(view.pods().on_node("n1").count(), 1);
        assert_eq!(view.pods().orphans_in("x").count(), 1);
        assert_eq!(view.pods().in_namespace("w").count(), 0);
        assert_eq!(view.seen_revision(&kinds::POD), 5);
        let change = view.remove(&kinds::POD, &Key::new("x", "a"), 9).unwrap();
        assert!(
            change.new.is_none() && view.pods().owned_by("u1").count() == 0 && view.pods().on_node("n1").count() == 0
        );
        assert_eq!(view.seen_revision(&kinds::POD), 9);
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
    fn an_object_of_two_kinds_stays_when_one_of_them_goes() {
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
