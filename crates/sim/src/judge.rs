//! What must be true when everything has healed: told from the server's objects alone, by plain rules.

use std::collections::BTreeMap;

use everynode_api::kinds::{CONTROLLER_REVISION, DAEMON_SET, NODE, POD};
use everynode_api::ports::ApiError;
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use crate::ledger::target_node;
use crate::user::{TAINT, User};

/// Everything that is not as it has to be, one sentence each.
pub(crate) async fn judge(user: &User, machines: usize, now: Timestamp) -> Result<Vec<String>, ApiError> {
    let world = World {
        sets: user.list(DAEMON_SET).await?,
        nodes: user.list(NODE).await?,
        pods: user.list(POD).await?,
        revisions: user.list(CONTROLLER_REVISION).await?,
        now,
    };
    let mut found = world.nodes_are_well(machines);
    found.extend(world.leftovers());
    for set in &world.sets {
        found.extend(world.set_is_well(set));
    }
    found.extend(world.plain_pods_run());
    Ok(found)
}

struct World {
    sets: Vec<Value>,
    nodes: Vec<Value>,
    pods: Vec<Value>,
    revisions: Vec<Value>,
    now: Timestamp,
}

/// The verdict on a node (DS-B01 to DS-B04).
#[derive(Clone, Copy, PartialEq)]
enum Verdict {
    Run,
    /// A pod that is there may stay.
    Keep,
    Leave,
}

impl World {
    fn nodes_are_well(&self, machines: usize) -> Vec<String> {
        let mut found = Vec::new();
        if self.nodes.len() != machines {
            found.push(format!("{} nodes of {machines} machines", self.nodes.len()));
        }
        for node in &self.nodes {
            let strange = array(&node["spec"]["taints"])
                .find(|taint| taint["key"] != TAINT && taint["key"] != "node.kubernetes.io/unschedulable");
            if let Some(taint) = strange {
                found.push(format!("node {} has the taint {taint}", name(node)));
            }
            if !is_ready(node) {
                found.push(format!("node {} is not ready", name(node)));
            }
        }
        found
    }

    /// Nothing is left of what is gone.
    fn leftovers(&self) -> Vec<String> {
        let known = |uid: &Value| self.sets.iter().any(|set| set["metadata"]["uid"] == *uid);
        let mut found = Vec::new();
        for object in self.pods.iter().chain(&self.revisions) {
            if !object["metadata"]["deletionTimestamp"].is_null() {
                found.push(format!("{} is still terminating", name(object)));
            }
            if let Some(owner) = owner(object).filter(|uid| !known(uid)) {
                found.push(format!("{} is left of the set with uid {owner}", name(object)));
            }
        }
        for set in self.sets.iter().filter(|set| !set["metadata"]["deletionTimestamp"].is_null()) {
            found.push(format!("set {} is still terminating", name(set)));
        }
        found
    }

    fn set_is_well(&self, set: &Value) -> Vec<String> {
        let owned: Vec<&Value> = self.pods.iter().filter(|pod| owner(pod) == Some(&set["metadata"]["uid"])).collect();
        let mut on: BTreeMap<String, Vec<&Value>> = BTreeMap::new();
        for pod in &owned {
            on.entry(target_node(pod).unwrap_or_default()).or_default().push(pod);
        }
        let mut found = Vec::new();
        for at in on.keys().filter(|at| !self.nodes.iter().any(|node| name(node) == **at)) {
            found.push(format!("set {} has pods on {at:?}, which is no node", name(set)));
        }
        for node in &self.nodes {
            let pods = on.get(name(node)).map(Vec::as_slice).unwrap_or_default();
            found.extend(self.place_is_well(set, node, pods));
        }
        found.extend(self.status_is_a_recount(set, &on));
        found.extend(self.history_is_short(set, &owned));
        found
    }

    fn place_is_well(&self, set: &Value, node: &Value, pods: &[&Value]) -> Option<String> {
        let verdict = verdict(set, node);
        let rolls = set["spec"]["updateStrategy"]["type"] == "RollingUpdate";
        let well = match verdict {
            Verdict::Leave => pods.is_empty(),
            Verdict::Keep => pods.len() <= 1,
            Verdict::Run if rolls => pods.len() == 1 && is_ready(pods[0]) && self.is_newest(set, pods[0]),
            Verdict::Run => pods.len() == 1 && !is_terminal(pods[0]),
        };
        let told = |pod: &&Value| {
            let phase = &pod["status"]["phase"];
            format!("{} {phase} ready={} newest={}", name(pod), is_ready(pod), self.is_newest(set, pod))
        };
        let told: Vec<String> = pods.iter().map(told).collect();
        let kind = match verdict {
            Verdict::Run => "is eligible",
            Verdict::Keep => "may keep its pod",
            Verdict::Leave => "is not eligible",
        };
        (!well).then(|| format!("set {} on {} ({kind}): {told:?}", name(set), name(node)))
    }

    fn newest_revision(&self, set: &Value) -> Option<&Value> {
        let own = self.revisions.iter().filter(|revision| owner(revision) == Some(&set["metadata"]["uid"]));
        own.max_by_key(|revision| revision["revision"].as_i64())
    }

