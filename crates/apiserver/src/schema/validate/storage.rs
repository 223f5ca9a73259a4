//! Storage and runtimes.

use std::collections::BTreeSet;

use everynode_api::field::{FieldError, Path};
use everynode_api::names;
use everynode_api::quantity::Quantity;
use serde_json::Value;

use super::check::{
    Errors, entries, immutable, int, invalid_each, label_selector, labels, list, non_negative, number, one_of,
    optional_one_of, present, required, text, whole,
};
use super::pod;

/// Parameters of a class: their number, and their bytes together.
const PARAMETERS_MAX: usize = 512;
const PARAMETERS_BYTES_MAX: usize = 256 << 10;
/// A driver's name for a node.
const NODE_ID_BYTES_MAX: usize = 256;
const DRIVER_NAME_BYTES_MAX: usize = 63;
/// A token for a driver lives at least so long, as all tokens do, and at most 2^32 seconds.
const TOKEN_SECONDS_MIN: i64 = 600;

pub(in crate::schema) fn runtime_class(object: &Value) -> Errors {
    let mut errors = Errors::new();
    let handler = text(object, "handler");
    invalid_each(&mut errors, &Path::new("handler"), handler, names::dns1123_label(handler));
    pod::overhead(&mut errors, &object["overhead"], &Path::new("overhead"));
    let (scheduling, path) = (&object["scheduling"], Path::new("scheduling"));
    labels(&mut errors, scheduling, &path, "nodeSelector");
    pod::tolerations(&mut errors, scheduling, &path.child("tolerations"));
    errors
}

pub(in crate::schema) fn runtime_class_update(new: &Value, old: &Value) -> Errors {
    let mut errors = Errors::new();
    immutable(&mut errors, new, old, &Path::nil(), "handler");
    errors
}

pub(in crate::schema) fn csi_driver(object: &Value) -> Errors {
    let mut errors = Errors::new();
    let (spec, path) = (&object["spec"], Path::new("spec"));
    driver_name(&mut errors, text(&object["metadata"], "name"), &Path::new("metadata").child("name"));
    one_of(&mut errors, spec, &path, "fsGroupPolicy", &["File", "None", "ReadWriteOnceWithFSType"]);
    token_requests(&mut errors, spec, &path.child("tokenRequests"));
    for mode in list(spec, "volumeLifecycleModes").iter().filter_map(Value::as_str) {
        if !["Ephemeral", "Persistent"].contains(&mode) {
            let path = path.child("volumeLifecycleModes");
            errors.push(FieldError::not_supported(&path, mode, &["Ephemeral", "Persistent"]));
        }
    }
    errors
}

fn token_requests(errors: &mut Errors, spec: &Value, path: &Path) {
    let mut audiences = BTreeSet::new();
    for (index, request) in list(spec, "tokenRequests").iter().enumerate() {
        let (audience, path) = (text(request, "audience"), path.index(index));
        if !audiences.insert(audience) {
            errors.push(FieldError::duplicate(&path.child("audience"), audience));
        }
        let Some(seconds) = int(request, "expirationSeconds") else { continue };
        let detail = match seconds {
            ..TOKEN_SECONDS_MIN => "may not specify a duration less than 10 minutes",
            seconds if seconds > 1 << 32 => "may not specify a duration larger than 2^32 seconds",
            _ => continue,
        };
        errors.push(FieldError::invalid(&path.child("expirationSeconds"), seconds, detail));
    }
}

/// What drivers rely on from the beginning.
pub(in crate::schema) fn csi_driver_update(new: &Value, old: &Value) -> Errors {
    let mut errors = Errors::new();
    let members = [("attachRequired", "attachedRequired"), ("volumeLifecycleModes", "volumeLifecycleModes")];
    for (member, shown) in members {
        let (new, old) = (&new["spec"][member], &old["spec"][member]);
        if new != old {
            let path = Path::new("spec").child(shown);
            errors.push(FieldError::invalid(&path, new.clone(), "field is immutable"));
        }
    }
    errors
}

fn driver_name(errors: &mut Errors, name: &str, path: &Path) {
    if name.is_empty() {
        errors.push(FieldError::required(path, ""));
    }
    if name.len() > DRIVER_NAME_BYTES_MAX {
        errors.push(FieldError::too_long(path, DRIVER_NAME_BYTES_MAX));
    }
    if !name.is_empty() {
        invalid_each(errors, path, name, names::dns1123_subdomain(&name.to_ascii_lowercase()));
    }
}

