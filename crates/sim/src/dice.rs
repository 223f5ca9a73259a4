//! Seeded randomness.

use std::sync::{Mutex, PoisonError};

use everynode_common::random::Random;

/// A generator that is shared by the tasks of one thread.
#[derive(Debug)]
pub(crate) struct Dice(Mutex<Random>);

impl Dice {
    pub(crate) fn new(seed: u64) -> Dice {
        // Neighbouring seeds begin far apart.
        let dice = Dice(Mutex::new(Random::new(seed ^ 0x5DEE_CE66_D1CE_CAFE)));
        dice.next();
        dice
    }

    pub(crate) fn next(&self) -> u64 {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).bits()
    }

    /// A number below `bound`, which must not be zero.
    pub(crate) fn below(&self, bound: u64) -> u64 {
        self.next() % bound
    }

    /// From `low` to below `high`.
    pub(crate) fn between(&self, low: u64, high: u64) -> u64 {
        low + self.below(high - low)
    }

    pub(crate) fn chance(&self, percent: u64) -> bool {
        self.below(100) < percent
    }

    pub(crate) fn pick<'a, T>(&self, all: &'a [T]) -> &'a T {
        &all[self.below(all.len() as u64) as usize]
    }
}
