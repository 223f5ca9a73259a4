//! The pods that are bound to this node, from the API server: one list, then a watch; again from
//! the start when the watch cannot go on, and now and then although it can. While the server is away nothing is reported: what runs
//! goes on running.

use std::sync::Arc;
use std::time::Duration;

use everynode_api::kinds;
use everynode_api::ports::{Api, ApiError, EventStream, Request, Selection, WatchEvent, WatchRequest};
use everynode_runtime::Env;
use k8s_openapi::api::core::v1::Pod;
use serde_json::value::RawValue;
use tokio::sync::mpsc;

use crate::ports::PodRef;
use crate::worker::PodUpdate;

const RETRY_MIN: Duration = Duration::from_millis(200);
const RETRY_MAX: Duration = Duration::from_secs(10);
/// A watch that says nothing for so long is opened again: bookmarks come about once a minute.
const SILENCE_MAX: Duration = Duration::from_secs(150);
/// How often the pods are listed although nothing is amiss, give or take a half: an event that the
/// server lost stalls nothing for longer.
const LIST_EVERY: Duration = Duration::from_secs(600);

/// Reports the pods of one node.
pub(crate) struct PodSource {
    api: Arc<dyn Api>,
    node_name: String,
    updates: mpsc::Sender<PodUpdate>,
}

/// Why reading stopped.
enum Stop {
    /// Nobody listens any more.
    Closed,
    /// List again.
    StartOver,
}

impl PodSource {
    pub fn new(api: Arc<dyn Api>, node_name: &str, updates: mpsc::Sender<PodUpdate>) -> Self {
        PodSource { api, node_name: node_name.to_owned(), updates }
    }

    /// Reports until nobody listens.
    pub async fn run(self) {
        let (mut pause, env) = (RETRY_MIN, Env::real());
        loop {
            match self.list().await {
                Ok(revision) => {
                    pause = RETRY_MIN;
                    // What is cut off here, the next list tells.
                    match tokio::time::timeout(env.jitter(LIST_EVERY), self.watch(revision)).await {
                        Ok(Stop::Closed) => return,
                        Ok(Stop::StartOver) => {}
                        Err(_) => continue,
                    }
                }
                Err(error) => tracing::warn!(%error, "cannot list the pods of this node"),
            }
            tokio::select! {
                () = tokio::time::sleep(pause) => pause = (pause * 2).min(RETRY_MAX),
                () = self.updates.closed() => return,
            }
        }
    }

    fn selection(&self) -> Selection {
        Selection { field_selector: Some(format!("spec.nodeName={}", self.node_name)), ..Selection::default() }
    }

    /// Reports all pods; answers the revision that they were read at.
    async fn list(&self) -> Result<u64, ApiError> {
        let request = Request::List {
            kind: kinds::POD,
            selection: self.selection(),
            limit: 0,
            continue_token: None,
            resource_version: None,
        };
        let json = self.api.call(request).await?;
        let list: RawList = serde_json::from_slice(&json).map_err(|error| ApiError::Garbled(error.to_string()))?;
        let pods = list.items.iter().filter_map(|raw| pod(raw.get().as_bytes())).collect();
        let _ = self.updates.send(PodUpdate::Replace(pods)).await;
        Ok(list.metadata.resource_version.and_then(|text| text.parse().ok()).unwrap_or(0))
    }

    /// Reports changes from `revision` on, through as many watches as it takes.
    async fn watch(&self, mut revision: u64) -> Stop {
        let mut pause = RETRY_MIN;
        loop {
            let request = WatchRequest {
                kind: kinds::POD,
                selection: self.selection(),
                resource_version: Some(revision),
                bookmarks: true,
            };
            match self.api.watch(request).await {
                Ok(mut stream) => {
                    pause = RETRY_MIN;
                    if let Some(stop) = self.read(stream.as_mut(), &mut revision).await {
                        return stop;
                    }
                }
                Err(error) if !knows_revision(&error) => return Stop::StartOver,
                Err(error) => tracing::debug!(%error, "cannot watch the pods of this node"),
            }
            tokio::select! {
                () = tokio::time::sleep(pause) => pause = (pause * 2).min(RETRY_MAX),
                () = self.updates.closed() => return Stop::Closed,
            }
        }
    }

    /// Reads one watch to its end. `None`: go on from `revision`.
    async fn read(&self, stream: &mut dyn EventStream, revision: &mut u64) -> Option<Stop> {
        loop {
            let heard = tokio::select! {
                heard = tokio::time::timeout(SILENCE_MAX, stream.next()) => heard,
                () = self.updates.closed() => return Some(Stop::Closed),
            };
            match heard {
                Ok(Some(Ok(event))) => {
                    if self.report(event, revision).await.is_err() {
                        return Some(Stop::Closed);
                    }
                }
                Ok(Some(Err(error))) => {
                    tracing::debug!(%error, "the watch of this node's pods ended");
                    return (!knows_revision(&error)).then_some(Stop::StartOver);
                }
                Ok(None) | Err(_) => return None,
            }
        }
    }

