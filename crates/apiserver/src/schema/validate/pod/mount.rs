//! Volume mounts and raw devices of a container.

use std::collections::BTreeSet;

use everynode_api::field::{FieldError, Path};
use serde_json::Value;

use super::super::check::{Errors, flag, list, local_path, one_of, optional_one_of, present, required, text};
use super::volume;

pub(super) fn mounts(errors: &mut Errors, spec: &Value, container: &Value, path: &Path) {
    let devices = list(container, "volumeDevices");
    let mut seen = BTreeSet::new();
    for (index, mount) in list(container, "volumeMounts").iter().enumerate() {
        let mounts = path.child("volumeMounts");
        let path = mounts.index(index);
        volume_name(errors, spec, mount, &path);
        required(errors, mount, &path, "mountPath");
        let (name, target) = (text(mount, "name"), text(mount, "mountPath"));
        if !seen.insert(target) {
            errors.push(FieldError::invalid(&path.child("mountPath"), target, "must be unique"));
        }
        if devices.iter().any(|device| text(device, "name") == name) {
            errors.push(FieldError::invalid(&path.child("name"), name, "must not already exist in volumeDevices"));
        }
        if devices.iter().any(|device| text(device, "devicePath") == target) {
            let detail = "must not already exist as a path in volumeDevices";
            errors.push(FieldError::invalid(&path.child("mountPath"), target, detail));
        }
        sub_path(errors, mount, &path);
        propagation(errors, container, mount, &mounts);
        recursive_read_only(errors, mount, &path);
    }
    raw_devices(errors, spec, devices, &path.child("volumeDevices"));
}

fn volume_name(errors: &mut Errors, spec: &Value, mount: &Value, path: &Path) {
    required(errors, mount, path, "name");
    let name = text(mount, "name");
    if !volume::has(spec, name) {
        errors.push(FieldError::not_found(&path.child("name"), name));
    }
}

/// DS-H35
fn sub_path(errors: &mut Errors, mount: &Value, path: &Path) {
    local_path(errors, mount, path, "subPath");
    let expression = text(mount, "subPathExpr");
    if !expression.is_empty() && !text(mount, "subPath").is_empty() {
        let detail = "subPathExpr and subPath are mutually exclusive";
        errors.push(FieldError::invalid(&path.child("subPathExpr"), expression, detail));
    }
    local_path(errors, mount, path, "subPathExpr");
}

/// DS-H32. As Kubernetes has it, the path names no mount.
fn propagation(errors: &mut Errors, container: &Value, mount: &Value, path: &Path) {
    let modes = ["Bidirectional", "HostToContainer", "None"];
    optional_one_of(errors, mount, path, "mountPropagation", &modes);
    if text(mount, "mountPropagation") == "Bidirectional" && !flag(&container["securityContext"], "privileged") {
        let detail = "Bidirectional mount propagation is available only to privileged containers";
        errors.push(FieldError::forbidden(&path.child("mountPropagation"), detail));
    }
}

fn recursive_read_only(errors: &mut Errors, mount: &Value, path: &Path) {
    if present(mount, "recursiveReadOnly").is_none() {
        return;
    }
    one_of(errors, mount, path, "recursiveReadOnly", &["Disabled", "Enabled", "IfPossible"]);
    if !matches!(text(mount, "recursiveReadOnly"), "Enabled" | "IfPossible") {
        return;
    }
    let path = path.child("recursiveReadOnly");
    if !flag(mount, "readOnly") {
        errors.push(FieldError::forbidden(&path, "may only be specified when readOnly is true"));
    }
    if !matches!(text(mount, "mountPropagation"), "" | "None") {
        let detail = "may only be specified when mountPropagation is None or not specified";
        errors.push(FieldError::forbidden(&path, detail));
    }
}

fn raw_devices(errors: &mut Errors, spec: &Value, devices: &[Value], path: &Path) {
    for (index, device) in devices.iter().enumerate() {
        let path = path.index(index);
        let name = text(device, "name");
        required(errors, device, &path, "name");
        required(errors, device, &path, "devicePath");
        let volume = list(spec, "volumes").iter().find(|volume| text(volume, "name") == name);
        match volume {
            None => errors.push(FieldError::not_found(&path.child("name"), name)),
            Some(volume) if is_claim(volume) => {}
            Some(_) => {
                let detail = "can only use volume source type of PersistentVolumeClaim or Ephemeral for block mode";
                errors.push(FieldError::invalid(&path.child("name"), name, detail));
            }
        }
    }
}

fn is_claim(volume: &Value) -> bool {
    present(volume, "persistentVolumeClaim").is_some() || present(volume, "ephemeral").is_some()
}
