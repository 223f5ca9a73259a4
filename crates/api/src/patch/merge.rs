//! JSON merge patch (RFC 7386): maps merge, null removes, everything else replaces.

use serde_json::{Map, Value};

/// `document` with `patch` applied.
pub fn apply(document: Value, patch: Value) -> Value {
    let Value::Object(patch) = patch else { return patch };
    let mut members = match document {
        Value::Object(members) => members,
        _ => Map::new(),
    };
    for (name, change) in patch {
        match change {
            Value::Null => {
                members.remove(&name);
            }
            change => match members.get_mut(&name) {
                Some(member) => *member = apply(member.take(), change),
                None => {
                    members.insert(name, apply(Value::Null, change));
                }
            },
        }
    }
    Value::Object(members)
}

/// The patch that makes `modified` out of `original`; empty when they are equal.
/// Lists are replaced whole. A null inside `modified` cannot be expressed and acts as absence.
pub fn diff(original: &Map<String, Value>, modified: &Map<String, Value>) -> Map<String, Value> {
    let mut patch = Map::new();
    for name in original.keys().filter(|name| !modified.contains_key(*name)) {
        patch.insert(name.clone(), Value::Null);
    }
    for (name, new) in modified {
        match (original.get(name), new) {
            (Some(Value::Object(old)), Value::Object(new)) => {
                let nested = diff(old, new);
                if !nested.is_empty() {
                    patch.insert(name.clone(), nested.into());
                }
            }
            (Some(old), new) if old == new => {}
            (_, new) => {
                patch.insert(name.clone(), new.clone());
            }
        }
    }
    patch
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn applies() {
        // The examples of RFC 7386, appendix A; DS-I13.
        let cases = [
            (json!({"a": "b"}), json!({"a": "c"}), json!({"a": "c"})),
            (json!({"a": "b"}), json!({"b": "c"}), json!({"a": "b", "b": "c"})),
            (json!({"a": "b"}), json!({"a": null}), json!({})),
            (json!({"a": "b", "b": "c"}), json!({"a": null}), json!({"b": "c"})),
            (json!({"a": ["b"]}), json!({"a": "c"}), json!({"a": "c"})),
            (json!({"a": "c"}), json!({"a": ["b"]}), json!({"a": ["b"]})),
            (json!({"a": {"b": "c"}}), json!({"a": {"b": "d", "c": null}}), json!({"a": {"b": "d"}})),
            (json!({"a": [{"b": "c"}]}), json!({"a": [1]}), json!({"a": [1]})),
            (json!(["a", "b"]), json!(["c", "d"]), json!(["c", "d"])),
            (json!({"a": "b"}), json!(["c"]), json!(["c"])),
            (json!({"a": "foo"}), json!(null), json!(null)),
            (json!({"a": "foo"}), json!("bar"), json!("bar")),
            (json!({"e": null}), json!({"a": 1}), json!({"e": null, "a": 1})),
            (json!([1, 2]), json!({"a": "b", "c": null}), json!({"a": "b"})),
            (json!({}), json!({"a": {"bb": {"ccc": null}}}), json!({"a": {"bb": {}}})),
        ];
        for (document, patch, result) in cases {
            assert_eq!(apply(document.clone(), patch.clone()), result, "{document} + {patch}");
        }
    }

    #[test]
    fn diffs_apply() {
        let cases = [
            (json!({"a": 1}), json!({"a": 1}), json!({})),
            (json!({"a": 1, "b": {"c": 1, "d": 2}}), json!({"b": {"c": 1}}), json!({"a": null, "b": {"d": null}})),
            (json!({"a": [1]}), json!({"a": [2], "n": {"x": 1}}), json!({"a": [2], "n": {"x": 1}})),
            (json!({"a": {"b": 1}}), json!({"a": 1}), json!({"a": 1})),
        ];
        for (original, modified, patch) in cases {
            let computed = diff(original.as_object().unwrap(), modified.as_object().unwrap());
            assert_eq!(Value::Object(computed.clone()), patch);
            assert_eq!(apply(original, computed.into()), modified);
        }
    }
}
