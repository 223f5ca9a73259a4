//! A pod, as controllers see it.

use std::sync::Arc;

use jiff::Timestamp;
use serde::de::{Deserializer, IgnoredAny, SeqAccess, Visitor};
use serde::{Deserialize, Serialize};

use super::condition::{Condition, ready_first};
use super::scheduling::{Affinity, Operator, Resources, Toleration};
use crate::meta::{Labels, Meta, null_default, share};
use crate::word::Word;

/// `v1 Pod`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Pod {
    #[serde(rename = "metadata")]
    pub meta: Meta,
    pub spec: PodSpec,
    pub status: PodStatus,
}

/// `spec` of a pod or of a pod template: what placement needs of it.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PodSpec {
    /// Empty until bound.
    pub node_name: Arc<str>,
    pub scheduler_name: Box<str>,
    pub priority: Option<i32>,
    pub priority_class_name: Box<str>,
    pub preemption_policy: Box<str>,
    pub node_selector: Labels,
    pub affinity: Option<Box<Affinity>>,
    /// Shared between the pods of a controller, as far as they are the same.
    #[serde(deserialize_with = "null_default")]
    pub tolerations: Arc<[Toleration]>,
    pub host_network: bool,
    /// Shared between equal pods, too.
    #[serde(deserialize_with = "null_default")]
    pub containers: Arc<[ContainerNeeds]>,
    /// Shared between equal pods, too.
    #[serde(deserialize_with = "null_default")]
    pub init_containers: Arc<[ContainerNeeds]>,
    #[serde(deserialize_with = "null_default")]
    pub overhead: Resources,
    /// Requests and limits of the pod as a whole; they take the place of its containers' sums.
    pub resources: ResourceNeeds,
    pub termination_grace_period_seconds: Option<i64>,
    pub service_account_name: Box<str>,
    /// How many `schedulingGates` hold the pod back.
    #[serde(deserialize_with = "length")]
    pub scheduling_gates: usize,
    #[serde(deserialize_with = "length")]
    pub topology_spread_constraints: usize,
    #[serde(deserialize_with = "length")]
    pub resource_claims: usize,
    /// How many volumes are persistent volume claims (or ephemeral ones), which must be bound
    /// first.
    #[serde(rename = "volumes", deserialize_with = "claims")]
    pub volume_claims: usize,
}

/// A container's part in placement.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ContainerNeeds {
    pub name: Box<str>,
    pub image: Box<str>,
    #[serde(deserialize_with = "with_default_requests")]
    pub resources: ResourceNeeds,
    #[serde(deserialize_with = "null_default")]
    pub ports: Vec<HostPort>,
    /// `Always` in an init container makes it a sidecar (DS-H21).
    pub restart_policy: Box<str>,
}

/// `resources` of a container.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct ResourceNeeds {
    #[serde(deserialize_with = "null_default")]
    pub requests: Resources,
    #[serde(deserialize_with = "null_default")]
    pub limits: Resources,
}

/// A limit without a request is the request: pods have it so from the server, templates do not
/// (DS-A08), and what is placed is the pod that comes of a template.
fn with_default_requests<'de, D: Deserializer<'de>>(deserializer: D) -> Result<ResourceNeeds, D::Error> {
    let mut needs: ResourceNeeds = null_default(deserializer)?;
    for (name, limit) in &needs.limits {
        if !needs.requests.contains_key(name) {
            needs.requests.insert(name.clone(), *limit);
        }
    }
    Ok(needs)
}

/// `ports[]` of a container.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HostPort {
    #[serde(rename = "hostIP")]
    pub host_ip: Box<str>,
    /// `TCP` when empty.
    pub protocol: Box<str>,
    /// 0: none.
    pub host_port: u16,
    pub container_port: u16,
}

/// `status.phase`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize, Serialize)]
pub enum PodPhase {
    Running,
    Succeeded,
    Failed,
    Unknown,
    /// Also what an absent phase means.
    #[default]
    #[serde(other)]
    Pending,
}

/// `status` of a pod.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PodStatus {
    pub phase: PodPhase,
    pub reason: Box<str>,
    /// `Ready` first, which every pass asks for.
    #[serde(deserialize_with = "ready_first")]
    pub conditions: Vec<PodCondition>,
    /// Set by the node's agent when it first sees the pod.
    pub start_time: Option<Timestamp>,
    #[serde(rename = "podIP")]
    pub pod_ip: Box<str>,
    pub nominated_node_name: Box<str>,
    /// How many container statuses the agent has reported.
    #[serde(deserialize_with = "length")]
    pub container_statuses: usize,
}

/// One of `status.conditions`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PodCondition {
    #[serde(rename = "type")]
    pub kind: Word,
    pub status: Word,
    pub reason: Box<str>,
    pub message: Box<str>,
    pub last_transition_time: Option<Timestamp>,
}

impl Condition for PodCondition {
    fn kind(&self) -> &Word {
        &self.kind
    }
}

impl Pod {
    /// Takes over from `other` what is the same in both, so that it is in memory once.
    pub(super) fn share(&mut self, other: &Pod) {
        self.meta.share(&other.meta);
        self.spec.share(&other.spec);
    }

    /// The node that the pod is bound to or pinned to (DS-B32).
    pub fn target_node(&self) -> Option<&str> {
        match self.spec.node_name.as_ref() {
            "" => self.spec.pinned_node(),
            name => Some(name),
        }
    }

