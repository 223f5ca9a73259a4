//! An agent's own node: it reports what it is, and steers no pods to itself.

use std::collections::BTreeSet;

use everynode_api::node_labels;
use everynode_api::status::Status;
use serde_json::Value;

use super::ByNode;
use crate::object::items;

pub(super) fn create(by_node: &ByNode<'_>) -> Result<(), Status> {
    by_node.own_name()?;
    let (node, new) = (by_node.node, by_node.asked.new);
    if !new["spec"]["configSource"].is_null() {
        return by_node.refuse(&format!("node {node:?} is not allowed to create pods with a non-nil configSource"));
    }
    // Stricter than Kubernetes, which forgot the creation: a node with an owner that does not exist
    // is collected, and could come back with other taints.
    if !items(new, &["metadata", "ownerReferences"]).is_empty() {
        return by_node.refuse(&format!("node {node:?} is not allowed to modify ownerReferences"));
    }
    match forbidden_labels(new, &Value::Null).as_str() {
        "" => Ok(()),
        labels => by_node.refuse(&format!("node {node:?} is not allowed to set the following labels: {labels}")),
    }
}

pub(super) fn update(by_node: &ByNode<'_>) -> Result<(), Status> {
    by_node.own_name()?;
    let (node, new, old) = (by_node.node, by_node.asked.new, by_node.asked.old);
    let source = &new["spec"]["configSource"];
    if !source.is_null() && *source != old["spec"]["configSource"] {
        let text = format!("node {node:?} is not allowed to update configSource to a new non-nil configSource");
        return by_node.refuse(&text);
    }
    let changes = |path: &[&str]| items(new, path) != items(old, path);
    if changes(&["spec", "taints"]) {
        return by_node.refuse(&format!("node {node:?} is not allowed to modify taints"));
    }
    if changes(&["metadata", "ownerReferences"]) {
        return by_node.refuse(&format!("node {node:?} is not allowed to modify ownerReferences"));
    }
    match forbidden_labels(new, old).as_str() {
        "" => Ok(()),
        labels => by_node.refuse(&format!("is not allowed to modify labels: {labels}")),
    }
}

pub(super) fn delete(by_node: &ByNode<'_>) -> Result<(), Status> {
    by_node.own_name()
}

/// The labels that differ and are not the machine's, sorted; empty if there are none.
fn forbidden_labels(new: &Value, old: &Value) -> String {
    let (new, old) = (&new["metadata"]["labels"], &old["metadata"]["labels"]);
    let keys = [new, old].into_iter().filter_map(Value::as_object).flat_map(|labels| labels.keys());
    let changed = keys.map(String::as_str).filter(|key| new.get(key) != old.get(key));
    let forbidden: BTreeSet<&str> = changed.filter(|key| !node_labels::is_the_machines(key)).collect();
    forbidden.into_iter().collect::<Vec<_>>().join(", ")
}
