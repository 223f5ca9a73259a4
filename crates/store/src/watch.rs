//! Watches: one group per prefix, however many watchers share it.
//!
//! A commit is matched against the prefixes once and stored once per matching group; a watcher is
//! a cursor into its group, so that 5,000 watchers of one prefix cost 5,000 wake-ups and no copy.
//! What a group holds is bounded by [`Limits`](crate::Limits) and by history: a watcher that is
//! behind is overrun, never buffered for.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::history::{Suffix, revision_of};
use crate::index::Index;
use crate::stage::Commit;
use crate::{BoxFuture, Change, Revision, Watch, WatchItem};

/// The groups of one store.
#[derive(Debug, Default)]
pub(crate) struct Groups {
    by_prefix: HashMap<Arc<str>, Member>,
    /// The lengths of all prefixes, and how many have each: the only cuts of a key to look up.
    lengths: BTreeMap<usize, usize>,
}

#[derive(Debug)]
struct Member {
    group: Arc<Group>,
    watchers: usize,
}

impl Groups {
    /// Counts a watcher into the group of a prefix, which is made if there is none.
    pub(crate) fn join(&mut self, prefix: &str) -> Arc<Group> {
        if let Some(member) = self.by_prefix.get_mut(prefix) {
            member.watchers += 1;
            return member.group.clone();
        }
        *self.lengths.entry(prefix.len()).or_default() += 1;
        let prefix: Arc<str> = prefix.into();
        let (ring, wake) = Default::default();
        let group = Arc::new(Group { prefix: prefix.clone(), ring, wake });
        self.by_prefix.insert(prefix, Member { group: group.clone(), watchers: 1 });
        group
    }

    /// Counts a watcher out; the last one takes the group with it.
    pub(crate) fn leave(&mut self, group: &Group) {
        let Some(member) = self.by_prefix.get_mut(&group.prefix) else {
            return;
        };
        member.watchers -= 1;
        if member.watchers == 0 {
            self.by_prefix.remove(&group.prefix);
            self.forget_length(group.prefix.len());
        }
    }

    fn forget_length(&mut self, length: usize) {
        let Some(count) = self.lengths.get_mut(&length) else {
            return;
        };
        *count -= 1;
        if *count == 0 {
            self.lengths.remove(&length);
        }
    }

    fn all(&self) -> impl Iterator<Item = &Arc<Group>> {
        self.by_prefix.values().map(|member| &member.group)
    }

    /// Hands a commit to every group that it concerns; they are added to `woken`.
    pub(crate) fn push(&self, commit: &Commit, changes_max: usize, woken: &mut Vec<Arc<Group>>) {
        for group in self.concerned(commit) {
            if let Some(part) = matching(commit, &group.prefix) {
                group.ring().push(part, changes_max);
                woken.push(group.clone());
            }
        }
    }

    /// Tells every group that nothing else happened up to `revision`.
    pub(crate) fn progress(&self, revision: Revision, woken: &mut Vec<Arc<Group>>) {
        for group in self.all() {
            group.ring().progress = revision;
            woken.push(group.clone());
        }
    }

    /// Drops what history no longer holds.
    pub(crate) fn trim(&self, oldest: Revision) {
        for group in self.all() {
            group.ring().trim(oldest);
        }
    }

    pub(crate) fn close(&self) {
        for group in self.all() {
            group.ring().closed = true;
            group.wake.notify_waiters();
        }
    }

    fn concerned(&self, commit: &[Change]) -> Vec<&Arc<Group>> {
        let mut found: Vec<&Arc<Group>> = Vec::new();
        for key in commit.iter().map(|change| &change.key) {
            for cut in self.lengths.keys().take_while(|length| **length <= key.len()) {
                let member = key.get(..*cut).and_then(|prefix| self.by_prefix.get(prefix));
                let Some(group) = member.map(|member| &member.group) else {
                    continue;
                };
                if !found.iter().any(|had| Arc::ptr_eq(had, group)) {
                    found.push(group);
                }
            }
        }
        found
    }
}

/// The watchers of one prefix and what they have not all read yet.
#[derive(Debug)]
pub(crate) struct Group {
    prefix: Arc<str>,
    ring: Mutex<CommitBuffer>,
    wake: Notify,
}

impl Group {
    pub(crate) fn wake_all(&self) {
        self.wake.notify_waiters();
    }

    fn ring(&self) -> MutexGuard<'_, CommitBuffer> {
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Debug, Default)]
struct CommitBuffer {
    commits: VecDeque<Commit>,
    /// The number of the first commit in `commits`, counted since the group was made.
    first: u64,
    changes: usize,
    progress: Revision,
    closed: bool,
}

