//! The cluster as `status` and `why` show it: every DaemonSet on every node, with the reasons.
//!
//! Pure: from listed objects to values that print as text or JSON.

use std::collections::BTreeMap;

use everynode_api::meta::Key;
use everynode_api::view::{DaemonSet, Node, Pod, PodPhase};
use everynode_placement::{Occupancy, check, eligible, static_reasons, with_automatic_tolerations};
use serde::Serialize;

/// Everything that was listed.
#[derive(Debug, Default)]
pub(crate) struct Listed {
    pub(crate) sets: Vec<DaemonSet>,
    pub(crate) nodes: Vec<Node>,
    pub(crate) pods: Vec<Pod>,
    /// Why a container of a pod does not run, by pod.
    pub(crate) waiting: BTreeMap<Key, String>,
    /// The latest warning about a pod, by pod.
    pub(crate) warnings: BTreeMap<Key, String>,
}

/// One DaemonSet everywhere.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SetPicture {
    pub(crate) namespace: String,
    pub(crate) name: String,
    pub(crate) desired: i64,
    pub(crate) ready: i64,
    pub(crate) updated: i64,
    pub(crate) available: i64,
    pub(crate) misscheduled: i64,
    pub(crate) nodes: Vec<NodePicture>,
}

/// One DaemonSet on one node.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct NodePicture {
    pub(crate) node: String,
    pub(crate) state: State,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) pod: Option<String>,
    /// Why it does not run (well) there; empty when it does.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) reasons: Vec<String>,
}

/// How one DaemonSet fares on one node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum State {
    Ready,
    /// A pod is there and not ready (yet).
    NotReady,
    /// It should run, and no pod is there.
    Missing,
    /// A pod ends.
    Terminating,
    /// It runs where it would not be put now.
    Misscheduled,
    /// It does not belong there.
    NotHere,
}

impl State {
    pub(crate) fn text(self) -> &'static str {
        match self {
            State::Ready => "ready",
            State::NotReady => "not ready",
            State::Missing => "missing",
            State::Terminating => "terminating",
            State::Misscheduled => "misscheduled",
            State::NotHere => "not here",
        }
    }
}

/// Draws every set on every node.
pub(crate) fn draw(listed: &Listed) -> Vec<SetPicture> {
    listed.sets.iter().map(|set| draw_set(listed, set)).collect()
}

fn draw_set(listed: &Listed, set: &DaemonSet) -> SetPicture {
    let mut pods: BTreeMap<&str, Vec<&Pod>> = BTreeMap::new();
    for pod in &listed.pods {
        let owned = pod.meta.controller().is_some_and(|owner| owner.uid.as_ref() == set.meta.uid.as_ref());
        if let (true, Some(node)) = (owned, pod.target_node()) {
            pods.entry(node).or_default().push(pod);
        }
    }
    let nodes = listed.nodes.iter().map(|node| {
        let here = pods.get(node.name()).map(Vec::as_slice).unwrap_or_default();
        draw_node(listed, set, node, here)
    });
    let status = &set.status;
    SetPicture {
        namespace: set.meta.namespace.to_string(),
        name: set.meta.name.to_string(),
        desired: status.desired_number_scheduled,
        ready: status.number_ready,
        updated: status.updated_number_scheduled,
        available: status.number_available,
        misscheduled: status.number_misscheduled,
        nodes: nodes.collect(),
    }
}

