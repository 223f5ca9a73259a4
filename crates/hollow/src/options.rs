//! What a run is told: a plain struct, validated before it starts.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::delay::{Delay, Probability, Rate};

/// Simulated nodes per process: node addresses are 10.0.0.0/9, pod addresses 10.128.0.0/9, and the
/// memory of this many nodes is about 500 MB.
pub const NODES_MAX: usize = 100_000;
/// Requests in flight: more connections cost more than they bring on the machines this runs on.
const IN_FLIGHT_MAX: usize = 4096;
const STEPS_MAX: usize = 10_000;
const GROUPS_MAX: usize = 1_000;

/// Everything about a run. [`Options::validate`] is called by [`crate::run`].
#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    pub groups: Vec<Group>,
    pub mode: Mode,
    pub profile: Profile,
    pub pods: PodTimes,
    pub failures: Failures,
    /// Whether nodes renew leases every 10 s and post their status every 5 min.
    pub leases: bool,
    /// What happens later, in any order.
    pub steps: Vec<Step>,
    /// Ends the run; `None`: at shutdown only.
    pub duration: Option<Duration>,
    /// Requests under way at the same time, for all nodes together.
    pub in_flight_max: usize,
    /// The same seed draws the same lots.
    pub seed: u64,
    /// At the end, Node objects and leases of simulated nodes are deleted.
    pub clean_up: bool,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            groups: Vec::new(),
            mode: Mode::default(),
            profile: Profile::default(),
            pods: PodTimes::default(),
            failures: Failures::default(),
            leases: true,
            steps: Vec::new(),
            duration: None,
            in_flight_max: 64,
            seed: 1,
            clean_up: false,
        }
    }
}

/// How nodes hear of their pods.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// One watch over all pods for all nodes: cheap, for load on controllers.
    #[default]
    SharedWatch,
    /// One connection and one `spec.nodeName=` watch for each node, as real agents have. Writes
    /// still share a few connections.
    WatchPerNode,
}

/// How pods are brought up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Profile {
    /// By the agent's own decisions, through every state.
    #[default]
    Real,
    /// The benchmark's: one status patch per pod as soon as it is bound, grace 0 when it is to be
    /// deleted. Pod times and pod failures do not apply.
    Fast,
}

/// Nodes of one kind.
#[derive(Clone, Debug, PartialEq)]
pub struct Group {
    pub name: String,
    /// How many are there from the start.
    pub count: usize,
    /// `{}` becomes the number of the node, unique in the run.
    pub node_name: String,
    pub labels: BTreeMap<String, String>,
    /// Values of `topology.kubernetes.io/zone`, in turn.
    pub zones: Vec<String>,
    pub taints: Vec<Taint>,
    /// `cpu`, `memory`, `pods` …; allocatable is the same.
    pub capacity: BTreeMap<String, String>,
}

impl Default for Group {
    fn default() -> Self {
        let capacity = [("cpu", "8"), ("memory", "32Gi"), ("ephemeral-storage", "100Gi"), ("pods", "110")];
        Group {
            name: "hollow".into(),
            count: 0,
            node_name: "hollow-{}".into(),
            labels: BTreeMap::new(),
            zones: Vec::new(),
            taints: Vec::new(),
            capacity: capacity.map(|(name, amount)| (name.to_owned(), amount.to_owned())).into(),
        }
    }
}

/// `key[=value]:effect`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taint {
    pub key: String,
    pub value: String,
    pub effect: String,
}

impl std::str::FromStr for Taint {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is not a taint; write KEY[=VALUE]:NoSchedule, PreferNoSchedule or NoExecute");
        let (pair, effect) = text.rsplit_once(':').ok_or_else(wrong)?;
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        let known = matches!(effect, "NoSchedule" | "PreferNoSchedule" | "NoExecute");
        if !known || key.is_empty() {
            return Err(wrong());
        }
        Ok(Taint { key: key.into(), value: value.into(), effect: effect.into() })
    }
}

/// How long the stages of a pod take.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct PodTimes {
    /// The sandbox with its network.
    pub sandbox: Delay,
    /// The pull of an image that the node does not have.
    pub pull: Delay,
    pub start: Delay,
    /// From the start until startup and readiness probes pass, where there are any.
    pub ready: Delay,
    /// From TERM to the end, at most the grace period.
    pub stop: Delay,
}

/// What goes wrong, and how often.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Failures {
    /// That a container ends by itself, per start.
    pub crash: Probability,
    /// How long it runs before that.
    pub crash_after: Delay,
    /// That a pod never becomes ready: its readiness probe never passes, or without one its image
    /// cannot be pulled.
    pub never_ready: Probability,
    /// A node is silent for ever; per node.
    pub death: Rate,
    /// A node goes down and boots again.
    pub flap: Rate,
    pub flap_for: Delay,
    /// A node loses the API server for a while; its pods run on.
    pub cut_off: Rate,
    pub cut_off_for: Delay,
}

/// One thing that happens at a moment, or spread over a time.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// Since the beginning.
    pub at: Duration,
    /// Spread evenly over this long.
    pub over: Duration,
    pub count: usize,
    /// Which nodes; `None`: any (for joins: the first group).
    pub group: Option<String>,
    pub event: StepEvent,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum StepEvent {
    Join,
    /// The node object is deleted.
    Leave,
    Die,
    Flap {
        down_for: Delay,
    },
    CutOff {
        cut_off_for: Delay,
    },
}

