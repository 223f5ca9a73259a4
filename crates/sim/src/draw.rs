//! From a seed to a scenario.

use everynode_api::ports::Propagation;

use crate::dice::Dice;
use crate::scenario::{Amount, BudgetScope, Effect, Ending, Participant, Scenario, Step, Strategy};
use crate::scenario_event::ScenarioEvent;

pub(crate) fn scenario(seed: u64) -> Scenario {
    let dice = Dice::new(seed);
    let machines = dice.between(2, 6) as usize;
    let sets = if dice.chance(60) { 1 } else { 2 };
    let calm_at_ms = if dice.chance(70) { dice.between(10, 70) } else { dice.between(70, 240) } * 1000;
    let count = dice.between(3, 30);
    let strategies: Vec<Strategy> = (0..sets).map(|_| strategy(&dice)).collect();
    let foreign = dice.chance(20);
    // Half of the runs have more of one kind of events, so that these meet each other.
    let favourite = if dice.chance(50) { Some(dice.below(KINDS)) } else { None };
    let draw =
        |_| Step { at_ms: dice.below(calm_at_ms), scenario_event: scenario_event(&dice, favourite, machines, sets) };
    let mut steps: Vec<Step> = (0..count).map(draw).collect();
    if foreign {
        // What such a server cannot prevent comes from stale caches.
        steps.extend((0..4).map(|_| Step { at_ms: dice.below(calm_at_ms), scenario_event: staleness(&dice) }));
    }
    let mut scenario = Scenario {
        seed,
        machines,
        strategies,
        min_ready_seconds: *dice.pick(&[0, 0, 3, 10]),
        // A foreign server does not check the fit again.
        binds: !foreign && dice.chance(70),
        strict: dice.chance(20),
        foreign,
        crash_percent: *dice.pick(&[0, 0, 0, 10]),
        tight: false,
        steps,
        calm_at_ms,
    };
    if dice.chance(5) {
        scenario.steps.extend(held_up_drains(&dice, machines, calm_at_ms));
    }
    scenario.tight = !foreign && dice.chance(15);
    if dice.chance(8) {
        scenario.steps.extend(put_back(&dice, calm_at_ms));
    }
    scenario.steps.sort_by_key(|step| step.at_ms);
    scenario
}

/// A pod that no budget gives away, and drains that wait for it until they are given up: by single
/// lots that rarely comes together.
fn held_up_drains(dice: &Dice, machines: usize, calm_at_ms: u64) -> Vec<Step> {
    let at_ms = dice.below(calm_at_ms / 2);
    let budget =
        ScenarioEvent::Budget { over: BudgetScope::Plain, set: 0, min_available: false, amount: Amount::Number(0) };
    let drain = |node| Step {
        at_ms: at_ms + 6_000,
        scenario_event: ScenarioEvent::Drain { node, for_ms: dice.between(4_000, 20_000) },
    };
    let prepared = [ScenarioEvent::Plain { number: 0 }, budget].map(|scenario_event| Step { at_ms, scenario_event });
    prepared.into_iter().chain((0..machines).map(drain)).collect()
}

/// The store is put back to an earlier state.
fn put_back(dice: &Dice, calm_at_ms: u64) -> [Step; 2] {
    let (one, other) = (dice.below(calm_at_ms), dice.below(calm_at_ms));
    let backup = Step { at_ms: one.min(other), scenario_event: ScenarioEvent::BackUp {} };
    let restore = ScenarioEvent::Restore { announced: dice.chance(50) };
    [backup, Step { at_ms: one.max(other), scenario_event: restore }]
}

fn strategy(dice: &Dice) -> Strategy {
    let strategies = [
        Strategy::Unavailable(Amount::Number(1)),
        Strategy::Unavailable(Amount::Number(1)),
        Strategy::Unavailable(Amount::Number(2)),
        Strategy::Unavailable(Amount::Percent(40)),
        Strategy::Surge(Amount::Number(1)),
        Strategy::Surge(Amount::Percent(50)),
        Strategy::OnDelete,
    ];
    *dice.pick(&strategies)
}

/// Numbers of [`scenario_event`].
const KINDS: u64 = 24;

fn scenario_event(dice: &Dice, favourite: Option<u64>, machines: usize, sets: usize) -> ScenarioEvent {
    let kind = dice.below(KINDS);
    match favourite.filter(|_| dice.chance(50)).unwrap_or(kind) {
        0..=5 => of_user(dice, sets),
        6 | 7 => of_user_to_node(dice, machines),
        8 | 9 => of_user_to_pod(dice, sets),
        10 => of_user_to_revision(dice),
        11..=14 => of_machine(dice, machines),
        15..=17 => of_controller(dice, machines),
        _ => of_network(dice, machines),
    }
}

fn of_user(dice: &Dice, sets: usize) -> ScenarioEvent {
    let set = dice.below(sets as u64) as usize;
    let propagation = *dice.pick(&[Propagation::Background, Propagation::Foreground, Propagation::Orphan]);
    match dice.below(24) {
        0 | 1 => ScenarioEvent::DeleteSet { set, propagation },
        2..=5 => ScenarioEvent::CreateSet { set },
        6 | 7 => ScenarioEvent::Update { set, strategy: strategy(dice) },
        8 => ScenarioEvent::Settings { set, min_ready_seconds: *dice.pick(&[0, 2, 8]), history: dice.below(4) },
        9 => ScenarioEvent::RespectCordon { set, on: dice.chance(70) },
        10 => ScenarioEvent::DeleteNamespace { again: dice.chance(80) },
        _ => ScenarioEvent::Template {
            set,
            image: dice.below(4),
            bad: dice.chance(25),
            select: dice.chance(20),
            tolerate: dice.chance(20),
        },
    }
}

