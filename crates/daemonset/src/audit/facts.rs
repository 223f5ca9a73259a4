//! What the audit reads out of (DaemonSetInput, Plan), without the planner's help.

use std::collections::BTreeSet;

use everynode_api::int_or_string::{IntOrString, Round};
use everynode_api::kinds::{self, Kind};
use everynode_api::reconcile::Action;
use everynode_api::view::{Effect, Node, Pod, PodSpec};
use everynode_placement as placement;
use jiff::SignedDuration;

use crate::{DaemonSetInput, Options, Plan, RESPECT_CORDON_ANNOTATION, normal, revision};

pub(super) struct Facts<'a> {
    pub nodes: Vec<NodeFacts<'a>>,
    /// Every pod of the set, and every orphan that matches.
    pub pods: Vec<PodFacts<'a>>,
    pub astray_creates: usize,
    pub rolling: bool,
    pub max_unavailable: i64,
    pub max_surge: i64,
    pub surge_allowed: bool,
}

#[derive(Clone)]
pub(super) struct PodFacts<'a> {
    pub pod: &'a Pod,
    pub orphan: bool,
    pub selected: bool,
    pub updated: bool,
    pub ready: bool,
    pub available: bool,
    pub deleted: bool,
}

pub(super) struct NodeFacts<'a> {
    pub node: &'a Node,
    pub should_run: bool,
    pub should_continue: bool,
    /// Its agent is heard of; always, for the original.
    pub reachable: bool,
    /// It spends the budget while nothing is available there.
    pub counts: bool,
    /// Ours, without those that have ended and are being deleted.
    pub pods: Vec<PodFacts<'a>>,
    /// The hash labels of the pods that the plan creates there.
    pub creates: Vec<String>,
}

impl PodFacts<'_> {
    pub fn hash(&self) -> Option<&str> {
        self.pod.meta.labels.get("controller-revision-hash")
    }

    /// Neither ended nor ending.
    pub fn lives(&self) -> bool {
        !self.pod.is_terminal() && !self.pod.is_terminating()
    }

    pub fn stays(&self) -> bool {
        !self.pod.is_terminating()
    }
}

impl NodeFacts<'_> {
    pub fn has_entry(&self) -> bool {
        self.should_run || !self.pods.is_empty()
    }

    /// Some pod that is not ending is as `test` says.
    pub fn stands(&self, test: impl Fn(&PodFacts<'_>) -> bool) -> bool {
        self.pods.iter().any(|pod| pod.stays() && test(pod))
    }

    /// A rollout's deletions leave none that is as `test` says. Other reasons to delete (the node
    /// must not run the pod, it is doubled, the machine was replaced) are not a rollout's.
    pub fn loses(&self, surge_allowed: bool, test: impl Fn(&PodFacts<'_>) -> bool) -> bool {
        let kind = |updated: bool| self.pods.iter().filter(|pod| pod.stays() && pod.updated == updated).count();
        let doubled = kind(true) > 1 || kind(false) > 1 || (!surge_allowed && kind(true) + kind(false) > 1);
        let replaced = self.pods.iter().any(|pod| pod.pod.meta.creation_timestamp <= self.node.meta.creation_timestamp);
        self.should_continue
            && !doubled
            && !replaced
            && self.stands(|pod| pod.lives() && test(pod))
            && !self.stands(|pod| test(pod) && !pod.deleted)
    }

    /// DS-E03 with DS-C28: bound first, then older, then by name.
    pub fn first(&self) -> Option<&PodFacts<'_>> {
        self.pods.iter().min_by(|a, b| {
            let bound = a.pod.spec.node_name.is_empty().cmp(&b.pod.spec.node_name.is_empty());
            let age = a.pod.meta.creation_timestamp.cmp(&b.pod.meta.creation_timestamp);
            bound.then(age).then(a.pod.meta.name.cmp(&b.pod.meta.name))
        })
    }
}

