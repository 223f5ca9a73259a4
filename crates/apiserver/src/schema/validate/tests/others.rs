use crate::catalogue::built_in;
use serde_json::{Value, json};

use super::*;

#[test]
fn metadata() {
    let config_map = json!({"metadata": {"name": "a", "namespace": "x"}});
    let long = "v".repeat(257 << 10);
    let cases: Vec<(Change, Vec<&str>)> = vec![
        (("/metadata/namespace", Value::Null), vec!["metadata.namespace: Required value"]),
        (
            ("/metadata/labels", json!({"a b": "c"})),
            vec![
                "metadata.labels: Invalid value: \"a b\": name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')",
            ],
        ),
        // DS-I46
        (
            ("/metadata/annotations", json!({"a": long})),
            vec!["metadata.annotations: Too long: may not be more than 262144 bytes"],
        ),
        (
            ("/metadata/ownerReferences", json!([{"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": ""}])),
            vec!["metadata.ownerReferences.uid: Invalid value: \"\": must not be empty"],
        ),
        (
            ("/metadata/finalizers", json!(["mine"])),
            vec![
                "metadata.finalizers[0]: Invalid value: \"mine\": name is neither a standard finalizer name nor is it fully qualified",
            ],
        ),
        (
            ("/data", json!({"a/b": "c"})),
            vec![
                "data[a/b]: Invalid value: \"a/b\": a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')",
            ],
        ),
    ];
    for (change, expected) in cases {
        check("ConfigMap", &config_map, &[change], &expected);
    }
    // DS-A20
    let generated = json!({"metadata": {"generateName": "a-", "name": "a-x", "namespace": "x"}});
    check("ConfigMap", &generated, &[], &[]);
    // DS-I24
    let gone = json!({"metadata": {"name": "a", "namespace": "x", "deletionTimestamp": "2026-01-01T00:00:00Z"}});
    check_update(
        "ConfigMap",
        &gone,
        &[("/metadata/finalizers", json!(["a/b"]))],
        // Looked at twice, as in Kubernetes.
        &["metadata.finalizers: Forbidden: no new finalizers can be added if the object is being deleted, found new finalizers []string{\"a/b\"}";
            2],
    );
}

