//! What users do: as anybody with kubectl, without regard for controllers.

mod drain;
mod objects;

use std::sync::{Arc, PoisonError};

use everynode_api::kinds::{CONTROLLER_REVISION, DAEMON_SET, Kind, NAMESPACE, NODE, POD, POD_DISRUPTION_BUDGET};
use everynode_api::ports::{Api, ApiError, PatchType, Preconditions, Propagation, Request, Selection, Target};
use serde_json::{Value, json};

use self::objects::{Size, daemon_set, disruption_budget, plain_pod, pod_spec, update};
use crate::ledger::Ledger;
use crate::machine::BAD;
use crate::scenario::{BudgetScope, Effect, SETS, Scenario, ScenarioEvent, Strategy};
use crate::wire::Server;

/// Where all sets and pods are.
pub(crate) const SPACE: &str = "apps";
pub(crate) const HASH: &str = "controller-revision-hash";
pub(crate) const RESPECT_CORDON: &str = "everynode.dev/respect-cordon";
/// The taint that users put on nodes, and that some templates tolerate.
pub(crate) const TAINT: &str = "k";

/// A user beside the server: no network between them.
pub(crate) struct User {
    server: Arc<Server>,
    ledger: Arc<Ledger>,
    machines: usize,
    min_ready_seconds: u64,
    strategies: Vec<Strategy>,
    size: Size,
}

impl User {
    pub(crate) fn new(server: Arc<Server>, ledger: Arc<Ledger>, scenario: &Scenario) -> Arc<User> {
        let Scenario { machines, min_ready_seconds, strategies, tight, .. } = scenario.clone();
        let size = if tight { Size::Large } else { Size::Small };
        Arc::new(User { server, ledger, machines, min_ready_seconds, strategies, size })
    }

    async fn call(&self, request: Request) -> Result<Value, ApiError> {
        let server: Arc<dyn Api> = self.server.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let answer = server.call(request).await?;
        serde_json::from_slice(&answer).map_err(|error| ApiError::Garbled(error.to_string()))
    }

    /// All objects of a kind, in the order of names.
    pub(crate) async fn list(&self, kind: Kind) -> Result<Vec<Value>, ApiError> {
        self.select(kind, Selection::default()).await
    }

    async fn select(&self, kind: Kind, selection: Selection) -> Result<Vec<Value>, ApiError> {
        let request = Request::List { kind, selection, limit: 0, continue_token: None, resource_version: None };
        let mut list = self.call(request).await?;
        Ok(match list["items"].take() {
            Value::Array(items) => items,
            _ => Vec::new(),
        })
    }

    async fn create(&self, kind: Kind, body: Value) -> Result<(), ApiError> {
        let namespace = if kind.namespaced { SPACE } else { "" };
        self.call(Request::Create { target: Target::new(kind, namespace, ""), body }).await.map(drop)
    }

    async fn patch(&self, target: Target, body: Value) -> Result<(), ApiError> {
        let preconditions = Preconditions::default();
        self.call(Request::Patch { target, patch: PatchType::Merge, body, preconditions }).await.map(drop)
    }

    async fn delete(
        &self,
        target: Target,
        grace_period_seconds: Option<i64>,
        propagation: Option<Propagation>,
    ) -> Result<(), ApiError> {
        let preconditions = Preconditions::default();
        self.call(Request::Delete { target, preconditions, grace_period_seconds, propagation }).await.map(drop)
    }

    /// The namespace, and all sets as the scenario has them in the beginning.
    pub(crate) async fn set_up(&self) -> Result<(), ApiError> {
        let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": SPACE}});
        self.create(NAMESPACE, namespace).await?;
        for set in 0..self.strategies.len() {
            self.create_set(set).await?;
        }
        Ok(())
    }

    async fn create_set(&self, set: usize) -> Result<(), ApiError> {
        let set = set % self.strategies.len();
        self.create(DAEMON_SET, daemon_set(SETS[set], self.strategies[set], self.min_ready_seconds, self.size)).await
    }

