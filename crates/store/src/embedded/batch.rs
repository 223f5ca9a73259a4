//! Where relaxed transactions wait to be committed together.
//!
//! 500 renewals a second that are decided one by one wake the writer, the watch hub and every
//! controller 500 times. No caller waits for a renewal, so they gather for a moment: only the first
//! one wakes the writer, which comes for all of them when the moment is over, or earlier when it
//! is up anyway for a caller that does wait.

use std::sync::{Mutex, MutexGuard, PoisonError};

use super::writer::Waiting;

/// What has gathered; `None`: the writer is gone and will not come.
#[derive(Debug)]
pub(super) struct RelaxedBatch(Mutex<Option<Vec<Waiting>>>);

/// What becomes of a request that comes.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Joined {
    /// The writer has to be told.
    First,
    Later,
    Closed,
}

impl RelaxedBatch {
    pub(super) fn new() -> RelaxedBatch {
        RelaxedBatch(Mutex::new(Some(Vec::new())))
    }

    pub(super) fn join(&self, one: Waiting) -> Joined {
        match self.lock().as_mut() {
            None => Joined::Closed,
            Some(waiting) => {
                waiting.push(one);
                if waiting.len() == 1 { Joined::First } else { Joined::Later }
            }
        }
    }

    /// Takes up to `max` of them; also says whether some are left.
    pub(super) fn take(&self, max: usize) -> (Vec<Waiting>, bool) {
        let mut state = self.lock();
        let Some(waiting) = state.as_mut() else { return (Vec::new(), false) };
        let later = waiting.split_off(waiting.len().min(max));
        let left = !later.is_empty();
        (std::mem::replace(waiting, later), left)
    }

    /// None may join any more; those that are here get no answer, which says the same.
    pub(super) fn close(&self) {
        // Dropped after the lock.
        let _waiting = self.lock().take();
    }

    fn lock(&self) -> MutexGuard<'_, Option<Vec<Waiting>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot;

    use super::*;
    use crate::{StoreError, Transaction};

    #[test]
    fn only_the_first_wakes_and_no_caller_waits_for_ever() {
        let batch = RelaxedBatch::new();
        let join = || {
            let (reply, answer) = oneshot::channel::<Result<crate::Outcome, StoreError>>();
            (batch.join(Waiting { transaction: Transaction::default(), reply }), answer)
        };
        assert_eq!([join().0, join().0, join().0], [Joined::First, Joined::Later, Joined::Later]);
        let (taken, left) = batch.take(2);
        assert!(taken.len() == 2 && left);
        let (taken, left) = batch.take(2);
        assert!(taken.len() == 1 && !left);
        let (joined, mut answer) = join();
        assert_eq!(joined, Joined::First);
        batch.close();
        assert!(matches!(answer.try_recv(), Err(oneshot::error::TryRecvError::Closed)));
        assert_eq!(join().0, Joined::Closed);
    }
}
