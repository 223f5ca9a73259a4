//! Node lifecycle: a node that stops reporting becomes `Unknown`, and conditions become taints.
//!
//! Health time is measured with our own clock from the moment a changed lease or status was seen
//! (DS-G02), so that a node with a wrong clock is judged fairly, and a controller that just
//! started gives every node a fresh grace period.

use std::sync::Arc;

use everynode_api::kinds::{self, Kind};
use everynode_api::meta::Key;
use everynode_api::ports::PatchType;
use everynode_api::reconcile::{Action, EventType, Plan, Reconciler};
use everynode_api::time::rfc3339;
use everynode_api::view::{Change, Effect, Item, Node, Pod, Taint, View};
use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use crate::common::{node_event, patch_pod_condition, pod_event, target, unchanged};
use crate::taints::{NOT_READY, Readiness, UNREACHABLE, is_eviction, new_taint, readiness, write_taints};

const LEASE_NAMESPACE: &str = "kube-node-lease";

/// The node lifecycle controller.
#[derive(Clone, Debug)]
pub struct NodeLifecycle {
    /// How long a known node may be silent (50 s since Kubernetes 1.32, DS-G02).
    pub monitor_grace: SignedDuration,
    /// How long a new node may take to report for the first time.
    pub startup_grace: SignedDuration,
}

impl Default for NodeLifecycle {
    fn default() -> Self {
        NodeLifecycle { monitor_grace: SignedDuration::from_secs(50), startup_grace: SignedDuration::from_secs(60) }
    }
}

/// What one node's decision is made from.
#[derive(Debug)]
pub enum NodeLifecycleInput {
    KnownNode(KnownNode),
    /// The node object was deleted. Its lease is there a little longer: time to say so, and to
    /// forget it afterwards.
    Gone {
        name: Arc<str>,
    },
}

/// A node and what is known of it.
#[derive(Debug)]
pub struct KnownNode {
    node: Arc<Node>,
    /// The lease's revision: it changes with every renewal.
    lease_revision: u64,
    /// When we heard of that renewal.
    renewed_at: Option<Timestamp>,
    pods: Vec<Arc<Pod>>,
}

/// When the node was last heard of, by our clock.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NodeLifecycleMemory {
    heard: Option<LastHeartbeat>,
    was_ready: bool,
    registered: bool,
}

#[derive(Clone, Debug, PartialEq)]
struct LastHeartbeat {
    lease_revision: u64,
    heartbeat: Option<Timestamp>,
    at: Timestamp,
}

/// What this controller says besides its writes.
#[derive(Clone, Debug, PartialEq)]
pub enum NodeLifecycleNote {
    Silent { node: Box<str>, since: Timestamp },
}

impl std::fmt::Display for NodeLifecycleNote {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            NodeLifecycleNote::Silent { node, since } => {
                write!(f, "node {node} has not been heard of since {}", rfc3339(*since))
            }
        }
    }
}

impl Reconciler for NodeLifecycle {
    type Input = NodeLifecycleInput;
    type Memory = NodeLifecycleMemory;
    type Note = NodeLifecycleNote;

    fn name(&self) -> &'static str {
        "node-controller"
    }

    fn watches(&self) -> Vec<Kind> {
        vec![kinds::NODE, kinds::POD, kinds::LEASE]
    }

    fn wake(&self, _view: &View, change: &Change) -> Vec<Key> {
        match () {
            () if change.kind == kinds::NODE => vec![change.key.clone()],
            () if change.kind != kinds::LEASE || change.key.namespace.as_ref() != LEASE_NAMESPACE => Vec::new(),
            () if self.is_in_time(change) => Vec::new(),
            () => vec![Key::cluster(&change.key.name)],
        }
    }

    fn all(&self, view: &View) -> Vec<Key> {
        view.nodes().map(|node| node.meta.key()).collect()
    }

    fn gather(&self, view: &View, key: &Key) -> Option<NodeLifecycleInput> {
        let lease = view.object(&kinds::LEASE, &Key::new(LEASE_NAMESPACE, &key.name));
        let Some(node) = view.node(&key.name).cloned() else {
            return lease.map(|_| NodeLifecycleInput::Gone { name: key.name.clone() });
        };
        let pods =
            view.pods().on_node(&key.name).filter(|pod| pod.spec.node_name.as_ref() == key.name.as_ref()).cloned();
        let lease_revision = lease.map_or(0, |lease| lease.meta.resource_version);
        let renewed_at = lease.map(|lease| lease.heard_at);
        Some(NodeLifecycleInput::KnownNode(KnownNode { lease_revision, renewed_at, pods: pods.collect(), node }))
    }

    fn plan(
        &self,
        seen: &NodeLifecycleInput,
        memory: &NodeLifecycleMemory,
        now: Timestamp,
    ) -> Plan<NodeLifecycleNote, NodeLifecycleMemory> {
        match seen {
            NodeLifecycleInput::KnownNode(here) => self.watch_over(here, memory, now),
            NodeLifecycleInput::Gone { name } => part_with(name, memory),
        }
    }
}

