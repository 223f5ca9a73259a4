//! What the tests of lost events and of restored stores share.

use std::time::Duration;

use everynode_sim::Scenario;

/// What users' events take to settle where nothing goes wrong.
pub const NORMAL: Duration = Duration::from_secs(60);

/// A seed's scenario with only what users do, of which nothing lasts.
pub fn only_users(seed: u64) -> Scenario {
    let mut scenario = Scenario { crash_percent: 0, foreign: false, ..Scenario::new(seed) };
    scenario.steps.retain(|step| {
        let words = ["template", "update", "settings", "delete-set", "create-set", "delete-pod", "taint", "label"];
        words.contains(&step.scenario_event.word())
    });
    scenario
}
