//! Each case changes one good object in a few places and lists what is wrong then.

use everynode_api::kinds::{self, KindInfo};
use serde_json::{Value, json};

use super::{validate_create, validate_status_update, validate_update};
use crate::schema::{FieldValidation, decode_value, default};

fn info(kind: &str) -> &'static KindInfo {
    let found = kinds::KINDS.iter().find(|info| info.kind.kind == kind);
    found.unwrap()
}

fn ready(kind: &str, value: Value) -> Value {
    let (mut value, _) = decode_value(info(kind), value, FieldValidation::Strict).unwrap();
    default(info(kind), &mut value);
    value
}

fn texts(errors: Vec<everynode_api::field::FieldError>) -> Vec<String> {
    errors.iter().map(ToString::to_string).collect()
}

/// Sets the value at a JSON pointer; `Value::Null` removes it. Missing objects on the way are made.
fn set(target: &mut Value, pointer: &str, value: Value) {
    let (parent, last) = pointer.rsplit_once('/').unwrap();
    if target.pointer(parent).is_none() {
        set(target, parent, json!({}));
    }
    match target.pointer_mut(parent).unwrap() {
        Value::Array(items) if last == "-" => items.push(value),
        Value::Array(items) => items[last.parse::<usize>().unwrap()] = value,
        parent => {
            let members = parent.as_object_mut().unwrap();
            match value {
                Value::Null => drop(members.remove(last)),
                value => drop(members.insert(last.into(), value)),
            }
        }
    }
}

