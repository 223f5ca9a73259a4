//! Watches: a place in the history, and what may be told from there.

use std::collections::VecDeque;

use everynode_api::kinds::Kind;
use everynode_api::ports::{ApiError, BoxFuture, EventStream, WatchEvent, WatchRequest};
use everynode_api::status::Status;
use serde_json::Value;
use tokio::sync::watch as channel;

use super::MemoryApi;
use super::select::Filter;
use super::state::{Record, ServerState};

pub(super) struct MemoryEvents {
    api: MemoryApi,
    kind: Kind,
    filter: Filter,
    bookmarks: bool,
    /// Everything up to this revision was told.
    position: u64,
    /// The last bookmark that was sent.
    bookmarked: u64,
    generation: u64,
    /// Synthetic events of a watch without a revision.
    initial: VecDeque<WatchEvent>,
    changed: channel::Receiver<()>,
}

type Next = Option<Result<WatchEvent, ApiError>>;

impl MemoryEvents {
    pub fn open(api: MemoryApi, request: WatchRequest) -> Result<Self, ApiError> {
        let filter = Filter::new(&request.selection)?;
        let changed = api.inner.changed.subscribe();
        let (position, generation, initial) = {
            let state = api.state();
            let all = || state.all(&request.kind).filter(|object| filter.matches(object));
            match request.resource_version {
                Some(revision) if revision < state.compacted => return Err(expired()),
                Some(revision) => (revision, state.generation, VecDeque::new()),
                None => {
                    (state.revision, state.generation, all().map(|object| WatchEvent::Added(bytes(object))).collect())
                }
            }
        };
        let (kind, bookmarks) = (request.kind, request.bookmarks);
        Ok(MemoryEvents { api, kind, filter, bookmarks, position, bookmarked: position, generation, initial, changed })
    }

    async fn next_event(&mut self) -> Next {
        loop {
            self.changed.borrow_and_update();
            if let Some(next) = self.look() {
                return next;
            }
            // The sender lives in `api`.
            self.changed.changed().await.ok()?;
        }
    }

    /// The next event, if there is one by now.
    fn look(&mut self) -> Option<Next> {
        let api = self.api.clone();
        let state = api.state();
        if self.generation < state.generation {
            return Some(None);
        }
        if state.held.contains(&self.kind) {
            return None;
        }
        if self.position < state.compacted {
            self.generation = 0;
            return Some(Some(Err(expired())));
        }
        if let Some(event) = self.initial.pop_front() {
            return Some(Some(Ok(event)));
        }
        self.next_in_history(&state).map(|event| Some(Ok(event)))
    }

    fn next_in_history(&mut self, state: &ServerState) -> Option<WatchEvent> {
        let start = state.history.partition_point(|record| record.revision <= self.position);
        for record in &state.history[start..] {
            self.position = record.revision;
            if record.kind == self.kind
                && let Some(event) = self.tell(record)
            {
                return Some(event);
            }
        }
        let due = self.bookmarks && self.bookmarked < state.bookmark;
        due.then(|| {
            self.bookmarked = state.bookmark;
            WatchEvent::Bookmark { resource_version: state.bookmark }
        })
    }

    /// Objects enter and leave the selection as additions and deletions (DS-I33).
    fn tell(&self, record: &Record) -> Option<WatchEvent> {
        let was = record.old.as_ref().is_some_and(|old| self.filter.matches(old));
        let is = !record.is_deletion && self.filter.matches(&record.new);
        match (was, is) {
            (false, false) => None,
            (false, true) => Some(WatchEvent::Added(bytes(&record.new))),
            (true, true) => Some(WatchEvent::Modified(bytes(&record.new))),
            (true, false) => {
                let mut last = record.old.as_deref().cloned().unwrap_or_default();
                last["metadata"]["resourceVersion"] = record.revision.to_string().into();
                Some(WatchEvent::Deleted(bytes(&last)))
            }
        }
    }
}

impl EventStream for MemoryEvents {
    fn next(&mut self) -> BoxFuture<'_, Next> {
        Box::pin(self.next_event())
    }
}

fn bytes(object: &Value) -> bytes::Bytes {
    object.to_string().into()
}

fn expired() -> ApiError {
    Status::expired("too old resource version").into()
}
