//! The scheduler's part: pods that were not bound at creation get a node, or the reasons why not
//! (DS-B40 to DS-B52).
//!
//! One key for everything: a pass decides about all unbound pods together, most important first,
//! and takes what it gives away out of its own ledger, and so what it makes room for by preemption.
//! Two pods never get the same room. Who else binds pods at this moment is not known here: our own
//! server refuses a binding that does not fit (any more), and the next pass says why.

use std::collections::BTreeMap;
use std::sync::Arc;

use everynode_api::kinds::{self, Kind};
use everynode_api::meta::Key;
use everynode_api::reconcile::{Action, Event, EventType, Plan, Reconciler, Report};
use everynode_api::time::rfc3339;
use everynode_api::view::{Change, Node, Pod, View};
use everynode_placement::{Choice, Occupancy, Reason, choose, failure_message};
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::budget::Budget;
use crate::common::{patch_pod_condition, regarding, target};
use crate::preemption::{Bound, preempt, remove};

/// Pods with this `schedulerName` are ours.
const NAME: &str = "default-scheduler";

/// The scheduler.
#[derive(Clone, Copy, Debug, Default)]
pub struct Scheduler;

/// All unbound pods and everything that they could be put on.
#[derive(Debug)]
pub struct SchedulerInput {
    /// Most important first.
    pending: Vec<Arc<Pod>>,
    nodes: Vec<Arc<Node>>,
    /// Pods by the node that they are bound to.
    bound: Bound,
    /// Disruption budgets, by name.
    budgets: BTreeMap<Key, Budget>,
}

/// Why a pod has no node.
#[derive(Clone, Debug, PartialEq)]
pub enum SchedulerNote {
    NoFit { pod: Key, message: Box<str> },
    Gated { pod: Key },
    WaitsForVictims { pod: Key, node: Box<str> },
}

impl std::fmt::Display for SchedulerNote {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            SchedulerNote::NoFit { pod, message } => write!(f, "pod {pod}: {message}"),
            SchedulerNote::Gated { pod } => write!(f, "pod {pod} is held back by its scheduling gates"),
            SchedulerNote::WaitsForVictims { pod, node } => {
                write!(f, "pod {pod} waits until less important pods have left node {node}")
            }
        }
    }
}

impl Reconciler for Scheduler {
    type Input = SchedulerInput;
    type Memory = ();
    type Note = SchedulerNote;

    fn name(&self) -> &'static str {
        NAME
    }

    fn watches(&self) -> Vec<Kind> {
        vec![kinds::NODE, kinds::POD, kinds::POD_DISRUPTION_BUDGET]
    }

    fn wake(&self, view: &View, change: &Change) -> Vec<Key> {
        // Without anything to place, a change of the cluster concerns no pod.
        let relevant = change.kind == kinds::NODE || change.kind == kinds::POD;
        if relevant && view.pods().unbound().len() > 0 { self.all(view) } else { Vec::new() }
    }

    fn all(&self, _view: &View) -> Vec<Key> {
        vec![Key::cluster("pending")]
    }

    fn gather(&self, view: &View, _key: &Key) -> Option<SchedulerInput> {
        let ours = |pod: &&Arc<Pod>| matches!(pod.spec.scheduler_name.as_ref(), "" | NAME);
        let live = |pod: &&Arc<Pod>| !pod.is_terminating() && !pod.is_terminal();
        let mut pending: Vec<_> = view.pods().unbound().filter(ours).filter(live).cloned().collect();
        if pending.is_empty() {
            return None;
        }
        pending.sort_by_key(|pod| (std::cmp::Reverse(pod.spec.priority.unwrap_or(0)), pod.meta.creation_timestamp));
        let mut bound = BTreeMap::new();
        let all_pinned = pending.iter().all(|pod| pod.spec.pinned_node().is_some());
        let names: Vec<&str> = match all_pinned {
            true => pending.iter().filter_map(|pod| pod.spec.pinned_node()).collect(),
            false => view.nodes().map(|node| node.name()).collect(),
        };
        for name in names {
            let on_node =
                view.pods().on_node(name).filter(|pod| pod.spec.node_name.as_ref() == name && !pod.is_terminal());
            bound.entry(name.into()).or_insert_with(|| on_node.cloned().collect());
        }
        let budgets = view.objects(&kinds::POD_DISRUPTION_BUDGET);
        let budgets = budgets.map(|budget| (budget.meta.key(), Budget::read(budget))).collect();
        Some(SchedulerInput { pending, nodes: view.nodes().cloned().collect(), bound, budgets })
    }

    fn plan(&self, seen: &SchedulerInput, _memory: &(), now: Timestamp) -> Plan<SchedulerNote, ()> {
        let mut ledger = Ledger { seen, taken: BTreeMap::new() };
        let mut plan = Plan::default();
        for pod in &seen.pending {
            if pod.spec.scheduling_gates > 0 {
                plan.notes.push(SchedulerNote::Gated { pod: pod.meta.key() });
                continue;
            }
            match ledger.choose(pod) {
                Choice::Node(node) => {
                    ledger.reserve(node.name(), pod);
                    plan.actions.push(bind(pod, &node));
                }
                Choice::Refused(refused) => {
                    if let Some(node) = refuse(seen, pod, &refused, now, &mut plan) {
                        ledger.reserve(&node, pod);
                    }
                }
            }
        }
        plan
    }
}

