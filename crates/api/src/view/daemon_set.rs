//! A DaemonSet and its revisions, as their controller sees them.

use std::sync::Arc;

use serde::de::Deserializer;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::pod::PodSpec;
use crate::int_or_string::IntOrString;
use crate::meta::{Labels, Meta};
use crate::selector::LabelSelector;

/// `apps/v1 DaemonSet`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct DaemonSet {
    #[serde(rename = "metadata")]
    pub meta: Meta,
    pub spec: DaemonSetSpec,
    pub status: DaemonSetStatus,
}

/// `spec` of a DaemonSet.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DaemonSetSpec {
    /// `None` matches nothing (DS-A21).
    pub selector: Option<LabelSelector>,
    pub template: PodTemplate,
    pub update_strategy: UpdateStrategy,
    pub min_ready_seconds: i64,
    /// 10 when absent (DS-A06).
    pub revision_history_limit: Option<i64>,
}

/// `spec.template`: whole, and the parts that decisions read.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PodTemplate {
    /// The template as stored, byte for byte in meaning: pods and revisions are made from it.
    pub raw: Arc<Value>,
    pub labels: Labels,
    pub spec: Arc<PodSpec>,
}

impl<'de> Deserialize<'de> for PodTemplate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize, Default)]
        #[serde(default)]
        struct Parts {
            metadata: Meta,
            spec: PodSpec,
        }
        let raw = Value::deserialize(deserializer)?;
        let parts = Option::<Parts>::deserialize(&raw).map_err(serde::de::Error::custom)?.unwrap_or_default();
        Ok(PodTemplate { raw: Arc::new(raw), labels: parts.metadata.labels, spec: Arc::new(parts.spec) })
    }
}

/// `spec.updateStrategy`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct UpdateStrategy {
    /// `RollingUpdate` or `OnDelete`.
    #[serde(rename = "type")]
    pub kind: Box<str>,
    pub rolling_update: Option<RollingUpdate>,
}

/// `spec.updateStrategy.rollingUpdate`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RollingUpdate {
    pub max_unavailable: Option<IntOrString>,
    pub max_surge: Option<IntOrString>,
}

/// `status` of a DaemonSet; serialises as DS-A45 says.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DaemonSetStatus {
    pub current_number_scheduled: i64,
    pub number_misscheduled: i64,
    pub desired_number_scheduled: i64,
    pub number_ready: i64,
    #[serde(skip_serializing_if = "is_zero")]
    pub observed_generation: i64,
    #[serde(skip_serializing_if = "is_zero")]
    pub updated_number_scheduled: i64,
    #[serde(skip_serializing_if = "is_zero")]
    pub number_available: i64,
    #[serde(skip_serializing_if = "is_zero")]
    pub number_unavailable: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub collision_count: Option<i32>,
    /// Raw: the controller owns the types that it writes and keeps all others.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub conditions: Option<Vec<Value>>,
}

fn is_zero(value: &i64) -> bool {
    *value == 0
}

/// `apps/v1 ControllerRevision`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct ControllerRevision {
    #[serde(rename = "metadata")]
    pub meta: Meta,
    pub revision: i64,
    /// A strategic merge patch that restores the template (DS-D41).
    pub data: Arc<Value>,
}
