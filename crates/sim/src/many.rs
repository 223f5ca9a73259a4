//! Many seeds on all processors.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::ledger::Counts;
use crate::scenario::Scenario;
use crate::shrink::shrink;
use crate::world::run;

/// A seed that failed, and the small scenario that is left of it.
#[derive(Clone, Debug)]
pub struct Failed {
    pub seed: u64,
    pub failure: String,
    pub scenario: Scenario,
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Failed { seed, failure, scenario } = self;
        writeln!(f, "seed {seed} FAILED at {failure}")?;
        writeln!(
            f,
            "What follows is a smaller scenario that fails, too. When it is understood and mended, keep it as"
        )?;
        writeln!(
            f,
            "crates/sim/tests/cases/NAME.txt below a line that says what it shows (# ...); it is then replayed by"
        )?;
        writeln!(f, "every test run. Its story: cargo run -p everynode-sim -- --case FILE")?;
        write!(f, "{scenario}")
    }
}

/// What came of many seeds.
#[derive(Clone, Debug, Default)]
pub struct Sum {
    pub seeds: u64,
    pub failed: u64,
    /// The longest time that a cluster took to converge, simulated, and its seed.
    pub slowest: (Duration, u64),
    /// How often each event was done and each fault hit.
    pub counts: Counts,
}

impl fmt::Display for Sum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (what, number) in &self.counts {
            writeln!(f, "{number:>9} {what}")?;
        }
        let (after, seed) = self.slowest;
        writeln!(f, "slowest: seed {seed} converged after {} s", after.as_secs())?;
        write!(f, "{} seeds, {} failed", self.seeds, self.failed)
    }
}

/// Runs `count` seeds from `first`; `told` hears of each that failed, shrunk, as it is found.
/// Threads keep their keys below `directory`.
pub fn many(first: u64, count: u64, directory: &Path, told: impl Fn(&Failed) + Send + Sync) -> Sum {
    let (next, sum, told) = (AtomicU64::new(first), Mutex::new(Sum::default()), Mutex::new(told));
    let work = |pki: PathBuf| {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= first.saturating_add(count) {
                return;
            }
            let whole = Scenario::new(seed);
            let report = run(&whole, &pki);
            let mut sum = sum.lock().unwrap_or_else(PoisonError::into_inner);
            sum.seeds += 1;
            sum.failed += u64::from(report.failure.is_some());
            sum.slowest = sum.slowest.max((report.converged_after, seed));
            merge(&mut sum.counts, report.counts);
            drop(sum);
            if let Some(failure) = report.failure {
                let scenario = shrink(&whole, |smaller| run(smaller, &pki).failure.is_some());
                let told = told.lock().unwrap_or_else(PoisonError::into_inner);
                told(&Failed { seed, failure, scenario });
            }
        }
    };
    std::thread::scope(|scope| {
        for thread in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            let (work, pki) = (&work, directory.join(thread.to_string()));
            scope.spawn(move || work(pki));
        }
    });
    sum.into_inner().unwrap_or_else(PoisonError::into_inner)
}

fn merge(counts: &mut Counts, further: BTreeMap<&'static str, u64>) {
    for (what, number) in further {
        *counts.entry(what).or_default() += number;
    }
}
