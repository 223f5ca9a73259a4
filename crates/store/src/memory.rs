//! The store without a disk: the index alone.
//!
//! For tests, the simulator, and servers whose state may be lost. It also models what the
//! embedded store does with a crash: see [`MemoryStore::crashed`].

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::thread::{self, Thread};
use std::time::Duration;

use crate::clock::{Clock, SystemClock};
use crate::index::Index;
use crate::limits::Limits;
use crate::stage::{IssuedNumbers, Stage, validate};
use crate::tree::Tree;
use crate::{
    BoxFuture, Durability, KeyValue, Outcome, Page, Range, Revision, Store, StoreError, Transaction, Watch, Write,
    limits,
};

/// A [`Store`] in memory. Dropping it ends all watches.
#[derive(Debug)]
pub struct MemoryStore {
    shared: Arc<Shared>,
    /// Deletes expired keys; only with the machine's clock, and only once a key expires.
    expirer: Option<OnceLock<Thread>>,
}

#[derive(Debug)]
struct Shared {
    index: Arc<Index>,
    writer: Mutex<Writer>,
    limits: Limits,
}

/// What the one writer knows. Whoever holds it may publish.
#[derive(Debug)]
struct Writer {
    numbers: IssuedNumbers,
    /// What a crash would leave: the state at the newest commit that needed an fsync.
    durable: (Tree, Revision),
    /// Relaxed revisions up to here are reserved: numbering continues beyond them after a crash.
    reserved: Revision,
}

impl Default for MemoryStore {
    fn default() -> MemoryStore {
        MemoryStore::new()
    }
}

impl MemoryStore {
    /// An empty store on the machine's clock.
    pub fn new() -> MemoryStore {
        let shared = Shared::over(Tree::default(), Revision(0), Arc::new(SystemClock), Limits::default());
        MemoryStore { shared, expirer: Some(OnceLock::new()) }
    }

    /// An empty store on a given clock. Nothing runs by itself: expired keys go with the next
    /// commit or with [`MemoryStore::expire_due`].
    pub fn with_clock(clock: Arc<dyn Clock>, limits: Limits) -> MemoryStore {
        let shared = Shared::over(Tree::default(), Revision(0), clock, limits);
        MemoryStore { shared, expirer: None }
    }

    /// Deletes every key whose time has come.
    pub fn expire_due(&self) {
        self.shared.expire_due();
    }

    /// When the next key expires, in milliseconds since the Unix epoch.
    pub fn next_deadline_ms(&self) -> Option<u64> {
        self.shared.index.next_deadline_ms()
    }

    /// What would be left if this had been the embedded store and the process had died now, in
    /// the worst case: no relaxed write since the last fsync, no history, and numbering that
    /// continues beyond every revision that was issued. This store is closed.
    pub fn crashed(&self) -> MemoryStore {
        let writer = self.shared.writer();
        self.shared.index.close();
        let (tree, revision) = writer.durable.clone();
        let revision = revision.max(writer.reserved);
        let clock = self.shared.index.clock.clone();
        let shared = Shared::over(tree, revision, clock, self.shared.limits.clone());
        // Rows of lost incarnations are not named again within one life of the process either.
        shared.writer().numbers.row = writer.numbers.row;
        MemoryStore { shared, expirer: self.expirer.as_ref().map(|_| OnceLock::new()) }
    }

    /// A store with what this one has now, and no history, as one that begins from a backup; its
    /// numbering goes on from here, or from `at_least` where that is more. This store goes on.
    pub fn copied(&self, at_least: Revision) -> MemoryStore {
        let writer = self.shared.writer();
        let (tree, revision) = writer.durable.clone();
        let clock = self.shared.index.clock.clone();
        let shared = Shared::over(tree, revision.max(at_least), clock, self.shared.limits.clone());
        MemoryStore { shared, expirer: self.expirer.as_ref().map(|_| OnceLock::new()) }
    }

    /// Lets the expirer see the new deadline, and starts it if there is none.
    fn wake_expirer(&self) {
        let Some(expirer) = &self.expirer else { return };
        let start = || {
            let shared = Arc::downgrade(&self.shared);
            let name = "store-expiry".to_owned();
            let started = thread::Builder::new().name(name).spawn(move || run_expirer(&shared));
            // Without threads left the process has worse problems; commits still expire keys.
            started.map_or_else(|_| thread::current(), |handle| handle.thread().clone())
        };
        expirer.get_or_init(start).unpark();
    }
}

impl Drop for MemoryStore {
    fn drop(&mut self) {
        self.shared.index.close();
        if let Some(thread) = self.expirer.as_ref().and_then(OnceLock::get) {
            thread.unpark();
        }
    }
}

impl Shared {
    fn over(tree: Tree, revision: Revision, clock: Arc<dyn Clock>, limits: Limits) -> Arc<Shared> {
        let row = tree.iter_from("").map(|entry| entry.row).max().unwrap_or(0);
        let numbers = IssuedNumbers { revision, row };
        let writer = Writer { numbers, durable: (tree.clone(), revision), reserved: Revision(0) };
        let index = Arc::new(Index::new(tree, revision, limits.clone(), clock));
        Arc::new(Shared { index, writer: Mutex::new(writer), limits })
    }

    fn commit(&self, transaction: &Transaction) -> Result<Outcome, StoreError> {
        let mut writer = self.writer();
        if self.index.is_closed() {
            return Err(StoreError::Closed);
        }
        let mut stage = self.index.stage(writer.numbers);
        self.index.expire(&mut stage);
        let expired = !stage.commits.is_empty();
        let outcome = stage.run(transaction, self.index.clock.now_ms());
        let durable = expired || transaction.durability == Durability::Fsync;
        self.publish(&mut writer, stage, durable);
        Ok(outcome)
    }

