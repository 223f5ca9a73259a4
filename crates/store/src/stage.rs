//! Deciding transactions: pure, on a private copy of the state.
//!
//! A [`Stage`] takes the current tree, runs any number of transactions on it one after the other
//! (each sees what the ones before it wrote) and collects what a backend must make durable and
//! publish. If the disk refuses, the stage is thrown away and nothing has happened, except that
//! its revisions are burned: they are not issued again.

use std::collections::HashSet;
use std::sync::Arc;

use crate::clock::millis;
use crate::tree::{Entry, Tree};
use crate::{
    Change, Condition, Key, KeyValue, Outcome, Range, Revision, StoreError, Transaction, Write, limits, prefix_range,
};

/// All changes of one revision, shared by history and every watcher.
pub(crate) type Commit = Arc<[Change]>;

/// What has been issued so far, published or not.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct IssuedNumbers {
    pub(crate) revision: Revision,
    pub(crate) row: u64,
}

/// A deadline that came or went with a write.
#[derive(Debug)]
pub(crate) enum Deadline {
    Set(u64, Key),
    Cleared(u64, Key),
}

/// One write of one key: what a durable backend records. At least one of both states is there.
#[derive(Clone, Debug)]
pub(crate) struct Step {
    pub(crate) revision: Revision,
    pub(crate) old: Option<Arc<Entry>>,
    pub(crate) new: Option<Arc<Entry>>,
}

impl Step {
    pub(crate) fn change(&self) -> Option<Change> {
        let entry = self.new.as_ref().or(self.old.as_ref())?;
        let kv = |entry: &Option<Arc<Entry>>| entry.as_ref().map(|entry| entry.kv.clone());
        let (key, value, previous) = (entry.key().clone(), kv(&self.new), kv(&self.old));
        Some(Change { key, revision: self.revision, value, previous })
    }
}

/// A batch of decided transactions that is not visible yet.
#[derive(Debug)]
pub(crate) struct Stage {
    pub(crate) tree: Tree,
    /// The revision of the newest commit on `tree`.
    pub(crate) revision: Revision,
    pub(crate) numbers: IssuedNumbers,
    pub(crate) commits: Vec<Commit>,
    pub(crate) deadlines: Vec<Deadline>,
    /// Every write of these commits, in order.
    pub(crate) steps: Vec<Step>,
}

impl Stage {
    pub(crate) fn begin(tree: Tree, revision: Revision, numbers: IssuedNumbers) -> Stage {
        let (commits, deadlines, steps) = Default::default();
        Stage { tree, revision, numbers, commits, deadlines, steps }
    }

    /// Decides a validated transaction. A transaction that changes nothing gets no revision of its
    /// own: it is answered with the newest one.
    pub(crate) fn run(&mut self, transaction: &Transaction, now_ms: u64) -> Outcome {
        for (condition, wanted) in transaction.conditions.iter().enumerate() {
            if let Err(current) = self.check(wanted) {
                return Outcome::Refused { condition, current };
            }
        }
        let revision = Revision(self.numbers.revision.0 + 1);
        let writes = transaction.writes.iter();
        let steps: Vec<_> = writes.filter_map(|write| self.write(write, revision, now_ms)).collect();
        self.seal(steps, revision);
        Outcome::Committed(self.revision)
    }

    /// Deletes a key whose deadline has come, at a revision of its own: a watcher that resumes
    /// after one of many expiries must not miss the others.
    pub(crate) fn expire(&mut self, key: &str, deadline_ms: u64) {
        if self.tree.get(key).and_then(|entry| entry.expires_ms) == Some(deadline_ms) {
            let revision = Revision(self.numbers.revision.0 + 1);
            let steps = self.delete(key, revision).into_iter().collect();
            self.seal(steps, revision);
        }
    }

    fn seal(&mut self, mut steps: Vec<Step>, revision: Revision) {
        if !steps.is_empty() {
            self.commits.push(steps.iter().filter_map(Step::change).collect());
            self.steps.append(&mut steps);
            self.numbers.revision = revision;
            self.revision = revision;
        }
    }

    fn check(&self, condition: &Condition) -> Result<(), Option<KeyValue>> {
        let current = |key: &Key| self.tree.get(key).map(|entry| entry.kv.clone());
        let (holds, current) = match condition {
            Condition::Absent(key) => (self.tree.get(key).is_none(), current(key)),
            Condition::Present(key) => (self.tree.get(key).is_some(), None),
            Condition::ModifiedAt(key, revision) => {
                let found = current(key);
                (found.as_ref().is_some_and(|kv| kv.modified == *revision), found)
            }
            Condition::NoneBelow(prefix) => {
                let found = self.first_of(&prefix_range(prefix));
                (found.is_none(), found)
            }
        };
        if holds { Ok(()) } else { Err(current) }
    }

