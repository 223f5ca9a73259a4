use serde_json::{Value, json};

use super::{check, check_update};

#[test]
fn persistent_volumes() {
    let spec = json!({"capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"], "hostPath": {"path": "/x"}});
    let volume = json!({"metadata": {"name": "a"}, "spec": spec});
    check("PersistentVolume", &volume, &[], &[]);
    let cases: [(&str, Value, &str); 7] = [
        ("/spec/accessModes", json!([]), "spec.accessModes: Required value"),
        (
            "/spec/accessModes",
            json!(["Once"]),
            "spec.accessModes: Unsupported value: \"Once\": supported values: \"ReadOnlyMany\", \"ReadWriteMany\", \"ReadWriteOnce\", \"ReadWriteOncePod\"",
        ),
        ("/spec/capacity", Value::Null, "spec.capacity: Required value"),
        (
            "/spec/capacity",
            json!({"storage": "0"}),
            "spec.capacity[storage]: Invalid value: \"0\": must be greater than zero",
        ),
        ("/spec/hostPath", Value::Null, "spec: Required value: must specify a volume type"),
        (
            "/spec/nfs",
            json!({"server": "s", "path": "/p"}),
            "spec.nfs: Forbidden: may not specify more than 1 volume type",
        ),
        (
            "/spec/persistentVolumeReclaimPolicy",
            json!("Burn"),
            "spec.persistentVolumeReclaimPolicy: Unsupported value: \"Burn\": supported values: \"Delete\", \"Recycle\", \"Retain\"",
        ),
    ];
    for (path, value, words) in cases {
        check("PersistentVolume", &volume, &[(path, value)], &[words]);
    }
    let moved = "spec.persistentvolumesource: Forbidden: spec.persistentvolumesource is immutable after creation";
    check_update("PersistentVolume", &volume, &[("/spec/hostPath/path", json!("/y"))], &[moved]);
}

#[test]
fn claims() {
    let spec = json!({"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}});
    let claim = json!({"metadata": {"name": "a", "namespace": "x"}, "spec": spec});
    check("PersistentVolumeClaim", &claim, &[], &[]);
    let cases: [(&str, Value, &str); 3] = [
        ("/spec/accessModes", json!([]), "spec.accessModes: Required value: at least 1 access mode is required"),
        ("/spec/resources", json!({}), "spec.resources[storage]: Required value"),
        (
            "/spec/volumeMode",
            json!("Tape"),
            "spec.volumeMode: Unsupported value: \"Tape\": supported values: \"Block\", \"Filesystem\"",
        ),
    ];
    for (path, value, words) in cases {
        check("PersistentVolumeClaim", &claim, &[(path, value)], &[words]);
    }
    let frozen = "spec: Forbidden: spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims";
    check_update("PersistentVolumeClaim", &claim, &[("/spec/accessModes", json!(["ReadOnlyMany"]))], &[frozen]);
    check_update("PersistentVolumeClaim", &claim, &[("/spec/volumeName", json!("v"))], &[]);
}

#[test]
fn templates_of_pods() {
    let template = json!({"metadata": {"name": "a", "namespace": "x"},
        "template": {"spec": {"containers": [{"name": "m", "image": "i"}]}}});
    check("PodTemplate", &template, &[], &[]);
    let none = "template.spec.containers: Required value";
    check("PodTemplate", &template, &[("/template/spec/containers", json!([]))], &[none]);
}
