use serde_json::{Value, json};

use super::default;
use super::pod::pull_policy;
use crate::catalogue::built_in;

fn defaulted(api_version: &str, kind: &str, mut value: Value) -> Value {
    let info = built_in::find_by_kind(api_version, kind).unwrap();
    default(info, &mut value);
    let mut again = value.clone();
    default(info, &mut again);
    assert_eq!(again, value, "not idempotent");
    value
}

#[test]
fn daemon_sets() {
    // DS-A03, DS-A04, DS-A06, DS-A07, DS-A08, DS-A09, DS-H15
    let sent = json!({"spec": {"updateStrategy": {}, "template": {"spec": {
        "hostNetwork": true,
        "volumes": [{"name": "v"}, {"name": "h", "hostPath": {"path": "/"}}],
        "containers": [{
            "name": "c", "image": "nginx", "resources": {"limits": {"cpu": "1"}}, "ports": [{"containerPort": 80}],
            "livenessProbe": {"httpGet": {"port": 80}}
        }]
    }}}});
    let expected = json!({"spec": {
        "revisionHistoryLimit": 10,
        "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 1, "maxSurge": 0}},
        "template": {"spec": {
            "hostNetwork": true,
            "dnsPolicy": "ClusterFirst",
            "restartPolicy": "Always",
            "schedulerName": "default-scheduler",
            "securityContext": {},
            "terminationGracePeriodSeconds": 30,
            "volumes": [{"name": "v", "emptyDir": {}}, {"name": "h", "hostPath": {"path": "/", "type": ""}}],
            "containers": [{
                "name": "c", "image": "nginx", "imagePullPolicy": "Always",
                "resources": {"limits": {"cpu": "1"}},
                "ports": [{"containerPort": 80, "protocol": "TCP"}],
                "terminationMessagePath": "/dev/termination-log",
                "terminationMessagePolicy": "File",
                "livenessProbe": {
                    "httpGet": {"path": "/", "port": 80, "scheme": "HTTP"},
                    "timeoutSeconds": 1, "periodSeconds": 10, "successThreshold": 1, "failureThreshold": 3
                }
            }]
        }}
    }});
    assert_eq!(defaulted("apps/v1", "DaemonSet", sent), expected);
}

#[test]
fn on_delete_gets_no_rolling_update() {
    // DS-A05
    let strategy = json!({"spec": {"updateStrategy": {"type": "OnDelete"}}});
    assert_eq!(defaulted("apps/v1", "DaemonSet", strategy)["spec"]["updateStrategy"], json!({"type": "OnDelete"}));
}

#[test]
fn pods_get_more_than_templates() {
    // DS-A08, DS-A09
    let sent = json!({"spec": {"hostNetwork": true, "containers": [{
        "image": "a:1", "resources": {"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "500m", "a/b": "100u"}},
        "ports": [{"containerPort": 80}]
    }]}});
    let spec = &defaulted("v1", "Pod", sent)["spec"];
    assert_eq!(spec["enableServiceLinks"], true);
    let negative = json!({"spec": {"terminationGracePeriodSeconds": -1}});
    assert_eq!(defaulted("v1", "Pod", negative)["spec"]["terminationGracePeriodSeconds"], 1);
    let container = &spec["containers"][0];
    assert_eq!(container["resources"]["requests"], json!({"a/b": "1m", "cpu": "500m", "memory": "1Gi"}));
    assert_eq!(container["ports"], json!([{"containerPort": 80, "hostPort": 80, "protocol": "TCP"}]));
}

#[test]
fn pull_policies() {
    // DS-H12
    let cases = [
        ("nginx", "Always"),
        ("nginx:latest", "Always"),
        ("nginx:1", "IfNotPresent"),
        ("host:5000/nginx", "Always"),
        ("host:5000/nginx:1", "IfNotPresent"),
        ("nginx@sha256:ab", "IfNotPresent"),
        ("nginx:latest@sha256:ab", "Always"),
    ];
    for (image, policy) in cases {
        assert_eq!(pull_policy(image), policy, "{image}");
    }
}

#[test]
fn the_others() {
    let cases = [
        (
            "v1",
            "Service",
            json!({"spec": {"ports": [{"port": 80, "targetPort": 0}]}}),
            json!({"spec": {
                "internalTrafficPolicy": "Cluster", "sessionAffinity": "None", "type": "ClusterIP",
                "ports": [{"port": 80, "protocol": "TCP", "targetPort": 80}]
            }}),
        ),
        ("v1", "Secret", json!({}), json!({"type": "Opaque"})),
        ("v1", "Namespace", json!({"status": {}}), json!({"status": {"phase": "Active"}})),
        (
            "v1",
            "Node",
            json!({"status": {"capacity": {"cpu": "1"}}}),
            json!({"status": {"capacity": {"cpu": "1"}, "allocatable": {"cpu": "1"}}}),
        ),
        ("scheduling.k8s.io/v1", "PriorityClass", json!({}), json!({"preemptionPolicy": "PreemptLowerPriority"})),
        (
            "rbac.authorization.k8s.io/v1",
            "RoleBinding",
            json!({"roleRef": {"name": "r"}, "subjects": [{"kind": "User"}, {"kind": "ServiceAccount"}]}),
            json!({
                "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "name": "r"},
                "subjects": [{"kind": "User", "apiGroup": "rbac.authorization.k8s.io"}, {"kind": "ServiceAccount"}]
            }),
        ),
    ];
    for (version, kind, sent, expected) in cases {
        assert_eq!(defaulted(version, kind, sent), expected, "{kind}");
    }
}
