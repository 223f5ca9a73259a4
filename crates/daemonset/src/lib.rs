//! The heart: from one DaemonSet, its nodes, pods and revisions to a plan.
//!
//! # The story
//! A DaemonSet wants one pod on every node that it fits. [`gather`](input) gathers everything that
//! the decision about one set is made from; [`plan`](mod@plan) decides, without clock, randomness
//! or I/O; [`audit`](mod@audit) judges the plan without trusting it. Executing is the driver's
//! work, in another crate.
//!
//! One pass, in order: *guard* (a set that is being deleted is left alone), *history* (which
//! revision is the newest; a new one is recorded first, and nothing is taken down in that pass),
//! *claim* (which pods are ours), *nodes* (per node: missing, failed, doubled, no longer wanted),
//! *rollout* (which outdated pods go next within the budget), *cleanup* of old revisions,
//! *status*. Every "not now" and "not here" is a [`DaemonSetNote`].
//!
//! # Reading order
//! `plan`, `node`, `rollout`, one file of `tests/cases/`, then the rest: `claim`, `revision`,
//! `pod`, `backoff`, `status`. Requirement numbers (DS-B04 …) are those of `docs/requirements.md`;
//! where we differ on purpose, `docs/deviations.md` says why, and [`Options::strict`] gives the
//! original's behaviour.

mod actions;
pub mod audit;
mod backoff;
mod claim;
mod conditions;
mod explain;
pub mod input;
mod judge;
mod memory;
mod names;
mod node;
mod normal;
pub mod plan;
mod pod;
mod revision;
mod rollout;
mod sites;
mod status;
pub mod testkit;
mod wake;

use everynode_api::kinds::{self, Kind};
use everynode_api::meta::Key;
use everynode_api::reconcile::{self, Reconciler, Violation};
use everynode_api::view::{Change, View};
use jiff::Timestamp;

pub use explain::{DaemonSetNote, DeleteReason, WaitReason};
pub use input::DaemonSetInput;
pub use memory::DaemonSetMemory;

/// A plan for one DaemonSet.
pub type Plan = reconcile::Plan<DaemonSetNote, DaemonSetMemory>;

/// The annotation that names the controller a set belongs to (see [`Options::class`]).
pub const CLASS_ANNOTATION: &str = "everynode.dev/class";
/// `"true"`: cordoned nodes get no pod of this set.
pub const RESPECT_CORDON_ANNOTATION: &str = "everynode.dev/respect-cordon";

/// How the controller behaves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// The original's behaviour wherever ours is better on purpose (docs/deviations.md).
    pub strict: bool,
    /// Whether pods are created already bound to their node.
    pub bind: Bind,
    /// Only sets whose annotation [`CLASS_ANNOTATION`] has this value; `None`: only sets without
    /// it.
    pub class: Option<String>,
    /// Most pod creations, and most pod deletions, in one plan; the rest follows in the next one.
    /// It bounds the memory that bodies take (about 8 KB each). The original's number is 250
    /// (DS-C50).
    pub burst: usize,
}

impl Default for Options {
    fn default() -> Self {
        Options { strict: false, bind: Bind::Off, class: None, burst: 500 }
    }
}

impl Options {
    /// The original's behaviour.
    pub fn strict() -> Self {
        Options { strict: true, burst: 250, ..Options::default() }
    }
}

/// What decides that a pod may run on the node that it is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Bind {
    /// The scheduler, always.
    #[default]
    Off,
    /// The plan, where nothing else has a say and the pod fits; else the scheduler. Right where the
    /// API server takes the node's room for each pod that is bound (our own).
    WhereFits,
}

/// The DaemonSet controller.
#[derive(Clone, Debug, Default)]
pub struct DaemonSetController {
    pub options: Options,
}

impl DaemonSetController {
    pub fn new(options: Options) -> Self {
        DaemonSetController { options }
    }
}

impl DaemonSetController {
    /// Why nodes are left alone that the plan's notes say nothing about: a [`DaemonSetNote::Skip`]
    /// for each that has no claim to a pod, and a [`DaemonSetNote::Hold`] for each whose outdated
    /// pod waits for its turn, each kind in the order of names. Made only when asked for: a set
    /// that selects ten nodes of 5,000 has 4,990 of them.
    pub fn at_rest(&self, seen: &DaemonSetInput, plan: &Plan) -> Vec<DaemonSetNote> {
        plan::at_rest(seen, &plan.memory)
    }
}

impl Reconciler for DaemonSetController {
    type Input = DaemonSetInput;
    type Memory = DaemonSetMemory;
    type Note = DaemonSetNote;

    fn name(&self) -> &'static str {
        "daemonset"
    }

    fn watches(&self) -> Vec<Kind> {
        // DS-F04
        vec![kinds::DAEMON_SET, kinds::NODE, kinds::POD, kinds::CONTROLLER_REVISION]
    }

    fn wake(&self, view: &View, change: &Change) -> Vec<Key> {
        wake::wake(&self.options, view, change)
    }

    fn all(&self, view: &View) -> Vec<Key> {
        let ours = view.daemon_sets().filter(|set| input::is_ours(&self.options, set));
        ours.map(|set| set.meta.key()).collect()
    }

    fn gather(&self, view: &View, key: &Key) -> Option<DaemonSetInput> {
        input::gather(&self.options, view, key)
    }

    fn plan(&self, seen: &DaemonSetInput, memory: &DaemonSetMemory, now: Timestamp) -> Plan {
        plan::plan(&self.options, seen, memory, now)
    }

    fn audit(&self, seen: &DaemonSetInput, plan: &Plan) -> Vec<Violation> {
        audit::audit(&self.options, seen, plan)
    }
}