impl<'a> Facts<'a> {
    pub fn new(options: &Options, seen: &'a DaemonSetInput, plan: &Plan) -> Self {
        let pods = pods(options, seen, plan);
        let mut nodes: Vec<NodeFacts<'a>> = seen.nodes.values().map(|node| empty(options, seen, node)).collect();
        let place = |nodes: &[NodeFacts<'a>], name: &str| nodes.binary_search_by(|n| n.node.name().cmp(name)).ok();
        for pod in pods.iter().filter(|pod| pod.selected && !(pod.pod.is_terminal() && pod.pod.is_terminating())) {
            if let Some(index) = pod.pod.target_node().and_then(|name| place(&nodes, name)) {
                nodes[index].pods.push(pod.clone());
            }
        }
        for node in &mut nodes {
            let reported =
                |pod: &PodFacts<'_>| pod.pod.status.start_time.is_some() || pod.pod.status.container_statuses > 0;
            let received = node.pods.iter().any(|pod| pod.updated && reported(pod));
            node.counts = node.reachable || (received && !silent_before(seen, node.node));
        }
        let mut facts = Facts { nodes, pods, astray_creates: 0, ..strategy(seen) };
        for (name, hash) in creates(plan) {
            match place(&facts.nodes, &name) {
                Some(index) => facts.nodes[index].creates.push(hash),
                None => facts.astray_creates += 1,
            }
        }
        let desired = facts.nodes.iter().filter(|node| node.should_run).count() as i64;
        facts.resolve(seen, desired);
        facts
    }

    /// DS-D05, DS-D06
    fn resolve(&mut self, seen: &DaemonSetInput, desired: i64) {
        let numbers = seen.set.spec.update_strategy.rolling_update.as_ref();
        let resolve = |value: Option<&IntOrString>, absent: i64| {
            value.and_then(|value| value.scaled(desired, Round::Up).ok()).unwrap_or(absent)
        };
        self.max_surge = resolve(numbers.and_then(|numbers| numbers.max_surge.as_ref()), 0);
        self.max_unavailable = resolve(numbers.and_then(|numbers| numbers.max_unavailable.as_ref()), 1);
        if self.max_surge == 0 && self.max_unavailable == 0 && desired > 0 {
            self.max_unavailable = 1;
        }
    }
}

fn strategy(seen: &DaemonSetInput) -> Facts<'_> {
    let strategy = &seen.set.spec.update_strategy;
    let surge = strategy.rolling_update.as_ref().and_then(|numbers| numbers.max_surge.as_ref());
    let rolling = strategy.kind.as_ref() != "OnDelete";
    Facts {
        nodes: Vec::new(),
        pods: Vec::new(),
        astray_creates: 0,
        rolling,
        max_unavailable: 0,
        max_surge: 0,
        surge_allowed: rolling && surge.is_some_and(|surge| !surge.is_zero()),
    }
}

fn pods<'a>(options: &Options, seen: &'a DaemonSetInput, plan: &Plan) -> Vec<PodFacts<'a>> {
    let set = &seen.set;
    let selector = set.spec.selector.as_ref().and_then(|selector| selector.to_selector().ok());
    let template = &set.spec.template.raw;
    let newest = seen.revisions.iter().chain(&seen.foreign_revisions);
    let newest = newest.filter(|revision| normal::same_template(template, normal::template_of(&revision.data)));
    let hashes: BTreeSet<&str> = newest.map(|revision| revision::label(&revision.meta)).collect();
    let generation = set.meta.annotations.get("deprecated.daemonset.template.generation");
    let deleted: BTreeSet<&str> = deleted(plan, &kinds::POD).collect();
    let facts = |pod: &'a Pod| {
        let labels = &pod.meta.labels;
        let by_hash = labels.get("controller-revision-hash").is_some_and(|hash| hashes.contains(hash));
        let by_generation = generation.is_some() && labels.get("pod-template-generation") == generation;
        let ready = pod.is_ready();
        PodFacts {
            pod,
            orphan: pod.meta.controller().is_none(),
            selected: selector.as_ref().is_some_and(|selector| selector.matches(|key| labels.get(key))),
            updated: by_hash || (options.strict && by_generation),
            ready,
            available: ready && is_available(pod, set.spec.min_ready_seconds, plan),
            deleted: deleted.contains(&*pod.meta.name),
        }
    };
    let ours = |pod: &&std::sync::Arc<Pod>| pod.meta.controller().is_some() || !pod.is_terminating();
    seen.pods().filter(ours).map(|pod| facts(pod)).collect()
}

