//! What a decision is made from, and how it is gathered.

use std::sync::Arc;

use everynode_api::kinds;
use everynode_api::meta::{Key, Meta};
use everynode_api::selector::Selector;
use everynode_api::view::{ControllerRevision, DaemonSet, Node, Place, Pod, Sorted, View};

use crate::{Bind, CLASS_ANNOTATION, Options, pod};

/// Everything that the plan for one set may look at. Snapshots: gathering costs no more for many
/// nodes than for few.
#[derive(Clone, Debug, Default)]
pub struct DaemonSetInput {
    pub set: Arc<DaemonSet>,
    /// All nodes, in name order.
    pub nodes: Sorted<Arc<Node>>,
    /// The pods that the set controls (DS-C10), in the order of nodes.
    pub owned: Sorted<Arc<Pod>, Place>,
    /// The namespace's orphans that match its selector (DS-C13).
    pub orphans: Vec<Arc<Pod>>,
    /// As for pods: those that the set controls, and orphans that match (DS-D45).
    pub revisions: Vec<Arc<ControllerRevision>>,
    /// Other revisions of the namespace whose names look like ours (DS-D51).
    pub foreign_revisions: Vec<Arc<ControllerRevision>>,
    /// All pods: a new pod cannot have a name that another one has.
    pub all_pods: Sorted<Arc<Pod>>,
    /// All pods by the node that they are bound or pinned to, where the plan may bind.
    pub neighbours: Option<Sorted<Arc<[Arc<Pod>]>>>,
    /// Every change of a DaemonSet up to this revision is known. An orphan that is newer is not
    /// adopted yet: it may be one because its set was just deleted (DS-C14).
    pub sets_known_to: u64,
}

impl DaemonSetInput {
    /// The set's pods, and the orphans that match.
    pub fn pods(&self) -> impl Iterator<Item = &Arc<Pod>> {
        self.owned.values().chain(&self.orphans)
    }

    pub fn node(&self, name: &str) -> Option<&Arc<Node>> {
        self.nodes.find("", name)
    }

    /// The pod of this name, if the set controls it.
    pub fn own(&self, name: &str) -> Option<&Arc<Pod>> {
        self.named(name).filter(|pod| self.controls(pod))
    }

    /// The same if it does not.
    pub fn stranger(&self, name: &str) -> Option<&Arc<Pod>> {
        self.named(name).filter(|pod| !self.controls(pod))
    }

    fn named(&self, name: &str) -> Option<&Arc<Pod>> {
        self.all_pods.find(&self.set.meta.namespace, name)
    }

    fn controls(&self, pod: &Pod) -> bool {
        pod.meta.controller().is_some_and(|owner| *owner.uid == *self.set.meta.uid)
    }
}

/// Whether this controller looks after the set (see [`Options::class`]).
pub(crate) fn is_ours(options: &Options, set: &DaemonSet) -> bool {
    set.meta.annotations.get(CLASS_ANNOTATION) == options.class.as_deref()
}

pub(crate) fn gather(options: &Options, view: &View, key: &Key) -> Option<DaemonSetInput> {
    let set = view.daemon_set(key).filter(|set| is_ours(options, set))?;
    let selector = selector(set);
    let orphans = view.pods().orphans_in(&set.meta.namespace).filter(|pod| matches(&selector, &pod.meta));
    let may_bind = options.bind == Bind::WhereFits && pod::may_bind(&set.spec.template);
    let mut seen = DaemonSetInput {
        set: set.clone(),
        nodes: view.nodes_snapshot(),
        owned: view.pods().owned_snapshot(&set.meta.uid),
        orphans: orphans.cloned().collect(),
        all_pods: view.pods().snapshot(),
        neighbours: may_bind.then(|| view.pods().nodes_snapshot()),
        sets_known_to: view.seen_revision(&kinds::DAEMON_SET),
        ..DaemonSetInput::default()
    };
    revisions(view, &selector, &mut seen);
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

fn revisions(view: &View, selector: &Selector, seen: &mut DaemonSetInput) {
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
