//! References to a pod's own fields and resources (the downward API).

use everynode_api::field::{FieldError, Path};
use everynode_api::names;
use serde_json::Value;

use super::super::check::{Errors, invalid_each, required, text};

const RESOURCES: [&str; 6] = [
    "limits.cpu",
    "limits.ephemeral-storage",
    "limits.memory",
    "requests.cpu",
    "requests.ephemeral-storage",
    "requests.memory",
];
const KNOWN_FIELDS: [&str; 14] = [
    "metadata.annotations",
    "metadata.labels",
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
    "spec.nodeName",
    "spec.restartPolicy",
    "spec.schedulerName",
    "spec.serviceAccountName",
    "status.hostIP",
    "status.hostIPs",
    "status.phase",
    "status.podIP",
    "status.podIPs",
];
const BYTE_DIVISORS: &str = "1, 1k, 1M, 1G, 1T, 1P, 1E, 1Ki, 1Mi, 1Gi, 1Ti, 1Pi, 1Ei";

/// `fieldRef`; `supported` are the whole fields that may be shown here, sorted.
pub(super) fn field(errors: &mut Errors, source: &Value, supported: &[&str], path: &Path) {
    let version = text(source, "apiVersion");
    if !required(errors, source, path, "apiVersion") || !required(errors, source, path, "fieldPath") {
        return;
    }
    let given = text(source, "fieldPath");
    let here = path.child("fieldPath");
    let subscripted = given.strip_suffix("']").and_then(|head| head.split_once("['"));
    let problem = match (version, subscripted) {
        ("v1", Some(("metadata.annotations" | "metadata.labels", _))) => None,
        ("v1", Some(_)) => Some(format!("field label does not support subscript: {given}")),
        ("v1", None) if KNOWN_FIELDS.contains(&given) => None,
        ("v1", None) => Some(format!("field label not supported: {given}")),
        _ => Some(format!("unsupported pod version: {version}")),
    };
    if let Some(problem) = problem {
        errors.push(FieldError::invalid(&here, given, format!("error converting fieldPath: {problem}")));
        return;
    }
    match subscripted {
        Some(("metadata.annotations", key)) => {
            invalid_each(errors, path, given, names::qualified_name(&key.to_ascii_lowercase()));
        }
        Some((_, key)) => invalid_each(errors, path, given, names::qualified_name(key)),
        None if supported.contains(&given) => {}
        None => errors.push(FieldError::not_supported(&here, given, supported)),
    }
}

/// `resourceFieldRef` (DS-H41); in a volume the container must be named.
pub(super) fn resource(errors: &mut Errors, source: &Value, in_volume: bool, path: &Path) {
    let given = text(source, "resource");
    let huge = given.starts_with("limits.hugepages-") || given.starts_with("requests.hugepages-");
    if in_volume && text(source, "containerName").is_empty() {
        errors.push(FieldError::required(&path.child("containerName"), ""));
    } else if given.is_empty() {
        errors.push(FieldError::required(&path.child("resource"), ""));
    } else if !RESOURCES.contains(&given) && !huge {
        errors.push(FieldError::not_supported(&path.child("resource"), given, &RESOURCES));
    }
    divisor(errors, source, given, path);
}

fn divisor(errors: &mut Errors, source: &Value, resource: &str, path: &Path) {
    let divisor = text(source, "divisor");
    if matches!(divisor, "" | "0") {
        return;
    }
    let name = resource.split_once('.').map_or("", |(_, name)| name);
    let supported = match name {
        "cpu" => "1m, 1",
        "memory" | "ephemeral-storage" => BYTE_DIVISORS,
        name if name.starts_with("hugepages-") => BYTE_DIVISORS,
        _ => return,
    };
    if !supported.split(", ").any(|word| word == divisor) {
        let words = supported.replace("1m, 1", "1m and 1");
        let what = match name {
            "ephemeral-storage" => "local ephemeral storage",
            name if name.starts_with("hugepages-") => "hugepages",
            name => name,
        };
        let detail = format!("only divisor's values {words} are supported with the {what} resource");
        errors.push(FieldError::invalid(&path.child("divisor"), resource, detail));
    }
}
