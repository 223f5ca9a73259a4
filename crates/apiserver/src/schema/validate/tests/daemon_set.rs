use serde_json::{Value, json};

use super::*;

fn daemon_set() -> Value {
    json!({
        "metadata": {"name": "web", "namespace": "x"},
        "spec": {
            "selector": {"matchLabels": {"a": "b"}},
            "template": {
                "metadata": {"labels": {"a": "b"}},
                "spec": {"containers": [{"name": "c", "image": "nginx"}]}
            }
        }
    })
}

#[test]
fn daemon_sets() {
    const MISMATCH: &str = "`selector` does not match template `labels`";
    let mismatch = |value: &str| format!("spec.template.metadata.labels: Invalid value: {value}: {MISMATCH}");
    let (none, other) = (mismatch("null"), mismatch(r#"{"a":"c"}"#));
    let present = mismatch(r#"{"a":"b"}"#);
    let cases: Vec<(Vec<Change>, Vec<&str>)> = vec![
        (vec![], vec![]),
        // DS-A20
        (
            vec![("/metadata/name", json!("Web"))],
            vec![
                "metadata.name: Invalid value: \"Web\": a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')",
            ],
        ),
        (
            vec![("/metadata/name", Value::Null)],
            vec!["metadata.name: Required value: name or generateName is required"],
        ),
        // DS-A21, DS-L02
        (vec![("/spec/selector", Value::Null)], vec![&present]),
        (vec![("/spec/selector", Value::Null), ("/spec/template/metadata", Value::Null)], vec![&none]),
        (
            vec![("/spec/selector", Value::Null), ("/spec/template", json!({}))],
            vec![&none, "spec.template.spec.containers: Required value"],
        ),
        // DS-A22
        (
            vec![("/spec/selector", json!({}))],
            vec!["spec.selector: Invalid value: {}: empty selector is invalid for daemonset"],
        ),
        // DS-A23
        (vec![("/spec/template/metadata/labels/a", json!("c"))], vec![&other]),
        // DS-A24
        (
            vec![("/spec/selector/matchExpressions", json!([{"key": "a", "operator": "In"}]))],
            vec![
                "spec.selector.matchExpressions[0].values: Required value: must be specified when `operator` is 'In' or 'NotIn'",
            ],
        ),
        (
            vec![("/spec/selector/matchExpressions", json!([{"key": "a", "operator": "Exists", "values": ["b"]}]))],
            vec![
                "spec.selector.matchExpressions[0].values: Forbidden: may not be specified when `operator` is 'Exists' or 'DoesNotExist'",
            ],
        ),
        // DS-A26, DS-A27
        (
            vec![("/spec/template/spec/restartPolicy", json!("Never"))],
            vec!["spec.template.spec.restartPolicy: Unsupported value: \"Never\": supported values: \"Always\""],
        ),
        (
            vec![("/spec/template/spec/activeDeadlineSeconds", json!(5))],
            vec![
                "spec.template.spec.activeDeadlineSeconds: Forbidden: activeDeadlineSeconds in DaemonSet is not Supported",
            ],
        ),
        // DS-A28
        (
            vec![("/spec/minReadySeconds", json!(-1)), ("/spec/revisionHistoryLimit", json!(-2))],
            vec![
                "spec.minReadySeconds: Invalid value: -1: must be greater than or equal to 0",
                "spec.revisionHistoryLimit: Invalid value: -2: must be greater than or equal to 0",
            ],
        ),
        // DS-A29
        (
            vec![("/spec/updateStrategy", json!({"type": "Fast"}))],
            vec![
                r#"spec.updateStrategy: Unsupported value: {"Type":"Fast","RollingUpdate":null}: supported values: "RollingUpdate", "OnDelete""#,
            ],
        ),
        // DS-A38
        (
            vec![("/spec/template/spec/ephemeralContainers", json!([{"name": "e", "image": "i"}]))],
            vec!["spec.template.spec.ephemeralContainers: Forbidden: ephemeral containers not allowed in pod template"],
        ),
    ];
    for (changes, expected) in cases {
        check("DaemonSet", &daemon_set(), &changes, &expected);
    }
}

#[test]
fn rolling_update_budgets() {
    let path = "spec.updateStrategy.rollingUpdate";
    let percent = "a valid percent string must be a numeric string followed by an ending '%' (e.g. '1%',  or '93%', regex used for validation is '[0-9]+%')";
    let cases: Vec<(Value, Vec<String>)> = vec![
        (json!({"maxUnavailable": "25%"}), vec![]),
        // DS-A31
        (
            json!({"maxUnavailable": "x"}),
            vec![
                format!("{path}.maxUnavailable: Invalid value: \"x\": {percent}"),
                format!("{path}.maxUnavailable: Required value: cannot be 0 when maxSurge is 0"),
            ],
        ),
        (
            json!({"maxUnavailable": -1}),
            vec![format!("{path}.maxUnavailable: Invalid value: -1: must be greater than or equal to 0")],
        ),
        // DS-A32
        (
            json!({"maxUnavailable": "101%"}),
            vec![format!("{path}.maxUnavailable: Invalid value: \"101%\": must not be greater than 100%")],
        ),
        (json!({"maxUnavailable": 5000}), vec![]),
        // DS-A33, DS-A35
        (
            json!({"maxSurge": 1}),
            vec![format!("{path}.maxSurge: Invalid value: 1: may not be set when maxUnavailable is non-zero")],
        ),
        (json!({"maxSurge": 1, "maxUnavailable": 0}), vec![]),
        // DS-A34
        (
            json!({"maxSurge": "0%", "maxUnavailable": 0}),
            vec![format!("{path}.maxUnavailable: Required value: cannot be 0 when maxSurge is 0")],
        ),
    ];
    for (update, expected) in cases {
        let expected: Vec<&str> = expected.iter().map(String::as_str).collect();
        check("DaemonSet", &daemon_set(), &[("/spec/updateStrategy/rollingUpdate", update)], &expected);
    }
    // DS-A05
    let unvalidated = json!({"type": "OnDelete", "rollingUpdate": {"maxSurge": "x"}});
    check("DaemonSet", &daemon_set(), &[("/spec/updateStrategy", unvalidated)], &[]);
}

#[test]
fn templates_of_daemon_sets() {
    // DS-A37: everything that a pod must be, at the template's own paths
    let cases: [(&str, Value, &str); 9] = [
        (
            "/spec/template/spec/initContainers",
            json!([{"name": "c", "image": "i"}]),
            "spec.template.spec.initContainers[0].name: Duplicate value: \"c\"",
        ),
        (
            "/spec/template/spec/containers/0/volumeMounts",
            json!([{"name": "v", "mountPath": "/v"}]),
            "spec.template.spec.containers[0].volumeMounts[0].name: Not found: \"v\"",
        ),
        (
            "/spec/template/spec/containers/0/ports",
            json!([{"containerPort": 0}]),
            "spec.template.spec.containers[0].ports[0].containerPort: ",
        ),
        (
            "/spec/template/spec/tolerations",
            json!([{"key": "k", "operator": "Exists", "value": "v"}]),
            "spec.template.spec.tolerations[0]",
        ),
        (
            "/spec/template/spec/tolerations",
            json!([{"key": "k", "operator": "Exists", "effect": "Never"}]),
            "spec.template.spec.tolerations[0].effect: ",
        ),
        (
            "/spec/template/spec/affinity",
            json!({"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": []}}}),
            "spec.template.spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms: Required value",
        ),
        (
            "/spec/template/spec/containers/0/resources",
            json!({"requests": {"cpu": "2"}, "limits": {"cpu": "1"}}),
            "spec.template.spec.containers[0].resources.requests: Invalid value: \"2\": must be less than or equal to cpu limit",
        ),
        (
            "/spec/template/spec/containers/0/livenessProbe",
            json!({"periodSeconds": 1}),
            "spec.template.spec.containers[0].livenessProbe: Required value",
        ),
        (
            "/spec/template/spec/serviceAccountName",
            json!("Not A Name"),
            "spec.template.spec.serviceAccountName: Invalid value",
        ),
    ];
    let mut unsaid = Vec::new();
    for (place, value, expected) in cases {
        let changed = changed(&daemon_set(), &[(place, value)]);
        let found = texts(validate_create(info("DaemonSet"), &ready("DaemonSet", changed)));
        if !found.iter().any(|error| error.starts_with(expected)) {
            unsaid.push(format!("{expected:?} is not in {found:?}"));
        }
    }
    assert!(unsaid.is_empty(), "{}", unsaid.join("\n"));
    let host = json!([{"containerPort": 80, "hostPort": 81}]);
    let on_host = changed(
        &daemon_set(),
        &[("/spec/template/spec/hostNetwork", json!(true)), ("/spec/template/spec/containers/0/ports", host)],
    );
    let found = texts(validate_create(info("DaemonSet"), &ready("DaemonSet", on_host)));
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].starts_with("spec.template.spec.containers[0].ports[0].hostPort: Invalid value: 81"), "{found:?}");
}

