//! When two templates are the same: the normal form of their JSON (DS-A15, DS-D47, DS-K09, DS-K10).
//!
//! Bytes differ between servers and versions (`creationTimestamp: null`, `{}`, `0.5` for `500m`)
//! where nothing else does. Comparing meaning lets a takeover keep every revision, and with it
//! every pod.

use std::str::FromStr;

use everynode_api::quantity::Quantity;
use serde_json::{Map, Value, json};

/// Members for which Go's encoder and decoder make no difference between empty and absent.
const SAME_WHEN_EMPTY: [&str; 12] = [
    "annotations",
    "labels",
    "limits",
    "matchLabels",
    "metadata",
    "nodeSelector",
    "options",
    "overhead",
    "requests",
    "resources",
    "securityContext",
    "volumeAttributes",
];

/// Members that hold quantities, or maps of them.
const QUANTITIES: [&str; 6] = ["divisor", "limits", "overhead", "requests", "sizeLimit", "storage"];

/// The data of the revision that restores `template`: what the original of Kubernetes 1.36 writes
/// (DS-D41).
pub(crate) fn revision_data(template: &Value) -> Value {
    let mut template = without_nulls(template);
    if let Some(members) = template.as_object_mut() {
        members.insert("$patch".into(), "replace".into());
    }
    json!({ "spec": { "template": template } })
}

/// The template that a revision's data restores.
pub(crate) fn template_of(data: &Value) -> &Value {
    &data["spec"]["template"]
}

fn without_nulls(value: &Value) -> Value {
    match value {
        Value::Object(members) => {
            let kept = members.iter().filter(|(_, value)| !value.is_null());
            Value::Object(kept.map(|(name, value)| (name.clone(), without_nulls(value))).collect())
        }
        Value::Array(items) => Value::Array(items.iter().map(without_nulls).collect()),
        other => other.clone(),
    }
}

/// Whether two templates mean the same.
pub(crate) fn same_template(a: &Value, b: &Value) -> bool {
    same("template", a, b)
}

fn same(name: &str, a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Object(a), Value::Object(b)) => same_members(name, a, b),
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same("", a, b)),
        _ => a == b || (QUANTITIES.contains(&name) && same_quantity(a, b)),
    }
}

fn same_members(name: &str, a: &Map<String, Value>, b: &Map<String, Value>) -> bool {
    let of_quantities = QUANTITIES.contains(&name);
    let same_member = |key: &String, value: &Value, other: &Map<String, Value>| {
        let other = other.get(key).unwrap_or(&Value::Null);
        let key = if of_quantities { name } else { key.as_str() };
        (is_absent(key, value) && is_absent(key, other)) || same(key, value, other)
    };
    a.iter().all(|(key, value)| same_member(key, value, b))
        && b.iter().all(|(key, value)| a.contains_key(key) || key == "$patch" || is_absent(key, value))
}

fn is_absent(name: &str, value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(items) => items.is_empty(),
        Value::Object(members) => {
            SAME_WHEN_EMPTY.contains(&name) && members.iter().all(|(name, value)| is_absent(name, value))
        }
        _ => name == "$patch",
    }
}

fn same_quantity(a: &Value, b: &Value) -> bool {
    quantity(a).is_some_and(|a| quantity(b) == Some(a))
}

fn quantity(value: &Value) -> Option<Quantity> {
    match value {
        Value::String(text) => Quantity::from_str(text).ok(),
        Value::Number(number) => Quantity::from_str(&number.to_string()).ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn meaning_is_compared_not_bytes() {
        // DS-A15, DS-D47, DS-K10
        let same = [
            (
                json!({"metadata":{"creationTimestamp":null,"labels":{"a":"b"}}}),
                json!({"metadata":{"labels":{"a":"b"}}}),
            ),
            (json!({"spec":{"securityContext":{}}}), json!({"spec":{}})),
            (json!({"spec":{"nodeSelector":{},"tolerations":[]}}), json!({"spec":{"tolerations":null}})),
            (json!({"c":[{"resources":{}}]}), json!({"c":[{}]})),
            (json!({"resources":{"limits":{"cpu":"1000m"}}}), json!({"resources":{"limits":{"cpu":1}}})),
            (json!({"emptyDir":{"sizeLimit":"1024Mi"}}), json!({"emptyDir":{"sizeLimit":"1Gi"}})),
            (json!({"$patch":"replace","a":1}), json!({"a":1})),
        ];
        for (a, b) in same {
            assert!(same_template(&a, &b) && same_template(&b, &a), "{a} {b}");
        }
        let different = [
            (json!({"a":1}), json!({"a":2})),
            (json!({"a":"500m"}), json!({"a":"0.5"})),
            (json!({"emptyDir":{}}), json!({})),
            (json!({"namespaceSelector":{}}), json!({})),
            (json!({"args":["a","b"]}), json!({"args":["b","a"]})),
            (json!({"limits":{"cpu":"1"}}), json!({"limits":{"cpu":"2"}})),
            (json!({"limits":{"cpu":"1"}}), json!({"limits":{}})),
            (json!({"labels":{"a":"1"}}), json!({"labels":{"a":"1.0"}})),
        ];
        for (a, b) in different {
            assert!(!same_template(&a, &b) && !same_template(&b, &a), "{a} {b}");
        }
    }

    #[test]
    fn revision_data_restores_the_template() {
        // DS-D41: sorted keys, no nulls (1.34 and newer)
        let template =
            json!({"metadata":{"labels":{"b":"1","a":"2"},"creationTimestamp":null},"spec":{"containers":[]}});
        let text = serde_json::to_string(&revision_data(&template)).unwrap();
        assert_eq!(
            text,
            r#"{"spec":{"template":{"$patch":"replace","metadata":{"labels":{"a":"2","b":"1"}},"spec":{"containers":[]}}}}"#
        );
    }
}
