//! The one thread that writes.
//!
//! A turn is: take what waits, decide it on a stage, make it durable if anything in it must be,
//! publish, answer. Without requests, relaxed writes or deadlines it sleeps for ever.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::answers::{Answers, ReplyTask};
use super::batch::RelaxedBatch;
use super::disk::{Commit, Disk, LogSize};
use super::lock::DirectoryLock;
use super::room::{Room, grows};
use crate::index::Index;
use crate::stage::{IssuedNumbers, Stage, Step, transaction_bytes};
use crate::{Durability, Health, Outcome, Revision, StoreError, Transaction, limits};

/// Transactions that share one fsync. At 10 us of SQLite each a batch stays below 10 ms.
const BATCH_TRANSACTIONS_MAX: usize = 512;
/// Bytes of values that share one fsync, besides one transaction that is larger.
const BATCH_BYTES_MAX: usize = 4 << 20;
/// Relaxed writes that may wait for the disk; beyond them they need it like all others.
const RELAXED_WRITES_MAX: usize = 16_384;
/// What one batch at most writes, and some: a log that is never quiet stops growing.
const FOLDED_PER_BATCH: usize = 2 * BATCH_TRANSACTIONS_MAX;
/// Bytes folded at once: 1,000 pods. Requests that come meanwhile have to wait. Renewals are 25
/// bytes each, so that many of them still meet in one row.
const FOLDED_BYTES_MAX: usize = 2 << 20;
/// Folding much holds the writer for a while, so it waits until no caller has waited for an fsync
/// for this long.
const QUIET: Duration = Duration::from_secs(2);
/// A power cut takes no more than this from the witness.
const WITNESS_LAG: Duration = Duration::from_secs(1);
/// What the log may hold while the disk is full.
const RECYCLED_WRITES: usize = 4_096;
const RECYCLED_BYTES: usize = 1 << 20;
/// A fold that failed is not tried again before.
const FOLD_AGAIN_AFTER: Duration = Duration::from_secs(60);

pub(super) type Reply<T> = oneshot::Sender<Result<T, StoreError>>;

#[derive(Debug)]
pub(super) enum Request {
    Commit(Waiting),
    /// The first of some relaxed transactions has come to the [`RelaxedBatch`]; the task that will
    /// answer them.
    Gathering(Option<ReplyTask>),
    Expire {
        reply: Reply<()>,
    },
    Shutdown {
        reply: Reply<()>,
    },
}

/// A transaction that waits for its answer.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) transaction: Transaction,
    pub(super) reply: Reply<Outcome>,
}

/// What came in one turn.
#[derive(Default)]
struct WriterIntake {
    waiting: Vec<Waiting>,
    /// Some relaxed transactions have begun to gather, and what will answer them.
    gathering: Option<Option<ReplyTask>>,
    last: Last,
}

/// What ends a batch besides its limits.
#[derive(Default)]
enum Last {
    #[default]
    Nothing,
    Expire(Reply<()>),
    Shutdown(Reply<()>),
}

/// What the writer does when it has nothing else to do.
#[derive(Clone, Copy, Debug)]
pub(super) struct WriterTiming {
    /// How long relaxed transactions wait to be committed together.
    pub(super) gather: Duration,
    /// How long a relaxed write may wait for its fsync.
    pub(super) flush_after: Duration,
    /// How much the log may hold when it is quiet.
    pub(super) log: LogSize,
}

/// The writer's end of the batch: however it ends, also by a defect, no caller is left waiting
/// there.
struct Host(Arc<RelaxedBatch>);

impl Drop for Host {
    fn drop(&mut self) {
        self.0.close();
    }
}

pub(super) struct Writer {
    index: Arc<Index>,
    disk: Disk,
    _lock: DirectoryLock,
    numbers: IssuedNumbers,
    /// Durably reserved for relaxed writes.
    reserved: Revision,
    batch: Host,
    /// When to decide the transactions that gather there: set while there are any.
    decide_at: Option<Instant>,
    /// The task that answers them.
    reply_task: Option<ReplyTask>,
    /// Relaxed writes that are visible and not on disk.
    relaxed: Vec<Step>,
    /// When they must be: set while there are any.
    flush_at: Option<Instant>,
    /// When the witness must be durable: set while something is newer in it.
    witness_at: Option<Instant>,
    /// Before then folding much would make a caller wait.
    quiet_at: Instant,
    /// Nothing is folded before then.
    fold_at: Instant,
    pace: WriterTiming,
    room: Room,
    failing: bool,
}

