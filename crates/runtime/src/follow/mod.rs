//! The one way to follow an API server: list a kind, watch what changes, and start over when the
//! server no longer has, or does not have yet, the history that the watch would go on from.
//!
//! `machine` decides (pure); [`Follower`] does the I/O for it and says what it heard, step by step.
//! Informers, agents and simulated nodes all use it; what they make of an object is their
//! own [`Decode`].

mod list;
mod machine;
#[cfg(test)]
mod tests;

use std::fmt;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use everynode_api::kinds::Kind;
use everynode_api::ports::{Api, ApiError, EventStream, Request, Selection, WatchEvent, WatchRequest};
use tokio::time::{Instant, sleep_until};

use self::list::ListPage;
pub use self::list::revision_of;
pub use self::machine::{Listed, retry_after};
use self::machine::{Machine, Page, Pause, Step};
use crate::clock::Env;

/// How often everything is listed although nothing is amiss, give or take a half: an event that the
/// server lost, or a history that was put back without a word, stalls nothing for longer.
pub const LIST_EVERY: Duration = Duration::from_secs(600);
/// Objects per page of a list, as client-go asks for: about 2 MB of pods.
const PAGE_LIMIT: u32 = 500;
/// A watch that says nothing for so long is opened again: bookmarks come about once a minute
/// (DS-I34), so two were missed.
const SILENCE_MAX: Duration = Duration::from_secs(150);

/// What is followed, and through which API server.
#[derive(Clone)]
pub struct Source {
    pub api: Arc<dyn Api>,
    pub env: Env,
    pub kind: Kind,
    pub selection: Selection,
    /// Lists again about so often; `None`: only when it must.
    pub list_every: Option<Duration>,
    /// How many events are taken together at most; at least 1. More than one costs another look at
    /// the watch, and is right where what is done with them costs more than that.
    pub batch_max: usize,
}

/// How objects and events are read.
pub trait Decode: Send + Sync {
    type Object: Send;
    type Change: Send;
    /// An object of a list; `None` leaves it out.
    fn object(&self, json: Bytes) -> Option<Self::Object>;
    /// The objects of one page.
    fn objects(&self, page: impl Iterator<Item = Bytes>) -> Vec<Self::Object> {
        page.filter_map(|json| self.object(json)).collect()
    }
    /// An object of a watch as it is now, or, where it `is_gone`, as it was last.
    fn change(&self, json: Bytes, is_gone: bool) -> Observed<Self::Change>;
    /// What is made of a bookmark: everything up to `revision` was delivered.
    fn bookmark(&self, revision: u64) -> Option<Self::Change> {
        let _ = revision;
        None
    }
}

fn observed<D: Decode>(decode: &D, event: WatchEvent) -> Observed<D::Change> {
    match event {
        WatchEvent::Bookmark { resource_version: revision } => Observed { revision, change: decode.bookmark(revision) },
        WatchEvent::Added(json) | WatchEvent::Modified(json) => decode.change(json, false),
        WatchEvent::Deleted(json) => decode.change(json, true),
    }
}

/// What was read of an event.
#[derive(Debug)]
pub struct Observed<C> {
    /// Up to which revision the event brings the follower; 0: unknown.
    pub revision: u64,
    /// `None` leaves it out.
    pub change: Option<C>,
}

/// What a follower heard.
#[derive(Debug)]
pub enum Heard<O, C> {
    /// A list is begun: it shows everything that was written before now.
    Begins,
    /// All objects there are; what is not among them is gone.
    Listed(Listed<O>),
    /// A watch is open: changes come from now on.
    Opened,
    /// Changes in their order; never empty.
    Changed(Vec<C>),
    /// The watch ended in an orderly way, and is opened again at once.
    Ended,
    /// A list or a watch failed; it goes on after a pause.
    Failed(Failure),
}

/// Why a list or a watch did not go on.
#[derive(Debug)]
pub enum Failure {
    List(ApiError),
    /// A watch could not be opened.
    Open(ApiError),
    /// A watch that was open broke off.
    Watch(ApiError),
    /// A watch ended without a word.
    Mute,
}