impl NodeLifecycle {
    fn watch_over(
        &self,
        seen: &KnownNode,
        memory: &NodeLifecycleMemory,
        now: Timestamp,
    ) -> Plan<NodeLifecycleNote, NodeLifecycleMemory> {
        let heard = hear(seen, memory, now);
        let deadline = self.deadline(seen, &heard);
        let silent = now >= deadline;
        let reported = readiness(&seen.node);
        let readiness = if silent { Readiness::Unknown } else { reported };
        let mut actions = Vec::new();
        let mut notes = Vec::new();
        if !memory.registered {
            let name = &seen.node.meta.name;
            let message = format!("Node {name} event: Registered Node {name} in Controller");
            actions.push(node_event(name, EventType::Normal, "RegisteredNode", message));
        }
        if silent && reported != Readiness::Unknown {
            actions.push(mark_unknown(&seen.node, now));
        }
        if silent {
            notes.push(NodeLifecycleNote::Silent { node: seen.node.meta.name.as_ref().into(), since: heard.at });
        }
        if memory.was_ready && readiness != Readiness::True {
            actions.extend(not_ready_events(seen, silent, now));
        }
        actions.extend(retaint(&seen.node, readiness, now));
        let wake_at = (!silent).then_some(deadline);
        let memory =
            NodeLifecycleMemory { heard: Some(heard), was_ready: readiness == Readiness::True, registered: true };
        Plan { actions, status: None, notes, wake_at, memory }
    }

    /// Whether a change of a lease only moves its node's deadline: the lease is looked at again
    /// when that comes. One that comes later may be the first word of a node that was silent.
    fn is_in_time(&self, change: &Change) -> bool {
        let heard_at = |item: &Option<Item>| match item {
            Some(Item::Object(lease)) => Some(lease.heard_at),
            _ => None,
        };
        let pause = heard_at(&change.old).zip(heard_at(&change.new)).map(|(old, new)| new.duration_since(old));
        pause.is_some_and(|pause| pause < self.monitor_grace)
    }

    fn deadline(&self, seen: &KnownNode, heard: &LastHeartbeat) -> Timestamp {
        let never_posted = seen.node.condition("Ready").is_none();
        heard.at + if never_posted { self.startup_grace } else { self.monitor_grace }
    }
}

/// DS-G06: said once, of nodes that were known.
fn part_with(name: &str, memory: &NodeLifecycleMemory) -> Plan<NodeLifecycleNote, NodeLifecycleMemory> {
    let message = format!("Node {name} event: Removing Node {name} from Controller");
    let event = || node_event(name, EventType::Normal, "RemovingNode", message);
    Plan { actions: memory.registered.then(event).into_iter().collect(), ..Plan::default() }
}

fn hear(seen: &KnownNode, memory: &NodeLifecycleMemory, now: Timestamp) -> LastHeartbeat {
    let heartbeat = seen.node.condition("Ready").and_then(|condition| condition.last_heartbeat_time);
    let lease_revision = seen.lease_revision;
    let at = match &memory.heard {
        // A change of the node is looked at as it comes; a renewal may have come earlier.
        Some(heard) if heard.heartbeat == heartbeat => match heard.lease_revision == lease_revision {
            true => heard.at,
            false => seen.renewed_at.unwrap_or(now).clamp(heard.at.min(now), now),
        },
        _ => now,
    };
    LastHeartbeat { lease_revision, heartbeat, at }
}

