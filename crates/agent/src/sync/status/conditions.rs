//! The pod's conditions (DS-H02, DS-H03).

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ContainerStatus, PodCondition};

use super::super::memory::Memory;
use super::super::seen::Seen;
use super::super::spec::{container_named, init_containers, is_sidecar, lasting_containers};
use super::time;

/// The conditions that the agent owns, in their order; all others belong to other clients.
pub(crate) const OWN_CONDITIONS: [&str; 5] =
    ["PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled"];

/// What a condition says.
struct Verdict {
    met: bool,
    reason: &'static str,
    message: String,
}

impl Verdict {
    fn yes() -> Self {
        Verdict { met: true, reason: "", message: String::new() }
    }

    fn no(reason: &'static str, message: impl Into<String>) -> Self {
        Verdict { met: false, reason, message: message.into() }
    }
}

/// All conditions: the agent's own, then those that others have set.
pub(super) fn conditions(
    seen: &Seen,
    memory: &Memory,
    phase: &str,
    init: &[ContainerStatus],
    ordinary: &[ContainerStatus],
    now: Timestamp,
) -> Vec<PodCondition> {
    let containers_ready = containers_ready(seen, phase, init, ordinary);
    let ready = ready(seen, &containers_ready);
    let verdicts = [
        network_ready(seen, memory),
        initialized(seen, phase, init, ordinary),
        ready,
        containers_ready,
        Verdict::yes(),
    ];
    let prior = seen.pod.status.as_ref().and_then(|status| status.conditions.as_deref()).unwrap_or_default();
    let others = prior.iter().filter(|condition| !is_own(&condition.type_)).cloned();
    let own = OWN_CONDITIONS.into_iter().zip(verdicts);
    own.map(|(name, verdict)| condition(seen, prior, name, verdict, now)).chain(others).collect()
}

/// Whether the agent owns conditions of this type.
pub(super) fn is_own(kind: &str) -> bool {
    OWN_CONDITIONS.contains(&kind)
}

/// The time of transition is kept while the status is the same.
fn condition(seen: &Seen, prior: &[PodCondition], name: &str, verdict: Verdict, now: Timestamp) -> PodCondition {
    let status = if verdict.met { "True" } else { "False" };
    let same = prior.iter().find(|condition| condition.type_ == name && condition.status == status);
    let kept = same.and_then(|condition| condition.last_transition_time.clone());
    PodCondition {
        type_: name.to_owned(),
        status: status.to_owned(),
        reason: Some(verdict.reason.to_owned()).filter(|reason| !reason.is_empty()),
        message: Some(verdict.message).filter(|message| !message.is_empty()),
        last_transition_time: Some(kept.unwrap_or_else(|| time(now))),
        last_probe_time: None,
        observed_generation: seen.pod.metadata.generation,
    }
}

fn network_ready(seen: &Seen, memory: &Memory) -> Verdict {
    let stopped = |id: &String| memory.stopped.contains(id);
    match seen.observed.sandbox() {
        Some(sandbox) if sandbox.ready && !stopped(&sandbox.id) => Verdict::yes(),
        _ => Verdict { met: false, reason: "", message: String::new() },
    }
}

fn initialized(seen: &Seen, phase: &str, init: &[ContainerStatus], ordinary: &[ContainerStatus]) -> Verdict {
    if phase == "Succeeded" {
        return Verdict { met: true, reason: "PodCompleted", message: String::new() };
    }
    let begun = ordinary.iter().any(has_begun);
    let incomplete = |status: &&ContainerStatus| match container_named(seen.spec(), &status.name) {
        Some((container, _)) if is_sidecar(container) => !begun && status.started != Some(true),
        _ => !begun && !status.ready,
    };
    let names: Vec<&str> = init.iter().filter(incomplete).map(|status| status.name.as_str()).collect();
    if names.is_empty() || init_containers(seen.spec()).is_empty() {
        return Verdict::yes();
    }
    Verdict::no("ContainersNotInitialized", format!("containers with incomplete status: [{}]", names.join(" ")))
}

fn has_begun(status: &ContainerStatus) -> bool {
    let ran = |state: &Option<k8s_openapi::api::core::v1::ContainerState>| {
        state.as_ref().is_some_and(|state| state.running.is_some() || state.terminated.is_some())
    };
    ran(&status.state) || ran(&status.last_state)
}

fn containers_ready(seen: &Seen, phase: &str, init: &[ContainerStatus], ordinary: &[ContainerStatus]) -> Verdict {
    match phase {
        "Succeeded" => return Verdict::no("PodCompleted", ""),
        "Failed" => return Verdict::no("PodFailed", ""),
        _ => {}
    }
    let statuses = || init.iter().chain(ordinary);
    let is_ready = |name: &str| statuses().any(|status| status.name == name && status.ready);
    let unready: Vec<&str> = lasting_containers(seen.spec())
        .map(|container| container.name.as_str())
        .filter(|name| !is_ready(name))
        .collect();
    if unready.is_empty() {
        return Verdict::yes();
    }
    Verdict::no("ContainersNotReady", format!("containers with unready status: [{}]", unready.join(" ")))
}

fn ready(seen: &Seen, containers_ready: &Verdict) -> Verdict {
    if !containers_ready.met {
        return Verdict::no(containers_ready.reason, containers_ready.message.clone());
    }
    let prior = seen.pod.status.as_ref().and_then(|status| status.conditions.as_deref()).unwrap_or_default();
    let gates = seen.spec().readiness_gates.as_deref().unwrap_or_default();
    let problems: Vec<String> = gates.iter().filter_map(|gate| gate_problem(prior, &gate.condition_type)).collect();
    if problems.is_empty() {
        return Verdict::yes();
    }
    Verdict::no("ReadinessGatesNotReady", problems.join(", "))
}

fn gate_problem(prior: &[PodCondition], gate: &str) -> Option<String> {
    match prior.iter().find(|condition| condition.type_ == gate) {
        None => Some(format!("corresponding condition of pod readiness gate \"{gate}\" does not exist.")),
        Some(condition) if condition.status != "True" => {
            Some(format!("the status of pod readiness gate \"{gate}\" is not \"True\", but {}", condition.status))
        }
        Some(_) => None,
    }
}
