//! The recent commits, oldest first, in segments that readers can hold on to.
//!
//! Invariant: every commit with a revision above `oldest` is here. So the state at any revision
//! from `oldest` on is the current state with the later changes undone, and a watch from any such
//! revision misses nothing.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::clock::millis;
use crate::limits::Limits;
use crate::stage::Commit;
use crate::{Change, Revision};

/// Commits per segment: small enough to copy the open one, large enough to make few of them.
const SEGMENT_COMMITS_MAX: usize = 128;
/// Bytes per segment, so that few large values do not wait long to be forgotten.
const SEGMENT_BYTES_MAX: usize = 1 << 20;
/// Bookkeeping per change: the change itself, its share of the segment, its list.
const CHANGE_BYTES: usize = 200;

#[derive(Debug, Default)]
pub(crate) struct Segment {
    commits: Vec<Commit>,
    changes: usize,
    bytes: usize,
    /// When the newest commit of the segment was published.
    newest_ms: u64,
}

impl Segment {
    fn last(&self) -> Revision {
        self.commits.last().map_or(Revision(0), |commit| revision_of(commit))
    }
}

#[derive(Debug)]
pub(crate) struct History {
    sealed: VecDeque<Arc<Segment>>,
    open: Segment,
    oldest: Revision,
    changes: usize,
    bytes: usize,
    limits: Limits,
}

impl History {
    pub(crate) fn new(oldest: Revision, limits: Limits) -> History {
        let (sealed, open) = Default::default();
        History { sealed, open, oldest, changes: 0, bytes: 0, limits }
    }

    /// The oldest revision at which reads and watches can begin.
    pub(crate) fn oldest(&self) -> Revision {
        self.oldest
    }

    pub(crate) fn push(&mut self, commit: Commit, now_ms: u64) {
        let bytes = commit.iter().map(bytes_of).sum::<usize>();
        self.open.changes += commit.len();
        self.open.bytes += bytes;
        self.open.newest_ms = now_ms;
        self.changes += commit.len();
        self.bytes += bytes;
        self.open.commits.push(commit);
        if self.open_is_full() {
            self.sealed.push_back(Arc::new(std::mem::take(&mut self.open)));
        }
    }

    /// Forgets what is beyond the limits; returns it, to be dropped outside of any lock.
    pub(crate) fn trim(&mut self, now_ms: u64) -> Vec<Arc<Segment>> {
        let mut forgotten = Vec::new();
        while let Some(first) = self.sealed.pop_front_if(|first| {
            self.changes > self.limits.history_changes_max
                || self.bytes > self.limits.history_bytes_max
                || now_ms.saturating_sub(first.newest_ms) > millis(self.limits.history_age)
        }) {
            self.forget(&first);
            forgotten.push(first);
        }
        forgotten
    }

    /// Forgets everything before `revision`; returns whole segments to be dropped.
    pub(crate) fn compact(&mut self, revision: Revision) -> Vec<Arc<Segment>> {
        self.oldest = self.oldest.max(revision);
        let (oldest, mut forgotten) = (self.oldest, Vec::new());
        while let Some(first) = self.sealed.pop_front_if(|first| first.last() <= oldest) {
            self.forget(&first);
            forgotten.push(first);
        }
        forgotten
    }

    /// The commits after a revision that is not older than [`History::oldest`].
    pub(crate) fn after(&self, revision: Revision) -> Suffix {
        let first = self.sealed.partition_point(|segment| segment.last() <= revision);
        Suffix {
            after: revision,
            segments: self.sealed.range(first..).cloned().collect(),
            tail: self.open.commits.clone(),
        }
    }

    fn forget(&mut self, segment: &Segment) {
        self.changes -= segment.changes;
        self.bytes -= segment.bytes;
        self.oldest = self.oldest.max(segment.last());
    }

    fn open_is_full(&self) -> bool {
        // Small limits (tests, tiny machines) need small segments to be kept.
        let changes_max = (self.limits.history_changes_max / 16).clamp(1, SEGMENT_COMMITS_MAX);
        let bytes_max = (self.limits.history_bytes_max / 16).clamp(1, SEGMENT_BYTES_MAX);
        self.open.changes >= changes_max || self.open.bytes >= bytes_max
    }
}

/// A hold on the commits after one revision.
#[derive(Debug, Default)]
pub(crate) struct Suffix {
    after: Revision,
    segments: Vec<Arc<Segment>>,
    tail: Vec<Commit>,
}

impl Suffix {
    /// The commits, oldest first.
    pub(crate) fn commits(&self) -> impl Iterator<Item = &Commit> {
        let sealed = self.segments.iter().flat_map(|segment| &segment.commits);
        sealed.chain(&self.tail).filter(|commit| revision_of(commit) > self.after)
    }
}

/// The revision of a commit, which is never empty.
pub(crate) fn revision_of(commit: &[Change]) -> Revision {
    commit.first().map_or(Revision(0), |change| change.revision)
}

/// What only history keeps alive: the new value is current, or the next change's previous one.
fn bytes_of(change: &Change) -> usize {
    CHANGE_BYTES + change.previous.as_ref().map_or(0, |old| old.value.len())
}
