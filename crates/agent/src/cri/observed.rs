//! What the runtime reports about sandboxes, containers and images, reduced to what is needed.

use std::collections::BTreeMap;
use std::net::IpAddr;

use jiff::Timestamp;

use super::v1;

/// A pod sandbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sandbox {
    pub id: String,
    pub namespace: String,
    pub pod: String,
    pub uid: String,
    pub attempt: u32,
    pub ready: bool,
    pub created_at: Timestamp,
    /// Empty for host-network pods, and in lists.
    pub ips: Vec<IpAddr>,
    pub host_network: bool,
    pub labels: BTreeMap<String, String>,
    pub annotations: BTreeMap<String, String>,
}

/// A container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Container {
    pub id: String,
    pub sandbox_id: String,
    pub name: String,
    /// How many containers of this name the pod had before: the restart count.
    pub attempt: u32,
    pub state: ContainerState,
    pub created_at: Timestamp,
    pub started_at: Option<Timestamp>,
    pub finished_at: Option<Timestamp>,
    pub exit_code: i32,
    /// `Completed`, `Error`, `OOMKilled` …
    pub reason: String,
    pub message: String,
    /// The image's name.
    pub image: String,
    /// Its digest.
    pub image_ref: String,
    pub log_path: String,
    pub labels: BTreeMap<String, String>,
    pub annotations: BTreeMap<String, String>,
}

/// Where a container is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ContainerState {
    Created,
    Running,
    Exited,
    Unknown,
}

/// An image on the node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Image {
    pub id: String,
    pub tags: Vec<String>,
    pub digests: Vec<String>,
    pub bytes: u64,
    /// The user that the image runs as, if it is a number.
    pub uid: Option<i64>,
    /// The user that the image runs as, if it is a name.
    pub username: String,
    pub pinned: bool,
}

/// CRI's clock is nanoseconds since 1970; 0 is "not yet".
fn timestamp(nanoseconds: i64) -> Option<Timestamp> {
    (nanoseconds > 0).then(|| Timestamp::from_nanosecond(nanoseconds.into()).ok()).flatten()
}

impl ContainerState {
    fn from_cri(state: i32) -> Self {
        match v1::ContainerState::try_from(state) {
            Ok(v1::ContainerState::ContainerCreated) => ContainerState::Created,
            Ok(v1::ContainerState::ContainerRunning) => ContainerState::Running,
            Ok(v1::ContainerState::ContainerExited) => ContainerState::Exited,
            _ => ContainerState::Unknown,
        }
    }
}

impl From<v1::PodSandbox> for Sandbox {
    fn from(sandbox: v1::PodSandbox) -> Self {
        let metadata = sandbox.metadata.unwrap_or_default();
        Sandbox {
            id: sandbox.id,
            namespace: metadata.namespace,
            pod: metadata.name,
            uid: metadata.uid,
            attempt: metadata.attempt,
            ready: sandbox.state == v1::PodSandboxState::SandboxReady as i32,
            created_at: timestamp(sandbox.created_at).unwrap_or_default(),
            ips: Vec::new(),
            host_network: false,
            labels: sandbox.labels,
            annotations: sandbox.annotations,
        }
    }
}

impl From<v1::PodSandboxStatus> for Sandbox {
    fn from(status: v1::PodSandboxStatus) -> Self {
        let metadata = status.metadata.unwrap_or_default();
        let network = status.network.unwrap_or_default();
        let more = network.additional_ips.into_iter().map(|ip| ip.ip);
        let mode = status.linux.and_then(|linux| linux.namespaces).and_then(|namespaces| namespaces.options);
        Sandbox {
            id: status.id,
            namespace: metadata.namespace,
            pod: metadata.name,
            uid: metadata.uid,
            attempt: metadata.attempt,
            ready: status.state == v1::PodSandboxState::SandboxReady as i32,
            created_at: timestamp(status.created_at).unwrap_or_default(),
            ips: std::iter::once(network.ip).chain(more).filter_map(|ip| ip.parse().ok()).collect(),
            host_network: mode.is_some_and(|mode| mode.network == v1::NamespaceMode::Node as i32),
            labels: status.labels,
            annotations: status.annotations,
        }
    }
}

impl From<v1::Container> for Container {
    fn from(container: v1::Container) -> Self {
        let metadata = container.metadata.unwrap_or_default();
        Container {
            id: container.id,
            sandbox_id: container.pod_sandbox_id,
            name: metadata.name,
            attempt: metadata.attempt,
            state: ContainerState::from_cri(container.state),
            created_at: timestamp(container.created_at).unwrap_or_default(),
            started_at: None,
            finished_at: None,
            exit_code: 0,
            reason: String::new(),
            message: String::new(),
            image: container.image.unwrap_or_default().image,
            image_ref: container.image_ref,
            log_path: String::new(),
            labels: container.labels,
            annotations: container.annotations,
        }
    }
}

impl From<v1::ContainerStatus> for Container {
    /// CRI's status does not name the sandbox: the caller fills it in from a list.
    fn from(status: v1::ContainerStatus) -> Self {
        let metadata = status.metadata.unwrap_or_default();
        Container {
            id: status.id,
            sandbox_id: String::new(),
            name: metadata.name,
            attempt: metadata.attempt,
            state: ContainerState::from_cri(status.state),
            created_at: timestamp(status.created_at).unwrap_or_default(),
            started_at: timestamp(status.started_at),
            finished_at: timestamp(status.finished_at),
            exit_code: status.exit_code,
            reason: status.reason,
            message: status.message,
            image: status.image.unwrap_or_default().image,
            image_ref: status.image_ref,
            log_path: status.log_path,
            labels: status.labels,
            annotations: status.annotations,
        }
    }
}

impl From<v1::Image> for Image {
    fn from(image: v1::Image) -> Self {
        Image {
            id: image.id,
            tags: image.repo_tags,
            digests: image.repo_digests,
            bytes: image.size,
            uid: image.uid.map(|uid| uid.value),
            username: image.username,
            pinned: image.pinned,
        }
    }
}
