use serde_json::{Value, json};

use super::{check, check_update};

const SUBDOMAIN: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";

#[test]
fn runtime_classes() {
    let class = json!({"metadata": {"name": "a"}, "handler": "h"});
    check("RuntimeClass", &class, &[], &[]);
    let label = "handler: Invalid value: \"A\": a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";
    check("RuntimeClass", &class, &[("/handler", json!("A"))], &[label]);
    let negative = "overhead.podFixed.limits[cpu]: Invalid value: \"-1\": must be greater than or equal to 0";
    check("RuntimeClass", &class, &[("/overhead", json!({"podFixed": {"cpu": "-1"}}))], &[negative]);
    let bare = "scheduling.tolerations[0].operator: Invalid value: \"\": operator must be Exists when `key` is empty, which means \"match all values and all keys\"";
    check("RuntimeClass", &class, &[("/scheduling", json!({"tolerations": [{"effect": "NoSchedule"}]}))], &[bare]);
    let frozen = "handler: Invalid value: \"other\": field is immutable";
    check_update("RuntimeClass", &class, &[("/handler", json!("other"))], &[frozen]);
}

#[test]
fn drivers() {
    let driver = json!({"metadata": {"name": "d.test"}, "spec": {}});
    check("CSIDriver", &driver, &[], &[]);
    let cases: [(&str, Value, &str); 4] = [
        (
            "/spec/fsGroupPolicy",
            json!("No"),
            "spec.fsGroupPolicy: Unsupported value: \"No\": supported values: \"File\", \"None\", \"ReadWriteOnceWithFSType\"",
        ),
        (
            "/spec/volumeLifecycleModes",
            json!(["Often"]),
            "spec.volumeLifecycleModes: Unsupported value: \"Often\": supported values: \"Ephemeral\", \"Persistent\"",
        ),
        (
            "/spec/tokenRequests",
            json!([{"audience": "a"}, {"audience": "a"}]),
            "spec.tokenRequests[1].audience: Duplicate value: \"a\"",
        ),
        (
            "/spec/tokenRequests",
            json!([{"audience": "a", "expirationSeconds": 5}]),
            "spec.tokenRequests[0].expirationSeconds: Invalid value: 5: may not specify a duration less than 10 minutes",
        ),
    ];
    for (path, value, words) in cases {
        check("CSIDriver", &driver, &[(path, value)], &[words]);
    }
    let frozen = "spec.attachedRequired: Invalid value: false: field is immutable";
    check_update("CSIDriver", &driver, &[("/spec/attachRequired", json!(false))], &[frozen]);
}

#[test]
fn nodes_of_drivers() {
    let node = json!({"metadata": {"name": "n"}, "spec": {"drivers": [{"name": "d.test", "nodeID": "x"}]}});
    check("CSINode", &node, &[], &[]);
    let cases: [(&str, Value, &str); 4] = [
        ("/spec/drivers/0/nodeID", Value::Null, "spec.drivers[0].nodeID: Required value"),
        (
            "/spec/drivers/-",
            json!({"name": "d.test", "nodeID": "y"}),
            "spec.drivers[1].name: Duplicate value: \"d.test\"",
        ),
        (
            "/spec/drivers/0/allocatable",
            json!({"count": -1}),
            "spec.drivers[0].allocatable.count: Invalid value: -1: must be greater than or equal to 0",
        ),
        ("/spec/drivers/0/topologyKeys", json!(["a", "a"]), "spec.drivers[0].topologyKeys: Duplicate value: \"a\""),
    ];
    for (path, value, words) in cases {
        check("CSINode", &node, &[(path, value)], &[words]);
    }
    let frozen = "CSINodeDriver: Invalid value: {\"name\":\"d.test\",\"nodeID\":\"y\",\"topologyKeys\":null}: field is immutable";
    check_update("CSINode", &node, &[("/spec/drivers/0/nodeID", json!("y"))], &[frozen]);
}

#[test]
fn classes() {
    let class = json!({"metadata": {"name": "c"}, "provisioner": "x.test/p", "parameters": {"a": "b"}});
    check("StorageClass", &class, &[], &[]);
    check("StorageClass", &class, &[("/provisioner", Value::Null)], &["provisioner: Required value"]);
    let policy = "reclaimPolicy: Unsupported value: \"Keep\": supported values: \"Delete\", \"Retain\"";
    check("StorageClass", &class, &[("/reclaimPolicy", json!("Keep"))], &[policy]);
    let mode =
        "volumeBindingMode: Unsupported value: \"Late\": supported values: \"Immediate\", \"WaitForFirstConsumer\"";
    check("StorageClass", &class, &[("/volumeBindingMode", json!("Late"))], &[mode]);
    let frozen = "parameters: Forbidden: updates to parameters are forbidden.";
    check_update("StorageClass", &class, &[("/parameters/a", json!("c"))], &[frozen]);
    let attributes = json!({"metadata": {"name": "c"}, "driverName": "x.test", "parameters": {"a": "b"}});
    let none = "parameters: Required value: must contain at least one key/value pair";
    check("VolumeAttributesClass", &attributes, &[("/parameters", Value::Null)], &[none]);
    let frozen = "driverName: Invalid value: \"y.test\": field is immutable";
    check_update("VolumeAttributesClass", &attributes, &[("/driverName", json!("y.test"))], &[frozen]);
}

#[test]
fn attachments_and_capacities() {
    let spec = json!({"attacher": "x.test", "nodeName": "n", "source": {"persistentVolumeName": "p"}});
    let attachment = json!({"metadata": {"name": "a"}, "spec": spec});
    check("VolumeAttachment", &attachment, &[], &[]);
    let none = "spec.source: Required value: must specify exactly one of inlineVolumeSpec and persistentVolumeName";
    check("VolumeAttachment", &attachment, &[("/spec/source", json!({}))], &[none]);
    let node = format!("spec.nodeName: Invalid value: \"N\": {SUBDOMAIN}");
    check("VolumeAttachment", &attachment, &[("/spec/nodeName", json!("N"))], &[&node]);
    let capacity = json!({"metadata": {"name": "a", "namespace": "x"}, "storageClassName": "c"});
    check("CSIStorageCapacity", &capacity, &[], &[]);
    let negative = "capacity: Invalid value: \"-1\": must be greater than or equal to 0";
    check("CSIStorageCapacity", &capacity, &[("/capacity", json!("-1"))], &[negative]);
    let frozen = "storageClassName: Invalid value: \"d\": field is immutable";
    check_update("CSIStorageCapacity", &capacity, &[("/storageClassName", json!("d"))], &[frozen]);
}
