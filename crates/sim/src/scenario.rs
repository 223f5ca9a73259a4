//! What happens in one run: drawn from a seed, or what is left of it after shrinking.

use std::fmt;

use everynode_api::ports::Propagation;

use crate::dice::Dice;

/// The sets of a world, by number.
pub const SETS: [&str; 2] = ["web", "log"];

/// How a set is updated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strategy {
    Unavailable(&'static str),
    Surge(&'static str),
    OnDelete,
}

/// Who speaks to the server: the two controller processes, or a machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    First,
    Second,
    Machine(usize),
}

/// How open watches end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The server closes them.
    Closed,
    /// The connection breaks.
    Broken,
    /// 410: what they have not seen is compacted.
    Compacted,
}

/// One thing that a user, a machine, the network or bad luck does. Pods are meant by their place in the order
/// of names at that moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Deed {
    Template {
        set: usize,
        image: u64,
        bad: bool,
        select: bool,
        tolerate: bool,
    },
    Update {
        set: usize,
        strategy: Strategy,
    },
    DeleteSet {
        set: usize,
        propagation: Propagation,
    },
    CreateSet {
        set: usize,
    },
    DeletePod {
        pod: usize,
        force: bool,
    },
    /// Takes the pod out of every selector.
    Relabel {
        pod: usize,
    },
    /// Writes a revision on it that does not exist.
    Rehash {
        pod: usize,
    },
    /// Takes its owner away.
    Orphan {
        pod: usize,
    },
    /// Its machine gives up on it.
    Fail {
        pod: usize,
        succeeded: bool,
    },
    Plain {
        number: u64,
    },
    Taint {
        node: usize,
        effect: &'static str,
    },
    Label {
        node: usize,
        ssd: bool,
    },
    Cordon {
        node: usize,
        on: bool,
    },
    DeleteNode {
        node: usize,
    },

    PowerOff {
        node: usize,
        for_ms: u64,
    },
    Cut {
        who: Who,
        for_ms: u64,
    },
    Slow {
        node: usize,
        factor: u32,
        for_ms: u64,
    },

    /// A controller process ends after so many more requests, the last one carried out or not, and starts again.
    Crash {
        second: bool,
        calls: u64,
        carried_out: bool,
        down_ms: u64,
    },
    /// A second controller process runs beside the first: two leaders.
    TwoLeaders {
        for_ms: u64,
    },
    Jump {
        who: Who,
        by_ms: i64,
    },

    /// So many percent of the requests go wrong in some way.
    Trouble {
        who: Who,
        percent: u64,
        for_ms: u64,
    },
    /// Watch events are delivered late.
    Lag {
        who: Who,
        for_ms: u64,
    },
    /// So many percent of the watch events come twice.
    Twice {
        who: Who,
        percent: u64,
        for_ms: u64,
    },
    EndWatches {
        who: Who,
        ending: Ending,
    },
    /// The server's process dies, with everything that was not fsynced, and starts again.
    CrashServer,
}

/// A deed at a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// Simulated milliseconds since the beginning.
    pub at_ms: u64,
    pub deed: Deed,
}

/// Everything that a run is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scenario {
    pub seed: u64,
    pub machines: usize,
    /// By set.
    pub strategies: Vec<Strategy>,
    pub min_ready_seconds: u64,
    /// Whether the DaemonSet controller binds pods where they fit, or leaves all of them to the scheduler.
    pub binds: bool,
    /// How many percent of containers crash in their first seconds.
    pub crash_percent: u64,
    /// In time order.
    pub steps: Vec<Step>,
    /// From then on nothing goes wrong any more.
    pub calm_at_ms: u64,
}

impl Scenario {
    /// The scenario of a seed.
    pub fn new(seed: u64) -> Scenario {
        let dice = Dice::new(seed);
        let machines = dice.between(2, 6) as usize;
        let sets = if dice.chance(60) { 1 } else { 2 };
        let calm_at_ms = if dice.chance(70) { dice.between(10, 70) } else { dice.between(70, 240) } * 1000;
        let count = dice.between(3, 30);
        let strategies: Vec<Strategy> = (0..sets).map(|_| strategy(&dice)).collect();
        let draw = |_| Step { at_ms: dice.below(calm_at_ms), deed: deed(&dice, machines, sets) };
        let mut steps: Vec<Step> = (0..count).map(draw).collect();
        steps.sort_by_key(|step| step.at_ms);
        Scenario {
            seed,
            machines,
            strategies,
            min_ready_seconds: *dice.pick(&[0, 0, 3, 10]),
            binds: dice.chance(70),
            crash_percent: *dice.pick(&[0, 0, 0, 10]),
            steps,
            calm_at_ms,
        }
    }

    /// The same with these steps only, by their index in the whole.
    #[must_use]
    pub fn only(&self, steps: &[usize]) -> Scenario {
        let kept = self.steps.iter().enumerate().filter(|(index, _)| steps.contains(index));
        Scenario { steps: kept.map(|(_, step)| step.clone()).collect(), ..self.clone() }
    }
}

