//! Events, of both groups.

use everynode_api::field::{FieldError, Path};
use everynode_api::names;
use serde_json::Value;

use super::check::{Errors, invalid_each, present, text};

/// Events of both groups.
pub(in crate::schema) fn event(object: &Value, regarding: &'static str) -> Errors {
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
    let new_form = regarding == "regarding";
    if new_form && legacy {
        errors.push(FieldError::required(&Path::new("eventTime"), ""));
    }
    if new_form {
        type_and_note(&mut errors, object);
    }
    if !legacy {
        // Both forms are checked as the older one.
        let controller = text(object, if new_form { "reportingController" } else { "reportingComponent" });
        let path = Path::new("reportingComponent");
        if controller.is_empty() {
            errors.push(FieldError::required(&path, ""));
        }
        invalid_each(&mut errors, &path, controller, names::qualified_name(controller));
        for name in ["reportingInstance", "action", "reason"] {
            if text(object, name).is_empty() {
                errors.push(FieldError::required(&Path::new(name), ""));
            }
        }
    }
    errors
}

/// Longest note, in bytes.
const NOTE_BYTES_MAX: usize = 1024;

/// What only the newer form demands.
fn type_and_note(errors: &mut Errors, object: &Value) {
    let kind = text(object, "type");
    if !matches!(kind, "Normal" | "Warning") {
        errors.push(FieldError::invalid(&Path::new("type"), "", format!("has invalid value: {kind}")));
    }
    if text(object, "note").len() > NOTE_BYTES_MAX {
        let detail = format!("can have at most {NOTE_BYTES_MAX} characters");
        errors.push(FieldError::invalid(&Path::new("message"), "", detail));
    }
}
