//! Whether a connection is still good for something: counted by its requests, judged at intervals.
//! No clock.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// What an interval's end says about a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    GoOn,
    /// No request has come at all.
    Silent,
    /// No request is being answered, and none has come for so long.
    Idle,
    /// A client does not take an answer: it has been offered for a whole interval.
    Stalled,
}

/// In how many intervals an answer can have been offered that is not taken: now, in the last one,
/// or before.
const AGES: usize = 3;

/// The requests of a connection.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    begun: AtomicU64,
    open: AtomicUsize,
    interval: AtomicUsize,
    /// Answers that are offered and not taken, by the interval in which they were offered.
    offered: [AtomicUsize; AGES],
}

/// What the judge remembers.
#[derive(Debug, Default)]
pub(crate) struct Judge {
    begun: u64,
    idle: u32,
}

/// A request, until its answer has been taken.
#[derive(Debug)]
pub(crate) struct Pending {
    progress: Arc<Progress>,
    offered: Option<usize>,
}

impl Progress {
    /// A request has come.
    pub(crate) fn begin(self: &Arc<Self>) -> Pending {
        self.begun.fetch_add(1, Ordering::Relaxed);
        self.open.fetch_add(1, Ordering::Relaxed);
        Pending { progress: self.clone(), offered: None }
    }

    /// How many requests have no answer yet, or one that is not taken.
    pub(crate) fn open(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }

    /// An interval has ended; after `idle_max` of them without a request the connection is idle.
    pub(crate) fn judge(&self, judge: &mut Judge, idle_max: u32) -> Verdict {
        let interval = self.interval.fetch_add(1, Ordering::Relaxed) + 1;
        let begun = self.begun.load(Ordering::Relaxed);
        let quiet = begun == judge.begun && self.open() == 0;
        judge.idle = if quiet { judge.idle + 1 } else { 0 };
        judge.begun = begun;
        match () {
            () if begun == 0 => Verdict::Silent,
            () if self.offered[(interval + 1) % AGES].load(Ordering::Relaxed) > 0 => Verdict::Stalled,
            () if judge.idle >= idle_max => Verdict::Idle,
            () => Verdict::GoOn,
        }
    }
}

impl Pending {
    /// Something of the answer waits for the client to take it.
    pub(crate) fn offer(&mut self) {
        self.taken();
        let at = self.progress.interval.load(Ordering::Relaxed) % AGES;
        self.progress.offered[at].fetch_add(1, Ordering::Relaxed);
        self.offered = Some(at);
    }

    /// The client has taken all that there is.
    pub(crate) fn taken(&mut self) {
        if let Some(at) = self.offered.take() {
            self.progress.offered[at].fetch_sub(1, Ordering::Relaxed);
        }
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        self.taken();
        self.progress.open.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const IDLE_MAX: u32 = 2;

    #[test]
    fn a_connection_without_a_request_is_silent_and_one_that_rests_is_idle() {
        let (progress, mut judge) = (Arc::new(Progress::default()), Judge::default());
        assert_eq!(progress.judge(&mut judge, IDLE_MAX), Verdict::Silent);
        let request = progress.begin();
        for _ in 0..5 {
            assert_eq!(progress.judge(&mut judge, IDLE_MAX), Verdict::GoOn, "a watch may rest");
        }
        drop(request);
        assert_eq!(progress.judge(&mut judge, IDLE_MAX), Verdict::GoOn);
        assert_eq!(progress.judge(&mut judge, IDLE_MAX), Verdict::Idle);
        drop(progress.begin());
        assert_eq!(progress.judge(&mut judge, IDLE_MAX), Verdict::GoOn);
        assert_eq!(progress.open(), 0);
    }

    #[test]
    fn an_answer_has_a_whole_interval_to_be_taken() {
        let (progress, mut judge) = (Arc::new(Progress::default()), Judge::default());
        let mut request = progress.begin();
        request.offer();
        assert_eq!(progress.judge(&mut judge, IDLE_MAX), Verdict::GoOn);
        // A piece was taken, the next one is offered.
        request.offer();
        assert_eq!(progress.judge(&mut judge, IDLE_MAX), Verdict::GoOn);
        request.taken();
        for _ in 0..5 {
            assert_eq!(progress.judge(&mut judge, IDLE_MAX), Verdict::GoOn);
        }
        request.offer();
        assert_eq!(progress.judge(&mut judge, IDLE_MAX), Verdict::GoOn);
        let _other = progress.begin();
        assert_eq!(progress.judge(&mut judge, IDLE_MAX), Verdict::Stalled);
        drop(request);
        assert_eq!(progress.judge(&mut judge, IDLE_MAX), Verdict::GoOn);
    }
}
