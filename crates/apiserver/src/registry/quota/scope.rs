//! Which pods a quota with scopes is about.

use serde_json::Value;

use crate::object::{at, items, text};
use crate::registry::kinds::qos;

/// Whether a quota is about a pod: each of its scopes is.
pub(super) fn covers(quota: &Value, pod: &Value) -> bool {
    let scopes = items(quota, &["spec", "scopes"]).iter().filter_map(Value::as_str);
    let mut selected = items(quota, &["spec", "scopeSelector", "matchExpressions"]).iter();
    scopes.into_iter().all(|scope| in_scope(scope, pod)) && selected.all(|expression| matches(expression, pod))
}

/// Whether a quota has scopes at all: then it is about pods alone.
pub(super) fn has_scopes(quota: &Value) -> bool {
    !items(quota, &["spec", "scopes"]).is_empty()
        || !items(quota, &["spec", "scopeSelector", "matchExpressions"]).is_empty()
}

fn in_scope(scope: &str, pod: &Value) -> bool {
    let is_ending = at(pod, &["spec", "activeDeadlineSeconds"]).as_i64().is_some_and(|seconds| seconds >= 0);
    match scope {
        "Terminating" => is_ending,
        "NotTerminating" => !is_ending,
        "BestEffort" => qos::class(pod) == "BestEffort",
        "NotBestEffort" => qos::class(pod) != "BestEffort",
        "PriorityClass" => !text(pod, &["spec", "priorityClassName"]).is_empty(),
        "CrossNamespacePodAffinity" => looks_elsewhere(pod),
        _ => false,
    }
}

fn matches(expression: &Value, pod: &Value) -> bool {
    let (scope, operator) = (text(expression, &["scopeName"]), text(expression, &["operator"]));
    let class = text(pod, &["spec", "priorityClassName"]);
    let is_named = || items(expression, &["values"]).iter().any(|value| value.as_str() == Some(class));
    match (scope, operator) {
        ("PriorityClass", "In") => !class.is_empty() && is_named(),
        ("PriorityClass", "NotIn") => !is_named(),
        (_, "Exists") => in_scope(scope, pod),
        (_, "DoesNotExist") => !in_scope(scope, pod),
        _ => false,
    }
}

/// Whether a pod's affinity to other pods reaches into other namespaces.
fn looks_elsewhere(pod: &Value) -> bool {
    let is_elsewhere = |term: &Value| !items(term, &["namespaces"]).is_empty() || !term["namespaceSelector"].is_null();
    ["podAffinity", "podAntiAffinity"].iter().any(|kind| {
        let affinity = at(pod, &["spec", "affinity", kind]);
        let required = items(affinity, &["requiredDuringSchedulingIgnoredDuringExecution"]).iter();
        let preferred = items(affinity, &["preferredDuringSchedulingIgnoredDuringExecution"]).iter();
        required.chain(preferred.map(|weighted| &weighted["podAffinityTerm"])).any(is_elsewhere)
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn pods_are_in_the_scopes_that_they_show() {
        let plain = json!({"spec": {"containers": [{"name": "a"}]}});
        let important = json!({"spec": {"priorityClassName": "high", "activeDeadlineSeconds": 5, "containers": [
            {"name": "a", "resources": {"requests": {"cpu": "1"}}}],
            "affinity": {"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [{"namespaces": ["x"]}]}}}});
        let cases = [
            ("Terminating", false, true),
            ("NotTerminating", true, false),
            ("BestEffort", true, false),
            ("NotBestEffort", false, true),
            ("PriorityClass", false, true),
            ("CrossNamespacePodAffinity", false, true),
        ];
        for (scope, of_plain, of_important) in cases {
            let quota = json!({"spec": {"scopes": [scope]}});
            assert_eq!((covers(&quota, &plain), covers(&quota, &important)), (of_plain, of_important), "{scope}");
        }
    }

    #[test]
    fn a_selector_chooses_by_class() {
        let pod = json!({"spec": {"priorityClassName": "high"}});
        let selected = |operator: &str, values: Value| {
            let expression = json!({"scopeName": "PriorityClass", "operator": operator, "values": values});
            covers(&json!({"spec": {"scopeSelector": {"matchExpressions": [expression]}}}), &pod)
        };
        assert!(selected("In", json!(["low", "high"])) && !selected("In", json!(["low"])));
        assert!(!selected("NotIn", json!(["high"])) && selected("NotIn", json!(["low"])));
        assert!(selected("Exists", Value::Null) && !selected("DoesNotExist", Value::Null));
    }
}
