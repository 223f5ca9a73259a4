//! Events exist once, as core v1; `events.k8s.io/v1` is another way to write the same (DS-I44).

use everynode_api::kinds::{EVENTS_EVENT, KindInfo};
use serde_json::{Map, Value};

/// (core name, events.k8s.io name) of members that only change their name.
const RENAMED: [(&str, &str); 7] = [
    ("involvedObject", "regarding"),
    ("message", "note"),
    ("source", "deprecatedSource"),
    ("firstTimestamp", "deprecatedFirstTimestamp"),
    ("lastTimestamp", "deprecatedLastTimestamp"),
    ("count", "deprecatedCount"),
    ("reportingComponent", "reportingController"),
];

/// Whether objects of this kind are stored in another kind's form.
pub(crate) fn is_converted(info: &KindInfo) -> bool {
    info.kind == EVENTS_EVENT
}

/// From the form of the kind asked for to the stored form.
pub(crate) fn to_stored(info: &KindInfo, value: Value) -> Value {
    match is_converted(info) {
        true => rename(value, "v1", |name| RENAMED.iter().find(|(_, new)| *new == name).map(|(core, _)| *core)),
        false => value,
    }
}

/// From the stored form to the form of the kind asked for.
pub(crate) fn to_external(info: &KindInfo, value: Value) -> Value {
    match is_converted(info) {
        true => rename(value, "events.k8s.io/v1", |name| {
            RENAMED.iter().find(|(core, _)| *core == name).map(|(_, new)| *new)
        }),
        false => value,
    }
}

fn rename(value: Value, api_version: &str, other: impl Fn(&str) -> Option<&'static str>) -> Value {
    let Value::Object(members) = value else { return value };
    let renamed = members.into_iter().map(|(name, member)| (other(&name).map_or(name, str::to_owned), member));
    let mut members: Map<String, Value> = renamed.collect();
    members.insert("apiVersion".into(), api_version.into());
    Value::Object(members)
}

/// Field selectors name the members of the form asked for; topics know the stored names.
pub(crate) fn stored_field_selector(info: &KindInfo, text: &str) -> String {
    match is_converted(info) {
        true => text.replace("regarding.", "involvedObject.").replace("reportingController", "reportingComponent"),
        false => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn both_forms_say_the_same() {
        let info = everynode_api::kinds::find("events.k8s.io", "events").unwrap();
        let core = json!({"apiVersion": "v1", "kind": "Event", "involvedObject": {"name": "a"}, "message": "m", "reason": "r"});
        let other = to_external(info, core.clone());
        assert_eq!(
            (&other["regarding"]["name"], &other["note"], &other["reason"]),
            (&json!("a"), &json!("m"), &json!("r"))
        );
        assert_eq!(to_stored(info, other), core); // DS-I44
    }
}
