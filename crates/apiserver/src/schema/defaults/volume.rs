//! Defaults of volumes.

use serde_json::{Map, Value, json};

use super::pod::{field_reference, pull_policy};
use super::{each, fill, fill_pointer, with};

/// Octal 0644, the mode of files made from config maps, secrets and the like.
const FILE_MODE: i64 = 0o644;

/// One entry of `volumes`.
pub(super) fn volume(volume: &mut Map<String, Value>) {
    if volume.keys().all(|name| name == "name") {
        volume.insert("emptyDir".into(), json!({}));
    }
    with(volume, "hostPath", |path| fill_pointer(path, "type", || "".into()));
    for name in ["secret", "configMap", "downwardAPI", "projected"] {
        with(volume, name, |source| fill_pointer(source, "defaultMode", || FILE_MODE.into()));
    }
    with(volume, "downwardAPI", |source| each(source, "items", field_reference));
    with(volume, "projected", |source| each(source, "sources", projection));
    with(volume, "image", |image| {
        let policy = pull_policy(image.get("reference").and_then(Value::as_str).unwrap_or_default());
        fill(image, "pullPolicy", || policy.into());
    });
    with(volume, "ephemeral", |source| {
        with(source, "volumeClaimTemplate", |claim| {
            with(claim, "spec", |spec| {
                fill_pointer(spec, "volumeMode", || "Filesystem".into());
            })
        });
    });
    remote(volume);
}

fn projection(source: &mut Map<String, Value>) {
    with(source, "serviceAccountToken", |token| fill_pointer(token, "expirationSeconds", || 3600.into()));
    with(source, "downwardAPI", |source| each(source, "items", field_reference));
}

/// Volumes of storage systems.
fn remote(volume: &mut Map<String, Value>) {
    with(volume, "iscsi", |source| fill(source, "iscsiInterface", || "default".into()));
    with(volume, "rbd", |source| {
        fill(source, "pool", || "rbd".into());
        fill(source, "user", || "admin".into());
        fill(source, "keyring", || "/etc/ceph/keyring".into());
    });
    with(volume, "azureDisk", |source| {
        fill_pointer(source, "cachingMode", || "ReadWrite".into());
        fill_pointer(source, "kind", || "Shared".into());
        fill_pointer(source, "fsType", || "ext4".into());
        fill_pointer(source, "readOnly", || false.into());
    });
    with(volume, "scaleIO", |source| {
        fill(source, "storageMode", || "ThinProvisioned".into());
        fill(source, "fsType", || "xfs".into());
    });
}
