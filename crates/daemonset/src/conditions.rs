//! Conditions: what the original never writes. `Progressing`, `Available` and `Degraded`, each with
//! a reason and a message that names nodes. Conditions of other types are kept.

use std::sync::Arc;

use everynode_api::time::rfc3339;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::explain::names;
use crate::status::Counts;

/// A rollout without progress for so long is called stalled; Deployments have the same default.
pub(crate) const PROGRESS_DEADLINE: SignedDuration = SignedDuration::from_secs(600);
/// A started pod that is not ready for so long is called failing.
pub(crate) const START_GRACE: SignedDuration = SignedDuration::from_secs(60);
/// Messages name at most this many nodes.
pub(crate) const NODES_NAMED: usize = 5;

/// What the conditions are made from.
pub(crate) struct Facts {
    pub counts: Counts,
    pub max_unavailable: i64,
    pub on_delete: bool,
    /// Orphans to adopt once it is certain that the set still exists. That the message tells their
    /// number makes the status change, and its write is what brings the certainty (see
    /// `DaemonSetInput::sets_known_to`).
    pub adoptions_waiting: usize,
    /// Nodes where a pod is in back-off, or has not been ready for a while though it was started.
    pub failing: Vec<Arc<str>>,
    /// Desired nodes without an available pod.
    pub unavailable: Vec<Arc<str>>,
    /// Nodes where the new pod cannot come beside the old one, and why the old one stays.
    pub held: Vec<(Arc<str>, String)>,
    /// Nodes that the rollout waits for.
    pub blockers: Vec<Arc<str>>,
    /// Since when nothing moved.
    pub since: Timestamp,
    pub now: Timestamp,
}

/// The first few names, and how many more there are.
pub(crate) fn few(nodes: &[Arc<str>]) -> (Vec<Arc<str>>, usize) {
    let named: Vec<_> = nodes.iter().take(NODES_NAMED).cloned().collect();
    let more = nodes.len() - named.len();
    (named, more)
}

fn list(nodes: &[Arc<str>]) -> String {
    let (named, more) = few(nodes);
    names(&named, more)
}

impl Facts {
    fn is_complete(&self) -> bool {
        let counts = &self.counts;
        (self.on_delete || counts.updated >= counts.desired) && counts.available >= counts.desired
    }

    /// Not complete, and no progress within the deadline.
    pub fn is_stalled(&self) -> bool {
        !self.is_complete() && self.now.duration_since(self.since) >= PROGRESS_DEADLINE
    }

    /// When the rollout would be called stalled.
    pub fn deadline(&self) -> Option<Timestamp> {
        let deadline = self.since.saturating_add(PROGRESS_DEADLINE).ok();
        deadline.filter(|deadline| !self.is_complete() && *deadline > self.now)
    }

    fn progressing(&self) -> (&'static str, &'static str, String) {
        let (status, reason, message) = self.progress();
        match self.adoptions_waiting {
            0 => (status, reason, message),
            number => (status, reason, format!("{message}, {number} to be adopted")),
        }
    }

    fn progress(&self) -> (&'static str, &'static str, String) {
        let counts = &self.counts;
        let numbers =
            || format!("{} of {} nodes updated, {} available", counts.updated, counts.desired, counts.available);
        if self.is_complete() {
            return ("True", "Complete", format!("all {} nodes have an available pod", counts.desired));
        }
        if let Some((_, why)) = self.held.first() {
            let nodes: Vec<Arc<str>> = self.held.iter().map(|(node, _)| node.clone()).collect();
            return ("False", "PortsHeld", format!("{}; the pod on {} stays: {why}", numbers(), list(&nodes)));
        }
        if self.is_stalled() {
            let because = if self.blockers.is_empty() { &self.unavailable } else { &self.blockers };
            let because = if because.is_empty() { String::new() } else { format!(", because of {}", list(because)) };
            return ("False", "Stalled", format!("no progress since {}: {}{because}", rfc3339(self.since), numbers()));
        }
        ("True", "RollingOut", numbers())
    }

    fn available(&self) -> (&'static str, &'static str, String) {
        let counts = &self.counts;
        let missing = counts.desired - counts.available;
        match () {
            () if missing == 0 => ("True", "AllAvailable", format!("available on all {} nodes", counts.desired)),
            () if missing <= self.max_unavailable => {
                ("True", "EnoughAvailable", format!("not available on {}", list(&self.unavailable)))
            }
            () => ("False", "TooFewAvailable", format!("not available on {}", list(&self.unavailable))),
        }
    }

    fn degraded(&self) -> (&'static str, &'static str, String) {
        match () {
            () if !self.failing.is_empty() => {
                ("True", "PodsFailing", format!("the pod does not work on {}", list(&self.failing)))
            }
            () if self.is_stalled() => ("True", "Stalled", format!("no progress since {}", rfc3339(self.since))),
            () => ("False", "AsExpected", String::new()),
        }
    }

    /// Our three conditions merged into those that are there.
    pub fn merge(&self, present: Option<&Vec<Value>>) -> Vec<Value> {
        let mut conditions = present.cloned().unwrap_or_default();
        let ours =
            [("Progressing", self.progressing()), ("Available", self.available()), ("Degraded", self.degraded())];
        for (kind, verdict) in ours {
            put(&mut conditions, kind, verdict, self.now);
        }
        conditions
    }
}

/// The conditions of a set that can have no pods at all, for a reason that only its author can
/// mend.
pub(crate) fn impossible(present: Option<&Vec<Value>>, message: String, now: Timestamp) -> Vec<Value> {
    let mut conditions = present.cloned().unwrap_or_default();
    put(&mut conditions, "Progressing", ("False", "FailedCreate", message.clone()), now);
    put(&mut conditions, "Degraded", ("True", "FailedCreate", message), now);
    conditions
}

/// The time of transition is kept while the status is the same.
fn put(
    conditions: &mut Vec<Value>,
    kind: &str,
    (status, reason, message): (&'static str, &'static str, String),
    now: Timestamp,
) {
    let now = rfc3339(now);
    let found = conditions.iter_mut().find(|condition| condition["type"] == kind);
    let since = match &found {
        Some(old) if old["status"] == status => old["lastTransitionTime"].as_str().unwrap_or(&now).to_owned(),
        _ => now,
    };
    let mut new = json!({ "type": kind, "status": status, "lastTransitionTime": since, "reason": reason });
    if !message.is_empty() {
        new["message"] = message.into();
    }
    match found {
        Some(old) => *old = new,
        None => conditions.push(new),
    }
}