    pub fn condition(&self, kind: &str) -> Option<&PodCondition> {
        self.status.conditions.iter().find(|condition| condition.kind.as_ref() == kind)
    }

    /// Condition `Ready` is `True`, whatever else holds (DS-E04).
    pub fn is_ready(&self) -> bool {
        self.condition("Ready").is_some_and(|condition| condition.status.as_ref() == "True")
    }

    /// Phase `Succeeded` or `Failed`.
    pub fn is_terminal(&self) -> bool {
        matches!(self.status.phase, PodPhase::Succeeded | PodPhase::Failed)
    }

    pub fn is_terminating(&self) -> bool {
        self.meta.is_terminating()
    }
}

impl PodSpec {
    /// Takes over from `other` what is the same in both, so that it is in memory once.
    fn share(&mut self, other: &PodSpec) {
        share(&mut self.tolerations, &other.tolerations);
        share(&mut self.containers, &other.containers);
        share(&mut self.init_containers, &other.init_containers);
    }

    /// The single value of the first `metadata.name In` match field (DS-B32).
    pub fn pinned_node(&self) -> Option<&str> {
        let required = self.affinity.as_ref()?.node_affinity.as_ref()?.required.as_ref()?;
        let fields = required.node_selector_terms.iter().flat_map(|term| &term.match_fields);
        let pin =
            fields.into_iter().find(|field| field.key.as_ref() == "metadata.name" && field.operator == Operator::In)?;
        match pin.values.as_slice() {
            [name] => Some(name),
            _ => None,
        }
    }
}

/// Deserializes a list to its length, `null` to 0.
fn length<'de, D: Deserializer<'de>>(deserializer: D) -> Result<usize, D::Error> {
    Ok(Option::<Vec<IgnoredAny>>::deserialize(deserializer)?.map_or(0, |list| list.len()))
}

/// Deserializes `volumes` to the number of those that need a claim.
fn claims<'de, D: Deserializer<'de>>(deserializer: D) -> Result<usize, D::Error> {
    struct Claims;
    impl<'de> Visitor<'de> for Claims {
        type Value = usize;
        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("a list of volumes")
        }
        fn visit_unit<E>(self) -> Result<usize, E> {
            Ok(0)
        }
        fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<usize, A::Error> {
            #[derive(Deserialize)]
            #[serde(rename_all = "camelCase")]
            struct Volume {
                persistent_volume_claim: Option<IgnoredAny>,
                ephemeral: Option<IgnoredAny>,
            }
            let mut count = 0;
            while let Some(volume) = list.next_element::<Volume>()? {
                count += usize::from(volume.persistent_volume_claim.is_some() || volume.ephemeral.is_some());
            }
            Ok(count)
        }
    }
    deserializer.deserialize_any(Claims)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn target_is_the_binding_or_the_single_pin() {
        // DS-B32
        let pinned = |values: &str| {
            let text = format!(
                r#"{{"spec":{{"affinity":{{"nodeAffinity":{{"requiredDuringSchedulingIgnoredDuringExecution":
                {{"nodeSelectorTerms":[{{"matchFields":[{{"key":"metadata.name","operator":"In","values":{values}}}]}}]}}}}}}}}}}"#
            );
            serde_json::from_str::<Pod>(&text).unwrap()
        };
        assert_eq!(pinned(r#"["a"]"#).target_node(), Some("a"));
        assert_eq!(pinned(r#"["a","b"]"#).target_node(), None);
        assert_eq!(serde_json::from_str::<Pod>(r#"{"spec":{"nodeName":"b"}}"#).unwrap().target_node(), Some("b"));
    }

    #[test]
    fn limits_without_requests_are_requests() {
        let text = r#"{"containers":[
            {"resources":{"limits":{"cpu":"50","memory":"1Gi"},"requests":{"memory":"1Mi"}}},
            {"resources":{"requests":null,"limits":null}},{"resources":null}],
            "initContainers":[{"resources":{"limits":{"x/y":"2"}}}]}"#;
        let spec: PodSpec = serde_json::from_str(text).unwrap();
        let requests = |needs: &ContainerNeeds| {
            needs.resources.requests.iter().map(|(name, amount)| format!("{name}={amount}")).collect::<Vec<_>>()
        };
        assert_eq!(requests(&spec.containers[0]), ["cpu=50", "memory=1Mi"]);
        assert!(requests(&spec.containers[1]).is_empty() && requests(&spec.containers[2]).is_empty());
        assert_eq!(requests(&spec.init_containers[0]), ["x/y=2"]);
    }

    #[test]
    fn counts_what_it_does_not_keep() {
        let pod: Pod = serde_json::from_str(
            r#"{"spec":{"volumes":[{"name":"a","hostPath":{"path":"/"}},{"name":"b","persistentVolumeClaim":{"claimName":"x"}}],
                "schedulingGates":[{"name":"g"}]},"status":{"phase":"Running","containerStatuses":[{}]}}"#,
        )
        .unwrap();
        assert_eq!((pod.spec.volume_claims, pod.spec.scheduling_gates, pod.status.container_statuses), (1, 1, 1));
        assert_eq!(pod.status.phase, PodPhase::Running);
    }
}
