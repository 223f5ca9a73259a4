//! The status of one container (DS-H04 to DS-H06).

use k8s_openapi::api::core::v1::{
    Container, ContainerState, ContainerStateRunning, ContainerStateTerminated, ContainerStateWaiting, ContainerStatus,
    VolumeMount, VolumeMountStatus,
};

use super::super::memory::{ContainerMemory, Memory, prior_status};
use super::super::seen::Seen;
use super::super::spec::{init_containers, is_sidecar};
use super::{amounts, time};
use crate::cri;

/// The status of a container of the spec.
pub(super) fn status(seen: &Seen, memory: &Memory, container: &Container, init: bool) -> ContainerStatus {
    let entry = memory.container(&container.name).cloned().unwrap_or_default();
    match seen.observed.latest(&container.name) {
        Some(found) => observed(seen, memory, container, &entry, found, init),
        None => absent(seen, memory, container, &entry, init),
    }
}

fn observed(
    seen: &Seen,
    memory: &Memory,
    container: &Container,
    entry: &ContainerMemory,
    found: &cri::Container,
    init: bool,
) -> ContainerStatus {
    let state = state(seen, memory, container, entry, found);
    let ended = found.state == cri::ContainerState::Exited;
    let last = if ended && state.terminated.is_none() { Some(found) } else { seen.observed.previous(found) };
    let started = is_started(container, found, memory);
    let stays = !init || is_sidecar(container);
    let succeeded = ended && found.exit_code == 0;
    ContainerStatus {
        name: container.name.clone(),
        ready: if stays { started && is_ready(container, found, entry) } else { succeeded },
        started: Some(started),
        restart_count: i32::try_from(found.attempt).unwrap_or(i32::MAX),
        container_id: Some(container_id(seen, &found.id)),
        image: if found.image.is_empty() { image_of(container) } else { found.image.clone() },
        image_id: found.image_ref.clone(),
        last_state: Some(last.map(|last| terminated(seen, last)).unwrap_or_default()),
        state: Some(state),
        allocated_resources: amounts::requests_of_container(container),
        resources: Some(amounts::of_container(container)),
        volume_mounts: volume_mounts(container),
        ..ContainerStatus::default()
    }
}

/// A container that the runtime does not have: not made yet, or lost with the runtime's state.
fn absent(seen: &Seen, memory: &Memory, container: &Container, entry: &ContainerMemory, init: bool) -> ContainerStatus {
    let prior = seen.pod.status.as_ref().and_then(|status| prior_status(status, &container.name));
    let mut last_state = prior.and_then(|prior| prior.last_state.clone()).unwrap_or_default();
    let mut state = waiting(seen, entry);
    if let Some(ended) = prior.and_then(|prior| prior.state.clone()).filter(|state| state.terminated.is_some()) {
        let finished = memory.stopping.is_some() || (init && !is_sidecar(container));
        if finished { state = ended } else { last_state = ended }
    } else if memory.stopping.is_some() && prior.is_some_and(was_running) {
        state = lost(prior);
    }
    ContainerStatus {
        name: container.name.clone(),
        ready: init && state.terminated.as_ref().is_some_and(|ended| ended.exit_code == 0),
        started: Some(false),
        restart_count: prior.map_or(0, |prior| prior.restart_count),
        container_id: prior.and_then(|prior| prior.container_id.clone()).filter(|_| state.terminated.is_some()),
        image: image_of(container),
        last_state: Some(last_state),
        state: Some(state),
        volume_mounts: volume_mounts(container),
        ..ContainerStatus::default()
    }
}

/// No runtime that we know makes what is mounted below read-only, too.
fn volume_mounts(container: &Container) -> Option<Vec<VolumeMountStatus>> {
    let mounts = container.volume_mounts.as_ref().filter(|mounts| !mounts.is_empty())?;
    let status = |mount: &VolumeMount| {
        let read_only = mount.read_only == Some(true);
        VolumeMountStatus {
            name: mount.name.clone(),
            mount_path: mount.mount_path.clone(),
            read_only: read_only.then_some(true),
            recursive_read_only: read_only.then(|| "Disabled".into()),
            ..VolumeMountStatus::default()
        }
    };
    Some(mounts.iter().map(status).collect())
}

fn was_running(prior: &ContainerStatus) -> bool {
    prior.state.as_ref().is_some_and(|state| state.running.is_some())
}

/// A container that ran when it was last heard of and has left no trace (DS-H05).
fn lost(prior: Option<&ContainerStatus>) -> ContainerState {
    let terminated = ContainerStateTerminated {
        exit_code: 137,
        reason: Some("ContainerStatusUnknown".into()),
        message: Some("The container could not be located when the pod was terminated".into()),
        container_id: prior.and_then(|prior| prior.container_id.clone()),
        ..ContainerStateTerminated::default()
    };
    ContainerState { terminated: Some(terminated), ..ContainerState::default() }
}