type Change = (&'static str, Value);

fn changed(base: &Value, changes: &[Change]) -> Value {
    let mut value = base.clone();
    for (pointer, change) in changes {
        set(&mut value, pointer, change.clone());
    }
    value
}

fn check(kind: &str, base: &Value, changes: &[Change], expected: &[&str]) {
    let value = ready(kind, changed(base, changes));
    assert_eq!(texts(validate_create(info(kind), &value)), expected, "{changes:?}");
}

fn check_update(kind: &str, base: &Value, changes: &[Change], expected: &[&str]) {
    let old = ready(kind, base.clone());
    let new = ready(kind, changed(base, changes));
    assert_eq!(texts(validate_update(info(kind), &new, &old)), expected, "{changes:?}");
}

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

fn pod() -> Value {
    json!({
        "metadata": {"name": "p", "namespace": "x"},
        "spec": {
            "containers": [{"name": "c", "image": "nginx"}],
            "initContainers": [{"name": "i", "image": "nginx"}],
            "volumes": [{"name": "v", "emptyDir": {}}]
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
            vec!["metadata.name: Invalid value: \"Web\": a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"],
        ),
        (vec![("/metadata/name", Value::Null)], vec!["metadata.name: Required value: name or generateName is required"]),
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
            vec!["spec.selector.matchExpressions[0].values: Required value: must be specified when `operator` is 'In' or 'NotIn'"],
        ),
        (
            vec![("/spec/selector/matchExpressions", json!([{"key": "a", "operator": "Exists", "values": ["b"]}]))],
            vec!["spec.selector.matchExpressions[0].values: Forbidden: may not be specified when `operator` is 'Exists' or 'DoesNotExist'"],
        ),
        // DS-A26, DS-A27
        (
            vec![("/spec/template/spec/restartPolicy", json!("Never"))],
            vec!["spec.template.spec.restartPolicy: Unsupported value: \"Never\": supported values: \"Always\""],
        ),
        (
            vec![("/spec/template/spec/activeDeadlineSeconds", json!(5))],
            vec!["spec.template.spec.activeDeadlineSeconds: Forbidden: activeDeadlineSeconds in DaemonSet is not Supported"],
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
            vec![r#"spec.updateStrategy: Unsupported value: {"RollingUpdate":null,"Type":"Fast"}: supported values: "OnDelete", "RollingUpdate""#],
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
        (json!({"maxUnavailable": "x"}), vec![
            format!("{path}.maxUnavailable: Invalid value: \"x\": {percent}"),
            format!("{path}.maxUnavailable: Required value: cannot be 0 when maxSurge is 0"),
        ]),
        (json!({"maxUnavailable": -1}), vec![
            format!("{path}.maxUnavailable: Invalid value: -1: must be greater than or equal to 0"),
        ]),
        // DS-A32
        (json!({"maxUnavailable": "101%"}), vec![
            format!("{path}.maxUnavailable: Invalid value: \"101%\": must not be greater than 100%"),
        ]),
        (json!({"maxUnavailable": 5000}), vec![]),
        // DS-A33, DS-A35
        (json!({"maxSurge": 1}), vec![
            format!("{path}.maxSurge: Invalid value: 1: may not be set when maxUnavailable is non-zero"),
        ]),
        (json!({"maxSurge": 1, "maxUnavailable": 0}), vec![]),
        // DS-A34
        (json!({"maxSurge": "0%", "maxUnavailable": 0}), vec![
            format!("{path}.maxUnavailable: Required value: cannot be 0 when maxSurge is 0"),
        ]),
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
fn daemon_set_updates() {
    // DS-A25, DS-A41
    let both = [
        ("/spec/selector/matchLabels", json!({"a": "c"})),
        ("/spec/template/metadata/labels", json!({"a": "c"})),
    ];
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
    assert_eq!(texts(errors), [
        "status.numberReady: Invalid value: -1: must be greater than or equal to 0",
        "status.observedGeneration: Invalid value: -3: must be greater than or equal to 0",
        "status.collisionCount: Invalid value: 1: cannot be decremented",
    ]);
}

#[test]
fn containers() {
    let cases: Vec<(Vec<Change>, Vec<&str>)> = vec![
        (vec![], vec![]),
        (vec![("/spec/containers", json!([]))], vec!["spec.containers: Required value"]),
        (vec![("/spec/containers/0/image", Value::Null)], vec!["spec.containers[0].image: Required value"]),
        (vec![("/spec/containers/0/name", Value::Null)], vec!["spec.containers[0].name: Required value"]),
        (vec![("/spec/initContainers/0/name", json!("c"))], vec!["spec.initContainers[0].name: Duplicate value: \"c\""]),
        (
            vec![("/spec/containers/-", json!({"name": "c", "image": "b"}))],
            vec!["spec.containers[1].name: Duplicate value: \"c\""],
        ),
        (
            vec![("/spec/containers/0/imagePullPolicy", json!("Sometimes"))],
            vec!["spec.containers[0].imagePullPolicy: Unsupported value: \"Sometimes\": supported values: \"Always\", \"IfNotPresent\", \"Never\""],
        ),
        (
            vec![("/spec/containers/0/ports", json!([{"containerPort": 70000}, {"name": "x_y", "containerPort": 1, "protocol": "ICMP"}]))],
            vec![
                "spec.containers[0].ports[0].containerPort: Invalid value: 70000: must be between 1 and 65535, inclusive",
                "spec.containers[0].ports[1].name: Invalid value: \"x_y\": must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)",
                "spec.containers[0].ports[1].protocol: Unsupported value: \"ICMP\": supported values: \"SCTP\", \"TCP\", \"UDP\"",
            ],
        ),
        (
            vec![("/spec/containers/0/ports", json!([{"containerPort": 80, "hostPort": 80}, {"containerPort": 81, "hostPort": 80}]))],
            vec!["spec.containers[0].ports[1].hostPort: Duplicate value: \"TCP//80\""],
        ),
        (
            vec![("/spec/hostNetwork", json!(true)), ("/spec/containers/0/ports", json!([{"containerPort": 80, "hostPort": 81}]))],
            vec!["spec.containers[0].ports[0].hostPort: Invalid value: 81: must match `containerPort` when `hostNetwork` is true"],
        ),
        (
            vec![("/spec/containers/0/resources", json!({"requests": {"cpu": "2"}, "limits": {"cpu": "1"}}))],
            vec!["spec.containers[0].resources.requests: Invalid value: \"2\": must be less than or equal to cpu limit of 1"],
        ),
        (
            vec![("/spec/containers/0/resources", json!({"requests": {"memory": "-1", "gpus": "1", "example.com/x": "1"}}))],
            vec![
                "spec.containers[0].resources.requests[gpus]: Invalid value: \"gpus\": must be a standard resource type or fully qualified",
                "spec.containers[0].resources.requests[gpus]: Invalid value: \"gpus\": must be a standard resource for containers",
                "spec.containers[0].resources.requests[memory]: Invalid value: \"-1\": must be greater than or equal to 0",
                "spec.containers[0].resources.limits: Required value: Limit must be set for non overcommitable resources",
            ],
        ),
        (
            vec![("/spec/initContainers/0/livenessProbe", json!({"exec": {"command": ["a"]}}))],
            vec!["spec.initContainers[0].livenessProbe: Forbidden: may not be set for init containers without restartPolicy=Always"],
        ),
        // DS-H21
        (
            vec![
                ("/spec/initContainers/0/restartPolicy", json!("Always")),
                ("/spec/initContainers/0/livenessProbe", json!({"exec": {"command": ["a"]}})),
            ],
            vec![],
        ),
    ];
    for (changes, expected) in cases {
        check("Pod", &pod(), &changes, &expected);
    }
}

#[test]
fn probes_and_hooks() {
    let base = "spec.containers[0]";
    let cases: Vec<(Change, Vec<String>)> = vec![
        (
            ("/spec/containers/0/livenessProbe", json!({})),
            vec![format!("{base}.livenessProbe: Required value: must specify a handler type")],
        ),
        (
            ("/spec/containers/0/livenessProbe", json!({"httpGet": {"port": 0}, "successThreshold": 2})),
            vec![
                format!("{base}.livenessProbe.httpGet.port: Invalid value: 0: must be between 1 and 65535, inclusive"),
                format!("{base}.livenessProbe.successThreshold: Invalid value: 2: must be 1"),
            ],
        ),
        (
            ("/spec/containers/0/readinessProbe", json!({"exec": {"command": ["a"]}, "tcpSocket": {"port": 1}, "successThreshold": 2})),
            vec![format!("{base}.readinessProbe.tcpSocket: Forbidden: may not specify more than 1 handler type")],
        ),
        (
            ("/spec/containers/0/readinessProbe", json!({"exec": {}, "terminationGracePeriodSeconds": 1, "timeoutSeconds": -1})),
            vec![
                format!("{base}.readinessProbe.exec.command: Required value"),
                format!("{base}.readinessProbe.timeoutSeconds: Invalid value: -1: must be greater than or equal to 0"),
                format!("{base}.readinessProbe.terminationGracePeriodSeconds: Invalid value: 1: must not be set for readinessProbes"),
            ],
        ),
        (
            ("/spec/containers/0/lifecycle", json!({"preStop": {"sleep": {"seconds": 31}}})),
            vec![format!("{base}.lifecycle.preStop.sleep: Invalid value: 31: must be non-negative and less than terminationGracePeriodSeconds (30)")],
        ),
    ];
    for (change, expected) in cases {
        let expected: Vec<&str> = expected.iter().map(String::as_str).collect();
        check("Pod", &pod(), &[change], &expected);
    }
}

#[test]
fn environment() {
    // DS-H40, DS-H41
    let from = |source: Value| json!([{"name": "A", "valueFrom": source}]);
    let base = "spec.containers[0].env[0]";
    let cases: Vec<(Value, Vec<String>)> = vec![
        (from(json!({"fieldRef": {"fieldPath": "metadata.labels['a']"}})), vec![]),
        (from(json!({"fieldRef": {"fieldPath": "spec.nodeName"}})), vec![]),
        (from(json!({"resourceFieldRef": {"resource": "limits.cpu", "divisor": "1m"}})), vec![]),
        (json!([{"name": "a=b"}]), vec![format!("{base}.name: Invalid value: \"a=b\": a valid environment variable name must consist only of printable ASCII characters other than '='")]),
        (from(json!({})), vec![format!("{base}.valueFrom: Invalid value: \"\": must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef` or `secretKeyRef`")]),
        (
            from(json!({"fieldRef": {"fieldPath": "spec.what"}})),
            vec![format!("{base}.valueFrom.fieldRef.fieldPath: Invalid value: \"spec.what\": error converting fieldPath: field label not supported: spec.what")],
        ),
        (
            from(json!({"resourceFieldRef": {"resource": "limits.gpu"}})),
            vec![format!("{base}.valueFrom.resourceFieldRef.resource: Unsupported value: \"limits.gpu\": supported values: \"limits.cpu\", \"limits.ephemeral-storage\", \"limits.memory\", \"requests.cpu\", \"requests.ephemeral-storage\", \"requests.memory\"")],
        ),
        (from(json!({"configMapKeyRef": {"name": "m"}})), vec![format!("{base}.valueFrom.configMapKeyRef.key: Required value")]),
        (
            json!([{"name": "A", "value": "x", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}]),
            vec![format!("{base}.valueFrom: Invalid value: \"\": may not be specified when `value` is not empty")],
        ),
    ];
    for (env, expected) in cases {
        let expected: Vec<&str> = expected.iter().map(String::as_str).collect();
        check("Pod", &pod(), &[("/spec/containers/0/env", env)], &expected);
    }
}

#[test]
fn volumes_and_mounts() {
    let volume = |source: Value| {
        let mut volume = source;
        volume["name"] = "v".into();
        ("/spec/volumes", json!([volume]))
    };
    let base = "spec.volumes[0]";
    let cases: Vec<(Change, Vec<String>)> = vec![
        // DS-H30, DS-H31
        (volume(json!({"hostPath": {"path": "/var/log", "type": "Directory"}})), vec![]),
        (volume(json!({"hostPath": {"path": "/a/../b"}})), vec![format!("{base}.hostPath.path: Invalid value: \"/a/../b\": must not contain '..'")]),
        (
            volume(json!({"hostPath": {"path": "/a", "type": "Pipe"}})),
            vec![format!("{base}.hostPath.type: Unsupported value: \"Pipe\": supported values: \"\", \"BlockDevice\", \"CharDevice\", \"Directory\", \"DirectoryOrCreate\", \"File\", \"FileOrCreate\", \"Socket\"")],
        ),
        (volume(json!({"emptyDir": {}, "hostPath": {"path": "/"}})), vec![format!("{base}.hostPath: Forbidden: may not specify more than 1 volume type")]),
        (volume(json!({"secret": {}})), vec![format!("{base}.secret.secretName: Required value")]),
        (
            volume(json!({"configMap": {"name": "m", "defaultMode": 512, "items": [{"key": "k", "path": "../x"}]}})),
            vec![
                format!("{base}.configMap.defaultMode: Invalid value: 512: must be a number between 0 and 0777 (octal), both inclusive"),
                format!("{base}.configMap.items[0].path: Invalid value: \"../x\": must not contain '..'"),
            ],
        ),
        (
            volume(json!({"projected": {"sources": [{"serviceAccountToken": {"path": "t", "expirationSeconds": 1}}]}})),
            vec![format!("{base}.projected.sources[0].serviceAccountToken.expirationSeconds: Invalid value: 1: may not specify a duration less than 10 minutes")],
        ),
        (
            volume(json!({"downwardAPI": {"items": [{"path": "l", "fieldRef": {"fieldPath": "spec.nodeName"}}]}})),
            vec![format!("{base}.downwardAPI.fieldRef.fieldPath: Unsupported value: \"spec.nodeName\": supported values: \"metadata.annotations\", \"metadata.labels\", \"metadata.name\", \"metadata.namespace\", \"metadata.uid\"")],
        ),
        (volume(json!({"csi": {"driver": "d"}})), vec![]),
        (volume(json!({"nfs": {"server": "s", "path": "/p"}})), vec![]),
        (
            ("/spec/containers/0/volumeMounts", json!([{"name": "w", "mountPath": "/a"}])),
            vec!["spec.containers[0].volumeMounts[0].name: Not found: \"w\"".into()],
        ),
        (
            ("/spec/containers/0/volumeMounts", json!([{"name": "v", "mountPath": "/a"}, {"name": "v", "mountPath": "/a", "subPath": "/x"}])),
            vec![
                "spec.containers[0].volumeMounts[1].mountPath: Invalid value: \"/a\": must be unique".into(),
                "spec.containers[0].volumeMounts[1].subPath: Invalid value: \"/x\": must be a relative path".into(),
            ],
        ),
        // DS-H32
        (
            ("/spec/containers/0/volumeMounts", json!([{"name": "v", "mountPath": "/a", "mountPropagation": "Bidirectional"}])),
            vec!["spec.containers[0].volumeMounts[0].mountPropagation: Forbidden: Bidirectional mount propagation is available only to privileged containers".into()],
        ),
    ];
    for (change, expected) in cases {
        let expected: Vec<&str> = expected.iter().map(String::as_str).collect();
        check("Pod", &pod(), &[change], &expected);
    }
}

#[test]
fn scheduling() {
    let cases: Vec<(Change, Vec<&str>)> = vec![
        // DS-B17, DS-B18
        (("/spec/tolerations", json!([{"operator": "Exists"}])), vec![]),
        (
            ("/spec/tolerations", json!([{"key": "a", "operator": "Exists", "tolerationSeconds": 3}])),
            vec!["spec.tolerations[0].effect: Invalid value: \"\": effect must be 'NoExecute' when `tolerationSeconds` is set"],
        ),
        (
            ("/spec/tolerations", json!([{"effect": "NoRun"}])),
            vec![
                "spec.tolerations[0].operator: Invalid value: \"\": operator must be Exists when `key` is empty, which means \"match all values and all keys\"",
                "spec.tolerations[0].effect: Unsupported value: \"NoRun\": supported values: \"NoSchedule\", \"PreferNoSchedule\", \"NoExecute\"",
            ],
        ),
        // DS-B14, DS-B15
        (
            ("/spec/affinity", json!({"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [
                {"matchExpressions": [{"key": "a", "operator": "Gt", "values": ["1", "2"]}]},
                {"matchFields": [{"key": "metadata.uid", "operator": "In", "values": ["a"]}]},
                {"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["a", "b"]}]}
            ]}}})),
            vec![
                "spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms[0].matchExpressions[0].values: Required value: must be specified single value when `operator` is 'Lt' or 'Gt'",
                "spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms[1].matchFields[0].key: Invalid value: \"metadata.uid\": not a valid field selector key",
                "spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms[2].matchFields[0].values: Required value: must be only one value when `operator` is 'In' or 'NotIn' for node field selector",
            ],
        ),
        (
            ("/spec/topologySpreadConstraints", json!([{"maxSkew": 0, "topologyKey": "z", "whenUnsatisfiable": "DoNotSchedule"}])),
            vec!["spec.topologySpreadConstraints[0].maxSkew: Invalid value: 0: must be greater than zero"],
        ),
        (
            ("/spec/dnsPolicy", json!("None")),
            vec!["spec.dnsConfig: Required value: must provide `dnsConfig` when `dnsPolicy` is None"],
        ),
        (
            ("/spec/hostAliases", json!([{"ip": "300.1.1.1", "hostnames": ["a"]}])),
            vec!["spec.hostAliases[0].ip: Invalid value: \"300.1.1.1\": must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"],
        ),
        (
            ("/spec/securityContext", json!({"runAsUser": -1, "sysctls": [{"name": "A"}]})),
            vec![
                "spec.securityContext.runAsUser: Invalid value: -1: must be between 0 and 2147483647, inclusive",
                "spec.securityContext.sysctls[0].name: Invalid value: \"A\": must have at most 253 characters and match regex ^([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?$",
            ],
        ),
    ];
    for (change, expected) in cases {
        check("Pod", &pod(), &[change], &expected);
    }
}

#[test]
fn pod_updates() {
    // DS-H22
    let mutable = [
        ("/spec/containers/0/image", json!("redis")),
        ("/spec/tolerations", json!([{"operator": "Exists"}])),
        ("/metadata/labels", json!({"a": "b"})),
    ];
    check_update("Pod", &pod(), &mutable, &[]);
    let old = ready("Pod", pod());
    let new = ready("Pod", changed(&pod(), &[("/spec/hostname", json!("h"))]));
    let errors = texts(validate_update(info("Pod"), &new, &old));
    let start = "spec: Forbidden: pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,";
    assert!(errors.len() == 1 && errors[0].starts_with(start), "{errors:?}");
    assert!(errors[0].ends_with("\n  hostname: null -> \"h\""), "{errors:?}");
    let more = [("/spec/containers/-", json!({"name": "d", "image": "i"}))];
    check_update("Pod", &pod(), &more, &["spec.containers: Forbidden: pod updates may not add or remove containers"]);
}

#[test]
fn metadata() {
    let config_map = json!({"metadata": {"name": "a", "namespace": "x"}});
    let long = "v".repeat(257 << 10);
    let cases: Vec<(Change, Vec<&str>)> = vec![
        (("/metadata/namespace", Value::Null), vec!["metadata.namespace: Required value"]),
        (
            ("/metadata/labels", json!({"a b": "c"})),
            vec!["metadata.labels: Invalid value: \"a b\": name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"],
        ),
        // DS-I46
        (("/metadata/annotations", json!({"a": long})), vec!["metadata.annotations: Too long: may not be more than 262144 bytes"]),
        (
            ("/metadata/ownerReferences", json!([{"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": ""}])),
            vec!["metadata.ownerReferences.uid: Invalid value: \"\": must not be empty"],
        ),
        (
            ("/metadata/finalizers", json!(["mine"])),
            vec!["metadata.finalizers[0]: Invalid value: \"mine\": name is neither a standard finalizer name nor is it fully qualified"],
        ),
        (("/data", json!({"a/b": "c"})), vec![
            "data[a/b]: Invalid value: \"a/b\": a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')",
        ]),
    ];
    for (change, expected) in cases {
        check("ConfigMap", &config_map, &[change], &expected);
    }
    // DS-A20
    let generated = json!({"metadata": {"generateName": "a-", "name": "a-x", "namespace": "x"}});
    check("ConfigMap", &generated, &[], &[]);
    // DS-I24
    let gone = json!({"metadata": {"name": "a", "namespace": "x", "deletionTimestamp": "2026-01-01T00:00:00Z"}});
    check_update("ConfigMap", &gone, &[("/metadata/finalizers", json!(["a/b"]))], &[
        "metadata.finalizers: Forbidden: no new finalizers can be added if the object is being deleted, found new finalizers []string{\"a/b\"}",
    ]);
}

#[test]
fn the_other_kinds() {
    let meta = json!({"name": "a", "namespace": "x"});
    let cluster = json!({"name": "a"});
    let cases: Vec<(&str, Value, Vec<&str>)> = vec![
        ("Secret", json!({"metadata": meta, "type": "kubernetes.io/tls", "data": {"tls.crt": ""}}), vec!["data[tls.key]: Required value"]),
        ("Service", json!({"metadata": meta, "spec": {}}), vec!["spec.ports: Required value"]),
        ("Service", json!({"metadata": meta, "spec": {"clusterIP": "None"}}), vec![]),
        (
            "Service",
            json!({"metadata": meta, "spec": {"ports": [{"port": 1}, {"name": "b", "port": 1}]}}),
            vec!["spec.ports[0].name: Required value", r#"spec.ports[1]: Duplicate value: {"port":1,"protocol":"TCP"}"#],
        ),
        (
            "Node",
            json!({"metadata": cluster, "spec": {"taints": [{"key": "k", "effect": "NoRun"}]}}),
            vec!["spec.taints[0].effect: Unsupported value: \"NoRun\": supported values: \"NoSchedule\", \"PreferNoSchedule\", \"NoExecute\""],
        ),
        ("Lease", json!({"metadata": meta, "spec": {"leaseDurationSeconds": 0}}), vec!["spec.leaseDurationSeconds: Invalid value: 0: must be greater than 0"]),
        // DS-D40
        ("ControllerRevision", json!({"metadata": meta, "revision": -1}), vec![
            "revision: Invalid value: -1: must be greater than or equal to 0",
            "data: Required value: data is mandatory",
        ]),
        // DS-B53
        ("PriorityClass", json!({"metadata": cluster, "value": 1000000001}), vec!["value: Forbidden: maximum allowed value of a user defined priority is 1000000000"]),
        ("PriorityClass", json!({"metadata": {"name": "system-node-critical"}, "value": 2000001000}), vec![]),
        (
            "PodDisruptionBudget",
            json!({"metadata": meta, "spec": {"minAvailable": 1, "maxUnavailable": 1}}),
            vec![r#"spec: Invalid value: {"maxUnavailable":1,"minAvailable":1}: minAvailable and maxUnavailable cannot be both set"#],
        ),
        ("Role", json!({"metadata": meta, "rules": [{"verbs": ["get"], "apiGroups": [""]}]}), vec!["rules[0].resources: Required value: resource rules must supply at least one resource"]),
        ("ClusterRole", json!({"metadata": {"name": "system:a"}, "rules": [{"verbs": ["get"], "nonResourceURLs": ["/metrics"]}]}), vec![]),
        (
            "RoleBinding",
            json!({"metadata": meta, "roleRef": {"kind": "Pod", "name": "r"}, "subjects": [{"kind": "User", "name": "u"}]}),
            vec!["roleRef.kind: Unsupported value: \"Pod\": supported values: \"ClusterRole\", \"Role\""],
        ),
        ("Event", json!({"metadata": meta, "involvedObject": {"namespace": "y"}}), vec!["involvedObject.namespace: Invalid value: \"y\": does not match event.namespace"]),
        ("Endpoints", json!({"metadata": meta, "subsets": [{"ports": [{"port": 1}]}]}), vec!["subsets[0]: Required value: must specify `addresses` or `notReadyAddresses`"]),
    ];
    for (kind, value, expected) in cases {
        check(kind, &value, &[], &expected);
    }
}

#[test]
fn frozen_data() {
    let secret = json!({"metadata": {"name": "a", "namespace": "x"}, "immutable": true, "data": {"a": ""}});
    check_update("Secret", &secret, &[("/data/a", json!("YQ=="))], &[
        "data: Forbidden: field is immutable when `immutable` is set",
    ]);
    let revision = json!({"metadata": {"name": "a", "namespace": "x"}, "revision": 1, "data": {"a": 1}});
    check_update("ControllerRevision", &revision, &[("/revision", json!(2))], &[]);
    check_update("ControllerRevision", &revision, &[("/data/a", json!(2))], &[r#"data: Invalid value: {"a":2}: field is immutable"#]);
}
