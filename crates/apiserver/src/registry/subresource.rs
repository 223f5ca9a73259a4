//! Subresources that are not plain updates: binding, tokens; and the small update ones. Eviction has its own module.

use everynode_api::kinds::{POD, find};
use everynode_api::status::Status;
use serde_json::{Value, json};

use super::update::Attempt;
use super::{Caller, Registry, Reply, Target, WRITE_ATTEMPTS, strategy};
use crate::object::{self, at, items, text};
use crate::stored;

/// Shapes an update of a subresource other than `status`: only its own part of `new` is taken over.
pub(super) fn prepare(target: &Target, new: &mut Value, old: &Value) -> Result<(), Status> {
    let sent = std::mem::replace(new, old.clone());
    object::remove_meta(new, "resourceVersion");
    match (target.info.storage, target.subresource) {
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
        self.admit_below(caller, target, &body)?;
        match (target.info.storage, target.subresource) {
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
            if let Attempt::Done(_) = self.write(caller, target, strategy::of(target.info), new, &kv, old).await? {
                return Ok(success(201));
            }
        }
        Err(Status::modified(&target.info.kind, &target.name))
    }

    fn token(&self, caller: &Caller<'_>, target: &Target, body: &Value) -> Result<Reply, Status> {
        let account = stored::decode(&self.current(target)?.value, everynode_store::Revision(0))?;
        let bound = self.bound_object(target, body)?;
        let audience = items(body, &["spec", "audiences"]).first().and_then(Value::as_str).unwrap_or("");
        let by_agent = bound.as_ref().filter(|_| caller.user.node().is_some());
        let longest = by_agent.map(|pod| super::admission::longest_life(pod, audience));
        let request = self.tokens.request(&account, body, bound.as_ref(), longest, self.env.now())?;
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
        let bound = Target { info, namespace: namespace.into(), name: name.into(), subresource: "" };
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

pub(super) fn success(code: u16) -> Reply {
    Reply::value(
        code,
        &json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": code}),
    )
}
