//! The pod's status, from what is seen and remembered (DS-H01 to DS-H08).

mod conditions;
mod containers;
mod phase;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{HostIP, PodIP, PodStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::memory::Memory;
use super::seen::Seen;
use super::spec::qos_class;

pub(super) use containers::is_started;

/// The whole status that the agent would write. Conditions of others are kept.
pub(super) fn status(seen: &Seen, memory: &Memory, now: Timestamp) -> PodStatus {
    let spec = seen.spec();
    let init: Vec<_> = super::spec::init_containers(spec)
        .iter()
        .map(|container| containers::status(seen, memory, container, true))
        .collect();
    let mut ordinary: Vec<_> =
        spec.containers.iter().map(|container| containers::status(seen, memory, container, false)).collect();
    ordinary.sort_by(|a, b| a.name.cmp(&b.name));
    let ending = memory.stopping.is_some() && !seen.observed.any_alive();
    let phase = phase::phase(seen, memory, &init, &ordinary, ending);
    let conditions = conditions::conditions(seen, memory, phase, &init, &ordinary, now);
    let ips: Vec<String> = seen.pod_ips().iter().map(ToString::to_string).collect();
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
        reason,
        message,
        start_time: memory.start_time.map(time),
        ..PodStatus::default()
    }
}

/// Why the pod as a whole ended (DS-H09), if it did so for a reason of its own.
fn verdict(seen: &Seen, memory: &Memory) -> (Option<String>, Option<String>) {
    if let Some(rejection) = &memory.rejection {
        return (Some(rejection.reason.clone()), Some(format!("Pod was rejected: {}", rejection.message)));
    }
    if memory.deadline_exceeded {
        let message = "Pod was active on the node longer than the specified deadline";
        return (Some("DeadlineExceeded".into()), Some(message.into()));
    }
    let prior = seen.pod.status.as_ref();
    let ended = prior.filter(|prior| matches!(prior.phase.as_deref(), Some("Failed" | "Succeeded")));
    ended.map_or((None, None), |prior| (prior.reason.clone(), prior.message.clone()))
}

/// Kubernetes keeps whole seconds.
fn time(at: Timestamp) -> Time {
    Time(Timestamp::from_second(at.as_second()).unwrap_or(at))
}
