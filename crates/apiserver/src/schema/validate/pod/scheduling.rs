//! Taints, tolerations, gates, topology spread.

use std::collections::BTreeSet;

use everynode_api::field::{FieldError, Path};
use everynode_api::names;
use serde_json::Value;

use super::super::check::{
    Errors, go_struct, int, invalid_each, label_name, label_selector, list, one_of, optional_one_of, present,
    required_one_of, text,
};

const EFFECTS: [&str; 3] = ["NoSchedule", "PreferNoSchedule", "NoExecute"];

/// DS-B17, DS-B18
pub(super) fn tolerations(errors: &mut Errors, spec: &Value, path: &Path) {
    for (index, toleration) in list(spec, "tolerations").iter().enumerate() {
        let path = path.index(index);
        let (key, operator) = (text(toleration, "key"), text(toleration, "operator"));
        if !key.is_empty() {
            label_name(errors, &path.child("key"), key);
        } else if operator != "Exists" {
            let detail = "operator must be Exists when `key` is empty, which means \"match all values and all keys\"";
            errors.push(FieldError::invalid(&path.child("operator"), operator, detail));
        }
        let effect = text(toleration, "effect");
        if present(toleration, "tolerationSeconds").is_some() && effect != "NoExecute" {
            let detail = "effect must be 'NoExecute' when `tolerationSeconds` is set";
            errors.push(FieldError::invalid(&path.child("effect"), effect, detail));
        }
        toleration_value(errors, toleration, &path.child("operator"));
        if !effect.is_empty() {
            one_of(errors, toleration, &path, "effect", &EFFECTS);
        }
    }
}

fn toleration_value(errors: &mut Errors, toleration: &Value, path: &Path) {
    let value = text(toleration, "value");
    match text(toleration, "operator") {
        "" | "Equal" => {
            let complaints = names::label_value(value);
            if !complaints.is_empty() {
                errors.push(FieldError::invalid(path, value, complaints.join(";")));
            }
        }
        "Exists" if value.is_empty() => {}
        "Exists" => {
            let detail = "value must be empty when `operator` is 'Exists'";
            errors.push(FieldError::invalid(path, value, detail));
        }
        // Known, but not switched on.
        other @ ("Lt" | "Gt") => {
            errors.push(FieldError::not_supported(path, other, &["Equal", "Exists", "Lt", "Gt"]));
        }
        other => errors.push(FieldError::not_supported(path, other, &["Equal", "Exists"])),
    }
}

/// `spec.taints` of a node (DS-B19).
pub(in super::super) fn taints(errors: &mut Errors, spec: &Value, path: &Path) {
    let mut seen = BTreeSet::new();
    for (index, taint) in list(spec, "taints").iter().enumerate() {
        let path = path.index(index);
        label_name(errors, &path.child("key"), text(taint, "key"));
        let complaints = names::label_value(text(taint, "value"));
        if !complaints.is_empty() {
            errors.push(FieldError::invalid(&path.child("value"), text(taint, "value"), complaints.join(";")));
        }
        required_one_of(errors, taint, &path, "effect", &EFFECTS);
        if !seen.insert((text(taint, "key"), text(taint, "effect"))) {
            let shown = [
                ("Key", &Value::from(text(taint, "key"))),
                ("Value", &Value::from(text(taint, "value"))),
                ("Effect", &Value::from(text(taint, "effect"))),
                ("TimeAdded", taint.get("timeAdded").unwrap_or(&Value::Null)),
            ];
            let mut error = FieldError::duplicate(&path, go_struct(&shown));
            error.detail = "taints must be unique by key and effect pair".into();
            errors.push(error);
        }
    }
}

pub(super) fn readiness_gates(errors: &mut Errors, spec: &Value, path: &Path) {
    for (index, gate) in list(spec, "readinessGates").iter().enumerate() {
        let kind = text(gate, "conditionType");
        invalid_each(errors, &path.index(index).child("conditionType"), kind, names::qualified_name(kind));
    }
}

pub(super) fn scheduling_gates(errors: &mut Errors, spec: &Value, path: &Path) {
    let mut seen = BTreeSet::new();
    for (index, gate) in list(spec, "schedulingGates").iter().enumerate() {
        let (path, name) = (path.index(index), text(gate, "name"));
        invalid_each(errors, &path, name, names::qualified_name(name));
        if !seen.insert(name) {
            errors.push(FieldError::duplicate(&path, name));
        }
    }
}

pub(super) fn topology_spread(errors: &mut Errors, spec: &Value, path: &Path) {
    for (index, constraint) in list(spec, "topologySpreadConstraints").iter().enumerate() {
        let path = path.index(index);
        positive(errors, constraint, &path, "maxSkew");
        let (key, action) = (text(constraint, "topologyKey"), text(constraint, "whenUnsatisfiable"));
        match key {
            "" => errors.push(FieldError::required(&path.child("topologyKey"), "can not be empty")),
            key => label_name(errors, &path.child("topologyKey"), key),
        }
        one_of(errors, constraint, &path, "whenUnsatisfiable", &["DoNotSchedule", "ScheduleAnyway"]);
        let same = |other: &Value| text(other, "topologyKey") == key && text(other, "whenUnsatisfiable") == action;
        // Said of each that has another behind it.
        if list(spec, "topologySpreadConstraints")[index + 1..].iter().any(same) {
            let path = path.child("{topologyKey, whenUnsatisfiable}");
            errors.push(FieldError::duplicate(&path, format!("{{{key}, {action}}}")));
        }
        positive(errors, constraint, &path, "minDomains");
        if let (Some(number), true) = (int(constraint, "minDomains"), action != "DoNotSchedule") {
            let detail = format!("can only use minDomains if whenUnsatisfiable=DoNotSchedule, not {action}");
            errors.push(FieldError::invalid(&path.child("minDomains"), number, detail));
        }
        for name in ["nodeAffinityPolicy", "nodeTaintsPolicy"] {
            optional_one_of(errors, constraint, &path, name, &["Honor", "Ignore"]);
        }
        label_selector(errors, constraint, &path, "labelSelector");
    }
}

fn positive(errors: &mut Errors, value: &Value, path: &Path, name: &'static str) {
    if let Some(number) = int(value, name).filter(|number| *number <= 0) {
        errors.push(FieldError::invalid(&path.child(name), number, "must be greater than zero"));
    }
}
