//! One watch: initial objects, then events, bookmarks, and the end.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use everynode_api::status::Status;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use super::event::{Event, EventKind, Item};
use super::filter::Filter;
use super::queue::Taken;
use super::topic::{Registration, TooOld, Topic};

/// From where a watch begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Start {
    /// Synthetic `ADDED` of everything, then events; `marked`: with the bookmark that ends the
    /// initial events (DS-I35).
    Everything { marked: bool },
    /// Events after this revision.
    After(u64),
}

/// How long and how a watch runs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct WatchOptions {
    pub(crate) bookmarks: bool,
    /// The watch ends by itself after this (DS-I32); `None`: never (clients in this process).
    pub(crate) timeout: Option<Duration>,
    /// Time to the first bookmark; differs from watcher to watcher, so that they do not all come at
    /// once.
    pub(crate) bookmark_every: Duration,
}

/// What a watch delivers.
pub(crate) enum Delivery {
    /// An object that was there at the start.
    Initial(Arc<Item>),
    /// The initial objects are complete at this revision.
    InitialEnd(u64),
    Event(EventKind, Arc<Event>),
    Bookmark(u64),
    /// The watcher fell too far behind: 410, and the end.
    Expired(Box<Status>),
}

pub(crate) struct Watcher {
    topic: Arc<Topic>,
    registration: Registration,
    filter: Filter,
    hub: watch::Receiver<u64>,
    initial: VecDeque<Arc<Item>>,
    /// The revision to mark the end of the initial objects with, if asked for.
    mark: Option<u64>,
    /// The newest revision taken from the queue.
    seen: u64,
    options: WatchOptions,
    next_bookmark: Instant,
    deadline: Option<Instant>,
    ended: bool,
}

impl Watcher {
    /// Opens a watch. `hub` follows the hub's revision; it must have reached what the caller wants
    /// to see.
    pub(crate) fn open(
        topic: &Arc<Topic>,
        hub: watch::Receiver<u64>,
        filter: Filter,
        start: Start,
        options: WatchOptions,
    ) -> Result<Watcher, Status> {
        let at = *hub.borrow();
        let (registration, initial, seen, mark) = match start {
            Start::After(revision) => {
                let registration = topic.resume(&filter, revision).map_err(|old| too_old(revision, &old))?;
                (registration, VecDeque::new(), revision, None)
            }
            Start::Everything { marked } => {
                let (registration, candidates) = topic.begin(&filter);
                let initial = candidates.into_iter().filter(|item| filter.matches(item)).collect();
                // Events up to `at` are in what we took; later ones may be, and come again as such.
                (registration, initial, at, marked.then_some(at))
            }
        };
        let now = Instant::now();
        Ok(Watcher {
            topic: topic.clone(),
            registration,
            filter,
            hub,
            initial,
            mark,
            seen,
            options,
            next_bookmark: now + options.bookmark_every,
            deadline: options.timeout.map(|timeout| now + timeout),
            ended: false,
        })
    }

    /// The next thing to deliver; `None` at the end. Cancel-safe.
    pub(crate) async fn next(&mut self) -> Option<Delivery> {
        loop {
            if self.ended {
                return None;
            }
            if let Some(delivery) = self.poll() {
                return Some(delivery);
            }
            if self.ended {
                return None;
            }
            // The hub's revision first, then the queue: what is not queued by then came later.
            let hub = *self.hub.borrow();
            if let Some(delivery) = self.poll() {
                return Some(delivery);
            }
            let wake = self.next_wake();
            // Biased, as everywhere: what happens is then a function of what came before.
            tokio::select! {
                biased;
                () = self.registration.queue.changed() => {}
                () = sleep_until(wake) => {
                    if let Some(bookmark) = self.on_time(hub) {
                        return Some(bookmark);
                    }
                }
            }
        }
    }

    /// What can be delivered without waiting.
    pub(crate) fn poll(&mut self) -> Option<Delivery> {
        if self.ended {
            return None;
        }
        // Also a watch that is never idle ends in time; it has seen only what it took.
        if self.deadline.is_some_and(|deadline| Instant::now() >= deadline) {
            return self.on_time(self.seen);
        }
        if let Some(item) = self.initial.pop_front() {
            return Some(Delivery::Initial(item));
        }
        if let Some(revision) = self.mark.take() {
            return Some(Delivery::InitialEnd(revision));
        }
        loop {
            match self.registration.queue.take() {
                Taken::Event(event) => {
                    if let Some(delivery) = self.deliver(event) {
                        return Some(delivery);
                    }
                }
                Taken::Nothing => return None,
                Taken::Closed => {
                    self.ended = true;
                    return None;
                }
                Taken::Lagging => {
                    if let Err(old) = self.topic.catch_up(&self.registration, self.seen) {
                        self.ended = true;
                        return Some(Delivery::Expired(Box::new(too_old(self.seen, &old))));
                    }
                }
            }
        }
    }

    fn deliver(&mut self, event: Arc<Event>) -> Option<Delivery> {
        self.seen = self.seen.max(event.revision);
        let kind = event.seen_through(|item| self.filter.matches(item))?;
        Some(Delivery::Event(kind, event))
    }

    fn next_wake(&self) -> Instant {
        let bookmark = self.options.bookmarks.then_some(self.next_bookmark);
        let far = Instant::now() + Duration::from_secs(3600);
        bookmark.into_iter().chain(self.deadline).min().unwrap_or(far)
    }

    fn on_time(&mut self, hub: u64) -> Option<Delivery> {
        let now = Instant::now();
        if self.deadline.is_some_and(|deadline| now >= deadline) {
            self.ended = true;
        }
        // A last bookmark before the end lets the client resume from as late as possible (DS-I34).
        if !self.options.bookmarks || (now < self.next_bookmark && !self.ended) {
            return None;
        }
        self.next_bookmark = now + self.options.bookmark_every;
        Some(Delivery::Bookmark(hub.max(self.seen)))
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.topic.unregister(&self.registration);
    }
}

fn too_old(asked: u64, old: &TooOld) -> Status {
    Status::expired(format!("too old resource version: {asked} ({})", old.oldest))
}
