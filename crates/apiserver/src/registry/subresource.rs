//! Subresources that are not plain updates: binding; and the small update ones. Eviction and tokens
//! have their own modules.

use everynode_api::field::{FieldError, Path};
use everynode_api::kinds::Kind;
use everynode_api::status::Status;
use everynode_placement::Reason;
use serde_json::{Value, json};

use super::rooms::{self, Hold};
use super::update::{Attempt, Read};
use super::{Body, Caller, Registry, Reply, Target, WRITE_ATTEMPTS, decode};
use crate::catalogue::{Action, built_in};
use crate::object::{self, items, text};

/// How refusals of a binding name what was refused.
const BINDING: Kind = Kind::built_in("", "v1", "Binding", "pods/binding", true);

/// Shapes an update of a subresource other than `status`: only its own part of `new` is taken over.
pub(super) fn prepare(target: &Target, new: &mut Value, old: &Value) -> Result<(), Status> {
    let sent = std::mem::replace(new, old.clone());
    object::remove_meta(new, "resourceVersion");
    match target.info.action(target.subresource) {
        Some(Action::Finalize) => object::copy_member(new, &json!({"spec": sent["spec"]}), "spec"),
        // No agent acts on these yet: taking them would promise what does not happen.
        Some(Action::Unsupported) => {
            let (what, kind) = (target.subresource, &target.info.kind.plural);
            let text = format!("the subresource {what} of {kind} is not supported by this server yet");
            return Err(Status::failure(405, "MethodNotAllowed", text));
        }
        _ => return Err(Status::method_not_allowed()),
    }
    Ok(())
}

impl Registry {
    /// POST to a subresource.
    pub(crate) async fn create_subresource(
        &self,
        caller: &Caller<'_>,
        target: &Target,
        body: Body,
    ) -> Result<Reply, Status> {
        let subresource = target.info.subresource(target.subresource).ok_or_else(Status::method_not_allowed)?;
        let action = subresource.action;
        let shape = match (&subresource.body, action) {
            (Some(body), Action::Bind | Action::Evict | Action::IssueToken) => body,
            _ => return Err(Status::method_not_allowed()),
        };
        let body = decode(shape, body, caller)?;
        self.admit_below(caller, target, &body)?;
        match action {
            Action::Bind => self.bind(caller, target, &body).await,
            Action::Evict => self.evict(caller, target, &body).await,
            _ => self.token(caller, target, &body),
        }
    }

    /// Binds the pod that a binding names.
    pub(crate) async fn bind_named(&self, caller: &Caller<'_>, namespace: &str, body: Value) -> Result<Reply, Status> {
        let info = (&built_in::POD).into();
        let name = object::meta(&body, "name").to_owned();
        let target = &Target { info, namespace: namespace.to_owned(), name, subresource: "binding" };
        let mut body = body;
        super::create::place(target, &mut body)?;
        self.admit_below(caller, target, &body)?;
        self.bind(caller, target, &body).await
    }

    /// DS-B45
    async fn bind(&self, caller: &Caller<'_>, target: &Target, body: &Value) -> Result<Reply, Status> {
        let node = check_binding(target, body)?;
        for _ in 0..WRITE_ATTEMPTS {
            let (kv, old) = self.current_value(target)?;
            check_bindable(target, &old, body)?;
            let mut new = old.clone();
            object::remove_meta(&mut new, "resourceVersion");
            object::object_mut(&mut new, "spec").insert("nodeName".into(), node.into());
            for map in ["annotations", "labels"] {
                for (name, value) in body["metadata"][map].as_object().into_iter().flatten() {
                    object::object_mut(&mut new["metadata"], map).insert(name.clone(), value.clone());
                }
            }
            object::set_condition(&mut new, json!({"type": "PodScheduled", "status": "True"}), &self.env.now_text());
            let mut hold = self.claim_for_binding(target, node, &new).await?;
            hold.iter_mut().for_each(Hold::committing);
            let read = Read::whole(&kv, old);
            let attempt = self.write(caller, target, target.info.strategy, new, read).await?;
            let is_done = matches!(attempt, Attempt::Done(_));
            if let Some(hold) = hold {
                hold.decided(is_done && !caller.dry_run);
            }
            if is_done {
                return Ok(success(201));
            }
        }
        Err(Status::modified(&target.info.kind, &target.name))
    }

    /// A binding takes the pod's part of the node, and is refused where there is no room.
    async fn claim_for_binding(&self, target: &Target, node: &str, pod: &Value) -> Result<Option<Hold<'_>>, Status> {
        let occupant = rooms::occupant(target, node, pod).filter(|_| self.settings.exclusive_places);
        let Some(occupant) = occupant else { return Ok(None) };
        let refused = match self.claim_room(&occupant).await? {
            Ok(hold) => return Ok(Some(hold)),
            Err(reasons) => reasons,
        };
        // Not which pod holds what: that may be in another namespace.
        let mut words: Vec<String> = refused.iter().map(Reason::scheduler_text).collect();
        words.dedup();
        let text = format!("pod {} does not fit on node \"{node}\": {}", target.name, words.join(", "));
        Err(Status::conflict(&BINDING, &target.name, &text))
    }
}

/// The node that a binding names.
fn check_binding<'b>(target: &Target, body: &'b Value) -> Result<&'b str, Status> {
    let name = object::meta(body, "name");
    if !name.is_empty() && name != target.name {
        return Err(Status::bad_request("name in URL does not match name in Binding object"));
    }
    let (path, to) = (Path::new("target"), &body["target"]);
    let mut errors = Vec::new();
    if !matches!(text(to, &["kind"]), "" | "Node") {
        errors.push(FieldError::not_supported(&path.child("kind"), text(to, &["kind"]), &["Node", "<empty>"]));
    }
    let node = text(to, &["name"]);
    if node.is_empty() {
        errors.push(FieldError::required(&path.child("name"), ""));
    }
    match errors.is_empty() {
        true => Ok(node),
        // These have no reason of their own in Kubernetes, either.
        false => Err(Status::failure(500, "", everynode_api::field::aggregate(&errors))),
    }
}

fn check_bindable(target: &Target, pod: &Value, body: &Value) -> Result<(), Status> {
    let name = &target.name;
    let refuse = |text: String| Err(Status::conflict(&BINDING, name, &text));
    let node = text(pod, &["spec", "nodeName"]);
    super::update::check_uid(target, body, object::meta(pod, "uid"))?;
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
