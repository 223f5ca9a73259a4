//! Limit ranges and quotas.

use std::collections::{BTreeMap, BTreeSet};

use everynode_api::field::{FieldError, Path};
use everynode_api::names;
use everynode_api::quantity::Quantity;
use serde_json::Value;

use super::check::{Errors, entries, invalid_each, list, present, text};
use super::pod;

/// What ranges may be about without a domain.
const TYPES: [&str; 3] = ["Container", "PersistentVolumeClaim", "Pod"];
const SCOPES: [&str; 7] = [
    "BestEffort",
    "CrossNamespacePodAffinity",
    "NotBestEffort",
    "NotTerminating",
    "PriorityClass",
    "Terminating",
    "VolumeAttributesClass",
];
const OPERATORS: [&str; 4] = ["DoesNotExist", "Exists", "In", "NotIn"];
/// Bounds on numbers of objects, not on amounts.
const COUNTS: [&str; 9] = [
    "configmaps",
    "persistentvolumeclaims",
    "pods",
    "replicationcontrollers",
    "resourcequotas",
    "secrets",
    "services",
    "services.loadbalancers",
    "services.nodeports",
];

pub(in crate::schema) fn limit_range(object: &Value) -> Errors {
    let mut errors = Errors::new();
    let mut seen = BTreeSet::new();
    for (index, limit) in list(&object["spec"], "limits").iter().enumerate() {
        let (path, kind) = (Path::new("spec").child("limits").index(index), text(limit, "type"));
        range_type(&mut errors, kind, &path.child("type"));
        if !seen.insert(kind) {
            errors.push(FieldError::duplicate(&path.child("type"), kind));
        }
        members(&mut errors, limit, kind, &path);
        relations(&mut errors, limit, &path);
    }
    errors
}

fn range_type(errors: &mut Errors, kind: &str, path: &Path) {
    let complaints = names::qualified_name(kind);
    if !complaints.is_empty() {
        return invalid_each(errors, path, kind, complaints);
    }
    if !kind.contains('/') && !TYPES.contains(&kind) {
        errors.push(FieldError::invalid(path, kind, "must be a standard limit type or fully qualified"));
    }
}

fn members(errors: &mut Errors, limit: &Value, kind: &str, path: &Path) {
    for member in ["max", "min", "default", "defaultRequest", "maxLimitRequestRatio"] {
        let path = path.child(member);
        if kind == "Pod" && member.starts_with("default") {
            if entries(limit, member).next().is_some() {
                errors.push(FieldError::forbidden(&path, "may not be specified when `type` is 'Pod'"));
            }
            continue;
        }
        for (name, _) in entries(limit, member) {
            match kind {
                "Pod" | "Container" => pod::container_resource(errors, name, &path.key(name)),
                _ => pod::known_resource(errors, name, &path.key(name)),
            }
        }
    }
    let bounds_storage = |member: &str| present(&limit[member], "storage").is_some();
    if kind == "PersistentVolumeClaim" && !bounds_storage("min") && !bounds_storage("max") {
        let detail = "either minimum or maximum storage value is required, but neither was provided";
        errors.push(FieldError::required(&path.child("limits"), detail));
    }
}

/// What must not be greater than what: (lesser, greater, where it is reported, whose value is
/// shown, and the words).
const ORDER: [(&str, &str, &str, &str, &str, &str); 6] = [
    ("min", "max", "min", "min", "min value", "max value"),
    ("min", "defaultRequest", "defaultRequest", "defaultRequest", "min value", "default request value"),
    ("defaultRequest", "max", "defaultRequest", "defaultRequest", "default request value", "max value"),
    ("defaultRequest", "default", "defaultRequest", "defaultRequest", "default request value", "default limit value"),
    ("min", "default", "default", "min", "min value", "default value"),
    ("default", "max", "default", "max", "default value", "max value"),
];

fn relations(errors: &mut Errors, limit: &Value, path: &Path) {
    let amounts = |member: &str| -> BTreeMap<&str, Quantity> {
        let read = entries(limit, member).filter_map(|(name, amount)| Some((name, Quantity::from_json(amount).ok()?)));
        read.collect()
    };
    for (lesser, greater, place, shown, lesser_words, greater_words) in ORDER {
        let (small, large, shown) = (amounts(lesser), amounts(greater), amounts(shown));
        for (name, least) in &small {
            if let Some(most) = large.get(name).filter(|most| least > *most) {
                let detail = format!("{lesser_words} {least} is greater than {greater_words} {most}");
                let shown = shown.get(name).copied().unwrap_or_default().to_string();
                errors.push(FieldError::invalid(&path.child(place).key(*name), shown, detail));
            }
        }
    }
    let (min, max, one) = (amounts("min"), amounts("max"), Quantity::from_millis(1000));
    for (name, ratio) in amounts("maxLimitRequestRatio") {
        let path = path.child("maxLimitRequestRatio").key(name);
        if ratio < one {
            errors.push(FieldError::invalid(&path, ratio.to_string(), format!("ratio {ratio} is less than 1")));
        }
        if let (Some(min), Some(max)) = (min.get(name), max.get(name)) {
            let limit = max.as_f64() / min.as_f64();
            if ratio.as_f64() > limit {
                let detail = format!("ratio {ratio} is greater than max/min = {limit:.6}");
                errors.push(FieldError::invalid(&path, ratio.to_string(), detail));
            }
        }
    }
}