    /// By its label, and by what it really runs.
    fn is_newest(&self, set: &Value, pod: &Value) -> bool {
        let hash = "controller-revision-hash";
        let Some(newest) = self.newest_revision(set) else { return false };
        let template = &set["spec"]["template"]["spec"];
        pod["metadata"]["labels"][hash] == newest["metadata"]["labels"][hash]
            && pod["spec"]["containers"][0]["image"] == template["containers"][0]["image"]
            && pod["spec"]["nodeSelector"] == template["nodeSelector"]
    }

    /// DS-E02 to DS-E06, DS-E08
    fn status_is_a_recount(&self, set: &Value, on: &BTreeMap<String, Vec<&Value>>) -> Option<String> {
        let hash = "controller-revision-hash";
        let newest = self.newest_revision(set).map(|revision| &revision["metadata"]["labels"][hash]);
        let [mut desired, mut current, mut misscheduled, mut ready, mut available, mut updated] = [0_i64; 6];
        for node in &self.nodes {
            let first = on.get(name(node)).and_then(|pods| pods.first());
            match (verdict(set, node), first) {
                (Verdict::Run, first) => {
                    desired += 1;
                    let Some(pod) = first else { continue };
                    current += 1;
                    ready += i64::from(is_ready(pod));
                    available += i64::from(self.is_available(set, pod));
                    updated += i64::from(Some(&pod["metadata"]["labels"][hash]) == newest);
                }
                (_, first) => misscheduled += i64::from(first.is_some()),
            }
        }
        let counted = [
            ("desiredNumberScheduled", desired),
            ("currentNumberScheduled", current),
            ("numberMisscheduled", misscheduled),
            ("numberReady", ready),
            ("numberAvailable", available),
            ("numberUnavailable", desired - available),
            ("updatedNumberScheduled", updated),
            ("observedGeneration", set["metadata"]["generation"].as_i64().unwrap_or(0)),
        ];
        let status = &set["status"];
        let wrong: Vec<String> = counted
            .into_iter()
            .filter(|(field, number)| status[*field].as_i64().unwrap_or(0) != *number)
            .map(|(field, number)| format!("{field} is {}, counted {number}", status[field]))
            .collect();
        (!wrong.is_empty()).then(|| format!("status of {}: {}", name(set), wrong.join(", ")))
    }

    /// DS-E04
    fn is_available(&self, set: &Value, pod: &Value) -> bool {
        let min_ready = SignedDuration::from_secs(set["spec"]["minReadySeconds"].as_i64().unwrap_or(0));
        let ready = array(&pod["status"]["conditions"]).find(|condition| condition["type"] == "Ready");
        let since = ready.and_then(|ready| ready["lastTransitionTime"].as_str()?.parse::<Timestamp>().ok());
        is_ready(pod) && (min_ready.is_zero() || since.is_some_and(|since| since + min_ready <= self.now))
    }

    /// DS-D52: what no pod uses is kept up to the limit.
    fn history_is_short(&self, set: &Value, pods: &[&Value]) -> Option<String> {
        let hash = |object: &Value| object["metadata"]["labels"]["controller-revision-hash"].clone();
        let used = |revision: &Value| pods.iter().any(|pod| hash(pod) == hash(revision));
        let newest = self.newest_revision(set).map(name);
        let own = self.revisions.iter().filter(|revision| owner(revision) == Some(&set["metadata"]["uid"]));
        let idle = own.filter(|revision| !used(revision) && Some(name(revision)) != newest).count();
        let limit = set["spec"]["revisionHistoryLimit"].as_u64().unwrap_or(10) as usize;
        (idle > limit).then(|| format!("set {} keeps {idle} old revisions, limit {limit}", name(set)))
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
}

fn verdict(set: &Value, node: &Value) -> Verdict {
    let spec = &set["spec"]["template"]["spec"];
    let selected = spec["nodeSelector"].as_object().into_iter().flatten();
    let mut selected = selected.map(|(key, value)| node["metadata"]["labels"][key] == *value);
    if !selected.all(|fits| fits) {
        return Verdict::Leave;
    }
    let tolerates = array(&spec["tolerations"]).any(|toleration| toleration["key"] == TAINT);
    let mut effects = array(&node["spec"]["taints"]).filter(|taint| taint["key"] == TAINT && !tolerates);
    match effects.next().and_then(|taint| taint["effect"].as_str()) {
        None => Verdict::Run,
        Some("NoExecute") => Verdict::Leave,
        Some(_) => Verdict::Keep,
    }
}

fn array(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn name(object: &Value) -> &str {
    object["metadata"]["name"].as_str().unwrap_or_default()
}

/// The uid of the set that controls an object.
fn owner(object: &Value) -> Option<&Value> {
    let mut owners = array(&object["metadata"]["ownerReferences"]);
    owners.find(|owner| owner["kind"] == "DaemonSet" && owner["controller"] == true).map(|owner| &owner["uid"])
}

fn is_ready(object: &Value) -> bool {
    array(&object["status"]["conditions"])
        .any(|condition| condition["type"] == "Ready" && condition["status"] == "True")
}

fn is_terminal(pod: &Value) -> bool {
    matches!(pod["status"]["phase"].as_str(), Some("Failed" | "Succeeded"))
}