impl Writer {
    pub(super) fn new(
        index: Arc<Index>,
        disk: Disk,
        lock: DirectoryLock,
        numbers: IssuedNumbers,
        batch: Arc<RelaxedBatch>,
        pace: WriterTiming,
        room: Room,
    ) -> Writer {
        let fold_at = Instant::now();
        Writer {
            index,
            disk,
            _lock: lock,
            numbers,
            reserved: Revision(0),
            batch: Host(batch),
            decide_at: None,
            reply_task: None,
            relaxed: Vec::new(),
            flush_at: None,
            witness_at: None,
            quiet_at: fold_at + QUIET,
            fold_at,
            pace,
            room,
            failing: false,
        }
    }

    /// Runs until shutdown is asked for or no sender is left.
    pub(super) fn run(mut self, inbox: &Receiver<Request>) {
        self.room.begin();
        loop {
            let request = match self.wait(inbox) {
                Ok(request) => Some(request),
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => {
                    if let Err(error) = self.finish() {
                        tracing::error!(%error, "the store could not be closed cleanly");
                    }
                    return;
                }
            };
            let mut came = gather(request, inbox);
            self.join_batch(&mut came);
            self.turn(came.waiting);
            match came.last {
                Last::Nothing => self.on_time(),
                Last::Expire(reply) => drop(reply.send(self.expire())),
                Last::Shutdown(reply) => {
                    self.index.close();
                    drop(reply.send(self.finish()));
                    return;
                }
            }
        }
    }

    /// Adds those that gather, if their moment is over or the writer is awake for others anyway.
    fn join_batch(&mut self, came: &mut WriterIntake) {
        if let Some(reply_task) = came.gathering.take() {
            self.decide_at.get_or_insert_with(|| Instant::now() + self.pace.gather);
            self.reply_task = reply_task;
        }
        let busy = !came.waiting.is_empty() || !matches!(came.last, Last::Nothing);
        if !busy && self.decide_at.is_none_or(|at| at > Instant::now()) {
            return;
        }
        let (batch, left) = self.batch.0.take(BATCH_TRANSACTIONS_MAX);
        self.decide_at = left.then(Instant::now);
        came.waiting.extend(batch);
    }

    fn wait(&self, inbox: &Receiver<Request>) -> Result<Request, RecvTimeoutError> {
        match self.wait_max() {
            Some(wait) => inbox.recv_timeout(wait),
            None => inbox.recv().map_err(|_| RecvTimeoutError::Disconnected),
        }
    }

    /// How long nothing will be due; `None` for ever.
    fn wait_max(&self) -> Option<Duration> {
        let flush = self.flush_at.map(|at| at.saturating_duration_since(Instant::now()));
        let expiry = self.index.next_deadline_ms().map(|at_ms| {
            let wait_ms = at_ms.saturating_sub(self.index.clock.now_ms());
            // A disk that refuses is asked again at the same pace.
            Duration::from_millis(wait_ms) + limits::EXPIRY_SLACK
        });
        let others = [self.decide_at, self.witness_at, self.room.ask_at].into_iter().flatten();
        let others = others.map(|at| at.saturating_duration_since(Instant::now()));
        flush.into_iter().chain(expiry).chain(others).min()
    }

