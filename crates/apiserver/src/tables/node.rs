//! The cells of nodes (DS-I39).

use jiff::Timestamp;
use serde_json::Value;

use super::kinds::{age, list, name, or_none, text};

const ROLE_PREFIX: &str = "node-role.kubernetes.io/";

pub(super) fn cells(object: &Value, now: Timestamp) -> Vec<Value> {
    let info = &object["status"]["nodeInfo"];
    let known = |name: &str| match text(info, name) {
        "" => "<unknown>".into(),
        value => Value::from(value),
    };
    vec![
        name(object),
        status(object).into(),
        or_none(roles(object)),
        age(object, now),
        text(info, "kubeletVersion").into(),
        address(object, "InternalIP"),
        address(object, "ExternalIP"),
        known("osImage"),
        known("kernelVersion"),
        known("containerRuntimeVersion"),
    ]
}

fn status(object: &Value) -> String {
    let ready = list(&object["status"], "conditions").iter().find(|condition| condition["type"] == "Ready");
    let mut status = match ready.map(|condition| text(condition, "status")) {
        Some("True") => "Ready",
        Some(_) => "NotReady",
        None => "Unknown",
    }
    .to_owned();
    if object["spec"]["unschedulable"] == true {
        status.push_str(",SchedulingDisabled");
    }
    status
}

fn roles(object: &Value) -> String {
    let labels = object["metadata"]["labels"].as_object();
    let role = |(key, value): (&String, &Value)| match key.strip_prefix(ROLE_PREFIX) {
        Some(role) if !role.is_empty() => Some(role.to_owned()),
        None if key == "kubernetes.io/role" => value.as_str().filter(|role| !role.is_empty()).map(str::to_owned),
        _ => None,
    };
    let mut roles: Vec<String> = labels.into_iter().flatten().filter_map(role).collect();
    roles.sort();
    roles.dedup();
    roles.join(",")
}

fn address(object: &Value, kind: &str) -> Value {
    let addresses = list(&object["status"], "addresses");
    let found = addresses.iter().find(|address| text(address, "type") == kind);
    or_none(found.map_or("", |address| text(address, "address")))
}
