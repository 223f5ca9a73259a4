//! An independent judge of plans: from (DaemonSetInput, Plan), with its own, slow and plain,
//! reading of the rules.
//!
//! It judges the plan and not the world: what was already wrong is not the plan's fault. Per node,
//! counting neither terminal nor terminating pods, a plan never leads to two pods of one revision
//! or to three in all; it never takes down more than the budget; it never takes an available pod
//! while an unavailable outdated one could go first; it puts no pod on a node where it does not
//! fit; it touches nothing outside the selector; its status is a recount.

mod facts;

use std::collections::BTreeSet;

use everynode_api::kinds;
use everynode_api::reconcile::{Action, Violation};
use everynode_api::view::PodSpec;
use everynode_placement::{Needs, Occupancy, room_reasons};
use serde::Deserialize;

use crate::{DaemonSetInput, DaemonSetNote, Options, Plan, normal, revision};
use facts::{Facts, NodeFacts, PodFacts};

/// Everything that is wrong with a plan.
pub fn audit(options: &Options, seen: &DaemonSetInput, plan: &Plan) -> Vec<Violation> {
    let mut audit = Audit { options, seen, plan, facts: Facts::new(options, seen, plan), violations: Vec::new() };
    audit.ownership();
    audit.identity();
    audit.doubling();
    audit.placement();
    audit.room();
    audit.budget();
    audit.order();
    audit.status();
    audit.revisions();
    audit.violations
}

struct Audit<'a> {
    options: &'a Options,
    seen: &'a DaemonSetInput,
    plan: &'a Plan,
    facts: Facts<'a>,
    violations: Vec<Violation>,
}

