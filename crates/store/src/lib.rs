//! Ordered, revisioned bytes: what the API server stands on.
//!
//! The store knows no JSON and no Kubernetes. It is shaped like etcd from the first day: every
//! committed transaction gets one [`Revision`], greater than all before; a value never contains
//! its own revision; conditions compare the revision at which a key was last modified.
//!
//! Reading order: this file (the contract), `stage` (how a transaction is decided), `index` (what
//! every backend serves reads and watches from), `memory` (the index alone), `embedded` (the
//! durable one), `suite` (what every backend must pass). Below them: `tree` (the persistent map),
//! `history`, `watch`, `view` (reads at a revision) and `limits` (every bound).
//!
//! Invariants:
//! 1. Revisions only grow and none is issued twice, crashes included. They may have gaps.
//! 2. A reader sees whole transactions only, and a newer state never before an older one.
//! 3. A watcher gets every change below its prefix exactly once, in revision order, or is told
//!    that it did not (`Overrun`, `Compacted`).
//! 4. Nothing that was acknowledged as [`Durability::Fsync`] is lost; what is lost of the
//!    [`Durability::Relaxed`] writes is a tail of them.
//! 5. Everything that is held is bounded by a named limit.

mod clock;
pub mod embedded;
mod history;
mod index;
pub mod limits;
pub mod memory;
mod stage;
#[cfg(any(test, feature = "suite"))]
pub mod suite;
mod tree;
mod view;
mod watch;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

pub use clock::{Clock, ManualClock, SystemClock};
pub use embedded::{EmbeddedOptions, EmbeddedStore, Problem, Repaired, Report, begin_anew, repair, verify};
pub use limits::Limits;
pub use memory::MemoryStore;

/// A boxed future, so that [`Store`] can be used as `dyn Store`.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A store revision. Zero means "before everything"; the first commit gets 1. Never issued twice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Revision(pub u64);

/// A key: a path such as `/registry/pods/default/web-1`. Compared as bytes.
pub type Key = Arc<str>;

/// One key with its value at one revision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyValue {
    pub key: Key,
    pub value: Bytes,
    /// The revision that created this incarnation of the key.
    pub created: Revision,
    /// The revision that wrote this value.
    pub modified: Revision,
}

/// A condition of a [`Transaction`]; all must hold or nothing is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    /// The key does not exist.
    Absent(Key),
    /// The key exists and was last modified at exactly this revision.
    ModifiedAt(Key, Revision),
    /// The key exists, at any revision.
    Present(Key),
    /// No key exists below this prefix (used for one-per-node reservations).
    NoneBelow(Key),
}

/// A write of a [`Transaction`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Write {
    Put {
        key: Key,
        value: Bytes,
        /// The key deletes itself this long after the commit (events). Survives restarts.
        expires_in: Option<Duration>,
    },
    Delete {
        key: Key,
    },
}

/// When a transaction may be acknowledged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// After its fsync. The default for everything.
    #[default]
    Fsync,
    /// Before its fsync: it rides the next commit or a one-second timer. Only for renewals in
    /// `kube-node-lease`; its revision comes from a durably reserved block, so that no revision is
    /// ever issued twice, even after a crash that loses the write.
    Relaxed,
}

/// Conditions and writes that happen together at one revision, or not at all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Transaction {
    pub conditions: Vec<Condition>,
    pub writes: Vec<Write>,
    pub durability: Durability,
}

/// What became of a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Everything was written at this revision (and is durable, see [`Durability`]). If there was
    /// nothing to change (no writes, or deletes of absent keys) it is the newest revision so far.
    Committed(Revision),
    /// The condition with this index did not hold; nothing was written. The key's current state
    /// (if any) comes along, so that the caller can decide without another read.
    /// For [`Condition::NoneBelow`] it is the first key below the prefix.
    Refused { condition: usize, current: Option<KeyValue> },
}

/// The half-open range of keys `start..end` to read. An empty `end` means "to the last key".
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Range {
    pub start: Key,
    pub end: Key,
}

impl Range {
    /// Whether a key that is not before `start` is in the range.
    pub(crate) fn holds_below_end(&self, key: &str) -> bool {
        self.end.is_empty() || key < &*self.end
    }
}

/// A page of a range at one revision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// In key order.
    pub items: Vec<KeyValue>,
    /// The revision that the page shows.
    pub revision: Revision,
    /// Keys of the range beyond this page, at that revision (0 when the page is complete).
    pub remaining: u64,
}

/// One change of one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    pub key: Key,
    pub revision: Revision,
    /// The value now; `None` for a deletion.
    pub value: Option<KeyValue>,
    /// The value before; `None` for a creation.
    pub previous: Option<KeyValue>,
}

/// What a watch delivers, in revision order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WatchItem {
    /// Changes of one or more whole commits; all changes of one revision come in one batch.
    Changes(Arc<[Change]>),
    /// Nothing else happened in the range up to this revision.
    Progress(Revision),
    /// The watcher fell behind (named limit); it must start again from a list. The last item.
    Overrun,
}

