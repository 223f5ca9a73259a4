//! Why a pod may not run on a node, as a value; its long text and the scheduler's.

use std::collections::BTreeMap;
use std::fmt;

use everynode_api::quantity::Quantity;
use everynode_api::view::Effect;

use crate::affinity::Miss;

/// One reason. `Display` is the long text with both sides of the comparison;
/// [`Reason::scheduler_text`] is what `FailedScheduling` says.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    /// `spec.unschedulable`, and the pod does not tolerate it.
    Unschedulable,
    /// `spec.nodeName` names another node.
    NodeName { wanted: Box<str> },
    /// A taint that no toleration matches.
    Taint { key: Box<str>, value: Box<str>, effect: Effect },
    /// One pair of `nodeSelector`.
    NodeSelector { key: Box<str>, value: Box<str>, found: Option<Box<str>> },
    /// One expression of one term of the required node affinity; `term` counts from 0.
    Affinity { term: usize, expression: Box<str>, miss: Miss },
    /// The required node affinity has no term that could match anything (DS-B12).
    NoAffinityTerm,
    /// A host port that a pod on the node holds; `holder` is `namespace/name`.
    HostPort { protocol: Box<str>, ip: Box<str>, port: u16, holder: Box<str> },
    /// The node's pod count is used up.
    PodCount { taken: i64, allocatable: i64 },
    /// A resource that does not suffice.
    Resource { name: Box<str>, requested: Quantity, taken: Quantity, allocatable: Quantity },
}

impl Reason {
    /// The scheduler's text, as newest Kubernetes writes it (DS-B49).
    pub fn scheduler_text(&self) -> String {
        match self {
            Reason::Unschedulable => "node(s) were unschedulable".into(),
            Reason::NodeName { .. } => "node(s) didn't match the requested node name".into(),
            Reason::Taint { .. } => "node(s) had untolerated taint(s)".into(),
            Reason::NodeSelector { .. } | Reason::Affinity { .. } | Reason::NoAffinityTerm => {
                "node(s) didn't match Pod's node affinity/selector".into()
            }
            Reason::HostPort { .. } => "node(s) didn't have free ports for the requested pod ports".into(),
            Reason::PodCount { .. } => "Too many pods".into(),
            Reason::Resource { name, .. } => format!("Insufficient {name}"),
        }
    }

    /// The scheduler asks its filters in this order and reports, per node, only the first that
    /// refuses.
    fn filter(&self) -> u8 {
        match self {
            Reason::Unschedulable => 0,
            Reason::NodeName { .. } => 1,
            Reason::Taint { .. } => 2,
            Reason::NodeSelector { .. } | Reason::Affinity { .. } | Reason::NoAffinityTerm => 3,
            Reason::HostPort { .. } => 4,
            Reason::PodCount { .. } | Reason::Resource { .. } => 5,
        }
    }

    /// Whether removing other pods from the node could remove the reason (DS-B52).
    pub fn preemption_helps(&self) -> bool {
        self.filter() >= 4
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reason::Unschedulable => f.write_str("the node is cordoned"),
            Reason::NodeName { wanted } => write!(f, "the pod asks for node {wanted}"),
            Reason::Taint { key, value, effect } => write!(f, "untolerated taint {}", taint(key, value, *effect)),
            Reason::NodeSelector { key, value, found: Some(found) } => {
                write!(f, "node selector {key}={value}: the node has {key}={found}")
            }
            Reason::NodeSelector { key, value, found: None } => {
                write!(f, "node selector {key}={value}: the node has no label {key}")
            }
            Reason::Affinity { term, expression, miss } => {
                write!(f, "required affinity, term {}: {expression}: {miss}", term + 1)
            }
            Reason::NoAffinityTerm => f.write_str("required affinity has no term, so it matches no node"),
            Reason::HostPort { protocol, ip, port, holder } => {
                let ip = if ip.is_empty() { "0.0.0.0" } else { ip };
                write!(f, "host port {protocol} {ip}:{port} is held by pod {holder}")
            }
            Reason::PodCount { allocatable, .. } => write!(f, "too many pods: all {allocatable} places are taken"),
            Reason::Resource { name, requested, taken, allocatable } => {
                let free = allocatable.saturating_sub(*taken).max(Quantity::from_units(0, allocatable.format()));
                write!(f, "insufficient {name}: {requested} requested, {free} of {allocatable} free")
            }
        }
    }
}

