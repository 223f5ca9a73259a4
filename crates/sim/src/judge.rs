//! What must be true when everything has healed: told from the server's objects alone, by plain
//! rules.

mod budgets;
mod placement;
mod revisions;
mod status;

use everynode_api::kinds::{CONTROLLER_REVISION, DAEMON_SET, EVENT, NAMESPACE, NODE, POD, POD_DISRUPTION_BUDGET};
use everynode_api::ports::{ApiError, Propagation};
use jiff::Timestamp;
use serde_json::Value;

use crate::ledger::target_node;
use crate::machine::BAD;
use crate::room;
use crate::scenario::{Participant, Scenario, ScenarioEvent};
use crate::user::{HASH, SPACE, TAINT, User};
use crate::value::{array, is_ready, is_terminal, is_terminating, name, owner, text};

/// Everything that is not as it has to be, one sentence each.
pub(crate) async fn judge(user: &User, scenario: &Scenario, now: Timestamp) -> Result<Vec<String>, ApiError> {
    let world = FinalState {
        sets: user.list(DAEMON_SET).await?,
        nodes: user.list(NODE).await?,
        pods: user.list(POD).await?,
        revisions: user.list(CONTROLLER_REVISION).await?,
        budgets: user.list(POD_DISRUPTION_BUDGET).await?,
        namespaces: user.list(NAMESPACE).await?,
        strict: scenario.strict,
        now,
    };
    let mut found = world.nodes_are_well(scenario.machines);
    found.extend(world.leftovers());
    if scenario.tight {
        found.extend(world.only_what_does_not_fit_waits());
    } else {
        found.extend(world.sets.iter().flat_map(|set| world.set_is_well(set)));
        found.extend(world.plain_pods_run());
    }
    found.extend(world.budgets_are_recounts());
    if found.is_empty() && scenario.tells_all_events() {
        found.extend(world.bindings_are_reported(&user.list(EVENT).await?, scenario.orphans_pods()));
    }
    Ok(found)
}

struct FinalState {
    sets: Vec<Value>,
    nodes: Vec<Value>,
    pods: Vec<Value>,
    revisions: Vec<Value>,
    budgets: Vec<Value>,
    namespaces: Vec<Value>,
    strict: bool,
    now: Timestamp,
}

impl FinalState {
    fn nodes_are_well(&self, machines: usize) -> Vec<String> {
        let mut found = Vec::new();
        if self.nodes.len() != machines {
            found.push(format!("{} nodes of {machines} machines", self.nodes.len()));
        }
        for node in &self.nodes {
            let is_cordon = |taint: &Value| taint["key"] == "node.kubernetes.io/unschedulable";
            let mut strange = array(&node["spec"]["taints"]).filter(|taint| taint["key"] != TAINT && !is_cordon(taint));
            if let Some(taint) = strange.next() {
                found.push(format!("node {} has the taint {taint}", name(node)));
            }
            if array(&node["spec"]["taints"]).any(is_cordon) != (node["spec"]["unschedulable"] == true) {
                found.push(format!("the taint of node {} does not say whether it is cordoned", name(node)));
            }
            if !is_ready(node) {
                found.push(format!("node {} is not ready", name(node)));
            }
        }
        found
    }

    /// Nothing is left of what is gone, and nothing waits to go.
    fn leftovers(&self) -> Vec<String> {
        let mut found = Vec::new();
        let there = self.namespaces.iter().any(|namespace| name(namespace) == SPACE);
        let known = |uid: &Value| self.sets.iter().any(|set| set["metadata"]["uid"] == *uid);
        let content = || self.sets.iter().chain(&self.pods).chain(&self.revisions).chain(&self.budgets);
        for object in content().chain(&self.nodes).chain(&self.namespaces) {
            if is_terminating(object) {
                found.push(format!("{} is still terminating", name(object)));
            }
            if array(&object["metadata"]["finalizers"]).count() > 0 {
                found.push(format!("{} has the finalizers {}", name(object), object["metadata"]["finalizers"]));
            }
            if let Some(owner) = owner(object).filter(|uid| !known(uid)) {
                found.push(format!("{} is left of the set with uid {owner}", name(object)));
            }
        }
        found.extend(content().filter(|_| !there).map(|object| format!("{} is in no namespace", name(object))));
        found
    }

    /// The scheduler's part: what can be placed is placed, and runs.
    fn plain_pods_run(&self) -> Vec<String> {
        let free = |node: &&Value| node["spec"]["unschedulable"] != true && array(&node["spec"]["taints"]).count() == 0;
        let anywhere = self.nodes.iter().any(|node| free(&node));
        let plain = self.pods.iter().filter(|pod| name(pod).starts_with("plain-") && !is_terminal(pod));
        let bound = |pod: &Value| pod["spec"]["nodeName"].is_string();
        let stuck = plain.filter(|pod| if bound(pod) { !is_ready(pod) } else { anywhere });
        stuck.map(|pod| format!("pod {} does not run: {}", name(pod), pod["status"])).collect()
    }