    fn expire_due(&self) {
        let mut writer = self.writer();
        loop {
            let mut stage = self.index.stage(writer.numbers);
            self.index.expire(&mut stage);
            if stage.commits.is_empty() || self.index.is_closed() {
                return;
            }
            self.publish(&mut writer, stage, true);
        }
    }

    fn publish(&self, writer: &mut Writer, stage: Stage, durable: bool) {
        writer.numbers = stage.numbers;
        if !durable && stage.numbers.revision > writer.reserved {
            // The embedded store reserves with an fsync, which makes everything before durable.
            writer.reserved = Revision(stage.numbers.revision.0 + limits::RELAXED_BLOCK);
            writer.durable = (stage.tree.clone(), stage.revision);
        }
        if durable {
            writer.durable = (stage.tree.clone(), stage.revision);
        }
        self.index.publish(stage);
    }

    fn writer(&self) -> MutexGuard<'_, Writer> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Sleeps until the next deadline or until unparked; ends with the store.
fn run_expirer(shared: &Weak<Shared>) {
    while let Some(alive) = shared.upgrade().filter(|shared| !shared.index.is_closed()) {
        alive.expire_due();
        let next_ms = alive.index.next_deadline_ms();
        let now_ms = alive.index.clock.now_ms();
        drop(alive);
        match next_ms {
            Some(next_ms) => {
                let wait = Duration::from_millis(next_ms.saturating_sub(now_ms));
                thread::park_timeout(wait + limits::EXPIRY_SLACK);
            }
            None => thread::park(),
        }
    }
}

impl Store for MemoryStore {
    fn commit(&self, transaction: Transaction) -> BoxFuture<'_, Result<Outcome, StoreError>> {
        Box::pin(async move {
            validate(&transaction)?;
            let outcome = self.shared.commit(&transaction)?;
            if transaction.writes.iter().any(expires) {
                self.wake_expirer();
            }
            Ok(outcome)
        })
    }

    fn get(&self, key: &str, at: Option<Revision>) -> Result<Option<KeyValue>, StoreError> {
        self.shared.index.get(key, at)
    }

    fn range(&self, range: &Range, at: Option<Revision>, limit: usize) -> Result<Page, StoreError> {
        self.shared.index.range(range, at, limit)
    }

    fn watch(&self, prefix: &str, after: Revision) -> Result<Box<dyn Watch>, StoreError> {
        Ok(Box::new(self.shared.index.watch(prefix, after)?))
    }

    fn current_revision(&self) -> BoxFuture<'_, Result<Revision, StoreError>> {
        Box::pin(async { self.shared.index.revision() })
    }

    fn compact(&self, revision: Revision) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(async move { self.shared.index.compact(revision) })
    }

    fn shutdown(&self) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(async {
            // Under the writer's lock: a commit is either before the end or refused.
            let _writer = self.shared.writer();
            self.shared.index.close();
            Ok(())
        })
    }
}

fn expires(write: &Write) -> bool {
    matches!(write, Write::Put { expires_in: Some(_), .. })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::suite::{self, Backend};

    struct Memory {
        store: MemoryStore,
        clock: crate::ManualClock,
    }

    impl Backend for Memory {
        fn store(&self) -> &dyn Store {
            &self.store
        }

        fn advance(&self, by: Duration) -> BoxFuture<'_, ()> {
            self.clock.advance(by);
            Box::pin(async { self.store.expire_due() })
        }
    }

    fn open(limits: Limits) -> Memory {
        let clock = crate::ManualClock::default();
        Memory { store: MemoryStore::with_clock(Arc::new(clock.clone()), limits), clock }
    }

    crate::conformance!(open);

    /// At most what was relaxed is lost, and no revision comes again.
    #[test]
    fn a_crash_keeps_fsynced_writes_and_never_reuses_a_revision() {
        suite::block_on(async {
            let store = MemoryStore::new();
            suite::put(&store, "/a", "durable").await;
            let first = suite::put_relaxed(&store, "/b", "reserves the block").await;
            let lost = suite::put_relaxed(&store, "/c", "lost").await;
            let store = store.crashed();
            assert!(store.get("/a", None).unwrap().is_some());
            assert!(store.get("/c", None).unwrap().is_none());
            let after = store.current_revision().await.unwrap();
            assert!(first < lost && lost < after, "{lost:?} {after:?}");
            let asked = store.watch("/", lost).err();
            assert!(matches!(asked, Some(StoreError::Compacted { .. })), "{asked:?}");
            assert!(suite::put(&store, "/c", "again").await > after);
        });
    }

    /// Many watchers of one prefix must not cost a copy of the data each.
    #[test]
    fn watchers_share_their_batches() {
        suite::block_on(async {
            let store = MemoryStore::new();
            let mut watches: Vec<_> = (0..3).map(|_| store.watch("/a/", Revision(0)).unwrap()).collect();
            suite::put(&store, "/a/1", "x").await;
            let mut batches = Vec::new();
            for watch in &mut watches {
                match watch.next().await {
                    Some(crate::WatchItem::Changes(batch)) => batches.push(batch),
                    other => panic!("{other:?}"),
                }
            }
            assert!(batches.iter().all(|batch| Arc::ptr_eq(batch, &batches[0])));
        });
    }

    /// With the machine's clock a key goes by itself.
    #[test]
    fn expires_without_being_asked() {
        suite::block_on(async {
            let store = MemoryStore::new();
            let mut watch = store.watch("/e/", Revision(0)).unwrap();
            suite::put_expiring(&store, "/e/1", "x", Duration::from_millis(1)).await;
            assert!(suite::next_change(&mut *watch).await.value.is_some());
            assert!(suite::next_change(&mut *watch).await.value.is_none());
        });
    }
}
