//! How many objects are listed at once.
//!
//! After a restart every client that cannot resume lists everything. One list of 25,000 pods costs
//! a fraction of a second and some memory until its client has read it; five thousand at once would
//! take all of both. So large lists share a budget of objects: some are served, some wait in the
//! order in which they came, the rest is told to come back. Small lists, such as an agent's own
//! pods, never wait.

use std::sync::Arc;
use std::time::Duration;

use everynode_api::status::Status;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

/// Lists of fewer objects are not counted.
const LARGE_LIST_MIN: usize = 1_000;
/// Objects in large lists that are being sent: eight lists of 25,000 pods, 0.5 GB of text in pieces
/// of 64 KiB.
const ITEMS_MAX: usize = 200_000;
/// Lists that wait for their turn; each keeps one of the places for ordinary requests meanwhile.
const WAITING_MAX: usize = 200;
/// No list waits longer.
const WAIT_MAX: Duration = Duration::from_secs(10);
/// A client that does not read keeps its share for so long.
const HELD_MAX: Duration = Duration::from_secs(30);

pub(crate) struct ListBudget {
    items: Arc<Semaphore>,
    items_max: usize,
    waiting: Semaphore,
}

/// A share of the budget; given back when dropped. Small lists have an empty one.
#[derive(Debug)]
pub(crate) struct Share(#[allow(dead_code, reason = "dropping it is what it is for")] Option<oneshot::Sender<()>>);

impl Default for ListBudget {
    fn default() -> ListBudget {
        ListBudget::new(ITEMS_MAX, WAITING_MAX)
    }
}

impl ListBudget {
    fn new(items_max: usize, waiting_max: usize) -> ListBudget {
        ListBudget { items: Arc::new(Semaphore::new(items_max)), items_max, waiting: Semaphore::new(waiting_max) }
    }

    /// Waits for the share of a list of so many objects; 429: there are too many lists, come back
    /// in some seconds.
    pub(crate) async fn share(&self, items: usize, retry_after_seconds: impl FnOnce() -> u32) -> Result<Share, Status> {
        if items < LARGE_LIST_MIN {
            return Ok(Share(None));
        }
        // One that is larger than the budget is served alone.
        let permits = u32::try_from(items.min(self.items_max)).unwrap_or(u32::MAX);
        let permit = match self.items.clone().try_acquire_many_owned(permits) {
            Ok(permit) => Some(permit),
            Err(_) => self.turn(permits).await,
        };
        let busy = || Status::too_many_requests("too many large lists, please try again later", retry_after_seconds());
        permit.map(Share::of).ok_or_else(busy)
    }

    async fn turn(&self, permits: u32) -> Option<OwnedSemaphorePermit> {
        let _waiting = self.waiting.try_acquire().ok()?;
        tokio::time::timeout(WAIT_MAX, self.items.clone().acquire_many_owned(permits)).await.ok()?.ok()
    }
}

impl Share {
    fn of(permit: OwnedSemaphorePermit) -> Share {
        let (share, dropped) = oneshot::channel();
        tokio::spawn(async move {
            let _ = tokio::time::timeout(HELD_MAX, dropped).await;
            drop(permit);
        });
        Share(Some(share))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn large_lists_are_served_in_order_and_small_ones_never_wait() {
        let budget = ListBudget::new(5_000, 1);
        let first = budget.share(4_000, || 1).await.unwrap();
        budget.share(LARGE_LIST_MIN - 1, || 1).await.unwrap();
        let mut second = std::pin::pin!(budget.share(9_000, || 1));
        tokio::select! {
            biased;
            _ = &mut second => panic!("there is no room for it"),
            refused = budget.share(2_000, || 7) => {
                let status = refused.unwrap_err();
                assert_eq!((status.code, status.details.unwrap().retry_after_seconds), (429, 7));
            }
        }
        drop(first);
        second.await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_does_not_read_loses_its_share() {
        let budget = ListBudget::new(5_000, 1);
        let _stuck = budget.share(5_000, || 1).await.unwrap();
        let begin = tokio::time::Instant::now();
        assert!(budget.share(5_000, || 1).await.is_err(), "it gives up first");
        assert_eq!(begin.elapsed(), WAIT_MAX);
        tokio::time::sleep(HELD_MAX).await;
        budget.share(5_000, || 1).await.unwrap();
    }
}
