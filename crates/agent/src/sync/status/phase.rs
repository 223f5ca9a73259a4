//! The pod's phase (DS-H01).

use k8s_openapi::api::core::v1::ContainerStatus;

use super::super::memory::Memory;
use super::super::seen::Seen;
use super::super::spec::{RestartPolicy, container_named, is_sidecar, restart_policy};

/// Where a container stands, as far as the phase cares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stand {
    /// Has never run.
    Fresh,
    Running,
    Succeeded,
    Failed,
}

/// `ending`: the pod is being stopped and nothing of it runs any more.
pub(super) fn phase(
    seen: &Seen,
    memory: &Memory,
    init: &[ContainerStatus],
    ordinary: &[ContainerStatus],
    ending: bool,
) -> &'static str {
    if let Some(kept) = terminal_phase(seen, memory) {
        return kept;
    }
    let stands: Vec<Stand> = ordinary.iter().map(stand).collect();
    if ending {
        let succeeded = !stands.is_empty() && stands.iter().all(|stand| *stand == Stand::Succeeded);
        return if succeeded { "Succeeded" } else { "Failed" };
    }
    let policy = restart_policy(seen.spec());
    let ordinary_init = init.iter().filter(|status| {
        container_named(seen.spec(), &status.name).is_some_and(|(container, _)| !is_sidecar(container))
    });
    let mut init_stands = ordinary_init.map(stand);
    if policy == RestartPolicy::Never && init_stands.any(|stand| stand == Stand::Failed) {
        return "Failed";
    }
    if stands.is_empty() || stands.contains(&Stand::Fresh) {
        return "Pending";
    }
    let all_ended = stands.iter().all(|stand| matches!(stand, Stand::Succeeded | Stand::Failed));
    match policy {
        _ if !all_ended => "Running",
        RestartPolicy::Always => "Running",
        _ if stands.iter().all(|stand| *stand == Stand::Succeeded) => "Succeeded",
        RestartPolicy::Never => "Failed",
        RestartPolicy::OnFailure => "Running",
    }
}

/// Terminal phases are for ever; refused pods have failed.
fn terminal_phase(seen: &Seen, memory: &Memory) -> Option<&'static str> {
    if memory.rejection.is_some() {
        return Some("Failed");
    }
    match seen.pod.status.as_ref().and_then(|status| status.phase.as_deref()) {
        Some("Failed") => Some("Failed"),
        Some("Succeeded") => Some("Succeeded"),
        _ if (memory.deadline_exceeded || memory.evicted.is_some()) && !seen.observed.any_alive() => Some("Failed"),
        _ => None,
    }
}

fn stand(status: &ContainerStatus) -> Stand {
    let state = status.state.as_ref();
    let last = status.last_state.as_ref().and_then(|last| last.terminated.as_ref());
    let ended = state.and_then(|state| state.terminated.as_ref());
    match (state.and_then(|state| state.running.as_ref()), ended.or(last)) {
        (Some(_), _) => Stand::Running,
        (None, Some(ended)) if ended.exit_code == 0 => Stand::Succeeded,
        (None, Some(_)) => Stand::Failed,
        (None, None) => Stand::Fresh,
    }
}
