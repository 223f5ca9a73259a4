//! Events, of both groups.

use everynode_api::field::{FieldError, Path};
use everynode_api::names;
use serde_json::Value;

use super::check::{Errors, invalid_each, present, text};

/// Events of both groups.
pub(super) fn event(object: &Value, regarding: &'static str) -> Errors {
    let mut errors = Errors::new();
    let (namespace, target) = (text(&object["metadata"], "namespace"), text(&object[regarding], "namespace"));
    let legacy = present(object, "eventTime").is_none();
    let agrees = match (target, legacy) {
        ("", true) => matches!(namespace, "" | "default"),
        ("", false) => matches!(namespace, "" | "default" | "kube-system"),
        (target, _) => target == namespace,
    };
    if !agrees {
        let path = Path::new("involvedObject").child("namespace");
        errors.push(FieldError::invalid(&path, target, "does not match event.namespace"));
    }
    if legacy && regarding == "involvedObject" {
        return errors;
    }
    let controller = if regarding == "regarding" { "reportingController" } else { "reportingComponent" };
    for name in [controller, "reportingInstance", "action", "reason"] {
        if text(object, name).is_empty() {
            errors.push(FieldError::required(&Path::new(name), ""));
        }
    }
    invalid_each(
        &mut errors,
        &Path::new(controller),
        text(object, controller),
        match text(object, controller) {
            "" => Vec::new(),
            name => names::qualified_name(name),
        },
    );
    errors
}
