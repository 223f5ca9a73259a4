//! What is remembered about a pod between decisions. Lost with the process; everything that must
//! survive is in the runtime (attempts, annotations) or in the pod's status.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::action::Slot;
use super::backoff::Backoff;
use super::seen::{Observed, Seen};
use crate::cri::ContainerState;
use crate::ports::{ProbeKind, ProbeReport, Rejection};

/// What one pod's decisions remember.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Memory {
    /// Work under way.
    pub(super) busy: BTreeMap<Slot, Work>,
    /// Slots whose work failed: not again before.
    pub(super) retry: BTreeMap<Slot, Retry>,
    pub(super) start_time: Option<Timestamp>,
    pub(super) volumes_ready: bool,
    pub(super) containers: BTreeMap<String, ContainerMemory>,
    /// Sandboxes whose network is released.
    pub(super) stopped: BTreeSet<String>,
    /// Containers of the sandbox that is being replaced were told of already.
    pub(super) sandbox_change_told: BTreeSet<String>,
    pub(super) network_told: bool,
    /// The end has begun.
    pub(super) stopping: Option<Stopping>,
    /// The object is gone: removed by force, or an orphan of an earlier run.
    pub(super) gone: bool,
    pub(super) rejection: Option<Rejection>,
    pub(super) deadline_exceeded: bool,
    /// Why the node cannot keep it.
    pub(super) evicted: Option<String>,
    pub(super) torn_down: bool,
    /// The phase that the API server has for sure.
    pub(super) written_phase: Option<String>,
    /// When the server last answered that the object is deleted.
    pub(super) deleted_at: Option<Timestamp>,
    /// The addresses that the pod had last: they stay in the status when its network is gone.
    pub(super) pod_ips: Vec<std::net::IpAddr>,
}

/// What occupies a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Work {
    /// May be aborted at any moment.
    Image,
    /// Runs to its end; it is short.
    Short,
    /// May be aborted by a kill.
    Hook,
    Kill {
        deadline: Timestamp,
    },
}

/// When failed work may be tried again.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Retry {
    pub backoff: Backoff,
    pub until: Timestamp,
    pub message: String,
}

/// How far the end is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stopping {
    pub since: Timestamp,
    /// When what still runs is killed.
    pub deadline: Timestamp,
}

/// What is remembered about one container name.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct ContainerMemory {
    pub restarts: Option<Backoff>,
    pub pulls: Option<Backoff>,
    /// Why the container is not there (DS-H04).
    pub waiting: Option<Waiting>,
    /// Not tried again before.
    pub retry_at: Option<Timestamp>,
    /// The image to start with; used up by a start.
    pub image: Option<String>,
    /// The container whose postStart hook has run (or that has none).
    pub hooked: Option<String>,
    /// The container that is being probed.
    pub probed: Option<String>,
    pub probes: Probed,
    /// The back-off that was told of in an event.
    pub told: Option<Timestamp>,
}

/// Why a container waits.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Waiting {
    pub reason: String,
    pub message: String,
}

/// Probe results of one container.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Probed {
    /// Results of other containers do not count.
    pub container_id: String,
    pub ready: bool,
    pub started: bool,
    /// The probe that demands a kill.
    pub failed: Option<ProbeKind>,
}

impl Memory {
    /// For a pod whose containers run already when the agent starts: their hooks have run, and
    /// readiness is what it was (DS-H67).
    pub fn adopt(observed: &Observed, status: Option<&k8s_openapi::api::core::v1::PodStatus>) -> Memory {
        let start_time = status.and_then(|status| status.start_time.as_ref()).map(|time| time.0);
        let mut memory = Memory { start_time, ..Memory::default() };
        for found in observed.containers.iter().filter(|found| found.state == ContainerState::Running) {
            let prior = status.and_then(|status| prior_status(status, &found.name));
            let same = prior.filter(|prior| {
                prior.container_id.as_deref().is_some_and(|id| id.rsplit("//").next() == Some(found.id.as_str()))
            });
            let entry = memory.containers.entry(found.name.clone()).or_default();
            entry.hooked = Some(found.id.clone());
            entry.probes = Probed {
                container_id: found.id.clone(),
                ready: same.is_some_and(|prior| prior.ready),
                started: same.is_some_and(|prior| prior.started == Some(true)),
                failed: None,
            };
        }
        memory
    }

    /// Keeps the addresses while the pod has any.
    pub(super) fn note_addresses(&mut self, seen: &Seen) {
        let ips = seen.pod_ips();
        if !ips.is_empty() {
            self.pod_ips = ips;
        }
    }

    /// The object was removed without us, or never existed for this run of the agent.
    pub fn set_gone(&mut self) {
        self.gone = true;
    }

    pub fn is_gone(&self) -> bool {
        self.gone
    }

    /// The pod may not run here.
    pub fn reject(&mut self, rejection: Rejection) {
        self.rejection = Some(rejection);
    }

    /// The pod uses more than it may: it ends, and stays as failed.
    pub fn evict(&mut self, message: String) {
        self.evicted.get_or_insert(message);
    }

    /// A probe's result changed.
    pub fn probed(&mut self, report: &ProbeReport) {
        let entry = self.containers.entry(report.container.clone()).or_default();
        if entry.probes.container_id != report.container_id {
            entry.probes = Probed { container_id: report.container_id.clone(), ..Probed::default() };
        }
        match (report.probe, report.passed) {
            (ProbeKind::Readiness, passed) => entry.probes.ready = passed,
            (ProbeKind::Startup, true) => entry.probes.started = true,
            (ProbeKind::Liveness, true) => {}
            (probe, false) => entry.probes.failed = Some(probe),
        }
    }

    /// Whether the API server is known to have this phase.
    pub fn status_written(&mut self, phase: &str) {
        self.written_phase = Some(phase.to_owned());
    }

    pub(super) fn container(&self, name: &str) -> Option<&ContainerMemory> {
        self.containers.get(name)
    }
}

/// The status that the API server has for a container.
pub(super) fn prior_status<'a>(
    status: &'a k8s_openapi::api::core::v1::PodStatus,
    name: &str,
) -> Option<&'a k8s_openapi::api::core::v1::ContainerStatus> {
    let lists = [&status.init_container_statuses, &status.container_statuses];
    lists.into_iter().flatten().flatten().find(|prior| prior.name == name)
}
