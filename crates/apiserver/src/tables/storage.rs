//! Columns and cells of storage and of runtimes.

use jiff::Timestamp;
use serde_json::Value;

use super::columns::Printer;
use super::kinds::{age, joined, list, name, or_none, text};

const CSI_NODE: &str = "Name; #Drivers: Drivers indicates the number of CSI drivers registered on the node; Age";
const CSI_DRIVER: &str = "Name; ?AttachRequired; ?PodInfoOnMount; ?StorageCapacity; TokenRequests; \
?RequiresRepublish; Modes; Age";
const STORAGE_CLASS: &str = "Name; Provisioner; ReclaimPolicy; VolumeBindingMode; AllowVolumeExpansion; Age";
/// Set on the class that claims without one get.
const IS_DEFAULT: [&str; 2] =
    ["storageclass.kubernetes.io/is-default-class", "storageclass.beta.kubernetes.io/is-default-class"];

impl Printer {
    pub(crate) fn runtime_classes() -> Printer {
        Printer::new("Name; Handler; Age", |class, now| {
            vec![name(class), text(class, "handler").into(), age(class, now)]
        })
    }

    pub(crate) fn csi_nodes() -> Printer {
        Printer::new(CSI_NODE, |node, now| {
            vec![name(node), list(&node["spec"], "drivers").len().into(), age(node, now)]
        })
    }

    pub(crate) fn csi_drivers() -> Printer {
        Printer::new(CSI_DRIVER, csi_driver)
    }

    pub(crate) fn csi_storage_capacities() -> Printer {
        Printer::new("Name; StorageClassName; Capacity", |capacity, _| {
            vec![name(capacity), text(capacity, "storageClassName").into(), text(capacity, "capacity").into()]
        })
    }

    pub(crate) fn storage_classes() -> Printer {
        Printer::new(STORAGE_CLASS, storage_class)
    }

    pub(crate) fn volume_attachments() -> Printer {
        Printer::new("Name; Attacher; PV; Node; ?Attached; Age", volume_attachment).with_format("Attacher", "name")
    }

    pub(crate) fn volume_attributes_classes() -> Printer {
        Printer::new("Name; DriverName; Age", |class, now| {
            vec![name(class), text(class, "driverName").into(), age(class, now)]
        })
    }
}

fn csi_driver(driver: &Value, now: Timestamp) -> Vec<Value> {
    let spec = &driver["spec"];
    let flag = |name: &str, default: bool| Value::from(spec[name].as_bool().unwrap_or(default));
    let audiences = joined(list(spec, "tokenRequests").iter().map(|request| text(request, "audience")));
    let requests = if spec["tokenRequests"].is_null() { "<unset>".into() } else { audiences };
    vec![
        name(driver),
        flag("attachRequired", true),
        flag("podInfoOnMount", false),
        flag("storageCapacity", false),
        requests.into(),
        flag("requiresRepublish", false),
        or_none(joined(list(spec, "volumeLifecycleModes").iter().filter_map(Value::as_str))),
        age(driver, now),
    ]
}

fn storage_class(class: &Value, now: Timestamp) -> Vec<Value> {
    let is_default = IS_DEFAULT.iter().any(|key| class["metadata"]["annotations"][key] == "true");
    let marked = format!("{} (default)", text(&class["metadata"], "name"));
    vec![
        if is_default { marked.into() } else { name(class) },
        text(class, "provisioner").into(),
        text(class, "reclaimPolicy").into(),
        text(class, "volumeBindingMode").into(),
        class["allowVolumeExpansion"].as_bool().unwrap_or(false).into(),
        age(class, now),
    ]
}

fn volume_attachment(attachment: &Value, now: Timestamp) -> Vec<Value> {
    let spec = &attachment["spec"];
    vec![
        name(attachment),
        text(spec, "attacher").into(),
        text(&spec["source"], "persistentVolumeName").into(),
        text(spec, "nodeName").into(),
        attachment["status"]["attached"].as_bool().unwrap_or(false).into(),
        age(attachment, now),
    ]
}