pub(in crate::schema) fn csi_node(object: &Value) -> Errors {
    let mut errors = Errors::new();
    let path = Path::new("spec").child("drivers");
    let mut seen = BTreeSet::new();
    for (index, driver) in list(&object["spec"], "drivers").iter().enumerate() {
        let path = path.index(index);
        csi_node_driver(&mut errors, driver, &path);
        if !seen.insert(text(driver, "name")) {
            errors.push(FieldError::duplicate(&path.child("name"), text(driver, "name")));
        }
    }
    errors
}

fn csi_node_driver(errors: &mut Errors, driver: &Value, path: &Path) {
    driver_name(errors, text(driver, "name"), &path.child("name"));
    if required(errors, driver, path, "nodeID") && text(driver, "nodeID").len() > NODE_ID_BYTES_MAX {
        let detail = format!("must be {NODE_ID_BYTES_MAX} characters or less");
        errors.push(FieldError::invalid(&path.child("nodeID"), text(driver, "nodeID"), detail));
    }
    non_negative(errors, &driver["allocatable"], &path.child("allocatable"), &["count"]);
    let mut keys = BTreeSet::new();
    for key in list(driver, "topologyKeys").iter().filter_map(Value::as_str) {
        let path = path.child("topologyKeys");
        match key {
            "" => errors.push(FieldError::required(&path, "")),
            key if !keys.insert(key) => errors.push(FieldError::duplicate(&path, key)),
            key => invalid_each(errors, &path, key, names::qualified_name(key)),
        }
    }
}

/// A driver keeps the name that it has for the node.
pub(in crate::schema) fn csi_node_update(new: &Value, old: &Value) -> Errors {
    let (drivers, before) = (list(&new["spec"], "drivers"), list(&old["spec"], "drivers"));
    let is_changed = |driver: &&Value| {
        let known = before.iter().find(|known| text(known, "name") == text(driver, "name"));
        let same = |known: &Value| ["nodeID", "topologyKeys"].iter().all(|name| known.get(*name) == driver.get(*name));
        known.is_some_and(|known| !same(known))
    };
    let changed = drivers.iter().find(is_changed);
    let error = |driver: &Value| FieldError::invalid(&Path::new("CSINodeDriver"), whole(driver), "field is immutable");
    changed.map(error).into_iter().collect()
}

pub(in crate::schema) fn csi_storage_capacity(object: &Value) -> Errors {
    let mut errors = Errors::new();
    let class = text(object, "storageClassName");
    invalid_each(&mut errors, &Path::new("storageClassName"), class, names::dns1123_subdomain(class));
    label_selector(&mut errors, object, &Path::nil(), "nodeTopology");
    for name in ["capacity", "maximumVolumeSize"] {
        let amount = present(object, name).and_then(|amount| Quantity::from_json(amount).ok());
        if let Some(amount) = amount.filter(|amount| amount.is_negative()) {
            let detail = "must be greater than or equal to 0";
            errors.push(FieldError::invalid(&Path::new(name), amount.to_string(), detail));
        }
    }
    errors
}

pub(in crate::schema) fn csi_storage_capacity_update(new: &Value, old: &Value) -> Errors {
    let mut errors = Errors::new();
    for name in ["nodeTopology", "storageClassName"] {
        immutable(&mut errors, new, old, &Path::nil(), name);
    }
    errors
}

pub(in crate::schema) fn storage_class(object: &Value) -> Errors {
    let mut errors = Errors::new();
    if required(&mut errors, object, &Path::nil(), "provisioner") {
        let name = text(object, "provisioner");
        let complaints = names::qualified_name(&name.to_ascii_lowercase());
        invalid_each(&mut errors, &Path::new("provisioner"), name, complaints);
    }
    parameters(&mut errors, object, true);
    optional_one_of(&mut errors, object, &Path::nil(), "reclaimPolicy", &["Delete", "Retain"]);
    optional_one_of(&mut errors, object, &Path::nil(), "volumeBindingMode", &["Immediate", "WaitForFirstConsumer"]);
    for (index, term) in list(object, "allowedTopologies").iter().enumerate() {
        topology_term(&mut errors, term, &Path::new("allowedTopologies").index(index));
    }
    errors
}