/// DS-G03: every condition that the agent owns becomes Unknown.
fn mark_unknown(node: &Node, now: Timestamp) -> Action {
    let conditions: Vec<_> = ["Ready", "MemoryPressure", "DiskPressure", "PIDPressure"]
        .into_iter()
        .filter(|kind| node.condition(kind).is_none_or(|condition| condition.status.as_ref() != "Unknown"))
        .map(|kind| {
            let (reason, message) = match node.condition(kind) {
                Some(_) => ("NodeStatusUnknown", "Kubelet stopped posting node status."),
                None => ("NodeStatusNeverUpdated", "Kubelet never posted node status."),
            };
            let heartbeat = node.condition(kind).and_then(|condition| condition.last_heartbeat_time);
            json!({
                "type": kind, "status": "Unknown", "reason": reason, "message": message,
                "lastHeartbeatTime": rfc3339(heartbeat.or(node.meta.creation_timestamp).unwrap_or(now)),
                "lastTransitionTime": rfc3339(now),
            })
        })
        .collect();
    Action::Patch {
        target: target(&kinds::NODE, &node.meta).subresource("status"),
        patch: PatchType::Strategic,
        body: json!({ "status": { "conditions": conditions } }),
        preconditions: unchanged(&node.meta),
        report: None,
    }
}

/// DS-G06: its change is published, and the pods of a node that fell silent are no longer ready. An
/// agent that reports that its node is not ready goes on reporting its pods: those that serve go
/// on.
fn not_ready_events(seen: &KnownNode, silent: bool, now: Timestamp) -> Vec<Action> {
    let name = &seen.node.meta.name;
    let message = format!("Node {name} status is now: NodeNotReady");
    let mut actions = vec![node_event(name, EventType::Normal, "NodeNotReady", message)];
    for pod in seen.pods.iter().filter(|pod| silent && pod.is_ready()) {
        let condition = json!({ "type": "Ready", "status": "False", "lastTransitionTime": rfc3339(now) });
        actions.push(patch_pod_condition(pod, condition, json!({})));
        actions.push(pod_event(pod, EventType::Warning, "NodeNotReady", "Node is not ready".into()));
    }
    actions
}

/// Makes the lifecycle taints what the conditions say; leaves every other taint alone.
fn retaint(node: &Node, readiness: Readiness, now: Timestamp) -> Option<Action> {
    let wanted = lifecycle_taints(node, readiness);
    let ours = |taint: &Taint| is_lifecycle(taint);
    let mut taints: Vec<Taint> = node.spec.taints.iter().filter(|taint| !ours(taint)).cloned().collect();
    for (key, effect) in &wanted {
        let known = node.spec.taints.iter().find(|taint| taint.key.as_ref() == *key && taint.effect == *effect);
        taints.push(known.cloned().unwrap_or_else(|| new_taint(key, *effect, now)));
    }
    let same = taints.len() == node.spec.taints.len() && taints.iter().all(|taint| node.spec.taints.contains(taint));
    (!same).then(|| write_taints(node, &taints))
}

/// Conditions that become NoSchedule taints while they are `True` (DS-G04).
const PRESSURES: [(&str, &str); 4] = [
    ("MemoryPressure", "node.kubernetes.io/memory-pressure"),
    ("DiskPressure", "node.kubernetes.io/disk-pressure"),
    ("PIDPressure", "node.kubernetes.io/pid-pressure"),
    ("NetworkUnavailable", "node.kubernetes.io/network-unavailable"),
];
const UNSCHEDULABLE: &str = "node.kubernetes.io/unschedulable";

fn is_lifecycle(taint: &Taint) -> bool {
    let key = taint.key.as_ref();
    let health = key == NOT_READY || key == UNREACHABLE;
    match taint.effect {
        Effect::NoSchedule => health || key == UNSCHEDULABLE || PRESSURES.iter().any(|(_, pressure)| *pressure == key),
        Effect::NoExecute => health,
        _ => false,
    }
}

