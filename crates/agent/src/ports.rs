//! The boundaries between the agent's parts. Each part is written against these and tested with
//! small fakes of its neighbours.

use std::net::IpAddr;
use std::sync::Arc;

pub use everynode_api::ports::BoxFuture;
use everynode_api::view::Node;
use everynode_placement::Occupancy;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Container, Pod, PodStatus};

use crate::cri::v1::Mount;

/// Wall-clock time; injected, so that decisions can be replayed.
pub trait Clock: Send + Sync + 'static {
    fn now(&self) -> Timestamp;
}

/// The machine's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }
}

/// Where events about pods and the node go. The receiver aggregates and limits; emitting never
/// blocks and never fails.
pub trait EventSink: Send + Sync + 'static {
    fn emit(&self, event: Event);
}

/// One event to tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    pub regarding: Regarding,
    pub severity: Severity,
    /// `BackOff`, `FailedMount` …
    pub reason: &'static str,
    pub message: String,
}

/// The type of an event: `Normal` or `Warning`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Severity {
    Normal,
    Warning,
}

/// What an event is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Regarding {
    /// This agent's own node.
    Node,
    Pod(PodRef),
    /// A container: the event's `fieldPath` is `spec.containers{NAME}` or
    /// `spec.initContainers{NAME}` (DS-H14).
    Container {
        pod: PodRef,
        name: String,
        init: bool,
    },
}

/// Names one pod, once.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PodRef {
    pub namespace: String,
    pub name: String,
    pub uid: String,
}

impl PodRef {
    pub fn of(pod: &Pod) -> Self {
        let text = |value: &Option<String>| value.clone().unwrap_or_default();
        PodRef {
            namespace: text(&pod.metadata.namespace),
            name: text(&pod.metadata.name),
            uid: text(&pod.metadata.uid),
        }
    }
}

impl std::fmt::Display for PodRef {
    /// As in event messages: `NAME_NAMESPACE(UID)` (DS-H10).
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}_{}({})", self.name, self.namespace, self.uid)
    }
}

/// The volumes of pods (module `volumes`).
pub trait Volumes: Send + Sync + 'static {
    /// Makes every volume of the pod ready on disk. Idempotent; called again with back-off until it
    /// succeeds, and again after the agent restarted while the pod runs. Once it succeeded, the
    /// implementation keeps config maps, secrets, tokens and downward fields fresh until
    /// [`Volumes::tear_down`] (DS-H34).
    ///
    /// # Errors
    /// The message of the `FailedMount` event (DS-H30, DS-L06); the caller emits it.
    fn set_up<'a>(&'a self, pod: &'a Arc<Pod>) -> BoxFuture<'a, Result<(), MountError>>;

    /// The mounts of one container, from its `volumeMounts` (subPath resolved and created,
    /// `subPathExpr` expanded with `env`). Only after `set_up` succeeded. `/etc/hosts`,
    /// `/dev/termination-log` are not its business.
    ///
    /// # Errors
    /// The message for `CreateContainerConfigError`.
    fn mounts<'a>(
        &'a self,
        pod: &'a Pod,
        container: &'a Container,
        env: &'a [EnvVar],
    ) -> BoxFuture<'a, Result<Vec<Mount>, ConfigError>>;

    /// The pod as the API server has it changed (labels, annotations): refresh what follows it.
    fn pod_changed(&self, pod: &Arc<Pod>);

    /// Unmounts and removes everything of the pod; also for pods whose object is gone (after an
    /// agent restart). Idempotent.
    fn tear_down<'a>(&'a self, pod_uid: &'a str) -> BoxFuture<'a, Result<(), MountError>>;
}

/// A volume that could not be made ready.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct MountError {
    /// The whole message, e.g. `MountVolume.SetUp failed for volume "v" : configmap "c" not found`.
    pub message: String,
}

/// A container that cannot be configured: the message of `CreateContainerConfigError`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ConfigError {
    pub message: String,
}

impl ConfigError {
    pub fn new(message: impl Into<String>) -> Self {
        ConfigError { message: message.into() }
    }
}

/// One environment variable of a container.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EnvVar {
    pub name: String,
    pub value: String,
}

