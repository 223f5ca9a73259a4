//! An agent's pods: it makes mirrors of those that it has from files, reports about those that are
//! bound to it, and ends them.

use everynode_api::status::Status;
use serde_json::Value;

use super::ByNode;
use crate::auth::node::references::{self, MIRROR};
use crate::catalogue::built_in;
use crate::object::{self, items, text};
use crate::registry::Target;

pub(super) fn create(by_node: &ByNode<'_>) -> Result<(), Status> {
    let (node, pod) = (by_node.node, by_node.asked.new);
    if !references::is_mirror(pod) {
        let text = format!("pod does not have {MIRROR:?} annotation, node {node:?} can only create mirror pods");
        return by_node.refuse(&text);
    }
    if text(pod, &["spec", "nodeName"]) != node {
        return by_node.refuse(&format!("node {node:?} can only create pods with spec.nodeName set to itself"));
    }
    owned_by_itself(by_node)?;
    match references::first_of_the_api(pod) {
        None => Ok(()),
        Some(what) => by_node.refuse(&format!("node {node:?} can not create pods that reference {what}")),
    }
}

/// A mirror pod has exactly one owner: the node that is there now.
fn owned_by_itself(by_node: &ByNode<'_>) -> Result<(), Status> {
    let node = by_node.node;
    let owner = match items(by_node.asked.new, &["metadata", "ownerReferences"]) {
        [owner] => owner,
        [] => {
            return by_node
                .refuse(&format!("node {node:?} can only create pods with an owner reference set to itself"));
        }
        _ => {
            return by_node
                .refuse(&format!("node {node:?} can only create pods with a single owner reference set to itself"));
        }
    };
    if owner["apiVersion"] != "v1" || owner["kind"] != "Node" || owner["name"] != node {
        return by_node.refuse(&format!("node {node:?} can only create pods with an owner reference set to itself"));
    }
    if owner["controller"] != true {
        let text = format!("node {node:?} can only create pods with a controller owner reference set to itself");
        return by_node.refuse(&text);
    }
    if owner["blockOwnerDeletion"] == true {
        return by_node.refuse(&format!("node {node:?} must not set blockOwnerDeletion on an owner reference"));
    }
    let (given, held) = (text(owner, &["uid"]), uid_of_node(by_node)?);
    match given == held {
        true => Ok(()),
        false => by_node.refuse(&format!("node {node} UID mismatch: expected {given} got {held}")),
    }
}

fn uid_of_node(by_node: &ByNode<'_>) -> Result<String, Status> {
    let info = &built_in::NODE;
    let name = by_node.node.to_owned();
    let target = Target { info: info.into(), namespace: String::new(), name, subresource: "" };
    let (_, node) = by_node.asked.registry.current_value(&target)?;
    Ok(object::meta(&node, "uid").to_owned())
}

pub(super) fn delete(by_node: &ByNode<'_>) -> Result<(), Status> {
    match runs_here(by_node, by_node.asked.old) {
        true => Ok(()),
        false => {
            by_node.refuse(&format!("node {:?} can only delete pods with spec.nodeName set to itself", by_node.node))
        }
    }
}

pub(super) fn evict(by_node: &ByNode<'_>) -> Result<(), Status> {
    match runs_here(by_node, by_node.asked.old) {
        true => Ok(()),
        false => by_node.refuse(&format!("node {} can only evict pods with spec.nodeName set to itself", by_node.node)),
    }
}

pub(super) fn status(by_node: &ByNode<'_>) -> Result<(), Status> {
    let (node, new, old) = (by_node.node, by_node.asked.new, by_node.asked.old);
    if !runs_here(by_node, old) {
        let text = format!("node {node:?} can only update pod status for pods with spec.nodeName set to itself");
        return by_node.refuse(&text);
    }
    let empty = serde_json::Map::new();
    let labels = |pod: &'_ Value| pod["metadata"]["labels"].as_object().unwrap_or(&empty).clone();
    if labels(new) != labels(old) {
        return by_node.refuse(&format!("node {node:?} cannot update labels through pod status"));
    }
    let claims = ["status", "resourceClaimStatuses"];
    if items(new, &claims) != items(old, &claims) {
        return by_node.refuse(&format!("node {node:?} cannot update resource claim statues"));
    }
    match new["status"]["extendedResourceClaimStatus"] == old["status"]["extendedResourceClaimStatus"] {
        true => Ok(()),
        false => by_node.refuse(&format!("node {node:?} cannot update extended resource claim status")),
    }
}

/// What has no row.
pub(super) fn unexpected(by_node: &ByNode<'_>) -> Result<(), Status> {
    let operation = by_node.asked.operation.as_str();
    let text = match by_node.asked.target.subresource {
        "" => format!(
            "unexpected operation {operation:?}, node {:?} can only create and delete mirror pods",
            by_node.node
        ),
        "status" | "eviction" => format!("unexpected operation {operation:?}"),
        other => format!("unexpected pod subresource {other:?}, only 'status' and 'eviction' are allowed"),
    };
    by_node.refuse(&text)
}

fn runs_here(by_node: &ByNode<'_>, pod: &Value) -> bool {
    text(pod, &["spec", "nodeName"]) == by_node.node
}
