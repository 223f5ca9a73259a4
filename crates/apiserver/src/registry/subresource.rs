//! Subresources that are not plain updates: binding, eviction, tokens; and the small update ones.

use everynode_api::kinds::{POD, POD_DISRUPTION_BUDGET, find};
use everynode_api::selector::{LabelSelector, Selector};
use everynode_api::status::Status;
use serde_json::{Value, json};

use super::delete::DeleteOptions;
use super::kinds::pod::is_terminal;
use super::update::Attempt;
use super::{Caller, Registry, Reply, Target, WRITE_ATTEMPTS, strategy};
use crate::object::{self, at, items, text};
use crate::stored;

/// Shapes an update of a subresource other than `status`: only its own part of `new` is taken over.
pub(super) fn prepare(target: &Target, new: &mut Value, old: &Value) -> Result<(), Status> {
    let sent = std::mem::replace(new, old.clone());
    object::remove_meta(new, "resourceVersion");
    match (target.info.storage, target.subresource.as_str()) {
        ("namespaces", "finalize") => object::copy_member(new, &json!({"spec": sent["spec"]}), "spec"),
        // No agent acts on these yet: taking them would promise what does not happen.
        ("pods", what @ ("ephemeralcontainers" | "resize")) => {
            let text = format!("the subresource {what} of pods is not supported by this server yet");
            return Err(Status::failure(405, "MethodNotAllowed", text));
        }
        _ => return Err(Status::method_not_allowed(&target.info.kind)),
    }
    Ok(())
}

impl Registry {
    /// POST to a subresource.
    pub(crate) async fn create_subresource(
        &self,
        caller: &Caller<'_>,
        target: &Target,
        body: Value,
    ) -> Result<Reply, Status> {
        match (target.info.storage, target.subresource.as_str()) {
            ("pods", "binding") => self.bind(caller, target, &body).await,
            ("pods", "eviction") => self.evict(caller, target, &body).await,
            ("serviceaccounts", "token") => self.token(caller, target, &body),
            _ => Err(Status::method_not_allowed(&target.info.kind)),
        }
    }

    /// DS-B45
    async fn bind(&self, caller: &Caller<'_>, target: &Target, body: &Value) -> Result<Reply, Status> {
        let node = text(body, &["target", "name"]);
        if node.is_empty() || !matches!(text(body, &["target", "kind"]), "" | "Node") {
            return Err(Status::bad_request("binding target must name a Node"));
        }
        for _ in 0..WRITE_ATTEMPTS {
            let (kv, old) = self.current_value(target)?;
            check_bindable(target, &old, body)?;
            let mut new = old.clone();
            object::remove_meta(&mut new, "resourceVersion");
            object::object_mut(&mut new, "spec").insert("nodeName".into(), node.into());
            for (name, value) in body["metadata"]["annotations"].as_object().into_iter().flatten() {
                object::object_mut(&mut new["metadata"], "annotations").insert(name.clone(), value.clone());
            }
            object::set_condition(&mut new, json!({"type": "PodScheduled", "status": "True"}), &self.env.now_text());
            if let Attempt::Done(_) = self.write(caller, target, strategy::of(target.info), new, &kv, &old).await? {
                return Ok(success(201));
            }
        }
        Err(Status::modified(&target.info.kind, &target.name))
    }