    /// A pod has a node and runs, or there is no room for it where it may be, and it says so.
    fn only_what_does_not_fit_waits(&self) -> Vec<String> {
        let mut found = Vec::new();
        for pod in self.pods.iter().filter(|pod| !is_terminal(pod)) {
            if pod["spec"]["nodeName"].is_string() {
                let is_well = is_ready(pod) || self.is_kept_bad(pod);
                (!is_well).then(|| found.push(format!("pod {} does not run: {}", name(pod), pod["status"])));
                continue;
            }
            let pinned = target_node(pod);
            let is_free = |node: &&Value| match &pinned {
                Some(pinned) => name(node) == pinned && !keeps_out(node, pod),
                None => node["spec"]["unschedulable"] != true && array(&node["spec"]["taints"]).count() == 0,
            };
            let mut open = self.nodes.iter().filter(|node| is_free(node));
            if let Some(node) = open.find(|node| room::fits(node, pod, &self.pods)) {
                found.push(format!("pod {} waits, though there is room on {}", name(pod), name(node)));
            }
            let told = |condition: &Value| condition["type"] == "PodScheduled" && condition["status"] == "False";
            if !array(&pod["status"]["conditions"]).any(told) {
                found.push(format!("pod {} waits, and nothing says why", name(pod)));
            }
        }
        found
    }

    /// Whether a pod's program never gets ready, and its set replaces nothing by itself.
    fn is_kept_bad(&self, pod: &Value) -> bool {
        let mut owners = self.sets.iter().filter(|set| owner(pod) == Some(&set["metadata"]["uid"]));
        let replaces = owners.any(|set| set["spec"]["updateStrategy"]["type"] != "OnDelete");
        !replaces && text(&pod["spec"]["containers"][0]["image"]).contains(BAD)
    }

    /// DS-B46. The set's controller reports a pod that was created bound when it sees it; it never
    /// sees one that it made, before it had noticed, for a set that was being orphaned.
    fn bindings_are_reported(&self, events: &[Value], orphans: bool) -> Vec<String> {
        let is_reported = |pod: &&Value| {
            let text = format!("Successfully assigned {SPACE}/{} to {}", name(pod), text(&pod["spec"]["nodeName"]));
            let of_pod = |event: &&Value| event["involvedObject"]["uid"] == pod["metadata"]["uid"];
            let mut events = events.iter().filter(of_pod);
            events.any(|event| event["reason"] == "Scheduled" && event["message"] == text)
        };
        let has_set = |pod: &Value| self.sets.iter().any(|set| owner(pod) == Some(&set["metadata"]["uid"]));
        let is_orphan = |pod: &Value| orphans && pod["metadata"]["labels"][HASH].is_string() && !has_set(pod);
        let bound = self.pods.iter().filter(|pod| pod["spec"]["nodeName"].is_string() && !is_orphan(pod));
        bound
            .filter(|pod| !is_reported(pod))
            .map(|pod| format!("nobody tells where {} was bound to", name(pod)))
            .collect()
    }
}

/// Whether a node is not for a pod that is pinned to it: it lacks a label, or has a taint that the
/// pod does not tolerate.
fn keeps_out(node: &Value, pod: &Value) -> bool {
    let mut selected = pod["spec"]["nodeSelector"].as_object().into_iter().flatten();
    let lacks = selected.any(|(key, value)| node["metadata"]["labels"][key] != *value);
    let tolerates = array(&pod["spec"]["tolerations"]).any(|toleration| toleration["key"] == TAINT);
    lacks || !tolerates && array(&node["spec"]["taints"]).any(|taint| taint["key"] == TAINT)
}

impl Scenario {
    /// Whether nothing keeps the controllers from telling what they do: events are written once, by
    /// a process that may die before, and are dropped where the server does not take them.
    fn tells_all_events(&self) -> bool {
        let harmless = |scenario_event: &ScenarioEvent| match scenario_event {
            ScenarioEvent::Crash { .. }
            | ScenarioEvent::Kill { .. }
            | ScenarioEvent::TwoLeaders { .. }
            | ScenarioEvent::CrashServer {}
            | ScenarioEvent::Restore { .. } => false,
            // Events are in the namespace, too.
            ScenarioEvent::DeleteNamespace { .. } => false,
            ScenarioEvent::Cut { who, .. } | ScenarioEvent::Trouble { who, .. } => !matches!(who, Participant::First),
            _ => true,
        };
        self.steps.iter().all(|step| harmless(&step.scenario_event))
    }

    /// Whether a set is deleted without its pods.
    fn orphans_pods(&self) -> bool {
        let orphans = |scenario_event: &ScenarioEvent| {
            matches!(scenario_event, ScenarioEvent::DeleteSet { propagation: Propagation::Orphan, .. })
        };
        self.steps.iter().any(|step| orphans(&step.scenario_event))
    }
}