/// What is taken on each node, including what this pass gave away.
struct Ledger<'a> {
    seen: &'a SchedulerInput,
    taken: BTreeMap<Box<str>, Occupancy>,
}

impl Ledger<'_> {
    fn choose(&mut self, pod: &Pod) -> Choice {
        let seen = self.seen;
        let candidates: Vec<&Arc<Node>> = match pod.spec.pinned_node() {
            Some(name) => node_named(&seen.nodes, name).into_iter().collect(),
            None => seen.nodes.iter().collect(),
        };
        for node in &candidates {
            self.occupancy(node.name());
        }
        let taken = &self.taken;
        choose(&pod.spec, candidates, |node| taken.get(node.name()).cloned().unwrap_or_default())
    }

    fn occupancy(&mut self, name: &str) -> &mut Occupancy {
        let bound = self.seen.bound.get(name).map(Vec::as_slice).unwrap_or_default();
        self.taken.entry(name.into()).or_insert_with(|| Occupancy::of(bound.iter().map(Arc::as_ref)))
    }

    /// What is left of the node is for others.
    fn reserve(&mut self, node: &str, pod: &Pod) {
        self.occupancy(node).add(pod);
    }
}

/// Nodes are sorted by name.
fn node_named<'a>(nodes: &'a [Arc<Node>], name: &str) -> Option<&'a Arc<Node>> {
    let index = nodes.binary_search_by(|node| node.name().cmp(name)).ok()?;
    nodes.get(index)
}

/// The binding, which tells of itself once it has succeeded (DS-B45, DS-B46).
fn bind(pod: &Pod, node: &Node) -> Action {
    let name = node.name();
    let message = format!("Successfully assigned {} to {name}", pod.meta.key());
    Action::Create {
        target: target(&kinds::POD, &pod.meta).subresource("binding"),
        body: json!({
            "apiVersion": "v1", "kind": "Binding",
            "metadata": { "name": pod.meta.name, "namespace": pod.meta.namespace, "uid": pod.meta.uid },
            "target": { "apiVersion": "v1", "kind": "Node", "name": name },
        }),
        report: Some(Report {
            regarding: regarding(&kinds::POD, &pod.meta),
            action: "Binding",
            success: Some(("Scheduled", message.into())),
            failure: None,
        }),
    }
}

fn scheduling_failed(pod: &Pod, message: String) -> Action {
    Action::Emit(Event {
        regarding: regarding(&kinds::POD, &pod.meta),
        kind: EventType::Warning,
        reason: "FailedScheduling".into(),
        action: "Scheduling".into(),
        message,
    })
}

type Refused = [(Arc<Node>, Vec<Reason>)];