impl fmt::Display for Miss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Miss::Value(value) => write!(f, "the node has {value}"),
            Miss::Absent => f.write_str("the node has no such label"),
            Miss::Unreadable => f.write_str("the expression cannot be understood"),
        }
    }
}

fn taint(key: &str, value: &str, effect: Effect) -> String {
    match value {
        "" => format!("{key}:{}", effect.as_str()),
        value => format!("{key}={value}:{}", effect.as_str()),
    }
}

/// The message of `FailedScheduling` and of the condition `PodScheduled=False` (DS-B48).
///
/// `refused` holds the reasons of each node that refused, `total` counts all nodes. `preemption` is
/// why preemption did not help, with the number of nodes it says so for.
pub fn failure_message<'a>(
    total: usize,
    refused: impl IntoIterator<Item = &'a [Reason]>,
    preemption: &[(usize, &str)],
) -> String {
    if total == 0 {
        return "no nodes available to schedule pods".into();
    }
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for reasons in refused {
        for text in first_filter(reasons) {
            *counts.entry(text).or_default() += 1;
        }
    }
    let mut message = format!("0/{total} nodes are available: {}.", histogram(counts));
    if !preemption.is_empty() {
        let counts = preemption.iter().map(|(count, text)| ((*text).to_owned(), *count)).collect();
        message += &format!(" preemption: 0/{total} nodes are available: {}.", histogram(counts));
    }
    message
}

/// The distinct texts of the first filter that refuses.
fn first_filter(reasons: &[Reason]) -> std::collections::BTreeSet<String> {
    let first = reasons.iter().map(Reason::filter).min();
    reasons.iter().filter(|reason| Some(reason.filter()) == first).map(Reason::scheduler_text).collect()
}

fn histogram(counts: BTreeMap<String, usize>) -> String {
    let mut parts: Vec<String> = counts.into_iter().map(|(text, count)| format!("{count} {text}")).collect();
    parts.sort();
    parts.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_has_the_words_of_the_scheduler() {
        // DS-B49
        let reasons = [
            (Reason::Unschedulable, "node(s) were unschedulable"),
            (Reason::NodeName { wanted: "b".into() }, "node(s) didn't match the requested node name"),
            (Reason::NoAffinityTerm, "node(s) didn't match Pod's node affinity/selector"),
            (
                Reason::NodeSelector { key: "a".into(), value: "b".into(), found: None },
                "node(s) didn't match Pod's node affinity/selector",
            ),
            (
                Reason::HostPort { protocol: "TCP".into(), ip: "".into(), port: 80, holder: "x/p".into() },
                "node(s) didn't have free ports for the requested pod ports",
            ),
        ];
        for (reason, text) in reasons {
            assert_eq!(reason.scheduler_text(), text);
        }
    }

    #[test]
    fn failure_messages_count_the_first_filter_of_each_node() {
        // DS-B48, DS-B49
        let cpu = Reason::Resource {
            name: "cpu".into(),
            requested: Quantity::from_millis(500),
            taken: Quantity::from_millis(800),
            allocatable: Quantity::from_millis(1000),
        };
        let taint = Reason::Taint { key: "gpu".into(), value: "".into(), effect: Effect::NoSchedule };
        let pods = Reason::PodCount { taken: 110, allocatable: 110 };
        let refused = [vec![cpu.clone(), taint.clone()], vec![cpu.clone(), pods], vec![cpu.clone()]];
        let message = failure_message(
            4,
            refused.iter().map(Vec::as_slice),
            &[(2, "No preemption victims found for incoming pod"), (2, "Preemption is not helpful for scheduling")],
        );
        assert_eq!(
            message,
            "0/4 nodes are available: 1 Too many pods, 1 node(s) had untolerated taint(s), 2 Insufficient cpu. \
             preemption: 0/4 nodes are available: 2 No preemption victims found for incoming pod, \
             2 Preemption is not helpful for scheduling."
        );
        assert_eq!(failure_message(0, [], &[]), "no nodes available to schedule pods");
        assert_eq!(cpu.to_string(), "insufficient cpu: 500m requested, 200m of 1 free");
        assert_eq!(taint.to_string(), "untolerated taint gpu:NoSchedule");
    }
}