/// Environments of containers (module `env`).
pub trait Environment: Send + Sync + 'static {
    /// The container's whole environment in order, later entries having replaced earlier ones of
    /// the same name (DS-H40 to DS-H42), `KUBERNETES_SERVICE_*` included. `ips` are the pod's
    /// addresses (the node's for host-network pods). The implementation emits
    /// `InvalidEnvironmentVariableNames` itself.
    ///
    /// # Errors
    /// The message for `CreateContainerConfigError`, e.g. `configmap "c" not found`.
    fn resolve<'a>(
        &'a self,
        pod: &'a Pod,
        container: &'a Container,
        ips: &'a [IpAddr],
    ) -> BoxFuture<'a, Result<Vec<EnvVar>, ConfigError>>;
}

/// Credentials for pulling images (module `env`): `imagePullSecrets` of the pod.
pub trait PullSecrets: Send + Sync + 'static {
    /// Credentials to try for this image, best first; empty: pull without.
    fn credentials<'a>(&'a self, pod: &'a Pod, image: &'a str) -> BoxFuture<'a, Vec<PullCredential>>;
}

/// One registry login.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct PullCredential {
    pub username: String,
    pub password: String,
    pub server_address: String,
}

/// The probes of containers (module `probes`). The implementation runs its own tasks, applies
/// thresholds, and emits `Unhealthy` and `ProbeWarning` itself.
pub trait Probes: Send + Sync + 'static {
    /// Starts the probes of a container that runs. A call with another container id for the same
    /// pod and name ends the earlier ones; a repeated call with the same id does nothing.
    fn start(&self, target: ProbeTarget, reports: ProbeReports);

    /// Ends every probe of one container of a pod.
    fn stop(&self, pod_uid: &str, container: &str);

    /// The pod is terminating: liveness and startup probes end, readiness goes on (DS-H06).
    fn terminating(&self, pod_uid: &str);

    /// The pod is gone.
    fn forget(&self, pod_uid: &str);
}

/// A running container to probe.
#[derive(Clone)]
pub struct ProbeTarget {
    pub pod: Arc<Pod>,
    pub container: Container,
    pub init: bool,
    pub container_id: String,
    pub started_at: Timestamp,
    /// The pod's address; the node's for host-network pods.
    pub ip: Option<IpAddr>,
}

/// Called for every change of a probe's result after thresholds.
pub type ProbeReports = Arc<dyn Fn(ProbeReport) + Send + Sync>;

/// A probe's result after thresholds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProbeReport {
    pub container: String,
    pub container_id: String,
    pub probe: ProbeKind,
    pub passed: bool,
}

/// Which probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ProbeKind {
    Liveness,
    Readiness,
    Startup,
}

/// The API server's side of a pod: what the agent writes back.
pub trait PodWriter: Send + Sync + 'static {
    /// Writes the status; the implementation merges conditions and fields that the agent does not
    /// own and sends the difference only. Answers the pod's revision with it, 0 if there was
    /// nothing to send.
    fn write_status<'a>(&'a self, pod: &'a Pod, status: &'a PodStatus) -> BoxFuture<'a, Result<u64, WriteError>>;

    /// Removes a pod whose containers are gone: grace 0, uid precondition (DS-H25).
    fn delete<'a>(&'a self, pod: &'a PodRef) -> BoxFuture<'a, Result<(), WriteError>>;
}

/// Why a write did not succeed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WriteError {
    /// The pod does not exist (any more), or is another one of the same name.
    #[error("the pod is gone")]
    Gone,
    /// Worth trying again later.
    #[error("{0}")]
    Retry(String),
}

/// Decides whether a pod may run here at all (DS-H09).
pub trait Admission: Send + Sync + 'static {
    /// `node` is this node's object, `taken` what the other pods have of it that were admitted and
    /// have not ended.
    ///
    /// # Errors
    /// The rejection: the pod becomes `Failed` with it and never starts.
    fn admit(&self, pod: &Pod, node: &Node, taken: &Occupancy) -> Result<(), Rejection>;
}

/// This node's object.
pub trait OwnNode: Send + Sync + 'static {
    /// As it was when it was last seen; before the node is registered, as it is going to be.
    fn known(&self) -> Arc<Node>;

    /// As the server has it now; as it is known, where the server does not answer in time.
    fn fresh(&self) -> BoxFuture<'_, Arc<Node>>;
}

/// Why a pod was refused: `status.reason` and `status.message` (without the prefix
/// `Pod was rejected: `).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection {
    pub reason: String,
    pub message: String,
}