/// Says why there is no node for the pod. Answers the node where room is made for it.
fn refuse(
    seen: &SchedulerInput,
    pod: &Pod,
    refused: &Refused,
    now: Timestamp,
    plan: &mut Plan<SchedulerNote, ()>,
) -> Option<Box<str>> {
    if let Some(node) = waiting_for_victims(seen, pod) {
        plan.notes.push(SchedulerNote::WaitsForVictims { pod: pod.meta.key(), node: node.into() });
        return Some(node.into());
    }
    let nomination = preempt(pod, refused, &seen.bound, &seen.budgets);
    let hopeless = preemption_texts(refused);
    let preemption = if nomination.is_some() { &[][..] } else { &hopeless };
    let message = failure_message(seen.nodes.len(), all_reasons(seen, refused).iter().map(Vec::as_slice), preemption);
    plan.notes.push(SchedulerNote::NoFit { pod: pod.meta.key(), message: message.as_str().into() });
    let told = pod.condition("PodScheduled").is_some_and(|condition| condition.message.as_ref() == message);
    // What was promised to it once, and does not help it now, is for others again.
    let withdrawn = nomination.is_none() && !pod.status.nominated_node_name.is_empty();
    if !told || nomination.is_some() || withdrawn {
        let status = match &nomination {
            Some((node, _)) => json!({ "nominatedNodeName": node.name() }),
            None if withdrawn => json!({ "nominatedNodeName": null }),
            None => json!({}),
        };
        plan.actions.push(unscheduled(pod, &message, status, now));
        plan.actions.push(scheduling_failed(pod, message));
    }
    let (node, victims) = nomination?;
    plan.actions.extend(victims.iter().flat_map(|victim| remove(&victim.pod, pod, &node, NAME, now)));
    Some(node.name().into())
}

/// A pinned pod is only tried on its node; all others count as not matching (DS-B42).
fn all_reasons(seen: &SchedulerInput, refused: &Refused) -> Vec<Vec<Reason>> {
    let untried = seen.nodes.len() - refused.len().min(seen.nodes.len());
    let elsewhere = std::iter::repeat_n(vec![Reason::NoAffinityTerm], untried);
    refused.iter().map(|(_, reasons)| reasons.clone()).chain(elsewhere).collect()
}

/// DS-B47
fn unscheduled(pod: &Pod, message: &str, status: Value, now: Timestamp) -> Action {
    let condition = json!({
        "type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message,
        "lastTransitionTime": rfc3339(now),
    });
    patch_pod_condition(pod, condition, status)
}

/// How many nodes preemption does not help on, and why not.
fn preemption_texts(refused: &Refused) -> Vec<(usize, &'static str)> {
    let helps = |reasons: &[Reason]| reasons.iter().all(Reason::preemption_helps);
    let no_victims = refused.iter().filter(|(_, reasons)| helps(reasons)).count();
    let not_helpful = refused.len() - no_victims;
    let texts = [
        (no_victims, "No preemption victims found for incoming pod"),
        (not_helpful, "Preemption is not helpful for scheduling"),
    ];
    texts.into_iter().filter(|(count, _)| *count > 0).collect()
}

