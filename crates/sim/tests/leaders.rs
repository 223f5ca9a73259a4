//! Two leaders whose clocks differ do not write the statuses of sets against each other without end.

use everynode_sim::scenario::{Participant, ScenarioEvent, Step};
use everynode_sim::{Scenario, run};

const TOGETHER_MS: u64 = 60_000;
/// Of a minute: what the nodes' leases and statuses take, the pods, and two leaders' statuses.
const WRITES_MAX: u64 = 1_000;

/// Two sets whose pods are available after a time, and nothing but two leaders.
fn apart(by_ms: i64) -> Scenario {
    let mut scenario = Scenario { crash_percent: 0, foreign: false, min_ready_seconds: 30, ..Scenario::new(60) };
    scenario.calm_at_ms = TOGETHER_MS;
    scenario.steps = vec![
        Step { at_ms: 1_000, scenario_event: ScenarioEvent::Jump { who: Participant::First, by_ms } },
        Step { at_ms: 2_000, scenario_event: ScenarioEvent::TwoLeaders { for_ms: TOGETHER_MS } },
    ];
    scenario
}

#[test]
fn leaders_with_different_clocks_write_no_status_without_end() {
    let keys = tempfile::tempdir().unwrap();
    let [alike, apart] = [0, -23_000].map(|by_ms| run(&apart(by_ms), keys.path()));
    for report in [&alike, &apart] {
        assert_eq!(report.failure, None, "{}", report.story.join("\n"));
    }
    assert!(apart.writes < WRITES_MAX, "{} writes, {} with equal clocks", apart.writes, alike.writes);
}
