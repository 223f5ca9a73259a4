//! The durable store: the index in memory, SQLite below it.
//!
//! One thread writes. It takes everything that is waiting (up to a limit), decides it on one
//! stage, appends what came out to a log in one SQLite transaction, and only after that commit
//! (write-ahead log, `synchronous=FULL`: an fsync) publishes the stage and answers. Requests that
//! come meanwhile share the next fsync. Reads and watches never touch the disk.
//!
//! On disk are the value of every key at one revision, a log of every write since, and one row of
//! numbers. The log is also the history: after a restart, watches resume from as far back as it
//! reaches. What a crash lost of the relaxed writes is not in it, and who had seen them is not
//! told.
//!
//! Invariants:
//! 1. What is visible is durable, except relaxed writes that are not flushed yet.
//! 2. Relaxed writes are flushed before or with everything younger, so what a crash loses is the
//!    tail of them and nothing that depends on them.
//! 3. A relaxed revision is at most the durable `reserved` number, and numbering begins beyond it
//!    after a crash. A clean shutdown gives the rest of the block back.
//! 4. When the disk refuses, the batch is thrown away whole, its revisions are burned, and memory
//!    stays at the state before it: reads go on and the next batch tries again.
//!
//!    A full disk still takes deletes and changes that add little (`room`).
//! 5. What is loaded is all that was acknowledged, or nothing is: the log is looked at before
//!    SQLite cuts it where its checksums end, rows and numbers have checksums, and a witness
//!    outside the log says how far it must reach.
//!
//! The directory holds `store.db`, `store.db-wal` while running, `store.witness`, `store.reserve`,
//! and `lock`. After a clean shutdown the directory is the whole backup.

mod answers;
mod batch;
mod checksum;
mod disk;
mod file;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod lock;
mod log;
mod reserve;
mod room;
mod salvage;
mod tables;
mod verify;
mod wal;
mod witness;
mod writer;

#[cfg(test)]
mod damage_tests;
#[cfg(test)]
mod tests;

use std::path::Path;
use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tokio::sync::{Semaphore, oneshot};

use crate::clock::{Clock, SystemClock};
use crate::index::Index;
use crate::limits::Limits;
use crate::stage::{transaction_bytes, validate};
use crate::{
    BoxFuture, Durability, Health, KeyValue, Outcome, Page, Range, Revision, Store, StoreError, Transaction, Watch,
};
use answers::ReplyTask;
use batch::{Joined, RelaxedBatch};
use disk::{Disk, Loaded, LogSize};
use lock::DirectoryLock;
use reserve::Reserve;
use room::{HealthFlag, Room};
pub use salvage::Problem;
pub use verify::{Repaired, Report, begin_anew, repair, verify};
use writer::{Request, Waiting, Writer, WriterTiming};

/// What may wait for the writer, in KiB of values and one per request: 64 MiB, 65,536 requests.
/// Beyond it callers wait in their own future.
const QUEUE_KIB_MAX: usize = 64 << 10;

/// How an embedded store is opened.
#[derive(Clone, Debug)]
pub struct EmbeddedOptions {
    /// The time, for expiry and the age of history.
    pub clock: Arc<dyn Clock>,
    /// What is kept in memory beyond current values.
    pub limits: Limits,
    /// How long a relaxed write may wait for its fsync.
    pub relaxed_flush_after: Duration,
    /// How long it may wait for others before it is decided. Short enough for a client that waits
    /// (its renewal is good for 40 s), long enough for 25 of the 500 renewals a second of 5,000
    /// nodes.
    pub relaxed_gather: Duration,
    /// Disk that is kept for deletes when everything else is full: SQLite's log of 4 MiB, and what
    /// the database grows by until rows are free in it.
    pub reserve_bytes: u64,
}

impl Default for EmbeddedOptions {
    fn default() -> EmbeddedOptions {
        EmbeddedOptions {
            clock: Arc::new(SystemClock),
            limits: Limits::default(),
            relaxed_flush_after: Duration::from_secs(1),
            relaxed_gather: Duration::from_millis(50),
            reserve_bytes: 16 << 20,
        }
    }
}

/// A [`Store`] in a directory of its own. Dropping it is a clean shutdown that waits for the disk.
#[derive(Debug)]
pub struct EmbeddedStore {
    index: Arc<Index>,
    requests: Option<Sender<Request>>,
    batch: Arc<RelaxedBatch>,
    queue: Arc<Semaphore>,
    thread: Option<JoinHandle<()>>,
    /// The answer to every shutdown after the first.
    shut_down: Mutex<bool>,
    health: Arc<HealthFlag>,
}