#[test]
fn daemon_set_updates() {
    // DS-A25, DS-A41
    let both =
        [("/spec/selector/matchLabels", json!({"a": "c"})), ("/spec/template/metadata/labels", json!({"a": "c"}))];
    let immutable = r#"spec.selector: Invalid value: {"matchLabels":{"a":"c"}}: field is immutable"#;
    check_update("DaemonSet", &daemon_set(), &both, &[immutable]);
    check_update("DaemonSet", &daemon_set(), &[("/spec/template/spec/nodeName", json!("n"))], &[]);
}

#[test]
fn daemon_set_status() {
    // DS-A39
    let old = changed(&daemon_set(), &[("/status", json!({"collisionCount": 2}))]);
    let status = json!({"collisionCount": 1, "numberReady": -1, "observedGeneration": -3});
    let new = changed(&daemon_set(), &[("/status", status)]);
    let errors = validate_status_update(info("DaemonSet"), &ready("DaemonSet", new), &ready("DaemonSet", old));
    assert_eq!(
        texts(errors),
        [
            "status.numberReady: Invalid value: -1: must be greater than or equal to 0",
            "status.observedGeneration: Invalid value: -3: must be greater than or equal to 0",
            "status.collisionCount: Invalid value: 1: cannot be decremented",
        ]
    );
}
