//! Pod GC: bound pods of a node that is gone are failed and removed (DS-G10).

use std::sync::Arc;

use everynode_api::kinds::{self, Kind};
use everynode_api::meta::Key;
use everynode_api::reconcile::{Plan, Reconciler};
use everynode_api::view::{Change, Pod, PodPhase, View};
use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use crate::common::{delete_pod, disruption_target, patch_pod_condition};

/// The pod GC controller. One key per node name that pods are bound to.
#[derive(Clone, Copy, Debug)]
pub struct PodGc {
    /// How long a node must have been absent. Kubernetes waits 40 s.
    pub quarantine: SignedDuration,
}

impl Default for PodGc {
    fn default() -> Self {
        PodGc { quarantine: SignedDuration::from_secs(40) }
    }
}

/// The pods bound to one node name, and whether the node is there.
#[derive(Debug)]
pub struct Seen {
    node: Box<str>,
    exists: bool,
    pods: Vec<Arc<Pod>>,
}

/// Since when the node has been missing.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Memory {
    missing_since: Option<Timestamp>,
}

/// What this controller waits for.
#[derive(Clone, Debug, PartialEq)]
pub enum Note {
    Quarantine { node: Box<str>, until: Timestamp },
}

impl std::fmt::Display for Note {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Note::Quarantine { node, until } => {
                write!(f, "node {node} is gone; its pods are kept until {until} in case it comes back")
            }
        }
    }
}

impl Reconciler for PodGc {
    type Seen = Seen;
    type Memory = Memory;
    type Note = Note;

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
        let pod = change.new.as_ref().and_then(|item| item.pod());
        let node = pod.map(|pod| pod.spec.node_name.as_ref()).filter(|name| !name.is_empty());
        node.filter(|name| view.node(name).is_none()).map(Key::cluster).into_iter().collect()
    }

    fn all(&self, view: &View) -> Vec<Key> {
        view.pods().nodes().filter(|name| view.node(name).is_none()).map(Key::cluster).collect()
    }

    fn see(&self, view: &View, key: &Key) -> Option<Seen> {
        let bound = |pod: &&Arc<Pod>| pod.spec.node_name.as_ref() == key.name.as_ref();
        let pods: Vec<_> = view.pods().on_node(&key.name).filter(bound).cloned().collect();
        let exists = view.node(&key.name).is_some();
        (!pods.is_empty() && !exists).then(|| Seen { node: key.name.as_ref().into(), exists, pods })
    }

    fn plan(&self, seen: &Seen, memory: &Memory, now: Timestamp) -> Plan<Note, Memory> {
        if seen.exists {
            return Plan::default();
        }
        let since = memory.missing_since.unwrap_or(now);
        let memory = Memory { missing_since: Some(since) };
        let until = since + self.quarantine;
        if now < until {
            let note = Note::Quarantine { node: seen.node.clone(), until };
            return Plan { notes: vec![note], wake_at: Some(until), memory, ..Plan::default() };
        }
        let actions = seen.pods.iter().flat_map(|pod| collect(pod, now)).collect();
        Plan { actions, memory, ..Plan::default() }
    }
}

fn collect(pod: &Pod, now: Timestamp) -> Vec<everynode_api::reconcile::Action> {
    let mut actions = Vec::new();
    if !pod.is_terminal() {
        let condition = disruption_target("DeletionByPodGC", "PodGC: node no longer exists", now);
        actions.push(patch_pod_condition(pod, condition, json!({ "phase": PodPhase::Failed })));
    }
    actions.push(delete_pod(pod, Some(0)));
    actions
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testkit::{Bed, at};

    #[test]
    fn pods_of_a_gone_node_go_after_the_quarantine() {
        // DS-G10, DS-G13
        let mut bed = Bed::new(PodGc::default());
        bed.put(&kinds::NODE, r#"{"metadata":{"name":"a"}}"#);
        bed.put(&kinds::POD, r#"{"metadata":{"name":"p","namespace":"x","uid":"u"},"spec":{"nodeName":"a"}}"#);
        assert_eq!(bed.run("a", at(0)), ["forget"]);
        bed.remove(&kinds::NODE, "a");
        assert!(bed.run("a", at(10)).is_empty());
        assert_eq!(bed.wake_at(), Some(at(50)));
        assert_eq!(bed.run("a", at(50)), ["patch pods/x/p status", "delete pods/x/p"]);
        assert!(bed.last_body(0).contains("DeletionByPodGC") && bed.last_body(0).contains("Failed"));
        assert!(bed.last_body(1).ends_with("Some(0)"));
    }

    #[test]
    fn a_node_that_comes_back_keeps_its_pods() {
        // DS-G12
        let mut bed = Bed::new(PodGc::default());
        bed.put(&kinds::POD, r#"{"metadata":{"name":"p","namespace":"x","uid":"u"},"spec":{"nodeName":"a"}}"#);
        assert!(bed.run("a", at(0)).is_empty());
        bed.put(&kinds::NODE, r#"{"metadata":{"name":"a"}}"#);
        assert_eq!(bed.run("a", at(39)), ["forget"]);
        bed.remove(&kinds::NODE, "a");
        assert!(bed.run("a", at(41)).is_empty());
        assert_eq!(bed.wake_at(), Some(at(81)));
    }
}
