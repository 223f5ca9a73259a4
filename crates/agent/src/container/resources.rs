//! Requests and limits as cgroup values (DS-H48, DS-H49).

use everynode_api::quantity::Quantity;
use k8s_openapi::api::core::v1::{Container, Pod, PodSpec};

use crate::config::AgentConfig;
use crate::cri::v1::LinuxContainerResources;
use crate::sync::{is_sidecar, qos_class};

const SHARES_MIN: i64 = 2;
const SHARES_MAX: i64 = 262_144;
const PERIOD_MICROSECONDS: i64 = 100_000;
const QUOTA_MIN: i64 = 1_000;
/// Pods with at least this priority keep the node alive.
const NODE_CRITICAL_PRIORITY: i32 = 2_000_000_000;
const GUARANTEED_OOM_SCORE: i64 = -997;
const BEST_EFFORT_OOM_SCORE: i64 = 1000;

/// What a container asks for and may use. `None`: nothing said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Share {
    cpu_request: Option<i64>,
    cpu_limit: Option<i64>,
    memory_request: Option<i64>,
    memory_limit: Option<i64>,
}

/// The limits of a pod's own cgroup.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct PodLimits {
    pub cpu_shares: i64,
    /// Microseconds per 100,000; only if every container has a limit.
    pub cpu_quota: Option<i64>,
    /// Bytes; only if every container has a limit.
    pub memory: Option<i64>,
}

fn share(container: &Container) -> Share {
    let resources = container.resources.clone().unwrap_or_default();
    let parse = |list: &Option<std::collections::BTreeMap<String, _>>, name: &str| {
        let text: Option<&k8s_openapi::apimachinery::pkg::api::resource::Quantity> =
            list.as_ref().and_then(|list| list.get(name));
        text.and_then(|text| Quantity::parse(&text.0).ok()).filter(|amount| !amount.is_zero())
    };
    let cpu_limit = parse(&resources.limits, "cpu").map(Quantity::milli_value);
    let memory_limit = parse(&resources.limits, "memory").map(Quantity::value);
    Share {
        cpu_request: parse(&resources.requests, "cpu").map(Quantity::milli_value).or(cpu_limit),
        cpu_limit,
        memory_request: parse(&resources.requests, "memory").map(Quantity::value).or(memory_limit),
        memory_limit,
    }
}

fn shares(millicores: Option<i64>) -> i64 {
    millicores.unwrap_or(0).saturating_mul(1024).div_euclid(1000).clamp(SHARES_MIN, SHARES_MAX)
}

fn quota(millicores: i64) -> i64 {
    millicores.saturating_mul(PERIOD_MICROSECONDS / 1000).max(QUOTA_MIN)
}

/// From cgroup v1's shares to v2's weight.
pub(crate) fn cgroup_v2_weight(shares: i64) -> i64 {
    1 + ((shares - SHARES_MIN) * 9999) / (SHARES_MAX - SHARES_MIN)
}

/// The resources of one container.
pub(super) fn container_resources(
    pod: &Pod,
    container: &Container,
    memory_capacity: u64,
    config: &AgentConfig,
) -> LinuxContainerResources {
    let share = share(container);
    let spec = pod.spec.clone().unwrap_or_default();
    let unified = config.cgroups.mount.join("cgroup.controllers").exists();
    LinuxContainerResources {
        cpu_shares: shares(share.cpu_request),
        cpu_period: share.cpu_limit.map_or(0, |_| PERIOD_MICROSECONDS),
        cpu_quota: share.cpu_limit.map_or(0, quota),
        memory_limit_in_bytes: share.memory_limit.unwrap_or(0),
        oom_score_adj: oom_score(&spec, share.memory_request, memory_capacity),
        // One process killed for memory takes the container's others along.
        unified: if unified { [("memory.oom.group".to_owned(), "1".to_owned())].into() } else { Default::default() },
        ..Default::default()
    }
}

/// How readily the kernel kills it when memory runs out (DS-H49).
fn oom_score(spec: &PodSpec, memory_request: Option<i64>, capacity: u64) -> i64 {
    if spec.priority.is_some_and(|priority| priority >= NODE_CRITICAL_PRIORITY) {
        return GUARANTEED_OOM_SCORE;
    }
    match qos_class(spec) {
        "Guaranteed" => GUARANTEED_OOM_SCORE,
        "BestEffort" => BEST_EFFORT_OOM_SCORE,
        _ => {
            let request = i128::from(memory_request.unwrap_or(0));
            let share = 1000 * request / i128::from(capacity.max(1));
            i64::try_from(1000 - share).unwrap_or(0).clamp(3, 999)
        }
    }
}

/// `/ROOT/kubepods/CLASS/podUID` (DS-H48).
pub(crate) fn cgroup_parent(config: &AgentConfig, spec: &PodSpec, uid: &str) -> String {
    let class = match qos_class(spec) {
        "Guaranteed" => "",
        "BestEffort" => "/besteffort",
        _ => "/burstable",
    };
    let root = config.cgroups.root.trim_matches('/');
    let root = if root.is_empty() { String::new() } else { format!("/{root}") };
    format!("{root}/kubepods{class}/pod{uid}")
}

/// What the pod's own cgroup allows: the sum of what runs at the same time, or the largest init
/// container if that is more.
pub(crate) fn pod_limits(spec: &PodSpec) -> PodLimits {
    let init = spec.init_containers.as_deref().unwrap_or_default();
    let (sidecars, once): (Vec<_>, Vec<_>) = init.iter().partition(|container| is_sidecar(container));
    let together: Vec<Share> = sidecars.into_iter().chain(&spec.containers).map(share).collect();
    let once: Vec<Share> = once.into_iter().map(share).collect();
    let total = |field: fn(&Share) -> Option<i64>| {
        let sum: i64 = together.iter().filter_map(field).fold(0, i64::saturating_add);
        once.iter().filter_map(field).max().map_or(sum, |largest| largest.max(sum))
    };
    let limited = |field: fn(&Share) -> Option<i64>| {
        together.iter().chain(&once).all(|share| field(share).is_some()).then(|| total(field))
    };
    PodLimits {
        cpu_shares: shares(Some(total(|share| share.cpu_request))),
        cpu_quota: limited(|share| share.cpu_limit).map(quota),
        memory: limited(|share| share.memory_limit),
    }
}
