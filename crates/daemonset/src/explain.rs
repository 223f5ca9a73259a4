//! Notes: what a plan does and why, and every "not now" and "not here", as values; one sentence
//! each.

use std::fmt;
use std::sync::Arc;

use everynode_api::time::rfc3339;
use everynode_placement::Reason;
use jiff::Timestamp;

use crate::revision::NAME_BYTES_MAX;

/// One thing that a plan has to say.
#[derive(Clone, Debug, PartialEq)]
pub enum DaemonSetNote {
    /// The set is being deleted: nothing is done (DS-C03).
    SetTerminating,
    /// The selector is `{}` (DS-C02).
    SelectingAll,
    /// The selector is absent or cannot be read.
    SelectsNothing,
    /// The template has no labels: its pods could not be found again (DS-C63).
    NoTemplateLabels,
    /// The newest template gets its revision first; what has the former one is left alone in this
    /// pass.
    CreatingRevision {
        name: String,
        revision: i64,
    },
    /// Another template has the revision's name: the next one is hashed anew (DS-D51).
    Collision {
        name: String,
        count: i32,
    },
    /// The template cannot be recorded, and no pod be made: the revision's name would have so many
    /// bytes.
    NameTooLong {
        bytes: usize,
    },
    Adopt {
        object: Arc<str>,
    },
    Release {
        object: Arc<str>,
    },
    /// An orphan that may be one because its set was just deleted (DS-C14).
    AdoptionWaits {
        object: Arc<str>,
    },
    Relabel {
        pod: Arc<str>,
        revision: Arc<str>,
    },
    Create {
        node: Arc<str>,
        pod: Arc<str>,
        why: CreateReason,
        bound: bool,
    },
    Delete {
        pod: Arc<str>,
        node: Arc<str>,
        why: DeleteReason,
    },
    /// A pod that stays for now though it is not what is wanted.
    Hold {
        pod: Arc<str>,
        node: Arc<str>,
        why: WaitReason,
    },
    /// No pod here.
    Skip {
        node: Arc<str>,
        reasons: Vec<Reason>,
    },
    /// A pod that may stay on a node that would not get one (DS-B04).
    Stays {
        pod: Arc<str>,
        node: Arc<str>,
        reasons: Vec<Reason>,
    },
    /// The node gets its pod when this one is gone (DS-C22).
    Leaving {
        pod: Arc<str>,
        node: Arc<str>,
    },
    /// Every name that was tried is taken by a pod that is not ours.
    NameTaken {
        node: Arc<str>,
        pod: Arc<str>,
    },
    /// The rollout cannot go on now: why, and since when.
    Stalled {
        nodes: Vec<Arc<str>>,
        more: usize,
        unavailable: i64,
        allowed: i64,
        since: Timestamp,
    },
    /// More in the next plan.
    Truncated {
        left: usize,
    },
}

/// Why a pod is created.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CreateReason {
    Missing,
    /// Beside the outdated pod (DS-D26).
    Surge,
    /// In place of an outdated pod that does not work anyway (DS-D23).
    Replace,
}

/// Why a pod is deleted.
#[derive(Clone, Debug, PartialEq)]
pub enum DeleteReason {
    /// The node must not run it (DS-C24).
    NotEligible {
        reasons: Vec<Reason>,
    },
    /// Unbound, for a node that does not exist (DS-C23).
    NodeGone,
    /// The node object was replaced by another one of the same name.
    NodeReplaced,
    Failed,
    Succeeded,
    /// Another pod of the set is on the node (DS-C27, DS-C30).
    Duplicate {
        of: Arc<str>,
    },
    /// Its replacement is available (DS-C31, DS-D25).
    Replaced {
        by: Arc<str>,
    },
    /// It is not ready and its replacement is there (DS-C31).
    Superseded {
        by: Arc<str>,
    },
    /// Outdated; `number` of `allowed` places of the budget.
    Outdated {
        number: i64,
        allowed: i64,
    },
    /// Outdated and not serving.
    OutdatedUnavailable,
    /// Outdated, on a node that would not get a pod now (DS-D27).
    OutdatedMisplaced,
}

