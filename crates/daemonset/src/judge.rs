//! How nodes and pods of one set are judged in one pass.

use std::cmp::Ordering;
use std::sync::Arc;

use everynode_api::meta::Meta;
use everynode_api::selector::LabelSelector;
use everynode_api::view::{Node, Pod, PodPhase, PodSpec};
use everynode_placement::{Eligibility, Reason, eligible, static_reasons, with_automatic_tolerations};
use jiff::{SignedDuration, Timestamp};

use crate::pod::{GENERATION_LABEL, HASH_LABEL};
use crate::{Options, RESPECT_CORDON_ANNOTATION};

/// What judgements of nodes and pods are made by. As long as it stays the same, so do they.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Terms {
    pub strict: bool,
    /// The hash labels of the newest template: more than one while duplicate revisions exist.
    pub hashes: Vec<String>,
    /// The template generation, where it counts, too (DS-D04).
    pub generation: Option<String>,
    pub min_ready: SignedDuration,
    /// The template's spec with all tolerations.
    pub spec: PodSpec,
    pub respect_cordon: bool,
    pub selector: Option<LabelSelector>,
}

/// The terms at one moment.
pub(crate) struct Judge<'a> {
    pub terms: &'a Terms,
    pub now: Timestamp,
    /// When the rollout of the newest template began.
    pub started: Option<Timestamp>,
}

/// Whether cordoned nodes get no pod of the set.
pub(crate) fn respects_cordon(options: &Options, set: &Meta) -> bool {
    !options.strict && set.annotations.get(RESPECT_CORDON_ANNOTATION) == Some("true")
}

/// The template's spec with the tolerations that its pods will have.
pub(crate) fn pod_spec(template: &PodSpec, respect_cordon: bool) -> PodSpec {
    let mut spec = template.clone();
    let mut tolerations = with_automatic_tolerations(&template.tolerations, template.host_network);
    if respect_cordon {
        let own = &template.tolerations;
        tolerations.retain(|t| own.contains(t) || t.key.as_ref() != "node.kubernetes.io/unschedulable");
    }
    spec.tolerations = tolerations.into();
    spec
}

/// The same with nothing but what the verdict on a node reads.
pub(crate) fn verdict_spec(template: &PodSpec, respect_cordon: bool) -> PodSpec {
    let needed = PodSpec {
        node_name: template.node_name.clone(),
        node_selector: template.node_selector.clone(),
        affinity: template.affinity.clone(),
        tolerations: template.tolerations.clone(),
        host_network: template.host_network,
        ..PodSpec::default()
    };
    pod_spec(&needed, respect_cordon)
}

/// The verdict on a node (DS-B01 to DS-B09, and the cordon where the set respects it).
pub(crate) fn eligibility(spec: &PodSpec, respect_cordon: bool, node: &Node) -> Eligibility {
    match eligible(spec, &spec.tolerations, node) {
        Eligibility { should_run: true, .. } if respect_cordon && node.spec.unschedulable => Eligibility::KEEP,
        verdict => verdict,
    }
}

impl Terms {
    /// Everything that speaks against the node.
    pub fn reasons(&self, node: &Node) -> Vec<Reason> {
        let mut reasons = static_reasons(&self.spec, node);
        let cordoned = self.respect_cordon && node.spec.unschedulable;
        if cordoned && !reasons.contains(&Reason::Unschedulable) {
            reasons.push(Reason::Unschedulable);
        }
        reasons
    }
}

impl Judge<'_> {
    /// Everything that speaks against the node.
    pub fn reasons(&self, node: &Node) -> Vec<Reason> {
        self.terms.reasons(node)
    }

    /// The verdict on a node.
    pub fn eligibility(&self, node: &Node) -> Eligibility {
        eligibility(&self.terms.spec, self.terms.respect_cordon, node)
    }

    /// Whether a pod carries the newest hash.
    fn has_newest_hash(&self, meta: &Meta) -> bool {
        meta.labels.get(HASH_LABEL).is_some_and(|hash| self.terms.hashes.iter().any(|newest| newest == hash))
    }

    /// What a pod's labels tell of its template. Up to date: DS-D04. The generation counts only for
    /// the original's sake (DS-K28).
    pub fn revision(&self, meta: &Meta) -> Revision {
        let newest_hash = self.has_newest_hash(meta);
        let generation = self.terms.generation.as_deref();
        let as_generation = || generation.is_some() && meta.labels.get(GENERATION_LABEL) == generation;
        Revision { newest_hash, updated: newest_hash || (self.terms.strict && as_generation()) }
    }

    pub fn state(&self, pod: Arc<Pod>, adopting: bool, revision: Revision) -> PodState {
        let available_at = self.available_at(&pod);
        PodState {
            adopting,
            newest_hash: revision.newest_hash,
            updated: revision.updated,
            ready: available_at.is_some(),
            available: available_at.is_some_and(|at| at <= self.now),
            available_at: available_at.unwrap_or(Timestamp::MAX),
            pod,
        }
    }

    /// When a ready pod is or becomes available (DS-E04); `None` if it is not ready.
    fn available_at(&self, pod: &Pod) -> Option<Timestamp> {
        let ready = pod.condition("Ready").filter(|condition| condition.status.as_ref() == "True")?;
        if self.terms.min_ready.is_zero() {
            return Some(Timestamp::MIN);
        }
        let since = ready.last_transition_time;
        Some(since.map_or(Timestamp::MAX, |since| since.saturating_add(self.terms.min_ready).unwrap_or(Timestamp::MAX)))
    }
}

/// Which template a pod was made from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Revision {
    pub newest_hash: bool,
    pub updated: bool,
}

/// A pod of the set, judged.
#[derive(Clone, Debug)]
pub(crate) struct PodState {
    pub pod: Arc<Pod>,
    /// It is only being adopted: nothing else is done to it in this pass.
    pub adopting: bool,
    pub newest_hash: bool,
    pub updated: bool,
    pub ready: bool,
    pub available: bool,
    /// Meaningful if it is ready.
    pub available_at: Timestamp,
}

impl PodState {
    pub fn name(&self) -> Arc<str> {
        self.pod.meta.name.clone()
    }

    pub fn is_terminating(&self) -> bool {
        self.pod.is_terminating()
    }

    pub fn phase(&self) -> PodPhase {
        self.pod.status.phase
    }

    /// Ended and being deleted: nothing but a name that is still taken (DS-C20).
    pub fn is_finished_and_terminating(&self) -> bool {
        self.pod.is_terminating() && self.pod.is_terminal()
    }

    /// Ready, and not for long enough.
    pub fn is_baking(&self) -> bool {
        self.ready && !self.available
    }

    /// The agent of its node has said something about it.
    pub fn is_reported(&self) -> bool {
        self.pod.status.start_time.is_some() || self.pod.status.container_statuses > 0
    }

    /// DS-C28: bound before unbound, then older, then smaller name.
    pub fn order(&self, other: &Self) -> Ordering {
        let key = |state: &Self| (state.pod.spec.node_name.is_empty(), state.pod.meta.creation_timestamp);
        key(self).cmp(&key(other)).then_with(|| self.pod.meta.name.cmp(&other.pod.meta.name))
    }
}

/// Whether a silent node fell silent only after the rollout began; so if that is not known.
pub(crate) fn fell_silent_after(node: &Node, started: Option<Timestamp>) -> bool {
    let since = node.condition("Ready").and_then(|ready| ready.last_transition_time);
    since.zip(started).is_none_or(|(since, started)| since >= started)
}
