//! From a scenario that fails to a small one that still does.

use crate::scenario::{Amount, Scenario, Strategy};
use crate::scenario_event::ScenarioEvent;

/// Most runs that making one scenario smaller may take.
const RUNS_MAX: u32 = 600;

/// Leaves out steps, halves first, then makes everything else plainer, as long as the run still
/// `fails`.
pub fn shrink(scenario: &Scenario, mut fails: impl FnMut(&Scenario) -> bool) -> Scenario {
    let mut runs = 0;
    let mut fails = |smaller: &Scenario| {
        runs += 1;
        runs <= RUNS_MAX && fails(smaller)
    };
    let mut least = scenario.clone();
    loop {
        let before = least.clone();
        fewer_steps(&mut least, &mut fails);
        plainer(&mut least, &mut fails);
        if least == before {
            return least;
        }
    }
}

fn fewer_steps(least: &mut Scenario, fails: &mut impl FnMut(&Scenario) -> bool) {
    let mut size = least.steps.len().div_ceil(2);
    while size > 0 {
        let mut start = 0;
        while start < least.steps.len() {
            let mut fewer = least.clone();
            fewer.steps.drain(start..(start + size).min(least.steps.len()));
            match fails(&fewer) {
                true => *least = fewer,
                false => start += size,
            }
        }
        size = if size == 1 { 0 } else { size.div_ceil(2) };
    }
}

/// Each of these by itself.
fn plainer(least: &mut Scenario, fails: &mut impl FnMut(&Scenario) -> bool) {
    let changes: [fn(&mut Scenario); 10] = [
        |scenario| scenario.machines = 1,
        |scenario| scenario.machines = (scenario.machines - 1).max(1),
        |scenario| scenario.strategies.truncate(1),
        |scenario| scenario.crash_percent = 0,
        |scenario| scenario.min_ready_seconds = 0,
        |scenario| scenario.strict = false,
        |scenario| scenario.foreign = false,
        |scenario| scenario.tight = false,
        |scenario| scenario.binds = true,
        |scenario| scenario.strategies.fill(Strategy::Unavailable(Amount::Number(1))),
    ];
    let calm_early = |scenario: &mut Scenario| {
        scenario.calm_at_ms = scenario.steps.last().map_or(1_000, |step| step.at_ms + 1_000);
    };
    let whole_seconds = |scenario: &mut Scenario| {
        for step in &mut scenario.steps {
            step.at_ms = step.at_ms / 1000 * 1000;
        }
    };
    for change in changes {
        attempt(least, fails, change);
    }
    attempt(least, fails, calm_early);
    attempt(least, fails, whole_seconds);
    for index in 0..least.steps.len() {
        let shorter = |scenario: &mut Scenario| shorten(&mut scenario.steps[index].scenario_event);
        attempt(least, fails, shorter);
    }
}

fn attempt(least: &mut Scenario, fails: &mut impl FnMut(&Scenario) -> bool, change: impl FnOnce(&mut Scenario)) {
    let mut plainer = least.clone();
    change(&mut plainer);
    if plainer != *least && fails(&plainer) {
        *least = plainer;
    }
}

/// Half as long, down to a second.
fn shorten(scenario_event: &mut ScenarioEvent) {
    if let ScenarioEvent::PowerOff { for_ms, .. }
    | ScenarioEvent::Slow { for_ms, .. }
    | ScenarioEvent::Cut { for_ms, .. }
    | ScenarioEvent::Trouble { for_ms, .. }
    | ScenarioEvent::Lag { for_ms, .. }
    | ScenarioEvent::Skew { for_ms, .. }
    | ScenarioEvent::Twice { for_ms, .. }
    | ScenarioEvent::Lose { for_ms, .. }
    | ScenarioEvent::TwoLeaders { for_ms }
    | ScenarioEvent::Drain { for_ms, .. }
    | ScenarioEvent::Crash { down_ms: for_ms, .. }
    | ScenarioEvent::Kill { down_ms: for_ms, .. } = scenario_event
    {
        *for_ms = (*for_ms / 2000 * 1000).max(1000).min(*for_ms);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::Step;

    fn scenario(scenario_events: &[ScenarioEvent]) -> Scenario {
        let steps = scenario_events
            .iter()
            .zip(1..)
            .map(|(scenario_event, number)| Step { at_ms: number * 1234, scenario_event: scenario_event.clone() });
        Scenario {
            seed: 1,
            machines: 5,
            strategies: vec![Strategy::OnDelete, Strategy::Surge(Amount::Number(1))],
            min_ready_seconds: 3,
            binds: false,
            strict: true,
            foreign: true,
            crash_percent: 10,
            tight: true,
            steps: steps.collect(),
            calm_at_ms: 100_000,
        }
    }

    #[test]
    fn what_makes_it_fail_is_left() {
        let drain = ScenarioEvent::Drain { node: 3, for_ms: 60_000 };
        let noise = || ScenarioEvent::Plain { number: 1 };
        let whole = scenario(&[noise(), noise(), drain, noise(), ScenarioEvent::CrashServer {}, noise()]);
        let fails = |scenario: &Scenario| {
            let drains =
                |step: &Step| matches!(step.scenario_event, ScenarioEvent::Drain { for_ms, .. } if for_ms > 20_000);
            scenario.machines > 2
                && scenario.steps.iter().any(drains)
                && scenario.steps.iter().any(|step| step.scenario_event == ScenarioEvent::CrashServer {})
        };
        let text = "\
cluster seed=1 machines=3 min_ready_seconds=0 binds=yes strict=no foreign=no crash_percent=0 tight=no
sets unavailable:1
     3.000s drain node=3 for_ms=30000
     6.000s crash-server
     7.000s calm";
        assert_eq!(shrink(&whole, fails).to_string(), text);
    }

    #[test]
    fn what_does_not_fail_smaller_stays() {
        let whole = scenario(&[ScenarioEvent::CrashServer {}]);
        assert_eq!(shrink(&whole, |_| false), whole);
    }
}