fn topology_term(errors: &mut Errors, term: &Value, path: &Path) {
    let path = path.child("matchLabelExpressions");
    for (index, expression) in list(term, "matchLabelExpressions").iter().enumerate() {
        let path = path.index(index);
        if list(expression, "values").is_empty() {
            errors.push(FieldError::required(&path.child("values"), ""));
        }
        super::check::label_name(errors, &path.child("key"), text(expression, "key"));
    }
}

/// The parameters of a class, for its driver.
fn parameters(errors: &mut Errors, object: &Value, may_be_empty: bool) {
    let path = Path::new("parameters");
    let (mut count, mut bytes) = (0, 0);
    for (key, value) in entries(object, "parameters") {
        if key.is_empty() {
            errors.push(FieldError::invalid(&path, key, "field can not be empty."));
        }
        count += 1;
        bytes += key.len() + value.as_str().map_or(0, str::len);
    }
    if count > PARAMETERS_MAX {
        let detail = format!("may not have more than {PARAMETERS_MAX} entries");
        errors.push(FieldError { detail, ..FieldError::too_long(&path, PARAMETERS_MAX) });
    }
    if bytes > PARAMETERS_BYTES_MAX {
        errors.push(FieldError::too_long(&path, PARAMETERS_BYTES_MAX));
    }
    if count == 0 && !may_be_empty {
        errors.push(FieldError::required(&path, "must contain at least one key/value pair"));
    }
}

pub(in crate::schema) fn storage_class_update(new: &Value, old: &Value) -> Errors {
    let mut errors = Errors::new();
    for name in ["parameters", "provisioner", "reclaimPolicy"] {
        if present(new, name) != present(old, name) {
            errors.push(FieldError::forbidden(&Path::new(name), format!("updates to {name} are forbidden.")));
        }
    }
    immutable(&mut errors, new, old, &Path::nil(), "volumeBindingMode");
    errors
}

pub(in crate::schema) fn volume_attributes_class(object: &Value) -> Errors {
    let mut errors = Errors::new();
    driver_name(&mut errors, text(object, "driverName"), &Path::new("driverName"));
    parameters(&mut errors, object, false);
    errors
}

pub(in crate::schema) fn volume_attributes_class_update(new: &Value, old: &Value) -> Errors {
    let mut errors = Errors::new();
    for name in ["driverName", "parameters"] {
        immutable(&mut errors, new, old, &Path::nil(), name);
    }
    errors
}

pub(in crate::schema) fn volume_attachment(object: &Value) -> Errors {
    let mut errors = Errors::new();
    let (spec, path) = (&object["spec"], Path::new("spec"));
    driver_name(&mut errors, text(spec, "attacher"), &path.child("attacher"));
    let (source, source_path) = (&spec["source"], path.child("source"));
    let (claimed, inline) = (present(source, "persistentVolumeName"), present(source, "inlineVolumeSpec"));
    let one = "must specify exactly one of inlineVolumeSpec and persistentVolumeName";
    match (claimed.and_then(Value::as_str), inline) {
        (None, None) => errors.push(FieldError::required(&source_path, one)),
        (Some(_), Some(_)) => errors.push(FieldError::forbidden(&source_path, one)),
        (Some(""), None) => {
            let path = source_path.child("persistentVolumeName");
            errors.push(FieldError::required(&path, "must specify non empty persistentVolumeName"));
        }
        (Some(name), None) => {
            let path = source_path.child("persistentVolumeName");
            invalid_each(&mut errors, &path, name, names::dns1123_subdomain(name));
        }
        (None, Some(_)) => {}
    }
    let node = text(spec, "nodeName");
    invalid_each(&mut errors, &path.child("nodeName"), node, names::dns1123_subdomain(node));
    attachment_status(&mut errors, &object["status"]);
    errors
}

fn attachment_status(errors: &mut Errors, status: &Value) {
    for member in ["attachError", "detachError"] {
        if let Some(code) = int(&status[member], "errorCode") {
            let path = Path::new("status").child(member).child("errorCode");
            number(errors, &path, code, |code| names::in_range(code, 0, i64::from(i32::MAX)));
        }
    }
}

pub(in crate::schema) fn volume_attachment_update(new: &Value, old: &Value) -> Errors {
    let mut errors = volume_attachment(new);
    if !crate::schema::semantic_eq(&new["spec"], &old["spec"]) {
        errors.push(FieldError::invalid(&Path::new("spec"), whole(&new["spec"]), "field is immutable"));
    }
    errors
}