/// Why options make no run.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {message}")]
pub struct OptionsError {
    /// As in a scenario file: `groups[1].count`.
    pub field: String,
    pub message: String,
}

impl OptionsError {
    pub(crate) fn new(field: impl Into<String>, message: impl Into<String>) -> Self {
        OptionsError { field: field.into(), message: message.into() }
    }
}

impl Options {
    /// This many nodes of one kind; everything takes no time and nothing fails.
    pub fn nodes(count: usize) -> Self {
        Options { groups: vec![Group { count, ..Group::default() }], ..Options::default() }
    }

    /// The benchmark's profile: see [`Profile::Fast`]; without leases, so a server has to be
    /// patient: after its grace period for silent nodes it takes them for lost, and rollouts stand
    /// still.
    pub fn fast(count: usize) -> Self {
        Options { profile: Profile::Fast, leases: false, ..Options::nodes(count) }
    }

    /// All nodes that there will ever be.
    pub fn nodes_ever(&self) -> usize {
        let joining = self.steps.iter().filter(|step| step.event == StepEvent::Join).map(|step| step.count);
        self.groups.iter().map(|group| group.count).chain(joining).fold(0, usize::saturating_add)
    }

    /// # Errors
    /// The first thing that is wrong.
    pub fn validate(&self) -> Result<(), OptionsError> {
        let fail = |field: &str, message: String| Err(OptionsError::new(field, message));
        if self.groups.is_empty() || self.groups.len() > GROUPS_MAX {
            return fail("groups", format!("there must be 1 to {GROUPS_MAX}"));
        }
        if self.nodes_ever() > NODES_MAX {
            return fail("groups", format!("more than {NODES_MAX} nodes in all"));
        }
        if !(1..=IN_FLIGHT_MAX).contains(&self.in_flight_max) {
            return fail("inFlight", format!("must be 1 to {IN_FLIGHT_MAX}"));
        }
        if self.steps.len() > STEPS_MAX {
            return fail("steps", format!("more than {STEPS_MAX}"));
        }
        self.groups.iter().enumerate().try_for_each(|(index, group)| self.validate_group(index, group))?;
        self.steps.iter().enumerate().try_for_each(|(index, step)| self.validate_step(index, step))
    }

    fn validate_group(&self, index: usize, group: &Group) -> Result<(), OptionsError> {
        let fail = |field: &str, message: String| Err(OptionsError::new(format!("groups[{index}].{field}"), message));
        let same = |other: &&Group| other.name == group.name;
        if self.groups.iter().filter(same).count() > 1 {
            return fail("name", format!("`{}` is there twice", group.name));
        }
        if group.node_name.matches("{}").count() != 1 {
            return fail("nodeName", format!("`{}` must have one {{}} for the number", group.node_name));
        }
        let example = group.node_name.replace("{}", &NODES_MAX.to_string());
        if !is_subdomain(&example) {
            return fail("nodeName", format!("`{example}` cannot be the name of a node"));
        }
        let wrong = group.capacity.iter().find(|(_, amount)| everynode_api::quantity::Quantity::parse(amount).is_err());
        match wrong {
            Some((name, amount)) => fail(&format!("capacity.{name}"), format!("`{amount}` is not a quantity")),
            None => Ok(()),
        }
    }

    fn validate_step(&self, index: usize, step: &Step) -> Result<(), OptionsError> {
        match &step.group {
            Some(name) if !self.groups.iter().any(|group| group.name == *name) => {
                Err(OptionsError::new(format!("steps[{index}].group"), format!("there is no group `{name}`")))
            }
            _ => Ok(()),
        }
    }
}

/// RFC 1123 subdomain: what node names must be.
fn is_subdomain(name: &str) -> bool {
    let is_label = |label: &str| {
        let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        !label.is_empty() && label.chars().all(inner) && !label.starts_with('-') && !label.ends_with('-')
    };
    name.len() <= 253 && name.split('.').all(is_label)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrong(change: impl FnOnce(&mut Options)) -> String {
        let mut options = Options::nodes(3);
        change(&mut options);
        options.validate().unwrap_err().to_string()
    }

    #[test]
    fn what_makes_no_run_is_named() {
        assert_eq!(Options::nodes(3).validate(), Ok(()));
        assert!(wrong(|options| options.groups[0].node_name = "x".into()).starts_with("groups[0].nodeName: "));
        assert!(wrong(|options| options.groups[0].node_name = "X{}".into()).contains("name of a node"));
        assert!(wrong(|options| options.groups[0].count = 1 << 40).contains("more than"));
        assert!(wrong(|options| options.in_flight_max = 0).starts_with("inFlight"));
        assert!(
            wrong(|options| drop(options.groups[0].capacity.insert("cpu".into(), "x".into()))).contains("capacity.cpu")
        );
        assert!(wrong(|options| options.groups.push(Group::default())).contains("twice"));
    }

    #[test]
    fn taints() {
        let taint: Taint = "gpu=yes:NoSchedule".parse().unwrap();
        assert_eq!((taint.key.as_str(), taint.value.as_str()), ("gpu", "yes"));
        assert!("gpu".parse::<Taint>().is_err() && "gpu:Never".parse::<Taint>().is_err());
    }
}
