//! One informer per kind: keeps the cache's view of that kind what the server has.
//!
//! [`machine`] decides (pure), [`decode`] reads bytes (pure), this file does the I/O.

mod decode;
mod list;
mod machine;

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use everynode_api::kinds::Kind;
use everynode_api::ports::{Api, ApiError, EventStream, Request, Selection, WatchEvent, WatchRequest};
use jiff::Timestamp;

pub(crate) use self::decode::MetaOnly;
pub use self::list::ListPage;
use self::machine::{Machine, Step};
use crate::cache::{Cache, Delta, Lists};
use crate::clock::{Env, later};
use crate::metrics::{Counters, count};
use crate::shutdown::Shutdown;

/// Objects per page of a list, as client-go asks for: about 2 MB of pods.
const PAGE_LIMIT: u32 = 500;
/// Events per batch: what is applied under one lock, well under a millisecond of work.
const BATCH_MAX: usize = 256;
/// A watch that says nothing for so long is opened again: bookmarks come about once a minute
/// (DS-I34), so two were missed.
const SILENCE_MAX: Duration = Duration::from_secs(150);

/// What an informer needs.
#[derive(Clone)]
pub(crate) struct Informer {
    pub api: Arc<dyn Api>,
    pub env: Env,
    pub cache: Arc<Cache>,
    pub counters: Arc<Counters>,
    pub kind: Kind,
    pub selection: Selection,
    /// Lists again about so often, in case the server lost an event; `None`: never.
    pub list_every: Option<Duration>,
}

/// What a read from the watch brought.
enum WatchRead {
    Batch(Vec<Delta>, Option<ApiError>, bool),
    Silence,
}

impl Informer {
    /// Runs until shutdown.
    pub async fn run(self, shutdown: Shutdown) {
        let lists = self.cache.register(&self.kind);
        let mut running = Running { machine: Machine::new(), stream: None, number: 0, list_at: Timestamp::MAX };
        loop {
            let (known, list_at) = (!running.machine.is_listing(), running.list_at);
            tokio::select! {
                biased;
                () = shutdown.wait() => return,
                () = lists.asked(), if known => running.machine.start_over(),
                () = self.env.sleep_until(list_at), if known => running.machine.start_over(),
                () = self.advance(&mut running, &lists) => {}
            }
        }
    }

    /// One step, after the pause that the last one asked for. Dropping it midway is harmless: the
    /// machine still stands before the step.
    async fn advance(&self, running: &mut Running, lists: &Lists) {
        if let Some(until) = running.machine.take_pause().map(|pause| later(self.env.now(), self.env.jitter(pause))) {
            self.env.sleep_until(until).await;
        }
        match running.machine.step() {
            Step::List { continue_token, paged } => self.list(running, lists, continue_token, paged).await,
            Step::Watch { revision } => self.open(running, revision).await,
            Step::Read => self.read(running).await,
        }
    }

    async fn list(&self, running: &mut Running, lists: &Lists, continue_token: Option<String>, paged: bool) {
        running.stream = None;
        if continue_token.is_none() {
            running.number = lists.begin();
        }
        let request = Request::List {
            kind: self.kind.clone(),
            selection: self.selection.clone(),
            limit: if paged { PAGE_LIMIT } else { 0 },
            continue_token,
            resource_version: None,
        };
        let body = self.api.call(request).await;
        let page =
            body.and_then(|body| decode::page(&self.kind, &body, self.env.now(), &self.counters.decode_errors_total));
        if let Err(error) = &page {
            tracing::warn!(kind = %self.kind.kind, %error, "cannot list; trying again");
        }
        if let Some(listed) = running.machine.on_page(page) {
            count(&self.counters.lists_total);
            tracing::debug!(kind = %self.kind.kind, revision = listed.revision, objects = listed.items.len(), "listed");
            self.cache.replace(&self.kind, listed.items, listed.revision, running.number);
            running.list_at =
                self.list_every.map_or(Timestamp::MAX, |every| later(self.env.now(), self.env.jitter(every)));
        }
    }

    async fn open(&self, running: &mut Running, revision: u64) {
        let request = WatchRequest {
            kind: self.kind.clone(),
            selection: self.selection.clone(),
            resource_version: Some(revision),
            bookmarks: true,
        };
        count(&self.counters.watches_total);
        match self.api.watch(request).await {
            Ok(stream) => {
                running.stream = Some(stream);
                running.machine.on_opened(Ok(()));
            }
            Err(error) => {
                tracing::warn!(kind = %self.kind.kind, %error, "cannot watch; trying again");
                running.machine.on_opened(Err(&error));
            }
        }
    }

    async fn read(&self, running: &mut Running) {
        let Some(stream) = running.stream.as_mut() else {
            return running.machine.on_idle();
        };
        let heard = tokio::select! {
            biased;
            batch = self.batch(stream.as_mut()) => batch,
            () = self.env.sleep(SILENCE_MAX) => WatchRead::Silence,
        };
        let (deltas, error, closed) = match heard {
            WatchRead::Silence => return running.machine.on_idle(),
            WatchRead::Batch(deltas, error, closed) => (deltas, error, closed),
        };
        if let Some(revision) = deltas.iter().map(decode::revision).max() {
            running.machine.on_events(revision);
            self.cache.apply(&self.kind, deltas);
        }
        if let Some(error) = error {
            tracing::info!(kind = %self.kind.kind, %error, "the watch broke off");
            running.machine.on_error(&error);
        } else if closed {
            running.machine.on_closed();
        }
    }

    /// Waits for one event and takes what else is already there, so that a burst is one batch.
    /// Cancel-safe: it only waits while it holds nothing.
    async fn batch(&self, stream: &mut dyn EventStream) -> WatchRead {
        let mut deltas = Vec::new();
        let mut next = stream.next().await;
        loop {
            match next {
                Some(Ok(event)) => deltas.push(self.decode(event)),
                Some(Err(error)) => return WatchRead::Batch(deltas, Some(error), false),
                None => return WatchRead::Batch(deltas, None, true),
            }
            if deltas.len() >= BATCH_MAX {
                return WatchRead::Batch(deltas, None, false);
            }
            next = match poll_once(stream.next()).await {
                Some(next) => next,
                None => return WatchRead::Batch(deltas, None, false),
            };
        }
    }

    fn decode(&self, event: WatchEvent) -> Delta {
        decode::delta(&self.kind, event, self.env.now(), &self.counters.decode_errors_total)
    }
}

/// An informer at work.
struct Running {
    machine: Machine,
    stream: Option<Box<dyn EventStream>>,
    /// The number of the list that is being taken.
    number: u64,
    /// When to list although nothing is amiss.
    list_at: Timestamp,
}

/// The future's value if it is ready now.
async fn poll_once<T>(future: impl Future<Output = T>) -> Option<T> {
    let mut future = pin!(future);
    std::future::poll_fn(|context| match future.as_mut().poll(context) {
        Poll::Ready(value) => Poll::Ready(Some(value)),
        Poll::Pending => Poll::Ready(None),
    })
    .await
}