impl Audit<'_> {
    fn blame(&mut self, text: String) {
        self.violations.push(Violation(text));
    }

    /// Deletes and relabels only pods that the set controls and selects; adopts only matching
    /// orphans.
    fn ownership(&mut self) {
        for action in &self.plan.actions {
            let (target, adopts, releases) = match action {
                Action::Delete { target, .. } => (target, false, false),
                Action::Patch { target, body, .. } => {
                    let references = &body["metadata"]["ownerReferences"][0];
                    let releases = references["$patch"] == "delete";
                    (target, !references.is_null() && !releases, releases)
                }
                _ => continue,
            };
            if target.kind != kinds::POD {
                continue;
            }
            let pod = self.facts.pods.iter().find(|pod| *pod.pod.meta.name == *target.name);
            let legitimate = pod.is_some_and(|pod| match (adopts, releases) {
                (true, _) => pod.orphan && pod.selected && !pod.pod.is_terminating(),
                (_, true) => !pod.orphan && !pod.selected,
                _ => !pod.orphan && pod.selected,
            });
            if !legitimate {
                self.blame(format!("{} is not for this plan to touch", target.name));
            }
        }
    }

    /// Every delete and patch names the object that was seen; every pod has a name of its own.
    fn identity(&mut self) {
        let mut names = BTreeSet::new();
        for action in &self.plan.actions {
            match action {
                Action::Delete { target, preconditions, .. } | Action::Patch { target, preconditions, .. } => {
                    let unnamed = preconditions.uid.as_deref().is_none_or(str::is_empty);
                    unnamed.then(|| self.blame(format!("{} is written without its uid", target.name)));
                }
                Action::Create { target, .. } if !names.insert((target.kind.clone(), target.name.clone())) => {
                    self.blame(format!("{} is created twice", target.name));
                }
                _ => {}
            }
        }
    }

    /// Never two pods of one revision on a node, never three, never two at all without surge.
    fn doubling(&mut self) {
        let mut wrong = Vec::new();
        for node in self.facts.nodes.iter().filter(|node| !node.creates.is_empty()) {
            let name = node.node.name();
            let staying: Vec<&PodFacts<'_>> = node.pods.iter().filter(|pod| pod.lives() && !pod.deleted).collect();
            if staying.len() + node.creates.len() > 2 {
                wrong.push(format!("more than two pods on node {name}"));
            }
            let twin = |hash: &String| staying.iter().any(|pod| pod.hash() == Some(hash));
            if node.creates.len() > 1 || node.creates.iter().any(twin) {
                wrong.push(format!("two pods of one revision on node {name}"));
            }
            // Deleted ones, too: the place is free only when the old pod is gone.
            let blocked = node.pods.iter().any(|pod| !pod.pod.is_terminal() || !pod.pod.is_terminating());
            if blocked && !self.facts.surge_allowed {
                wrong.push(format!("a pod is created on node {name} before the old one is gone"));
            }
        }
        wrong.into_iter().for_each(|text| self.blame(text));
    }

    /// Pods are created only where they should run (DS-B01 to DS-B06).
    fn placement(&mut self) {
        let wrong = self.facts.nodes.iter().filter(|node| !node.creates.is_empty() && !node.should_run);
        let texts: Vec<_> = wrong.map(|node| format!("node {} should not run a pod", node.node.name())).collect();
        texts.into_iter().for_each(|text| self.blame(text));
        if self.facts.astray_creates > 0 {
            self.blame("a pod is created for a node that does not exist".into());
        }
    }

    /// Pods are created on a node only where they fit beside all that is known to be there.
    fn room(&mut self) {
        for action in &self.plan.actions {
            let Action::Create { target, body, .. } = action else { continue };
            let Some(name) = body["spec"]["nodeName"].as_str().filter(|_| target.kind == kinds::POD) else { continue };
            // A node that the template names is its author's choice (DS-B34).
            if *name == *self.seen.set.spec.template.spec.node_name {
                continue;
            }
            let spec = PodSpec::deserialize(&body["spec"]).unwrap_or_default();
            let node = self.seen.node(name).map(|node| node.status.allocatable.clone()).unwrap_or_default();
            let all = self.seen.all_pods.values();
            let here = all.filter(|pod| pod.target_node() == Some(name)).map(AsRef::as_ref);
            let refused = room_reasons(&Needs::of(&spec), &node, &Occupancy::of(here));
            if let Some(reason) = refused.first() {
                let text = format!("{} is created on node {name}, where it does not fit: {reason}", target.name);
                self.violations.push(Violation(text));
            }
        }
    }

    /// What is taken down by our doing stays within the budget.
    fn budget(&mut self) {
        let lost: Vec<&NodeFacts<'_>> =
            self.facts.nodes.iter().filter(|node| node.loses(self.facts.surge_allowed, |pod| pod.available)).collect();
        let lost_ready =
            self.facts.nodes.iter().filter(|node| node.loses(self.facts.surge_allowed, |pod| pod.ready)).count() as i64;
        if !self.facts.rolling {
            if let Some(node) = lost.first() {
                let name = node.node.name();
                self.blame(format!("OnDelete, but a pod on node {name} is taken down"));
            }
            return;
        }
        if self.facts.max_surge > 0 {
            let gap = lost.iter().find(|node| node.should_run).map(|node| node.node.name().to_owned());
            gap.into_iter().for_each(|name| self.blame(format!("surge leaves a gap on node {name}")));
            return self.surge();
        }
        let allowed = self.facts.max_unavailable;
        let (down, lost) = (self.down().count() as i64, lost.len() as i64);
        if lost > 0 && down + lost > allowed {
            self.blame(format!("{down} nodes are unavailable and {lost} more are taken down; {allowed} are allowed"));
        }
        let soft = |node: &NodeFacts<'_>| {
            // What is on its way out is no claim to be up to date.
            node.pods.iter().all(|pod| !pod.updated || !pod.stays()) && node.stands(|pod| pod.ready)
        };
        let hard = self.down().filter(|node| !soft(node)).count() as i64;
        if !self.options.strict && lost_ready > 0 && hard + lost_ready > allowed {
            self.blame(format!(
                "{hard} nodes are down and {lost_ready} that serve are taken down; {allowed} are allowed"
            ));
        }
    }

    /// The nodes that spend the budget before the plan does anything.
    fn down(&self) -> impl Iterator<Item = &NodeFacts<'_>> {
        let counted = self.facts.nodes.iter().filter(|node| node.counts && node.has_entry());
        counted.filter(|node| !node.stands(|pod| pod.available))
    }

    /// New pods beside serving ones stay within the surge.
    fn surge(&mut self) {
        let serves = |pod: &PodFacts<'_>| pod.available || (pod.ready && !self.options.strict);
        let doubled = |node: &&NodeFacts<'_>| {
            let new = node.pods.iter().any(|pod| pod.stays() && pod.updated);
            let old = node.pods.iter().any(|pod| pod.stays() && !pod.updated);
            let settled = node.pods.iter().any(|pod| pod.stays() && pod.updated && pod.available);
            node.counts && new && old && !settled
        };
        let before = self.facts.nodes.iter().filter(doubled).count() as i64;
        let staying = |node: &NodeFacts<'_>| node.pods.iter().any(|pod| pod.lives() && !pod.deleted && serves(pod));
        let surging = |node: &&NodeFacts<'_>| !node.creates.is_empty() && staying(node);
        let started = self.facts.nodes.iter().filter(surging).count() as i64;
        let allowed = self.facts.max_surge;
        if started > 0 && before + started > allowed {
            self.blame(format!("{before} nodes surge and {started} more are started; {allowed} are allowed"));
        }
    }

    /// No available pod goes while an unavailable outdated one could go first.
    fn order(&mut self) {
        if !self.facts.rolling || self.facts.max_surge > 0 {
            return;
        }
        let alone = |node: &NodeFacts<'_>| node.pods.iter().filter(|pod| pod.stays()).count() == 1;
        let takes = self
            .facts
            .nodes
            .iter()
            .any(|node| alone(node) && node.loses(self.facts.surge_allowed, |pod| pod.available && !pod.updated));
        let could_go = |node: &&NodeFacts<'_>| {
            let left =
                |pod: &PodFacts<'_>| pod.stays() && !pod.updated && !pod.available && !pod.deleted && !pod.orphan;
            node.reachable && alone(node) && node.pods.iter().any(left)
        };
        let left = self.facts.nodes.iter().find(could_go).map(|node| node.node.name().to_owned());
        if let (true, Some(name)) = (takes, left) {
            self.blame(format!("the outdated pod on node {name} is not available and should go first"));
        }
    }

    /// The status is a recount (DS-E02 to DS-E09).
    fn status(&mut self) {
        let Some(write) = &self.plan.status else { return };
        let uncounted =
            |note: &DaemonSetNote| matches!(note, DaemonSetNote::Collision { .. } | DaemonSetNote::NameTooLong { .. });
        if self.plan.notes.iter().any(uncounted) {
            return;
        }
        let first = |node: &NodeFacts<'_>, test: fn(&PodFacts<'_>) -> bool| node.first().is_some_and(test);
        let count = |test: &dyn Fn(&NodeFacts<'_>) -> bool| self.facts.nodes.iter().filter(|node| test(node)).count();
        let desired = count(&|node| node.should_run);
        let available = count(&|node| node.should_run && first(node, |pod| pod.available));
        let expected = [
            ("desiredNumberScheduled", desired),
            ("currentNumberScheduled", count(&|node| node.should_run && first(node, |_| true))),
            ("numberMisscheduled", count(&|node| !node.should_run && first(node, |_| true))),
            ("numberReady", count(&|node| node.should_run && first(node, |pod| pod.ready))),
            ("numberAvailable", available),
            ("numberUnavailable", desired - available),
            ("updatedNumberScheduled", count(&|node| node.should_run && first(node, |pod| pod.updated))),
        ];
        for (name, number) in expected {
            let written = write.status[name].as_u64().unwrap_or(0);
            if written != number as u64 {
                self.blame(format!("status.{name} is {written}, counted {number}"));
            }
        }
    }

    /// The newest revision and those that pods refer to are kept, and as many old ones as the limit
    /// says.
    fn revisions(&mut self) {
        let template = &self.seen.set.spec.template.raw;
        let deleted: BTreeSet<&str> = facts::deleted(self.plan, &kinds::CONTROLLER_REVISION).collect();
        if deleted.is_empty() {
            return;
        }
        let is_newest = |data| normal::same_template(template, normal::template_of(data));
        let (newest, old): (Vec<_>, Vec<_>) =
            self.seen.revisions.iter().partition(|revision| is_newest(&revision.data));
        // None is ours where one of another owner serves as the newest (DS-D51).
        if !newest.is_empty() && newest.iter().all(|revision| deleted.contains(&*revision.meta.name)) {
            self.blame("the newest revision is deleted".into());
        }
        let kept = old.iter().filter(|revision| !deleted.contains(&*revision.meta.name)).count();
        let limit = self.seen.set.spec.revision_history_limit.unwrap_or(10).max(0) as usize;
        if kept < old.len() && kept < limit {
            self.blame(format!("only {kept} old revisions are kept; the limit is {limit}"));
        }
        let in_use: BTreeSet<&str> =
            self.facts.pods.iter().filter(|pod| pod.selected).filter_map(PodFacts::hash).collect();
        let all = self.seen.revisions.iter();
        let (going, staying): (Vec<_>, Vec<_>) = all.partition(|revision| deleted.contains(&*revision.meta.name));
        // One of another owner can be the newest, too.
        let foreign = self.seen.foreign_revisions.iter().filter(|revision| is_newest(&revision.data));
        let kept: BTreeSet<&str> = staying.into_iter().chain(foreign).map(|one| revision::label(&one.meta)).collect();
        let is_missed = |label: &str| in_use.contains(label) && !kept.contains(label);
        let wrong: Vec<_> = going.into_iter().filter(|one| is_missed(revision::label(&one.meta))).collect();
        for revision in wrong {
            self.blame(format!("revision {} is deleted while a pod refers to it", revision.meta.name));
        }
    }
}
