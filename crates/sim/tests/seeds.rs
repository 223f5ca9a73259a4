//! Seeds from 0 on: whatever goes wrong, the cluster converges, and a run is a function of its seed.

use everynode_sim::{Scenario, many, run};

/// As many as take less than a minute, unoptimised, on two idle processors; `SIM_SEEDS=5000 SIM_FIRST=100` runs others.
const SEEDS: u64 = 100;

fn asked(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

#[test]
fn every_seed_converges() {
    let keys = tempfile::tempdir().unwrap();
    let (first, count) = (asked("SIM_FIRST").unwrap_or(0), asked("SIM_SEEDS").unwrap_or(SEEDS));
    let failed = many(first, count, keys.path(), |failed| println!("{failed}\n"));
    assert_eq!(failed, 0, "seeds failed; see above");
}

/// Write for write, at the same moments, in the same order.
#[test]
fn a_run_is_a_function_of_its_seed() {
    let keys = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let mut traces = std::collections::BTreeSet::new();
    for seed in 3..9 {
        let [one, other] = [0, 1].map(|keys_of| run(&Scenario::new(seed), keys[keys_of].path()));
        assert_eq!((one.trace, one.writes, &one.story), (other.trace, other.writes, &other.story), "seed {seed}");
        traces.insert(one.trace);
    }
    assert_eq!(traces.len(), 6, "different seeds are different runs");
}

/// Seeds that failed once, and what they found.
#[test]
fn seeds_that_found_something() {
    let keys = tempfile::tempdir().unwrap();
    // A garbage collector that died between the last dependent and its owner's finalizer.
    for seed in [1162, 1179] {
        let report = run(&Scenario::new(seed), keys.path());
        assert_eq!(report.failure, None, "seed {seed}\n{}", report.story.join("\n"));
    }
}
