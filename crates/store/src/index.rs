//! The revisioned index: the visible state, its history and its watchers.
//!
//! Every backend decides a batch on a [`Stage`] (one at a time: there is one writer), makes it
//! durable in its own way, and then [publishes](Index::publish) it here. The lock is held to swap
//! the tree and to append to history and groups; readers hold it to copy a few pointers.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::clock::{Clock, millis};
use crate::history::{History, Suffix};
use crate::limits::Limits;
use crate::stage::{Commit, Deadline, IssuedNumbers, Stage};
use crate::tree::{Entry, Tree};
use crate::view::View;
use crate::watch::{Group, Groups, Watcher};
use crate::{Key, KeyValue, Page, Range, Revision, StoreError, limits};

/// Keys that expire in one batch; the rest follows in the next.
const EXPIRE_BATCH_MAX: usize = 1_000;

#[derive(Debug)]
pub(crate) struct Index {
    state: Mutex<IndexState>,
    limits: Limits,
    pub(crate) clock: Arc<dyn Clock>,
}

#[derive(Debug)]
struct IndexState {
    tree: Tree,
    revision: Revision,
    history: History,
    groups: Groups,
    deadlines: BTreeSet<(u64, Key)>,
    next_progress_ms: u64,
    closed: bool,
}

/// The commits that led to a loaded state.
#[derive(Debug, Default)]
pub(crate) struct LoadedHistory {
    /// The state at this revision is the oldest that can be told.
    pub(crate) oldest: Revision,
    /// Everything after it, in order, with the time at which it was committed.
    pub(crate) commits: Vec<(Commit, u64)>,
}

impl Index {
    /// An index over a loaded state. Older revisions than `revision` are compacted.
    pub(crate) fn new(tree: Tree, revision: Revision, limits: Limits, clock: Arc<dyn Clock>) -> Index {
        let past = LoadedHistory { oldest: revision, commits: Vec::new() };
        Index::with_past(tree, revision, past, limits, clock)
    }

    /// An index over a loaded state that remembers how it came about, as far as the limits allow.
    pub(crate) fn with_past(
        tree: Tree,
        revision: Revision,
        past: LoadedHistory,
        limits: Limits,
        clock: Arc<dyn Clock>,
    ) -> Index {
        let deadline = |entry: &Arc<Entry>| Some((entry.expires_ms?, entry.key().clone()));
        let deadlines = tree.iter_from("").filter_map(deadline).collect();
        let mut history = History::new(past.oldest, limits.clone());
        for (commit, at_ms) in past.commits {
            history.push(commit, at_ms);
            history.trim(at_ms);
        }
        history.trim(clock.now_ms());
        let (groups, next_progress_ms, closed) = Default::default();
        let state = IndexState { tree, revision, history, groups, deadlines, next_progress_ms, closed };
        Index { state: Mutex::new(state), limits, clock }
    }

    /// A private copy of the state to decide transactions on.
    pub(crate) fn stage(&self, numbers: IssuedNumbers) -> Stage {
        let state = self.lock();
        Stage::begin(state.tree.clone(), state.revision, numbers)
    }

    /// Makes a decided batch visible to reads and watches, all at once.
    pub(crate) fn publish(&self, stage: Stage) {
        if stage.commits.is_empty() {
            return;
        }
        let now_ms = self.clock.now_ms();
        let mut woken = Vec::new();
        let mut state = self.lock();
        let old = std::mem::replace(&mut state.tree, stage.tree);
        state.revision = stage.revision;
        state.move_deadlines(stage.deadlines);
        for commit in stage.commits {
            state.groups.push(&commit, self.limits.watch_backlog_changes_max, &mut woken);
            state.history.push(commit, now_ms);
        }
        if now_ms >= state.next_progress_ms {
            state.next_progress_ms = now_ms.saturating_add(millis(self.limits.progress_every));
            state.groups.progress(stage.revision, &mut woken);
        }
        let forgotten = state.history.trim(now_ms);
        if !forgotten.is_empty() {
            state.groups.trim(state.history.oldest());
        }
        drop(state);
        // Freeing memory and waking watchers is nothing that a writer has to wait for.
        drop((old, forgotten));
        woken.iter().for_each(|group| group.wake_all());
    }

