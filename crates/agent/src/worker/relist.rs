//! Looking at the runtime: one list of sandboxes and one of containers for the whole node; details
//! only of what changed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::{Notify, mpsc};
use tokio::time::Instant;

use super::Context;
use crate::container::{NODE_LABEL, POD_UID_LABEL};
use crate::cri::{Container, ContainerState, LabelSelector, RuntimeError, Sandbox};
use crate::sync::Observed;

/// After the end of a container was heard of, the runtime's lists tell of it a moment later: they
/// are looked at after this, and once more.
const FIRST_LOOK: Duration = Duration::from_millis(20);
const SECOND_LOOK: Duration = Duration::from_millis(250);

/// What one look found new.
#[derive(Debug)]
pub(super) struct RelistResult {
    pub begun: Instant,
    /// By pod uid; empty: nothing of the pod is left.
    pub changed: BTreeMap<String, Arc<Observed>>,
}

/// Pods whose last observation was dropped: they are reported again.
pub(super) type Resync = Arc<Mutex<BTreeSet<String>>>;

/// Looks at the runtime again and again.
pub(super) struct Relist {
    context: Arc<Context>,
    selector: LabelSelector,
    known: BTreeMap<String, Arc<Observed>>,
    resync: Resync,
}

impl Relist {
    pub fn new(context: Arc<Context>, resync: Resync) -> Self {
        let selector = [(NODE_LABEL.to_owned(), context.config.node_name.clone())].into();
        Relist { context, selector, known: BTreeMap::new(), resync }
    }

    /// Looks every `relist_interval`, when `poke` says so, and when a container has ended, until
    /// there is no receiver.
    pub async fn run(mut self, poke: Arc<Notify>, out: mpsc::Sender<RelistResult>) {
        let runtime = self.context.runtime.clone();
        let mut heard = false;
        loop {
            match self.look().await {
                Ok(looked) => {
                    if out.send(looked).await.is_err() {
                        return;
                    }
                }
                Err(error) => tracing::warn!(%error, "cannot look at the container runtime"),
            }
            let interval = self.context.config.relist_interval;
            let interval = if std::mem::take(&mut heard) { interval.min(SECOND_LOOK) } else { interval };
            tokio::select! {
                () = tokio::time::sleep(interval) => {}
                () = poke.notified() => {}
                () = runtime.container_ended() => {
                    heard = true;
                    tokio::time::sleep(FIRST_LOOK).await;
                }
                () = out.closed() => return,
            }
        }
    }

    /// One look. On an error nothing is remembered, so that the next one reports it all.
    pub async fn look(&mut self) -> Result<RelistResult, RuntimeError> {
        let begun = Instant::now();
        let again = std::mem::take(&mut *self.resync.lock().unwrap_or_else(std::sync::PoisonError::into_inner));
        let result = self.look_at_changes(&again).await;
        if result.is_err() {
            self.resync.lock().unwrap_or_else(std::sync::PoisonError::into_inner).extend(again);
        }
        Ok(RelistResult { begun, changed: result? })
    }

    async fn look_at_changes(
        &mut self,
        again: &BTreeSet<String>,
    ) -> Result<BTreeMap<String, Arc<Observed>>, RuntimeError> {
        let mut now = self.list().await?;
        let mut changed = BTreeMap::new();
        for uid in self.known.keys().filter(|uid| !now.contains_key(*uid)) {
            changed.insert(uid.clone(), Arc::default());
        }
        for (uid, listed) in &mut now {
            let known = self.known.get(uid).cloned();
            let fresh = self.details(std::mem::take(listed), known.as_deref()).await?;
            if known.as_deref() != Some(&fresh) || again.contains(uid) {
                changed.insert(uid.clone(), Arc::new(fresh));
            }
        }
        for uid in again.iter().filter(|uid| !now.contains_key(*uid)) {
            changed.insert(uid.clone(), Arc::default());
        }
        for (uid, observed) in &changed {
            if now.contains_key(uid) {
                self.known.insert(uid.clone(), observed.clone());
            } else {
                self.known.remove(uid);
            }
        }
        Ok(changed)
    }

    /// Everything of this node's, by pod uid, without details.
    async fn list(&self) -> Result<BTreeMap<String, Observed>, RuntimeError> {
        let runtime = &self.context.runtime;
        // Containers first: one that is made in between then has its sandbox in the later list.
        let containers = runtime.list_containers(&self.selector).await?;
        let sandboxes = runtime.list_sandboxes(&self.selector).await?;
        let mut pods: BTreeMap<String, Observed> = BTreeMap::new();
        for sandbox in sandboxes {
            pods.entry(sandbox.uid.clone()).or_default().sandboxes.push(sandbox);
        }
        for container in containers {
            if let Some(uid) = container.labels.get(POD_UID_LABEL).cloned() {
                pods.entry(uid).or_default().containers.push(container);
            }
        }
        Ok(pods)
    }

    /// Fills in what lists leave out; things that stand as they did keep their known details.
    async fn details(&self, listed: Observed, known: Option<&Observed>) -> Result<Observed, RuntimeError> {
        let mut full = Observed::default();
        for sandbox in listed.sandboxes {
            full.sandboxes.extend(self.sandbox(sandbox, known).await?);
        }
        for container in listed.containers {
            full.containers.extend(self.container(container, known).await?);
        }
        full.sandboxes.sort_by(|a, b| a.id.cmp(&b.id));
        full.containers.sort_by(|a, b| a.id.cmp(&b.id));
        Ok(full)
    }

    /// `None`: it went away between list and look.
    async fn sandbox(&self, listed: Sandbox, known: Option<&Observed>) -> Result<Option<Sandbox>, RuntimeError> {
        let same = known.and_then(|known| known.sandboxes.iter().find(|sandbox| sandbox.id == listed.id));
        if let Some(same) = same.filter(|same| same.ready == listed.ready) {
            return Ok(Some(same.clone()));
        }
        absent_is_none(self.context.runtime.sandbox_status(&listed.id).await)
    }

    async fn container(&self, listed: Container, known: Option<&Observed>) -> Result<Option<Container>, RuntimeError> {
        let same = known.and_then(|known| known.containers.iter().find(|container| container.id == listed.id));
        let settled = listed.state != ContainerState::Unknown;
        if let Some(same) = same.filter(|same| same.state == listed.state && settled) {
            return Ok(Some(same.clone()));
        }
        let found = absent_is_none(self.context.look_at(&listed.id).await)?;
        Ok(found.map(|found| Container { sandbox_id: listed.sandbox_id, ..found }))
    }
}

fn absent_is_none<T>(result: Result<T, RuntimeError>) -> Result<Option<T>, RuntimeError> {
    match result {
        Err(error) if error.is_not_found() => Ok(None),
        other => other.map(Some),
    }
}
