//! Annotations that mean something for a pod.

use everynode_api::decode::{BODY_BYTES_MAX, DecodeError, decode};
use everynode_api::field::{FieldError, Path};
use everynode_api::names;
use serde_json::{Value, json};

use super::super::check::{Errors, entries, invalid_each, list, text};
use super::scheduling;

const MIRROR: &str = "kubernetes.io/config.mirror";
const TOLERATIONS: &str = "scheduler.alpha.kubernetes.io/tolerations";
const DELETION_COST: &str = "controller.kubernetes.io/pod-deletion-cost";
const SECCOMP_OF_POD: &str = "seccomp.security.alpha.kubernetes.io/pod";
const SECCOMP_OF_CONTAINER: &str = "container.seccomp.security.alpha.kubernetes.io/";
const APP_ARMOR: &str = "container.apparmor.security.beta.kubernetes.io/";

/// Checks those of `metadata`, which is that of a pod or a template with this `spec`.
pub(super) fn annotations(errors: &mut Errors, metadata: &Value, spec: &Value, path: &Path) {
    let given = &metadata["annotations"];
    if let Some(value) = given[MIRROR].as_str().filter(|_| text(spec, "nodeName").is_empty()) {
        let detail = "must set spec.nodeName if mirror pod annotation is set";
        errors.push(FieldError::invalid(&path.key(MIRROR), value, detail));
    }
    tolerations(errors, text(given, TOLERATIONS), path);
    if let Some(cost) = given[DELETION_COST].as_str().filter(|cost| !is_cost(cost)) {
        errors.push(FieldError::invalid(&path.key(DELETION_COST), cost, "must be a 32bit integer"));
    }
    for (name, profile) in entries(metadata, "annotations") {
        let profile = profile.as_str().unwrap_or_default();
        if name == SECCOMP_OF_POD || name.starts_with(SECCOMP_OF_CONTAINER) {
            seccomp(errors, profile, &path.child(name.to_owned()));
        }
    }
    for (name, profile) in entries(metadata, "annotations") {
        if let Some(container) = name.strip_prefix(APP_ARMOR) {
            app_armor(errors, spec, (container, profile.as_str().unwrap_or_default()), &path.key(name));
        }
    }
}

/// Tolerations as they were given of old, in JSON.
fn tolerations(errors: &mut Errors, text: &str, path: &Path) {
    if text.is_empty() {
        return;
    }
    match decode(text.as_bytes(), BODY_BYTES_MAX) {
        Ok(decoded) => {
            let spec = json!({"tolerations": decoded.value});
            scheduling::tolerations(errors, &spec, &path.child(TOLERATIONS));
        }
        Err(DecodeError::Malformed(why)) => errors.push(FieldError::invalid(path, TOLERATIONS, why)),
        Err(DecodeError::TooLarge { .. }) => {}
    }
}

/// A number of 32 bits without a plus sign or zeros in front.
fn is_cost(text: &str) -> bool {
    let begins_well = text == "0" || text.starts_with(|first: char| matches!(first, '-' | '1'..='9'));
    begins_well && text.parse::<i32>().is_ok()
}

fn seccomp(errors: &mut Errors, profile: &str, path: &Path) {
    match profile.strip_prefix("localhost/") {
        Some(file) => invalid_each(errors, path, file, names::local_descending_path(file)),
        None if matches!(profile, "runtime/default" | "docker/default" | "unconfined") => {}
        None => errors.push(FieldError::invalid(path, profile, "must be a valid seccomp profile")),
    }
}

fn app_armor(errors: &mut Errors, spec: &Value, (container, profile): (&str, &str), path: &Path) {
    let mut lists = ["containers", "initContainers", "ephemeralContainers"].into_iter();
    let is_there = lists.any(|member| list(spec, member).iter().any(|held| text(held, "name") == container));
    if !is_there {
        errors.push(FieldError::invalid(path, container, "container not found"));
    }
    if !matches!(profile, "" | "runtime/default" | "unconfined") && !profile.starts_with("localhost/") {
        let detail = format!("invalid AppArmor profile name: {profile:?}");
        errors.push(FieldError::invalid(path, profile, detail));
    }
}