fn draw_node(listed: &Listed, set: &DaemonSet, node: &Node, pods: &[&Pod]) -> NodePicture {
    let template = &set.spec.template.spec;
    let tolerations = with_automatic_tolerations(&template.tolerations, template.host_network);
    let verdict = eligible(template, &tolerations, node);
    let mut spec = template.as_ref().clone();
    spec.tolerations = tolerations.into();
    let live = pods.iter().filter(|pod| !pod.is_terminal()).min_by_key(|pod| (pod.is_terminating(), !pod.is_ready()));
    let silent = || (!node.is_ready()).then(|| "the node is not ready".to_owned());
    let unfit = || silent().into_iter().chain(texts(&static_reasons(&spec, node))).collect();
    let (state, reasons) = match live {
        Some(pod) if pod.is_terminating() => (State::Terminating, why_pod(listed, pod, node)),
        Some(_) if !verdict.should_run => (State::Misscheduled, unfit()),
        Some(pod) if pod.is_ready() => (State::Ready, Vec::new()),
        Some(pod) => (State::NotReady, why_pod(listed, pod, node)),
        None if !verdict.should_run => (State::NotHere, unfit()),
        None => (State::Missing, why_missing(listed, &spec, node, pods)),
    };
    NodePicture { node: node.name().to_owned(), state, pod: live.map(|pod| pod.meta.name.to_string()), reasons }
}

fn texts(reasons: &[everynode_placement::Reason]) -> Vec<String> {
    reasons.iter().map(ToString::to_string).collect()
}

/// What the pod itself, and the parts that work on it, say about why it is not ready.
fn why_pod(listed: &Listed, pod: &Pod, node: &Node) -> Vec<String> {
    if pod.is_terminating() {
        // Older warnings say why it did not run, not why it does not end.
        let warning = listed.warnings.get(&pod.meta.key()).filter(|warning| warning.starts_with("FailedKillPod"));
        return vec![warning.map_or("the pod is ending".into(), |warning| format!("the pod is ending: {warning}"))];
    }
    if pod.spec.node_name.is_empty() {
        return why_unbound(listed, pod, node);
    }
    if let Some(waiting) = listed.waiting.get(&pod.meta.key()) {
        return vec![waiting.clone()];
    }
    let state = match pod.status.phase {
        PodPhase::Pending if pod.status.start_time.is_none() => "the node's agent has not seen the pod yet",
        PodPhase::Pending => "the pod is starting",
        _ => "the pod runs and is not ready",
    };
    match listed.warnings.get(&pod.meta.key()) {
        Some(warning) => vec![format!("{state}: {warning}")],
        None => vec![state.into()],
    }
}

/// Everything that keeps a pod from being bound, with amounts; else what the scheduler says.
fn why_unbound(listed: &Listed, pod: &Pod, node: &Node) -> Vec<String> {
    let reasons = texts(&check(&pod.spec, node, &occupancy(listed, node)).reasons);
    if !reasons.is_empty() {
        return reasons;
    }
    let scheduler = pod.condition("PodScheduled").filter(|condition| condition.status.as_ref() == "False");
    vec![scheduler.map_or("the pod waits for the scheduler".into(), |condition| condition.message.to_string())]
}

fn occupancy(listed: &Listed, node: &Node) -> Occupancy {
    Occupancy::of(listed.pods.iter().filter(|pod| pod.spec.node_name.as_ref() == node.name() && !pod.is_terminal()))
}