    fn first_of(&self, range: &Range) -> Option<KeyValue> {
        let first = self.tree.iter_from(&range.start).next()?;
        range.holds_below_end(first.key()).then(|| first.kv.clone())
    }

    fn write(&mut self, write: &Write, revision: Revision, now_ms: u64) -> Option<Step> {
        match write {
            Write::Put { key, value, expires_in } => {
                let expires_ms = expires_in.map(|after| now_ms.saturating_add(millis(after)));
                let old = self.tree.get(key).cloned();
                let created = old.as_ref().map_or(revision, |old| old.kv.created);
                // The stored key is shared by every version of it.
                let key = old.as_ref().map_or(key, |old| old.key()).clone();
                let kv = KeyValue { key, value: value.clone(), created, modified: revision };
                Some(self.put(Entry { kv, expires_ms, row: 0 }, old))
            }
            Write::Delete { key } => self.delete(key, revision),
        }
    }

    fn put(&mut self, mut entry: Entry, old: Option<Arc<Entry>>) -> Step {
        entry.row = old.as_ref().map_or_else(|| self.next_row(), |old| old.row);
        let entry = Arc::new(entry);
        self.clear_deadline(old.as_deref());
        if let Some(deadline_ms) = entry.expires_ms {
            self.deadlines.push(Deadline::Set(deadline_ms, entry.key().clone()));
        }
        self.tree.insert(entry.clone());
        Step { revision: entry.kv.modified, old, new: Some(entry) }
    }

    fn delete(&mut self, key: &str, revision: Revision) -> Option<Step> {
        let old = self.tree.remove(key)?;
        self.clear_deadline(Some(&old));
        Some(Step { revision, old: Some(old), new: None })
    }

    fn clear_deadline(&mut self, old: Option<&Entry>) {
        if let Some((deadline_ms, old)) = old.and_then(|old| Some((old.expires_ms?, old))) {
            self.deadlines.push(Deadline::Cleared(deadline_ms, old.key().clone()));
        }
    }

    fn next_row(&mut self) -> u64 {
        self.numbers.row += 1;
        self.numbers.row
    }
}

/// Checks what does not depend on the state: sizes, counts, and that no key is written twice.
pub(crate) fn validate(transaction: &Transaction) -> Result<(), StoreError> {
    let (conditions, writes) = (transaction.conditions.len(), transaction.writes.len());
    if conditions > limits::TRANSACTION_STEPS_MAX || writes > limits::TRANSACTION_STEPS_MAX {
        let max = limits::TRANSACTION_STEPS_MAX;
        let text = format!("{conditions} conditions and {writes} writes, the limit is {max} each");
        return Err(StoreError::Invalid(text));
    }
    let mut written = HashSet::new();
    for write in &transaction.writes {
        let (Write::Put { key, .. } | Write::Delete { key }) = write;
        if key.is_empty() || key.len() > limits::KEY_BYTES_MAX {
            let text = format!("a key of {} bytes, 1 to {}", key.len(), limits::KEY_BYTES_MAX);
            return Err(StoreError::Invalid(text));
        }
        if !written.insert(key) {
            return Err(StoreError::Invalid(format!("{key} is written twice")));
        }
    }
    validate_sizes(transaction)
}

fn validate_sizes(transaction: &Transaction) -> Result<(), StoreError> {
    let largest = transaction.writes.iter().map(value_bytes).max().unwrap_or(0);
    if largest > limits::VALUE_BYTES_MAX {
        return Err(StoreError::TooLarge { size: largest, limit: limits::VALUE_BYTES_MAX });
    }
    let size = transaction_bytes(transaction);
    if size > limits::TRANSACTION_BYTES_MAX {
        return Err(StoreError::TooLarge { size, limit: limits::TRANSACTION_BYTES_MAX });
    }
    Ok(())
}

fn value_bytes(write: &Write) -> usize {
    match write {
        Write::Put { value, .. } => value.len(),
        Write::Delete { .. } => 0,
    }
}

/// The bytes of all values that a transaction writes.
pub(crate) fn transaction_bytes(transaction: &Transaction) -> usize {
    transaction.writes.iter().map(value_bytes).sum()
}
