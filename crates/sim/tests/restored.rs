//! A store that was put back to an earlier state is followed by every client within one resync:
//! agents and controllers go on from what it has.

mod common;

use std::time::Duration;

use everynode_sim::scenario::{ScenarioEvent, Step};
use everynode_sim::{RESYNC_MAX, Scenario, run};

use self::common::{NORMAL, only_users};

const SEEDS: u64 = 8;

/// Users at work, and a store that forgets the last of it.
fn put_back(seed: u64, announced: bool) -> Scenario {
    let mut scenario = Scenario { tight: false, ..only_users(seed) };
    scenario.calm_at_ms = 40_000;
    scenario.steps.iter_mut().for_each(|step| step.at_ms %= 35_000);
    scenario.steps.push(Step { at_ms: 4_000, scenario_event: ScenarioEvent::BackUp {} });
    scenario.steps.push(Step { at_ms: 36_000, scenario_event: ScenarioEvent::Restore { announced } });
    scenario.steps.sort_by_key(|step| step.at_ms);
    scenario
}

#[test]
fn a_restored_store_is_followed_by_every_client_within_one_resync() {
    let keys = tempfile::tempdir().unwrap();
    for (seed, announced) in (0..SEEDS).flat_map(|seed| [(seed, false), (seed, true)]) {
        let scenario = put_back(seed, announced);
        let report = run(&scenario, keys.path());
        assert_eq!(report.failure, None, "{scenario}");
        assert_eq!(report.counts.get("restore"), Some(&1), "{scenario}");
        let limit = NORMAL + if announced { Duration::ZERO } else { RESYNC_MAX };
        assert!(report.converged_after <= limit, "{:?}\n{scenario}", report.converged_after);
    }
}
