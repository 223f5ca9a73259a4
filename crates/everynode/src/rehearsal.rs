//! What the DaemonSet controller would do, and then, and then: its own plans, carried out on a copy
//! of the cluster.
//!
//! Pure. The copy knows no agents: a pod that is deleted is gone, and one that is created is
//! available at once if its node is ready. So a forecast is the best case; what holds a rollout up
//! in real life is told by `everynode why`.

mod stage;

use std::collections::BTreeSet;

use everynode_api::meta::Key;
use everynode_api::reconcile::{Action, Reconciler};
use everynode_daemonset::{DaemonSetController, DaemonSetMemory, DaemonSetNote, Plan};
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

pub(crate) use self::stage::Stage;

/// Passes of one forecast. A set of 5,000 nodes that is updated one by one takes twice as many and
/// is told of in part.
const PASSES_MAX: usize = 400;

/// The next pass for one set, and how it goes on.
#[derive(Debug)]
pub(crate) struct Rehearsal {
    pub(crate) key: Key,
    pub(crate) plan: Plan,
    pub(crate) forecast: Forecast,
}

/// How it goes on, if every new pod on a node that is ready becomes ready.
#[derive(Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Forecast {
    /// The nodes on which pods are made or taken away, wave by wave.
    pub(crate) waves: Vec<Vec<String>>,
    /// Whether that is all; else the forecast was cut short.
    pub(crate) complete: bool,
    /// What stays as it is after the last wave, and why.
    pub(crate) left: Vec<String>,
}

impl Rehearsal {
    /// Whether the next pass writes anything besides status and events.
    pub(crate) fn has_work(&self) -> bool {
        self.plan.actions.iter().any(|action| !matches!(action, Action::Emit(_)))
    }
}

/// Rehearses one set of the cluster; `None` if the controller does not look after it.
pub(crate) fn rehearse(
    controller: &DaemonSetController,
    cluster: &Stage,
    key: &Key,
    now: Timestamp,
) -> Option<Rehearsal> {
    let plan = pass(controller, cluster, key, &Default::default(), now)?;
    let forecast = forecast(controller, cluster.clone(), key, plan.clone(), now);
    Some(Rehearsal { key: key.clone(), plan, forecast })
}

/// A plan with everything that it has to say.
fn pass(
    controller: &DaemonSetController,
    cluster: &Stage,
    key: &Key,
    memory: &DaemonSetMemory,
    now: Timestamp,
) -> Option<Plan> {
    let seen = controller.gather(cluster.view(), key)?;
    let mut plan = controller.plan(&seen, memory, now);
    plan.notes.extend(controller.at_rest(&seen, &plan));
    Some(plan)
}

fn forecast(
    controller: &DaemonSetController,
    mut cluster: Stage,
    key: &Key,
    mut plan: Plan,
    mut now: Timestamp,
) -> Forecast {
    let mut forecast = Forecast::default();
    for _ in 0..PASSES_MAX {
        forecast.add(nodes_of(&plan));
        if !plan.actions.iter().any(|action| !matches!(action, Action::Emit(_))) {
            // Nothing more now. A pod may still have to be ready for a while.
            let Some(later) = plan.wake_at.filter(|at| *at > now && waits(&plan)) else {
                forecast.complete = true;
                break;
            };
            now = later;
        }
        cluster.carry_out(&plan.actions, now);
        now += SignedDuration::from_secs(1);
        let Some(next) = pass(controller, &cluster, key, &plan.memory, now) else { break };
        plan = next;
    }
    forecast.left = plan.notes.iter().filter(|note| is_left(note)).map(ToString::to_string).collect();
    forecast
}

impl Forecast {
    /// A pass that only completes what the one before began (the new pod after the old one) is the
    /// same wave.
    fn add(&mut self, nodes: BTreeSet<String>) {
        let known = |last: &Vec<String>| nodes.iter().all(|node| last.contains(node));
        if !nodes.is_empty() && !self.waves.last().is_some_and(known) {
            self.waves.push(nodes.into_iter().collect());
        }
    }
}

fn nodes_of(plan: &Plan) -> BTreeSet<String> {
    let moved = |note: &&DaemonSetNote| matches!(note, DaemonSetNote::Create { .. } | DaemonSetNote::Delete { .. });
    plan.notes.iter().filter(moved).filter_map(DaemonSetNote::node).map(str::to_owned).collect()
}

fn waits(plan: &Plan) -> bool {
    plan.notes.iter().any(|note| matches!(note, DaemonSetNote::Hold { .. } | DaemonSetNote::Leaving { .. }))
}

