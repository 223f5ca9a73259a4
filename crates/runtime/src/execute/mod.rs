//! The executor: carries out the actions of a plan and makes no choices.
//!
//! Order: patches and creates of other things than pods as listed (neighbours of one sort
//! together), then pods with slow start (DS-C52), then deletes together (DS-C55), then events,
//! then the status even if actions failed (DS-C07). A failed action does not stop unrelated ones.

mod arrange;
mod identity;
mod status;
mod write;

use std::sync::Arc;

use everynode_api::kinds::Kind;
use everynode_api::ports::{Api, ApiError};
use everynode_api::reconcile::{Action, StatusWrite};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use self::arrange::{Arranged, arrange};
use crate::awaited::{Await, Awaited};
use crate::cache::Cache;
use crate::events::Recorder;
use crate::metrics::{Counters, count};
use crate::shutdown::Shutdown;

/// What carrying out a plan needs. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Executor {
    pub api: Arc<dyn Api>,
    pub cache: Arc<Cache>,
    pub recorder: Recorder,
    /// Bounds the writes in flight, of all controllers together.
    pub writes: Arc<Semaphore>,
    pub counters: Arc<Counters>,
    pub shutdown: Shutdown,
}

/// What became of one write.
#[derive(Debug)]
pub(crate) enum Written {
    /// It is as the plan wanted it.
    Done,
    /// Refused for good and not worth a word (DS-C54).
    Refused,
    /// The plan was made from a state that is no longer true: plan again.
    Stale,
    Failed(ApiError),
    /// Not carried out: the process is stopping, or leads no longer and is about to stop.
    Skipped,
}

/// What became of a plan.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    pub awaited: Awaited,
    pub errors: usize,
    pub first_error: Option<ApiError>,
    /// Some write met a state that the plan did not know.
    pub stale: bool,
    pub wrote_status: bool,
}

impl Outcome {
    /// Whether the key is to be planned again after a back-off.
    pub fn wants_retry(&self) -> bool {
        self.errors > 0 || self.stale
    }

    /// Takes in one write; returns whether further ones of the same batch make sense.
    fn note(&mut self, (written, awaits): (Written, Option<Await>)) -> bool {
        if let Some(await_) = awaits {
            self.awaited.add(await_);
        }
        match written {
            Written::Done => true,
            Written::Stale => {
                self.stale = true;
                true
            }
            Written::Refused | Written::Skipped => false,
            Written::Failed(error) => {
                self.errors += 1;
                self.first_error.get_or_insert(error);
                false
            }
        }
    }
}

impl Executor {
    /// Carries out a plan.
    pub async fn execute(&self, actions: Vec<Action>, status: Option<StatusWrite>) -> Outcome {
        let mut outcome = Outcome::default();
        let Arranged { groups, pods, deletes, events } = arrange(actions);
        let mut prepared = true;
        for group in groups {
            let creates = matches!(group.first(), Some(Action::Create { .. }));
            prepared &= self.together(group, &mut outcome).await || !creates;
        }
        // Pods refer to what was created before them (their revision): without it they wait.
        if prepared {
            self.slow_start(pods, &mut outcome).await;
        }
        self.together(deletes, &mut outcome).await;
        events.into_iter().for_each(|event| self.recorder.record(event));
        if let Some(status) = status {
            let written = self.write_status(status).await;
            outcome.wrote_status = matches!(written, (Written::Done, _));
            outcome.note(written);
        }
        outcome
    }

    /// Batches of 1, 2, 4, …; after one with a failure the rest is left to a later plan (DS-C52).
    async fn slow_start(&self, mut actions: Vec<Action>, outcome: &mut Outcome) {
        let mut size = 1;
        while !actions.is_empty() {
            let rest = actions.split_off(size.min(actions.len()));
            if !self.together(actions, outcome).await {
                return;
            }
            actions = rest;
            size *= 2;
        }
    }

    /// Carries out actions concurrently, as many at once as writes may be in flight. Returns
    /// whether none failed.
    async fn together(&self, actions: Vec<Action>, outcome: &mut Outcome) -> bool {
        let mut tasks = JoinSet::new();
        let mut fine = true;
        for action in actions {
            // The semaphore is never closed.
            let permit = self.writes.clone().acquire_owned().await;
            let executor = self.clone();
            tasks.spawn(async move {
                let _permit = permit;
                executor.write(action).await
            });
            while let Some(written) = tasks.try_join_next() {
                fine &= self.joined(written, outcome);
            }
        }
        while let Some(written) = tasks.join_next().await {
            fine &= self.joined(written, outcome);
        }
        fine
    }

    fn joined(&self, joined: Result<(Written, Option<Await>), tokio::task::JoinError>, outcome: &mut Outcome) -> bool {
        match joined {
            Ok(written) => outcome.note(written),
            Err(error) => {
                count(&self.counters.panics_total);
                outcome.note((Written::Failed(ApiError::Garbled(format!("a write panicked: {error}"))), None))
            }
        }
    }

    /// Waiting for a revision makes sense only for kinds that the cache has.
    fn await_revision(&self, kind: &Kind, revision: u64) -> Option<Await> {
        self.cache.watches(kind).then(|| Await::Revision(kind.clone(), revision))
    }

    /// Asks for a list that will show what became of a write.
    fn await_list(&self, kind: &Kind) -> Option<Await> {
        self.cache.watches(kind).then(|| Await::List(kind.clone(), self.cache.ask_for_list(kind)))
    }
}
