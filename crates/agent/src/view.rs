//! Pods of the API's own types as placement sees them.

use everynode_api::view;
use k8s_openapi::api::core::v1::PodSpec;
use serde::Deserialize;

/// What placement needs of a pod's spec.
///
/// # Errors
/// An amount in it is none.
pub(crate) fn pod_spec(spec: &PodSpec) -> Result<view::PodSpec, serde_json::Error> {
    view::PodSpec::deserialize(&serde_json::to_value(spec)?)
}
