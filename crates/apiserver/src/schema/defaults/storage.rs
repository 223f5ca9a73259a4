//! Defaults of storage.

use serde_json::{Map, Value, json};

use super::{fill_pointer, with};

pub(in crate::schema) fn csi_driver(driver: &mut Map<String, Value>) {
    with(driver, "spec", |spec| {
        fill_pointer(spec, "attachRequired", || true.into());
        fill_pointer(spec, "fsGroupPolicy", || "ReadWriteOnceWithFSType".into());
        for name in ["podInfoOnMount", "requiresRepublish", "seLinuxMount", "storageCapacity"] {
            fill_pointer(spec, name, || false.into());
        }
        if spec.get("volumeLifecycleModes").is_none_or(|modes| modes.as_array().is_none_or(Vec::is_empty)) {
            spec.insert("volumeLifecycleModes".into(), json!(["Persistent"]));
        }
    });
}

pub(in crate::schema) fn storage_class(class: &mut Map<String, Value>) {
    fill_pointer(class, "reclaimPolicy", || "Delete".into());
    fill_pointer(class, "volumeBindingMode", || "Immediate".into());
}