    /// Rolls bad images back, so that every pod can become ready.
    pub(crate) async fn mend(&self) -> Result<(), ApiError> {
        for set in self.list(DAEMON_SET).await? {
            let image = set["spec"]["template"]["spec"]["containers"][0]["image"].as_str().unwrap_or_default();
            if image.contains(BAD) {
                let body = json!({"spec": {"template": {"spec": pod_spec("img:mended", false, false, self.size)}}});
                self.patch(object(DAEMON_SET, &set), body).await?;
            }
        }
        Ok(())
    }

    /// Does what a event says if it is a user's that is done at once; what the server refuses is
    /// refused. Answers whether there was anything to do it to.
    pub(crate) async fn act(&self, scenario_event: &ScenarioEvent) -> Result<bool, ApiError> {
        match scenario_event {
            ScenarioEvent::Taint { .. }
            | ScenarioEvent::Label { .. }
            | ScenarioEvent::Cordon { .. }
            | ScenarioEvent::DeleteNode { .. } => self.act_on_node(scenario_event).await.map(|()| true),
            ScenarioEvent::DeleteRevision { .. }
            | ScenarioEvent::RelabelRevision { .. }
            | ScenarioEvent::RehashRevision { .. }
            | ScenarioEvent::OrphanRevision { .. }
            | ScenarioEvent::RenumberRevision { .. } => self.act_on_revision(scenario_event).await,
            ScenarioEvent::DeletePod { .. }
            | ScenarioEvent::Relabel { .. }
            | ScenarioEvent::Rehash { .. }
            | ScenarioEvent::Orphan { .. }
            | ScenarioEvent::Fail { .. }
            | ScenarioEvent::Evict { .. } => self.act_on_pod(scenario_event).await,
            _ => self.act_on_set(scenario_event).await.map(|()| true),
        }
    }

    async fn act_on_set(&self, scenario_event: &ScenarioEvent) -> Result<(), ApiError> {
        let target = |set: usize| Target::new(DAEMON_SET, SPACE, self.set_name(set));
        match *scenario_event {
            ScenarioEvent::Template { set, image, bad, select, tolerate } => {
                let image = format!("img:{image}{}", if bad { BAD } else { "" });
                let body = json!({"spec": {"template": {"spec": pod_spec(&image, select, tolerate, self.size)}}});
                self.patch(target(set), body).await
            }
            ScenarioEvent::Update { set, strategy } => {
                self.patch(target(set), json!({"spec": {"updateStrategy": update(strategy)}})).await
            }
            ScenarioEvent::Settings { set, min_ready_seconds, history } => {
                let spec = json!({"minReadySeconds": min_ready_seconds, "revisionHistoryLimit": history});
                self.patch(target(set), json!({ "spec": spec })).await
            }
            ScenarioEvent::RespectCordon { set, on } => {
                let annotations = json!({ RESPECT_CORDON: if on { json!("true") } else { Value::Null } });
                self.patch(target(set), json!({"metadata": {"annotations": annotations}})).await
            }
            ScenarioEvent::DeleteSet { set, propagation } => self.delete(target(set), None, Some(propagation)).await,
            ScenarioEvent::CreateSet { set } => self.create_set(set).await,
            ScenarioEvent::Plain { number } => self.create(POD, plain_pod(number, self.size)).await,
            ScenarioEvent::Budget { over, set, min_available, amount } => {
                let app = self.covered(over, set);
                self.create(POD_DISRUPTION_BUDGET, disruption_budget(app, min_available, amount)).await
            }
            ScenarioEvent::DropBudget { over, set } => {
                self.delete(Target::new(POD_DISRUPTION_BUDGET, SPACE, self.covered(over, set)), None, None).await
            }
            _ => Ok(()),
        }
    }

