//! Probes and lifecycle hooks (DS-H15 to DS-H19).

use everynode_api::field::{FieldError, Path};
use everynode_api::names;
use serde_json::Value;

use super::super::check::{
    Errors, int, invalid_each, list, non_negative, number, one_of, port_or_name, present, required, text,
};

/// One of the three probes; `name` says which.
pub(super) fn probe(errors: &mut Errors, probe: &Value, name: &str, path: &Path) {
    handler(errors, probe, None, path);
    let fields = ["initialDelaySeconds", "timeoutSeconds", "periodSeconds", "successThreshold", "failureThreshold"];
    non_negative(errors, probe, path, &fields);
    let grace = int(probe, "terminationGracePeriodSeconds");
    let at = path.child("terminationGracePeriodSeconds");
    if let Some(seconds) = grace.filter(|seconds| *seconds <= 0) {
        errors.push(FieldError::invalid(&at, seconds, "must be greater than 0"));
    }
    if name == "readinessProbe" {
        if let Some(seconds) = grace {
            errors.push(FieldError::invalid(&at, seconds, "must not be set for readinessProbes"));
        }
    } else if let Some(threshold) = int(probe, "successThreshold").filter(|threshold| *threshold != 1) {
        errors.push(FieldError::invalid(&path.child("successThreshold"), threshold, "must be 1"));
    }
}

pub(super) fn lifecycle(errors: &mut Errors, lifecycle: &Value, grace_seconds: Option<i64>, path: &Path) {
    for name in ["postStart", "preStop"] {
        if let Some(hook) = present(lifecycle, name) {
            handler(errors, hook, grace_seconds, &path.child(name));
        }
    }
}

/// Exactly one way to act.
fn handler(errors: &mut Errors, action: &Value, grace_seconds: Option<i64>, path: &Path) {
    let mut found = 0;
    for name in ["exec", "httpGet", "tcpSocket", "grpc", "sleep"] {
        let Some(handler) = present(action, name) else { continue };
        found += 1;
        let path = path.child(name);
        if found > 1 {
            errors.push(FieldError::forbidden(&path, "may not specify more than 1 handler type"));
            continue;
        }
        match name {
            "exec" if list(handler, "command").is_empty() => {
                errors.push(FieldError::required(&path.child("command"), ""));
            }
            "httpGet" => http_get(errors, handler, &path),
            "tcpSocket" => port_or_name(errors, handler, &path, "port"),
            "grpc" => number(errors, &path.child("port"), int(handler, "port").unwrap_or(0), names::port_number),
            "sleep" => sleep(errors, handler, grace_seconds, &path),
            _ => {}
        }
    }
    if found == 0 {
        errors.push(FieldError::required(path, "must specify a handler type"));
    }
}

fn http_get(errors: &mut Errors, action: &Value, path: &Path) {
    required(errors, action, path, "path");
    port_or_name(errors, action, path, "port");
    one_of(errors, action, path, "scheme", &["HTTP", "HTTPS"]);
    for header in list(action, "httpHeaders") {
        let name = text(header, "name");
        invalid_each(errors, &path.child("httpHeaders"), name, names::http_header_name(name));
    }
}

fn sleep(errors: &mut Errors, action: &Value, grace_seconds: Option<i64>, path: &Path) {
    let seconds = int(action, "seconds").unwrap_or(0);
    if let Some(grace) = grace_seconds.filter(|grace| seconds < 0 || seconds > *grace) {
        let detail = format!("must be non-negative and less than terminationGracePeriodSeconds ({grace})");
        errors.push(FieldError::invalid(path, seconds, detail));
    }
}