impl Failure {
    /// What the server or the connection said.
    pub fn error(self) -> Option<ApiError> {
        match self {
            Failure::List(error) | Failure::Open(error) | Failure::Watch(error) => Some(error),
            Failure::Mute => None,
        }
    }

    /// Writes it to the log, as loud as it deserves; `what` is what is followed.
    pub fn log(&self, what: &str) {
        match self {
            Failure::List(_) | Failure::Open(_) => tracing::warn!(what, failure = %self),
            Failure::Watch(_) => tracing::info!(what, failure = %self),
            Failure::Mute => tracing::debug!(what, failure = %self),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::List(error) => write!(f, "cannot list; trying again: {error}"),
            Failure::Open(error) => write!(f, "cannot watch; trying again: {error}"),
            Failure::Watch(error) => write!(f, "the watch broke off: {error}"),
            Failure::Mute => f.write_str("the watch ended without a word"),
        }
    }
}

/// Follows one kind, or what is selected of it, for as long as it is asked for more.
pub struct Follower<D: Decode> {
    source: Source,
    decode: D,
    machine: Machine<D::Object>,
    stream: Option<Box<dyn EventStream>>,
    /// How the watch ended whose last events were returned already.
    ended: Option<Result<(), ApiError>>,
    /// Nothing is asked for before.
    resume_at: Option<Instant>,
    /// When the watch has said nothing for too long.
    silent_at: Instant,
    /// When to list although nothing is amiss.
    list_at: Option<Instant>,
}

type HeardBy<D> = Heard<<D as Decode>::Object, <D as Decode>::Change>;

impl<D: Decode> Follower<D> {
    /// Begins with a list.
    pub fn new(source: Source, decode: D) -> Self {
        let machine = Machine::default();
        let silent_at = Instant::now();
        Follower { source, decode, machine, stream: None, ended: None, resume_at: None, silent_at, list_at: None }
    }

    /// Whether a list is wanted or being taken.
    pub fn is_listing(&self) -> bool {
        self.machine.is_listing()
    }

    /// Lists again, whatever it is doing.
    pub fn start_over(&mut self) {
        self.machine.start_over();
        (self.stream, self.ended) = (None, None);
    }

    /// Waits for what happens next. Cancel-safe: nothing that was read is lost, and a request that is
    /// cut off is sent again by the next call.
    pub async fn next(&mut self) -> HeardBy<D> {
        loop {
            if let Some(heard) = self.advance().await {
                return heard;
            }
        }
    }

    async fn advance(&mut self) -> Option<HeardBy<D>> {
        if let Some(ended) = self.ended.take() {
            return Some(self.watch_ended(ended));
        }
        self.rest().await;
        if !self.is_listing() && self.list_at.is_some_and(|at| at <= Instant::now()) {
            self.start_over();
        }
        match self.machine.step() {
            Step::Begin => {
                debug_assert!(self.stream.is_none() && self.ended.is_none());
                self.machine.on_begun();
                Some(Heard::Begins)
            }
            Step::List { continue_token, paged } => self.list(continue_token, paged).await,
            Step::Watch { revision } => Some(self.open(revision).await),
            Step::Read => self.read().await,
        }
    }

    /// The pause that the last step asked for.
    async fn rest(&mut self) {
        if let Some(Pause { about, at_least }) = self.machine.take_pause() {
            self.resume_at = Some(Instant::now() + self.source.env.jitter(about).max(at_least));
        }
        if let Some(at) = self.resume_at {
            sleep_until(at).await;
            self.resume_at = None;
        }
    }

    async fn list(&mut self, continue_token: Option<String>, paged: bool) -> Option<HeardBy<D>> {
        let request = Request::List {
            kind: self.source.kind.clone(),
            selection: self.source.selection.clone(),
            limit: if paged { PAGE_LIMIT } else { 0 },
            continue_token,
            resource_version: None,
        };
        let body = self.source.api.call(request).await;
        match body.and_then(|body| self.page(&body)) {
            Ok(page) => {
                let listed = self.machine.on_page(Ok(page))?;
                let every = self.source.list_every;
                self.list_at = every.map(|every| Instant::now() + self.source.env.jitter(every));
                Some(Heard::Listed(listed))
            }
            Err(error) => {
                self.machine.on_page(Err(&error));
                Some(Heard::Failed(Failure::List(error)))
            }
        }
    }