fn is_left(note: &DaemonSetNote) -> bool {
    matches!(
        note,
        DaemonSetNote::Hold { .. }
            | DaemonSetNote::Stays { .. }
            | DaemonSetNote::Leaving { .. }
            | DaemonSetNote::NameTaken { .. }
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use everynode_api::kinds;
    use serde_json::{Value, json};

    fn now() -> Timestamp {
        "2027-01-15T08:00:00Z".parse().unwrap()
    }

    /// Three nodes with a ready pod each of revision r1, whose template had the image `old`.
    fn updated(strategy: Value, silent: &str) -> Stage {
        let mut cluster = Stage::default();
        let template = |image: &str| {
            json!({ "metadata": { "labels": { "app": "web" } },
                "spec": { "containers": [{ "name": "main", "image": image }] } })
        };
        let set = json!({
            "metadata": { "name": "web", "namespace": "x", "uid": "s", "generation": 2 },
            "spec": { "selector": { "matchLabels": { "app": "web" } }, "template": template("new"), "updateStrategy": strategy },
        });
        cluster.put(&kinds::DAEMON_SET, set).unwrap();
        let owner =
            json!([{ "apiVersion": "apps/v1", "kind": "DaemonSet", "name": "web", "uid": "s", "controller": true }]);
        let labels = json!({ "app": "web", "controller-revision-hash": "r1" });
        let meta = |name: &str| json!({ "name": name, "namespace": "x", "uid": name, "labels": labels, "ownerReferences": owner });
        let mut data = template("old");
        data["$patch"] = json!("replace");
        let revision = json!({ "metadata": meta("web-r1"), "revision": 1, "data": { "spec": { "template": data } } });
        cluster.put(&kinds::CONTROLLER_REVISION, revision).unwrap();
        for name in ["a", "b", "c"] {
            let ready = if name == silent { "Unknown" } else { "True" };
            let is = |kind: &str, status: &str| json!([{ "type": kind, "status": status, "lastTransitionTime": "2027-01-15T07:00:00Z" }]);
            let node =
                json!({ "metadata": { "name": name, "uid": name }, "status": { "conditions": is("Ready", ready) } });
            cluster.put(&kinds::NODE, node).unwrap();
            let status = json!({ "phase": "Running", "startTime": "2027-01-15T06:00:00Z", "conditions": is("Ready", if name == silent { "False" } else { "True" }) });
            let pod =
                json!({ "metadata": meta(&format!("web-{name}")), "spec": { "nodeName": name }, "status": status });
            cluster.put(&kinds::POD, pod).unwrap();
        }
        cluster
    }

    fn rehearsed(cluster: &Stage) -> Rehearsal {
        rehearse(&DaemonSetController::default(), cluster, &Key::new("x", "web"), now()).unwrap()
    }

    #[test]
    fn an_update_proceeds_node_by_node() {
        // DS-D14
        let rehearsal = rehearsed(&updated(json!({}), ""));
        assert!(rehearsal.has_work());
        assert_eq!(rehearsal.forecast.waves, [["a"], ["b"], ["c"]]);
        assert!(rehearsal.forecast.complete && rehearsal.forecast.left.is_empty(), "{:?}", rehearsal.forecast);
    }

    #[test]
    fn two_at_a_time_and_a_surge() {
        let two = updated(json!({ "type": "RollingUpdate", "rollingUpdate": { "maxUnavailable": 2 } }), "");
        assert_eq!(rehearsed(&two).forecast.waves, [vec!["a", "b"], vec!["c"]]);
        let surge =
            updated(json!({ "type": "RollingUpdate", "rollingUpdate": { "maxUnavailable": 0, "maxSurge": 3 } }), "");
        assert_eq!(rehearsed(&surge).forecast.waves, [["a", "b", "c"]]);
    }

    #[test]
    fn what_stays_is_said() {
        // DS-D01; a silent node is caught up later
        let kept = rehearsed(&updated(json!({ "type": "OnDelete" }), ""));
        assert_eq!((kept.forecast.waves.len(), kept.forecast.left.len()), (0, 3));
        let silent = rehearsed(&updated(json!({}), "b")).forecast;
        assert_eq!(silent.waves, [["a"], ["c"]]);
        assert_eq!(
            silent.left,
            ["web-b on node b stays: outdated; its node is silent and is caught up when it is back"]
        );
    }

    #[test]
    fn nothing_is_nothing() {
        let mut cluster = updated(json!({}), "");
        let mut plan = rehearsed(&cluster).plan;
        for _ in 0..20 {
            cluster.carry_out(&plan.actions, now());
            plan = rehearsed(&cluster).plan;
        }
        let done = rehearsed(&cluster);
        assert!(!done.has_work() && done.forecast.waves.is_empty() && done.forecast.complete, "{:?}", done.plan.notes);
    }
}
