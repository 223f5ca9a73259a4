//! What one set remembers between plans. Lost with the process: back-offs start again, names of new
//! pods no longer depend on predecessors that are gone, and the time since which a rollout stands
//! still is read from the condition.

use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::Timestamp;

use crate::backoff::BackOffs;
use crate::rollout::Queue;
use crate::sites::Sites;

/// The memory of one set.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DaemonSetMemory {
    /// The set that this is the memory of.
    pub(crate) set_uid: Arc<str>,
    pub(crate) back_offs: BackOffs,
    /// What the last pass knew of each node. Only the seats are remembered; all else is a shortcut
    /// to what is seen.
    pub(crate) sites: Sites,
    /// What the last pass left for later ones.
    pub(crate) queue: Option<Queue>,
    pub(crate) progress: Option<Progress>,
    /// When the plan was made that this is the memory of.
    pub(crate) planned_at: Option<Timestamp>,
    /// Pods created bound, by name, whose `Scheduled` event is still to be emitted.
    pub(crate) bound: BTreeSet<Box<str>>,
}

impl DaemonSetMemory {
    /// The same without the shortcuts: a plan that is made from it judges every node anew, and must
    /// be the same.
    #[must_use]
    pub fn without_shortcuts(&self) -> DaemonSetMemory {
        DaemonSetMemory { sites: self.sites.without_basis(), ..self.clone() }
    }
}

/// How far the rollout of a revision is, and since when it has not moved.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Progress {
    pub revision: Box<str>,
    pub updated: i64,
    pub available: i64,
    pub since: Timestamp,
}