/// A stream of changes below one prefix. Dropping it ends the watch.
pub trait Watch: Send {
    /// The next item; `None` when the store is shut down. Cancel-safe.
    fn next(&mut self) -> BoxFuture<'_, Option<WatchItem>>;
}

/// Why a store operation failed.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The revision asked for is no longer held; the oldest one that is comes along.
    #[error("revision {} is compacted, the oldest held is {}", .asked.0, .oldest.0)]
    Compacted { asked: Revision, oldest: Revision },
    /// The revision asked for has not happened yet.
    #[error("revision {} is in the future, the store is at {}", .asked.0, .current.0)]
    Future { asked: Revision, current: Revision },
    /// The transaction is malformed: too many steps, an empty or overlong key, a key written twice.
    /// A mistake of the caller; nothing was written.
    #[error("invalid transaction: {0}")]
    Invalid(String),
    /// The value, or all values of the transaction together, are larger than the store takes.
    #[error("value of {size} bytes is larger than the limit of {limit} bytes")]
    TooLarge { size: usize, limit: usize },
    /// The disk has no room. Nothing was acknowledged; deletes and changes that add little may
    /// still be taken.
    #[error("the store has no room: {0}")]
    Full(String),
    /// The disk refused (read-only, failing). Nothing was acknowledged.
    #[error("the store cannot write: {0}")]
    Disk(String),
    /// The database files are damaged; the message names the file and what to do.
    #[error("{0}")]
    Corrupt(String),
    /// Another process has this data directory open.
    #[error("{0}")]
    InUse(String),
    /// The store was shut down.
    #[error("the store is shut down")]
    Closed,
}

/// Whether a store takes writes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Health {
    #[default]
    Good,
    /// The disk is full: deletes are taken, and changes that add little.
    Full,
    /// The disk refuses writes.
    Failing,
}

impl Health {
    /// Without names of files: it is shown to every client.
    pub fn words(self) -> &'static str {
        match self {
            Health::Good => "ok",
            Health::Full => "the disk is full: only deletes and small changes are taken",
            Health::Failing => "the disk refuses writes: only reads are served",
        }
    }
}

/// Ordered, revisioned bytes with compare-and-write, snapshots, watch, compaction and expiry.
pub trait Store: Send + Sync + 'static {
    /// Commits the writes if every condition holds. Acknowledged means durable, see [`Durability`].
    /// If the future is dropped the transaction may or may not happen, but never by half.
    fn commit(&self, transaction: Transaction) -> BoxFuture<'_, Result<Outcome, StoreError>>;
    /// Reads one key, now or at a revision.
    fn get(&self, key: &str, at: Option<Revision>) -> Result<Option<KeyValue>, StoreError>;
    /// Reads up to `limit` keys (0 = all) of a range, now or at a revision, in key order.
    fn range(&self, range: &Range, at: Option<Revision>, limit: usize) -> Result<Page, StoreError>;
    /// Watches every key below `prefix` for changes after `after`.
    fn watch(&self, prefix: &str, after: Revision) -> Result<Box<dyn Watch>, StoreError>;
    /// The newest revision that is visible to reads (linearizable on a backend with one writer).
    fn current_revision(&self) -> BoxFuture<'_, Result<Revision, StoreError>>;
    /// Forgets history before `revision`; the current value of every key is kept.
    fn compact(&self, revision: Revision) -> BoxFuture<'_, Result<(), StoreError>>;
    /// Whether it takes writes, as far as is known without trying.
    fn health(&self) -> Health {
        Health::Good
    }
    /// Stops intake, makes everything durable, ends all watches.
    fn shutdown(&self) -> BoxFuture<'_, Result<(), StoreError>>;
}

/// The range of all keys that begin with `prefix`; of all keys if it is empty.
pub fn prefix_range(prefix: &str) -> Range {
    Range { start: prefix.into(), end: successor(prefix).into() }
}

/// The least string above everything that begins with `prefix`; empty if there is none.
fn successor(prefix: &str) -> String {
    let mut end = prefix.to_owned();
    while let Some(last) = end.pop() {
        // Byte order of UTF-8 is the order of characters; a range of characters skips surrogates.
        if let Some(next) = (last..=char::MAX).nth(1) {
            end.push(next);
            break;
        }
    }
    end
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_range_of_a_prefix_ends_right_after_it() {
        let ends = [("/a/", "/a0"), ("/a~", "/a\u{7f}"), ("", ""), ("\u{10ffff}", "")];
        let more = [("a\u{d7ff}", "a\u{e000}"), ("a\u{7f}", "a\u{80}"), ("a\u{10ffff}", "b")];
        for (prefix, end) in ends.into_iter().chain(more) {
            assert_eq!(&*prefix_range(prefix).end, end, "{prefix:?}");
        }
    }
}
