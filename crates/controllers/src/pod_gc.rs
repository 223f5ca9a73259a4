//! Pod GC: pods that no agent will ever end are ended here (DS-G10 to DS-G13).
//!
//! Four reasons, and a key for each: a node's name, for pods of a node that is gone, or that an
//! operator has declared out of service; a pod's own key, where it was never bound; and one for
//! pods that ended long ago.
//!
//! A node that is deleted and made again under the same name keeps its pods if it is back within
//! the quarantine: they still run there, the agent has only registered anew. Whether pods are older
//! than a new *machine* is for the agent to know and for the DaemonSet controller to act on
//! (docs/deviations.md, DS-K25).

use std::sync::Arc;

use everynode_api::kinds::{self, Kind};
use everynode_api::meta::Key;
use everynode_api::reconcile::{Action, Plan, Reconciler};
use everynode_api::view::{Change, Item, Node, Pod, PodPhase, View};
use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use crate::common::{delete_pod, disruption_target, patch_pod_condition, patch_pod_status};

/// The taint that says: this node is down and will not write to any volume again.
const OUT_OF_SERVICE: &str = "node.kubernetes.io/out-of-service";
/// The key for all pods that have ended; no node has such a name.
const ENDED: &str = "ended pods";

/// The pod GC controller.
#[derive(Clone, Copy, Debug)]
pub struct PodGc {
    /// How long a node must have been absent. Kubernetes waits 40 s.
    pub quarantine: SignedDuration,
    /// How many ended pods are kept; beyond it the oldest go (DS-G11).
    pub ended_pods_max: usize,
}

impl Default for PodGc {
    fn default() -> Self {
        PodGc { quarantine: SignedDuration::from_secs(40), ended_pods_max: 12_500 }
    }
}

/// Pods that may have to go, and why.
#[derive(Debug)]
pub enum PodGcInput {
    /// Their node is not there.
    Gone { node: Box<str>, pods: Vec<Arc<Pod>> },
    /// Being deleted on a node that is out of service.
    OutOfService { pods: Vec<Arc<Pod>> },
    /// Being deleted without ever having been bound.
    Unbound { pod: Arc<Pod> },
    /// The oldest of too many that have ended.
    Ended { pods: Vec<Arc<Pod>> },
}

/// Since when the node has been missing.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PodGcMemory {
    missing_since: Option<Timestamp>,
}

/// What this controller waits for.
#[derive(Clone, Debug, PartialEq)]
pub enum PodGcNote {
    Quarantine { node: Box<str>, until: Timestamp },
}

impl std::fmt::Display for PodGcNote {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            PodGcNote::Quarantine { node, until } => {
                write!(f, "node {node} is gone; its pods are kept until {until} in case it comes back")
            }
        }
    }
}

impl Reconciler for PodGc {
    type Input = PodGcInput;
    type Memory = PodGcMemory;
    type Note = PodGcNote;