/// Why a pod stays.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WaitReason {
    /// Outdated; the budget is spent.
    Budget { unavailable: i64, allowed: i64 },
    /// Outdated; the surge is spent.
    Surge { surging: i64, allowed: i64 },
    /// Outdated; its node's agent is silent. It is caught up when the node is back.
    NodeSilent,
    /// Outdated; other pods must be available first (DS-D27).
    NeededElsewhere,
    /// It failed or ended; it is replaced when the back-off ends.
    BackOff { until: Timestamp },
    /// Outdated under `OnDelete`: it is replaced when it was deleted (DS-D01).
    OnDelete,
    /// It was only adopted in this pass.
    Adopting,
    /// A pod of the new revision is here and not available yet.
    AwaitingReplacement,
    /// A pod of the new revision cannot come beside it: this one holds a host port that both need.
    PortHeld { port: u16, protocol: Box<str> },
}

impl DaemonSetNote {
    /// The node that the note is about.
    pub fn node(&self) -> Option<&str> {
        match self {
            DaemonSetNote::Create { node, .. }
            | DaemonSetNote::Delete { node, .. }
            | DaemonSetNote::Hold { node, .. }
            | DaemonSetNote::Skip { node, .. }
            | DaemonSetNote::Stays { node, .. }
            | DaemonSetNote::Leaving { node, .. }
            | DaemonSetNote::NameTaken { node, .. } => Some(node),
            _ => None,
        }
    }

    /// The pod that the note is about.
    pub fn pod(&self) -> Option<&str> {
        match self {
            DaemonSetNote::Create { pod, .. }
            | DaemonSetNote::Delete { pod, .. }
            | DaemonSetNote::Hold { pod, .. }
            | DaemonSetNote::Stays { pod, .. }
            | DaemonSetNote::Leaving { pod, .. }
            | DaemonSetNote::Relabel { pod, .. }
            | DaemonSetNote::NameTaken { pod, .. } => Some(pod),
            _ => None,
        }
    }
}

impl fmt::Display for DaemonSetNote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DaemonSetNote::SetTerminating => {
                f.write_str("the set is being deleted: its pods are left to garbage collection")
            }
            DaemonSetNote::SelectingAll => f.write_str("the selector selects all pods: nothing is done"),
            DaemonSetNote::SelectsNothing => f.write_str("the selector is missing or cannot be read: nothing is done"),
            DaemonSetNote::NoTemplateLabels => f.write_str("unable to create pods, no labels"),
            DaemonSetNote::CreatingRevision { name, revision } => {
                write!(f, "recording the template as revision {revision}, {name}")
            }
            DaemonSetNote::Collision { name, count } => {
                write!(f, "revision name {name} is taken by another template: collision count becomes {count}")
            }
            DaemonSetNote::NameTooLong { bytes } => write!(
                f,
                "no revision can be made, and no pod: its name would have {bytes} characters, {NAME_BYTES_MAX} are \
                 allowed; the set needs a shorter name"
            ),
            DaemonSetNote::Adopt { object } => {
                write!(f, "adopting {object}, which matches the selector and has no controller")
            }
            DaemonSetNote::Release { object } => write!(f, "releasing {object}, which no longer matches the selector"),
            DaemonSetNote::AdoptionWaits { object } => {
                write!(
                    f,
                    "{object} matches the selector and has no controller; adopted once it is certain that the set still exists"
                )
            }
            DaemonSetNote::Relabel { pod, revision } => {
                write!(f, "{pod} is relabelled: its revision is the same as {revision}")
            }
            DaemonSetNote::Create { node, pod, why, bound } => {
                let bound = if *bound { ", bound" } else { "" };
                write!(f, "creating {pod} for node {node}: {why}{bound}")
            }
            DaemonSetNote::Delete { pod, node, why } => write!(f, "deleting {pod} on node {node}: {why}"),
            DaemonSetNote::Hold { pod, node, why } => write!(f, "{pod} on node {node} stays: {why}"),
            DaemonSetNote::Skip { node, reasons } => write!(f, "no pod on node {node}: {}", join(reasons)),
            DaemonSetNote::Stays { pod, node, reasons } => {
                write!(f, "{pod} may stay on node {node}, which would get no pod now: {}", join(reasons))
            }
            DaemonSetNote::Leaving { pod, node } => write!(f, "node {node} gets a pod when {pod} has ended"),
            DaemonSetNote::NameTaken { node, pod } => {
                write!(f, "no pod for node {node}: the name {pod} is taken by another pod")
            }
            DaemonSetNote::Stalled { nodes, more, unavailable, allowed, since } => {
                write!(f, "the rollout waits since {}: ", rfc3339(*since))?;
                write!(f, "{unavailable} unavailable, {allowed} allowed, because of {}", names(nodes, *more))
            }
            DaemonSetNote::Truncated { left } => write!(f, "{left} more in the next pass"),
        }
    }
}

