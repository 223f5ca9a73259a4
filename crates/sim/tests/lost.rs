//! A lost watch event never stalls longer than one resync (issue 3).

mod common;

use std::time::Duration;

use everynode_sim::scenario::{Participant, ScenarioEvent, Step};
use everynode_sim::{RESYNC_MAX, Scenario, run};

use self::common::{NORMAL, only_users};

const SEEDS: u64 = 40;

/// Users at work, for a short while.
fn hearing(seed: u64) -> Scenario {
    let mut scenario = only_users(seed);
    scenario.calm_at_ms = scenario.calm_at_ms.min(30_000);
    scenario.steps.iter_mut().for_each(|step| step.at_ms %= scenario.calm_at_ms);
    scenario.steps.sort_by_key(|step| step.at_ms);
    scenario
}

/// The same where no client hears of anything from a while on.
fn deaf(scenario: &Scenario) -> Scenario {
    let everybody = (0..scenario.machines).map(Participant::Machine).chain([Participant::First]);
    let lose = |who| Step {
        at_ms: 5_000,
        scenario_event: ScenarioEvent::Lose { who, percent: 100, for_ms: scenario.calm_at_ms },
    };
    let mut deaf = scenario.clone();
    deaf.steps.extend(everybody.map(lose));
    deaf.steps.sort_by_key(|step| step.at_ms);
    deaf
}

#[test]
fn a_lost_event_stalls_no_longer_than_one_resync() {
    let keys = tempfile::tempdir().unwrap();
    let mut slowest = [Duration::ZERO; 2];
    for seed in 0..SEEDS {
        let hearing = hearing(seed);
        let both = [(deaf(&hearing), NORMAL + RESYNC_MAX), (hearing, NORMAL)];
        for ((scenario, limit), slowest) in both.iter().zip(&mut slowest) {
            let report = run(scenario, keys.path());
            assert_eq!(report.failure, None, "{scenario}");
            assert!(report.converged_after <= *limit, "{:?}\n{scenario}", report.converged_after);
            *slowest = report.converged_after.max(*slowest);
        }
    }
    println!("slowest: {:?} deaf, {:?} hearing", slowest[0], slowest[1]);
    assert!(slowest[0] > NORMAL, "nothing was lost that mattered");
}
