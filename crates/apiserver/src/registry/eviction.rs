//! Eviction: a pod is deleted if its disruption budget can spare it (DS-G21, DS-G22).
//!
//! The budget's numbers are the disruption controller's; here one disruption is taken off them and
//! the pod is noted as disrupted, in one write onto the state that was read. The controller, which
//! writes only onto what it has seen, too, never loses that note.

use everynode_api::selector::{LabelSelector, Selector};
use everynode_api::status::Status;
use everynode_store::KeyValue;
use serde_json::{Value, json};

use super::delete::DeleteOptions;
use super::kinds::pod::is_terminal;
use super::subresource::success;
use super::update::{Attempt, Read};
use super::{Caller, Registry, Reply, Target, WRITE_ATTEMPTS};
use crate::catalogue::built_in;
use crate::object::{self, at, items, text};

/// Evictions of one budget that have not shown yet; more are refused.
const DISRUPTED_MAX: usize = 2000;
const WOULD_VIOLATE: &str = "Cannot evict pod as it would violate the pod's disruption budget.";
const TOO_MANY: &str =
    "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.";

/// A budget as it is stored.
struct Budget {
    target: Target,
    kv: KeyValue,
    value: Value,
}

impl Registry {
    /// POST to `pods/NAME/eviction`.
    pub(super) async fn evict(&self, caller: &Caller<'_>, target: &Target, body: &Value) -> Result<Reply, Status> {
        let named = object::meta(body, "name");
        if !named.is_empty() && named != target.name {
            return Err(Status::bad_request("name in URL does not match name in Eviction object"));
        }
        let mut options = DeleteOptions::default().read(&body["deleteOptions"])?;
        let dry_run = caller.dry_run || items(body, &["deleteOptions", "dryRun"]).iter().any(|one| one == "All");
        let caller = &Caller { dry_run, ..*caller };
        let (_, pod) = self.current_value(target)?;
        let ends = is_terminal(&pod) || object::is_terminating(&pod);
        if !ends && text(&pod, &["status", "phase"]) != "Pending" {
            self.spend_budget(caller, target, &pod).await?;
        }
        // What was granted is the eviction of this pod, not of another one of its name.
        options.preconditions.uid.get_or_insert_with(|| object::meta(&pod, "uid").to_owned());
        if !ends {
            self.mark_evicted(caller, target).await?;
        }
        let pod = Target { subresource: "", ..target.clone() };
        self.delete(caller, &pod, &options).await?;
        Ok(success(201))
    }

    async fn mark_evicted(&self, caller: &Caller<'_>, target: &Target) -> Result<(), Status> {
        for _ in 0..WRITE_ATTEMPTS {
            let (kv, old) = self.current_value(target)?;
            let mut new = old.clone();
            object::remove_meta(&mut new, "resourceVersion");
            let condition = json!({"type": "DisruptionTarget", "status": "True", "reason": "EvictionByEvictionAPI",
                                   "message": "Eviction API: evicting"});
            object::set_condition(&mut new, condition, &self.env.now_text());
            if let Attempt::Done(_) =
                self.write(caller, target, target.info.strategy, new, Read::whole(&kv, old)).await?
            {
                return Ok(());
            }
        }
        Err(Status::modified(&target.info.kind, &target.name))
    }

    /// Takes one disruption from the budget that covers the pod, if there is one.
    async fn spend_budget(&self, caller: &Caller<'_>, target: &Target, pod: &Value) -> Result<(), Status> {
        for _ in 0..WRITE_ATTEMPTS {
            let mut budgets = self.budgets(target, pod)?;
            let Some(budget) = budgets.pop() else { return Ok(()) };
            if !budgets.is_empty() {
                return Err(Status::failure(500, "", TOO_MANY));
            }
            if costs_nothing(&budget.value, pod) {
                return Ok(());
            }
            check(&budget)?;
            let mut new = budget.value.clone();
            object::remove_meta(&mut new, "resourceVersion");
            self.take_one(&mut new, &target.name);
            let strategy = budget.target.info.strategy;
            let written =
                self.write(caller, &budget.target, strategy, new, Read::whole(&budget.kv, budget.value)).await?;
            if let Attempt::Done(_) = written {
                return Ok(());
            }
        }
        Err(Status::too_many_requests("too many changes of the pod's disruption budget, try again", 1))
    }

