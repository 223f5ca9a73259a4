//! What a decision is made from, and how it is gathered.

use std::collections::{BTreeMap, HashMap};
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;

use everynode_api::kinds;
use everynode_api::meta::{Key, Meta};
use everynode_api::selector::Selector;
use everynode_api::view::{ControllerRevision, DaemonSet, Node, Pod, View};

use crate::{Bind, CLASS_ANNOTATION, Options, names, pod};

/// Everything that the plan for one set may look at.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    pub set: Arc<DaemonSet>,
    /// All nodes, in name order.
    pub nodes: Vec<Arc<Node>>,
    /// The pods that the set controls, and the namespace's orphans that match its selector (DS-C10 to DS-C13).
    pub pods: Vec<Arc<Pod>>,
    /// Likewise the revisions (DS-D45).
    pub revisions: Vec<Arc<ControllerRevision>>,
    /// Other pods of the namespace whose names look like ours: a new pod cannot have such a name.
    pub strangers: BTreeMap<Arc<str>, Arc<Pod>>,
    /// Other revisions of the namespace whose names look like ours (DS-D51).
    pub foreign_revisions: Vec<Arc<ControllerRevision>>,
    /// All pods on those nodes that may get a pod, where the plan may bind.
    pub neighbours: BTreeMap<Arc<str>, Vec<Arc<Pod>>>,
    /// Every change of a DaemonSet up to this revision is known. An orphan that is newer is not adopted yet: it may be
    /// one because its set was just deleted (DS-C14).
    pub sets_known_to: u64,
}

/// Whether this controller looks after the set (see [`Options::class`]).
pub(crate) fn is_ours(options: &Options, set: &DaemonSet) -> bool {
    set.meta.annotations.get(CLASS_ANNOTATION) == options.class.as_deref()
}

pub(crate) fn see(options: &Options, view: &View, key: &Key) -> Option<Seen> {
    let set = view.daemon_set(key).filter(|set| is_ours(options, set))?;
    let selector = selector(set);
    let mut seen = Seen {
        set: set.clone(),
        nodes: view.nodes().cloned().collect(),
        pods: pods(view, set, &selector),
        sets_known_to: view.seen_revision(&kinds::DAEMON_SET),
        ..Seen::default()
    };
    revisions(view, &selector, &mut seen);
    strangers(view, &mut seen);
    if options.bind == Bind::WhereFits && pod::may_bind(&set.spec.template) {
        neighbours(view, &mut seen);
    }
    Some(seen)
}

/// The set's selector; one that is absent or cannot be read selects nothing (DS-A21).
pub(crate) fn selector(set: &DaemonSet) -> Selector {
    let structured = set.spec.selector.as_ref();
    structured.and_then(|selector| selector.to_selector().ok()).unwrap_or_else(Selector::nothing)
}

pub(crate) fn matches(selector: &Selector, meta: &Meta) -> bool {
    selector.matches(|key| meta.labels.get(key))
}

fn pods(view: &View, set: &DaemonSet, selector: &Selector) -> Vec<Arc<Pod>> {
    let owned = view.pods().owned_by(&set.meta.uid);
    let orphans = view.pods().orphans_in(&set.meta.namespace).filter(|pod| matches(selector, &pod.meta));
    owned.chain(orphans).cloned().collect()
}

fn revisions(view: &View, selector: &Selector, seen: &mut Seen) {
    let prefix = format!("{}-", seen.set.meta.name);
    for revision in view.revisions_in(&seen.set.meta.namespace) {
        let ours = match revision.meta.controller() {
            Some(owner) => *owner.uid == *seen.set.meta.uid,
            None => matches(selector, &revision.meta),
        };
        if ours {
            seen.revisions.push(revision.clone());
        } else if revision.meta.name.starts_with(&prefix) {
            seen.foreign_revisions.push(revision.clone());
        }
    }
}

fn strangers(view: &View, seen: &mut Seen) {
    let prefix = names::prefix(&seen.set.meta.name);
    // Both are in the order of names, so what is ours is passed over without a look at it.
    let mut owned = view.pods().owned_by(&seen.set.meta.uid).peekable();
    for pod in view.pods().named_like(&seen.set.meta.namespace, &prefix) {
        let is_before = |own: &&Arc<Pod>| !Arc::ptr_eq(own, pod) && own.meta.name < pod.meta.name;
        while owned.next_if(is_before).is_some() {}
        if owned.next_if(|own| Arc::ptr_eq(own, pod)).is_none() {
            seen.strangers.insert(pod.meta.name.clone(), pod.clone());
        }
    }
}

fn neighbours(view: &View, seen: &mut Seen) {
    let surges = surges(&seen.set);
    let mut taken: HashMap<&str, (), Fnv> = HashMap::default();
    if !surges {
        let staying = seen.pods.iter().filter(|pod| !pod.is_terminal() && !pod.is_terminating());
        taken.extend(staying.filter_map(|pod| Some((pod.target_node()?, ()))));
    }
    let free = seen.nodes.iter().filter(|node| !taken.contains_key(node.name()));
    let on_node = |node: &Arc<Node>| (node.meta.name.clone(), view.pods().on_node(node.name()).cloned().collect());
    seen.neighbours = free.map(on_node).collect();
}

fn surges(set: &DaemonSet) -> bool {
    let rolling = set.spec.update_strategy.rolling_update.as_ref();
    rolling.and_then(|rolling| rolling.max_surge.as_ref()).is_some_and(|surge| !surge.is_zero())
}

/// A fast, seedless hash for lookups by name; nothing is ever replayed in its order.
pub(crate) type Fnv = BuildHasherDefault<FnvHasher>;

pub(crate) struct FnvHasher(u64);

impl Default for FnvHasher {
    fn default() -> Self {
        FnvHasher(0xcbf2_9ce4_8422_2325)
    }
}

impl Hasher for FnvHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }
}