    fn set_name(&self, set: usize) -> &'static str {
        SETS[set % self.strategies.len()]
    }

    /// The `app` of the pods that a budget covers, and its name.
    fn covered(&self, over: BudgetScope, set: usize) -> &'static str {
        match over {
            BudgetScope::Set => self.set_name(set),
            BudgetScope::Plain => "plain",
        }
    }

    async fn act_on_node(&self, scenario_event: &ScenarioEvent) -> Result<(), ApiError> {
        match *scenario_event {
            ScenarioEvent::Taint { node, effect } => {
                let taints = match effect {
                    Effect::None => Value::Null,
                    Effect::NoSchedule => json!([{"key": TAINT, "effect": "NoSchedule"}]),
                    Effect::NoExecute => json!([{"key": TAINT, "effect": "NoExecute"}]),
                };
                self.patch(self.node(node), json!({"spec": {"taints": taints}})).await
            }
            ScenarioEvent::Label { node, ssd } => {
                let labels = json!({"disk": if ssd { "ssd" } else { "hdd" }});
                self.patch(self.node(node), json!({"metadata": {"labels": labels}})).await
            }
            ScenarioEvent::Cordon { node, on } => self.cordon(node, on).await,
            ScenarioEvent::DeleteNode { node } => self.delete(self.node(node), None, None).await,
            _ => Ok(()),
        }
    }

    fn node(&self, number: usize) -> Target {
        Target::new(NODE, "", &crate::machine::name(number % self.machines))
    }

    async fn cordon(&self, node: usize, on: bool) -> Result<(), ApiError> {
        self.patch(self.node(node), json!({"spec": {"unschedulable": on}})).await
    }

    async fn act_on_pod(&self, scenario_event: &ScenarioEvent) -> Result<bool, ApiError> {
        let (ScenarioEvent::DeletePod { pod, .. }
        | ScenarioEvent::Relabel { pod }
        | ScenarioEvent::Rehash { pod }
        | ScenarioEvent::Orphan { pod }
        | ScenarioEvent::Fail { pod, .. }
        | ScenarioEvent::Evict { pod }) = *scenario_event
        else {
            return Ok(false);
        };
        let pods = self.list(POD).await?;
        let Some(found) = pods.get(pod % pods.len().max(1)) else { return Ok(false) };
        let target = object(POD, found);
        match *scenario_event {
            ScenarioEvent::DeletePod { force, .. } => self.delete(target, force.then_some(0), None).await,
            ScenarioEvent::Relabel { .. } => {
                self.patch(target, json!({"metadata": {"labels": {"app": "other"}}})).await
            }
            ScenarioEvent::Rehash { .. } => self.patch(target, json!({"metadata": {"labels": {HASH: "odd"}}})).await,
            ScenarioEvent::Orphan { .. } => self.patch(target, json!({"metadata": {"ownerReferences": null}})).await,
            ScenarioEvent::Fail { succeeded, .. } => {
                let phase = if succeeded { "Succeeded" } else { "Failed" };
                self.patch(target.subresource("status"), json!({"status": {"phase": phase}})).await
            }
            _ => self.evict(&target.name).await,
        }?;
        Ok(true)
    }

    async fn act_on_revision(&self, scenario_event: &ScenarioEvent) -> Result<bool, ApiError> {
        let (ScenarioEvent::DeleteRevision { revision }
        | ScenarioEvent::RelabelRevision { revision }
        | ScenarioEvent::RehashRevision { revision }
        | ScenarioEvent::OrphanRevision { revision }
        | ScenarioEvent::RenumberRevision { revision, .. }) = *scenario_event
        else {
            return Ok(false);
        };
        let revisions = self.list(CONTROLLER_REVISION).await?;
        let Some(found) = revisions.get(revision % revisions.len().max(1)) else { return Ok(false) };
        let target = object(CONTROLLER_REVISION, found);
        match *scenario_event {
            ScenarioEvent::DeleteRevision { .. } => self.delete(target, None, None).await,
            ScenarioEvent::RelabelRevision { .. } => {
                self.patch(target, json!({"metadata": {"labels": {"app": "other"}}})).await
            }
            ScenarioEvent::RehashRevision { .. } => {
                // No two revisions get the same: whose a pod is would be anybody's guess.
                let hash = format!("odd-{}", target.name);
                self.patch(target, json!({"metadata": {"labels": {HASH: hash}}})).await
            }
            ScenarioEvent::RenumberRevision { number, .. } => self.patch(target, json!({ "revision": number })).await,
            _ => self.patch(target, json!({"metadata": {"ownerReferences": null}})).await,
        }?;
        Ok(true)
    }
}

/// An object that was read.
fn object(kind: Kind, object: &Value) -> Target {
    let text = |name| object["metadata"][name].as_str().unwrap_or_default();
    Target::new(kind, text("namespace"), text("name"))
}
