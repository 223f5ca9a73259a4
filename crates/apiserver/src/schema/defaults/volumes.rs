//! Defaults of persistent volumes, claims, and templates of pods.

use serde_json::{Map, Value, json};

use super::{fill, fill_pointer, pod, with};

pub(in crate::schema) fn persistent_volume(volume: &mut Map<String, Value>) {
    with(volume, "spec", |spec| {
        fill(spec, "persistentVolumeReclaimPolicy", || "Retain".into());
        fill_pointer(spec, "volumeMode", || "Filesystem".into());
        with(spec, "hostPath", |source| fill_pointer(source, "type", || "".into()));
        with(spec, "iscsi", |source| fill(source, "iscsiInterface", || "default".into()));
        with(spec, "rbd", |source| {
            fill(source, "pool", || "rbd".into());
            fill(source, "user", || "admin".into());
            fill(source, "keyring", || "/etc/ceph/keyring".into());
        });
        with(spec, "azureDisk", |source| {
            fill_pointer(source, "cachingMode", || "ReadWrite".into());
            fill_pointer(source, "kind", || "Shared".into());
            fill_pointer(source, "fsType", || "ext4".into());
            fill_pointer(source, "readOnly", || false.into());
        });
        with(spec, "scaleIO", |source| {
            fill(source, "storageMode", || "ThinProvisioned".into());
            fill(source, "fsType", || "xfs".into());
        });
    });
    phase(volume);
}

pub(in crate::schema) fn persistent_volume_claim(claim: &mut Map<String, Value>) {
    with(claim, "spec", |spec| fill_pointer(spec, "volumeMode", || "Filesystem".into()));
    phase(claim);
}

fn phase(object: &mut Map<String, Value>) {
    fill_pointer(object, "status", || json!({}));
    with(object, "status", |status| fill(status, "phase", || "Pending".into()));
}

pub(in crate::schema) fn pod_template(template: &mut Map<String, Value>) {
    with(template, "template", |template| with(template, "spec", pod::template));
}
