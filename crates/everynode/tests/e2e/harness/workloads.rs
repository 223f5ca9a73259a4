//! Small daemon sets, and reading what comes back.

use serde_json::{Value, json};

/// What the log collector of the examples writes before a line that it has read.
pub(crate) const COLLECTED: &str = "collected ";

/// A daemon set with one container of the test image, to be changed by the test before it is
/// applied.
pub(crate) fn daemon_set(name: &str, arguments: &[&str]) -> Value {
    json!({
        "apiVersion": "apps/v1",
        "kind": "DaemonSet",
        "metadata": { "name": name, "labels": { "app": name } },
        "spec": {
            "selector": { "matchLabels": { "app": name } },
            "template": {
                "metadata": { "labels": { "app": name } },
                "spec": {
                    "automountServiceAccountToken": false,
                    "terminationGracePeriodSeconds": 1,
                    "containers": [{ "name": "main", "image": "localhost/everynode/testtool:1", "args": arguments }],
                },
            },
        },
    })
}

/// The name in an object's metadata.
pub(crate) fn name(object: &Value) -> String {
    text(&object["metadata"]["name"]).to_owned()
}

/// The text of a JSON string, empty for anything else.
pub(crate) fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// The condition of this type in an object's status; null if there is none.
pub(crate) fn condition<'a>(object: &'a Value, kind: &str) -> &'a Value {
    let conditions = object["status"]["conditions"].as_array().map_or(&[][..], Vec::as_slice);
    conditions.iter().find(|condition| condition["type"] == kind).unwrap_or(&Value::Null)
}

/// The status of a pod's container; null if there is none yet.
pub(crate) fn container<'a>(pod: &'a Value, name: &str) -> &'a Value {
    let all = pod["status"]["containerStatuses"].as_array().map_or(&[][..], Vec::as_slice);
    all.iter().find(|status| status["name"] == name).unwrap_or(&Value::Null)
}
