//! What happens in one run: drawn from a seed, read from a case file, or what is left of one after
//! shrinking.

pub use crate::scenario_event::ScenarioEvent;

/// The sets of a world, by number.
pub const SETS: [&str; 2] = ["web", "log"];

/// How a set is updated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strategy {
    Unavailable(Amount),
    Surge(Amount),
    OnDelete,
}

/// A number of pods.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Amount {
    Number(u64),
    Percent(u64),
}

/// A client of the server: one of the two controller processes, or a machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Participant {
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

/// What a user's taint does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    NoSchedule,
    NoExecute,
    /// The taint is taken away.
    None,
}

/// Whose pods a disruption budget covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BudgetScope {
    Set,
    /// Pods of no controller.
    Plain,
}

/// An event at a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// Simulated milliseconds since the beginning.
    pub at_ms: u64,
    pub scenario_event: ScenarioEvent,
}

/// Everything that a run is made of. Sets and machines that do not exist are counted round.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scenario {
    /// Of the dice that the parts of the world throw.
    pub seed: u64,
    pub machines: usize,
    /// By set.
    pub strategies: Vec<Strategy>,
    pub min_ready_seconds: u64,
    /// Whether the DaemonSet controller binds pods where they fit, or leaves all of them to the
    /// scheduler.
    pub binds: bool,
    /// The DaemonSet controller does as the original does.
    pub strict: bool,
    /// The server does what any Kubernetes server does and no more: it does not refuse a second pod
    /// at a place.
    pub foreign: bool,
    /// How many percent of containers crash in their first seconds.
    pub crash_percent: u64,
    /// Pods ask for so much that not all of them fit on a machine together.
    pub tight: bool,
    /// In time order.
    pub steps: Vec<Step>,
    /// From then on nothing goes wrong any more.
    pub calm_at_ms: u64,
}

impl Scenario {
    /// The scenario of a seed.
    pub fn new(seed: u64) -> Scenario {
        crate::draw::scenario(seed)
    }

    /// Whether something may happen of which only the next list tells: watch events that get lost
    /// for good, or a store that was put back and issues revisions a second time.
    pub fn waits_for_lists(&self) -> bool {
        let is_silent = |event: &ScenarioEvent| {
            matches!(event, ScenarioEvent::Lose { .. } | ScenarioEvent::Restore { announced: false })
        };
        self.steps.iter().any(|step| is_silent(&step.scenario_event))
    }
}
