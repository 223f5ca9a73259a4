//! What the benchmark asks of the control plane, and how it knows that something is done.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use everynode_api::kinds::{self, Kind};
use everynode_api::ports::{
    Api, ApiError, EventStream, PatchType, Preconditions, Propagation, Request, Selection, Target, WatchEvent,
    WatchRequest,
};
use everynode_runtime::{Env, HttpApi};
use serde_json::{Value, json};

pub(crate) const NAMESPACE: &str = "default";
/// How often it is asked whether pods are left.
const POLL: Duration = Duration::from_millis(20);

pub(crate) struct Cluster {
    api: Arc<dyn Api>,
    patience: Duration,
}

/// A stream of objects.
pub(crate) struct Watch {
    stream: Box<dyn EventStream>,
}

impl Cluster {
    pub(crate) async fn connect(path: Option<&Path>, patience_seconds: u64) -> anyhow::Result<Cluster> {
        let api = HttpApi::from_kubeconfig(path, None, Env::real()).await?;
        Ok(Cluster { api: Arc::new(api), patience: Duration::from_secs(patience_seconds) })
    }

    /// Creates a DaemonSet with one small container.
    pub(crate) async fn create_set(&self, name: &str) -> anyhow::Result<()> {
        let labels = json!({ "app": name });
        let body = json!({
            "apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": { "name": name, "namespace": NAMESPACE },
            "spec": {
                "selector": { "matchLabels": labels },
                "updateStrategy": { "type": "RollingUpdate", "rollingUpdate": { "maxUnavailable": "10%" } },
                "template": {
                    "metadata": { "labels": labels },
                    "spec": { "containers": [{
                        "name": "main", "image": "registry.k8s.io/pause:3.10",
                        "resources": { "requests": { "cpu": "10m", "memory": "16Mi" } },
                    }] },
                },
            },
        });
        let target = Target::new(kinds::DAEMON_SET, NAMESPACE, name);
        self.api.call(Request::Create { target, body }).await?;
        Ok(())
    }

    /// A new template, rolled out with this `maxUnavailable`.
    pub(crate) async fn update_set(&self, name: &str, version: &str, unavailable: &str) -> anyhow::Result<i64> {
        let body = json!({ "spec": {
            "updateStrategy": { "rollingUpdate": { "maxUnavailable": unavailable } },
            "template": { "metadata": { "annotations": { "version": version } } },
        } });
        let target = Target::new(kinds::DAEMON_SET, NAMESPACE, name);
        let preconditions = Preconditions::default();
        let json = self.api.call(Request::Patch { target, patch: PatchType::Merge, body, preconditions }).await?;
        let set: Value = serde_json::from_slice(&json)?;
        set["metadata"]["generation"].as_i64().context("a DaemonSet without a generation")
    }

    pub(crate) async fn delete_set(&self, name: &str) -> anyhow::Result<()> {
        let request = Request::Delete {
            target: Target::new(kinds::DAEMON_SET, NAMESPACE, name),
            preconditions: Preconditions::default(),
            grace_period_seconds: None,
            propagation: Some(Propagation::Background),
        };
        self.api.call(request).await?;
        Ok(())
    }

    pub(crate) async fn watch(&self, kind: Kind, field_selector: String) -> anyhow::Result<Watch> {
        let selection = Selection { field_selector: Some(field_selector), ..Selection::default() };
        let request = WatchRequest { kind, selection, resource_version: None, bookmarks: false };
        Ok(Watch { stream: self.api.watch(request).await? })
    }

    pub(crate) async fn watch_set(&self, name: &str) -> anyhow::Result<Watch> {
        self.watch(kinds::DAEMON_SET, format!("metadata.name={name}")).await
    }

    /// Waits until the set's status shows that this generation is ready on so many nodes.
    pub(crate) async fn until_ready(&self, name: &str, generation: i64, nodes: usize) -> anyhow::Result<()> {
        let deadline = Instant::now() + self.patience;
        loop {
            let mut watch = self.watch_set(name).await?;
            while let Some(set) = watch.next(deadline).await? {
                if is_ready(&set, generation, nodes) {
                    return Ok(());
                }
            }
        }
    }

    /// Waits until no pod with this label is left.
    pub(crate) async fn until_no_pods(&self, app: &str) -> anyhow::Result<()> {
        let deadline = Instant::now() + self.patience;
        let selection = Selection {
            namespace: Some(NAMESPACE.into()),
            label_selector: Some(format!("app={app}")),
            field_selector: None,
        };
        loop {
            let (kind, selection) = (kinds::POD, selection.clone());
            let request = Request::List { kind, selection, limit: 1, continue_token: None, resource_version: None };
            let list: Value = serde_json::from_slice(&self.api.call(request).await?)?;
            if list["items"].as_array().is_none_or(Vec::is_empty) {
                return Ok(());
            }
            if Instant::now() > deadline {
                bail!("pods of {app} are still there");
            }
            tokio::time::sleep(POLL).await;
        }
    }
}

impl Watch {
    /// The next object, deletions left out; `None`: the watch ended.
    pub(crate) async fn next(&mut self, deadline: Instant) -> anyhow::Result<Option<Value>> {
        loop {
            let next =
                tokio::time::timeout_at(deadline.into(), self.stream.next()).await.context("not done in time")?;
            match next {
                None => return Ok(None),
                Some(Ok(WatchEvent::Added(json) | WatchEvent::Modified(json))) => {
                    return Ok(Some(serde_json::from_slice(&json)?));
                }
                Some(Ok(_)) => {}
                Some(Err(ApiError::UnknownOutcome(_) | ApiError::Unreachable(_))) => return Ok(None),
                Some(Err(error)) => return Err(error.into()),
            }
        }
    }
}

fn is_ready(set: &Value, generation: i64, nodes: usize) -> bool {
    let status = &set["status"];
    let counts = ["desiredNumberScheduled", "updatedNumberScheduled", "numberReady", "numberAvailable"];
    let observed = status["observedGeneration"].as_i64().unwrap_or(0);
    observed >= generation && counts.iter().all(|count| status[count].as_u64() == Some(nodes as u64))
}
