//! Events exist once, as core v1; `events.k8s.io/v1` is another way to write the same (DS-I44).

use everynode_api::status::Status;
use everynode_store::{Durability, Transaction, Write, prefix_range};
use serde_json::{Map, Value};

use super::{Caller, Registry, Target, store_failure};
use crate::catalogue::row::Form;
use crate::catalogue::{Row, built_in};
use crate::keys;

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

/// From the form of the kind asked for to the stored form.
pub(crate) fn to_stored(info: &Row, value: Value) -> Value {
    match info.form {
        Form::Stored => value,
        Form::EventsV1 => {
            rename(value, "v1", |name| RENAMED.iter().find(|(_, new)| *new == name).map(|(core, _)| *core))
        }
        Form::Version => match &info.custom {
            Some(custom) => of_version(value, &custom.stored_api_version),
            None => value,
        },
    }
}

/// From the stored form to the form of the kind asked for.
pub(crate) fn to_external(info: &Row, value: Value) -> Value {
    match info.form {
        Form::Stored => value,
        Form::EventsV1 => rename(value, "events.k8s.io/v1", |name| {
            RENAMED.iter().find(|(core, _)| *core == name).map(|(_, new)| *new)
        }),
        Form::Version => of_version(value, &info.kind.api_version()),
    }
}

/// Conversion of custom resources without a converter.
fn of_version(mut value: Value, api_version: &str) -> Value {
    if let Value::Object(members) = &mut value {
        members.insert("apiVersion".into(), api_version.into());
    }
    value
}

fn rename(value: Value, api_version: &str, other: impl Fn(&str) -> Option<&'static str>) -> Value {
    let Value::Object(members) = value else { return value };
    let renamed = members.into_iter().map(|(name, member)| (other(&name).map_or(name, str::to_owned), member));
    let mut members: Map<String, Value> = renamed.collect();
    members.insert("apiVersion".into(), api_version.into());
    Value::Object(members)
}

/// Field selectors name the members of the form asked for; topics know the stored names.
///
/// # Errors
/// 400: the selector names a member of the other form.
pub(crate) fn stored_field_selector(info: &Row, text: &str) -> Result<String, Status> {
    if info.form != Form::EventsV1 {
        return Ok(text.to_owned());
    }
    let mut terms = text.split(',').map(|term| term.split(['=', '!']).next().unwrap_or("").trim());
    let stored = |name: &str| name.starts_with("involvedObject.") || name == "reportingComponent";
    match terms.find(|name| stored(name)) {
        Some(name) => Err(Status::bad_request(format!("field label not supported: {name}"))),
        None => Ok(text.replace("regarding.", "involvedObject.").replace("reportingController", "reportingComponent")),
    }
}

/// Events that are removed at once.
const BATCH: usize = everynode_store::limits::TRANSACTION_STEPS_MAX;

impl Registry {
    /// Removes the events of a namespace that is about to go: a namespace that is made again shall
    /// not have them. None can come in any more.
    pub(super) async fn remove_events(&self, caller: &Caller<'_>, namespace: &Target) -> Result<(), Status> {
        let info = &built_in::EVENT;
        let range = prefix_range(&keys::collection(info, Some(&namespace.name)));
        loop {
            let page = self.store.range(&range, None, BATCH).map_err(|error| store_failure(&error))?;
            if page.items.is_empty() {
                return Ok(());
            }
            let writes = page.items.into_iter().map(|kv| Write::Delete { key: kv.key }).collect();
            // Lost in a crash, they are removed again, or end by themselves.
            let transaction = Transaction { conditions: Vec::new(), writes, durability: Durability::Relaxed };
            self.commit(caller, namespace, transaction).await?;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn both_forms_say_the_same() {
        let info = built_in::find("events.k8s.io", "events").unwrap();
        let core = json!({"apiVersion": "v1", "kind": "Event", "involvedObject": {"name": "a"}, "message": "m", "reason": "r"});
        let other = to_external(info, core.clone());
        assert_eq!(
            (&other["regarding"]["name"], &other["note"], &other["reason"]),
            (&json!("a"), &json!("m"), &json!("r"))
        );
        assert_eq!(to_stored(info, other), core); // DS-I44
    }
}