pub(in crate::schema) fn resource_quota(object: &Value) -> Errors {
    let mut errors = Errors::new();
    let (spec, path) = (&object["spec"], Path::new("spec"));
    bounds(&mut errors, spec, "hard", &path.child("hard"));
    scopes(&mut errors, spec, &path.child("scopes"));
    scope_selector(&mut errors, spec, &path.child("scopeSelector").child("matchExpressions"));
    errors
}

fn bounds(errors: &mut Errors, owner: &Value, member: &str, path: &Path) {
    for (name, amount) in entries(owner, member) {
        let path = path.key(name);
        if !name.starts_with("count/") {
            pod::known_resource(errors, name, &path);
        } else {
            invalid_each(errors, &path, name, names::qualified_name(name));
        }
        let Ok(amount) = Quantity::from_json(amount) else { continue };
        if amount.is_negative() {
            errors.push(FieldError::invalid(&path, amount.to_string(), "must be greater than or equal to 0"));
        }
        if (COUNTS.contains(&name) || name.starts_with("count/")) && !amount.is_whole() {
            errors.push(FieldError::invalid(&path, amount.to_string(), "must be an integer"));
        }
    }
}

fn scopes(errors: &mut Errors, spec: &Value, path: &Path) {
    let given: BTreeSet<&str> = list(spec, "scopes").iter().filter_map(Value::as_str).collect();
    let mut refuse = |detail: &str| errors.push(FieldError::invalid(path, spec["scopes"].clone(), detail));
    for scope in &given {
        if !SCOPES.contains(scope) {
            refuse("unsupported scope");
            continue;
        }
        for (name, _) in entries(spec, "hard") {
            if !is_of_scope(scope, name) {
                refuse("unsupported scope applied to resource");
            }
        }
    }
    for pair in [["BestEffort", "NotBestEffort"], ["Terminating", "NotTerminating"]] {
        if pair.iter().all(|scope| given.contains(scope)) {
            refuse("conflicting scopes");
        }
    }
}

/// Pods of the least class ask for nothing that could be bounded, but for their number.
fn is_of_scope(scope: &str, name: &str) -> bool {
    match scope {
        "BestEffort" => name == "pods",
        "VolumeAttributesClass" => name == "persistentvolumeclaims" || name == "requests.storage",
        _ => name == "pods" || !COUNTS.contains(&name) && !name.starts_with("count/") && name != "requests.storage",
    }
}

fn scope_selector(errors: &mut Errors, spec: &Value, path: &Path) {
    for (index, expression) in list(&spec["scopeSelector"], "matchExpressions").iter().enumerate() {
        let (path, scope) = (path.index(index), text(expression, "scopeName"));
        if !SCOPES.contains(&scope) {
            errors.push(FieldError::invalid(&path.child("scopeName"), scope, "unsupported scope"));
        }
        let operator = text(expression, "operator");
        let has_values = !list(expression, "values").is_empty();
        match operator {
            "In" | "NotIn" if !has_values => {
                let detail = "must be at least one value when `operator` is 'In' or 'NotIn' for scope selector";
                errors.push(FieldError::required(&path.child("values"), detail));
            }
            "Exists" | "DoesNotExist" if has_values => {
                let detail = "must be no value when `operator` is 'Exist' or 'DoesNotExist' for scope selector";
                errors.push(FieldError::invalid(&path.child("values"), expression["values"].clone(), detail));
            }
            operator if OPERATORS.contains(&operator) => {}
            other => errors.push(FieldError::invalid(&path.child("operator"), other, "not a valid selector operator")),
        }
    }
}

pub(in crate::schema) fn resource_quota_update(new: &Value, old: &Value) -> Errors {
    let names = |object: &Value| -> BTreeSet<String> {
        list(&object["spec"], "scopes").iter().filter_map(Value::as_str).map(str::to_owned).collect()
    };
    let changed = names(new) != names(old);
    let error = || {
        let path = Path::new("spec").child("scopes");
        FieldError::invalid(&path, new["spec"]["scopes"].clone(), "field is immutable")
    };
    changed.then(error).into_iter().collect()
}

pub(in crate::schema) fn resource_quota_status(object: &Value) -> Errors {
    let mut errors = Errors::new();
    for member in ["hard", "used"] {
        bounds(&mut errors, &object["status"], member, &Path::new("status").child(member));
    }
    errors
}
