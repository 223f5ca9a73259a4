//! Defaults of limit ranges.

use serde_json::{Map, Value};

use super::{each, with};

/// A container's limit is at most what is allowed, and its request what its limit is; without
/// either the least that is allowed.
pub(in crate::schema) fn limit_range(range: &mut Map<String, Value>) {
    with(range, "spec", |spec| {
        each(spec, "limits", |limit| {
            if limit.get("type").and_then(Value::as_str) == Some("Container") {
                complete(limit, "default", "max");
                complete(limit, "defaultRequest", "default");
                complete(limit, "defaultRequest", "min");
            }
        });
    });
}

fn complete(limit: &mut Map<String, Value>, member: &str, source: &str) {
    let Some(Value::Object(amounts)) = limit.get(source).cloned() else { return };
    let known = limit.entry(member).or_insert_with(|| Value::Object(Map::new()));
    for (name, amount) in amounts {
        if known[name.as_str()].is_null() {
            known[name] = amount;
        }
    }
}