    fn page(&self, body: &Bytes) -> Result<Page<D::Object>, ApiError> {
        let garbled = |error: serde_json::Error| ApiError::Garbled(format!("a list: {error}"));
        let ListPage { items, revision, continue_token } = ListPage::parse(body).map_err(garbled)?;
        let items = items.into_iter().map(|raw| body.slice_ref(raw.get().as_bytes()));
        Ok(Page { objects: self.decode.objects(items), revision, continue_token })
    }

    async fn open(&mut self, revision: u64) -> HeardBy<D> {
        let request = WatchRequest {
            kind: self.source.kind.clone(),
            selection: self.source.selection.clone(),
            resource_version: Some(revision),
            bookmarks: true,
        };
        match self.source.api.watch(request).await {
            Ok(stream) => {
                (self.stream, self.silent_at) = (Some(stream), Instant::now() + SILENCE_MAX);
                self.machine.on_opened(Ok(()));
                Heard::Opened
            }
            Err(error) => {
                self.machine.on_opened(Err(&error));
                Heard::Failed(Failure::Open(error))
            }
        }
    }

    async fn read(&mut self) -> Option<HeardBy<D>> {
        let Some(stream) = self.stream.as_mut() else {
            self.machine.on_idle();
            return None;
        };
        let deadline = self.list_at.map_or(self.silent_at, |at| at.min(self.silent_at));
        let Batch { changes, revision, ended } = tokio::select! {
            biased;
            batch = batch(&self.decode, stream.as_mut(), self.source.batch_max) => batch,
            () = sleep_until(deadline) => return self.passed(deadline),
        };
        if let Some(revision) = revision {
            self.silent_at = Instant::now() + SILENCE_MAX;
            self.machine.on_events(revision);
        }
        self.ended = ended;
        (!changes.is_empty()).then_some(Heard::Changed(changes))
    }

    /// A deadline passed while the watch was read.
    fn passed(&mut self, deadline: Instant) -> Option<HeardBy<D>> {
        if deadline != self.silent_at {
            return None;
        }
        self.stream = None;
        self.machine.on_idle();
        Some(Heard::Ended)
    }

    fn watch_ended(&mut self, ended: Result<(), ApiError>) -> HeardBy<D> {
        self.stream = None;
        match ended {
            Ok(()) if self.machine.on_closed() => Heard::Ended,
            Ok(()) => Heard::Failed(Failure::Mute),
            Err(error) => {
                self.machine.on_error(&error);
                Heard::Failed(Failure::Watch(error))
            }
        }
    }
}

/// What a read from the watch brought.
struct Batch<C> {
    changes: Vec<C>,
    /// `None`: no event came.
    revision: Option<u64>,
    ended: Option<Result<(), ApiError>>,
}

/// Waits for one event and takes what else is already there, so that a burst is one batch.
/// Cancel-safe: it only waits while it holds nothing.
async fn batch<D: Decode>(decode: &D, stream: &mut dyn EventStream, events_max: usize) -> Batch<D::Change> {
    let mut batch = Batch { changes: Vec::new(), revision: None, ended: None };
    let mut next = stream.next().await;
    for events in 1.. {
        match next {
            Some(Ok(event)) => {
                let Observed { revision, change } = observed(decode, event);
                batch.revision = batch.revision.max(Some(revision));
                batch.changes.extend(change);
            }
            Some(Err(error)) => batch.ended = Some(Err(error)),
            None => batch.ended = Some(Ok(())),
        }
        if batch.ended.is_some() || events >= events_max {
            break;
        }
        next = match poll_once(stream.next()).await {
            Some(next) => next,
            None => break,
        };
    }
    batch
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
