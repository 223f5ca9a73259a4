//! Following pods: list, watch from there, resume after breaks, list again when history is gone.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use everynode_api::kinds;
use everynode_api::ports::{Api, ApiError, EventStream, Request, Selection, WatchEvent, WatchRequest};
use everynode_runtime::{Env, ListPage};
use serde::Deserialize;
use tokio::sync::mpsc;

use crate::fleet::{Heard, retry_after};
use crate::work::NodeId;

/// Pods per page of a list, as client-go asks for.
const PAGE_LIMIT: u32 = 500;
/// First and longest pause between attempts.
const PAUSE_FIRST: Duration = Duration::from_millis(200);
const PAUSE_MAX: Duration = Duration::from_secs(20);
/// A watch that says nothing for so long is opened again: bookmarks come about once a minute.
const SILENCE_MAX: Duration = Duration::from_secs(150);

/// One watch.
pub(crate) struct Watcher {
    pub api: Arc<dyn Api>,
    pub env: Env,
    /// The node whose pods are followed; `None`: all pods.
    pub node: Option<(NodeId, Arc<str>)>,
    pub heard: mpsc::Sender<Heard>,
}

#[derive(Deserialize)]
struct Revision<'a> {
    #[serde(borrow)]
    metadata: RevisionMeta<'a>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RevisionMeta<'a> {
    #[serde(borrow)]
    resource_version: std::borrow::Cow<'a, str>,
}

/// The receiver is gone: the run is over.
struct Over;

impl Watcher {
    fn scope(&self) -> Option<NodeId> {
        self.node.as_ref().map(|(id, _)| *id)
    }

    /// Follows until the receiver is gone.
    pub(crate) async fn run(self) {
        let mut revision = None;
        let mut failures = 0;
        loop {
            let known = match revision {
                Some(known) => known,
                None => match self.list().await {
                    Ok((known, pods)) => {
                        if self.tell(Heard::Listed { scope: self.scope(), pods }).await.is_err() {
                            return;
                        }
                        *revision.insert(known)
                    }
                    Err(error) => {
                        if self.broke(&mut failures, Some(error)).await.is_err() {
                            return;
                        }
                        continue;
                    }
                },
            };
            let Ok((reached, ended)) = self.follow(known).await else { return };
            failures = if reached > known { 0 } else { failures };
            let is_lost = ended.as_ref().is_some_and(|error| !may_resume(error));
            revision = Some(reached).filter(|_| !is_lost);
            // A watch that ended in an orderly way is no trouble.
            let in_order = ended.is_none() && reached > known;
            let told = match in_order {
                true => self.tell(Heard::Ended { scope: self.scope() }).await,
                false => self.broke(&mut failures, ended).await,
            };
            if told.is_err() {
                return;
            }
        }
    }

    async fn tell(&self, heard: Heard) -> Result<(), Over> {
        self.heard.send(heard).await.map_err(|_| Over)
    }

    async fn broke(&self, failures: &mut u32, error: Option<ApiError>) -> Result<(), Over> {
        let asked = error.as_ref().map_or(Duration::ZERO, retry_after);
        self.tell(Heard::Broke { scope: self.scope(), error }).await?;
        let pause = PAUSE_FIRST.saturating_mul(1_u32.checked_shl(*failures).unwrap_or(u32::MAX)).min(PAUSE_MAX);
        *failures = failures.saturating_add(1);
        self.env.sleep(self.env.jitter(pause).max(asked)).await;
        Ok(())
    }

    fn selection(&self) -> Selection {
        let field_selector = self.node.as_ref().map(|(_, name)| format!("spec.nodeName={name}"));
        Selection { field_selector, ..Selection::default() }
    }

    async fn list(&self) -> Result<(u64, Vec<Bytes>), ApiError> {
        let (mut pods, mut token) = (Vec::new(), None);
        loop {
            let request = Request::List {
                kind: kinds::POD,
                selection: self.selection(),
                limit: PAGE_LIMIT,
                continue_token: token,
                resource_version: None,
            };
            let body = self.api.call(request).await?;
            let page = ListPage::parse(&body).map_err(|error| ApiError::Garbled(format!("a list of pods: {error}")))?;
            pods.extend(page.items.iter().map(|item| body.slice_ref(item.get().as_bytes())));
            if page.continue_token.is_none() {
                return Ok((page.revision, pods));
            }
            token = page.continue_token;
        }
    }

    /// Reads one watch to its end. Answers the revision that was reached.
    async fn follow(&self, from: u64) -> Result<(u64, Option<ApiError>), Over> {
        let request = WatchRequest {
            kind: kinds::POD,
            selection: self.selection(),
            resource_version: Some(from),
            bookmarks: true,
        };
        let mut stream = match self.api.watch(request).await {
            Ok(stream) => stream,
            Err(error) => return Ok((from, Some(error))),
        };
        self.tell(Heard::Opened { scope: self.scope() }).await?;
        let mut reached = from;
        loop {
            let event = match self.next(stream.as_mut()).await {
                Some(Ok(event)) => event,
                Some(Err(error)) => return Ok((reached, Some(error))),
                None => return Ok((reached, None)),
            };
            let (revision, heard) = match event {
                WatchEvent::Bookmark { resource_version } => (Some(resource_version), None),
                WatchEvent::Added(json) | WatchEvent::Modified(json) => (revision_of(&json), Some(Heard::Set(json))),
                WatchEvent::Deleted(json) => (revision_of(&json), Some(Heard::Gone(json))),
            };
            reached = reached.max(revision.unwrap_or(reached));
            if let Some(heard) = heard {
                self.tell(heard).await?;
            }
        }
    }

    async fn next(&self, stream: &mut dyn EventStream) -> Option<Result<WatchEvent, ApiError>> {
        tokio::select! {
            biased;
            event = stream.next() => event,
            () = self.env.sleep(SILENCE_MAX) => None,
        }
    }
}

/// Whether the watch may go on from its last revision.
fn may_resume(error: &ApiError) -> bool {
    match error {
        ApiError::Unreachable(_) | ApiError::UnknownOutcome(_) => true,
        ApiError::Garbled(_) => false,
        ApiError::Status(status) => !error.is_expired() && !status.has_cause("ResourceVersionTooLarge"),
    }
}

fn revision_of(json: &[u8]) -> Option<u64> {
    let object: Revision<'_> = serde_json::from_slice(json).ok()?;
    object.metadata.resource_version.parse().ok()
}
