//! What becomes of writes when the disk is full.
//!
//! The first batch that finds no room gives the reserve up. From then on what grows is refused, and
//! deletes and changes that add little are taken: so room can be made through the API. It ends when
//! the reserve can be made again, or when so many pages of the database itself are free.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant};

use super::disk::Disk;
use super::reserve::Reserve;
use crate::tree::Tree;
use crate::{Health, Transaction, Write};

/// What a transaction may add to the values that are there while the disk is full: a deletion's
/// mark, a condition, a renewal.
const GROWTH_MAX: usize = 1_024;
/// How often a full or failing disk is asked again.
const ASK_EVERY: Duration = Duration::from_secs(5);

/// The writer's health, for all that use the store.
#[derive(Debug, Default)]
pub(super) struct HealthFlag(AtomicU8);

impl HealthFlag {
    pub(super) fn get(&self) -> Health {
        match self.0.load(Ordering::Relaxed) {
            0 => Health::Good,
            1 => Health::Full,
            _ => Health::Failing,
        }
    }

    fn set(&self, health: Health) {
        let number = match health {
            Health::Good => 0,
            Health::Full => 1,
            Health::Failing => 2,
        };
        self.0.store(number, Ordering::Relaxed);
    }
}

#[derive(Debug)]
pub(super) struct Room {
    reserve: Reserve,
    /// The reserve was given up.
    scarce: bool,
    failing: bool,
    /// When the disk is asked again: set while it is full or failing.
    pub(super) ask_at: Option<Instant>,
    pub(super) health: Arc<HealthFlag>,
}

impl Room {
    pub(super) fn new(reserve: Reserve) -> Room {
        let (scarce, failing, ask_at, health) = Default::default();
        Room { reserve, scarce, failing, ask_at, health }
    }

    /// At the start: a disk that has no room for the reserve is full.
    pub(super) fn begin(&mut self) {
        if !self.reserve.take() {
            self.become_scarce();
        }
    }

    pub(super) fn is_scarce(&self) -> bool {
        self.scarce
    }

    /// No room was found: gives the reserve up. False: that was done before.
    pub(super) fn become_scarce(&mut self) -> bool {
        if self.scarce {
            return false;
        }
        tracing::error!("the disk is full: only deletes and small changes are taken until there is room");
        self.reserve.release();
        self.scarce = true;
        self.tell();
        true
    }

    /// Notes whether the disk takes writes.
    pub(super) fn note(&mut self, failing: bool) {
        if self.failing != failing {
            self.failing = failing;
            self.tell();
        }
    }

    /// Whether only what adds little may pass.
    pub(super) fn refuses_growth(&self, disk: &Disk) -> bool {
        self.scarce && disk.free_bytes() < self.reserve.bytes()
    }

    /// Whether it is time to ask the disk again.
    pub(super) fn is_due(&self) -> bool {
        self.ask_at.is_some_and(|at| at <= Instant::now())
    }

    pub(super) fn ask(&mut self, disk: &mut Disk) {
        self.failing = self.failing && disk.probe().is_err();
        if self.scarce && !self.failing && self.reserve.take() {
            tracing::info!("the disk has room again");
            self.scarce = false;
        }
        self.tell_with(disk);
    }

    /// What the disk has room for in the database itself counts, too.
    fn tell_with(&mut self, disk: &Disk) {
        self.tell();
        if self.scarce && !self.failing && !self.refuses_growth(disk) {
            self.health.set(Health::Good);
        }
    }

    fn tell(&mut self) {
        let health = match (self.failing, self.scarce) {
            (_, true) => Health::Full,
            (true, false) => Health::Failing,
            (false, false) => Health::Good,
        };
        self.health.set(health);
        self.ask_at = (self.failing || self.scarce).then(|| Instant::now() + ASK_EVERY);
    }
}

/// Whether a transaction makes something, or adds more than little to what is there.
pub(super) fn grows(transaction: &Transaction, tree: &Tree) -> bool {
    let mut growth = 0usize;
    for write in &transaction.writes {
        if let Write::Put { key, value, .. } = write {
            let Some(old) = tree.get(key) else { return true };
            growth = growth.saturating_add(value.len().saturating_sub(old.kv.value.len()));
        }
    }
    growth > GROWTH_MAX
}