    fn name(&self) -> &'static str {
        "pod-garbage-collector"
    }

    fn watches(&self) -> Vec<Kind> {
        vec![kinds::NODE, kinds::POD]
    }

    fn wake(&self, view: &View, change: &Change) -> Vec<Key> {
        if change.kind == kinds::NODE {
            return vec![change.key.clone()];
        }
        let Some(pod) = change.new.as_ref().and_then(Item::pod) else {
            // An unbound pod that is gone needs no memory.
            return if change.kind == kinds::POD { vec![change.key.clone()] } else { Vec::new() };
        };
        let node = pod.spec.node_name.as_ref();
        let mut keys = Vec::new();
        if pod.is_terminal() && view.pods().terminal().len() > self.ended_pods_max {
            keys.push(Key::cluster(ENDED));
        }
        match node {
            "" if pod.is_terminating() => keys.push(change.key.clone()),
            "" => {}
            node if view.node(node).is_none_or(|node| pod.is_terminating() && is_out_of_service(node)) => {
                keys.push(Key::cluster(node));
            }
            _ => {}
        }
        keys
    }

    fn all(&self, view: &View) -> Vec<Key> {
        let lost = |name: &&str| view.node(name).is_none_or(|node| is_out_of_service(node));
        let nodes = view.pods().nodes().filter(lost).map(Key::cluster);
        let unbound = view.pods().unbound().filter(|pod| pod.is_terminating()).map(|pod| pod.meta.key());
        nodes.chain(unbound).chain([Key::cluster(ENDED)]).collect()
    }

    fn gather(&self, view: &View, key: &Key) -> Option<PodGcInput> {
        match (key.namespace.as_ref(), key.name.as_ref()) {
            ("", ENDED) => self.ended(view),
            ("", node) => lost(view, node),
            _ => {
                let pod = view.pods().get(key)?;
                let stuck = pod.spec.node_name.is_empty() && pod.is_terminating();
                stuck.then(|| PodGcInput::Unbound { pod: pod.clone() })
            }
        }
    }

    fn plan(&self, seen: &PodGcInput, memory: &PodGcMemory, now: Timestamp) -> Plan<PodGcNote, PodGcMemory> {
        let (pods, why) = match seen {
            PodGcInput::Gone { node, pods } => {
                let since = memory.missing_since.unwrap_or(now);
                let (memory, until) = (PodGcMemory { missing_since: Some(since) }, since + self.quarantine);
                if now < until {
                    let notes = vec![PodGcNote::Quarantine { node: node.clone(), until }];
                    return Plan { notes, wake_at: Some(until), memory, ..Plan::default() };
                }
                let why = Some("PodGC: node no longer exists");
                let actions = pods.iter().flat_map(|pod| collect(pod, why, now)).collect();
                return Plan { actions, memory, ..Plan::default() };
            }
            PodGcInput::OutOfService { pods } => (pods.as_slice(), None),
            PodGcInput::Unbound { pod } => (std::slice::from_ref(pod), None),
            PodGcInput::Ended { pods } => (pods.as_slice(), None),
        };
        Plan { actions: pods.iter().flat_map(|pod| collect(pod, why, now)).collect(), ..Plan::default() }
    }
}

impl PodGc {
    fn ended(&self, view: &View) -> Option<PodGcInput> {
        let ended = view.pods().terminal();
        let many = ended.len().checked_sub(self.ended_pods_max).filter(|many| *many > 0)?;
        let mut pods: Vec<_> = ended.cloned().collect();
        pods.sort_by_key(|pod| (pod.meta.creation_timestamp, pod.meta.key()));
        pods.truncate(many);
        Some(PodGcInput::Ended { pods })
    }
}

/// Pods of a node that is gone or out of service.
fn lost(view: &View, name: &str) -> Option<PodGcInput> {
    let bound = |pod: &&Arc<Pod>| pod.spec.node_name.as_ref() == name;
    let pods = || view.pods().on_node(name).filter(bound).cloned();
    let seen = match view.node(name) {
        None => PodGcInput::Gone { node: name.into(), pods: pods().collect() },
        Some(node) if is_out_of_service(node) => {
            PodGcInput::OutOfService { pods: pods().filter(|pod| pod.is_terminating()).collect() }
        }
        Some(_) => return None,
    };
    let (PodGcInput::Gone { pods, .. } | PodGcInput::OutOfService { pods }) = &seen else { return None };
    (!pods.is_empty()).then_some(seen)
}

/// Declared so by an operator, and not contradicted by the node itself.
fn is_out_of_service(node: &Node) -> bool {
    !node.is_ready() && node.spec.taints.iter().any(|taint| taint.key.as_ref() == OUT_OF_SERVICE)
}

