//! Persistent volumes, claims, and templates of pods.

use everynode_api::field::{FieldError, Path};
use everynode_api::names;
use everynode_api::quantity::Quantity;
use serde_json::Value;

use super::check::{Errors, entries, immutable, invalid_each, list, optional_one_of, present, required, text};
use super::pod;

const ACCESS_MODES: [&str; 4] = ["ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod"];
const VOLUME_MODES: [&str; 2] = ["Block", "Filesystem"];
/// The members of a volume's spec that say where it is.
const SOURCES: [&str; 22] = [
    "awsElasticBlockStore",
    "azureDisk",
    "azureFile",
    "cephfs",
    "cinder",
    "csi",
    "fc",
    "flexVolume",
    "flocker",
    "gcePersistentDisk",
    "glusterfs",
    "hostPath",
    "iscsi",
    "local",
    "nfs",
    "photonPersistentDisk",
    "portworxVolume",
    "quobyte",
    "rbd",
    "scaleIO",
    "storageos",
    "vsphereVolume",
];

pub(in crate::schema) fn persistent_volume(object: &Value) -> Errors {
    let mut errors = Errors::new();
    let (spec, path) = (&object["spec"], Path::new("spec"));
    access_modes(&mut errors, spec, &path, "");
    capacity(&mut errors, spec, &path.child("capacity"));
    let policies = ["Delete", "Recycle", "Retain"];
    optional_one_of(&mut errors, spec, &path, "persistentVolumeReclaimPolicy", &policies);
    if let Some(affinity) = present(spec, "nodeAffinity") {
        let path = path.child("nodeAffinity").child("required");
        match present(affinity, "required") {
            None => errors.push(FieldError::required(&path, "must specify required node constraints")),
            Some(selector) => pod::node_selector(&mut errors, selector, &path),
        }
    }
    sources(&mut errors, spec, &path);
    class_name(&mut errors, spec, &path);
    optional_one_of(&mut errors, spec, &path, "volumeMode", &VOLUME_MODES);
    errors
}

fn access_modes(errors: &mut Errors, spec: &Value, path: &Path, missing: &str) {
    let (modes, path) = (list(spec, "accessModes"), path.child("accessModes"));
    if modes.is_empty() {
        errors.push(FieldError::required(&path, missing));
    }
    let modes: Vec<&str> = modes.iter().filter_map(Value::as_str).collect();
    for mode in modes.iter().filter(|mode| !ACCESS_MODES.contains(mode)) {
        errors.push(FieldError::not_supported(&path, *mode, &ACCESS_MODES));
    }
    if modes.contains(&"ReadWriteOncePod") && modes.len() > 1 {
        let detail = "may not use ReadWriteOncePod with other access modes";
        errors.push(FieldError::forbidden(&path, detail));
    }
}

fn capacity(errors: &mut Errors, spec: &Value, path: &Path) {
    let amounts: Vec<(&str, &Value)> = entries(spec, "capacity").collect();
    if amounts.is_empty() {
        errors.push(FieldError::required(path, ""));
    } else if amounts.len() > 1 || amounts[0].0 != "storage" {
        errors.push(FieldError::not_supported(path, spec["capacity"].clone(), &["storage"]));
    }
    for (name, amount) in amounts {
        positive(errors, amount, &path.key(name));
    }
}

fn positive(errors: &mut Errors, amount: &Value, path: &Path) {
    let Ok(amount) = Quantity::from_json(amount) else { return };
    if amount.is_zero() || amount.is_negative() {
        errors.push(FieldError::invalid(path, amount.to_string(), "must be greater than zero"));
    }
}

fn sources(errors: &mut Errors, spec: &Value, path: &Path) {
    let mut given = SOURCES.iter().filter(|name| present(spec, name).is_some());
    let Some(first) = given.next() else {
        return errors.push(FieldError::required(path, "must specify a volume type"));
    };
    let (source, source_path) = (&spec[*first], path.child(*first));
    match *first {
        "hostPath" => pod::host_path(errors, source, &source_path),
        "local" => {
            required(errors, source, &source_path, "path");
            if present(spec, "nodeAffinity").is_none() {
                let path = path.child("nodeAffinity");
                errors.push(FieldError::required(&path, "Local volume requires node affinity"));
            }
        }
        "nfs" => {
            required(errors, source, &source_path, "server");
            required(errors, source, &source_path, "path");
        }
        "csi" => {
            required(errors, source, &source_path, "driver");
            required(errors, source, &source_path, "volumeHandle");
        }
        _ => {}
    }
    for name in given {
        errors.push(FieldError::forbidden(&path.child(*name), "may not specify more than 1 volume type"));
    }
}

