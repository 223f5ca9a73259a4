//! The input of a decision: the pod as the API server has it, and what the runtime shows.

use std::net::IpAddr;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{Pod, PodSpec};

use crate::cri::{Container, ContainerState, Sandbox};

/// What one decision is made from.
#[derive(Clone, Debug)]
pub struct Seen {
    pub pod: Arc<Pod>,
    pub node: Arc<NodeFacts>,
    pub observed: Observed,
}

/// What is the same for every pod of the node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodeFacts {
    /// First one primary.
    pub ips: Vec<IpAddr>,
    /// The scheme of container ids: `containerd`.
    pub runtime: String,
    /// Why the runtime's network cannot serve pods now.
    pub network_error: Option<String>,
}

/// The sandboxes and containers of one pod.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Observed {
    pub sandboxes: Vec<Sandbox>,
    pub containers: Vec<Container>,
}

impl Observed {
    /// The newest sandbox.
    pub fn sandbox(&self) -> Option<&Sandbox> {
        self.sandboxes.iter().max_by_key(|sandbox| (sandbox.attempt, sandbox.created_at))
    }

    /// The newest container of this name.
    pub fn latest(&self, name: &str) -> Option<&Container> {
        self.containers.iter().filter(|container| container.name == name).max_by_key(|found| age(found))
    }

    /// The newest container of this name within one sandbox.
    pub fn latest_in(&self, name: &str, sandbox: &str) -> Option<&Container> {
        let here = |found: &&Container| found.name == name && found.sandbox_id == sandbox;
        self.containers.iter().filter(here).max_by_key(|found| age(found))
    }

    /// The newest ended container of this name that is older than `than`.
    pub fn previous<'a>(&'a self, than: &'a Container) -> Option<&'a Container> {
        self.containers
            .iter()
            .filter(|found| found.name == than.name && found.state == ContainerState::Exited && age(found) < age(than))
            .max_by_key(|found| age(found))
    }

    pub fn container(&self, id: &str) -> Option<&Container> {
        self.containers.iter().find(|container| container.id == id)
    }

    /// Whether anything is, or may be, running.
    pub fn any_alive(&self) -> bool {
        self.containers.iter().any(is_alive)
    }

    /// Puts in a sandbox that is newer than what was there.
    pub fn upsert_sandbox(&mut self, sandbox: Sandbox) {
        self.sandboxes.retain(|found| found.id != sandbox.id);
        self.sandboxes.push(sandbox);
    }

    /// Puts in a container that is newer than what was there; keeps the sandbox it is in.
    pub fn upsert_container(&mut self, mut container: Container) {
        if container.sandbox_id.is_empty()
            && let Some(known) = self.container(&container.id)
        {
            container.sandbox_id.clone_from(&known.sandbox_id);
        }
        self.containers.retain(|found| found.id != container.id);
        self.containers.push(container);
    }
}

/// Sorts containers of one name: later attempts are newer.
pub(super) fn age(container: &Container) -> (u32, jiff::Timestamp, &str) {
    (container.attempt, container.created_at, &container.id)
}

/// Running, or in a state that may hide a running process.
pub(super) fn is_alive(container: &Container) -> bool {
    matches!(container.state, ContainerState::Running | ContainerState::Unknown)
}

impl Seen {
    /// The pod's spec; an empty one if the object has none.
    pub fn spec(&self) -> &PodSpec {
        static EMPTY: std::sync::LazyLock<PodSpec> = std::sync::LazyLock::new(PodSpec::default);
        self.pod.spec.as_ref().unwrap_or(&EMPTY)
    }

    pub fn host_network(&self) -> bool {
        self.spec().host_network == Some(true)
    }

    /// The pod's addresses; empty until its network is up.
    pub fn pod_ips(&self) -> Vec<IpAddr> {
        if self.host_network() {
            return self.node.ips.clone();
        }
        self.observed.sandbox().map(|sandbox| sandbox.ips.clone()).unwrap_or_default()
    }

    /// `terminationGracePeriodSeconds`, 30 by default.
    pub fn grace_seconds(&self) -> i64 {
        self.spec().termination_grace_period_seconds.unwrap_or(30).max(1)
    }
}
