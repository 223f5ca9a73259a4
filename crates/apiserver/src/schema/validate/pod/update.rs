//! What of a pod may change after its creation (DS-H22).

use everynode_api::field::{BadValue, FieldError, Path};
use everynode_api::names;
use serde_json::Value;

use super::super::check::{Errors, int, invalid_each, ip_address, list, optional_name, text};
use super::pod_parts;
use crate::schema::semantic_eq;

const CONTAINER_LISTS: [&str; 2] = ["initContainers", "containers"];
const UPDATABLE: &str = "`spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,\
    `spec.tolerations` (only additions to existing tolerations),\
    `spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)";

/// An update of a pod itself; its status is another's.
pub(in crate::schema) fn pod_update(new: &Value, old: &Value) -> Errors {
    let mut errors = pod_parts(new);
    let (new, old, path) = (&new["spec"], &old["spec"], Path::new("spec"));
    for member in ["containers", "initContainers"] {
        if list(new, member).len() != list(old, member).len() {
            let detail = "pod updates may not add or remove containers";
            errors.push(FieldError::forbidden(&path.child(member), detail));
            return errors;
        }
        images(&mut errors, new, &path.child(member), member);
    }
    deadline(&mut errors, new, old, &path.child("activeDeadlineSeconds"));
    added_tolerations(&mut errors, new, old, &path.child("tolerations"));
    removed_gates(&mut errors, new, old, &path.child("schedulingGates"));
    let changed = changes(&with_old_mutables(new, old), old);
    if !changed.is_empty() {
        let detail = format!("pod updates may not change fields other than {UPDATABLE}\n{}", changed.join("\n"));
        errors.push(FieldError::forbidden(&path, detail));
    }
    errors
}

/// Images may change, but not to what a template could have and nothing can pull.
fn images(errors: &mut Errors, spec: &Value, path: &Path, member: &'static str) {
    for (index, container) in list(spec, member).iter().enumerate() {
        let (image, path) = (text(container, "image"), path.index(index).child("image"));
        if image.is_empty() {
            errors.push(FieldError::required(&path, ""));
        }
        if image.trim() != image {
            errors.push(FieldError::invalid(&path, image, "must not have leading or trailing whitespace"));
        }
    }
}

fn deadline(errors: &mut Errors, new: &Value, old: &Value, path: &Path) {
    let (new, old) = (int(new, "activeDeadlineSeconds"), int(old, "activeDeadlineSeconds"));
    match (new, old) {
        (Some(new), Some(old)) if old < new => {
            let detail = "must be less than or equal to previous value";
            errors.push(FieldError::invalid(path, new, detail));
        }
        (None, Some(_)) => {
            let detail = "must not update from a positive integer to nil value";
            errors.push(FieldError::invalid(path, BadValue::NULL, detail));
        }
        _ => {}
    }
}

/// A toleration may be added, and its seconds may change; none may go.
fn added_tolerations(errors: &mut Errors, new: &Value, old: &Value, path: &Path) {
    let same =
        |a: &Value, b: &Value| ["key", "operator", "value", "effect"].iter().all(|name| text(a, name) == text(b, name));
    let kept = list(old, "tolerations").iter().all(|old| list(new, "tolerations").iter().any(|new| same(new, old)));
    if !kept {
        let detail = "existing toleration can not be modified except its tolerationSeconds";
        errors.push(FieldError::forbidden(path, detail));
    }
}

fn removed_gates(errors: &mut Errors, new: &Value, old: &Value, path: &Path) {
    let before = list(old, "schedulingGates");
    let added = list(new, "schedulingGates").iter().enumerate().filter(|(_, gate)| !before.contains(gate));
    for (index, gate) in added {
        let detail = format!("only deletion is allowed, but found new scheduling gate '{}'", text(gate, "name"));
        errors.push(FieldError::forbidden(&path.index(index).child("name"), detail));
    }
}

/// The new spec with everything that may change set back.
fn with_old_mutables(new: &Value, old: &Value) -> Value {
    let mut set_back = new.clone();
    for member in CONTAINER_LISTS {
        if let Some(Value::Array(containers)) = set_back.get_mut(member) {
            for (container, old) in containers.iter_mut().zip(list(old, member)) {
                restore(container, old, "image");
            }
        }
    }
    for name in ["activeDeadlineSeconds", "tolerations", "schedulingGates"] {
        restore(&mut set_back, old, name);
    }
    let forgiven = int(old, "terminationGracePeriodSeconds").is_some_and(|seconds| seconds < 0);
    if forgiven && int(new, "terminationGracePeriodSeconds") == Some(1) {
        restore(&mut set_back, old, "terminationGracePeriodSeconds");
    }
    set_back
}

fn restore(target: &mut Value, old: &Value, name: &str) {
    let Some(target) = target.as_object_mut() else { return };
    match old.get(name) {
        Some(value) => drop(target.insert(name.to_owned(), value.clone())),
        None => drop(target.remove(name)),
    }
}

/// The members that differ, one line each; where Kubernetes prints a Go diff.
fn changes(new: &Value, old: &Value) -> Vec<String> {
    let members =
        |value: &Value| value.as_object().into_iter().flatten().map(|(name, _)| name.clone()).collect::<Vec<_>>();
    let mut names = [members(new), members(old)].concat();
    names.sort();
    names.dedup();
    let differs = |name: &String| !semantic_eq(&new[name.as_str()], &old[name.as_str()]);
    let line = |name: String| format!("  {name}: {} -> {}", old[name.as_str()], new[name.as_str()]);
    names.into_iter().filter(differs).map(line).collect()
}

/// An update of `status`.
pub(in crate::schema) fn pod_status(new: &Value) -> Errors {
    let mut errors = Errors::new();
    let (status, path) = (&new["status"], Path::new("status"));
    optional_name(&mut errors, status, &path, "nominatedNodeName", names::dns1123_subdomain);
    for (index, condition) in list(status, "conditions").iter().enumerate() {
        let kind = text(condition, "type");
        if !matches!(kind, "PodScheduled" | "Ready" | "Initialized") {
            let path = path.child("conditions").index(index).child("Type");
            invalid_each(&mut errors, &path, kind, names::qualified_name(kind));
        }
    }
    for member in ["podIPs", "hostIPs"] {
        for (index, address) in list(status, member).iter().enumerate() {
            ip_address(&mut errors, &path.child(member).index(index), text(address, "ip"));
        }
    }
    errors
}
