//! Each node with its verdict and its pods, in the order in which they are judged.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::sync::Arc;

use everynode_api::meta::Meta;
use everynode_api::view::{Node, Pod, PodPhase, PodSpec};
use everynode_placement::{Eligibility, Reason, eligible, static_reasons, with_automatic_tolerations};
use jiff::{SignedDuration, Timestamp};

use crate::claim::Claims;
use crate::memory::{Memory, Seat};
use crate::pod::{GENERATION_LABEL, HASH_LABEL};
use crate::seen::{Fnv, Seen};
use crate::{Options, RESPECT_CORDON_ANNOTATION};

/// How nodes and pods of one set are judged in one pass.
pub(crate) struct Judge<'a> {
    pub strict: bool,
    pub now: Timestamp,
    /// The hash labels of the newest template: more than one while duplicate revisions exist.
    pub hashes: Vec<String>,
    /// When the rollout of the newest template began.
    pub started: Option<Timestamp>,
    /// The template generation, where it counts, too (DS-D04).
    pub generation: Option<&'a str>,
    pub min_ready: SignedDuration,
    /// The template's spec with all tolerations.
    pub spec: PodSpec,
    pub respect_cordon: bool,
}

/// Whether cordoned nodes get no pod of the set.
pub(crate) fn respects_cordon(options: &Options, set: &Meta) -> bool {
    !options.strict && set.annotations.get(RESPECT_CORDON_ANNOTATION) == Some("true")
}

/// The template's spec with the tolerations that its pods will have.
pub(crate) fn pod_spec(template: &PodSpec, respect_cordon: bool) -> PodSpec {
    let mut spec = template.clone();
    spec.tolerations = with_automatic_tolerations(&template.tolerations, template.host_network);
    if respect_cordon {
        let own = &template.tolerations;
        spec.tolerations.retain(|t| own.contains(t) || t.key.as_ref() != "node.kubernetes.io/unschedulable");
    }
    spec
}

/// Likewise with nothing but what the verdict on a node reads.
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

impl Judge<'_> {
    /// Everything that speaks against the node.
    pub fn reasons(&self, node: &Node) -> Vec<Reason> {
        let mut reasons = static_reasons(&self.spec, node);
        let cordoned = self.respect_cordon && node.spec.unschedulable;
        if cordoned && !reasons.contains(&Reason::Unschedulable) {
            reasons.push(Reason::Unschedulable);
        }
        reasons
    }

    /// Whether a pod carries the newest hash.
    pub fn has_newest_hash(&self, meta: &Meta) -> bool {
        meta.labels.get(HASH_LABEL).is_some_and(|hash| self.hashes.iter().any(|newest| newest == hash))
    }

    /// Up to date (DS-D04). The generation counts only for the original's sake (DS-K28).
    fn is_updated(&self, meta: &Meta, newest_hash: bool) -> bool {
        let generation = || self.generation.is_some() && meta.labels.get(GENERATION_LABEL) == self.generation;
        newest_hash || (self.strict && generation())
    }

    fn state<'a>(&self, pod: &'a Arc<Pod>, adopting: bool) -> PodState<'a> {
        let newest_hash = self.has_newest_hash(&pod.meta);
        let available_at = self.available_at(pod);
        PodState {
            pod,
            site: 0,
            adopting,
            newest_hash,
            updated: self.is_updated(&pod.meta, newest_hash),
            ready: available_at.is_some(),
            available: available_at.is_some_and(|at| at <= self.now),
            available_at: available_at.unwrap_or(Timestamp::MAX),
        }
    }

    /// When a ready pod is or becomes available (DS-E04); `None` if it is not ready.
    fn available_at(&self, pod: &Pod) -> Option<Timestamp> {
        let ready = pod.condition("Ready").filter(|condition| condition.status.as_ref() == "True")?;
        if self.min_ready.is_zero() {
            return Some(Timestamp::MIN);
        }
        let since = ready.last_transition_time;
        Some(since.map_or(Timestamp::MAX, |since| since.saturating_add(self.min_ready).unwrap_or(Timestamp::MAX)))
    }
}

/// A pod of the set, judged.
#[derive(Clone)]
pub(crate) struct PodState<'a> {
    pub pod: &'a Arc<Pod>,
    site: u32,
    /// It is only being adopted: nothing else is done to it in this pass.
    pub adopting: bool,
    pub newest_hash: bool,
    pub updated: bool,
    pub ready: bool,
    pub available: bool,
    /// Meaningful if it is ready.
    pub available_at: Timestamp,
}