    /// DS-G21, DS-G22
    async fn evict(&self, caller: &Caller<'_>, target: &Target, body: &Value) -> Result<Reply, Status> {
        let options = DeleteOptions::default().read(&body["deleteOptions"])?;
        let (_, pod) = self.current_value(target)?;
        let free = is_terminal(&pod) || text(&pod, &["status", "phase"]) == "Pending" || object::is_terminating(&pod);
        if !free {
            self.spend_budget(caller, target, &pod).await?;
            self.mark_evicted(caller, target).await?;
        }
        self.delete(caller, target, &options).await?;
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
            if let Attempt::Done(_) = self.write(caller, target, strategy::of(target.info), new, &kv, &old).await? {
                return Ok(());
            }
        }
        Err(Status::modified(&target.info.kind, &target.name))
    }

    /// Takes one disruption from the budget that covers the pod, if there is one.
    async fn spend_budget(&self, caller: &Caller<'_>, target: &Target, pod: &Value) -> Result<(), Status> {
        for _ in 0..WRITE_ATTEMPTS {
            let mut budgets = self.budgets(target, pod)?;
            let Some((budget_target, kv, old)) = budgets.pop() else { return Ok(()) };
            if !budgets.is_empty() {
                let text =
                    "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.";
                return Err(Status::internal(text));
            }
            let allowed = old["status"]["disruptionsAllowed"].as_i64().unwrap_or(0);
            let observed = old["status"]["observedGeneration"].as_i64().unwrap_or(0);
            if allowed <= 0 || observed < object::generation(&old) {
                return Err(over_budget(&old));
            }
            let mut new = old.clone();
            object::remove_meta(&mut new, "resourceVersion");
            let status = object::object_mut(&mut new, "status");
            status.insert("disruptionsAllowed".into(), (allowed - 1).into());
            object::object_mut(&mut new["status"], "disruptedPods")
                .insert(target.name.clone(), self.env.now_text().into());
            let strategy = strategy::of(budget_target.info);
            if let Attempt::Done(_) = self.write(caller, &budget_target, strategy, new, &kv, &old).await? {
                return Ok(());
            }
        }
        Err(Status::too_many_requests("too many changes of the pod's disruption budget, try again", 1))
    }

    fn budgets(&self, target: &Target, pod: &Value) -> Result<Vec<(Target, everynode_store::KeyValue, Value)>, Status> {
        let kind = &POD_DISRUPTION_BUDGET;
        let Some(info) = find(&kind.group, &kind.plural) else { return Ok(Vec::new()) };
        let filter = crate::hub::Filter::parse(info, Some(target.namespace.clone()), "", "")?;
        let mut found = Vec::new();
        for item in self.topic(info)?.select(&filter) {
            let name = item.namespace_and_name().1.to_owned();
            let budget = Target { info, name, namespace: target.namespace.clone(), subresource: String::new() };
            let (kv, value) = self.current_value(&budget)?;
            if selects(&value, pod) {
                found.push((budget, kv, value));
            }
        }
        Ok(found)
    }

    fn token(&self, caller: &Caller<'_>, target: &Target, body: &Value) -> Result<Reply, Status> {
        let account = stored::decode(&self.current(target)?.value, everynode_store::Revision(0))?;
        let bound = self.bound_object(target, body)?;
        check_agents_token(caller, target, bound.as_ref())?;
        let request = self.tokens.request(&account, body, bound.as_ref(), self.env.now())?;
        Ok(Reply::value(201, &request))
    }

    /// The object that a token is bound to must exist, with the uid that was named.
    fn bound_object(&self, target: &Target, body: &Value) -> Result<Option<Value>, Status> {
        let reference = at(body, &["spec", "boundObjectRef"]);
        if reference.is_null() {
            return Ok(None);
        }
        let (kind, name, uid) = (text(reference, &["kind"]), text(reference, &["name"]), text(reference, &["uid"]));
        let (plural, namespace) = match kind {
            "Pod" => ("pods", target.namespace.as_str()),
            "Secret" => ("secrets", target.namespace.as_str()),
            "Node" => ("nodes", ""),
            _ => {
                return Err(Status::bad_request(format!(
                    "cannot bind token for serviceaccount to object of kind {kind:?}"
                )));
            }
        };
        let info = find("", plural).ok_or_else(Status::no_such_path)?;
        let bound = Target { info, namespace: namespace.into(), name: name.into(), subresource: String::new() };
        let (_, value) = self.current_value(&bound)?;
        let held = object::meta(&value, "uid");
        if !uid.is_empty() && uid != held {
            let text = format!(
                "the UID in the bound object reference ({uid}) does not match the UID in record. The object might have been deleted and then recreated"
            );
            return Err(Status::conflict(&info.kind, name, &text));
        }
        Ok(Some(value))
    }
}

/// An agent gets tokens only for its own pods, bound to them.
fn check_agents_token(caller: &Caller<'_>, target: &Target, bound: Option<&Value>) -> Result<(), Status> {
    let Some(node) = caller.user.node() else { return Ok(()) };
    let own = |pod: &Value| {
        let account = text(pod, &["spec", "serviceAccountName"]);
        pod["kind"] == "Pod" && text(pod, &["spec", "nodeName"]) == node && account == target.name
    };
    match bound.is_some_and(own) {
        true => Ok(()),
        false => {
            let text = format!("node \"{node}\" can only request tokens that are bound to its own pods");
            Err(Status::forbidden(&target.info.kind, &target.name, &text))
        }
    }
}

fn check_bindable(target: &Target, pod: &Value, body: &Value) -> Result<(), Status> {
    let name = &target.name;
    let refuse = |text: String| Err(Status::conflict(&POD, name, &text));
    let (uid, held) = (object::meta(body, "uid"), object::meta(pod, "uid"));
    let node = text(pod, &["spec", "nodeName"]);
    if !uid.is_empty() && uid != held {
        return refuse(format!("Precondition failed: UID in precondition: {uid}, UID in object meta: {held}"));
    }
    if object::is_terminating(pod) {
        return refuse(format!("pod {name} is being deleted, cannot be assigned to a host"));
    }
    if !node.is_empty() {
        return refuse(format!("pod {name} is already assigned to node \"{node}\""));
    }
    match items(pod, &["spec", "schedulingGates"]).is_empty() {
        true => Ok(()),
        false => refuse(format!("pod {name} has non-empty .spec.schedulingGates")),
    }
}

fn selects(budget: &Value, pod: &Value) -> bool {
    let spec = at(budget, &["spec", "selector"]);
    let Ok(structured) = serde_json::from_value::<LabelSelector>(spec.clone()) else { return false };
    let Ok(selector): Result<Selector, _> = structured.to_selector() else { return false };
    selector.matches(|key| pod["metadata"]["labels"][key].as_str())
}

fn over_budget(budget: &Value) -> Status {
    let count = |name: &str| budget["status"][name].as_i64().unwrap_or(0);
    let text = format!(
        "The disruption budget {} needs {} healthy pods and has {} currently",
        object::meta(budget, "name"),
        count("desiredHealthy"),
        count("currentHealthy")
    );
    Status::too_many_requests("Cannot evict pod as it would violate the pod's disruption budget.", 0).with_cause(
        "DisruptionBudget",
        &text,
        "",
    )
}

fn success(code: u16) -> Reply {
    Reply::value(
        code,
        &json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": code}),
    )
}
