//! The pods that are bound to this node, as the API server tells of them. While the server is away
//! nothing is reported: what runs goes on running.

use std::sync::Arc;

use bytes::Bytes;
use everynode_api::kinds;
use everynode_api::ports::{Api, Selection};
use everynode_runtime::Env;
use everynode_runtime::follow::{Decode, Follower, Heard, LIST_EVERY, Observed, Source, revision_of};
use k8s_openapi::api::core::v1::Pod;
use tokio::sync::mpsc;

use crate::ports::PodRef;
use crate::worker::PodUpdate;

/// Reports the pods of one node.
pub(crate) struct PodSource {
    api: Arc<dyn Api>,
    node_name: String,
    updates: mpsc::Sender<PodUpdate>,
}

impl PodSource {
    pub fn new(api: Arc<dyn Api>, node_name: &str, updates: mpsc::Sender<PodUpdate>) -> Self {
        PodSource { api, node_name: node_name.to_owned(), updates }
    }

    /// Reports until the receiver is gone.
    pub async fn run(self) {
        let PodSource { api, node_name, updates } = self;
        let selection = Selection::of_node(&node_name);
        let source =
            Source { api, env: Env::real(), kind: kinds::POD, selection, list_every: Some(LIST_EVERY), batch_max: 1 };
        let mut follower = Follower::new(source, Reader);
        loop {
            let heard = tokio::select! {
                biased;
                () = updates.closed() => return,
                heard = follower.next() => heard,
            };
            let new = match heard {
                Heard::Listed(listed) => vec![PodUpdate::Replace(listed.objects)],
                Heard::Changed(changes) => changes,
                Heard::Failed(failure) => {
                    failure.log("the pods of this node");
                    continue;
                }
                Heard::Begins | Heard::Opened | Heard::Ended => continue,
            };
            for update in new {
                if updates.send(update).await.is_err() {
                    return;
                }
            }
        }
    }
}

/// Reads pods; one bad object harms only itself.
struct Reader;

impl Decode for Reader {
    type Object = Arc<Pod>;
    type Change = PodUpdate;

    fn object(&self, json: Bytes) -> Option<Arc<Pod>> {
        pod(&json)
    }

    fn change(&self, json: Bytes, is_gone: bool) -> Observed<PodUpdate> {
        let Some(pod) = pod(&json) else {
            return Observed { revision: revision_of(&json).unwrap_or(0), change: None };
        };
        let revision = pod.metadata.resource_version.as_deref().and_then(|text| text.parse().ok()).unwrap_or(0);
        let change = if is_gone { PodUpdate::Gone { uid: PodRef::of(&pod).uid } } else { PodUpdate::Set(pod) };
        Observed { revision, change: Some(change) }
    }
}

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

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::time::Duration;

    use everynode_api::ports::{ApiError, BoxFuture, EventStream, Request, WatchEvent, WatchRequest};

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

    /// A server that was put back to an older state: it does not know the revisions that its
    /// watchers come with.
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
