//! Reading objects.

use serde_json::Value;

pub(super) fn array(value: &Value) -> impl Iterator<Item = &Value> + Clone {
    value.as_array().into_iter().flatten()
}

pub(super) fn name(object: &Value) -> &str {
    object["metadata"]["name"].as_str().unwrap_or_default()
}

/// The uid of the set that controls an object.
pub(super) fn owner(object: &Value) -> Option<&Value> {
    let mut owners = array(&object["metadata"]["ownerReferences"]);
    owners.find(|owner| owner["kind"] == "DaemonSet" && owner["controller"] == true).map(|owner| &owner["uid"])
}

pub(super) fn is_ready(object: &Value) -> bool {
    array(&object["status"]["conditions"])
        .any(|condition| condition["type"] == "Ready" && condition["status"] == "True")
}

pub(super) fn is_terminal(pod: &Value) -> bool {
    matches!(pod["status"]["phase"].as_str(), Some("Failed" | "Succeeded"))
}

pub(super) fn is_terminating(object: &Value) -> bool {
    !object["metadata"]["deletionTimestamp"].is_null()
}

/// Absent numbers are zero.
pub(super) fn number(value: &Value) -> i64 {
    value.as_i64().unwrap_or(0)
}