/// The audit has no clock: a plan's own moment is the last at which it could have judged, so
/// availability is taken from the plan's time.
fn is_available(pod: &Pod, min_ready_seconds: i64, plan: &Plan) -> bool {
    let Some(now) = plan.memory.planned_at else { return min_ready_seconds <= 0 };
    let since = pod.condition("Ready").and_then(|ready| ready.last_transition_time);
    let wait = SignedDuration::from_secs(min_ready_seconds);
    min_ready_seconds <= 0 || since.is_some_and(|since| since.saturating_add(wait).is_ok_and(|at| at <= now))
}

fn empty<'a>(options: &Options, seen: &DaemonSetInput, node: &'a Node) -> NodeFacts<'a> {
    let template = &seen.set.spec.template.spec;
    let cordon = !options.strict && seen.set.meta.annotations.get(RESPECT_CORDON_ANNOTATION) == Some("true");
    let (should_run, should_continue) = verdict(template, node);
    let silent = node.condition("Ready").is_some_and(|ready| ready.status.as_ref() == "Unknown");
    let kept_off = cordon && (node.spec.unschedulable || cordon_taint_refuses(template, node));
    NodeFacts {
        node,
        should_run: should_run && !kept_off,
        should_continue,
        reachable: options.strict || !silent,
        counts: true,
        pods: Vec::new(),
        creates: Vec::new(),
    }
}

/// The node fell silent before the newest revision's rollout began.
fn silent_before(seen: &DaemonSetInput, node: &Node) -> bool {
    let template = &seen.set.spec.template.raw;
    let all = seen.revisions.iter().chain(&seen.foreign_revisions);
    let same = all.filter(|revision| normal::same_template(template, normal::template_of(&revision.data)));
    let newest = same.max_by_key(|revision| (revision.revision, &revision.meta.name));
    let began = newest.and_then(|revision| revision::started(&revision.meta));
    let silent = node.condition("Ready").and_then(|ready| ready.last_transition_time);
    silent.is_some_and(|silent| began.is_some_and(|began| silent < began))
}

/// The cordon's taint, and the template itself does not tolerate it.
fn cordon_taint_refuses(template: &PodSpec, node: &Node) -> bool {
    let refusing = placement::untolerated(&node.spec.taints, &template.tolerations, &[Effect::NoSchedule]);
    refusing.into_iter().any(|taint| taint.key.as_ref() == "node.kubernetes.io/unschedulable")
}

/// DS-B01 to DS-B06, in the words of the specification.
fn verdict(template: &PodSpec, node: &Node) -> (bool, bool) {
    let elsewhere = !template.node_name.is_empty() && *template.node_name != *node.name();
    if elsewhere || !placement::matches_node_affinity(template, node) {
        return (false, false);
    }
    let all = placement::with_automatic_tolerations(&template.tolerations, template.host_network);
    let tolerated = |effect: Effect| placement::untolerated(&node.spec.taints, &all, &[effect]).count() == 0;
    let stays = tolerated(Effect::NoExecute);
    (stays && tolerated(Effect::NoSchedule), stays)
}

/// The names of the objects of a kind that a plan deletes.
pub(super) fn deleted<'p>(plan: &'p Plan, kind: &Kind) -> impl Iterator<Item = &'p str> {
    plan.actions.iter().filter_map(move |action| match action {
        Action::Delete { target, .. } if target.kind == *kind => Some(target.name.as_str()),
        _ => None,
    })
}

/// Node and hash label of every pod that a plan creates.
fn creates(plan: &Plan) -> impl Iterator<Item = (String, String)> {
    plan.actions.iter().filter_map(|action| match action {
        Action::Create { target, body, .. } if target.kind == kinds::POD => {
            let pod: Pod = serde_json::from_value(body.clone()).ok()?;
            let hash = pod.meta.labels.get("controller-revision-hash").unwrap_or_default().to_owned();
            Some((pod.target_node().unwrap_or_default().to_owned(), hash))
        }
        _ => None,
    })
}