    fn take_one(&self, budget: &mut Value, pod: &str) {
        let now = self.env.now_text();
        let left = number(budget, "disruptionsAllowed") - 1;
        object::object_mut(budget, "status").insert("disruptionsAllowed".into(), left.into());
        object::object_mut(&mut budget["status"], "disruptedPods").insert(pod.into(), now.as_str().into());
        if left == 0 {
            let condition = json!({"type": "DisruptionAllowed", "status": "False", "reason": "InsufficientPods",
                                   "message": "", "observedGeneration": object::generation(budget)});
            object::set_condition(budget, condition, &now);
        }
    }

    fn budgets(&self, target: &Target, pod: &Value) -> Result<Vec<Budget>, Status> {
        let info = &built_in::POD_DISRUPTION_BUDGET;
        let filter = crate::hub::Filter::parse(info, Some(target.namespace.clone()), "", "")?;
        let mut found = Vec::new();
        for item in self.topic(info)?.select(&filter) {
            let name = item.namespace_and_name().1.to_owned();
            let budget = Target { info: info.into(), name, namespace: target.namespace.clone(), subresource: "" };
            let (kv, value) = match self.current_value(&budget) {
                Err(status) if status.is_not_found() => continue,
                found => found?,
            };
            if selects(&value, pod) {
                found.push(Budget { target: budget, kv, value });
            }
        }
        Ok(found)
    }
}

fn number(budget: &Value, name: &str) -> i64 {
    budget["status"][name].as_i64().unwrap_or(0)
}

/// A pod that is not ready is no loss: it goes if the budget says so, or if the others suffice.
fn costs_nothing(budget: &Value, pod: &Value) -> bool {
    let ready = |condition: &Value| condition["type"] == "Ready" && condition["status"] == "True";
    if items(pod, &["status", "conditions"]).iter().any(ready) {
        return false;
    }
    let (desired, healthy) = (number(budget, "desiredHealthy"), number(budget, "currentHealthy"));
    budget["spec"]["unhealthyPodEvictionPolicy"] == "AlwaysAllow" || (desired > 0 && healthy >= desired)
}

/// Whether the budget has a disruption left, and knows what it says.
fn check(budget: &Budget) -> Result<(), Status> {
    let (name, value) = (&budget.target.name, &budget.value);
    let forbidden = |text: &str| Err(Status::forbidden(&budget.target.info.kind, name, text));
    if number(value, "observedGeneration") < object::generation(value) {
        let text = format!("The disruption budget {name} is still being processed by the server.");
        return Err(refused(10, &text));
    }
    if number(value, "disruptionsAllowed") < 0 {
        return forbidden("pod disruption budget is negative");
    }
    if value["status"]["disruptedPods"].as_object().is_some_and(|pods| pods.len() > DISRUPTED_MAX) {
        return forbidden("DisruptedPods map too big - too many evictions not confirmed by PDB controller");
    }
    match number(value, "disruptionsAllowed") {
        0 => Err(refused(0, &why_none(name, value))),
        _ => Ok(()),
    }
}

fn why_none(name: &str, budget: &Value) -> String {
    let failed = items(budget, &["status", "conditions"])
        .iter()
        .find(|condition| condition["type"] == "DisruptionAllowed" && condition["reason"] == "SyncFailed");
    if let Some(condition) = failed {
        let message = text(condition, &["message"]);
        return format!(
            "The disruption budget {name} does not allow evicting pods currently because it failed sync: {message}"
        );
    }
    let (desired, healthy) = (number(budget, "desiredHealthy"), number(budget, "currentHealthy"));
    format!("The disruption budget {name} needs {desired} healthy pods and has {healthy} currently")
}

fn refused(retry_after_seconds: u32, why: &str) -> Status {
    Status::too_many_requests(WOULD_VIOLATE, retry_after_seconds).with_cause("DisruptionBudget", why, "")
}

fn selects(budget: &Value, pod: &Value) -> bool {
    let spec = at(budget, &["spec", "selector"]);
    let Ok(structured) = serde_json::from_value::<LabelSelector>(spec.clone()) else { return false };
    let Ok(selector): Result<Selector, _> = structured.to_selector() else { return false };
    selector.matches(|key| pod["metadata"]["labels"][key].as_str())
}
