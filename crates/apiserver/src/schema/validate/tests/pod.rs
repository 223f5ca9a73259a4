use serde_json::{Value, json};

use super::*;

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
fn containers() {
    let cases: Vec<(Vec<Change>, Vec<&str>)> = vec![
        (vec![], vec![]),
        (vec![("/spec/containers", json!([]))], vec!["spec.containers: Required value"]),
        (vec![("/spec/containers/0/image", Value::Null)], vec!["spec.containers[0].image: Required value"]),
        (vec![("/spec/containers/0/name", Value::Null)], vec!["spec.containers[0].name: Required value"]),
        (
            vec![("/spec/initContainers/0/name", json!("c"))],
            vec!["spec.initContainers[0].name: Duplicate value: \"c\""],
        ),
        (
            vec![("/spec/containers/-", json!({"name": "c", "image": "b"}))],
            vec!["spec.containers[1].name: Duplicate value: \"c\""],
        ),
        (
            vec![("/spec/containers/0/imagePullPolicy", json!("Sometimes"))],
            vec![
                "spec.containers[0].imagePullPolicy: Unsupported value: \"Sometimes\": supported values: \"Always\", \"IfNotPresent\", \"Never\"",
            ],
        ),
        (
            vec![(
                "/spec/containers/0/ports",
                json!([{"containerPort": 70000}, {"name": "x_y", "containerPort": 1, "protocol": "ICMP"}]),
            )],
            vec![
                "spec.containers[0].ports[0].containerPort: Invalid value: 70000: must be between 1 and 65535, inclusive",
                "spec.containers[0].ports[1].name: Invalid value: \"x_y\": must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)",
                "spec.containers[0].ports[1].protocol: Unsupported value: \"ICMP\": supported values: \"SCTP\", \"TCP\", \"UDP\"",
            ],
        ),
        (
            vec![(
                "/spec/containers/0/ports",
                json!([{"containerPort": 80, "hostPort": 80}, {"containerPort": 81, "hostPort": 80}]),
            )],
            vec!["spec.containers[0].ports[1].hostPort: Duplicate value: \"TCP//80\""],
        ),
        (
            vec![
                ("/spec/hostNetwork", json!(true)),
                ("/spec/containers/0/ports", json!([{"containerPort": 80, "hostPort": 81}])),
            ],
            vec![
                "spec.containers[0].ports[0].hostPort: Invalid value: 81: must match `containerPort` when `hostNetwork` is true",
            ],
        ),
        (
            vec![("/spec/containers/0/resources", json!({"requests": {"cpu": "2"}, "limits": {"cpu": "1"}}))],
            vec![
                "spec.containers[0].resources.requests: Invalid value: \"2\": must be less than or equal to cpu limit of 1",
            ],
        ),
        (
            vec![(
                "/spec/containers/0/resources",
                json!({"requests": {"memory": "-1", "gpus": "1", "example.com/x": "1"}}),
            )],
            vec![
                "spec.containers[0].resources.requests[gpus]: Invalid value: \"gpus\": must be a standard resource type or fully qualified",
                "spec.containers[0].resources.requests[gpus]: Invalid value: \"gpus\": must be a standard resource for containers",
                "spec.containers[0].resources.requests[memory]: Invalid value: \"-1\": must be greater than or equal to 0",
                "spec.containers[0].resources.limits: Required value: Limit must be set for non overcommitable resources",
            ],
        ),
        (
            vec![("/spec/initContainers/0/livenessProbe", json!({"exec": {"command": ["a"]}}))],
            vec![
                "spec.initContainers[0].livenessProbe: Forbidden: may not be set for init containers without restartPolicy=Always",
            ],
        ),
        (
            vec![("/spec/resources", json!({"limits": {"cpu": "1"}}))],
            vec!["spec.resources: Forbidden: pod-level resources are not supported"],
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
            (
                "/spec/containers/0/readinessProbe",
                json!({"exec": {"command": ["a"]}, "tcpSocket": {"port": 1}, "successThreshold": 2}),
            ),
            vec![format!("{base}.readinessProbe.tcpSocket: Forbidden: may not specify more than 1 handler type")],
        ),
        (
            (
                "/spec/containers/0/readinessProbe",
                json!({"exec": {}, "terminationGracePeriodSeconds": 1, "timeoutSeconds": -1}),
            ),
            vec![
                format!("{base}.readinessProbe.exec.command: Required value"),
                format!("{base}.readinessProbe.timeoutSeconds: Invalid value: -1: must be greater than or equal to 0"),
                format!(
                    "{base}.readinessProbe.terminationGracePeriodSeconds: Invalid value: 1: must not be set for readinessProbes"
                ),
            ],
        ),
        (
            ("/spec/containers/0/lifecycle", json!({"preStop": {"sleep": {"seconds": 31}}})),
            vec![format!(
                "{base}.lifecycle.preStop.sleep: Invalid value: 31: must be non-negative and less than terminationGracePeriodSeconds (30)"
            )],
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
        (
            json!([{"name": "a=b"}]),
            vec![format!(
                "{base}.name: Invalid value: \"a=b\": a valid environment variable name must consist only of printable ASCII characters other than '='"
            )],
        ),
        (
            from(json!({})),
            vec![format!(
                "{base}.valueFrom: Invalid value: \"\": must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef` or `secretKeyRef`"
            )],
        ),
        (
            from(json!({"fieldRef": {"fieldPath": "spec.what"}})),
            vec![format!(
                "{base}.valueFrom.fieldRef.fieldPath: Invalid value: \"spec.what\": error converting fieldPath: field label not supported: spec.what"
            )],
        ),
        (
            from(json!({"resourceFieldRef": {"resource": "limits.gpu"}})),
            vec![format!(
                "{base}.valueFrom.resourceFieldRef.resource: Unsupported value: \"limits.gpu\": supported values: \"limits.cpu\", \"limits.ephemeral-storage\", \"limits.memory\", \"requests.cpu\", \"requests.ephemeral-storage\", \"requests.memory\""
            )],
        ),
        (
            from(json!({"configMapKeyRef": {"name": "m"}})),
            vec![format!("{base}.valueFrom.configMapKeyRef.key: Required value")],
        ),
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
            vec!["spec.containers[0].volumeMounts.mountPropagation: Forbidden: Bidirectional mount propagation is available only to privileged containers".into()],
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
            vec![
                "spec.tolerations[0].effect: Invalid value: \"\": effect must be 'NoExecute' when `tolerationSeconds` is set",
            ],
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
            (
                "/spec/affinity",
                json!({"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [
                    {"matchExpressions": [{"key": "a", "operator": "Gt", "values": ["1", "2"]}]},
                    {"matchFields": [{"key": "metadata.uid", "operator": "In", "values": ["a"]}]},
                    {"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["a", "b"]}]}
                ]}}}),
            ),
            vec![
                "spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms[0].matchExpressions[0].values: Required value: must be specified single value when `operator` is 'Lt' or 'Gt'",
                "spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms[1].matchFields[0].key: Invalid value: \"metadata.uid\": not a valid field selector key",
                "spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms[2].matchFields[0].values: Required value: must be only one value when `operator` is 'In' or 'NotIn' for node field selector",
            ],
        ),
        (
            (
                "/spec/topologySpreadConstraints",
                json!([{"maxSkew": 0, "topologyKey": "z", "whenUnsatisfiable": "DoNotSchedule"}]),
            ),
            vec!["spec.topologySpreadConstraints[0].maxSkew: Invalid value: 0: must be greater than zero"],
        ),
        (
            ("/spec/dnsPolicy", json!("None")),
            vec!["spec.dnsConfig: Required value: must provide `dnsConfig` when `dnsPolicy` is None"],
        ),
        (
            ("/spec/hostAliases", json!([{"ip": "300.1.1.1", "hostnames": ["a"]}])),
            vec![
                "spec.hostAliases[0].ip: Invalid value: \"300.1.1.1\": must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)",
            ],
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
fn a_host_name_that_overrides_all_others() {
    check("Pod", &pod(), &[("/spec/hostnameOverride", json!("over.example"))], &[]);
    let long = format!("{}.b", "a".repeat(63));
    let cases = [
        (json!("A"), "spec.hostnameOverride: Invalid value: \"A\": a lowercase RFC 1123 subdomain must consist of"),
        (json!(long), "spec.hostnameOverride: Too long: may not be more than 64 bytes"),
    ];
    for (name, begin) in cases {
        let object = ready("Pod", changed(&pod(), &[("/spec/hostnameOverride", name)]));
        let errors = texts(validate_create(info("Pod"), &object));
        assert!(errors.len() == 1 && errors[0].starts_with(begin), "{errors:?}");
    }
    for (path, other) in [("/spec/setHostnameAsFQDN", "setHostnameAsFQDN"), ("/spec/hostNetwork", "hostNetwork")] {
        let both = [("/spec/hostnameOverride", json!("a")), (path, json!(true))];
        let text = format!("spec.hostnameOverride: Forbidden: may not be specified when `{other}` is true");
        check("Pod", &pod(), &both, &[&text]);
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