/// The node that the pod was promised, while pods that made room for it are still ending there.
fn waiting_for_victims<'a>(seen: &'a SchedulerInput, pod: &'a Pod) -> Option<&'a str> {
    let node = pod.status.nominated_node_name.as_ref();
    let priority = pod.spec.priority.unwrap_or(0);
    let on_node = seen.bound.get(node)?;
    let ending = |other: &Arc<Pod>| other.is_terminating() && other.spec.priority.unwrap_or(0) < priority;
    on_node.iter().any(ending).then_some(node)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testkit::{TestBed, at};

    fn node(name: &str, cpu: &str) -> String {
        format!(r#"{{"metadata":{{"name":"{name}"}},"status":{{"allocatable":{{"cpu":"{cpu}","pods":"10"}}}}}}"#)
    }

    fn pod(name: &str, spec: &str, cpu: &str) -> String {
        format!(
            r#"{{"metadata":{{"name":"{name}","namespace":"x","uid":"u-{name}"}},"spec":{{{spec}
            "containers":[{{"name":"c","resources":{{"requests":{{"cpu":"{cpu}"}}}}}}]}}}}"#
        )
    }

    #[test]
    fn pods_get_room_once() {
        // DS-B43, DS-B45, DS-B46
        let mut bed = TestBed::new(Scheduler);
        bed.put(&kinds::NODE, &node("a", "1"));
        bed.put(&kinds::POD, &pod("p", "", "1"));
        bed.put(&kinds::POD, &pod("q", "", "1"));
        let said = bed.run("pending", at(0));
        assert_eq!(said, ["create pods/x/p binding", "patch pods/x/q status", "emit FailedScheduling"]);
        assert_eq!(bed.last_report(0), "Scheduled (Binding): Successfully assigned x/p to a");
        let why = "0/1 nodes are available: 1 Insufficient cpu. preemption: 0/1 nodes are available: 1 No preemption victims found for incoming pod.";
        assert_eq!(bed.last_body(2), why);
        assert!(bed.last_body(1).contains("Unschedulable"));
    }

    #[test]
    fn room_that_is_made_for_a_pod_is_not_given_to_lesser_ones() {
        // DS-B52
        let mut bed = TestBed::new(Scheduler);
        bed.put(&kinds::NODE, &node("a", "2"));
        let ending = pod("low", r#""nodeName":"a","#, "1")
            .replace(r#""uid":"#, r#""deletionTimestamp":"2026-01-01T00:00:00Z","uid":"#);
        bed.put(&kinds::POD, &ending);
        let nominated = pod("high", r#""priority":1000,"#, "2")
            .replace(r#""spec":"#, r#""status":{"nominatedNodeName":"a"},"spec":"#);
        bed.put(&kinds::POD, &nominated);
        bed.put(&kinds::POD, &pod("small", "", "1"));
        let said = bed.run("pending", at(0));
        assert_eq!(said, ["patch pods/x/small status", "emit FailedScheduling"]);
        assert_eq!(bed.notes()[0], "pod x/high waits until less important pods have left node a");
    }

    #[test]
    fn a_promise_that_does_not_help_any_more_is_withdrawn() {
        let mut bed = TestBed::new(Scheduler);
        bed.put(&kinds::NODE, &node("a", "1"));
        let nominated = pod("high", r#""priority":1000,"#, "2")
            .replace(r#""spec":"#, r#""status":{"nominatedNodeName":"a"},"spec":"#);
        bed.put(&kinds::POD, &nominated);
        assert_eq!(bed.run("pending", at(0)), ["patch pods/x/high status", "emit FailedScheduling"]);
        assert!(bed.last_body(0).contains(r#""nominatedNodeName":null"#), "{}", bed.last_body(0));
    }

    #[test]
    fn the_same_refusal_is_reported_once() {
        // DS-B47
        let mut bed = TestBed::new(Scheduler);
        bed.put(&kinds::POD, &pod("p", "", "1"));
        assert_eq!(bed.run("pending", at(0)).len(), 2);
        assert_eq!(bed.last_body(1), "no nodes available to schedule pods");
        let told = pod("p", "", "1").replace(
            r#""spec":"#,
            r#""status":{"conditions":[{"type":"PodScheduled","status":"False","message":"no nodes available to schedule pods"}]},"spec":"#,
        );
        bed.put(&kinds::POD, &told);
        assert!(bed.run("pending", at(1)).is_empty());
        assert_eq!(bed.notes(), ["pod x/p: no nodes available to schedule pods"]);
    }

    #[test]
    fn a_pod_without_a_node_is_tried_again_when_something_changes() {
        // DS-B51: at once; the periodic full pass tries it, too
        let mut bed = TestBed::new(Scheduler);
        assert!(bed.woken(&kinds::NODE, &node("a", "1")).is_empty(), "there is nothing to place");
        assert_eq!(bed.woken(&kinds::POD, &pod("p", "", "2")), ["pending"]);
        assert_eq!(bed.run("pending", at(0)).len(), 2);
        assert_eq!(bed.woken(&kinds::NODE, &node("b", "2")), ["pending"]);
        assert_eq!(bed.run("pending", at(0))[0], "create pods/x/p binding");
        assert_eq!(bed.woken(&kinds::POD, &pod("other", r#""nodeName":"a","#, "1")), ["pending"]);
        assert_eq!(bed.all(), ["pending"]);
    }

    #[test]
    fn gates_and_other_schedulers_are_respected() {
        // DS-B40
        let mut bed = TestBed::new(Scheduler);
        bed.put(&kinds::NODE, &node("a", "4"));
        bed.put(&kinds::POD, &pod("p", r#""schedulingGates":[{"name":"g"}],"#, "1"));
        bed.put(&kinds::POD, &pod("q", r#""schedulerName":"mine","#, "1"));
        assert!(bed.run("pending", at(0)).is_empty());
        assert_eq!(bed.notes(), ["pod x/p is held back by its scheduling gates"]);
    }

    #[test]
    fn an_important_pod_makes_room() {
        // DS-B52
        let mut bed = TestBed::new(Scheduler);
        bed.put(&kinds::NODE, &node("a", "1"));
        bed.put(&kinds::POD, &pod("low", r#""nodeName":"a","#, "1"));
        bed.put(&kinds::POD, &pod("high", r#""priority":1000,"#, "1"));
        let said = bed.run("pending", at(0));
        assert_eq!(
            said,
            [
                "patch pods/x/high status",
                "emit FailedScheduling",
                "patch pods/x/low status",
                "emit Preempted",
                "delete pods/x/low"
            ]
        );
        assert!(bed.last_body(0).contains(r#""nominatedNodeName":"a""#));
        assert!(bed.last_body(2).contains("PreemptionByScheduler"));
        assert_eq!(bed.last_body(3), "Preempted by pod u-high on node a");
    }

    #[test]
    fn room_is_made_where_no_budget_breaks() {
        // DS-B52
        let mut bed = TestBed::new(Scheduler);
        for (name, app) in [("a", "web"), ("b", "db")] {
            bed.put(&kinds::NODE, &node(name, "1"));
            let bound = pod(&format!("low-{name}"), &format!(r#""nodeName":"{name}","#), "1");
            let labelled = bound.replace(r#""namespace":"#, &format!(r#""labels":{{"app":"{app}"}},"namespace":"#));
            bed.put(&kinds::POD, &labelled);
        }
        let budget = r#"{"metadata":{"name":"keep","namespace":"x"},"spec":{"minAvailable":1,
            "selector":{"matchLabels":{"app":"web"}}},"status":{"disruptionsAllowed":0}}"#;
        bed.put(&kinds::POD_DISRUPTION_BUDGET, budget);
        bed.put(&kinds::POD, &pod("high", r#""priority":1000,"#, "1"));
        let said = bed.run("pending", at(0));
        assert_eq!(said.last().map(String::as_str), Some("delete pods/x/low-b"));
    }

    #[test]
    fn a_pinned_pod_is_only_tried_on_its_node() {
        // DS-B42
        let mut bed = TestBed::new(Scheduler);
        bed.put(&kinds::NODE, &node("a", "4"));
        bed.put(&kinds::NODE, &node("b", "0"));
        let pin = r#""affinity":{"nodeAffinity":{"requiredDuringSchedulingIgnoredDuringExecution":{"nodeSelectorTerms":
            [{"matchFields":[{"key":"metadata.name","operator":"In","values":["b"]}]}]}}},"#;
        bed.put(&kinds::POD, &pod("p", pin, "1"));
        bed.run("pending", at(0));
        let message = bed.last_body(1);
        assert!(
            message.starts_with(
                "0/2 nodes are available: 1 Insufficient cpu, 1 node(s) didn't match Pod's node affinity/selector."
            ),
            "{message}"
        );
    }
}
