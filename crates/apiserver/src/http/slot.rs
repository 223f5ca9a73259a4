//! How many requests are served at once. More wait their turn; too many waiting are told to come back (429).

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use http::Method;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::serve::Shared;

/// Ordinary requests served at once. On two cores more only cost memory: a write waits for the disk with many others,
/// and 1,000 bodies of 3 MiB are 3 GB at the very worst.
const SERVED_MAX: usize = 1_000;
/// Requests that wait for their turn: every connection of the largest fleet may have one.
const WAITING_MAX: usize = 20_000;
/// Nobody waits longer.
const WAIT_MAX: Duration = Duration::from_secs(15);
/// Watches, logs and streams: as many as the machine has open files, and then some for HTTP/2.
const LONG_RUNNING_MAX: usize = 60_000;

/// The places.
pub(crate) struct Slots {
    ordinary: Arc<Semaphore>,
    waiting: Arc<Semaphore>,
    long_running: Arc<Semaphore>,
}

impl Default for Slots {
    fn default() -> Slots {
        let places = |count| Arc::new(Semaphore::new(count));
        Slots { ordinary: places(SERVED_MAX), waiting: places(WAITING_MAX), long_running: places(LONG_RUNNING_MAX) }
    }
}

/// A place among the requests that are served at once; given back when dropped.
pub(crate) struct Slot {
    shared: Arc<Shared>,
    kind: Kind,
    _permit: OwnedSemaphorePermit,
}

#[derive(Clone, Copy)]
enum Kind {
    Reading,
    Writing,
    LongRunning,
}

impl Slot {
    /// Waits for a place; `None`: there are too many requests.
    pub(crate) async fn take(shared: &Arc<Shared>, method: &Method, long_running: bool) -> Option<Slot> {
        let (kind, permit) = match (long_running, method) {
            (true, _) => (Kind::LongRunning, shared.slots.long_running.clone().try_acquire_owned().ok()?),
            (_, &Method::GET | &Method::HEAD) => (Kind::Reading, turn(&shared.slots).await?),
            _ => (Kind::Writing, turn(&shared.slots).await?),
        };
        let slot = Slot { shared: shared.clone(), kind, _permit: permit };
        slot.gauge().fetch_add(1, Ordering::Relaxed);
        Some(slot)
    }

    fn gauge(&self) -> &AtomicI64 {
        let metrics = &self.shared.server.metrics;
        match self.kind {
            Kind::Reading => &metrics.reading,
            Kind::Writing => &metrics.writing,
            Kind::LongRunning => &metrics.long_running,
        }
    }
}

async fn turn(slots: &Slots) -> Option<OwnedSemaphorePermit> {
    if let Ok(permit) = slots.ordinary.clone().try_acquire_owned() {
        return Some(permit);
    }
    let _waiting = slots.waiting.clone().try_acquire_owned().ok()?;
    tokio::time::timeout(WAIT_MAX, slots.ordinary.clone().acquire_owned()).await.ok()?.ok()
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.gauge().fetch_sub(1, Ordering::Relaxed);
    }
}
