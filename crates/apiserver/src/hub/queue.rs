//! A watcher's bounded queue. The topic pushes, the watcher takes.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::event::Event;

/// Events that wait for one watcher. 1,024 references are 8 KiB; what does not fit is read from the
/// ring later.
pub(crate) const QUEUE_EVENTS_MAX: usize = 1024;

#[derive(Debug, Default)]
pub(crate) struct Queue {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct State {
    events: VecDeque<Arc<Event>>,
    lagging: bool,
    closed: bool,
}

/// What a watcher finds in its queue.
pub(crate) enum Taken {
    Event(Arc<Event>),
    /// Nothing now, more may come.
    Nothing,
    /// Events were dropped after those already taken: read the ring.
    Lagging,
    /// No more will come.
    Closed,
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn push(&self, event: &Arc<Event>) {
        let mut state = self.lock();
        if state.lagging {
            return;
        }
        match state.events.len() < QUEUE_EVENTS_MAX {
            true => state.events.push_back(event.clone()),
            false => state.lagging = true,
        }
        drop(state);
        self.changed.notify_one();
    }

    /// Puts events from the ring in; called under the topic's lock, so that no push comes between.
    pub(crate) fn refill(&self, events: impl Iterator<Item = Arc<Event>>) {
        let mut state = self.lock();
        state.events.extend(events.take(QUEUE_EVENTS_MAX + 1));
        state.lagging = state.events.len() > QUEUE_EVENTS_MAX;
    }

    pub(crate) fn close(&self) {
        self.lock().closed = true;
        self.changed.notify_one();
    }

    pub(crate) fn take(&self) -> Taken {
        let mut state = self.lock();
        match state.events.pop_front() {
            Some(event) => Taken::Event(event),
            None if state.closed => Taken::Closed,
            None if state.lagging => Taken::Lagging,
            None => Taken::Nothing,
        }
    }

    /// Returns when something may have changed since the last take. Cancel-safe.
    pub(crate) async fn changed(&self) {
        self.changed.notified().await;
    }
}
