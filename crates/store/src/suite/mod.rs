//! What every backend must pass.
//!
//! A backend's tests name a function that opens an empty store with given limits, and
//! [`conformance!`](crate::conformance) makes one test of each case:
//!
//! ```ignore
//! everynode_store::conformance!(open); // fn open(limits: Limits) -> impl Backend
//! ```

pub mod expiry;
pub mod reads;
pub mod transactions;
pub mod watches;

use std::future::Future;
use std::time::Duration;

use bytes::Bytes;

use crate::{
    BoxFuture, Change, Condition, Durability, Key, Outcome, Revision, Store, Transaction, Watch, WatchItem, Write,
};

/// A store under test, and the clock that it runs on.
pub trait Backend: Send + Sync {
    fn store(&self) -> &dyn Store;
    /// Moves the clock, and returns when everything that is due has expired.
    fn advance(&self, by: Duration) -> BoxFuture<'_, ()>;
}

/// Makes a test of every case, for the backend that the given function opens.
#[macro_export]
macro_rules! conformance {
    ($open:path) => {
        $crate::conformance!(@ $open, transactions:
            writes_share_a_revision_and_know_their_creation, conditions_hold_or_nothing_happens,
            transactions_without_effect_get_no_revision, malformed_transactions_are_refused,
            racing_writers_lose_nothing);
        $crate::conformance!(@ $open, reads:
            ranges_are_ordered_and_half_open, pages_count_what_remains,
            older_revisions_can_be_read, old_states_agree_with_a_model,
            compacted_and_future_revisions_are_refused, history_is_bounded);
        $crate::conformance!(@ $open, watches:
            a_watch_tells_every_change_once_with_its_past, a_watch_resumes_without_gaps,
            a_transaction_comes_in_one_batch, watchers_rebuild_the_state_of_racing_writers,
            quiet_watchers_learn_the_revision, slow_watchers_are_overrun,
            shutdown_ends_watches_and_refuses_the_rest);
        $crate::conformance!(@ $open, expiry:
            keys_expire_at_revisions_of_their_own, a_rewrite_moves_the_deadline);
    };
    (@ $open:path, $group:ident: $($case:ident),*) => {$(
        #[test]
        fn $case() {
            let open = |limits| -> Box<dyn $crate::suite::Backend> { Box::new($open(limits)) };
            $crate::suite::block_on($crate::suite::$group::$case(&open));
        }
    )*};
}

/// Opens an empty store with limits.
pub type Open<'a> = &'a dyn Fn(crate::Limits) -> Box<dyn Backend>;

/// Longer than any case takes; a hanging one fails instead of stopping the run.
const CASE_TIME_MAX: Duration = Duration::from_secs(60);

/// Runs a case on a runtime of its own.
///
/// # Panics
/// If the case does, or hangs.
pub fn block_on<T>(case: impl Future<Output = T>) -> T {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    let runtime = builder.worker_threads(2).enable_time().build().expect("a runtime");
    let timed = async { tokio::time::timeout(CASE_TIME_MAX, case).await };
    runtime.block_on(timed).expect("the case hangs")
}

/// A transaction of writes without conditions.
pub fn writes(writes: impl IntoIterator<Item = Write>) -> Transaction {
    Transaction { writes: writes.into_iter().collect(), ..Transaction::default() }
}

/// A write of a value.
pub fn put_of(key: &str, value: impl Into<Bytes>) -> Write {
    Write::Put { key: key.into(), value: value.into(), expires_in: None }
}

/// A write that removes a key.
pub fn delete_of(key: &str) -> Write {
    Write::Delete { key: key.into() }
}

/// Commits what must succeed.
pub async fn committed(store: &dyn Store, transaction: Transaction) -> Revision {
    match store.commit(transaction).await {
        Ok(Outcome::Committed(revision)) => revision,
        other => panic!("not committed: {other:?}"),
    }
}

pub async fn put(store: &dyn Store, key: &str, value: &str) -> Revision {
    committed(store, writes([put_of(key, value.to_owned())])).await
}

pub async fn put_relaxed(store: &dyn Store, key: &str, value: &str) -> Revision {
    let transaction = writes([put_of(key, value.to_owned())]);
    committed(store, Transaction { durability: Durability::Relaxed, ..transaction }).await
}

pub async fn put_expiring(store: &dyn Store, key: &str, value: &str, after: Duration) -> Revision {
    let (key, value, expires_in) = (key.into(), Bytes::from(value.to_owned()), Some(after));
    committed(store, writes([Write::Put { key, value, expires_in }])).await
}

pub async fn delete(store: &dyn Store, key: &str) -> Revision {
    committed(store, writes([delete_of(key)])).await
}

/// Commits under a condition and returns what became of it.
pub async fn put_if(store: &dyn Store, condition: Condition, key: &str, value: &str) -> Outcome {
    let transaction = writes([put_of(key, value.to_owned())]);
    let transaction = Transaction { conditions: vec![condition], ..transaction };
    store.commit(transaction).await.expect("decided")
}

/// The value of a key as text, if it is there.
pub fn text(store: &dyn Store, key: &str, at: Option<Revision>) -> Option<String> {
    let found = store.get(key, at).expect("readable")?;
    Some(String::from_utf8_lossy(&found.value).into_owned())
}

/// The next batch of changes; progress in between is skipped.
pub async fn next_changes(watch: &mut dyn Watch) -> Vec<Change> {
    loop {
        match watch.next().await {
            Some(WatchItem::Changes(changes)) => return changes.to_vec(),
            Some(WatchItem::Progress(_)) => {}
            other => panic!("no changes but {other:?}"),
        }
    }
}

/// The next change, which must be alone in its batch.
pub async fn next_change(watch: &mut dyn Watch) -> Change {
    let mut changes = next_changes(watch).await;
    assert_eq!(changes.len(), 1, "{changes:?}");
    changes.remove(0)
}

pub fn key(text: &str) -> Key {
    text.into()
}