impl fmt::Display for Scenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Scenario { seed, machines, min_ready_seconds, binds, crash_percent, .. } = self;
        write!(f, "seed {seed}: {machines} machines, sets {:?}, ", self.strategies)?;
        writeln!(f, "minReadySeconds {min_ready_seconds}, binds {binds}, crashes {crash_percent} %")?;
        for step in &self.steps {
            writeln!(f, "  {:>9.3} s  {:?}", step.at_ms as f64 / 1000.0, step.deed)?;
        }
        write!(f, "  {:>9.3} s  everything heals", self.calm_at_ms as f64 / 1000.0)
    }
}

fn strategy(dice: &Dice) -> Strategy {
    let strategies = [
        Strategy::Unavailable("1"),
        Strategy::Unavailable("1"),
        Strategy::Unavailable("2"),
        Strategy::Unavailable("40%"),
        Strategy::Surge("1"),
        Strategy::Surge("50%"),
        Strategy::OnDelete,
    ];
    *dice.pick(&strategies)
}

fn deed(dice: &Dice, machines: usize, sets: usize) -> Deed {
    match dice.below(10) {
        0..=2 => of_user(dice, sets),
        3 => of_user_to_node(dice, machines),
        4 => of_user_to_pod(dice),
        5 | 6 => of_machine(dice, machines),
        7 => of_controller(dice, machines),
        _ => of_network(dice, machines),
    }
}

fn of_user(dice: &Dice, sets: usize) -> Deed {
    let set = dice.below(sets as u64) as usize;
    let propagation = *dice.pick(&[Propagation::Background, Propagation::Foreground, Propagation::Orphan]);
    match dice.below(10) {
        0 => Deed::DeleteSet { set, propagation },
        1 | 2 => Deed::CreateSet { set },
        3 => Deed::Update { set, strategy: strategy(dice) },
        4 => Deed::Plain { number: dice.below(3) },
        _ => Deed::Template {
            set,
            image: dice.below(4),
            bad: dice.chance(25),
            select: dice.chance(20),
            tolerate: dice.chance(20),
        },
    }
}

fn of_user_to_node(dice: &Dice, machines: usize) -> Deed {
    let node = dice.below(machines as u64) as usize;
    match dice.below(6) {
        0 | 1 => Deed::Taint { node, effect: dice.pick::<&str>(&["NoSchedule", "NoExecute", ""]) },
        2 | 3 => Deed::Label { node, ssd: dice.chance(60) },
        4 => Deed::Cordon { node, on: dice.chance(50) },
        _ => Deed::DeleteNode { node },
    }
}

fn of_user_to_pod(dice: &Dice) -> Deed {
    let pod = dice.below(12) as usize;
    match dice.below(7) {
        0 | 1 => Deed::DeletePod { pod, force: dice.chance(30) },
        2 => Deed::Relabel { pod },
        3 => Deed::Rehash { pod },
        4 => Deed::Orphan { pod },
        _ => Deed::Fail { pod, succeeded: dice.chance(30) },
    }
}

fn of_machine(dice: &Dice, machines: usize) -> Deed {
    let node = dice.below(machines as u64) as usize;
    match dice.below(3) {
        0 => Deed::PowerOff { node, for_ms: dice.between(1_000, 150_000) },
        1 => Deed::Cut { who: Who::Machine(node), for_ms: dice.between(1_000, 150_000) },
        _ => Deed::Slow { node, factor: dice.between(2, 12) as u32, for_ms: dice.between(5_000, 60_000) },
    }
}

fn of_controller(dice: &Dice, machines: usize) -> Deed {
    match dice.below(6) {
        0..=2 => Deed::Crash {
            second: dice.chance(20),
            calls: dice.below(40),
            carried_out: dice.chance(50),
            down_ms: dice.between(1, 15_000),
        },
        3 | 4 => Deed::TwoLeaders { for_ms: dice.between(1_000, 60_000) },
        _ => Deed::Jump { who: who(dice, machines), by_ms: dice.between(0, 60_000) as i64 - 30_000 },
    }
}

fn of_network(dice: &Dice, machines: usize) -> Deed {
    let who = who(dice, machines);
    match dice.below(16) {
        0..=5 => Deed::Trouble { who, percent: dice.between(5, 60), for_ms: dice.between(1_000, 40_000) },
        6..=8 => Deed::Lag { who, for_ms: dice.between(500, 30_000) },
        9 => Deed::Cut { who, for_ms: dice.between(1_000, 30_000) },
        10 | 11 => Deed::Twice { who, percent: dice.between(5, 60), for_ms: dice.between(1_000, 40_000) },
        12..=14 => Deed::EndWatches { who, ending: *dice.pick(&[Ending::Closed, Ending::Broken, Ending::Compacted]) },
        _ => Deed::CrashServer,
    }
}

fn who(dice: &Dice, machines: usize) -> Who {
    match dice.below(4) {
        0 | 1 => Who::First,
        2 => Who::Second,
        _ => Who::Machine(dice.below(machines as u64) as usize),
    }
}