impl EmbeddedStore {
    /// Opens the store in a directory, which is made (mode 0700) if it does not exist, and loads
    /// all current values. Blocks on the disk: about 50 ms for 25,000 objects.
    ///
    /// Fails with [`StoreError::InUse`] while another process has it open, with
    /// [`StoreError::Corrupt`] if the files are damaged (nothing is changed then), and with
    /// [`StoreError::Disk`] if they cannot be written.
    pub fn open(dir: &Path, options: EmbeddedOptions) -> Result<EmbeddedStore, StoreError> {
        let EmbeddedOptions { clock, limits, relaxed_flush_after, relaxed_gather, reserve_bytes } = options;
        lock::make_private_dir(dir)?;
        let lock = DirectoryLock::take(dir)?;
        let (disk, loaded) = Disk::open(dir)?;
        let Loaded { tree, numbers, past } = loaded;
        let log = LogSize { writes: limits.log_writes_max, bytes: limits.log_bytes_max };
        let index = Arc::new(Index::with_past(tree, numbers.revision, past, limits, clock));
        let batch = Arc::new(RelaxedBatch::new());
        let pace = WriterTiming { gather: relaxed_gather, flush_after: relaxed_flush_after, log };
        let room = Room::new(Reserve::new(dir, reserve_bytes));
        let health = room.health.clone();
        let writer = Writer::new(index.clone(), disk, lock, numbers, batch.clone(), pace, room);
        let (requests, inbox) = mpsc::channel();
        let thread = thread::Builder::new()
            .name("store-writer".to_owned())
            .spawn(move || writer.run(&inbox))
            .map_err(|error| StoreError::Disk(format!("cannot start its writer: {error}")))?;
        Ok(EmbeddedStore {
            index,
            requests: Some(requests),
            batch,
            queue: Arc::new(Semaphore::new(QUEUE_KIB_MAX)),
            thread: Some(thread),
            shut_down: Mutex::new(false),
            health,
        })
    }

    /// Deletes every key whose time has come; the writer does so by itself with the machine's
    /// clock. Returns when the deletions are durable.
    pub async fn expire_due(&self) -> Result<(), StoreError> {
        let (reply, answer) = oneshot::channel();
        self.send(Request::Expire { reply })?;
        answer.await.map_err(|_| StoreError::Closed)?
    }

    async fn commit_durably(&self, transaction: Transaction) -> Result<Outcome, StoreError> {
        validate(&transaction)?;
        self.index.revision()?;
        let cost = u32::try_from(1 + transaction_bytes(&transaction) / 1024).unwrap_or(u32::MAX);
        let permit = self.queue.clone().acquire_many_owned(cost).await;
        let _place = permit.map_err(|_| StoreError::Closed)?;
        let (reply, answer) = oneshot::channel();
        let one = Waiting { transaction, reply };
        match one.transaction.durability {
            Durability::Fsync => self.send(Request::Commit(one))?,
            Durability::Relaxed => match self.batch.join(one) {
                Joined::First => self.send(Request::Gathering(ReplyTask::start()))?,
                Joined::Later => {}
                Joined::Closed => return Err(StoreError::Closed),
            },
        }
        answer.await.map_err(|_| StoreError::Closed)?
    }

    async fn stop(&self) -> Result<(), StoreError> {
        let again = {
            let mut done = self.shut_down.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::replace(&mut *done, true)
        };
        let (reply, answer) = oneshot::channel();
        if again || self.send(Request::Shutdown { reply }).is_err() {
            return Ok(());
        }
        answer.await.map_err(|_| StoreError::Closed)?
    }

    fn send(&self, request: Request) -> Result<(), StoreError> {
        let requests = self.requests.as_ref().ok_or(StoreError::Closed)?;
        requests.send(request).map_err(|_| StoreError::Closed)
    }
}

impl Drop for EmbeddedStore {
    fn drop(&mut self) {
        // The writer ends when no sender is left, and makes everything durable first.
        self.requests = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the store's writer panicked");
        }
    }
}

impl Store for EmbeddedStore {
    fn commit(&self, transaction: Transaction) -> BoxFuture<'_, Result<Outcome, StoreError>> {
        Box::pin(self.commit_durably(transaction))
    }

    fn get(&self, key: &str, at: Option<Revision>) -> Result<Option<KeyValue>, StoreError> {
        self.index.get(key, at)
    }

    fn range(&self, range: &Range, at: Option<Revision>, limit: usize) -> Result<Page, StoreError> {
        self.index.range(range, at, limit)
    }

    fn watch(&self, prefix: &str, after: Revision) -> Result<Box<dyn Watch>, StoreError> {
        Ok(Box::new(self.index.watch(prefix, after)?))
    }

    fn current_revision(&self) -> BoxFuture<'_, Result<Revision, StoreError>> {
        Box::pin(async { self.index.revision() })
    }

    fn compact(&self, revision: Revision) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(async move { self.index.compact(revision) })
    }

    fn health(&self) -> Health {
        self.health.get()
    }

    fn shutdown(&self) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(self.stop())
    }
}
