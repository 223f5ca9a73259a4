//! The driver: one [`Reconciler`], its queue, and the plans that are being carried out.
//!
//! One task owns everything that one key remembers: memory, own writes, timers. Plans run in tasks
//! of their own, as many as there are workers, and hand their result back. Informers only put keys
//! into the queue.

mod handle;
mod last_status;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use everynode_api::kinds::Kind;
use everynode_api::meta::Key;
use everynode_api::reconcile::Reconciler;
use everynode_api::view::{Change, View};
use jiff::Timestamp;
use tokio::sync::Notify;
use tokio::task::{Id, JoinError, JoinSet};

use self::handle::lock;
pub use self::handle::{Handle, Options};
use self::last_status::{Fingerprint, LastStatus};
use crate::awaited::Awaited;
use crate::cache::{Cache, Subscriber};
use crate::clock::{Env, later, until};
use crate::execute::{Executor, Outcome};
use crate::metrics::count;
use crate::queue::Queue;
use crate::shutdown::Shutdown;

/// A plan that cost so much lets its key rest, so that a stream of small changes to a large set is
/// planned in batches and takes at most a third of a core.
const REST_FROM: Duration = Duration::from_millis(1);
const REST_FACTOR: u32 = 2;
/// A plan that seems to have cost more was interrupted: the machine was busy or stood still, or its
/// clock jumped.
const REST_MAX: Duration = Duration::from_secs(1);

/// Kinds that change are followed by a full pass; several within this time by one.
const KINDS_REST: Duration = Duration::from_millis(500);

/// What the driver's task, its plans and the informers share.
struct Shared<R: Reconciler> {
    reconciler: R,
    kinds: Vec<Kind>,
    options: Options,
    cache: Arc<Cache>,
    env: Env,
    handle: Arc<Handle<R::Note>>,
    started: AtomicBool,
    /// Whether keys may be held until the cache shows something: any change may then be it.
    holding: AtomicBool,
    /// A full pass is due soon.
    kinds_changed: AtomicBool,
    executor: Executor,
}

impl<R: Reconciler> Subscriber for Shared<R> {
    fn changed(&self, view: &View, kind: &Kind, changes: &[Change]) {
        if !self.started.load(Ordering::Acquire) {
            return;
        }
        let mut concerned = false;
        if self.reconciler.follows_served() || self.kinds.contains(kind) {
            let mut keys = changes.iter().flat_map(|change| self.reconciler.wake(view, change)).peekable();
            concerned = keys.peek().is_some();
            if concerned {
                let now = self.env.now();
                let mut queue = lock(&self.handle.queue);
                keys.for_each(|key| queue.add(key, now));
            }
        }
        // Whoever begins to hold a key says so before it looks at the view: it sees this change, or
        // is seen here.
        if concerned || self.holding.load(Ordering::Acquire) {
            self.handle.woken.notify_one();
        }
    }

    fn kinds_changed(&self) {
        if self.reconciler.follows_served() {
            self.kinds_changed.store(true, Ordering::Release);
            self.handle.woken.notify_one();
        }
    }
}

/// The result of one plan.
enum Run<R: Reconciler> {
    /// The key concerns nothing any more.
    Forget,
    /// The audit found fault.
    Refused,
    Planned {
        memory: R::Memory,
        notes: Vec<R::Note>,
        wake_at: Option<Timestamp>,
        status: Option<LastStatus>,
        outcome: Box<Outcome>,
        cost: Duration,
    },
}

/// A reconciler with everything that drives it.
pub(crate) struct Driver<R: Reconciler> {
    shared: Arc<Shared<R>>,
    memories: BTreeMap<Key, Arc<R::Memory>>,
    /// The statuses that were written last.
    statuses: BTreeMap<Key, LastStatus>,
    /// Own writes that the cache may not show yet.
    awaited: BTreeMap<Key, Awaited>,
    /// Until when a key rests whose plan was costly.
    resting: BTreeMap<Key, Timestamp>,
    /// Keys that are due and wait for their own writes.
    held: BTreeSet<Key>,
    running: BTreeMap<Id, Key>,
    tasks: JoinSet<Run<R>>,
}

