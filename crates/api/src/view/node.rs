//! A node, as controllers see it.

use jiff::Timestamp;
use serde::Deserialize;

use super::condition::{Condition, ready_first};
use super::scheduling::{Resources, Taint};
use crate::meta::{Meta, null_default};
use crate::word::Word;

/// `v1 Node`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Node {
    #[serde(rename = "metadata")]
    pub meta: Meta,
    pub spec: NodeSpec,
    pub status: NodeStatus,
}

/// `spec` of a node.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct NodeSpec {
    pub unschedulable: bool,
    #[serde(deserialize_with = "null_default")]
    pub taints: Vec<Taint>,
}

/// `status` of a node.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct NodeStatus {
    #[serde(deserialize_with = "null_default")]
    pub allocatable: Resources,
    /// `Ready` first, which every pass asks for.
    #[serde(deserialize_with = "ready_first")]
    pub conditions: Vec<NodeCondition>,
}

/// One of `status.conditions`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct NodeCondition {
    #[serde(rename = "type")]
    pub kind: Word,
    /// `True`, `False` or `Unknown`.
    pub status: Word,
    pub reason: Box<str>,
    pub message: Box<str>,
    pub last_heartbeat_time: Option<Timestamp>,
    pub last_transition_time: Option<Timestamp>,
}

impl Condition for NodeCondition {
    fn kind(&self) -> &Word {
        &self.kind
    }
}

impl Node {
    pub fn name(&self) -> &str {
        &self.meta.name
    }

    /// The status of a condition: `True`, `False`, `Unknown`; `None` when it was never posted.
    pub fn condition(&self, kind: &str) -> Option<&NodeCondition> {
        self.status.conditions.iter().find(|condition| condition.kind.as_ref() == kind)
    }

    /// Only a node whose `Ready` is `Unknown` is not heard of: `False` is what its agent itself
    /// said.
    pub fn is_heard(&self) -> bool {
        self.condition("Ready").is_none_or(|ready| ready.status.as_ref() != "Unknown")
    }

    /// Nothing differs that a verdict about placement is made from: which machine it is, labels,
    /// taints, cordon, and whether its agent is heard of.
    pub fn looks_like(&self, other: &Node) -> bool {
        self.meta.uid == other.meta.uid
            && self.meta.labels == other.meta.labels
            && self.spec == other.spec
            && self.is_heard() == other.is_heard()
    }

    pub fn is_ready(&self) -> bool {
        self.condition("Ready").is_some_and(|condition| condition.status.as_ref() == "True")
    }
}