fn of_user_to_node(dice: &Dice, machines: usize) -> ScenarioEvent {
    let node = dice.below(machines as u64) as usize;
    match dice.below(8) {
        0 | 1 => {
            ScenarioEvent::Taint { node, effect: *dice.pick(&[Effect::NoSchedule, Effect::NoExecute, Effect::None]) }
        }
        2 | 3 => ScenarioEvent::Label { node, ssd: dice.chance(60) },
        4 => ScenarioEvent::Cordon { node, on: dice.chance(50) },
        5 | 6 => ScenarioEvent::Drain { node, for_ms: dice.between(5_000, 90_000) },
        _ => ScenarioEvent::DeleteNode { node },
    }
}

fn of_user_to_pod(dice: &Dice, sets: usize) -> ScenarioEvent {
    let pod = dice.below(12) as usize;
    let set = dice.below(sets as u64) as usize;
    let over = if dice.chance(60) { BudgetScope::Plain } else { BudgetScope::Set };
    match dice.below(16) {
        0 | 1 => ScenarioEvent::DeletePod { pod, force: dice.chance(30) },
        2 => ScenarioEvent::Relabel { pod },
        3 => ScenarioEvent::Rehash { pod },
        4 => ScenarioEvent::Orphan { pod },
        5 | 6 => ScenarioEvent::Fail { pod, succeeded: dice.chance(30) },
        7..=9 => ScenarioEvent::Evict { pod },
        10..=12 => ScenarioEvent::Plain { number: dice.below(3) },
        13 | 14 => ScenarioEvent::Budget { over, set, min_available: dice.chance(50), amount: amount(dice) },
        _ => ScenarioEvent::DropBudget { over, set },
    }
}

fn amount(dice: &Dice) -> Amount {
    *dice.pick(&[Amount::Number(0), Amount::Number(1), Amount::Number(2), Amount::Percent(0), Amount::Percent(50)])
}

fn of_user_to_revision(dice: &Dice) -> ScenarioEvent {
    let revision = dice.below(6) as usize;
    match dice.below(5) {
        0 => ScenarioEvent::DeleteRevision { revision },
        1 => ScenarioEvent::RelabelRevision { revision },
        2 => ScenarioEvent::RehashRevision { revision },
        3 => ScenarioEvent::OrphanRevision { revision },
        _ => ScenarioEvent::RenumberRevision { revision, number: dice.below(6) },
    }
}

fn of_machine(dice: &Dice, machines: usize) -> ScenarioEvent {
    let node = dice.below(machines as u64) as usize;
    match dice.below(3) {
        0 => ScenarioEvent::PowerOff { node, for_ms: dice.between(1_000, 150_000) },
        1 => ScenarioEvent::Cut { who: Participant::Machine(node), for_ms: dice.between(1_000, 150_000) },
        _ => ScenarioEvent::Slow { node, factor: dice.between(2, 12) as u32, for_ms: dice.between(5_000, 60_000) },
    }
}

fn of_controller(dice: &Dice, machines: usize) -> ScenarioEvent {
    let (second, down_ms) = (dice.chance(20), dice.between(1, 15_000));
    match dice.below(8) {
        0..=2 => ScenarioEvent::Crash { second, calls: dice.below(40), carried_out: dice.chance(50), down_ms },
        3 => ScenarioEvent::Kill { second, down_ms },
        4 | 5 => ScenarioEvent::TwoLeaders { for_ms: dice.between(1_000, 60_000) },
        _ => ScenarioEvent::Jump { who: who(dice, machines), by_ms: dice.between(0, 60_000) as i64 - 30_000 },
    }
}

fn of_network(dice: &Dice, machines: usize) -> ScenarioEvent {
    let who = who(dice, machines);
    let for_ms = dice.between(1_000, 40_000);
    match dice.below(18) {
        0..=4 => ScenarioEvent::Trouble { who, percent: dice.between(5, 60), for_ms },
        5 | 6 => ScenarioEvent::Lag { who, for_ms: dice.between(500, 30_000) },
        7 | 8 => ScenarioEvent::Skew { who, for_ms },
        9 => ScenarioEvent::Cut { who, for_ms },
        10 | 11 => ScenarioEvent::Twice { who, percent: dice.between(5, 60), for_ms },
        12..=14 => lose(dice, who, for_ms),
        15 | 16 => {
            ScenarioEvent::EndWatches { who, ending: *dice.pick(&[Ending::Closed, Ending::Broken, Ending::Compacted]) }
        }
        _ => ScenarioEvent::CrashServer {},
    }
}

fn lose(dice: &Dice, who: Participant, for_ms: u64) -> ScenarioEvent {
    ScenarioEvent::Lose { who, percent: *dice.pick(&[2, 10, 30, 80, 100]), for_ms }
}

/// What makes a controller's view old, or two views differ.
fn staleness(dice: &Dice) -> ScenarioEvent {
    let who = *dice.pick(&[Participant::First, Participant::Second]);
    let for_ms = dice.between(5_000, 60_000);
    match dice.below(5) {
        0 => ScenarioEvent::Lag { who, for_ms },
        1 => ScenarioEvent::Skew { who, for_ms },
        2 => lose(dice, who, for_ms),
        _ => ScenarioEvent::TwoLeaders { for_ms },
    }
}

fn who(dice: &Dice, machines: usize) -> Participant {
    match dice.below(4) {
        0 | 1 => Participant::First,
        2 => Participant::Second,
        _ => Participant::Machine(dice.below(machines as u64) as usize),
    }
}