/// Fails a pod that has not ended, then removes it at once.
fn collect(pod: &Pod, disrupted: Option<&str>, now: Timestamp) -> Vec<Action> {
    let failed = json!({ "phase": PodPhase::Failed });
    let fail = match disrupted {
        _ if pod.is_terminal() => None,
        Some(why) => Some(patch_pod_condition(pod, disruption_target("DeletionByPodGC", why, now), failed)),
        None => Some(patch_pod_status(pod, failed)),
    };
    fail.into_iter().chain([delete_pod(pod, Some(0))]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testkit::{TestBed, at};

    const NODE: &str = r#"{"metadata":{"name":"a"}}"#;
    const POD: &str = r#"{"metadata":{"name":"p","namespace":"x","uid":"u"},"spec":{"nodeName":"a"}}"#;
    const COLLECTED: [&str; 2] = ["patch pods/x/p status", "delete pods/x/p"];

    fn terminating(pod: &str) -> String {
        pod.replace(r#""uid""#, r#""deletionTimestamp":"2026-01-01T00:00:00Z","uid""#)
    }

    #[test]
    fn pods_of_a_gone_node_go_after_the_quarantine() {
        // DS-G10, DS-G13
        let mut bed = TestBed::new(PodGc::default());
        bed.put(&kinds::NODE, NODE);
        bed.put(&kinds::POD, POD);
        assert_eq!(bed.run("a", at(0)), ["forget"]);
        bed.remove(&kinds::NODE, "a");
        assert!(bed.run("a", at(10)).is_empty());
        assert_eq!(bed.wake_at(), Some(at(50)));
        assert_eq!(bed.run("a", at(50)), COLLECTED);
        assert!(bed.last_body(0).contains("DeletionByPodGC") && bed.last_body(0).contains("Failed"));
        assert!(bed.last_body(1).ends_with("Some(0)"));
    }

    #[test]
    fn a_node_that_comes_back_keeps_its_pods() {
        // DS-G12, DS-K25: also under another uid
        let mut bed = TestBed::new(PodGc::default());
        bed.put(&kinds::POD, POD);
        assert!(bed.run("a", at(0)).is_empty());
        bed.put(&kinds::NODE, r#"{"metadata":{"name":"a","uid":"another"}}"#);
        assert_eq!(bed.run("a", at(39)), ["forget"]);
        bed.remove(&kinds::NODE, "a");
        assert!(bed.run("a", at(41)).is_empty());
        assert_eq!(bed.wake_at(), Some(at(81)));
    }

    #[test]
    fn a_terminating_pod_without_a_node_ends_at_once() {
        // DS-G11
        let mut bed = TestBed::new(PodGc::default());
        let unbound = POD.replace(r#""nodeName":"a""#, "");
        assert!(bed.woken(&kinds::POD, &unbound).is_empty());
        assert_eq!(bed.woken(&kinds::POD, &terminating(&unbound)), ["x/p"]);
        assert_eq!(bed.run("x/p", at(0)), COLLECTED);
        assert_eq!(bed.last_body(0), r#"{"status":{"phase":"Failed"}}"#);
    }

    #[test]
    fn out_of_service_ends_what_is_terminating_there() {
        // DS-G11
        let mut bed = TestBed::new(PodGc::default());
        bed.put(&kinds::POD, POD);
        let down = r#"{"metadata":{"name":"a"},"spec":{"taints":[{"key":"node.kubernetes.io/out-of-service",
            "effect":"NoExecute"}]},"status":{"conditions":[{"type":"Ready","status":"Unknown"}]}}"#;
        assert_eq!(bed.woken(&kinds::NODE, down), ["a"]);
        assert_eq!(bed.run("a", at(0)), ["forget"], "it was not deleted");
        assert_eq!(bed.woken(&kinds::POD, &terminating(POD)), ["a"]);
        assert_eq!(bed.run("a", at(0)), COLLECTED);
        bed.put(&kinds::NODE, &down.replace("Unknown", "True"));
        assert_eq!(bed.run("a", at(1)), ["forget"], "a node that is ready can end its pods itself");
    }

    #[test]
    fn the_oldest_of_too_many_ended_pods_go() {
        // DS-G11
        let mut bed = TestBed::new(PodGc { ended_pods_max: 2, ..PodGc::default() });
        let ended = |name: &str, minute: u8| {
            format!(
                r#"{{"metadata":{{"name":"{name}","namespace":"x","creationTimestamp":"2026-01-01T00:0{minute}:00Z"}},
                    "status":{{"phase":"Succeeded"}}}}"#
            )
        };
        assert!(bed.woken(&kinds::POD, &ended("new", 3)).is_empty());
        assert!(bed.woken(&kinds::POD, &ended("old", 1)).is_empty());
        assert_eq!(bed.run("ended pods", at(0)), ["forget"]);
        assert_eq!(bed.woken(&kinds::POD, &ended("mid", 2)), ["ended pods"]);
        assert_eq!(bed.run("ended pods", at(0)), ["delete pods/x/old"]);
    }
}
