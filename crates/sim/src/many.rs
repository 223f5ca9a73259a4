//! Many seeds on all processors.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::scenario::Scenario;
use crate::shrink::shrink;
use crate::world::run;

/// A seed that failed, and the small scenario that is left of it.
#[derive(Clone, Debug)]
pub struct Failed {
    pub seed: u64,
    pub failure: String,
    pub scenario: Scenario,
    /// Which steps of the seed's scenario those are.
    pub steps: Vec<usize>,
}

impl std::fmt::Display for Failed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let steps: Vec<String> = self.steps.iter().map(usize::to_string).collect();
        let steps = if steps.is_empty() { "none".to_owned() } else { steps.join(",") };
        writeln!(f, "seed {} FAILED at {}", self.seed, self.failure)?;
        writeln!(f, "smaller:\n{}", self.scenario)?;
        write!(f, "its story: cargo run -p everynode-sim -- --seed {} {steps}", self.seed)
    }
}

/// Runs `count` seeds from `first`; `told` hears of each that failed, shrunk, as it is found. Threads keep their
/// keys below `directory`. Answers how many failed.
pub fn many(first: u64, count: u64, directory: &Path, told: impl Fn(&Failed) + Send + Sync) -> u64 {
    let (next, failed, told) = (AtomicU64::new(first), AtomicU64::new(0), Mutex::new(told));
    let work = |pki: PathBuf| {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= first.saturating_add(count) {
                return;
            }
            let whole = Scenario::new(seed);
            if let Some(failure) = run(&whole, &pki).failure {
                let (scenario, steps) = shrink(&whole, &pki);
                failed.fetch_add(1, Ordering::Relaxed);
                let told = told.lock().unwrap_or_else(PoisonError::into_inner);
                told(&Failed { seed, failure, scenario, steps });
            }
        }
    };
    std::thread::scope(|scope| {
        for thread in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            let (work, pki) = (&work, directory.join(thread.to_string()));
            scope.spawn(move || work(pki));
        }
    });
    failed.into_inner()
}
