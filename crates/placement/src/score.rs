//! Which of several nodes a pod gets: filter, then simple scoring.

use std::sync::Arc;

use everynode_api::view::{Effect, Node, PodSpec};

use crate::affinity::matches_term;
use crate::check::check;
use crate::occupancy::{Occupancy, effective_requests};
use crate::reason::Reason;
use crate::taints;

/// The answer of [`choose`].
#[derive(Clone, Debug, PartialEq)]
pub enum Choice {
    Node(Arc<Node>),
    /// No node fits: each one's reasons.
    Refused(Vec<(Arc<Node>, Vec<Reason>)>),
}

/// The best node that fits: preferred affinity first, then fewer untolerated `PreferNoSchedule`
/// taints, then the most free share of what the pod asks for, then the smaller name. A pod that is
/// pinned to a node is only tried there (DS-B42).
pub fn choose<'a>(
    pod: &PodSpec,
    nodes: impl IntoIterator<Item = &'a Arc<Node>>,
    occupancy: impl Fn(&Node) -> Occupancy,
) -> Choice {
    let pin = pod.pinned_node();
    let mut refused = Vec::new();
    let mut best: Option<(Score, &Arc<Node>)> = None;
    for node in nodes.into_iter().filter(|node| pin.is_none_or(|pin| pin == node.name())) {
        let taken = occupancy(node);
        let verdict = check(pod, node, &taken);
        if !verdict.fits() {
            refused.push((node.clone(), verdict.reasons));
            continue;
        }
        let score = score(pod, node, &taken);
        if best.as_ref().is_none_or(|(other, _)| score > *other) {
            best = Some((score, node));
        }
    }
    best.map_or(Choice::Refused(refused), |(_, node)| Choice::Node(node.clone()))
}

/// Greater is better, compared in this order.
#[derive(PartialEq, PartialOrd)]
struct Score {
    preferred: i64,
    avoided: std::cmp::Reverse<usize>,
    free: f64,
}

fn score(pod: &PodSpec, node: &Node, taken: &Occupancy) -> Score {
    let preferred = pod.affinity.iter().filter_map(|affinity| affinity.node_affinity.as_ref());
    let preferred = preferred.flat_map(|affinity| &affinity.preferred);
    let matching = preferred.filter(|term| matches_term(&term.preference, node));
    let avoided = taints::untolerated(&node.spec.taints, &pod.tolerations, &[Effect::PreferNoSchedule]).count();
    Score {
        preferred: matching.map(|term| i64::from(term.weight)).sum(),
        avoided: std::cmp::Reverse(avoided),
        free: free_share(pod, node, taken),
    }
}

/// The mean, over cpu and memory, of what stays free of the node when the pod is there; between 0
/// and 1.
fn free_share(pod: &PodSpec, node: &Node, taken: &Occupancy) -> f64 {
    let requests = effective_requests(pod);
    let free = |name: &str| {
        let amount = |resources: &everynode_api::view::Resources| resources.get(name).map_or(0.0, |q| q.as_f64());
        let allocatable = amount(&node.status.allocatable);
        let used = amount(&taken.requested) + amount(&requests);
        if allocatable > 0.0 { ((allocatable - used) / allocatable).max(0.0) } else { 0.0 }
    };
    (free("cpu") + free("memory")) / 2.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(name: &str, labels: &str, taints: &str, cpu: &str) -> Arc<Node> {
        let json = format!(
            r#"{{"metadata":{{"name":"{name}","labels":{labels}}},"spec":{{"taints":{taints}}},
                "status":{{"allocatable":{{"cpu":"{cpu}","memory":"1Gi","pods":"10"}}}}}}"#
        );
        Arc::new(serde_json::from_str(&json).unwrap())
    }

    fn chosen(pod: &str, nodes: &[Arc<Node>]) -> String {
        match choose(&serde_json::from_str(pod).unwrap(), nodes, |_| Occupancy::default()) {
            Choice::Node(node) => node.name().to_owned(),
            Choice::Refused(refused) => format!("{} refused", refused.len()),
        }
    }

    #[test]
    fn preference_then_taints_then_room_then_name() {
        let avoid = r#"[{"key":"a","effect":"PreferNoSchedule"}]"#;
        let nodes = [
            node("a", "{}", "[]", "2"),
            node("b", "{}", "[]", "4"),
            node("c", "{}", avoid, "8"),
            node("d", r#"{"ssd":"1"}"#, avoid, "1"),
        ];
        let cpu = r#""containers":[{"resources":{"requests":{"cpu":"1"}}}]"#;
        assert_eq!(chosen(&format!("{{{cpu}}}"), &nodes), "b");
        assert_eq!(chosen("{}", &nodes[..2]), "a");
        let prefer = r#"{"affinity":{"nodeAffinity":{"preferredDuringSchedulingIgnoredDuringExecution":
            [{"weight":1,"preference":{"matchExpressions":[{"key":"ssd","operator":"Exists"}]}}]}}}"#;
        assert_eq!(chosen(prefer, &nodes), "d");
        assert_eq!(chosen(r#"{"nodeSelector":{"x":"y"}}"#, &nodes), "4 refused");
        let pin = r#"{"affinity":{"nodeAffinity":{"requiredDuringSchedulingIgnoredDuringExecution":{"nodeSelectorTerms":
            [{"matchFields":[{"key":"metadata.name","operator":"In","values":["a"]}]}]}}}}"#;
        assert_eq!(chosen(pin, &nodes), "a"); // DS-B42
    }
}
