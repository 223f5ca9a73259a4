//! What others may set, see and do of a driver.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use everynode_api::meta::Key;
use tokio::sync::Notify;

use crate::clock::Env;
use crate::metrics::QueueNumbers;
use crate::queue::Queue;

/// How a reconciler is driven.
#[derive(Clone, Debug)]
pub struct Options {
    /// Keys that are planned at the same time (DS-F03).
    pub workers: usize,
    /// All keys are planned again so often, whatever woke them or did not.
    pub full_pass: Duration,
    /// The longest back-off of a key that fails (DS-F02).
    pub retry_max: Duration,
    /// Whether plans are audited before they are carried out; as the build is, by default.
    pub audit: bool,
    /// The component that its events name; `NAME-controller` by default.
    pub event_component: Option<String>,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            workers: 2,
            full_pass: Duration::from_secs(300),
            retry_max: Duration::from_secs(1000),
            audit: cfg!(debug_assertions),
            event_component: None,
        }
    }
}

/// What others may see and do of a driver.
pub struct Handle<N> {
    pub(super) queue: Mutex<Queue>,
    pub(super) woken: Notify,
    /// A plan had something to say.
    pub(super) noted: Notify,
    pub(super) notes: Mutex<BTreeMap<Key, Arc<[N]>>>,
    pub(super) env: Env,
}

impl<N> Handle<N> {
    /// What the last plan of `key` had to say; `None` if there was none.
    pub fn notes(&self, key: &Key) -> Option<Arc<[N]>> {
        lock(&self.notes).get(key).cloned()
    }

    /// Waits until any plan has something to say: for reconcilers that only speak when something is
    /// wrong.
    pub async fn first_note(&self) -> N
    where
        N: Clone,
    {
        loop {
            let note = lock(&self.notes).values().find_map(|notes| notes.first().cloned());
            match note {
                Some(note) => return note,
                None => self.noted.notified().await,
            }
        }
    }

    /// Plans `key` soon.
    pub fn wake(&self, key: Key) {
        lock(&self.queue).add(key, self.env.now());
        self.woken.notify_one();
    }

    /// The queue's numbers now.
    pub fn numbers(&self) -> QueueNumbers {
        lock(&self.queue).numbers(self.env.now())
    }
}

/// A mutex whose holder never panics between two consistent states.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
