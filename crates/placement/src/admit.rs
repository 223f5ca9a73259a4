//! What a node's agent asks of a pod that is bound to its node (DS-H09), and its words.
//!
//! The rules are those of [`crate::check`], less what binding overrules: a cordon, taints without
//! `NoExecute`, and extended resources that the node does not report at all.

use everynode_api::view::{Effect, Node, PodSpec};

use crate::check::{room_reasons, static_reasons};
use crate::occupancy::{Needs, Occupancy};
use crate::reason::Reason;

/// Why a pod may not run on the node that it is bound to; in the kubelet's words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejected {
    /// The pod's `status.reason`, such as `OutOfcpu`.
    pub reason: String,
    /// `status.message`, without its beginning `Pod was rejected: `.
    pub message: String,
}

/// Whether `pod` may run on `node`, where other pods have `taken` their part. Pods that the agent
/// has from files (`is_static`) need tolerate no taint.
///
/// # Errors
/// Of all that speaks against it, what the kubelet would name: it names one thing.
pub fn admit(pod: &PodSpec, node: &Node, taken: &Occupancy, is_static: bool) -> Result<(), Rejected> {
    let mut needs = Needs::of(pod);
    needs.requests.retain(|name, _| !is_extended(name) || node.status.allocatable.contains_key(name));
    let binds = |reason: &Reason| match reason {
        Reason::Unschedulable => false,
        Reason::Taint { effect, .. } => *effect == Effect::NoExecute && !is_static,
        _ => true,
    };
    let room = room_reasons(&needs, &node.status.allocatable, taken);
    let reasons = room.into_iter().chain(static_reasons(pod, node).into_iter().filter(binds));
    reasons.min_by_key(order).map_or(Ok(()), |reason| Err(rejected(&reason)))
}

/// The kubelet names the first of what speaks against a pod, and looks in this order.
fn order(reason: &Reason) -> u8 {
    match reason {
        Reason::PodCount { .. } => 0,
        Reason::Resource { name, .. } => match name.as_ref() {
            "cpu" => 1,
            "memory" => 2,
            "ephemeral-storage" => 3,
            _ => 4,
        },
        Reason::NodeSelector { .. } | Reason::Affinity { .. } | Reason::NoAffinityTerm => 5,
        Reason::NodeName { .. } => 6,
        Reason::HostPort { .. } => 7,
        Reason::Taint { .. } | Reason::Unschedulable => 8,
    }
}

fn rejected(reason: &Reason) -> Rejected {
    let out_of = |name: &str, requested: i64, used: i64, capacity: i64| Rejected {
        reason: format!("OutOf{name}"),
        message: format!(
            "Node didn't have enough resource: {name}, requested: {requested}, used: {used}, capacity: {capacity}"
        ),
    };
    let predicate = match reason {
        Reason::PodCount { taken, allocatable } => return out_of("pods", 1, *taken, *allocatable),
        Reason::Resource { name, requested, taken, allocatable } => {
            let [requested, taken, allocatable] = [requested, taken, allocatable]
                .map(|one| if &**name == "cpu" { one.milli_value() } else { one.value() });
            return out_of(name, requested, taken, allocatable);
        }
        Reason::NodeSelector { .. } | Reason::Affinity { .. } | Reason::NoAffinityTerm => "NodeAffinity",
        Reason::NodeName { .. } => "NodeName",
        Reason::HostPort { .. } => "NodePorts",
        Reason::Taint { .. } | Reason::Unschedulable => "TaintToleration",
    };
    let message = format!("Predicate {predicate} failed: {}", reason.scheduler_text());
    Rejected { reason: predicate.into(), message }
}

/// Resources that something other than the node's own software brings: `example.com/gpu`.
fn is_extended(name: &str) -> bool {
    name.contains('/') && !name.contains("kubernetes.io/")
}

#[cfg(test)]
mod tests {
    use everynode_api::view::Pod;

    use super::*;