    /// Does what has become due, busy or not.
    fn on_time(&mut self) {
        if self.flush_at.is_some_and(|at| at <= Instant::now()) {
            let stage = self.index.stage(self.numbers);
            // Failing is noted, and the rows stay for the next try.
            let _ = self.make_durable(&stage, self.reserved);
        }
        let slack_ms = crate::clock::millis(limits::EXPIRY_SLACK);
        let due_ms = self.index.next_deadline_ms().map(|at_ms| at_ms.saturating_add(slack_ms));
        if due_ms.is_some_and(|at_ms| at_ms <= self.index.clock.now_ms()) {
            let _ = self.expire();
        }
        if self.witness_at.is_some_and(|at| at <= Instant::now()) {
            self.witness_at = None;
            self.disk.sync_witness();
        }
        if self.room.is_due() {
            if self.room.is_scarce() && self.disk.exceeds(&LogSize::default()) {
                // What was deleted leaves its pages only now.
                let _ = self.disk.fold(&LogSize { writes: usize::MAX, bytes: FOLDED_BYTES_MAX });
            }
            self.room.ask(&mut self.disk);
        }
        self.fold_if_due();
    }

    /// Keeps the log within its limits: up to half of it at once when it is quiet, in small pieces
    /// when it never is.
    fn fold_if_due(&mut self) {
        let LogSize { writes, bytes } = self.pace.log;
        let grown = LogSize { writes: writes * limits::LOG_GROWTH_MAX, bytes: bytes * limits::LOG_GROWTH_MAX };
        let now = Instant::now();
        let recycled = LogSize { writes: writes.min(RECYCLED_WRITES), bytes: bytes.min(RECYCLED_BYTES) };
        let wanted = match now >= self.quiet_at {
            // Pages of old records are the room of new ones.
            _ if self.room.is_scarce() && self.disk.exceeds(&recycled) => writes,
            true if self.disk.exceeds(&self.pace.log) => writes / 2,
            false if self.disk.exceeds(&grown) => FOLDED_PER_BATCH,
            _ => return,
        };
        if now < self.fold_at {
            return;
        }
        let folded = self.disk.fold(&LogSize { writes: wanted, bytes: FOLDED_BYTES_MAX });
        if folded.is_err() {
            self.fold_at = now + FOLD_AGAIN_AFTER;
        }
        self.note(folded.as_ref().err());
    }

    fn expire(&mut self) -> Result<(), StoreError> {
        loop {
            let mut stage = self.index.stage(self.numbers);
            self.index.expire(&mut stage);
            if stage.commits.is_empty() {
                return Ok(());
            }
            self.numbers = stage.numbers;
            self.make_durable(&stage, self.reserved)?;
            self.index.publish(stage);
        }
    }

    fn turn(&mut self, waiting: Vec<Waiting>) {
        let waiting = self.refuse_growth(waiting);
        if waiting.is_empty() {
            return;
        }
        let (stage, outcomes) = self.decide(&waiting);
        match self.settle(stage, needs_fsync(&waiting, &outcomes)) {
            Ok(()) => self.answer(waiting, outcomes),
            // With the reserve given up, what adds little may find room.
            Err(StoreError::Full(_)) if self.room.become_scarce() => self.turn(waiting),
            Err(error) => self.without_disk(waiting, &error),
        }
    }

    /// While the disk is full, what grows gets no turn.
    fn refuse_growth(&mut self, waiting: Vec<Waiting>) -> Vec<Waiting> {
        if waiting.is_empty() || !self.room.refuses_growth(&self.disk) {
            return waiting;
        }
        let stage = self.index.stage(self.numbers);
        let (growing, small) = waiting.into_iter().partition(|one| grows(&one.transaction, &stage.tree));
        refuse(growing, &StoreError::Full(Health::Full.words().to_owned()));
        small
    }

    /// The disk refused a batch: what needs it fails, what does not gets its own turn, so that a
    /// full disk does not also make every node look dead.
    fn without_disk(&mut self, waiting: Vec<Waiting>, error: &StoreError) {
        let relaxed = |one: &Waiting| one.transaction.durability == Durability::Relaxed;
        let (relaxed, durable): (Vec<_>, Vec<_>) = waiting.into_iter().partition(relaxed);
        refuse(durable, error);
        let (stage, outcomes) = self.decide(&relaxed);
        match self.has_room(&stage) {
            true => {
                self.publish_relaxed(stage);
                self.answer(relaxed, outcomes);
            }
            false => refuse(relaxed, error),
        }
    }

