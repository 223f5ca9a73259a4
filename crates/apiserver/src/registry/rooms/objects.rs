//! What of stored pods and nodes decides about room, read without the rest.

use std::sync::Arc;

use everynode_api::meta::null_default;
use everynode_api::view::{ContainerNeeds, PodSpec, ResourceNeeds, Resources};
use everynode_placement::Needs;
use everynode_store::Key;
use serde::Deserialize;

use super::Occupant;

/// A pod: what decides about its part of a node.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct StoredPod {
    metadata: StoredMeta,
    #[serde(deserialize_with = "null_default")]
    spec: StoredSpec,
    #[serde(deserialize_with = "null_default")]
    status: StoredStatus,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct StoredMeta {
    uid: Box<str>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct StoredSpec {
    #[serde(deserialize_with = "null_default")]
    node_name: Box<str>,
    priority: Option<i64>,
    #[serde(deserialize_with = "null_default")]
    host_network: bool,
    #[serde(deserialize_with = "null_default")]
    containers: Arc<[ContainerNeeds]>,
    #[serde(deserialize_with = "null_default")]
    init_containers: Arc<[ContainerNeeds]>,
    #[serde(deserialize_with = "null_default")]
    overhead: Resources,
    #[serde(deserialize_with = "null_default")]
    resources: ResourceNeeds,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct StoredStatus {
    phase: Box<str>,
    nominated_node_name: Box<str>,
}

/// A node: what it has.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct StoredNode {
    #[serde(deserialize_with = "null_default")]
    status: StoredNodeStatus,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct StoredNodeStatus {
    #[serde(deserialize_with = "null_default")]
    allocatable: Resources,
}

impl StoredNode {
    /// One that cannot be read says nothing.
    pub(super) fn read(json: &[u8]) -> StoredNode {
        serde_json::from_slice(json).unwrap_or_default()
    }

    /// Empty where the node does not say.
    pub(super) fn allocatable(self) -> Resources {
        self.status.allocatable
    }
}

impl StoredPod {
    /// `None`: it is no pod.
    pub(super) fn read(json: &[u8]) -> Option<StoredPod> {
        serde_json::from_slice(json).ok()
    }

    fn is_live(&self) -> bool {
        !matches!(&*self.status.phase, "Succeeded" | "Failed")
    }

    pub(super) fn uid(&self) -> &str {
        &self.metadata.uid
    }

    /// The node that it is bound to, unless it has ended.
    pub(super) fn place(&self) -> Option<&str> {
        Some(&*self.spec.node_name).filter(|node| !node.is_empty() && self.is_live())
    }

    /// The node that it is promised while it has none.
    pub(super) fn promise(&self) -> Option<&str> {
        let node = &*self.status.nominated_node_name;
        (!node.is_empty() && self.spec.node_name.is_empty() && self.is_live()).then_some(node)
    }

    /// The pod, stored under this key, as an occupant of a node.
    pub(super) fn occupant(&self, node: &str, key: &Key) -> Occupant {
        let spec = PodSpec {
            host_network: self.spec.host_network,
            containers: self.spec.containers.clone(),
            init_containers: self.spec.init_containers.clone(),
            overhead: self.spec.overhead.clone(),
            resources: self.spec.resources.clone(),
            ..PodSpec::default()
        };
        Occupant {
            node: node.into(),
            uid: self.metadata.uid.clone(),
            key: key.clone(),
            priority: self.spec.priority.unwrap_or(0),
            needs: Needs::of(&spec),
        }
    }
}
