//! Namespaces and nodes.

use everynode_api::decode::{BODY_BYTES_MAX, DecodeError, decode};
use everynode_api::field::{FieldError, Path};
use everynode_api::names;
use everynode_api::quantity::Quantity;
use serde_json::Value;

use super::check::{CIDR, Errors, entries, invalid_each, is_cidr, list, present, text};
use super::pod;

/// Resources that a node has in whole numbers only, besides the extended ones.
const COUNTED: [&str; 5] = ["pods", "services", "replicationcontrollers", "resourcequotas", "secrets"];

pub(in crate::schema) fn namespace(object: &Value) -> Errors {
    let mut errors = Errors::new();
    // Kubernetes says these paths without their indexes.
    let path = Path::new("spec").child("finalizers");
    for finalizer in list(&object["spec"], "finalizers") {
        let name = finalizer.as_str().unwrap_or_default();
        invalid_each(&mut errors, &path, name, names::qualified_name(name));
        if !name.contains('/') && !matches!(name, "kubernetes" | "orphan" | "foregroundDeletion") {
            let detail = "name is neither a standard finalizer name nor is it fully qualified";
            errors.push(FieldError::invalid(&path, name, detail));
        }
    }
    errors
}

/// An update of `status`: the phase follows from the deletion.
pub(in crate::schema) fn namespace_status(new: &Value) -> Errors {
    let ends = !text(&new["metadata"], "deletionTimestamp").is_empty();
    let (phase, right) = (text(&new["status"], "phase"), if ends { "Terminating" } else { "Active" });
    if phase == right {
        return Errors::new();
    }
    let when = if ends { "not empty" } else { "empty" };
    let detail = format!("may only be '{right}' if `deletionTimestamp` is {when}");
    vec![FieldError::invalid(&Path::new("status").child("Phase"), phase, detail)]
}

pub(in crate::schema) fn node(object: &Value) -> Errors {
    let mut errors = Errors::new();
    let path = Path::new("spec").child("podCIDRs");
    // Kubernetes says that taints are below `metadata`.
    pod::taints(&mut errors, &object["spec"], &Path::new("metadata").child("taints"));
    let cidrs: Vec<&str> = list(&object["spec"], "podCIDRs").iter().filter_map(Value::as_str).collect();
    for (index, cidr) in cidrs.iter().enumerate().filter(|(_, cidr)| !is_cidr(cidr)) {
        errors.push(FieldError::invalid(&path.index(index), *cidr, CIDR));
    }
    let families = cidrs.iter().filter(|cidr| cidr.contains(':')).count();
    if families > 1 || cidrs.len() - families > 1 {
        let detail = "may specify no more than one CIDR for each IP family";
        errors.push(FieldError::invalid(&path, object["spec"]["podCIDRs"].clone(), detail));
    }
    amounts(&mut errors, object);
    avoid_pods(&mut errors, &object["metadata"]);
    errors
}

/// Pods that a node wanted to be without, in JSON: of old, and still looked at.
fn avoid_pods(errors: &mut Errors, meta: &Value) {
    const NAME: &str = "scheduler.alpha.kubernetes.io/preferAvoidPods";
    let Some(text) = meta["annotations"][NAME].as_str() else { return };
    if let Err(DecodeError::Malformed(why)) = decode(text.as_bytes(), BODY_BYTES_MAX) {
        let path = Path::new("metadata").child("annotations").child("AvoidPods");
        errors.push(FieldError::invalid(&path, NAME, why));
    }
}

pub(in crate::schema) fn node_update(new: &Value, old: &Value) -> Errors {
    let mut errors = addresses(new);
    let (new, old, path) = (&new["spec"], &old["spec"], Path::new("spec"));
    let mut fixed_once_set = |name: &'static str, detail: &str| {
        if present(old, name).is_some() && new.get(name) != old.get(name) {
            errors.push(FieldError::forbidden(&path.child(name), detail));
        }
    };
    fixed_once_set("podCIDRs", "node updates may not change podCIDR except from \"\" to valid");
    fixed_once_set("providerID", "node updates may not change providerID except from \"\" to valid");
    errors
}

/// What a node reports of itself.
pub(in crate::schema) fn node_status(object: &Value) -> Errors {
    let mut errors = addresses(object);
    amounts(&mut errors, object);
    errors
}

/// Addresses may be there twice in a new node, but not in one that changes.
fn addresses(object: &Value) -> Errors {
    let mut errors = Errors::new();
    let path = Path::new("status").child("addresses");
    let addresses = list(&object["status"], "addresses");
    for (index, address) in addresses.iter().enumerate() {
        if addresses[..index].contains(address) {
            errors.push(FieldError::duplicate(&path.index(index), address.clone()));
        }
    }
    errors
}

fn amounts(errors: &mut Errors, object: &Value) {
    for member in ["capacity", "allocatable"] {
        for (name, value) in entries(&object["status"], member) {
            let path = Path::new("status").child(member).child(name.to_owned());
            invalid_each(errors, &path, name, names::qualified_name(name));
            let Ok(quantity) = Quantity::from_json(value) else { continue };
            pod::quantity_value(errors, name, quantity, &path);
            if COUNTED.contains(&name) && !quantity.is_whole() {
                errors.push(FieldError::invalid(&path, quantity.to_string(), "must be an integer"));
            }
        }
    }
}