    pub(crate) fn get(&self, key: &str, at: Option<Revision>) -> Result<Option<KeyValue>, StoreError> {
        Ok(self.view(at)?.get(key))
    }

    pub(crate) fn range(&self, range: &Range, at: Option<Revision>, limit: usize) -> Result<Page, StoreError> {
        Ok(self.view(at)?.range(range, limit))
    }

    pub(crate) fn watch(self: &Arc<Index>, prefix: &str, after: Revision) -> Result<Watcher, StoreError> {
        if prefix.len() > limits::KEY_BYTES_MAX {
            return Err(StoreError::Invalid(format!("a prefix of {} bytes", prefix.len())));
        }
        let mut state = self.lock();
        state.reachable(after)?;
        let missed = state.history.after(after);
        let group = state.groups.join(prefix);
        let mut watcher = Watcher::new(self.clone(), group, state.revision);
        drop(state);
        watcher.catch_up(after, &missed);
        Ok(watcher)
    }

    /// Takes a watcher out of its group.
    pub(crate) fn leave(&self, group: &Group) {
        self.lock().groups.leave(group);
    }

    pub(crate) fn revision(&self) -> Result<Revision, StoreError> {
        let state = self.lock();
        state.open().map(|()| state.revision)
    }

    pub(crate) fn compact(&self, revision: Revision) -> Result<(), StoreError> {
        let mut state = self.lock();
        state.open()?;
        if revision > state.revision {
            return Err(StoreError::Future { asked: revision, current: state.revision });
        }
        let forgotten = state.history.compact(revision);
        let oldest = state.history.oldest();
        state.groups.trim(oldest);
        drop(state);
        drop(forgotten);
        Ok(())
    }

    /// Deletes on the stage what is due, up to a batch.
    pub(crate) fn expire(&self, stage: &mut Stage) {
        let now_ms = self.clock.now_ms();
        let due: Vec<_> = {
            let state = self.lock();
            let due = state.deadlines.iter().take_while(|(deadline_ms, _)| *deadline_ms <= now_ms);
            due.take(EXPIRE_BATCH_MAX).cloned().collect()
        };
        due.iter().for_each(|(deadline_ms, key)| stage.expire(key, *deadline_ms));
    }

    /// When the next key expires, in milliseconds since the Unix epoch.
    pub(crate) fn next_deadline_ms(&self) -> Option<u64> {
        self.lock().deadlines.first().map(|(deadline_ms, _)| *deadline_ms)
    }

    /// Ends all watches and refuses everything from now on. True if it was open.
    pub(crate) fn close(&self) -> bool {
        let mut state = self.lock();
        state.groups.close();
        !std::mem::replace(&mut state.closed, true)
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.lock().closed
    }

    fn view(&self, at: Option<Revision>) -> Result<View, StoreError> {
        let state = self.lock();
        let revision = at.unwrap_or(state.revision);
        state.reachable(revision)?;
        let later = match revision {
            now if now == state.revision => Suffix::default(),
            older => state.history.after(older),
        };
        Ok(View { tree: state.tree.clone(), revision, later })
    }

    fn lock(&self) -> MutexGuard<'_, IndexState> {
        // No code under this lock leaves the state half-changed when it panics.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl IndexState {
    fn open(&self) -> Result<(), StoreError> {
        if self.closed { Err(StoreError::Closed) } else { Ok(()) }
    }

    fn reachable(&self, asked: Revision) -> Result<(), StoreError> {
        self.open()?;
        let (oldest, current) = (self.history.oldest(), self.revision);
        if asked < oldest {
            return Err(StoreError::Compacted { asked, oldest });
        }
        if asked > current {
            return Err(StoreError::Future { asked, current });
        }
        Ok(())
    }

    fn move_deadlines(&mut self, deadlines: Vec<Deadline>) {
        for deadline in deadlines {
            match deadline {
                Deadline::Set(at_ms, key) => self.deadlines.insert((at_ms, key)),
                Deadline::Cleared(at_ms, key) => self.deadlines.remove(&(at_ms, key)),
            };
        }
    }
}
