//! The pod's status, from what is seen and remembered (DS-H01 to DS-H08).

mod amounts;
mod conditions;
mod containers;
mod phase;
#[cfg(test)]
mod tests;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{HostIP, PodIP, PodStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::memory::Memory;
use super::seen::{Observed, Seen};
use super::spec::qos_class;

pub(crate) use conditions::OWN_CONDITIONS;
pub(super) use containers::is_started;

/// What is said of a pod past its `activeDeadlineSeconds`.
pub(super) const DEADLINE_EXCEEDED: &str = "Pod was active on the node longer than the specified deadline";

/// The whole status that the agent would write. Conditions of others are kept.
pub(super) fn status(seen: &Seen, memory: &Memory, now: Timestamp) -> PodStatus {
    let spec = seen.spec();
    if never_began(seen, memory) {
        return rejected(seen, memory);
    }
    let mut init: Vec<_> = super::spec::init_containers(spec)
        .iter()
        .map(|container| containers::status(seen, memory, container, true))
        .collect();
    let mut ordinary: Vec<_> =
        spec.containers.iter().map(|container| containers::status(seen, memory, container, false)).collect();
    ordinary.sort_by(|a, b| a.name.cmp(&b.name));
    containers::share_messages(&mut init, &mut ordinary);
    let ending = memory.stopping.is_some() && !seen.observed.any_alive();
    let phase = phase::phase(seen, memory, &init, &ordinary, ending);
    let conditions = conditions::conditions(seen, memory, phase, &init, &ordinary, now);
    let ips = pod_ips(seen, memory);
    let host_ips: Vec<String> = seen.node.ips.iter().map(ToString::to_string).collect();
    let (reason, message) = verdict(seen, memory);
    PodStatus {
        phase: Some(phase.to_owned()),
        conditions: Some(conditions),
        container_statuses: Some(ordinary),
        init_container_statuses: (!init.is_empty()).then_some(init),
        host_ip: host_ips.first().cloned(),
        host_ips: (!host_ips.is_empty()).then(|| host_ips.into_iter().map(|ip| HostIP { ip }).collect()),
        pod_ip: ips.first().cloned(),
        pod_ips: (!ips.is_empty()).then(|| ips.into_iter().map(|ip| PodIP { ip }).collect()),
        observed_generation: seen.pod.metadata.generation,
        qos_class: Some(qos_class(spec).to_owned()),
        allocated_resources: amounts::requests_of_pod(spec),
        resources: Some(amounts::of_pod(spec)),
        reason,
        message,
        start_time: memory.start_time.map(time),
        ..PodStatus::default()
    }
}

/// Refused before anything of it was made; also by an earlier run of the agent.
fn never_began(seen: &Seen, memory: &Memory) -> bool {
    let refused_before = seen.pod.status.as_ref().is_some_and(|status| {
        status.phase.as_deref() == Some("Failed") && status.container_statuses.is_none() && status.host_ip.is_none()
    });
    (memory.rejection.is_some() || refused_before) && seen.observed == Observed::default()
}

/// Of a pod that never began there is nothing to say but why.
fn rejected(seen: &Seen, memory: &Memory) -> PodStatus {
    let (reason, message) = verdict(seen, memory);
    let prior = seen.pod.status.clone().unwrap_or_default();
    let others = prior.conditions.into_iter().flatten().filter(|condition| !conditions::is_own(&condition.type_));
    let others: Vec<_> = others.collect();
    PodStatus {
        phase: Some("Failed".into()),
        conditions: (!others.is_empty()).then_some(others),
        observed_generation: seen.pod.metadata.generation,
        qos_class: Some(qos_class(seen.spec()).to_owned()),
        reason,
        message,
        start_time: prior.start_time.or(memory.start_time.map(time)),
        ..PodStatus::default()
    }
}

/// A pod that ends or has ended keeps the addresses that it had.
fn pod_ips(seen: &Seen, memory: &Memory) -> Vec<String> {
    let ips = seen.pod_ips();
    if !ips.is_empty() {
        return ips.iter().map(ToString::to_string).collect();
    }
    if memory.stopping.is_none() {
        return Vec::new();
    }
    let told = seen.pod.status.iter().flat_map(|status| status.pod_ips.iter().flatten()).map(|told| told.ip.clone());
    match memory.pod_ips.is_empty() {
        true => told.collect(),
        false => memory.pod_ips.iter().map(ToString::to_string).collect(),
    }
}

/// Why the pod as a whole ended (DS-H09), if it did so for a reason of its own.
fn verdict(seen: &Seen, memory: &Memory) -> (Option<String>, Option<String>) {
    if let Some(rejection) = &memory.rejection {
        return (Some(rejection.reason.clone()), Some(format!("Pod was rejected: {}", rejection.message)));
    }
    if memory.deadline_exceeded {
        return (Some("DeadlineExceeded".into()), Some(DEADLINE_EXCEEDED.into()));
    }
    if let Some(message) = &memory.evicted {
        return (Some("Evicted".into()), Some(message.clone()));
    }
    let prior = seen.pod.status.as_ref();
    let ended = prior.filter(|prior| matches!(prior.phase.as_deref(), Some("Failed" | "Succeeded")));
    ended.map_or((None, None), |prior| (prior.reason.clone(), prior.message.clone()))
}

/// Kubernetes keeps whole seconds.
fn time(at: Timestamp) -> Time {
    Time(Timestamp::from_second(at.as_second()).unwrap_or(at))
}