/// DS-G04. A node that never reported keeps what admission gave it: not-ready. Whether its pods
/// have to leave is the zone's decision ([`crate::zones`]); here that taint only changes its key,
/// or goes when the node is well (DS-G05).
fn lifecycle_taints(node: &Node, readiness: Readiness) -> Vec<(&'static str, Effect)> {
    let mut taints = Vec::new();
    if let Some(key) = readiness.taint_key() {
        taints.push((key, Effect::NoSchedule));
        if node.spec.taints.iter().any(is_eviction) {
            taints.push((key, Effect::NoExecute));
        }
    }
    for (condition, taint) in PRESSURES {
        if node.condition(condition).is_some_and(|condition| condition.status.as_ref() == "True") {
            taints.push((taint, Effect::NoSchedule));
        }
    }
    if node.spec.unschedulable {
        taints.push((UNSCHEDULABLE, Effect::NoSchedule));
    }
    taints
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testkit::{TestBed, at};

    const READY: &str = r#"{"metadata":{"name":"a","uid":"n1","resourceVersion":"3"},
        "status":{"conditions":[{"type":"Ready","status":"True","lastHeartbeatTime":"2026-01-01T00:00:00Z"}]}}"#;
    const POD: &str = r#"{"metadata":{"name":"p","namespace":"x","uid":"p1"},"spec":{"nodeName":"a"},
        "status":{"phase":"Running","conditions":[{"type":"Ready","status":"True"}]}}"#;

    #[test]
    fn a_silent_node_becomes_unknown_and_its_pods_unready() {
        // DS-G02, DS-G03, DS-G04, DS-G06
        let mut bed = TestBed::new(NodeLifecycle::default());
        bed.put(&kinds::NODE, READY);
        bed.put(&kinds::POD, POD);
        assert_eq!(bed.run("a", at(0)), ["emit RegisteredNode"]);
        assert_eq!(bed.wake_at(), Some(at(50)));
        assert!(bed.run("a", at(49)).is_empty());
        let said = bed.run("a", at(50));
        assert_eq!(said[0], "patch nodes/a status");
        assert_eq!(said[1], "emit NodeNotReady");
        assert_eq!(said[2], "patch pods/x/p status");
        assert_eq!(said[3], "emit NodeNotReady");
        assert!(bed.last_body(0).contains("NodeStatusUnknown"));
        assert!(bed.last_body(0).contains("Kubelet stopped posting node status."));
        let told = [bed.last_body(1), bed.last_body(3)];
        assert_eq!(told, ["Node a status is now: NodeNotReady", "Node is not ready"]);
        let taints = bed.last_body(4);
        assert!(taints.contains("node.kubernetes.io/unreachable") && !taints.contains("NoExecute"), "{taints}");
        assert!(bed.notes()[0].starts_with("node a has not been heard of since"));
    }

    #[test]
    fn pods_of_a_node_that_says_that_it_is_not_ready_stay_ready() {
        // DS-G06; recorded from the original: only its own Unknown makes pods unready.
        let mut bed = TestBed::new(NodeLifecycle::default());
        bed.put(&kinds::NODE, READY);
        bed.put(&kinds::POD, POD);
        bed.run("a", at(0));
        bed.put(&kinds::NODE, &READY.replace("True", "False").replace(r#""3""#, r#""4""#));
        let said = bed.run("a", at(5));
        assert!(said.contains(&"emit NodeNotReady".to_owned()), "{said:?}");
        assert!(!said.iter().any(|action| action.contains("pods/")), "{said:?}");
    }

    #[test]
    fn a_node_that_never_reported_has_a_minute() {
        // DS-G02, DS-G03
        let mut bed = TestBed::new(NodeLifecycle::default());
        bed.put(&kinds::NODE, r#"{"metadata":{"name":"a","uid":"n1"}}"#);
        bed.run("a", at(0));
        assert_eq!(bed.wake_at(), Some(at(60)));
        let quiet = bed.run("a", at(59));
        assert!(!quiet.iter().any(|said| said == "patch nodes/a status"), "{quiet:?}");
        assert_eq!(bed.run("a", at(60))[0], "patch nodes/a status");
        let body = bed.last_body(0);
        for kind in ["Ready", "MemoryPressure", "DiskPressure", "PIDPressure"] {
            assert!(body.contains(&format!(r#""type":"{kind}""#)), "{body}");
        }
        assert_eq!(body.matches(r#""status":"Unknown""#).count(), 4);
        assert!(
            body.contains("NodeStatusNeverUpdated") && body.contains("Kubelet never posted node status."),
            "{body}"
        );
    }

    #[test]
    fn the_eviction_taint_follows_the_condition() {
        // DS-G05: the other one is removed
        let mut bed = TestBed::new(NodeLifecycle::default());
        let node = |status: &str| {
            format!(
                r#"{{"metadata":{{"name":"a","uid":"n1"}},"spec":{{"taints":[{{"key":"node.kubernetes.io/unreachable",
                    "effect":"NoExecute"}}]}},"status":{{"conditions":[{{"type":"Ready","status":"{status}"}}]}}}}"#
            )
        };
        bed.put(&kinds::NODE, &node("False"));
        bed.run("a", at(0));
        let body = bed.last_body(1);
        assert!(body.matches("not-ready").count() == 2 && !body.contains("unreachable"), "{body}");
        bed.put(&kinds::NODE, &node("True"));
        bed.run("a", at(1));
        assert_eq!(bed.last_body(0), r#"{"spec":{"taints":null}}"#);
    }

    #[test]
    fn a_lease_renewal_counts_as_hearing() {
        let mut bed = TestBed::new(NodeLifecycle::default());
        bed.put(&kinds::NODE, READY);
        bed.run("a", at(0));
        let lease = r#"{"metadata":{"name":"a","namespace":"kube-node-lease","uid":"l","resourceVersion":"9"}}"#;
        assert_eq!(bed.woken_at(&kinds::LEASE, lease, at(49)), ["a"]);
        assert!(bed.run("a", at(49)).is_empty());
        assert_eq!(bed.wake_at(), Some(at(99)));
        assert!(bed.run("a", at(98)).is_empty());
    }

    #[test]
    fn a_renewal_in_time_moves_the_deadline_and_wakes_no_controller() {
        let lease = |version: u32| {
            format!(
                r#"{{"metadata":{{"name":"a","namespace":"kube-node-lease","uid":"l","resourceVersion":"{version}"}}}}"#
            )
        };
        let mut bed = TestBed::new(NodeLifecycle::default());
        bed.put(&kinds::NODE, READY);
        assert_eq!(bed.woken_at(&kinds::LEASE, &lease(9), at(0)), ["a"], "a new lease");
        bed.run("a", at(0));
        for (version, second) in [(10, 10), (11, 20), (12, 30)] {
            assert!(bed.woken_at(&kinds::LEASE, &lease(version), at(second)).is_empty());
        }
        assert!(bed.run("a", at(50)).is_empty());
        assert_eq!(bed.wake_at(), Some(at(80)), "50 s after the renewal, not after the look at it");
        assert!(bed.woken_at(&kinds::LEASE, &lease(13), at(79)).is_empty());
        assert!(bed.run("a", at(80)).is_empty());
        assert_eq!(bed.run("a", at(129))[0], "patch nodes/a status");
        assert!(!bed.notes().is_empty());
        assert_eq!(bed.woken_at(&kinds::LEASE, &lease(14), at(130)), ["a"], "it is back");
        bed.run("a", at(130));
        assert!(bed.notes().is_empty() && bed.wake_at() == Some(at(180)));
    }

    #[test]
    fn nodes_that_come_and_go_are_reported_once() {
        // DS-G06
        const LEASE: &str = r#"{"metadata":{"name":"a","namespace":"kube-node-lease","uid":"l"}}"#;
        let mut bed = TestBed::new(NodeLifecycle::default());
        bed.put(&kinds::NODE, READY);
        bed.put(&kinds::LEASE, LEASE);
        assert_eq!(bed.run("a", at(0)), ["emit RegisteredNode"]);
        assert_eq!(bed.last_body(0), "Node a event: Registered Node a in Controller");
        assert!(bed.run("a", at(1)).is_empty());
        bed.remove(&kinds::NODE, "a");
        assert_eq!(bed.run("a", at(2)), ["emit RemovingNode"]);
        assert_eq!(bed.last_body(0), "Node a event: Removing Node a from Controller");
        assert!(bed.run("a", at(3)).is_empty());
        bed.remove(&kinds::LEASE, "kube-node-lease/a");
        assert_eq!(bed.run("a", at(4)), ["forget"]);
        bed.put(&kinds::LEASE, LEASE);
        assert!(bed.run("a", at(5)).is_empty(), "a lease alone was never a node");
        bed.put(&kinds::NODE, READY);
        assert_eq!(bed.run("a", at(6)), ["emit RegisteredNode"]);
    }

    #[test]
    fn conditions_and_cordon_become_taints_and_go_again() {
        // DS-G04, DS-B25
        let mut bed = TestBed::new(NodeLifecycle::default());
        bed.put(
            &kinds::NODE,
            r#"{"metadata":{"name":"a","uid":"n1"},"spec":{"unschedulable":true,"taints":[{"key":"mine","effect":"NoSchedule"},
                {"key":"node.kubernetes.io/not-ready","effect":"NoSchedule"}]},
                "status":{"conditions":[{"type":"Ready","status":"True"},{"type":"DiskPressure","status":"True"}]}}"#,
        );
        bed.run("a", at(0));
        let body = bed.last_body(1);
        for key in ["mine", "node.kubernetes.io/unschedulable", "node.kubernetes.io/disk-pressure"] {
            assert!(body.contains(key), "{body}");
        }
        assert!(!body.contains("not-ready"), "{body}");
    }
}