fn why_missing(listed: &Listed, spec: &everynode_api::view::PodSpec, node: &Node, pods: &[&Pod]) -> Vec<String> {
    if let Some(failed) = pods.iter().find(|pod| pod.is_terminal()) {
        return vec![format!("pod {} ended ({}) and is being replaced", failed.meta.name, failed.status.reason)];
    }
    let mut reasons = texts(&check(spec, node, &occupancy(listed, node)).reasons);
    if reasons.is_empty() {
        reasons.push("the controller has not created the pod yet; see the events of the DaemonSet".into());
    }
    reasons
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed() -> Listed {
        let set = r#"{"metadata":{"name":"web","namespace":"x","uid":"s"},"spec":{"template":{"metadata":{},"spec":{"containers":[]}}},
            "status":{"desiredNumberScheduled":3,"numberReady":1}}"#;
        let node = |name: &str, taints: &str| {
            serde_json::from_str(&format!(
            r#"{{"metadata":{{"name":"{name}"}},"spec":{{"taints":{taints}}},"status":{{"allocatable":{{"pods":"9"}},
                "conditions":[{{"type":"Ready","status":"True"}}]}}}}"#)).unwrap()
        };
        let pod = |name: &str, node: &str, ready: &str| {
            serde_json::from_str(&format!(
            r#"{{"metadata":{{"name":"{name}","namespace":"x","ownerReferences":[{{"uid":"s","controller":true}}]}},
            "spec":{{"nodeName":"{node}"}},"status":{{"phase":"Pending","conditions":[{{"type":"Ready","status":"{ready}"}}]}}}}"#)).unwrap()
        };
        Listed {
            sets: vec![serde_json::from_str(set).unwrap()],
            nodes: vec![
                node("a", "[]"),
                node("b", "[]"),
                node("c", r#"[{"key":"k","effect":"NoSchedule"}]"#),
                node("d", "[]"),
            ],
            pods: vec![pod("p", "a", "True"), pod("q", "b", "False")],
            waiting: [(Key::new("x", "q"), "container c: ImagePullBackOff".to_owned())].into(),
            ..Listed::default()
        }
    }

    #[test]
    fn what_keeps_a_pod_from_ending_is_said() {
        let ending: Pod = serde_json::from_value(serde_json::json!({
            "metadata": {"name": "p", "namespace": "x", "uid": "u", "deletionTimestamp": "2026-01-01T00:00:00Z"},
            "spec": {"nodeName": "a"}, "status": {"phase": "Running"},
        }))
        .unwrap();
        let mut listed = listed();
        let node = listed.nodes[0].clone();
        let why = |listed: &Listed| why_pod(listed, &ending, &node).join("; ");
        listed.warnings.insert(ending.meta.key(), "Unhealthy: no".into());
        assert_eq!(why(&listed), "the pod is ending");
        listed.warnings.insert(ending.meta.key(), "FailedKillPod: no network".into());
        assert_eq!(why(&listed), "the pod is ending: FailedKillPod: no network");
    }

    #[test]
    fn warnings_explain_a_pod_that_does_not_say_itself() {
        let mut listed = listed();
        let key = listed.waiting.pop_first().unwrap().0;
        listed.warnings.insert(key, "FailedMount: no such file".into());
        let why = |listed: &Listed| draw(listed)[0].nodes[1].reasons.join("; ");
        assert_eq!(why(&listed), "the node's agent has not seen the pod yet: FailedMount: no such file");
        listed.warnings.clear();
        assert_eq!(why(&listed), "the node's agent has not seen the pod yet");
    }

    #[test]
    fn a_pod_without_a_node_says_what_is_missing() {
        let mut listed = listed();
        let pod = r#"{"metadata":{"name":"q","namespace":"x","ownerReferences":[{"uid":"s","controller":true}]},
            "spec":{"containers":[{"resources":{"requests":{"cpu":"2"}}}],"affinity":{"nodeAffinity":
            {"requiredDuringSchedulingIgnoredDuringExecution":{"nodeSelectorTerms":[{"matchFields":
            [{"key":"metadata.name","operator":"In","values":["b"]}]}]}}}},"status":{"phase":"Pending"}}"#;
        listed.pods[1] = serde_json::from_str(pod).unwrap();
        let node = draw(&listed)[0].nodes.remove(1);
        assert_eq!((node.state, node.reasons.len()), (State::NotReady, 1));
        assert!(node.reasons[0].starts_with("insufficient cpu: 2 requested"), "{:?}", node.reasons);
    }

    #[test]
    fn every_node_has_a_state_and_a_reason() {
        let pictures = draw(&listed());
        let seen: Vec<_> =
            pictures[0].nodes.iter().map(|node| (node.node.as_str(), node.state, node.reasons.join("; "))).collect();
        assert_eq!(seen[0], ("a", State::Ready, String::new()));
        assert_eq!(seen[1], ("b", State::NotReady, "container c: ImagePullBackOff".into()));
        assert_eq!(seen[2], ("c", State::NotHere, "untolerated taint k:NoSchedule".into()));
        assert_eq!(seen[3].1, State::Missing);
        assert!(!seen[3].2.is_empty());
    }
}
