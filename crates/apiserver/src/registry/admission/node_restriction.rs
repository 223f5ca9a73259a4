//! What an agent may write, beyond what the node authoriser lets through: only about its own node and pods.

use everynode_api::status::Status;
use serde_json::Value;

use crate::auth::User;
use crate::object::{self, text};
use crate::registry::Target;

/// Labels below this prefix are for administrators only.
const RESTRICTED: &str = "node-restriction.kubernetes.io/";

pub(super) fn create(user: &User, target: &Target, value: &Value) -> Result<(), Status> {
    let Some(node) = user.node() else { return Ok(()) };
    match target.info.storage {
        "minions" => {
            own_node(target, node, object::meta(value, "name"))?;
            let labels = value["metadata"]["labels"].as_object();
            let restricted = labels.into_iter().flatten().find(|(name, _)| name.contains(RESTRICTED));
            restricted.map_or(Ok(()), |(name, _)| {
                refuse(target, &format!("is not allowed to set the following labels: {name}"))
            })
        }
        "pods" => mirror_only(target, node, value),
        _ => Ok(()),
    }
}

fn mirror_only(target: &Target, node: &str, value: &Value) -> Result<(), Status> {
    if !value["metadata"]["annotations"]["kubernetes.io/config.mirror"].is_string() {
        return refuse(target, "can only create mirror pods");
    }
    match text(value, &["spec", "nodeName"]) == node {
        true => Ok(()),
        false => refuse(target, &format!("can only create pods with spec.nodeName set to itself ({node})")),
    }
}

pub(super) fn update(user: &User, target: &Target, new: &Value, old: &Value) -> Result<(), Status> {
    let Some(node) = user.node() else { return Ok(()) };
    match target.info.storage {
        "minions" => {
            own_node(target, node, &target.name)?;
            own_labels(target, new, old)
        }
        "pods" => own_pod(target, node, old, "update"),
        _ => Ok(()),
    }
}

/// An agent may not loosen its own taints, nor change labels that keep workloads off it.
fn own_labels(target: &Target, new: &Value, old: &Value) -> Result<(), Status> {
    if new["spec"]["taints"] != old["spec"]["taints"] && !old["spec"]["taints"].is_null() {
        return refuse(target, "is not allowed to modify taints");
    }
    let labels = |value: &Value| value["metadata"]["labels"].as_object().cloned().unwrap_or_default();
    let (new, old) = (labels(new), labels(old));
    let changed = |name: &&String| name.contains(RESTRICTED) && new.get(*name) != old.get(*name);
    match new.keys().chain(old.keys()).find(changed) {
        Some(name) => refuse(target, &format!("is not allowed to modify labels: {name}")),
        None => Ok(()),
    }
}

pub(super) fn delete(user: &User, target: &Target, old: &Value) -> Result<(), Status> {
    let Some(node) = user.node() else { return Ok(()) };
    match target.info.storage {
        "minions" => own_node(target, node, &target.name),
        "pods" => own_pod(target, node, old, "delete"),
        _ => Ok(()),
    }
}

fn own_node(target: &Target, node: &str, name: &str) -> Result<(), Status> {
    match node == name {
        true => Ok(()),
        false => refuse(target, &format!("node \"{node}\" is not allowed to modify node \"{name}\"")),
    }
}

fn own_pod(target: &Target, node: &str, pod: &Value, verb: &str) -> Result<(), Status> {
    match text(pod, &["spec", "nodeName"]) == node {
        true => Ok(()),
        false => refuse(target, &format!("node \"{node}\" can only {verb} pods with spec.nodeName set to itself")),
    }
}

fn refuse(target: &Target, text: &str) -> Result<(), Status> {
    Err(Status::forbidden(&target.info.kind, &target.name, text))
}
