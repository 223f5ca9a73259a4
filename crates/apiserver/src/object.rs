//! Reading and writing the common members of an object held as JSON.

use jiff::Timestamp;
use serde_json::{Map, Value};

/// A member by path; `Null` where anything on the way is absent.
pub(crate) fn at<'a>(value: &'a Value, path: &[&str]) -> &'a Value {
    path.iter().fold(value, |value, name| &value[*name])
}

/// The text at a path; empty when it is absent or no text.
pub(crate) fn text<'a>(value: &'a Value, path: &[&str]) -> &'a str {
    at(value, path).as_str().unwrap_or("")
}

/// A member of `metadata` as text.
pub(crate) fn meta<'a>(value: &'a Value, name: &str) -> &'a str {
    text(value, &["metadata", name])
}

/// The items of the list at a path; nothing when it is absent.
pub(crate) fn items<'a>(value: &'a Value, path: &[&str]) -> &'a [Value] {
    at(value, path).as_array().map(Vec::as_slice).unwrap_or_default()
}

/// The object at `value[name]`, made if it is absent or `null`.
pub(crate) fn object_mut<'a>(value: &'a mut Value, name: &str) -> &'a mut Map<String, Value> {
    let member = member_mut(value, name);
    if !member.is_object() {
        *member = Value::Object(Map::new());
    }
    match member {
        Value::Object(map) => map,
        _ => unreachable!("made an object above"),
    }
}

/// The list at `value[name]`, made if it is absent or `null`.
pub(crate) fn list_mut<'a>(value: &'a mut Value, name: &str) -> &'a mut Vec<Value> {
    let member = member_mut(value, name);
    if !member.is_array() {
        *member = Value::Array(Vec::new());
    }
    match member {
        Value::Array(list) => list,
        _ => unreachable!("made a list above"),
    }
}

/// `value[name]`, where `value` becomes an object if it was none.
fn member_mut<'a>(value: &'a mut Value, name: &str) -> &'a mut Value {
    if !value.is_object() {
        *value = Value::Object(Map::new());
    }
    match value {
        Value::Object(map) => map.entry(name).or_insert(Value::Null),
        _ => unreachable!("made an object above"),
    }
}

pub(crate) fn meta_mut(value: &mut Value) -> &mut Map<String, Value> {
    object_mut(value, "metadata")
}

/// Sets a member of `metadata`.
pub(crate) fn set_meta(value: &mut Value, name: &str, member: impl Into<Value>) {
    meta_mut(value).insert(name.to_owned(), member.into());
}

pub(crate) fn remove_meta(value: &mut Value, name: &str) {
    meta_mut(value).remove(name);
}

/// The annotation that carries the template generation of a DaemonSet (DS-A11).
pub(crate) const TEMPLATE_GENERATION: &str = "deprecated.daemonset.template.generation";

/// The metadata of an object that is shown without the rest. Of a DaemonSet without the annotation
/// that Kubernetes makes of a field when it shows the whole object, and only then.
pub(crate) fn take_metadata(value: &mut Value) -> Value {
    let mut metadata = value["metadata"].take();
    if value["kind"] == "DaemonSet"
        && let Some(annotations) = metadata["annotations"].as_object_mut()
    {
        annotations.remove(TEMPLATE_GENERATION);
        if annotations.is_empty() {
            metadata.as_object_mut().map(|metadata| metadata.remove("annotations"));
        }
    }
    metadata
}

/// Removes a top-level member.
pub(crate) fn remove(value: &mut Value, name: &str) -> Option<Value> {
    value.as_object_mut().and_then(|map| map.remove(name))
}

/// Makes `to[name]` what `from[name]` is, absence included.
pub(crate) fn copy_member(to: &mut Value, from: &Value, name: &str) {
    match from.get(name) {
        // Nearly always equal already: comparing allocates nothing.
        Some(member) if to.get(name) == Some(member) => {}
        Some(member) => object_entry(to, name, member.clone()),
        None => {
            remove(to, name);
        }
    }
}

fn object_entry(to: &mut Value, name: &str, member: Value) {
    if let Value::Object(map) = to {
        map.insert(name.to_owned(), member);
    }
}

/// Makes `to.metadata[name]` what `from.metadata[name]` is, absence included.
pub(crate) fn copy_meta(to: &mut Value, from: &Value, name: &str) {
    match from["metadata"].get(name) {
        Some(member) if to["metadata"].get(name) == Some(member) => {}
        Some(member) => set_meta(to, name, member.clone()),
        None => remove_meta(to, name),
    }
}

/// The RFC 3339 time in a member of `metadata`.
pub(crate) fn meta_time(value: &Value, name: &str) -> Option<Timestamp> {
    value["metadata"][name].as_str().and_then(|text| text.parse().ok())
}

pub(crate) fn is_terminating(value: &Value) -> bool {
    value["metadata"]["deletionTimestamp"].is_string()
}

/// The texts of a list in `metadata`.
pub(crate) fn finalizers(value: &Value) -> Vec<&str> {
    items(value, &["metadata", "finalizers"]).iter().filter_map(Value::as_str).collect()
}

/// `metadata.generation`, 0 when absent.
pub(crate) fn generation(value: &Value) -> i64 {
    value["metadata"]["generation"].as_i64().unwrap_or(0)
}

/// The owner reference with `controller: true`.
pub(crate) fn controller(value: &Value) -> Option<&Value> {
    items(value, &["metadata", "ownerReferences"]).iter().find(|owner| owner["controller"] == Value::Bool(true))
}

/// The condition of a type in `status.conditions`.
pub(crate) fn condition<'a>(value: &'a Value, kind: &str) -> Option<&'a Value> {
    items(value, &["status", "conditions"]).iter().find(|condition| condition["type"] == kind)
}

/// Sets a condition in `status.conditions`; the transition time changes only with the condition's
/// status.
pub(crate) fn set_condition(value: &mut Value, mut condition: Value, now: &str) {
    object_mut(value, "status");
    let list = list_mut(&mut value["status"], "conditions");
    condition["lastTransitionTime"] = now.into();
    match list.iter_mut().find(|old| old["type"] == condition["type"]) {
        Some(old) => {
            if old["status"] == condition["status"] {
                condition["lastTransitionTime"] = old["lastTransitionTime"].clone();
            }
            *old = condition;
        }
        None => list.push(condition),
    }
}