fn state(
    seen: &Seen,
    memory: &Memory,
    container: &Container,
    entry: &ContainerMemory,
    found: &cri::Container,
) -> ContainerState {
    match found.state {
        cri::ContainerState::Running if hook_pending(container, entry, found) => waiting(seen, entry),
        cri::ContainerState::Running => {
            let started_at = found.started_at.map(time);
            ContainerState { running: Some(ContainerStateRunning { started_at }), ..ContainerState::default() }
        }
        // Backing off or failing to start again: say so. The end itself goes to the last state.
        cri::ContainerState::Exited if entry.waiting.is_some() && memory.stopping.is_none() => waiting(seen, entry),
        cri::ContainerState::Exited => terminated(seen, found),
        cri::ContainerState::Created | cri::ContainerState::Unknown => waiting(seen, entry),
    }
}

/// Not reported running before its postStart hook has run (DS-H19).
fn hook_pending(container: &Container, entry: &ContainerMemory, found: &cri::Container) -> bool {
    let has_hook = container.lifecycle.as_ref().is_some_and(|lifecycle| lifecycle.post_start.is_some());
    has_hook && entry.hooked.as_ref() != Some(&found.id)
}

fn waiting(seen: &Seen, entry: &ContainerMemory) -> ContainerState {
    let initializes = !init_containers(seen.spec()).is_empty();
    let default = if initializes { "PodInitializing" } else { "ContainerCreating" };
    let waiting = match &entry.waiting {
        Some(waiting) => ContainerStateWaiting {
            reason: Some(waiting.reason.clone()),
            message: Some(waiting.message.clone()).filter(|message| !message.is_empty()),
        },
        None => ContainerStateWaiting { reason: Some(default.into()), message: None },
    };
    ContainerState { waiting: Some(waiting), ..ContainerState::default() }
}

fn terminated(seen: &Seen, found: &cri::Container) -> ContainerState {
    let default = if found.exit_code == 0 { "Completed" } else { "Error" };
    let reason = if found.reason.is_empty() { default } else { &found.reason };
    let message = if found.message.is_empty() { termination_message(seen, found) } else { Some(found.message.clone()) };
    let terminated = ContainerStateTerminated {
        container_id: Some(container_id(seen, &found.id)),
        exit_code: found.exit_code,
        started_at: found.started_at.map(time),
        finished_at: found.finished_at.map(time),
        reason: Some(reason.to_owned()),
        message,
        signal: None,
    };
    ContainerState { terminated: Some(terminated), ..ContainerState::default() }
}

/// All messages of a pod together have at most this many bytes, shared evenly (as in Kubernetes).
const POD_MESSAGE_BYTES_MAX: usize = 12 * 1024;

/// Cuts the last words of containers to their share.
pub(super) fn share_messages(init: &mut [ContainerStatus], ordinary: &mut [ContainerStatus]) {
    let share = POD_MESSAGE_BYTES_MAX / (init.len() + ordinary.len()).max(1);
    for status in init.iter_mut().chain(ordinary) {
        let states = [&mut status.state, &mut status.last_state].into_iter().flatten();
        let ended = states.filter_map(|state| state.terminated.as_mut());
        for message in ended.filter_map(|ended| ended.message.as_mut()).filter(|message| message.len() > share) {
            let mut end = share;
            while !message.is_char_boundary(end) {
                end -= 1;
            }
            message.truncate(end);
        }
    }
}

/// The last words that were told before their file went away with the rest of an ended pod.
fn termination_message(seen: &Seen, found: &cri::Container) -> Option<String> {
    let prior = seen.pod.status.as_ref().and_then(|status| prior_status(status, &found.name))?;
    let states = [&prior.state, &prior.last_state].into_iter().flatten();
    let mut ended = states.filter_map(|state| state.terminated.as_ref());
    ended.find(|ended| ended.container_id.as_deref() == Some(&container_id(seen, &found.id)))?.message.clone()
}

fn container_id(seen: &Seen, id: &str) -> String {
    format!("{}://{id}", seen.node.runtime)
}

fn image_of(container: &Container) -> String {
    container.image.clone().unwrap_or_default()
}

/// DS-H06: runs, its hook has run, and its startup probe (if any) has passed.
pub(in super::super) fn is_started(container: &Container, found: &cri::Container, memory: &Memory) -> bool {
    let entry = memory.container(&container.name).cloned().unwrap_or_default();
    let passed = container.startup_probe.is_none() || (entry.probes.container_id == found.id && entry.probes.started);
    found.state == cri::ContainerState::Running && !hook_pending(container, &entry, found) && passed
}

fn is_ready(container: &Container, found: &cri::Container, entry: &ContainerMemory) -> bool {
    container.readiness_probe.is_none() || (entry.probes.container_id == found.id && entry.probes.ready)
}
