//! Environment variables and their sources.

use everynode_api::field::{FieldError, Path};
use everynode_api::names;
use serde_json::Value;

use super::super::check::{Errors, list, optional_name, present, required, required_name, text};
use super::source;

/// Paths of a pod's fields that a variable may show (DS-H40), besides subscripted labels and
/// annotations.
const ENV_FIELDS: [&str; 9] = [
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
    "spec.nodeName",
    "spec.serviceAccountName",
    "status.hostIP",
    "status.hostIPs",
    "status.podIP",
    "status.podIPs",
];

pub(super) fn env(errors: &mut Errors, container: &Value, path: &Path) {
    for (index, variable) in list(container, "env").iter().enumerate() {
        let path = path.index(index);
        required_name(errors, variable, &path, "name", names::env_var_name);
        if let Some(from) = present(variable, "valueFrom") {
            value_from(errors, variable, from, &path.child("valueFrom"));
        }
    }
}

fn value_from(errors: &mut Errors, variable: &Value, from: &Value, path: &Path) {
    let mut sources = 0;
    let mut each = |name: &'static str, check: &dyn Fn(&mut Errors, &Value, &Path)| {
        if let Some(source) = present(from, name) {
            sources += 1;
            check(errors, source, &path.child(name));
        }
    };
    each("fieldRef", &|errors, source, path| source::field(errors, source, &ENV_FIELDS, path));
    each("resourceFieldRef", &|errors, source, path| source::resource(errors, source, false, path));
    each("configMapKeyRef", &key_selector);
    each("secretKeyRef", &key_selector);
    each("fileKeyRef", &|errors, _, path| {
        errors.push(FieldError::forbidden(path, "may not be set when feature gate 'EnvFiles' is not enabled"));
    });
    if sources == 0 {
        let detail = "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef` or `secretKeyRef`";
        errors.push(FieldError::invalid(path, "", detail));
    }
    if !text(variable, "value").is_empty() && sources > 0 {
        errors.push(FieldError::invalid(path, "", "may not be specified when `value` is not empty"));
    } else if sources > 1 {
        errors.push(FieldError::invalid(path, "", "may not have more than one field specified at a time"));
    }
}

fn key_selector(errors: &mut Errors, source: &Value, path: &Path) {
    required(errors, source, path, "name");
    required_name(errors, source, path, "key", names::config_map_key);
}

pub(super) fn env_from(errors: &mut Errors, container: &Value, path: &Path) {
    for (index, from) in list(container, "envFrom").iter().enumerate() {
        let item = path.index(index);
        optional_name(errors, from, &item, "prefix", names::env_var_name);
        let mut sources = 0;
        for name in ["configMapRef", "secretRef"] {
            if let Some(source) = present(from, name) {
                sources += 1;
                required_name(errors, source, &item.child(name), "name", names::dns1123_subdomain);
            }
        }
        match sources {
            0 => errors.push(FieldError::invalid(path, "", "must specify one of: `configMapRef` or `secretRef`")),
            1 => {}
            _ => errors.push(FieldError::invalid(path, "", "may not have more than one field specified at a time")),
        }
    }
}