impl fmt::Display for CreateReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            CreateReason::Missing => "it has none",
            CreateReason::Surge => "beside the outdated one",
            CreateReason::Replace => "the outdated one is not available",
        })
    }
}

impl fmt::Display for DeleteReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DeleteReason::NotEligible { reasons } => write!(f, "it must not run there: {}", join(reasons)),
            DeleteReason::NodeGone => f.write_str("its node does not exist"),
            DeleteReason::NodeReplaced => f.write_str("its node was replaced by another of the same name"),
            DeleteReason::Failed => f.write_str("it failed"),
            DeleteReason::Succeeded => f.write_str("it ended"),
            DeleteReason::Duplicate { of } => write!(f, "{of} is there already"),
            DeleteReason::Replaced { by } => write!(f, "its replacement {by} is available"),
            DeleteReason::Superseded { by } => write!(f, "it is not ready and its replacement {by} is there"),
            DeleteReason::Outdated { number, allowed } => write!(f, "outdated, budget {number} of {allowed}"),
            DeleteReason::OutdatedUnavailable => f.write_str("outdated and not ready"),
            DeleteReason::OutdatedMisplaced => f.write_str("outdated, and its node would get no pod now"),
        }
    }
}

impl fmt::Display for WaitReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            WaitReason::Budget { unavailable, allowed } => {
                write!(f, "outdated; waiting for the budget: {unavailable} unavailable, {allowed} allowed")
            }
            WaitReason::Surge { surging, allowed } => {
                write!(f, "outdated; waiting for the surge: {surging} surging, {allowed} allowed")
            }
            WaitReason::NodeSilent => f.write_str("outdated; its node is silent and is caught up when it is back"),
            WaitReason::NeededElsewhere => f.write_str("outdated; it goes when enough other pods are available"),
            WaitReason::BackOff { until } => write!(f, "in back-off; replaced at {}", rfc3339(*until)),
            WaitReason::OnDelete => f.write_str("outdated; replaced when somebody deletes it (OnDelete)"),
            WaitReason::Adopting => f.write_str("it is being adopted"),
            WaitReason::AwaitingReplacement => f.write_str("its replacement is not available yet"),
            WaitReason::PortHeld { port, protocol } => write!(
                f,
                "its replacement cannot come beside it: it holds host port {port}/{protocol}, which both need \
                 (maxUnavailable instead of maxSurge lets it go first)"
            ),
        }
    }
}

fn join(reasons: &[Reason]) -> String {
    reasons.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

/// `a, b and 3 more`
pub(crate) fn names(nodes: &[Arc<str>], more: usize) -> String {
    let list = nodes.join(", ");
    match more {
        0 => list,
        more => format!("{list} and {more} more"),
    }
}
