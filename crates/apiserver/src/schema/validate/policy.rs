//! Leases, priority classes, disruption budgets, and the RBAC kinds.

use everynode_api::field::{FieldError, Path};
use everynode_api::names;
use serde_json::Value;

use super::check::{
    Errors, amount, go_struct, int, label_selector, list, non_negative, one_of, optional_one_of, present, required,
    text,
};

/// The highest value of a class that is not built in (DS-B53).
const USER_PRIORITY_MAX: i64 = 1_000_000_000;
const BUILT_IN_CLASSES: [(&str, i64); 2] =
    [("system-node-critical", 2_000_001_000), ("system-cluster-critical", 2_000_000_000)];
const RBAC: &str = "rbac.authorization.k8s.io";

pub(in crate::schema) fn lease(object: &Value) -> Errors {
    let mut errors = Errors::new();
    let (spec, path) = (&object["spec"], Path::new("spec"));
    if let Some(seconds) = int(spec, "leaseDurationSeconds").filter(|seconds| *seconds <= 0) {
        errors.push(FieldError::invalid(&path.child("leaseDurationSeconds"), seconds, "must be greater than 0"));
    }
    non_negative(&mut errors, spec, &path, &["leaseTransitions"]);
    errors
}

pub(in crate::schema) fn priority_class(object: &Value) -> Errors {
    let mut errors = Errors::new();
    let (name, value) = (text(&object["metadata"], "name"), int(object, "value").unwrap_or(0));
    if name.starts_with("system-") {
        if !BUILT_IN_CLASSES.contains(&(name, value)) {
            let detail = format!(
                "priority class names with 'system-' prefix are reserved for system use only. error: {name} is not a known system priority class"
            );
            errors.push(FieldError::forbidden(&Path::new("metadata").child("name"), detail));
        }
    } else if value > USER_PRIORITY_MAX {
        let detail = format!("maximum allowed value of a user defined priority is {USER_PRIORITY_MAX}");
        errors.push(FieldError::forbidden(&Path::new("value"), detail));
    }
    let policies = ["PreemptLowerPriority", "Never"];
    if present(object, "preemptionPolicy").is_some() && !policies.contains(&text(object, "preemptionPolicy")) {
        let given = text(object, "preemptionPolicy");
        errors.push(FieldError::not_supported(&Path::new("preemptionPolicy"), given, &policies));
    }
    errors
}

pub(in crate::schema) fn priority_class_update(new: &Value, old: &Value) -> Errors {
    let mut errors = Errors::new();
    if int(new, "value").unwrap_or(0) != int(old, "value").unwrap_or(0) {
        errors.push(FieldError::forbidden(&Path::new("value"), "may not be changed in an update."));
    }
    if new.get("preemptionPolicy") != old.get("preemptionPolicy") {
        let given = new["preemptionPolicy"].clone();
        errors.push(FieldError::invalid(&Path::new("preemptionPolicy"), given, "field is immutable"));
    }
    errors
}

pub(in crate::schema) fn disruption_budget(object: &Value) -> Errors {
    let mut errors = Errors::new();
    let (spec, path) = (&object["spec"], Path::new("spec"));
    if present(spec, "minAvailable").is_some() && present(spec, "maxUnavailable").is_some() {
        let detail = "minAvailable and maxUnavailable cannot be both set";
        let shown = [
            ("MinAvailable", &spec["minAvailable"]),
            ("Selector", &spec["selector"]),
            ("MaxUnavailable", &spec["maxUnavailable"]),
            ("UnhealthyPodEvictionPolicy", &spec["unhealthyPodEvictionPolicy"]),
        ];
        errors.push(FieldError::invalid(&path, go_struct(&shown), detail));
    }
    amount(&mut errors, spec, &path, "minAvailable");
    amount(&mut errors, spec, &path, "maxUnavailable");
    label_selector(&mut errors, spec, &path, "selector");
    optional_one_of(&mut errors, spec, &path, "unhealthyPodEvictionPolicy", &["AlwaysAllow", "IfHealthyBudget"]);
    errors
}

pub(in crate::schema) fn disruption_budget_status(object: &Value) -> Errors {
    let mut errors = Errors::new();
    let fields = ["disruptionsAllowed", "currentHealthy", "desiredHealthy", "expectedPods"];
    non_negative(&mut errors, &object["status"], &Path::new("status"), &fields);
    errors
}

/// `rules` of a role; `namespaced` for `Role`.
pub(in crate::schema) fn role(object: &Value, namespaced: bool) -> Errors {
    let mut errors = Errors::new();
    for (index, rule) in list(object, "rules").iter().enumerate() {
        let path = Path::new("rules").index(index);
        let empty = |name: &str| list(rule, name).is_empty();
        let mut must_have = |name: &'static str, detail: &str| {
            if empty(name) {
                errors.push(FieldError::required(&path.child(name), detail));
            }
        };
        must_have("verbs", "verbs must contain at least one value");
        if empty("nonResourceURLs") {
            must_have("apiGroups", "resource rules must supply at least one api group");
            must_have("resources", "resource rules must supply at least one resource");
            continue;
        }
        let mut refuse = |detail: &str| {
            let value = rule["nonResourceURLs"].clone();
            errors.push(FieldError::invalid(&path.child("nonResourceURLs"), value, detail));
        };
        if namespaced {
            refuse("namespaced rules cannot apply to non-resource URLs");
        }
        if !empty("apiGroups") || !empty("resources") || !empty("resourceNames") {
            refuse("rules cannot apply to both regular resources and non-resource URLs");
        }
    }
    errors
}

/// A binding; `namespaced` for `RoleBinding`.
pub(in crate::schema) fn binding(object: &Value, namespaced: bool) -> Errors {
    let mut errors = Errors::new();
    let (role, path) = (&object["roleRef"], Path::new("roleRef"));
    one_of(&mut errors, role, &path, "apiGroup", &[RBAC]);
    let kinds: &[&str] = if namespaced { &["ClusterRole", "Role"] } else { &["ClusterRole"] };
    one_of(&mut errors, role, &path, "kind", kinds);
    required(&mut errors, role, &path, "name");
    for (index, subject) in list(object, "subjects").iter().enumerate() {
        self::subject(&mut errors, subject, namespaced, &Path::new("subjects").index(index));
    }
    errors
}

fn subject(errors: &mut Errors, subject: &Value, namespaced: bool, path: &Path) {
    required(errors, subject, path, "name");
    match text(subject, "kind") {
        "ServiceAccount" => {
            let name = text(subject, "name");
            if !name.is_empty() {
                super::check::invalid_each(errors, &path.child("name"), name, names::dns1123_subdomain(name));
            }
            one_of(errors, subject, path, "apiGroup", &[""]);
            if !namespaced {
                required(errors, subject, path, "namespace");
            }
        }
        "User" | "Group" => one_of(errors, subject, path, "apiGroup", &[RBAC]),
        _ => one_of(errors, subject, path, "kind", &["Group", "ServiceAccount", "User"]),
    }
}

pub(in crate::schema) fn binding_update(new: &Value, old: &Value) -> Errors {
    let mut errors = Errors::new();
    if new["roleRef"] != old["roleRef"] {
        let role = &new["roleRef"];
        let shown = go_struct(&[("APIGroup", &role["apiGroup"]), ("Kind", &role["kind"]), ("Name", &role["name"])]);
        errors.push(FieldError::invalid(&Path::new("roleRef"), shown, "cannot change roleRef"));
    }
    errors
}