impl CommitBuffer {
    fn push(&mut self, commit: Commit, changes_max: usize) {
        self.changes += commit.len();
        self.commits.push_back(commit);
        // The newest commit always stays, however large it is.
        while self.changes > changes_max && self.commits.len() > 1 {
            self.pop();
        }
    }

    fn trim(&mut self, oldest: Revision) {
        while self.commits.front().is_some_and(|commit| revision_of(commit) <= oldest) {
            self.pop();
        }
    }

    fn pop(&mut self) {
        if let Some(commit) = self.commits.pop_front() {
            self.changes -= commit.len();
            self.first += 1;
        }
    }

    fn next_number(&self) -> u64 {
        self.first + self.commits.len() as u64
    }
}

/// A cursor into a group. Must be made under the lock that commits are pushed under.
pub(crate) struct Watcher {
    index: Arc<Index>,
    group: Arc<Group>,
    /// What happened before the watcher joined its group.
    backlog: VecDeque<Commit>,
    /// The store's revision when the watcher joined.
    joined: Revision,
    /// The revision that the watcher was last told.
    told: Revision,
    /// The number of the next commit in the group's ring.
    next: u64,
    overrun: bool,
}

impl Watcher {
    pub(crate) fn new(index: Arc<Index>, group: Arc<Group>, joined: Revision) -> Watcher {
        let next = group.ring().next_number();
        let (backlog, told, overrun) = Default::default();
        Watcher { index, group, backlog, joined, told, next, overrun }
    }

    /// Fills in what happened after `after` and before the watcher joined. No lock is needed.
    pub(crate) fn catch_up(&mut self, after: Revision, missed: &Suffix) {
        let prefix = &self.group.prefix;
        self.told = after;
        self.backlog = missed.commits().filter_map(|commit| matching(commit, prefix)).collect();
    }

    /// What there is to tell now; the outer `None` means "wait".
    fn poll(&mut self) -> Option<Option<WatchItem>> {
        if self.overrun {
            return Some(None);
        }
        if let Some(commit) = self.backlog.pop_front() {
            return Some(Some(self.tell(commit)));
        }
        if self.joined > self.told {
            self.told = self.joined;
            return Some(Some(WatchItem::Progress(self.told)));
        }
        let group = self.group.clone();
        let ring = group.ring();
        let Some(offset) = self.next.checked_sub(ring.first) else {
            self.overrun = true;
            return Some(Some(WatchItem::Overrun));
        };
        if let Some(commit) = usize::try_from(offset).ok().and_then(|at| ring.commits.get(at)) {
            self.next += 1;
            return Some(Some(self.tell(commit.clone())));
        }
        if ring.progress > self.told {
            self.told = ring.progress;
            return Some(Some(WatchItem::Progress(self.told)));
        }
        ring.closed.then_some(None)
    }

    fn tell(&mut self, commit: Commit) -> WatchItem {
        self.told = revision_of(&commit);
        WatchItem::Changes(commit)
    }
}

impl Watch for Watcher {
    fn next(&mut self) -> BoxFuture<'_, Option<WatchItem>> {
        Box::pin(async move {
            let group = self.group.clone();
            loop {
                // Registered before looking, so that no wake-up is lost in between.
                let mut woken = std::pin::pin!(group.wake.notified());
                woken.as_mut().enable();
                if let Some(item) = self.poll() {
                    return item;
                }
                woken.await;
            }
        })
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.index.leave(&self.group);
    }
}

/// The changes of a commit below a prefix; the commit itself when that is all of them.
fn matching(commit: &Commit, prefix: &str) -> Option<Commit> {
    let concerns = |change: &&Change| change.key.starts_with(prefix);
    match commit.iter().filter(concerns).count() {
        0 => None,
        all if all == commit.len() => Some(commit.clone()),
        _ => Some(commit.iter().filter(concerns).cloned().collect()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_watcher_takes_its_group_along() {
        let mut groups = Groups::default();
        let (one, two, other) = (groups.join("/a/"), groups.join("/a/"), groups.join("/b/"));
        assert!(Arc::ptr_eq(&one, &two));
        groups.leave(&one);
        assert_eq!((groups.by_prefix.len(), &groups.lengths), (2, &BTreeMap::from([(3, 2)])));
        groups.leave(&two);
        groups.leave(&other);
        assert!(groups.by_prefix.is_empty() && groups.lengths.is_empty());
    }
}
