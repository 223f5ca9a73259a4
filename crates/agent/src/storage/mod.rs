//! What a pod uses of the node's disk, held against the limits that it has: `sizeLimit` of its
//! empty directories, and `ephemeral-storage` of its containers. A pod that uses more is ended and
//! told why, as Kubernetes does.
//!
//! [`limits`] decides and is pure; [`usage`] measures, in bounded steps and off the async threads.

mod limits;
mod usage;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use tokio::sync::mpsc;

use crate::container::{self, NODE_LABEL};
use crate::cri::Container;
use crate::ports::PodRef;
use crate::volumes;
use crate::worker::{Context, Inspector, PodSnapshot, PodUpdate};

use limits::{Limits, Usage};

/// How often pods are measured. What one writes in between is how far above its limits it gets.
const INTERVAL: Duration = Duration::from_secs(10);

/// Ends pods that use more of the disk than they may.
pub(crate) struct Storage {
    pub context: Arc<Context>,
    pub inspector: Inspector,
    pub updates: mpsc::Sender<PodUpdate>,
}

impl Storage {
    /// Measures again and again, until dropped.
    pub async fn run(self) {
        loop {
            tokio::time::sleep(INTERVAL).await;
            self.pass().await;
        }
    }

    async fn pass(&self) {
        let snapshots = self.inspector.snapshots().into_iter();
        let limited: Vec<(PodSnapshot, Limits)> = snapshots
            .filter(|snapshot| snapshot.pod.metadata.deletion_timestamp.is_none())
            .filter_map(|snapshot| limits::of(&snapshot.pod).map(|limits| (snapshot, limits)))
            .collect();
        if limited.is_empty() {
            return;
        }
        let layers = self.writable_layers().await;
        for (snapshot, limits) in limited {
            let usage = self.measure(&snapshot, &layers).await;
            if let Some(message) = limits::exceeded(&limits, &usage) {
                let uid = PodRef::of(&snapshot.pod).uid;
                let _ = self.updates.send(PodUpdate::Evict { uid, message }).await;
            }
        }
    }

    /// The bytes that each container has written to its own layer, by its id.
    async fn writable_layers(&self) -> BTreeMap<String, u64> {
        let selector = [(NODE_LABEL.to_owned(), self.context.config.node_name.clone())].into();
        let stats = match self.context.runtime.container_stats(&selector).await {
            Ok(stats) => stats,
            Err(error) => {
                tracing::warn!(%error, "cannot ask the runtime what containers have written");
                return BTreeMap::new();
            }
        };
        let layer = |stats: crate::cri::v1::ContainerStats| {
            let bytes = stats.writable_layer?.used_bytes?.value;
            Some((stats.attributes?.id, bytes))
        };
        stats.into_iter().filter_map(layer).collect()
    }

    async fn measure(&self, snapshot: &PodSnapshot, layers: &BTreeMap<String, u64>) -> Usage {
        let (config, pod) = (self.context.config.clone(), snapshot.pod.clone());
        let written = |found: &Container| (found.name.clone(), layers.get(&found.id).copied().unwrap_or(0));
        let containers: Vec<(String, u64)> = snapshot.observed.containers.iter().map(written).collect();
        let measured = tokio::task::spawn_blocking(move || {
            let logs = container::log_directory(&config, &PodRef::of(&pod));
            let mut usage = Usage::default();
            for (name, bytes) in containers {
                *usage.containers.entry(name).or_insert(0) += bytes;
            }
            for name in names(&pod) {
                *usage.containers.entry(name.to_owned()).or_insert(0) += usage::bytes_below(&logs.join(name));
            }
            for (name, path) in volumes::empty_directories(&config.dirs, &pod) {
                usage.volumes.insert(name, usage::bytes_below(&path));
            }
            usage
        });
        measured.await.unwrap_or_default()
    }
}

fn names(pod: &Pod) -> impl Iterator<Item = &str> {
    let spec = pod.spec.iter();
    spec.flat_map(|spec| spec.containers.iter().chain(spec.init_containers.iter().flatten()))
        .map(|container| container.name.as_str())
}
