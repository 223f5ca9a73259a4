//! What the benchmark asks of the control plane, and how it knows that something is done.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use bytes::Bytes;
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
/// How often a server that starts is asked.
const READY_POLL: Duration = Duration::from_millis(2);

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
        let api = HttpApi::from_kubeconfig(path.map(Path::to_owned).as_slice(), None, Env::real()).await?;
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
        Ok(Watch { stream: self.stream(kind, selection).await? })
    }

    /// Events of all objects that are selected, from the first to the last.
    pub(crate) async fn stream(&self, kind: Kind, selection: Selection) -> anyhow::Result<Box<dyn EventStream>> {
        let request = WatchRequest { kind, selection, resource_version: None, bookmarks: false };
        Ok(self.api.watch(request).await?)
    }

    pub(crate) async fn call(&self, request: Request) -> Result<Bytes, ApiError> {
        self.api.call(request).await
    }

    async fn raw(&self, path: &str) -> Result<Bytes, ApiError> {
        self.api.call(Request::Raw { path: path.into() }).await
    }

    /// The server's metrics, in Prometheus' text form.
    pub(crate) async fn metrics(&self) -> anyhow::Result<String> {
        Ok(String::from_utf8(self.raw("/metrics").await?.to_vec())?)
    }

    /// Watches that the server serves now, by its own count.
    pub(crate) async fn watchers(&self) -> anyhow::Result<usize> {
        let metrics = self.metrics().await?;
        let gauges = metrics.lines().filter(|line| line.starts_with("apiserver_longrunning_requests"));
        let values = gauges.filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok());
        Ok(values.sum::<f64>() as usize)
    }

    /// How many nodes are registered.
    pub(crate) async fn nodes(&self) -> anyhow::Result<usize> {
        let (selection, resource_version) = (Selection::default(), None);
        let request = Request::List { kind: kinds::NODE, selection, limit: 1, continue_token: None, resource_version };
        let list: Value = serde_json::from_slice(&self.api.call(request).await?)?;
        let first = list["items"].as_array().map_or(0, Vec::len);
        Ok(first + list["metadata"]["remainingItemCount"].as_u64().unwrap_or(0) as usize)
    }

    /// Waits until the server says that it is ready.
    pub(crate) async fn until_ready_endpoint(&self) -> anyhow::Result<()> {
        let deadline = Instant::now() + self.patience;
        while let Err(error) = self.raw("/readyz").await {
            if Instant::now() > deadline {
                return Err(error).context("the server is not ready");
            }
            tokio::time::sleep(READY_POLL).await;
        }
        Ok(())
    }

    /// Waits until a list of the DaemonSets is answered; says how many there are.
    pub(crate) async fn until_serving(&self) -> anyhow::Result<usize> {
        let deadline = Instant::now() + self.patience;
        loop {
            let selection = Selection { namespace: Some(NAMESPACE.into()), ..Selection::default() };
            let (kind, resource_version) = (kinds::DAEMON_SET, None);
            let request = Request::List { kind, selection, limit: 0, continue_token: None, resource_version };
            match self.api.call(request).await {
                Ok(list) => {
                    let list: Value = serde_json::from_slice(&list)?;
                    return Ok(list["items"].as_array().map_or(0, Vec::len));
                }
                Err(error) if Instant::now() > deadline => return Err(error).context("the server does not serve"),
                Err(_) => tokio::time::sleep(READY_POLL).await,
            }
        }
    }

    pub(crate) async fn watch_set(&self, name: &str) -> anyhow::Result<Watch> {
        self.watch(kinds::DAEMON_SET, format!("metadata.name={name}")).await
    }

    /// Waits until the set's status shows that this generation is ready on so many nodes.
    pub(crate) async fn until_ready(&self, name: &str, generation: i64, nodes: usize) -> anyhow::Result<()> {
        match self.wait_until_ready(name, generation, nodes).await {
            Ok(()) => Ok(()),
            Err(error) => Err(error.context(self.describe(name).await)),
        }
    }

    async fn wait_until_ready(&self, name: &str, generation: i64, nodes: usize) -> anyhow::Result<()> {
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
