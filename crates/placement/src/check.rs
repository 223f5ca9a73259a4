//! One pod, one node: every reason at once (DS-B41).

use everynode_api::quantity::{Format, Quantity};
use everynode_api::view::{Effect, Node, PodSpec, Resources, Taint};

use crate::affinity;
use crate::occupancy::{Needs, Occupancy, conflict};
use crate::reason::Reason;
use crate::taints::{self, UNSCHEDULABLE};

/// The answer of [`check`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// Empty: the pod fits.
    pub reasons: Vec<Reason>,
}

impl Verdict {
    pub fn fits(&self) -> bool {
        self.reasons.is_empty()
    }
}

/// Everything that speaks against running `pod` on `node`, where `taken` is already taken.
pub fn check(pod: &PodSpec, node: &Node, taken: &Occupancy) -> Verdict {
    check_needs(pod, &Needs::of(pod), node, taken)
}

/// The same, for callers that ask about many nodes: `needs` are the pod's.
pub fn check_needs(pod: &PodSpec, needs: &Needs, node: &Node, taken: &Occupancy) -> Verdict {
    let mut reasons = static_reasons(pod, node);
    reasons.extend(room_reasons(needs, &node.status.allocatable, taken));
    Verdict { reasons }
}

/// The reasons that other pods have a part in: host ports, places, resources. This is the one rule
/// about a node's room: the plan, the server's claims, the scheduler and the agent all decide by
/// it.
pub fn room_reasons(needs: &Needs, allocatable: &Resources, taken: &Occupancy) -> Vec<Reason> {
    let mut reasons = Vec::new();
    port_reasons(needs, taken, &mut reasons);
    resource_reasons(needs, allocatable, taken, &mut reasons);
    reasons
}

/// The reasons that no other pod has a part in: cordon, node name, taints, selector, affinity. For
/// a pod that is not made yet, `pod.tolerations` must already hold the automatic ones.
pub fn static_reasons(pod: &PodSpec, node: &Node) -> Vec<Reason> {
    let mut reasons = Vec::new();
    if node.spec.unschedulable && !tolerates_cordon(pod) {
        reasons.push(Reason::Unschedulable);
    }
    if !pod.node_name.is_empty() && pod.node_name.as_ref() != node.name() {
        reasons.push(Reason::NodeName { wanted: pod.node_name.as_ref().into() });
    }
    let effects = [Effect::NoSchedule, Effect::NoExecute];
    let untolerated = taints::untolerated(&node.spec.taints, &pod.tolerations, &effects);
    reasons.extend(untolerated.map(|taint| Reason::Taint {
        key: taint.key.clone(),
        value: taint.value.clone(),
        effect: taint.effect,
    }));
    affinity::reasons(pod, node, &mut reasons);
    reasons
}

fn tolerates_cordon(pod: &PodSpec) -> bool {
    let taint = Taint { key: UNSCHEDULABLE.into(), effect: Effect::NoSchedule, ..Taint::default() };
    pod.tolerations.iter().any(|toleration| taints::tolerates(toleration, &taint))
}

fn port_reasons(needs: &Needs, taken: &Occupancy, reasons: &mut Vec<Reason>) {
    for wanted in &needs.ports {
        let holders = taken.ports.iter().filter(|(held, _)| conflict(held, wanted));
        reasons.extend(holders.map(|(_, holder)| Reason::HostPort {
            protocol: wanted.protocol.clone(),
            ip: wanted.host_ip.clone(),
            port: wanted.host_port,
            holder: holder.clone(),
        }));
    }
}

