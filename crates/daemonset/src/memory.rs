//! What one set remembers between plans. Lost with the process: back-offs start again, names of new pods no longer
//! depend on predecessors that are gone, and the time since which a rollout stands still is read from the condition.

use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::Timestamp;

use crate::backoff::BackOffs;

/// The memory of one set.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Memory {
    /// The set that this is the memory of.
    pub(crate) set_uid: Arc<str>,
    pub(crate) back_offs: BackOffs,
    /// In name order; shared between plans as long as nothing changes.
    pub(crate) seats: Arc<Vec<Seat>>,
    pub(crate) progress: Option<Progress>,
    /// When the plan was made that this is the memory of.
    pub(crate) planned_at: Option<Timestamp>,
    /// Pods created bound, by name, whose `Scheduled` event is still to be emitted.
    pub(crate) bound: BTreeSet<Box<str>>,
}

/// A node and the last pod of the set that was seen there.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Seat {
    pub node: Arc<str>,
    /// The node object's uid at that time: a node that comes back under its name with another uid is another machine.
    pub node_uid: Arc<str>,
    pub pod_uid: Arc<str>,
}

/// How far the rollout of a revision is, and since when it has not moved.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Progress {
    pub revision: Box<str>,
    pub updated: i64,
    pub available: i64,
    pub since: Timestamp,
}