fn class_name(errors: &mut Errors, spec: &Value, path: &Path) {
    let class = text(spec, "storageClassName");
    if !class.is_empty() {
        invalid_each(errors, &path.child("storageClassName"), class, names::dns1123_subdomain(class));
    }
}

pub(in crate::schema) fn persistent_volume_update(new: &Value, old: &Value) -> Errors {
    let mut errors = Errors::new();
    let (new, old, path) = (&new["spec"], &old["spec"], Path::new("spec"));
    let is_moved = SOURCES.iter().any(|name| present(new, name) != present(old, name));
    if is_moved {
        let path = path.child("persistentvolumesource");
        let detail = "spec.persistentvolumesource is immutable after creation";
        errors.push(FieldError::forbidden(&path, detail));
    }
    immutable(&mut errors, new, old, &path, "volumeMode");
    if present(old, "nodeAffinity").is_some() {
        immutable(&mut errors, new, old, &path, "nodeAffinity");
    }
    errors
}

pub(in crate::schema) fn persistent_volume_status(object: &Value) -> Errors {
    let mut errors = Errors::new();
    let phases = ["Available", "Bound", "Failed", "Pending", "Released"];
    optional_one_of(&mut errors, &object["status"], &Path::new("status"), "phase", &phases);
    errors
}

pub(in crate::schema) fn claim(object: &Value) -> Errors {
    let mut errors = Errors::new();
    let (spec, path) = (&object["spec"], Path::new("spec"));
    access_modes(&mut errors, spec, &path, "at least 1 access mode is required");
    super::check::label_selector(&mut errors, spec, &path, "selector");
    let resources = path.child("resources");
    match present(&spec["resources"]["requests"], "storage") {
        None => errors.push(FieldError::required(&resources.key("storage"), "")),
        Some(amount) => positive(&mut errors, amount, &resources.key("storage")),
    }
    class_name(&mut errors, spec, &path);
    optional_one_of(&mut errors, spec, &path, "volumeMode", &VOLUME_MODES);
    errors
}

/// A claim's size may grow, its class may be named late; everything else stays.
pub(in crate::schema) fn claim_update(new: &Value, old: &Value) -> Errors {
    let mut errors = Errors::new();
    let path = Path::new("spec");
    let is_bound = text(&old["status"], "phase") == "Bound";
    let rest = |object: &Value| {
        let members = object["spec"].as_object().into_iter().flatten();
        let stays = |name: &str| {
            name != "resources" && !(is_bound && name == "volumeAttributesClassName") && !may_be_named(old, name)
        };
        let kept = members.filter(|(name, _)| stays(name));
        kept.map(|(name, value)| (name.clone(), value.clone())).collect::<Value>()
    };
    let is_resized = new["spec"]["resources"] != old["spec"]["resources"];
    if !crate::schema::semantic_eq(&rest(new), &rest(old)) || is_resized && !is_bound {
        let detail = "spec is immutable after creation except resources.requests and volumeAttributesClassName for \
                      bound claims";
        errors.push(FieldError::forbidden(&path, detail));
    } else if is_resized {
        grown(&mut errors, new, old, &path.child("resources").child("requests").child("storage"));
    }
    errors
}

/// The volume that a claim gets, and the class that it was made without.
fn may_be_named(old: &Value, name: &str) -> bool {
    ["volumeName", "storageClassName"].contains(&name) && text(&old["spec"], name).is_empty()
}

fn grown(errors: &mut Errors, new: &Value, old: &Value, path: &Path) {
    let amount = |object: &Value| Quantity::from_json(&object["spec"]["resources"]["requests"]["storage"]).ok();
    let before = Quantity::from_json(&old["status"]["capacity"]["storage"]).ok();
    if amount(new) < amount(old) && before.is_none_or(|before| amount(new) <= Some(before)) {
        errors.push(FieldError::forbidden(path, "field can not be less than status.capacity"));
    }
}

pub(in crate::schema) fn claim_status(object: &Value) -> Errors {
    let mut errors = Errors::new();
    let (status, path) = (&object["status"], Path::new("status"));
    optional_one_of(&mut errors, status, &path, "phase", &["Bound", "Lost", "Pending"]);
    if list(&object["spec"], "accessModes").is_empty() {
        errors.push(FieldError::required(&Path::new("spec").child("accessModes"), ""));
    }
    for (name, amount) in entries(status, "capacity") {
        let Ok(amount) = Quantity::from_json(amount) else { continue };
        if amount.is_negative() {
            let path = path.child("capacity").key(name);
            errors.push(FieldError::invalid(&path, amount.to_string(), "must be greater than or equal to 0"));
        }
    }
    errors
}

pub(in crate::schema) fn pod_template(object: &Value) -> Errors {
    pod::template(&object["template"], &Path::new("template"))
}
