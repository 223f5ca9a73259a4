//! The reconcile contract: every controller is a [`Reconciler`], every decision a [`Plan`].
//!
//! ```text
//! gather(view, key)           -> Option<Input>  collect, decide nothing
//! plan(&Input, &Memory, now)  -> Plan           decide, collect nothing; no clock, no randomness, no I/O
//! audit(&Input, &Plan)        -> [Violation]    an independent check; runs in tests and debug builds
//! ```
//! The driver (crate `runtime`) executes plans and makes no choices. A wake-up carries no input:
//! correctness never depends on what woke a key.

use std::borrow::Cow;

use jiff::Timestamp;
use serde_json::Value;

use crate::kinds::Kind;
use crate::meta::Key;
use crate::ports::{PatchType, Preconditions, Propagation, Target};
use crate::view::{Change, View};

/// One controller: pure decisions over a [`View`].
pub trait Reconciler: Send + Sync + 'static {
    /// What one key's decision is made from; owned or shared, never borrowed from the view.
    type Input: Send + Sync;
    /// What one key remembers between plans: back-offs, predecessors, observations over time.
    /// It is a plain value and is lost with the process.
    type Memory: Clone + Default + Send + Sync;
    /// Every "not now" and "not here", as a value that explains itself.
    type Note: Clone + PartialEq + std::fmt::Display + std::fmt::Debug + Send + Sync;

    /// The controller's name: its queue's name in metrics, its identity in events.
    fn name(&self) -> &'static str;

    /// The kinds that must be in the view before the first key is planned.
    fn watches(&self) -> Vec<Kind>;

    /// Whether it also works on all kinds that discovery finds ([`View::served`]), which come and
    /// go.
    fn follows_served(&self) -> bool {
        false
    }

    /// The keys that a change may concern. May err on the side of too many. `change` was already
    /// applied to the view; its old state comes along.
    fn wake(&self, view: &View, change: &Change) -> Vec<Key>;

    /// All keys, for the periodic full pass.
    fn all(&self, view: &View) -> Vec<Key>;

    /// Gathers what the decision about `key` needs; `None` forgets the key's memory.
    fn gather(&self, view: &View, key: &Key) -> Option<Self::Input>;

    /// Decides.
    fn plan(&self, seen: &Self::Input, memory: &Self::Memory, now: Timestamp) -> Plan<Self::Note, Self::Memory>;

    /// Judges a plan without trusting the planner.
    fn audit(&self, _seen: &Self::Input, _plan: &Plan<Self::Note, Self::Memory>) -> Vec<Violation> {
        Vec::new()
    }
}

/// What to do now, what to say, when to look again.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan<N, M> {
    /// Executed in order of [`Action`] groups: patches and other creates first as listed; pod
    /// creates with slow start; a failed action does not stop unrelated ones.
    pub actions: Vec<Action>,
    /// Written after the actions, even if some of them failed (DS-C07); only if it differs.
    pub status: Option<StatusWrite>,
    pub notes: Vec<N>,
    /// When to plan this key again even if nothing changes.
    pub wake_at: Option<Timestamp>,
    pub memory: M,
}

impl<N, M: Default> Default for Plan<N, M> {
    fn default() -> Self {
        Plan { actions: Vec::new(), status: None, notes: Vec::new(), wake_at: None, memory: M::default() }
    }
}

/// One write. Closed: the driver knows these and no others.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Creates an object, or posts to a subresource (`binding`, `eviction`).
    Create {
        target: Target,
        body: Value,
        /// Said on success or failure, about this object (`SuccessfulCreate`, `FailedCreate`).
        report: Option<Report>,
    },
    Patch {
        target: Target,
        patch: PatchType,
        body: Value,
        preconditions: Preconditions,
        report: Option<Report>,
    },
    Delete {
        target: Target,
        preconditions: Preconditions,
        grace_period_seconds: Option<i64>,
        propagation: Option<Propagation>,
        report: Option<Report>,
    },
    /// Emits an event; the driver aggregates and limits (DS-C73).
    Emit(Event),
}

/// The events that tell of an action's outcome. `{}` in a message stands for the name of the
/// object that was written, or for the error.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    pub regarding: Regarding,
    /// What was done, for events that say so (`Binding`); else empty.
    pub action: &'static str,
    /// Reason and message on success, e.g. `("SuccessfulCreate", "Created pod: {}")`.
    pub success: Option<(&'static str, Cow<'static, str>)>,
    /// Reason and message on failure, e.g. `("FailedCreate", "Error creating: {}")`.
    pub failure: Option<(&'static str, Cow<'static, str>)>,
}

/// The object that an event is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Regarding {
    pub kind: Kind,
    pub namespace: String,
    pub name: String,
    pub uid: String,
    /// `spec.containers{web}`, or empty.
    pub field_path: String,
}

/// An event to emit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    pub regarding: Regarding,
    pub kind: EventType,
    /// `FailedScheduling`
    pub reason: String,
    /// `Scheduling`; empty where the original writes none.
    pub action: String,
    pub message: String,
}

/// The type of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EventType {
    Normal,
    Warning,
}

impl EventType {
    pub fn as_str(self) -> &'static str {
        match self {
            EventType::Normal => "Normal",
            EventType::Warning => "Warning",
        }
    }
}

/// The whole new `status` of the reconciled object.
#[derive(Clone, Debug, PartialEq)]
pub struct StatusWrite {
    pub target: Target,
    /// The value of the object's `status` field.
    pub status: Value,
    /// uid and resourceVersion that the status was computed from.
    pub preconditions: Preconditions,
}

/// Something that a plan must not do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation(pub String);