    fn decide(&mut self, waiting: &[Waiting]) -> (Stage, Vec<Outcome>) {
        let mut stage = self.index.stage(self.numbers);
        let now_ms = self.index.clock.now_ms();
        let decided = waiting.iter().map(|one| stage.run(&one.transaction, now_ms)).collect();
        // Burned at once: whatever becomes of this stage, its revisions are not issued again.
        self.numbers = stage.numbers;
        (stage, decided)
    }

    /// Answers; to a batch through its reply task.
    fn answer(&mut self, waiting: Vec<Waiting>, outcomes: Vec<Outcome>) {
        let answers = Answers(waiting.into_iter().map(|one| one.reply).zip(outcomes).collect());
        match self.reply_task.take() {
            Some(reply_task) => reply_task.tell(answers),
            None => drop(answers),
        }
    }

    /// Makes a decided batch visible, durably if it must be.
    fn settle(&mut self, stage: Stage, fsync: bool) -> Result<(), StoreError> {
        if stage.commits.is_empty() {
            return Ok(());
        }
        if !fsync && self.has_room(&stage) {
            self.publish_relaxed(stage);
            return Ok(());
        }
        if fsync {
            self.quiet_at = Instant::now() + QUIET;
        }
        let reserved = match fsync {
            true => self.reserved,
            false => Revision(stage.numbers.revision.0 + limits::RELAXED_BLOCK),
        };
        self.make_durable(&stage, reserved)?;
        self.index.publish(stage);
        Ok(())
    }

    /// Whether a stage may be visible before it is durable.
    fn has_room(&self, stage: &Stage) -> bool {
        let reserved = stage.commits.is_empty() || stage.numbers.revision <= self.reserved;
        reserved && self.relaxed.len() + stage.steps.len() <= RELAXED_WRITES_MAX
    }

    fn publish_relaxed(&mut self, mut stage: Stage) {
        self.relaxed.append(&mut stage.steps);
        if !self.relaxed.is_empty() && self.flush_at.is_none() {
            self.flush_at = Some(Instant::now() + self.pace.flush_after);
        }
        self.index.publish(stage);
    }

    /// Writes the stage, and the relaxed writes before it, with one fsync.
    fn make_durable(&mut self, stage: &Stage, reserved: Revision) -> Result<(), StoreError> {
        let at_ms = self.index.clock.now_ms();
        let commit = Commit { revision: stage.revision, reserved, keys: stage.tree.len(), at_ms };
        let written = self.disk.append(&self.relaxed, &stage.steps, commit);
        self.note(written.as_ref().err());
        match written {
            Ok(()) => {
                self.reserved = reserved;
                self.relaxed.clear();
                self.flush_at = None;
                self.witness_at.get_or_insert_with(|| Instant::now() + WITNESS_LAG);
                Ok(())
            }
            Err(error) => {
                self.flush_at = self.flush_at.map(|_| Instant::now() + self.pace.flush_after);
                Err(error)
            }
        }
    }

    /// Makes everything durable, gives the reserved numbers back and closes the files.
    fn finish(mut self) -> Result<(), StoreError> {
        self.index.close();
        let stage = self.index.stage(self.numbers);
        if self.reserved > Revision(0) || !self.relaxed.is_empty() {
            // Numbers burned by a failed batch may have reached no reader, but stay burned.
            let commit = Commit {
                revision: self.numbers.revision.max(stage.revision),
                reserved: Revision(0),
                keys: stage.tree.len(),
                at_ms: self.index.clock.now_ms(),
            };
            self.disk.append(&self.relaxed, &stage.steps, commit)?;
        }
        self.disk.close()
    }

    /// Logs when the disk begins to refuse and when it takes writes again, not in between.
    fn note(&mut self, error: Option<&StoreError>) {
        match (self.failing, error) {
            (false, Some(error)) => tracing::error!(%error, "writes fail, reads are still served"),
            (true, None) => tracing::info!("the store can write again"),
            _ => {}
        }
        self.failing = error.is_some();
        self.room.note(self.failing);
    }
}

