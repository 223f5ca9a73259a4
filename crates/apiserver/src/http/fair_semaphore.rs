//! Which task may do something costly next, when more want to than should at once.
//!
//! Freed permits go to the oldest task that waits, and every fourth to the newest. Oldest first
//! alone would let a health probe wait behind thousands of connections that came back before it;
//! newest first alone would never serve some. Clients on this machine wait in a [`Lane`] of their
//! own, which gets every other permit while a task waits in it: the machine's own tools, probes and
//! pods do not wait for the fleet.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

/// One in this many permits is the newest one's.
const NEWEST_EVERY: usize = 4;

/// A semaphore whose permits are shared out fairly.
#[derive(Clone)]
pub(crate) struct FairSemaphore(Arc<Shared>);

struct Shared {
    queue: Mutex<Queue>,
    waiting: AtomicUsize,
}

struct Queue {
    free: usize,
    lanes: [Waiters; 2],
    local_next: bool,
}

#[derive(Default)]
struct Waiters {
    waiting: VecDeque<oneshot::Sender<Permit>>,
    /// How many have been called.
    called: usize,
}

/// Where a task waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lane {
    /// Asks from this machine.
    Local,
    Remote,
}

/// A permit; given back when dropped.
pub(crate) struct Permit(Option<Arc<Shared>>);

/// Counts a task that waits, however the wait ends.
struct Waiting<'a>(&'a AtomicUsize);

impl FairSemaphore {
    pub(crate) fn new(at_once: usize) -> FairSemaphore {
        let queue = Mutex::new(Queue { free: at_once, lanes: Default::default(), local_next: true });
        FairSemaphore(Arc::new(Shared { queue, waiting: AtomicUsize::new(0) }))
    }

    /// Waits for a permit.
    pub(crate) async fn take(&self, lane: Lane) -> Permit {
        let _waiting = Waiting::new(&self.0.waiting);
        let receiver = {
            let mut queue = self.0.lock();
            if queue.free > 0 {
                queue.free -= 1;
                return Permit(Some(self.0.clone()));
            }
            let (sender, receiver) = oneshot::channel();
            queue.lanes[lane as usize].waiting.push_back(sender);
            receiver
        };
        // Senders are dropped with the semaphore itself only, which `self` keeps.
        receiver.await.unwrap_or(Permit(None))
    }

    /// How many wait.
    pub(crate) fn waiting(&self) -> usize {
        self.0.waiting.load(Ordering::Relaxed)
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Queue {
    fn next(&mut self) -> Option<oneshot::Sender<Permit>> {
        let first = if self.local_next { Lane::Local } else { Lane::Remote };
        self.local_next = !self.local_next;
        let other = if self.local_next { Lane::Local } else { Lane::Remote };
        self.lanes[first as usize].next().or_else(|| self.lanes[other as usize].next())
    }
}

impl Waiters {
    fn next(&mut self) -> Option<oneshot::Sender<Permit>> {
        let newest = self.called.is_multiple_of(NEWEST_EVERY);
        self.called = self.called.wrapping_add(1);
        if newest { self.waiting.pop_back() } else { self.waiting.pop_front() }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let Some(shared) = self.0.take() else { return };
        let mut queue = shared.lock();
        let mut permit = Permit(Some(shared.clone()));
        while let Some(next) = queue.next() {
            match next.send(permit) {
                Ok(()) => return,
                // That one has given up waiting.
                Err(back) => permit = back,
            }
        }
        permit.0 = None;
        queue.free += 1;
    }
}

impl Waiting<'_> {
    fn new(waiting: &AtomicUsize) -> Waiting<'_> {
        waiting.fetch_add(1, Ordering::Relaxed);
        Waiting(waiting)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::pin::Pin;
    use std::task::Poll;

    use super::*;

    type Wait = Pin<Box<dyn Future<Output = Permit>>>;

    fn wait(semaphore: &FairSemaphore, lane: Lane) -> Wait {
        let semaphore = semaphore.clone();
        Box::pin(async move { semaphore.take(lane).await })
    }

    async fn ready(wait: &mut Wait) -> Option<Permit> {
        match std::future::poll_fn(|context| Poll::Ready(wait.as_mut().poll(context))).await {
            Poll::Ready(permit) => Some(permit),
            Poll::Pending => None,
        }
    }

    /// The order in which the waiting tasks get their permits; capital letters ask from this
    /// machine.
    async fn order(names: &str) -> String {
        let semaphore = FairSemaphore::new(1);
        let mut held = Some(semaphore.take(Lane::Remote).await);
        let lane = |name: char| if name.is_uppercase() { Lane::Local } else { Lane::Remote };
        let mut waits: Vec<(char, Wait)> = names.chars().map(|name| (name, wait(&semaphore, lane(name)))).collect();
        for (_, wait) in &mut waits {
            assert!(ready(wait).await.is_none());
        }
        assert_eq!(semaphore.waiting(), names.len());
        let mut order = String::new();
        while !waits.is_empty() {
            drop(held.take());
            let mut next = None;
            for (at, (name, wait)) in waits.iter_mut().enumerate() {
                if let Some(permit) = ready(wait).await {
                    assert!(next.is_none(), "one at a time");
                    next = Some((at, *name, permit));
                }
            }
            let (at, name, permit) = next.expect("nobody is forgotten");
            held = Some(permit);
            order.push(name);
            drop(waits.remove(at));
        }
        assert_eq!(semaphore.waiting(), 0);
        order
    }

    #[tokio::test]
    async fn the_oldest_go_first_and_every_fourth_turn_is_the_newest_ones() {
        assert_eq!(order("abcdefgh").await, "habcgdef");
    }

    #[tokio::test]
    async fn who_asks_from_this_machine_does_not_wait_for_the_others() {
        assert_eq!(order("abcdXefgh").await, "Xhabcgdef");
        assert_eq!(order("aXbYcZ").await, "ZcXaYb");
    }

    #[tokio::test]
    async fn who_gives_up_loses_no_turn() {
        let semaphore = FairSemaphore::new(2);
        let (first, second) = (semaphore.take(Lane::Local).await, semaphore.take(Lane::Remote).await);
        let (mut a, mut b, mut c) =
            (wait(&semaphore, Lane::Remote), wait(&semaphore, Lane::Remote), wait(&semaphore, Lane::Remote));
        for wait in [&mut a, &mut b, &mut c] {
            assert!(ready(wait).await.is_none());
        }
        // One has given up before its permit comes, one has been given it and never looks.
        drop(c);
        drop(first);
        drop(b);
        drop(second);
        let third = ready(&mut a).await.expect("both permits passed by the others");
        let fourth = ready(&mut wait(&semaphore, Lane::Remote)).await.expect("the second one is free");
        assert!(ready(&mut wait(&semaphore, Lane::Remote)).await.is_none());
        drop((third, fourth));
        assert_eq!((semaphore.0.lock().free, semaphore.waiting()), (2, 0));
    }
}
