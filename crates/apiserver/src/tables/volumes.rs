//! Columns and cells of persistent volumes, claims, and templates of pods.

use jiff::Timestamp;
use serde_json::Value;

use super::columns::Printer;
use super::kinds::{age, joined, list, name, pairs, text};

const VOLUME: &str = "Name; Capacity; Access Modes; Reclaim Policy; Status; Claim; StorageClass: StorageClass of the pv; \
VolumeAttributesClass: VolumeAttributesClass of the pv; Reason; Age; +VolumeMode";
const CLAIM: &str = "Name; Status; Volume; Capacity; Access Modes; StorageClass: StorageClass of the pvc; \
VolumeAttributesClass: VolumeAttributesClass of the pvc; Age; +VolumeMode";
const TEMPLATE: &str = "Name; Containers: Names of each container in the template.; \
Images: Images referenced by each container in the template.; Pod Labels: The labels for the pod template.";
/// Access modes in the order in which they are shown.
const MODES: [(&str, &str); 4] =
    [("ReadWriteOnce", "RWO"), ("ReadOnlyMany", "ROX"), ("ReadWriteMany", "RWX"), ("ReadWriteOncePod", "RWOP")];
/// The class of an object before it had a field for it.
const CLASS: &str = "volume.beta.kubernetes.io/storage-class";

impl Printer {
    pub(crate) fn persistent_volumes() -> Printer {
        Printer::new(VOLUME, volume)
    }

    pub(crate) fn persistent_volume_claims() -> Printer {
        Printer::new(CLAIM, claim)
    }

    pub(crate) fn pod_templates() -> Printer {
        Printer::new(TEMPLATE, template)
    }
}

fn modes(owner: &Value) -> Value {
    let given = list(owner, "accessModes");
    joined(MODES.iter().filter(|(mode, _)| given.iter().any(|known| known == mode)).map(|(_, short)| *short)).into()
}

fn class(object: &Value) -> Value {
    match object["metadata"]["annotations"][CLASS].as_str() {
        Some(class) => class.into(),
        None => text(&object["spec"], "storageClassName").into(),
    }
}

fn or_unset(owner: &Value, name: &str) -> Value {
    owner[name].as_str().unwrap_or("<unset>").into()
}

fn phase(object: &Value) -> Value {
    match object["metadata"]["deletionTimestamp"].is_null() {
        true => text(&object["status"], "phase").into(),
        false => "Terminating".into(),
    }
}

fn volume(volume: &Value, now: Timestamp) -> Vec<Value> {
    let (spec, claim) = (&volume["spec"], &volume["spec"]["claimRef"]);
    let claim = match claim.is_null() {
        true => String::new(),
        false => format!("{}/{}", text(claim, "namespace"), text(claim, "name")),
    };
    vec![
        name(volume),
        text(&spec["capacity"], "storage").into(),
        modes(spec),
        text(spec, "persistentVolumeReclaimPolicy").into(),
        phase(volume),
        claim.into(),
        class(volume),
        or_unset(spec, "volumeAttributesClassName"),
        text(&volume["status"], "reason").into(),
        age(volume, now),
        or_unset(spec, "volumeMode"),
    ]
}

fn claim(claim: &Value, now: Timestamp) -> Vec<Value> {
    let (spec, status) = (&claim["spec"], &claim["status"]);
    let is_bound = !text(spec, "volumeName").is_empty();
    vec![
        name(claim),
        phase(claim),
        text(spec, "volumeName").into(),
        if is_bound { text(&status["capacity"], "storage").into() } else { "".into() },
        if is_bound { modes(status) } else { "".into() },
        class(claim),
        or_unset(spec, "volumeAttributesClassName"),
        age(claim, now),
        or_unset(spec, "volumeMode"),
    ]
}

fn template(template: &Value, _: Timestamp) -> Vec<Value> {
    let containers = list(&template["template"]["spec"], "containers");
    let all = |member| joined(containers.iter().map(|container| text(container, member)));
    let labels = pairs(&template["template"]["metadata"]["labels"]);
    vec![name(template), all("name").into(), all("image").into(), labels]
}