#[test]
fn the_other_kinds() {
    let meta = json!({"name": "a", "namespace": "x"});
    let cluster = json!({"name": "a"});
    let cases: Vec<(&str, Value, Vec<&str>)> = vec![
        (
            "Secret",
            json!({"metadata": meta, "type": "kubernetes.io/tls", "data": {"tls.crt": ""}}),
            vec!["data[tls.key]: Required value"],
        ),
        ("Service", json!({"metadata": meta, "spec": {}}), vec!["spec.ports: Required value"]),
        ("Service", json!({"metadata": meta, "spec": {"clusterIP": "None"}}), vec![]),
        (
            "Service",
            json!({"metadata": meta, "spec": {"ports": [{"port": 1}, {"name": "b", "port": 1}]}}),
            vec![
                "spec.ports[0].name: Required value",
                r#"spec.ports[1]: Duplicate value: {"Name":"","Protocol":"TCP","AppProtocol":null,"Port":1,"TargetPort":0,"NodePort":0}"#,
            ],
        ),
        (
            "Node",
            json!({"metadata": cluster, "spec": {"taints": [{"key": "k", "effect": "NoRun"}]}}),
            vec![
                "metadata.taints[0].effect: Unsupported value: \"NoRun\": supported values: \"NoSchedule\", \"PreferNoSchedule\", \"NoExecute\"",
            ],
        ),
        // DS-B19: the value does not make another taint of it
        (
            "Node",
            json!({"metadata": cluster, "spec": {"taints": [
                {"key": "k", "value": "a", "effect": "NoSchedule"},
                {"key": "k", "value": "a", "effect": "NoExecute"},
                {"key": "k", "value": "b", "effect": "NoSchedule"},
            ]}}),
            vec![
                r#"metadata.taints[2]: Duplicate value: {"Key":"k","Value":"b","Effect":"NoSchedule","TimeAdded":null}: taints must be unique by key and effect pair"#,
            ],
        ),
        (
            "Lease",
            json!({"metadata": meta, "spec": {"leaseDurationSeconds": 0}}),
            vec!["spec.leaseDurationSeconds: Invalid value: 0: must be greater than 0"],
        ),
        // DS-D40
        (
            "ControllerRevision",
            json!({"metadata": meta, "revision": -1}),
            vec![
                "revision: Invalid value: -1: must be greater than or equal to 0",
                "data: Required value: data is mandatory",
            ],
        ),
        // DS-B53
        (
            "PriorityClass",
            json!({"metadata": cluster, "value": 1000000001}),
            vec!["value: Forbidden: maximum allowed value of a user defined priority is 1000000000"],
        ),
        ("PriorityClass", json!({"metadata": {"name": "system-node-critical"}, "value": 2000001000}), vec![]),
        (
            "PodDisruptionBudget",
            json!({"metadata": meta, "spec": {"minAvailable": 1, "maxUnavailable": 1}}),
            vec![
                r#"spec: Invalid value: {"MinAvailable":1,"Selector":null,"MaxUnavailable":1,"UnhealthyPodEvictionPolicy":null}: minAvailable and maxUnavailable cannot be both set"#,
            ],
        ),
        (
            "Role",
            json!({"metadata": meta, "rules": [{"verbs": ["get"], "apiGroups": [""]}]}),
            vec!["rules[0].resources: Required value: resource rules must supply at least one resource"],
        ),
        (
            "ClusterRole",
            json!({"metadata": {"name": "system:a"}, "rules": [{"verbs": ["get"], "nonResourceURLs": ["/metrics"]}]}),
            vec![],
        ),
        (
            "RoleBinding",
            json!({"metadata": meta, "roleRef": {"kind": "Pod", "name": "r"}, "subjects": [{"kind": "User", "name": "u"}]}),
            vec!["roleRef.kind: Unsupported value: \"Pod\": supported values: \"ClusterRole\", \"Role\""],
        ),
        (
            "Event",
            json!({"metadata": meta, "involvedObject": {"namespace": "y"}}),
            vec!["involvedObject.namespace: Invalid value: \"y\": does not match event.namespace"],
        ),
        (
            "Endpoints",
            json!({"metadata": meta, "subsets": [{"ports": [{"port": 1}]}]}),
            vec!["subsets[0]: Required value: must specify `addresses` or `notReadyAddresses`"],
        ),
    ];
    for (kind, value, expected) in cases {
        check(kind, &value, &[], &expected);
    }
}

#[test]
fn frozen_data() {
    let secret = json!({"metadata": {"name": "a", "namespace": "x"}, "immutable": true, "data": {"a": ""}});
    check_update(
        "Secret",
        &secret,
        &[("/data/a", json!("YQ=="))],
        &["data: Forbidden: field is immutable when `immutable` is set"],
    );
    let revision = json!({"metadata": {"name": "a", "namespace": "x"}, "revision": 1, "data": {"a": 1}});
    check_update("ControllerRevision", &revision, &[("/revision", json!(2))], &[]);
    check_update(
        "ControllerRevision",
        &revision,
        &[("/data/a", json!(2))],
        &[r#"data: Invalid value: {"a":2}: field is immutable"#],
    );
}

#[test]
fn events_and_revisions() {
    let meta = json!({"name": "a", "namespace": "x"});
    let new = json!({"metadata": meta, "regarding": {"kind": "Pod", "namespace": "x"}, "type": "Normal", "action": "A",
        "reason": "R", "reportingController": "c.test/x", "reportingInstance": "i", "eventTime": "2020-01-01T00:00:00.000000Z"});
    let info = &built_in::EVENTS_EVENT;
    let told = |changes: &[Change]| {
        let (value, _) = decode_value(&**info, changed(&new, changes), FieldValidation::Strict).unwrap();
        texts(validate_create(info, &value))
    };
    assert!(told(&[]).is_empty());
    let untyped = "type: Invalid value: \"\": has invalid value: ";
    assert_eq!(told(&[("/eventTime", Value::Null), ("/type", Value::Null)]), ["eventTime: Required value", untyped]);
    let long = [("/note", json!("x".repeat(1025)))];
    assert_eq!(told(&long), ["message: Invalid value: \"\": can have at most 1024 characters"]);
    let revision = json!({"metadata": meta, "revision": 1, "data": {}});
    let text = "data: Required value: data must be a valid JSON object";
    check("ControllerRevision", &revision, &[("/data", json!([1]))], &[text]);
}
