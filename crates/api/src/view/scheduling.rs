//! The parts of pods and nodes that placement compares.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::meta::null_default;
use crate::quantity::Quantity;

/// Amounts by resource name (`cpu`, `memory`, `example.com/gpu`).
pub type Resources = BTreeMap<Box<str>, Quantity>;

/// A taint's or toleration's effect.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Effect {
    NoSchedule,
    PreferNoSchedule,
    NoExecute,
    /// Empty in a toleration: every effect. Unknown texts read as this, too; validation refuses
    /// them.
    #[default]
    #[serde(other, rename = "")]
    Any,
}

impl Effect {
    pub fn as_str(self) -> &'static str {
        match self {
            Effect::NoSchedule => "NoSchedule",
            Effect::PreferNoSchedule => "PreferNoSchedule",
            Effect::NoExecute => "NoExecute",
            Effect::Any => "",
        }
    }
}

/// `spec.taints[]` of a node. Its identity is (key, effect), DS-B19.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Taint {
    pub key: Box<str>,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub value: Box<str>,
    pub effect: Effect,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time_added: Option<Timestamp>,
}

/// How a toleration compares values.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum TolerationOperator {
    Exists,
    /// Also what an empty operator means.
    #[default]
    #[serde(other)]
    Equal,
}

/// `spec.tolerations[]` of a pod.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Toleration {
    #[serde(skip_serializing_if = "str::is_empty")]
    pub key: Box<str>,
    pub operator: TolerationOperator,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub value: Box<str>,
    #[serde(skip_serializing_if = "is_any")]
    pub effect: Effect,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub toleration_seconds: Option<i64>,
}

fn is_any(effect: &Effect) -> bool {
    *effect == Effect::Any
}

/// Operators of node selector requirements.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Operator {
    In,
    NotIn,
    Exists,
    DoesNotExist,
    Gt,
    Lt,
    /// Not one of Kubernetes' operators: the term that holds it matches nothing (DS-B12).
    #[default]
    #[serde(other)]
    Unknown,
}

/// One expression of a node selector term.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(default)]
pub struct NodeSelectorRequirement {
    pub key: Box<str>,
    pub operator: Operator,
    #[serde(deserialize_with = "null_default")]
    pub values: Vec<Box<str>>,
}

/// Expressions and fields, all of which must match (DS-B11).
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct NodeSelectorTerm {
    #[serde(deserialize_with = "null_default")]
    pub match_expressions: Vec<NodeSelectorRequirement>,
    #[serde(deserialize_with = "null_default")]
    pub match_fields: Vec<NodeSelectorRequirement>,
}

/// Terms, one of which must match (DS-B11); an empty list matches nothing (DS-B12).
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct NodeSelector {
    #[serde(deserialize_with = "null_default")]
    pub node_selector_terms: Vec<NodeSelectorTerm>,
}

/// A term with a weight; scoring only.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(default)]
pub struct PreferredTerm {
    pub weight: i32,
    pub preference: NodeSelectorTerm,
}

/// `spec.affinity.nodeAffinity`.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(default)]
pub struct NodeAffinity {
    #[serde(rename = "requiredDuringSchedulingIgnoredDuringExecution")]
    pub required: Option<NodeSelector>,
    #[serde(rename = "preferredDuringSchedulingIgnoredDuringExecution", deserialize_with = "null_default")]
    pub preferred: Vec<PreferredTerm>,
}

/// `spec.affinity`; pod affinity is only noticed, not evaluated.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Affinity {
    pub node_affinity: Option<NodeAffinity>,
    /// `podAffinity`, raw.
    pub pod_affinity: Option<serde_json::Value>,
    /// `podAntiAffinity`, raw.
    pub pod_anti_affinity: Option<serde_json::Value>,
}
