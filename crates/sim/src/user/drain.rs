//! Errands: what takes a user longer than one request.

use std::time::Duration;

use everynode_api::kinds::{DAEMON_SET, NAMESPACE, POD};
use everynode_api::ports::{ApiError, Request, Selection, Target};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::{SPACE, User, object};

/// As kubectl does after a refusal (DS-G19).
const AGAIN_AFTER: Duration = Duration::from_secs(5);
const LOOK_AFTER: Duration = Duration::from_secs(1);

impl User {
    /// `kubectl drain --ignore-daemonsets --force`, at most for so long, then uncordon (DS-G16 to
    /// DS-G21).
    pub(crate) async fn drain(&self, node: usize, for_ms: u64) {
        let until = Instant::now() + Duration::from_millis(for_ms);
        match tokio::time::timeout_at(until, self.empty(node)).await {
            Ok(Ok(true)) => self.ledger.count("node drained"),
            Ok(Ok(false)) => self.ledger.count("node drained that was empty"),
            Ok(Err(error)) => self.ledger.tell(format!("drain refused: {error}")),
            Err(_) => self.ledger.count("drain given up"),
        }
        tokio::time::sleep_until(until).await;
        // The node may be gone.
        let _ = self.cordon(node, false).await;
    }

    /// Cordons, lists, evicts and waits; whether there was a pod to evict.
    async fn empty(&self, node: usize) -> Result<bool, ApiError> {
        self.cordon(node, true).await?;
        let pods = self.select(POD, Selection::of_node(&self.node(node).name)).await?;
        let mut evicts = false;
        for pod in &pods {
            if !self.is_ignored(pod).await? {
                evicts = true;
                self.evict_for_good(pod).await?;
            }
        }
        Ok(evicts)
    }

    /// Running pods of DaemonSets that exist (DS-G17, DS-G18).
    async fn is_ignored(&self, pod: &Value) -> Result<bool, ApiError> {
        let mut owners = pod["metadata"]["ownerReferences"].as_array().into_iter().flatten();
        let Some(owner) = owners.find(|owner| owner["controller"] == true && owner["kind"] == "DaemonSet") else {
            return Ok(false);
        };
        let set = Target::new(DAEMON_SET, SPACE, owner["name"].as_str().unwrap_or_default());
        match self.call(Request::Get(set)).await {
            Ok(_) => Ok(!matches!(pod["status"]["phase"].as_str(), Some("Failed" | "Succeeded"))),
            Err(error) if error.is_not_found() => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Again and again until the pod is gone.
    async fn evict_for_good(&self, pod: &Value) -> Result<(), ApiError> {
        let target = object(POD, pod);
        while let Err(error) = self.evict(&target.name).await {
            if error.is_not_found() {
                return Ok(());
            }
            tokio::time::sleep(AGAIN_AFTER).await;
        }
        loop {
            match self.call(Request::Get(target.clone())).await {
                Ok(found) if found["metadata"]["uid"] == pod["metadata"]["uid"] => {}
                Ok(_) => return Ok(()),
                Err(error) if error.is_not_found() => return Ok(()),
                Err(error) => return Err(error),
            }
            tokio::time::sleep(LOOK_AFTER).await;
        }
    }

    pub(super) async fn evict(&self, pod: &str) -> Result<(), ApiError> {
        let body =
            json!({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": pod, "namespace": SPACE}});
        let target = Target::new(POD, SPACE, pod).subresource("eviction");
        let answer = self.call(Request::Create { target, body }).await;
        match &answer {
            Ok(_) => self.ledger.count("eviction granted"),
            Err(error) if error.status().is_some_and(|status| status.code == 429) => {
                self.ledger.count("eviction refused by a budget");
            }
            Err(_) => {}
        }
        answer.map(drop)
    }

    /// Deletes the namespace with everything in it, and makes it again as soon as it is gone.
    pub(crate) async fn delete_namespace(&self, again: bool) {
        let target = Target::new(NAMESPACE, "", SPACE);
        if let Err(error) = self.delete(target.clone(), None, None).await {
            return self.ledger.tell(format!("refused: {error}"));
        }
        while self.call(Request::Get(target.clone())).await.is_ok() {
            tokio::time::sleep(LOOK_AFTER).await;
        }
        self.ledger.count("namespace gone");
        if again {
            match self.set_up().await {
                Ok(()) => self.ledger.count("namespace made again"),
                Err(error) => self.ledger.tell(format!("the namespace is not made again: {error}")),
            }
        }
    }
}
