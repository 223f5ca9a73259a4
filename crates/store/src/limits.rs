//! Every bound of the store, with its arithmetic.

use std::time::Duration;

/// The largest value: etcd's default request limit, so that data can move to etcd.
pub const VALUE_BYTES_MAX: usize = 1_572_864;
/// The longest key. Kubernetes names have at most 253 bytes and a path has four of them.
pub const KEY_BYTES_MAX: usize = 2_048;
/// Conditions, and writes, of one transaction: etcd's `--max-txn-ops`.
pub const TRANSACTION_STEPS_MAX: usize = 128;
/// All values of one transaction together.
pub const TRANSACTION_BYTES_MAX: usize = 8 << 20;

/// What is kept beyond the current values, in memory and on disk. All bounds hold at once; the
/// first that is reached forgets the oldest history.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Commits older than this are forgotten when new ones come. Five minutes is etcd's usual
    /// compaction interval under a kube-apiserver, and the life of a continue token.
    pub history_age: Duration,
    /// Changes held. At 200 bytes each: 20 MB.
    pub history_changes_max: usize,
    /// Memory held by history alone (replaced values and bookkeeping, not current values).
    /// 5,000 nodes renewing leases write 300 KB of history a second: two minutes.
    pub history_bytes_max: usize,
    /// Changes that a watcher may be behind before it gets [`Overrun`](crate::WatchItem::Overrun).
    /// A watcher is also overrun when it is behind the oldest history.
    pub watch_backlog_changes_max: usize,
    /// Writes in the log on disk before the oldest half is folded into the rows, as soon as it is
    /// quiet. 5,000 nodes renewing leases fold every row once in half a minute; reading so many at
    /// a start takes 50 ms.
    pub log_writes_max: usize,
    /// Bytes of that log, likewise: a rollout over 5,000 nodes writes 20 MB.
    pub log_bytes_max: usize,
    /// How often, while there are commits, watchers of quiet prefixes get
    /// [`Progress`](crate::WatchItem::Progress).
    pub progress_every: Duration,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            history_age: Duration::from_secs(300),
            history_changes_max: 100_000,
            history_bytes_max: 32 << 20,
            log_writes_max: 32_768,
            log_bytes_max: 32 << 20,
            watch_backlog_changes_max: 65_536,
            progress_every: Duration::from_secs(1),
        }
    }
}

/// Revisions reserved at a time for relaxed writes. 5,000 nodes renew 500 times a second, so one
/// block outlasts 200 s of a disk that refuses; a crash skips at most this many numbers.
pub(crate) const RELAXED_BLOCK: u64 = 100_000;
/// Keys go up to this much after their deadline, so that one wake-up serves many.
pub(crate) const EXPIRY_SLACK: Duration = Duration::from_secs(1);
/// The log on disk may grow to this many times its limits while it is never quiet; from then on
/// each commit also folds about as much as it writes.
pub(crate) const LOG_GROWTH_MAX: usize = 4;