impl<R: Reconciler> Driver<R> {
    pub fn new(reconciler: R, options: Options, cache: Arc<Cache>, env: Env, executor: Executor) -> Self {
        let handle = Arc::new(Handle {
            queue: Mutex::new(Queue::new(options.retry_max)),
            woken: Notify::new(),
            noted: Notify::new(),
            notes: Mutex::new(BTreeMap::new()),
            env: env.clone(),
        });
        let kinds = reconciler.watches();
        let (started, holding, kinds_changed) = Default::default();
        let shared = Arc::new(Shared {
            reconciler,
            kinds,
            options,
            cache,
            env,
            handle,
            started,
            holding,
            kinds_changed,
            executor,
        });
        let subscriber = Arc::downgrade(&shared);
        shared.cache.subscribe(subscriber);
        Driver {
            shared,
            memories: BTreeMap::new(),
            statuses: BTreeMap::new(),
            awaited: BTreeMap::new(),
            resting: BTreeMap::new(),
            held: BTreeSet::new(),
            running: BTreeMap::new(),
            tasks: JoinSet::new(),
        }
    }

    pub fn handle(&self) -> Arc<Handle<R::Note>> {
        self.shared.handle.clone()
    }

    /// Runs until shutdown; returns when the last plan is over.
    pub async fn run(mut self, shutdown: Shutdown) {
        let shared = self.shared.clone();
        tokio::select! {
            biased;
            () = shutdown.wait() => return,
            () = shared.cache.wait_synced(&shared.kinds) => {}
        }
        shared.started.store(true, Ordering::Release);
        let mut pass_at = shared.env.now();
        loop {
            let now = shared.env.now();
            if shared.kinds_changed.swap(false, Ordering::AcqRel) {
                pass_at = pass_at.min(later(now, KINDS_REST));
            }
            if now >= pass_at {
                pass_at = later(now, shared.options.full_pass);
                self.add_all(now);
            }
            self.release(now);
            self.start(now);
            let due = self.next_due(pass_at);
            tokio::select! {
                biased;
                () = shutdown.wait() => break,
                Some(done) = self.tasks.join_next_with_id() => self.finish(done),
                () = shared.handle.woken.notified() => {}
                () = shared.env.sleep_until(due) => {}
            }
        }
        while let Some(done) = self.tasks.join_next_with_id().await {
            self.finish(done);
        }
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        lock(&self.shared.handle.queue)
    }

    fn add_all(&self, now: Timestamp) {
        let keys = self.shared.reconciler.all(&self.shared.cache.read());
        let mut queue = self.queue();
        keys.into_iter().for_each(|key| queue.add(key, now));
    }

    fn next_due(&self, pass_at: Timestamp) -> Timestamp {
        let held = self.held.iter().filter_map(|key| self.awaited.get(key)?.deadline());
        let timer = self.queue().next_due().filter(|_| self.running.len() < self.shared.options.workers);
        held.chain(timer).fold(pass_at, Timestamp::min)
    }

    /// Puts held keys back whose own writes the cache shows by now, or whose patience has ended.
    fn release(&mut self, now: Timestamp) {
        if self.held.is_empty() {
            return self.shared.holding.store(false, Ordering::Release);
        }
        let (cache, view) = (&self.shared.cache, self.shared.cache.read());
        let mut ready = Vec::new();
        for key in &self.held {
            let Some(awaited) = self.awaited.get_mut(key) else {
                ready.push(key.clone());
                continue;
            };
            if !awaited.is_met(cache, &view) && awaited.give_up(cache, now) {
                count(&self.shared.executor.counters.stale_relists_total);
                tracing::warn!(controller = self.shared.reconciler.name(), %key, "the cache lags behind; listing");
            }
            if awaited.is_empty() {
                ready.push(key.clone());
            }
        }
        drop(view);
        for key in ready {
            self.held.remove(&key);
            self.awaited.remove(&key);
            self.queue().add(key, now);
        }
    }

    /// Starts plans while workers are free.
    fn start(&mut self, now: Timestamp) {
        while self.running.len() < self.shared.options.workers {
            let Some(key) = self.queue().take(now) else { return };
            if let Some(at) = self.resting.remove(&key).filter(|at| *at > now) {
                let mut queue = lock(&self.shared.handle.queue);
                queue.done(&key, now);
                queue.add_at(&key, at);
                continue;
            }
            match self.may_plan(&key, now) {
                true => self.spawn(key),
                false => {
                    count(&self.shared.executor.counters.stale_sync_skips_total);
                    self.queue().done(&key, now);
                    self.held.insert(key);
                }
            }
        }
    }

    fn may_plan(&mut self, key: &Key, now: Timestamp) -> bool {
        let Some(awaited) = self.awaited.get_mut(key) else {
            return true;
        };
        self.shared.holding.store(true, Ordering::Release);
        if awaited.is_met(&self.shared.cache, &self.shared.cache.read()) {
            self.awaited.remove(key);
            return true;
        }
        awaited.begin(now);
        false
    }

