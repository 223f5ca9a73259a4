//! The controller's two questions about a node (docs/requirements.md, B).

use everynode_api::view::{Effect, Node, PodSpec, Toleration};

use crate::affinity;
use crate::taints;

/// Whether a daemon pod should be started on a node, and whether one that is there may stay.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Eligibility {
    pub should_run: bool,
    /// True whenever `should_run` is (DS-B06).
    pub should_continue: bool,
}

impl Eligibility {
    pub const RUN: Eligibility = Eligibility { should_run: true, should_continue: true };
    pub const KEEP: Eligibility = Eligibility { should_run: false, should_continue: true };
    pub const LEAVE: Eligibility = Eligibility { should_run: false, should_continue: false };
}

/// Decides both. `tolerations` are the template's with the automatic ones
/// ([`crate::with_automatic_tolerations`]). Nothing else of the node counts: not its capacity,
/// conditions or `spec.unschedulable` (DS-B01 to DS-B09).
pub fn eligible(template: &PodSpec, tolerations: &[Toleration], node: &Node) -> Eligibility {
    let elsewhere = !template.node_name.is_empty() && template.node_name.as_ref() != node.name();
    if elsewhere || !affinity::matches_node_affinity(template, node) {
        return Eligibility::LEAVE;
    }
    let refuses = |effect: Effect| taints::untolerated(&node.spec.taints, tolerations, &[effect]).next().is_some();
    match (refuses(Effect::NoExecute), refuses(Effect::NoSchedule)) {
        (true, _) => Eligibility::LEAVE,
        (false, true) => Eligibility::KEEP,
        (false, false) => Eligibility::RUN,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(template: &str, node: &str) -> (bool, bool) {
        let template: PodSpec = serde_json::from_str(template).unwrap();
        let node: Node = serde_json::from_str(node).unwrap();
        let tolerations = taints::with_automatic_tolerations(&template.tolerations, template.host_network);
        let eligibility = eligible(&template, &tolerations, &node);
        (eligibility.should_run, eligibility.should_continue)
    }

    fn tainted(key: &str, effect: &str) -> String {
        format!(r#"{{"metadata":{{"name":"n"}},"spec":{{"taints":[{{"key":"{key}","effect":"{effect}"}}]}}}}"#)
    }

    #[test]
    fn taints_decide_both_questions() {
        // DS-B04 to DS-B07, DS-B20, DS-B21, DS-B24
        let seconds = r#"{"tolerations":[{"key":"a","operator":"Exists","tolerationSeconds":1}]}"#;
        let table = [
            ("{}", "a", "NoSchedule", (false, true)),
            ("{}", "a", "NoExecute", (false, false)),
            ("{}", "a", "PreferNoSchedule", (true, true)),
            (seconds, "a", "NoExecute", (true, true)),
            ("{}", "node.kubernetes.io/unschedulable", "NoSchedule", (true, true)),
            ("{}", "node.kubernetes.io/not-ready", "NoExecute", (true, true)),
            ("{}", "node.kubernetes.io/not-ready", "NoSchedule", (false, true)),
            ("{}", "node.kubernetes.io/network-unavailable", "NoSchedule", (false, true)),
            (r#"{"hostNetwork":true}"#, "node.kubernetes.io/network-unavailable", "NoSchedule", (true, true)),
            (r#"{"tolerations":[{"operator":"Exists"}]}"#, "a", "NoExecute", (true, true)),
        ];
        for (template, key, effect, expected) in table {
            assert_eq!(verdict(template, &tainted(key, effect)), expected, "{template} {key}:{effect}");
        }
    }

    #[test]
    fn names_and_labels_decide_both_questions() {
        // DS-B01, DS-B02, DS-B03, DS-B08, DS-B09
        let node = r#"{"metadata":{"name":"n","deletionTimestamp":"2026-01-01T00:00:00Z"},
            "spec":{"unschedulable":true},"status":{"conditions":[{"type":"Ready","status":"False"}]}}"#;
        assert_eq!(verdict("{}", node), (true, true));
        assert_eq!(verdict(r#"{"nodeName":"n"}"#, node), (true, true));
        assert_eq!(verdict(r#"{"nodeName":"m"}"#, node), (false, false));
        assert_eq!(verdict(r#"{"nodeSelector":{"a":"b"}}"#, node), (false, false));
        let unreadable = r#"{"affinity":{"nodeAffinity":{"requiredDuringSchedulingIgnoredDuringExecution":
            {"nodeSelectorTerms":[{"matchExpressions":[{"key":"a","operator":"Gt","values":["x"]}]}]}}}}"#;
        assert_eq!(verdict(unreadable, node), (false, false));
    }
}