/// Takes what waits, up to the limits of a batch.
fn gather(first: Option<Request>, inbox: &Receiver<Request>) -> WriterIntake {
    let (mut came, mut bytes, mut next) = (WriterIntake::default(), 0, first);
    while let Some(request) = next {
        match request {
            Request::Commit(one) => {
                bytes += transaction_bytes(&one.transaction);
                came.waiting.push(one);
            }
            Request::Gathering(reply_task) => came.gathering = Some(reply_task),
            Request::Expire { reply } => return WriterIntake { last: Last::Expire(reply), ..came },
            Request::Shutdown { reply } => return WriterIntake { last: Last::Shutdown(reply), ..came },
        }
        let full = came.waiting.len() >= BATCH_TRANSACTIONS_MAX || bytes >= BATCH_BYTES_MAX;
        next = if full { None } else { inbox.try_recv().ok() };
    }
    came
}

fn needs_fsync(waiting: &[Waiting], outcomes: &[Outcome]) -> bool {
    let fsync = |one: &Waiting| one.transaction.durability == Durability::Fsync;
    let committed = |outcome: &Outcome| matches!(outcome, Outcome::Committed(_));
    waiting.iter().zip(outcomes).any(|(one, outcome)| fsync(one) && committed(outcome))
}

fn refuse(waiting: Vec<Waiting>, error: &StoreError) {
    for one in waiting {
        let _ = one.reply.send(Err(again(error)));
    }
}

/// The same error for the next caller.
fn again(error: &StoreError) -> StoreError {
    match error {
        StoreError::Corrupt(text) => StoreError::Corrupt(text.clone()),
        StoreError::Full(text) => StoreError::Full(text.clone()),
        other => StoreError::Disk(match other {
            StoreError::Disk(text) => text.clone(),
            other => other.to_string(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Limits, ManualClock, suite};

    /// An idle store must not wake up; one with something to do, no later than it is due.
    #[test]
    fn sleeps_for_ever_when_nothing_is_due() {
        let dir = tempfile::tempdir().unwrap();
        let lock = DirectoryLock::take(dir.path()).unwrap();
        let (disk, loaded) = Disk::open(dir.path()).unwrap();
        let clock = Arc::new(ManualClock::default());
        let index = Index::new(loaded.tree, Revision(0), Limits::default(), clock);
        let flush_after = Duration::from_secs(1);
        let log = LogSize { writes: 1_000, bytes: 1 << 20 };
        let pace = WriterTiming { gather: Duration::ZERO, flush_after, log };
        let batch = Arc::new(RelaxedBatch::new());
        let room = Room::new(super::super::reserve::Reserve::new(dir.path(), 0));
        let mut writer = Writer::new(Arc::new(index), disk, lock, IssuedNumbers::default(), batch, pace, room);
        let mut commit = |durability, expires_in| {
            let (reply, mut answer) = oneshot::channel();
            let mut transaction = suite::writes([suite::put_of("/a", "1")]);
            transaction.durability = durability;
            if let crate::Write::Put { expires_in: after, .. } = &mut transaction.writes[0] {
                *after = expires_in;
            }
            writer.turn(vec![Waiting { transaction, reply }]);
            assert!(matches!(answer.try_recv(), Ok(Ok(Outcome::Committed(_)))));
            // The witness wakes it once more, a second after the first of any number of commits.
            assert!(writer.witness_at.take().is_none_or(|at| at <= Instant::now() + WITNESS_LAG));
            (writer.wait_max(), writer.relaxed.len())
        };
        assert_eq!(commit(Durability::Fsync, None), (None, 0));
        // The first relaxed write reserves the block, durably; the second only has to be flushed.
        assert_eq!(commit(Durability::Relaxed, None), (None, 0));
        let (wait, relaxed) = commit(Durability::Relaxed, None);
        assert!(relaxed == 1 && wait.is_some_and(|wait| wait <= flush_after), "{wait:?}");
        assert_eq!(commit(Durability::Fsync, None), (None, 0));
        let expiring = commit(Durability::Fsync, Some(Duration::from_secs(60)));
        assert_eq!(expiring, (Some(Duration::from_secs(60) + limits::EXPIRY_SLACK), 0));
    }
}
