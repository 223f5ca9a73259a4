//! Affinity to nodes and to other pods (DS-B10 to DS-B16).

use everynode_api::field::{FieldError, Path};
use everynode_api::names;
use serde_json::Value;

use super::super::check::{Errors, int, invalid_each, label_name, label_selector, list, present, text};

const REQUIRED: &str = "requiredDuringSchedulingIgnoredDuringExecution";
const PREFERRED: &str = "preferredDuringSchedulingIgnoredDuringExecution";

pub(super) fn affinity(errors: &mut Errors, affinity: &Value, path: &Path) {
    if let Some(nodes) = present(affinity, "nodeAffinity") {
        node_affinity(errors, nodes, &path.child("nodeAffinity"));
    }
    for name in ["podAffinity", "podAntiAffinity"] {
        if let Some(pods) = present(affinity, name) {
            pod_affinity(errors, pods, &path.child(name));
        }
    }
}

fn node_affinity(errors: &mut Errors, affinity: &Value, path: &Path) {
    if let Some(required) = present(affinity, REQUIRED) {
        node_selector(errors, required, &path.child(REQUIRED));
    }
    for (index, preferred) in list(affinity, PREFERRED).iter().enumerate() {
        let path = path.child(PREFERRED).index(index);
        weight(errors, preferred, &path);
        node_selector_term(errors, &preferred["preference"], false, &path.child("preference"));
    }
}

/// Terms of which one has to match.
pub(super) fn node_selector(errors: &mut Errors, selector: &Value, path: &Path) {
    let (terms, path) = (list(selector, "nodeSelectorTerms"), path.child("nodeSelectorTerms"));
    if terms.is_empty() {
        errors.push(FieldError::required(&path, "must have at least one node selector term"));
    }
    for (index, term) in terms.iter().enumerate() {
        node_selector_term(errors, term, true, &path.index(index));
    }
}

fn weight(errors: &mut Errors, term: &Value, path: &Path) {
    let weight = int(term, "weight").unwrap_or(0);
    if !(1..=100).contains(&weight) {
        errors.push(FieldError::invalid(&path.child("weight"), weight, "must be in the range 1-100"));
    }
}

fn node_selector_term(errors: &mut Errors, term: &Value, check_values: bool, path: &Path) {
    for (index, requirement) in list(term, "matchExpressions").iter().enumerate() {
        expression(errors, requirement, check_values, &path.child("matchExpressions").index(index));
    }
    for (index, requirement) in list(term, "matchFields").iter().enumerate() {
        field(errors, requirement, &path.child("matchFields").index(index));
    }
}

/// DS-B13, DS-B14
fn expression(errors: &mut Errors, requirement: &Value, check_values: bool, path: &Path) {
    let values = list(requirement, "values");
    let at = path.child("values");
    match text(requirement, "operator") {
        "In" | "NotIn" if values.is_empty() => {
            errors.push(FieldError::required(&at, "must be specified when `operator` is 'In' or 'NotIn'"));
        }
        "Exists" | "DoesNotExist" if !values.is_empty() => {
            let detail = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'";
            errors.push(FieldError::forbidden(&at, detail));
        }
        "Gt" | "Lt" if values.len() != 1 => {
            let detail = "must be specified single value when `operator` is 'Lt' or 'Gt'";
            errors.push(FieldError::required(&at, detail));
        }
        "In" | "NotIn" | "Exists" | "DoesNotExist" | "Gt" | "Lt" => {}
        other => errors.push(FieldError::invalid(&path.child("operator"), other, "not a valid selector operator")),
    }
    label_name(errors, &path.child("key"), text(requirement, "key"));
    for (index, value) in values.iter().enumerate().filter(|_| check_values) {
        let value = value.as_str().unwrap_or_default();
        invalid_each(errors, &at.index(index), value, names::label_value(value));
    }
}

/// DS-B15
fn field(errors: &mut Errors, requirement: &Value, path: &Path) {
    let values = list(requirement, "values");
    match text(requirement, "operator") {
        "In" | "NotIn" if values.len() != 1 => {
            let detail = "must be only one value when `operator` is 'In' or 'NotIn' for node field selector";
            errors.push(FieldError::required(&path.child("values"), detail));
        }
        "In" | "NotIn" => {}
        other => errors.push(FieldError::invalid(&path.child("operator"), other, "not a valid selector operator")),
    }
    let key = text(requirement, "key");
    if key != "metadata.name" {
        errors.push(FieldError::invalid(&path.child("key"), key, "not a valid field selector key"));
        return;
    }
    for (index, value) in values.iter().enumerate() {
        let value = value.as_str().unwrap_or_default();
        invalid_each(errors, &path.child("values").index(index), value, names::dns1123_subdomain(value));
    }
}

fn pod_affinity(errors: &mut Errors, affinity: &Value, path: &Path) {
    for (index, term) in list(affinity, REQUIRED).iter().enumerate() {
        pod_term(errors, term, &path.child(REQUIRED).index(index));
    }
    for (index, preferred) in list(affinity, PREFERRED).iter().enumerate() {
        let path = path.child(PREFERRED).index(index);
        weight(errors, preferred, &path);
        pod_term(errors, &preferred["podAffinityTerm"], &path.child("podAffinityTerm"));
    }
}

fn pod_term(errors: &mut Errors, term: &Value, path: &Path) {
    label_selector(errors, term, path, "labelSelector");
    label_selector(errors, term, path, "namespaceSelector");
    for namespace in list(term, "namespaces").iter().filter_map(Value::as_str) {
        invalid_each(errors, &path.child("namespace"), namespace, names::dns1123_label(namespace));
    }
    let (key, path) = (text(term, "topologyKey"), path.child("topologyKey"));
    if key.is_empty() {
        errors.push(FieldError::required(&path, "can not be empty"));
    }
    // An empty one is told twice, as in Kubernetes.
    label_name(errors, &path, key);
}