    async fn report(&self, event: WatchEvent, revision: &mut u64) -> Result<(), mpsc::error::SendError<PodUpdate>> {
        let (json, gone) = match event {
            WatchEvent::Added(json) | WatchEvent::Modified(json) => (json, false),
            WatchEvent::Deleted(json) => (json, true),
            WatchEvent::Bookmark { resource_version } => {
                *revision = resource_version;
                return Ok(());
            }
        };
        let Some(pod) = pod(&json) else { return Ok(()) };
        let seen_at = pod.metadata.resource_version.as_deref().and_then(|text| text.parse().ok());
        *revision = seen_at.unwrap_or(*revision);
        let update = if gone { PodUpdate::Gone { uid: PodRef::of(&pod).uid } } else { PodUpdate::Set(pod) };
        self.updates.send(update).await
    }
}

/// Whether a watch may be opened again from where it was. Not from a revision that the server has forgotten, nor from
/// one that it does not have yet: it was put back to an older state, and would be waited for without end (DS-I33).
fn knows_revision(error: &ApiError) -> bool {
    let ahead = error.status().is_some_and(|status| status.has_cause("ResourceVersionTooLarge"));
    !error.is_expired() && !ahead
}

/// One bad object harms only itself.
fn pod(json: &[u8]) -> Option<Arc<Pod>> {
    match serde_json::from_slice::<Pod>(json) {
        Ok(pod) if pod.metadata.uid.is_some() => Some(Arc::new(pod)),
        Ok(_) => None,
        Err(error) => {
            tracing::error!(%error, "the API server sent a pod that cannot be understood");
            None
        }
    }
}

#[derive(serde::Deserialize)]
struct RawList {
    #[serde(default)]
    metadata: RawMeta,
    #[serde(default, deserialize_with = "everynode_api::meta::null_default")]
    items: Vec<Box<RawValue>>,
}

#[derive(Default, serde::Deserialize)]
struct RawMeta {
    #[serde(rename = "resourceVersion")]
    resource_version: Option<String>,
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use bytes::Bytes;
    use everynode_api::ports::BoxFuture;

    use super::*;

    /// A server whose lists are numbered and whose watches never say anything.
    #[derive(Default)]
    struct Silent(AtomicU64);

    struct Nothing;

    impl EventStream for Nothing {
        fn next(&mut self) -> BoxFuture<'_, Option<Result<WatchEvent, ApiError>>> {
            Box::pin(std::future::pending())
        }
    }

    impl Api for Silent {
        fn call(&self, _: Request) -> BoxFuture<'_, Result<Bytes, ApiError>> {
            let number = self.0.fetch_add(1, Ordering::Relaxed);
            let pod = format!(r#"{{"metadata":{{"name":"p{number}","uid":"u{number}"}}}}"#);
            let list = format!(r#"{{"metadata":{{"resourceVersion":"{number}"}},"items":[{pod}]}}"#);
            Box::pin(async move { Ok(list.into()) })
        }

        fn watch(&self, _: WatchRequest) -> BoxFuture<'_, Result<Box<dyn EventStream>, ApiError>> {
            Box::pin(async { Ok(Box::new(Nothing) as Box<dyn EventStream>) })
        }
    }

    /// A server that was put back to an older state: it does not know the revisions that its watchers come with.
    struct PutBack(Silent);

    impl Api for PutBack {
        fn call(&self, request: Request) -> BoxFuture<'_, Result<Bytes, ApiError>> {
            self.0.call(request)
        }

        fn watch(&self, _: WatchRequest) -> BoxFuture<'_, Result<Box<dyn EventStream>, ApiError>> {
            let message = "Too large resource version: 300, current: 140";
            let status = everynode_api::status::Status::failure(504, "Timeout", message);
            let error = status.with_cause("ResourceVersionTooLarge", "Too large resource version", "");
            Box::pin(async { Err(error.into()) })
        }
    }

    #[tokio::test(start_paused = true)]
    async fn pods_are_listed_again_by_a_server_that_was_put_back() {
        let (updates, mut heard) = mpsc::channel(4);
        let source = tokio::spawn(PodSource::new(Arc::new(PutBack(Silent::default())), "n1", updates).run());
        for _ in 0..3 {
            let update = tokio::time::timeout(Duration::from_secs(5), heard.recv()).await.expect("at once").unwrap();
            assert!(matches!(update, PodUpdate::Replace(_)));
        }
        source.abort();
    }

    #[tokio::test(start_paused = true)]
    async fn pods_are_listed_again_although_the_watch_continues() {
        let (updates, mut heard) = mpsc::channel(4);
        let source = tokio::spawn(PodSource::new(Arc::new(Silent::default()), "n1", updates).run());
        let mut names = Vec::new();
        while names.len() < 3 {
            let update = tokio::time::timeout(LIST_EVERY * 2, heard.recv()).await.unwrap().unwrap();
            let PodUpdate::Replace(pods) = update else { panic!("nothing but lists tells of pods") };
            names.extend(pods.iter().filter_map(|pod| pod.metadata.name.clone()));
        }
        assert_eq!(names, ["p0", "p1", "p2"]);
        source.abort();
    }
}