impl PodState<'_> {
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
    fn is_ghost(&self) -> bool {
        self.pod.is_terminating() && self.pod.is_terminal()
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

/// A node, its verdict, and where its pods are.
pub(crate) struct Site<'a> {
    pub node: &'a Arc<Node>,
    pub eligibility: Eligibility,
    /// The node's agent is heard of. One that reports itself as not ready is.
    pub heard: bool,
    /// What is remembered of the node.
    pub seat: Option<&'a Seat>,
    first: u32,
    end: u32,
    ghosts_end: u32,
}

/// All nodes in name order, with the pods on them.
pub(crate) struct Sites<'a> {
    pub sites: Vec<Site<'a>>,
    states: Vec<PodState<'a>>,
    /// Pods for nodes that do not exist.
    pub astray: Vec<PodState<'a>>,
}

impl<'a> Sites<'a> {
    pub fn new(seen: &'a Seen, memory: &'a Memory, claims: &Claims<'a>, judge: &Judge<'_>) -> Self {
        let mut index: HashMap<&str, u32, Fnv> = HashMap::with_capacity_and_hasher(seen.nodes.len(), Fnv::default());
        index.extend(seen.nodes.iter().zip(0..).map(|(node, number)| (node.name(), number)));
        let mut sites = Sites { sites: Vec::new(), states: Vec::with_capacity(claims.pods.len()), astray: Vec::new() };
        for (pod, adopting) in &claims.pods {
            let Some(target) = pod.target_node() else { continue }; // DS-B33
            let mut state = judge.state(pod, *adopting);
            match index.get(target) {
                Some(number) => {
                    state.site = *number;
                    sites.states.push(state);
                }
                None => sites.astray.push(state),
            }
        }
        let place = |state: &PodState<'_>| (state.site, state.is_ghost());
        sites.states.sort_by(|a, b| place(a).cmp(&place(b)).then_with(|| a.order(b)));
        sites.astray.sort_by(|a, b| a.pod.meta.name.cmp(&b.pod.meta.name));
        sites.lay_out(seen, memory, judge);
        sites
    }

    fn lay_out(&mut self, seen: &'a Seen, memory: &'a Memory, judge: &Judge<'_>) {
        let mut next = 0;
        let mut seats = memory.seats.iter().peekable();
        self.sites = Vec::with_capacity(seen.nodes.len());
        for (node, number) in seen.nodes.iter().zip(0u32..) {
            let rest = &self.states[next..];
            let all = rest.iter().take_while(|state| state.site == number).count();
            let alive = rest[..all].iter().take_while(|state| !state.is_ghost()).count();
            while seats.next_if(|seat| *seat.node < *node.name()).is_some() {}
            self.sites.push(Site {
                seat: seats.next_if(|seat| *seat.node == *node.name()),
                node,
                eligibility: eligibility(&judge.spec, judge.respect_cordon, node),
                heard: judge.strict || is_heard(node),
                first: next as u32,
                end: (next + alive) as u32,
                ghosts_end: (next + all) as u32,
            });
            next += all;
        }
    }

    /// The node's pods in the order of DS-C28, without those that have ended and are being deleted (DS-C20).
    pub fn pods(&self, site: &Site<'a>) -> &[PodState<'a>] {
        &self.states[site.first as usize..site.end as usize]
    }

    /// Likewise with them.
    pub fn pods_and_ghosts(&self, site: &Site<'a>) -> &[PodState<'a>] {
        &self.states[site.first as usize..site.ghosts_end as usize]
    }

    pub fn iter(&self) -> impl Iterator<Item = (&Site<'a>, &[PodState<'a>])> {
        self.sites.iter().map(|site| (site, self.pods(site)))
    }

    /// How many nodes should run a pod (DS-E02).
    pub fn desired(&self) -> i64 {
        self.sites.iter().filter(|site| site.eligibility.should_run).count() as i64
    }

    /// Every pod of the set that has a node.
    pub fn states(&self) -> impl Iterator<Item = &PodState<'a>> {
        self.states.iter().chain(&self.astray)
    }
}

/// Whether a silent node fell silent only after the rollout began; so if that is not known.
pub(crate) fn fell_silent_after(node: &Node, started: Option<Timestamp>) -> bool {
    let since = node.condition("Ready").and_then(|ready| ready.last_transition_time);
    since.zip(started).is_none_or(|(since, started)| since >= started)
}

/// Only a node whose `Ready` is `Unknown` is not heard of: `False` is what its agent itself said.
pub(crate) fn is_heard(node: &Node) -> bool {
    node.condition("Ready").is_none_or(|ready| ready.status.as_ref() != "Unknown")
}
