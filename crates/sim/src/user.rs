//! What users do: as anybody with kubectl, without regard for controllers.

use std::sync::{Arc, PoisonError};

use everynode_api::kinds::{DAEMON_SET, Kind, NODE, POD};
use everynode_api::ports::{Api, ApiError, PatchType, Preconditions, Propagation, Request, Selection, Target};
use serde_json::{Value, json};

use crate::machine::BAD;
use crate::scenario::{Deed, SETS, Scenario, Strategy};
use crate::wire::Server;

pub(crate) const NAMESPACE: &str = "default";
const HASH: &str = "controller-revision-hash";
/// The taint that users put on nodes, and that some templates tolerate.
pub(crate) const TAINT: &str = "k";

/// A user beside the server: no network between them.
pub(crate) struct User {
    server: Arc<Server>,
    min_ready_seconds: u64,
}

impl User {
    pub(crate) fn new(server: Arc<Server>, scenario: &Scenario) -> User {
        User { server, min_ready_seconds: scenario.min_ready_seconds }
    }

    async fn call(&self, request: Request) -> Result<Value, ApiError> {
        let server: Arc<dyn Api> = self.server.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let answer = server.call(request).await?;
        serde_json::from_slice(&answer).map_err(|error| ApiError::Garbled(error.to_string()))
    }

    /// All objects of a kind, in the order of names.
    pub(crate) async fn list(&self, kind: Kind) -> Result<Vec<Value>, ApiError> {
        let selection = Selection::default();
        let request = Request::List { kind, selection, limit: 0, continue_token: None, resource_version: None };
        Ok(self.call(request).await?["items"].as_array().cloned().unwrap_or_default())
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

    /// Makes a set as the scenario has it in the beginning.
    pub(crate) async fn create_set(&self, set: usize, strategy: Strategy) -> Result<(), ApiError> {
        let name = SETS[set];
        let body = json!({
            "apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": {"name": name, "namespace": NAMESPACE},
            "spec": {
                "selector": {"matchLabels": {"app": name}},
                "minReadySeconds": self.min_ready_seconds,
                "revisionHistoryLimit": 2,
                "updateStrategy": update(strategy),
                "template": {"metadata": {"labels": {"app": name}}, "spec": pod_spec("img:0", false, false)},
            },
        });
        self.call(Request::Create { target: Target::new(DAEMON_SET, NAMESPACE, ""), body }).await.map(drop)
    }

    /// Rolls bad images back, so that every pod can become ready.
    pub(crate) async fn mend(&self) -> Result<(), ApiError> {
        for set in self.list(DAEMON_SET).await? {
            let image = set["spec"]["template"]["spec"]["containers"][0]["image"].as_str().unwrap_or_default();
            if image.contains(BAD) {
                let body = json!({"spec": {"template": {"spec": pod_spec("img:mended", false, false)}}});
                self.patch(set_target(set["metadata"]["name"].as_str().unwrap_or_default()), body).await?;
            }
        }
        Ok(())
    }

    /// Does what a deed says if it is a user's; what the server refuses is refused.
    pub(crate) async fn act(&self, deed: &Deed, strategies: &[Strategy]) -> Result<(), ApiError> {
        match *deed {
            Deed::Template { set, image, bad, select, tolerate } => {
                let image = format!("img:{image}{}", if bad { BAD } else { "" });
                let body = json!({"spec": {"template": {"spec": pod_spec(&image, select, tolerate)}}});
                self.patch(set_target(SETS[set]), body).await
            }
            Deed::Update { set, strategy } => {
                self.patch(set_target(SETS[set]), json!({"spec": {"updateStrategy": update(strategy)}})).await
            }
            Deed::DeleteSet { set, propagation } => self.delete(set_target(SETS[set]), None, Some(propagation)).await,
            Deed::CreateSet { set } => self.create_set(set, strategies[set]).await,
            Deed::Plain { number } => self.create_plain(number).await,
            Deed::Taint { node, effect } => {
                let taints = match effect {
                    "" => Value::Null,
                    effect => json!([{"key": TAINT, "effect": effect}]),
                };
                self.patch(node_target(node), json!({"spec": {"taints": taints}})).await
            }
            Deed::Label { node, ssd } => {
                let labels = json!({"disk": if ssd { "ssd" } else { "hdd" }});
                self.patch(node_target(node), json!({"metadata": {"labels": labels}})).await
            }
            Deed::Cordon { node, on } => self.patch(node_target(node), json!({"spec": {"unschedulable": on}})).await,
            Deed::DeleteNode { node } => self.delete(node_target(node), None, None).await,
            _ => self.act_on_pod(deed).await,
        }
    }

    async fn act_on_pod(&self, deed: &Deed) -> Result<(), ApiError> {
        let (Deed::DeletePod { pod, .. }
        | Deed::Relabel { pod }
        | Deed::Rehash { pod }
        | Deed::Orphan { pod }
        | Deed::Fail { pod, .. }) = *deed
        else {
            return Ok(());
        };
        let pods = self.list(POD).await?;
        let Some(found) = pods.get(pod % pods.len().max(1)) else { return Ok(()) };
        let target = Target::new(POD, NAMESPACE, found["metadata"]["name"].as_str().unwrap_or_default());
        match *deed {
            Deed::DeletePod { force, .. } => self.delete(target, force.then_some(0), None).await,
            Deed::Relabel { .. } => self.patch(target, json!({"metadata": {"labels": {"app": "other"}}})).await,
            Deed::Rehash { .. } => self.patch(target, json!({"metadata": {"labels": {HASH: "odd"}}})).await,
            Deed::Orphan { .. } => self.patch(target, json!({"metadata": {"ownerReferences": null}})).await,
            Deed::Fail { succeeded, .. } => {
                let phase = if succeeded { "Succeeded" } else { "Failed" };
                self.patch(target.subresource("status"), json!({"status": {"phase": phase}})).await
            }
            _ => Ok(()),
        }
    }

    async fn create_plain(&self, number: u64) -> Result<(), ApiError> {
        let metadata = json!({"name": format!("plain-{number}"), "namespace": NAMESPACE, "labels": {"app": "plain"}});
        let body = json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata,
                          "spec": pod_spec("plain:1", false, false)});
        self.call(Request::Create { target: Target::new(POD, NAMESPACE, ""), body }).await.map(drop)
    }
}

fn set_target(name: &str) -> Target {
    Target::new(DAEMON_SET, NAMESPACE, name)
}

fn node_target(node: usize) -> Target {
    Target::new(NODE, "", &crate::machine::name(node))
}

fn update(strategy: Strategy) -> Value {
    let number = |text: &str| text.parse::<u64>().map_or_else(|_| json!(text), |number| json!(number));
    let rolling = |unavailable: Value, surge: Value| json!({"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": unavailable, "maxSurge": surge}});
    match strategy {
        Strategy::Unavailable(text) => rolling(number(text), json!(0)),
        Strategy::Surge(text) => rolling(json!(0), number(text)),
        Strategy::OnDelete => json!({"type": "OnDelete", "rollingUpdate": null}),
    }
}

fn pod_spec(image: &str, select: bool, tolerate: bool) -> Value {
    let container = json!({"name": "main", "image": image, "resources": {"requests": {"cpu": "100m"}}});
    json!({
        "terminationGracePeriodSeconds": 5,
        "containers": [container],
        "nodeSelector": if select { json!({"disk": "ssd"}) } else { Value::Null },
        "tolerations": if tolerate { json!([{"key": TAINT, "operator": "Exists"}]) } else { Value::Null },
    })
}