fn resource_reasons(needs: &Needs, allocatable: &Resources, taken: &Occupancy, reasons: &mut Vec<Reason>) {
    let nothing = Quantity::from_units(0, Format::default());
    let amount = |of: &Resources, name: &str| of.get(name).copied().unwrap_or(nothing);
    let places = amount(allocatable, "pods").value();
    let pods = i64::try_from(taken.pods).unwrap_or(i64::MAX);
    if pods >= places {
        reasons.push(Reason::PodCount { taken: pods, allocatable: places });
    }
    for (name, requested) in &needs.requests {
        let (taken, allocatable) = (amount(&taken.requested, name), amount(allocatable, name));
        if !requested.is_zero() && *requested > allocatable.saturating_sub(taken) {
            reasons.push(Reason::Resource { name: name.clone(), requested: *requested, taken, allocatable });
        }
    }
}

#[cfg(test)]
mod tests {
    use everynode_api::view::Pod;

    use super::*;

    fn node(json: &str) -> Node {
        serde_json::from_str(json).unwrap()
    }

    fn texts(pod: &str, node: &Node, others: &str) -> Vec<String> {
        let pod: PodSpec = serde_json::from_str(pod).unwrap();
        let others: Vec<Pod> = serde_json::from_str(others).unwrap();
        check(&pod, node, &Occupancy::of(&others)).reasons.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn every_reason_at_once() {
        // DS-B41, DS-B43, DS-B44
        let node = node(
            r#"{"metadata":{"name":"n"},"spec":{"unschedulable":true,"taints":[{"key":"k","value":"v","effect":"NoExecute"},
                {"key":"p","effect":"PreferNoSchedule"}]},"status":{"allocatable":{"cpu":"1","pods":"1"}}}"#,
        );
        let pod = r#"{"nodeName":"m","nodeSelector":{"a":"b"},"containers":[
            {"ports":[{"hostPort":80,"hostIP":"10.0.0.1"}],"resources":{"requests":{"cpu":"300m","memory":"1Mi","x/y":"0"}}}]}"#;
        let other = r#"[{"metadata":{"name":"o","namespace":"s"},"spec":{"containers":[
            {"ports":[{"hostPort":80,"protocol":"TCP"}],"resources":{"requests":{"cpu":"800m"}}}]}}]"#;
        let expected = [
            "the node is cordoned",
            "the pod asks for node m",
            "untolerated taint k=v:NoExecute",
            "node selector a=b: the node has no label a",
            "host port TCP 10.0.0.1:80 is held by pod s/o",
            "too many pods: all 1 places are taken",
            "insufficient cpu: 300m requested, 200m of 1 free",
            "insufficient memory: 1Mi requested, 0 of 0 free",
        ];
        assert_eq!(texts(pod, &node, other), expected);
    }

    #[test]
    fn host_ports_conflict_by_address_protocol_and_number() {
        // DS-B44
        let node = node(r#"{"metadata":{"name":"n"},"status":{"allocatable":{"pods":"9"}}}"#);
        let table = [
            (r#"{"hostPort":80}"#, r#"{"hostPort":80}"#, true),
            (r#"{"hostPort":80}"#, r#"{"hostPort":81}"#, false),
            (r#"{"hostPort":80,"protocol":"UDP"}"#, r#"{"hostPort":80}"#, false),
            (r#"{"hostPort":80,"hostIP":"10.0.0.1"}"#, r#"{"hostPort":80,"hostIP":"10.0.0.2"}"#, false),
            (r#"{"hostPort":80,"hostIP":"10.0.0.1"}"#, r#"{"hostPort":80,"hostIP":"0.0.0.0"}"#, true),
            (r#"{"hostPort":80,"hostIP":"0.0.0.0"}"#, r#"{"hostPort":80,"hostIP":"10.0.0.1"}"#, true),
        ];
        for (wanted, held, expected) in table {
            let pod = format!(r#"{{"containers":[{{"ports":[{wanted}]}}]}}"#);
            let other = format!(r#"[{{"spec":{{"containers":[{{"ports":[{held}]}}]}}}}]"#);
            assert_eq!(!texts(&pod, &node, &other).is_empty(), expected, "{wanted} {held}");
        }
    }
}