    fn refusal(spec: &str, others: &str) -> String {
        let node = r#"{"metadata":{"name":"n","labels":{"disk":"ssd"}},
            "spec":{"unschedulable":true,"taints":[{"key":"k","effect":"NoSchedule"}]},
            "status":{"allocatable":{"cpu":"2","memory":"1Gi","ephemeral-storage":"10Gi","pods":"2"}}}"#;
        let node: Node = serde_json::from_str(node).unwrap();
        let spec: PodSpec = serde_json::from_str(spec).unwrap();
        let others: Vec<Pod> = serde_json::from_str(others).unwrap();
        match admit(&spec, &node, &Occupancy::of(&others), false) {
            Ok(()) => "admitted".into(),
            Err(rejected) => format!("{}: {}", rejected.reason, rejected.message),
        }
    }

    fn asks(resources: &str) -> String {
        format!(r#"{{"nodeName":"n","containers":[{{"resources":{{"requests":{resources}}}}}]}}"#)
    }

    /// The first is what Kubernetes 1.36 was recorded to say, the others are of the same make.
    #[test]
    fn every_rejection_has_the_words_of_the_kubelet() {
        let used = r#"[{"spec":{"containers":[{"ports":[{"hostPort":80}],"resources":{"requests":
            {"cpu":"500m","memory":"512Mi"}}}]}}]"#;
        let affinity = "NodeAffinity: Predicate NodeAffinity failed: node(s) didn't match Pod's node affinity/selector";
        let ports = "NodePorts: Predicate NodePorts failed: node(s) didn't have free ports for the requested pod ports";
        let table = [
            (
                asks(r#"{"cpu":"500"}"#),
                "[]",
                "OutOfcpu: Node didn't have enough resource: cpu, requested: 500000, used: 0, capacity: 2000",
            ),
            (
                asks(r#"{"memory":"1Gi"}"#),
                used,
                "OutOfmemory: Node didn't have enough resource: memory, requested: 1073741824, used: 536870912, \
                 capacity: 1073741824",
            ),
            (
                asks(r#"{"ephemeral-storage":"11Gi"}"#),
                used,
                "OutOfephemeral-storage: Node didn't have enough resource: ephemeral-storage, \
                 requested: 11811160064, used: 0, capacity: 10737418240",
            ),
            (
                asks("{}"),
                "[{},{}]",
                "OutOfpods: Node didn't have enough resource: pods, requested: 1, used: 2, capacity: 2",
            ),
            (r#"{"nodeName":"n","nodeSelector":{"disk":"hdd"}}"#.into(), "[]", affinity),
            (
                r#"{"nodeName":"m"}"#.into(),
                "[]",
                "NodeName: Predicate NodeName failed: node(s) didn't match the requested node name",
            ),
            (r#"{"nodeName":"n","containers":[{"ports":[{"hostPort":80}]}]}"#.into(), used, ports),
        ];
        for (spec, others, expected) in table {
            assert_eq!(refusal(&spec, others), expected, "{spec}");
        }
    }

    #[test]
    fn of_several_things_the_kubelet_names_the_first() {
        let many = r#"{"nodeName":"n","nodeSelector":{"disk":"hdd"},"containers":[{"resources":{"requests":
            {"memory":"9Gi","cpu":"9","ephemeral-storage":"99Gi"}}}]}"#;
        assert!(refusal(many, "[]").starts_with("OutOfcpu: "), "{}", refusal(many, "[]"));
        assert!(refusal(many, "[{},{}]").starts_with("OutOfpods: "));
        assert!(refusal(&many.replace(r#""cpu":"9","#, ""), "[]").starts_with("OutOfmemory: "));
    }

    #[test]
    fn binding_overrules_cordons_and_taints_but_not_noexecute() {
        assert_eq!(refusal(&asks("{}"), "[]"), "admitted", "cordoned, and tainted NoSchedule");
        let node: Node = serde_json::from_str(
            r#"{"metadata":{"name":"n"},"spec":{"taints":[{"key":"k","effect":"NoExecute"}]},
                "status":{"allocatable":{"pods":"9"}}}"#,
        )
        .unwrap();
        let spec: PodSpec = serde_json::from_str(r#"{"nodeName":"n"}"#).unwrap();
        let rejected = admit(&spec, &node, &Occupancy::default(), false).unwrap_err();
        assert_eq!(rejected.reason, "TaintToleration");
        assert_eq!(rejected.message, "Predicate TaintToleration failed: node(s) had untolerated taint(s)");
        assert_eq!(admit(&spec, &node, &Occupancy::default(), true), Ok(()));
    }

    #[test]
    fn extended_resources_that_the_node_does_not_report_are_left_to_others() {
        assert_eq!(refusal(&asks(r#"{"example.com/gpu":"1"}"#), "[]"), "admitted");
        let native = refusal(&asks(r#"{"hugepages-2Mi":"2Mi"}"#), "[]");
        assert!(native.starts_with("OutOfhugepages-2Mi: "), "{native}");
    }
}
