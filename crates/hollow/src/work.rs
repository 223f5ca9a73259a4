//! What simulated nodes ask of the API server: small values that become requests when they are
//! sent.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use everynode_api::kinds;
use everynode_api::ports::{ApiError, PatchType, Preconditions, Request, Target};
use everynode_api::time::rfc3339;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::PodStatus;
use serde_json::{Value, json};

use crate::options::Group;
use crate::template;

/// The number of a node in this run.
pub(crate) type NodeId = u32;

/// A node as its requests need it.
#[derive(Clone, Debug)]
pub(crate) struct NodeRef {
    pub id: NodeId,
    pub name: Arc<str>,
    pub group: Arc<Group>,
    /// When it last became ready.
    pub since: Timestamp,
}

/// A pod as its requests need it.
#[derive(Clone, Debug)]
pub(crate) struct PodKey {
    pub uid: Arc<str>,
    pub namespace: Box<str>,
    pub name: Box<str>,
}

/// One write.
#[derive(Clone, Debug)]
pub(crate) enum Work {
    Register(NodeRef),
    /// The node object exists: make its labels and taints ours.
    Adopt(NodeRef),
    NodeStatus(NodeRef),
    CreateLease {
        node: NodeRef,
        node_uid: Arc<str>,
    },
    RenewLease(NodeRef),
    RemoveLease(NodeRef),
    RemoveNode(NodeRef),
    PodStatus {
        node: NodeId,
        pod: PodKey,
        status: Box<PodStatus>,
    },
    FastStatus {
        node: NodeId,
        pod: PodKey,
        status: FastStatus,
    },
    DeletePod {
        node: NodeId,
        pod: PodKey,
    },
}

/// Running and ready at once.
#[derive(Clone, Debug)]
pub(crate) struct FastStatus {
    /// Names and images.
    pub containers: Box<[(Box<str>, Box<str>)]>,
    pub host_network: bool,
    pub sequence: u32,
}

/// Latencies are told by these.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Verb {
    Create,
    Patch,
    Delete,
}

/// How a write ended.
#[derive(Debug)]
pub(crate) struct Done {
    pub work: Work,
    /// How often it was tried before.
    pub failures: u32,
    pub took: Duration,
    pub result: Result<Bytes, ApiError>,
}

impl Work {
    pub(crate) fn node(&self) -> NodeId {
        match self {
            Work::Register(node)
            | Work::Adopt(node)
            | Work::NodeStatus(node)
            | Work::RenewLease(node)
            | Work::RemoveLease(node)
            | Work::RemoveNode(node)
            | Work::CreateLease { node, .. } => node.id,
            Work::PodStatus { node, .. } | Work::FastStatus { node, .. } | Work::DeletePod { node, .. } => *node,
        }
    }

    /// The pod that it is about.
    pub(crate) fn pod(&self) -> Option<&PodKey> {
        match self {
            Work::PodStatus { pod, .. } | Work::FastStatus { pod, .. } | Work::DeletePod { pod, .. } => Some(pod),
            _ => None,
        }
    }

    pub(crate) fn verb(&self) -> Verb {
        match self {
            Work::Register(_) | Work::CreateLease { .. } => Verb::Create,
            Work::RemoveLease(_) | Work::RemoveNode(_) | Work::DeletePod { .. } => Verb::Delete,
            _ => Verb::Patch,
        }
    }

    /// The request, as of now.
    pub(crate) fn request(&self, now: Timestamp) -> Request {
        match self {
            Work::Register(node) => create(node_target(node), template::node(&node.group, node.id, &node.name, now)),
            Work::Adopt(node) => {
                let labels = template::labels(&node.group, node.id, &node.name);
                let body =
                    json!({ "metadata": { "labels": labels }, "spec": { "taints": template::taints(&node.group) } });
                patch(node_target(node), PatchType::Merge, body, None)
            }
            Work::NodeStatus(node) => {
                let status = template::status(&node.group, node.id, &node.name, node.since, now);
                let target = node_target(node).subresource("status");
                patch(target, PatchType::Strategic, json!({ "status": status }), None)
            }
            Work::CreateLease { node, node_uid } => {
                create(lease_target(node), template::lease(&node.name, node_uid, now))
            }
            Work::RenewLease(node) => {
                let body = json!({ "spec": template::lease_spec(&node.name, now) });
                patch(lease_target(node), PatchType::Merge, body, None)
            }
            Work::RemoveLease(node) => delete(lease_target(node), Preconditions::default(), None),
            Work::RemoveNode(node) => delete(node_target(node), Preconditions::default(), None),
            Work::PodStatus { pod, status, .. } => status_patch(pod, json!(status)),
            Work::FastStatus { node, pod, status } => status_patch(pod, status.json(*node, &pod.uid, now)),
            Work::DeletePod { pod, .. } => {
                let preconditions = Preconditions { uid: Some(pod.uid.to_string()), resource_version: None };
                delete(pod.target(), preconditions, Some(0))
            }
        }
    }
}

fn create(target: Target, body: Value) -> Request {
    Request::Create { target, body }
}

fn patch(target: Target, patch: PatchType, body: Value, uid: Option<&str>) -> Request {
    let preconditions = Preconditions { uid: uid.map(str::to_owned), resource_version: None };
    Request::Patch { target, patch, body, preconditions }
}

fn delete(target: Target, preconditions: Preconditions, grace_period_seconds: Option<i64>) -> Request {
    Request::Delete { target, preconditions, grace_period_seconds, propagation: None }
}

fn status_patch(pod: &PodKey, status: Value) -> Request {
    let target = pod.target().subresource("status");
    patch(target, PatchType::Strategic, json!({ "status": status }), Some(&pod.uid))
}

fn node_target(node: &NodeRef) -> Target {
    Target::new(kinds::NODE, "", &node.name)
}

fn lease_target(node: &NodeRef) -> Target {
    Target::new(kinds::LEASE, template::LEASES, &node.name)
}

impl PodKey {
    fn target(&self) -> Target {
        Target::new(kinds::POD, &self.namespace, &self.name)
    }
}

impl FastStatus {
    fn json(&self, node: NodeId, uid: &str, now: Timestamp) -> Value {
        let time = rfc3339(now);
        let condition = |kind: &str| json!({ "type": kind, "status": "True", "lastTransitionTime": time });
        let kinds = ["PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled"];
        let containers: Vec<Value> =
            self.containers.iter().map(|(name, image)| container(name, image, uid, &time)).collect();
        let host_ip = template::node_ip(node).to_string();
        let pod_ip = if self.host_network { host_ip.clone() } else { template::pod_ip(self.sequence).to_string() };
        json!({
            "phase": "Running",
            "conditions": kinds.map(condition),
            "containerStatuses": containers,
            "hostIP": host_ip,
            "hostIPs": [{ "ip": host_ip }],
            "podIP": pod_ip,
            "podIPs": [{ "ip": pod_ip }],
            "startTime": time,
        })
    }
}

fn container(name: &str, image: &str, uid: &str, time: &str) -> Value {
    json!({
        "name": name, "image": image, "imageID": image, "containerID": format!("hollow://{uid}/{name}"),
        "ready": true, "started": true, "restartCount": 0, "state": { "running": { "startedAt": time } }, "lastState": {},
    })
}