    fn spawn(&mut self, key: Key) {
        let memory = self.memories.get(&key).cloned().unwrap_or_default();
        let status = self.statuses.get(&key).copied();
        let task = self.tasks.spawn(reconcile(self.shared.clone(), key.clone(), memory, status));
        self.running.insert(task.id(), key);
    }

    fn finish(&mut self, done: Result<(Id, Run<R>), JoinError>) {
        let now = self.shared.env.now();
        let (id, run) = match done {
            Ok((id, run)) => (id, Some(run)),
            Err(error) => (error.id(), None),
        };
        let Some(key) = self.running.remove(&id) else { return };
        match run {
            Some(Run::Forget) => self.forget(&key),
            Some(Run::Planned { memory, notes, wake_at, status, outcome, cost }) => {
                if let Some(rest) = rest(cost) {
                    self.resting.insert(key.clone(), later(now, rest));
                }
                self.memories.insert(key.clone(), Arc::new(memory));
                if let Some(status) = status {
                    self.statuses.insert(key.clone(), status);
                }
                let silent = notes.is_empty();
                lock(&self.shared.handle.notes).insert(key.clone(), notes.into());
                if !silent {
                    self.shared.handle.noted.notify_one();
                }
                self.settle(&key, wake_at, *outcome, now);
            }
            Some(Run::Refused) => self.queue().retry(&key, now),
            None => {
                count(&self.shared.executor.counters.panics_total);
                tracing::error!(controller = self.shared.reconciler.name(), %key, "a plan panicked");
                self.queue().retry(&key, now);
            }
        }
        self.queue().done(&key, now);
    }

    fn forget(&mut self, key: &Key) {
        self.memories.remove(key);
        self.statuses.remove(key);
        self.resting.remove(key);
        lock(&self.shared.handle.notes).remove(key);
        self.queue().succeed(key);
    }

    fn settle(&mut self, key: &Key, wake_at: Option<Timestamp>, outcome: Outcome, now: Timestamp) {
        let mut queue = lock(&self.shared.handle.queue);
        match outcome.wants_retry() {
            true => queue.retry(key, now),
            false => queue.succeed(key),
        }
        if let Some(at) = wake_at {
            queue.add_at(key, at);
        }
        drop(queue);
        if let Some(error) = &outcome.first_error {
            let (controller, errors) = (self.shared.reconciler.name(), outcome.errors);
            tracing::warn!(controller, %key, errors, %error, "not everything went well; trying again");
        }
        if !outcome.awaited.is_empty() {
            self.awaited.insert(key.clone(), outcome.awaited);
        }
    }
}

/// How long a key rests after a plan.
fn rest(cost: Duration) -> Option<Duration> {
    (cost >= REST_FROM).then(|| cost.saturating_mul(REST_FACTOR).min(REST_MAX))
}

/// Gathers, decides, judges, carries out.
async fn reconcile<R: Reconciler>(
    shared: Arc<Shared<R>>,
    key: Key,
    memory: Arc<R::Memory>,
    last: Option<LastStatus>,
) -> Run<R> {
    let now = shared.env.now();
    let Some(seen) = shared.reconciler.gather(&shared.cache.read(), &key) else {
        return Run::Forget;
    };
    let plan = shared.reconciler.plan(&seen, &memory, now);
    let cost = until(now, shared.env.now());
    count(&shared.executor.counters.plans_total);
    if shared.options.audit {
        let violations = shared.reconciler.audit(&seen, &plan);
        if !violations.is_empty() {
            count(&shared.executor.counters.audit_violations_total);
            let controller = shared.reconciler.name();
            tracing::error!(controller, %key, ?violations, "the audit found fault with a plan; it is not carried out");
            return Run::Refused;
        }
    }
    drop(seen);
    let fingerprint = plan.status.as_ref().map(|write| Fingerprint::of(&write.status));
    let held_until = last.zip(fingerprint).and_then(|(last, fingerprint)| last.held_until(fingerprint, now));
    let status = plan.status.filter(|_| held_until.is_none());
    let outcome = Box::new(shared.executor.execute(plan.actions, status).await);
    let status = fingerprint.filter(|_| outcome.wrote_status).map(|status| LastStatus::after(last, status, now));
    let wake_at = plan.wake_at.into_iter().chain(held_until).min();
    Run::Planned { memory: plan.memory, notes: plan.notes, wake_at, status, outcome, cost }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn costly_plans_rest_but_not_for_long() {
        let ms = Duration::from_millis;
        assert_eq!([ms(0), ms(5), ms(90_000)].map(rest), [None, Some(ms(10)), Some(REST_MAX)]);
    }
}
