//! The pods of this node: one task per pod owns the pod's memory and executes its plan.
//!
//! ```text
//! PodUpdate ──► Dispatcher ──watch──► PodWorker ──JoinSet──► execute(Action) -> Outcome
//!                   ▲                     │  ▲                     │
//!   Relist ─Looked──┘                     │  └── probe reports     ▼
//!                                         ▼              Runtime, Volumes, Host …
//!                                   sync::plan
//! ```
//!
//! The worker handles events one at a time and plans after each burst; what takes time runs in
//! tasks of its own and comes back as an outcome. Observations that were begun before the latest
//! outcome are older than what the worker knows; they are dropped and asked for again.

mod dispatcher;
mod execute;
mod handlers;
mod image;
mod kill;
mod pod;
mod relist;
mod start;
mod status;

use std::sync::Arc;

use k8s_openapi::api::core::v1::Pod;
use tokio::sync::{Semaphore, watch};

use crate::config::AgentConfig;
use crate::cri::{Container, Runtime, RuntimeError};
use crate::host::Host;
use crate::ports::{
    Admission, Clock, Environment, Event, EventSink, OwnNode, PodRef, PodWriter, Probes, PullSecrets, Regarding,
    Severity, Volumes,
};
use crate::sync::NodeFacts;

pub use dispatcher::{Dispatcher, Inspector};
pub use pod::PodSnapshot;

/// What changed about the pods that are bound to this node.
#[derive(Clone, Debug)]
pub enum PodUpdate {
    /// All of them: pods that are not in the list are gone.
    Replace(Vec<Arc<Pod>>),
    Set(Arc<Pod>),
    Gone {
        uid: String,
    },
    /// It uses more of the node than it may: it must end, and `message` says why.
    Evict {
        uid: String,
        message: String,
    },
}

/// Everything that workers work with.
pub struct Context {
    pub config: Arc<AgentConfig>,
    pub runtime: Arc<dyn Runtime>,
    pub host: Arc<dyn Host>,
    pub volumes: Arc<dyn Volumes>,
    pub environment: Arc<dyn Environment>,
    pub secrets: Arc<dyn PullSecrets>,
    pub probes: Arc<dyn Probes>,
    pub events: Arc<dyn EventSink>,
    pub writer: Arc<dyn PodWriter>,
    pub admission: Arc<dyn Admission>,
    pub node: Arc<dyn OwnNode>,
    pub clock: Arc<dyn Clock>,
    /// One permit per image pull.
    pub pulls: Semaphore,
    /// The node's side of every decision; kept by whoever watches the runtime.
    pub facts: watch::Receiver<Arc<NodeFacts>>,
}

impl Context {
    pub(crate) fn emit_pod(&self, pod: &Pod, severity: Severity, reason: &'static str, message: String) {
        self.events.emit(Event { regarding: Regarding::Pod(PodRef::of(pod)), severity, reason, message });
    }

    pub(crate) fn emit_container(
        &self,
        pod: &Pod,
        container: &str,
        severity: Severity,
        reason: &'static str,
        message: String,
    ) {
        let spec = pod.spec.as_ref();
        let init = spec.and_then(|spec| crate::sync::container_named(spec, container)).is_some_and(|(_, init)| init);
        let regarding = Regarding::Container { pod: PodRef::of(pod), name: container.to_owned(), init };
        self.events.emit(Event { regarding, severity, reason, message });
    }

    /// A container as it is now, with its last words if it has ended.
    pub(crate) async fn look_at(&self, id: &str) -> Result<Container, RuntimeError> {
        let mut found = self.runtime.container_status(id).await?;
        if found.state == crate::cri::ContainerState::Exited {
            // The container wrote the file: reading it may take long.
            let (host, ended) = (self.host.clone(), found.clone());
            let read = tokio::task::spawn_blocking(move || host.termination_message(&ended));
            let message = read.await.unwrap_or_default();
            if !message.is_empty() {
                found.message = message;
            }
        }
        Ok(found)
    }
}

/// Sleeps until a moment of the wall clock; for ever if there is none.
async fn sleep_until(wake_at: Option<jiff::Timestamp>, now: jiff::Timestamp) {
    match wake_at {
        None => std::future::pending().await,
        Some(wake_at) => {
            let left = wake_at.duration_since(now);
            tokio::time::sleep(std::time::Duration::try_from(left).unwrap_or_default()).await;
        }
    }
}
