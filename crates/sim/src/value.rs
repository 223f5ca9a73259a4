//! Reading objects.

use serde_json::Value;

pub(crate) fn array(value: &Value) -> impl Iterator<Item = &Value> + Clone {
    value.as_array().into_iter().flatten()
}

/// Empty where it is no text.
pub(crate) fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

pub(crate) fn name(object: &Value) -> &str {
    text(&object["metadata"]["name"])
}

pub(crate) fn uid(object: &Value) -> String {
    text(&object["metadata"]["uid"]).to_owned()
}

/// The uid of the set that controls an object.
pub(crate) fn owner(object: &Value) -> Option<&Value> {
    let mut owners = array(&object["metadata"]["ownerReferences"]);
    owners.find(|owner| owner["kind"] == "DaemonSet" && owner["controller"] == true).map(|owner| &owner["uid"])
}

pub(crate) fn is_ready(object: &Value) -> bool {
    array(&object["status"]["conditions"])
        .any(|condition| condition["type"] == "Ready" && condition["status"] == "True")
}

pub(crate) fn is_terminal(pod: &Value) -> bool {
    matches!(pod["status"]["phase"].as_str(), Some("Failed" | "Succeeded"))
}

pub(crate) fn is_terminating(object: &Value) -> bool {
    !object["metadata"]["deletionTimestamp"].is_null()
}

/// Absent numbers are zero.
pub(crate) fn number(value: &Value) -> i64 {
    value.as_i64().unwrap_or(0)
}
