//! Writing a pod's status: one write at a time, the newest one next, only what differs.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{Pod, PodCondition, PodStatus};
use tokio::task::JoinHandle;

use super::Context;
use crate::ports::WriteError;
use crate::sync::OWN_CONDITIONS;

/// The delay after a failed write grows to this.
const RETRY_SECONDS_MAX: i64 = 10;

/// What the server shows although something else was written is a late event, or a server that lost
/// what it had acknowledged: after so many seconds it is the latter.
const DOUBT_SECONDS: i64 = 10;

/// The pod as it will be, and the task that writes it.
type UnderWay = (Arc<Pod>, JoinHandle<Result<u64, WriteError>>);

/// Keeps one pod's status at the API server up to date.
pub(super) struct StatusWriter {
    context: Arc<Context>,
    /// The last status that the server has for sure.
    written: Option<PodStatus>,
    /// The pod's revision with it; 0: not known.
    written_at: u64,
    /// The pod as the watch last had it.
    heard: Option<Arc<Pod>>,
    under_way: Option<UnderWay>,
    failures: i64,
    retry_at: Option<Timestamp>,
    /// When what was heard counts for more than what was written.
    doubt_at: Option<Timestamp>,
}

impl StatusWriter {
    pub fn new(context: Arc<Context>) -> Self {
        StatusWriter {
            context,
            written: None,
            written_at: 0,
            heard: None,
            under_way: None,
            failures: 0,
            retry_at: None,
            doubt_at: None,
        }
    }

    /// Begins to write `status` unless it is there already or another write is under way.
    pub fn offer(&mut self, pod: &Arc<Pod>, status: PodStatus, now: Timestamp) {
        let waits = self.retry_at.is_some_and(|until| until > now);
        let doubted = self.doubt_at.is_some_and(|at| at <= now);
        if waits || self.under_way.is_some() {
            return;
        }
        self.retry_at = None;
        if !doubted && self.written.as_ref() == Some(&status) {
            return;
        }
        self.doubt_at = None;
        let heard = self.heard.clone().filter(|_| doubted);
        let (context, pod) = (self.context.clone(), heard.unwrap_or_else(|| pod.clone()));
        let target = Arc::new(Pod { status: Some(status), ..Pod::clone(&pod) });
        let written = target.clone();
        let task = tokio::spawn(async move {
            let status = target.status.clone().unwrap_or_default();
            context.writer.write_status(&pod, &status).await
        });
        self.under_way = Some((written, task));
    }

    /// Waits for the write under way, for ever if there is none. Answers the pod as written.
    /// Cancel-safe.
    pub async fn written(&mut self) -> Option<Arc<Pod>> {
        let Some((_, task)) = &mut self.under_way else { return std::future::pending().await };
        let result = task.await.unwrap_or_else(|error| Err(WriteError::Retry(error.to_string())));
        let (pod, _) = self.under_way.take()?;
        match result {
            Ok(revision) => {
                self.failures = 0;
                self.written.clone_from(&pod.status);
                self.written_at = revision;
                // What the watch brought in the meantime counts too: that the pod is deleted, say.
                Some(self.heard.clone().map_or(pod, |heard| self.merge(heard)))
            }
            // The watch will tell that the pod is gone. Until then it may be there: a server that
            // starts or is restored may not know of it for a moment.
            Err(WriteError::Gone) => self.try_again(RETRY_SECONDS_MAX),
            Err(WriteError::Retry(error)) => {
                tracing::debug!(%error, pod = ?pod.metadata.name, "cannot write a pod's status");
                self.failures += 1;
                self.try_again(self.failures.min(RETRY_SECONDS_MAX))
            }
        }
    }

    fn try_again(&mut self, seconds: i64) -> Option<Arc<Pod>> {
        self.retry_at = self.context.clock.now().saturating_add(SignedDuration::from_secs(seconds)).ok();
        None
    }

    /// When a status should be offered again.
    pub fn retry_at(&self) -> Option<Timestamp> {
        if self.under_way.is_some() { None } else { self.retry_at.or(self.doubt_at) }
    }

    /// The pod as the server sent it, but with the status that was last written: what comes through
    /// the watch may be older. What others own is taken from the server. If another client has
    /// written the agent's own conditions since (a node that was silent for long has its pods
    /// marked as not ready, DS-G06), the status is to be written again.
    pub fn merge(&mut self, pod: Arc<Pod>) -> Arc<Pod> {
        self.heard = Some(pod.clone());
        if self.under_way.is_none() && self.is_overwritten(&pod) {
            self.written = None;
        }
        let fresh = self.context.clock.now().saturating_add(SignedDuration::from_secs(DOUBT_SECONDS)).ok();
        let differs = self.written.as_ref().is_some_and(|written| differs(written, &pod));
        self.doubt_at = self.doubt_at.or(fresh).filter(|_| differs);
        let Some(written) = &self.written else { return pod };
        let server = pod.status.clone().unwrap_or_default();
        let terminal = matches!(server.phase.as_deref(), Some("Failed" | "Succeeded"));
        let mut status = if terminal { server.clone() } else { written.clone() };
        let is_own = |condition: &&PodCondition| OWN_CONDITIONS.contains(&condition.type_.as_str());
        let own = written.conditions.iter().flatten().filter(is_own);
        let others = server.conditions.iter().flatten().filter(|condition| !is_own(condition));
        status.conditions = Some(own.chain(others).cloned().collect());
        Arc::new(Pod { status: Some(status), ..Pod::clone(&pod) })
    }

    /// Whether a newer state of the pod has other values in the agent's own conditions.
    fn is_overwritten(&self, pod: &Pod) -> bool {
        let revision = pod.metadata.resource_version.as_deref().and_then(|text| text.parse().ok()).unwrap_or(0);
        let newer = self.written_at > 0 && revision > self.written_at;
        newer && self.written.as_ref().is_some_and(|written| own_values(written) != own_values_of(pod))
    }
}

/// Whether the pod stands otherwise than was written, as far as others decide by it.
fn differs(written: &PodStatus, pod: &Pod) -> bool {
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_ref());
    written.phase.as_ref() != phase || own_values(written) != own_values_of(pod)
}

/// The values of the agent's own conditions.
fn own_values(status: &PodStatus) -> BTreeMap<&str, &str> {
    let conditions = status.conditions.iter().flatten();
    let own = conditions.filter(|condition| OWN_CONDITIONS.contains(&condition.type_.as_str()));
    own.map(|condition| (condition.type_.as_str(), condition.status.as_str())).collect()
}

fn own_values_of(pod: &Pod) -> BTreeMap<&str, &str> {
    pod.status.as_ref().map(own_values).unwrap_or_default()
}
