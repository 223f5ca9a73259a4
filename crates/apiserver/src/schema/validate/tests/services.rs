use serde_json::{Value, json};

use super::*;

#[test]
fn services() {
    let good = json!({"metadata": {"name": "s", "namespace": "x"},
        "spec": {"selector": {"a": "b"}, "clusterIP": "10.96.0.7", "ports": [{"port": 80}]}});
    let name = "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";
    let app_protocol = format!(r#"spec.ports[0].appProtocol: Invalid value: "A b": {name}"#);
    let cases: Vec<(Vec<Change>, &str)> = vec![
        (vec![("/metadata/name", json!("1a"))], ""),
        (vec![("/metadata/name", json!("a.b"))], r#"metadata.name: Invalid value: "a.b": must not contain dots"#),
        (
            vec![
                ("/spec/sessionAffinity", json!("ClientIP")),
                ("/spec/sessionAffinityConfig", json!({"clientIP": {"timeoutSeconds": 0}})),
            ],
            "spec.sessionAffinityConfig.clientIP.timeoutSeconds: Invalid value: 0: must be greater than 0 and less than 86400",
        ),
        (
            vec![("/spec/clusterIP", json!("y")), ("/spec/clusterIPs", json!(["y"]))],
            r#"spec.clusterIPs[0]: Invalid value: "y": must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"#,
        ),
        (
            vec![
                ("/spec/type", json!("ExternalName")),
                ("/spec/externalName", json!("a")),
                ("/spec/internalTrafficPolicy", Value::Null),
            ],
            "spec.clusterIPs: Forbidden: may not be set for ExternalName services",
        ),
        (
            vec![("/spec/externalIPs", json!(["127.0.0.1"]))],
            r#"spec.externalIPs[0]: Invalid value: "127.0.0.1": may not be in the loopback range (127.0.0.0/8, ::1/128)"#,
        ),
        (
            vec![("/spec/externalIPs", json!(["169.254.1.1"]))],
            r#"spec.externalIPs[0]: Invalid value: "169.254.1.1": may not be in the link-local range (169.254.0.0/16, fe80::/10)"#,
        ),
        (
            vec![("/spec/externalTrafficPolicy", json!("Local"))],
            r#"spec.externalTrafficPolicy: Invalid value: "Local": may only be set for externally-accessible services"#,
        ),
        (
            vec![("/spec/type", json!("NodePort")), ("/spec/externalTrafficPolicy", json!("X"))],
            r#"spec.externalTrafficPolicy: Unsupported value: "X": supported values: "Cluster", "Local""#,
        ),
        (
            vec![("/spec/internalTrafficPolicy", json!("X"))],
            r#"spec.internalTrafficPolicy: Unsupported value: "X": supported values: "Cluster", "Local""#,
        ),
        (
            vec![("/spec/type", json!("LoadBalancer")), ("/spec/loadBalancerSourceRanges", json!(["10.0.0.0/8", "x"]))],
            r#"spec.LoadBalancerSourceRanges[1]: Invalid value: "x": must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)"#,
        ),
        (
            vec![("/spec/loadBalancerClass", json!("a.test/x"))],
            "spec.loadBalancerClass: Forbidden: may only be used when `type` is 'LoadBalancer'",
        ),
        (
            vec![("/spec/ipFamilies", json!(["IPv6"]))],
            r#"spec.ipFamilies[0]: Invalid value: "IPv6": not configured on this cluster"#,
        ),
        (
            vec![("/spec/ipFamilyPolicy", json!("X"))],
            r#"spec.ipFamilyPolicy: Unsupported value: "X": supported values: "PreferDualStack", "RequireDualStack", "SingleStack""#,
        ),
        (
            vec![("/spec/ipFamilyPolicy", json!("RequireDualStack"))],
            r#"spec.ipFamilyPolicy: Invalid value: "RequireDualStack": this cluster is not configured for dual-stack services"#,
        ),
        (vec![("/spec/ports/0/appProtocol", json!("A b"))], &app_protocol),
        (
            vec![("/spec/trafficDistribution", json!("X"))],
            r#"spec.trafficDistribution: Unsupported value: "X": supported values: "PreferClose", "PreferSameZone", "PreferSameNode""#,
        ),
    ];
    for (changes, expected) in cases {
        let expected: Vec<&str> = Some(expected).filter(|text| !text.is_empty()).into_iter().collect();
        check("Service", &good, &changes, &expected);
    }
}

#[test]
fn service_updates() {
    let good = json!({"metadata": {"name": "s", "namespace": "x"},
        "spec": {"clusterIP": "10.96.0.7", "clusterIPs": ["10.96.0.7"], "ports": [{"port": 80}]}});
    let other = [("/spec/clusterIP", json!("10.96.0.8")), ("/spec/clusterIPs", json!(["10.96.0.8"]))];
    check_update(
        "Service",
        &good,
        &other,
        &[r#"spec.clusterIPs[0]: Invalid value: ["10.96.0.8"]: may not change once set"#],
    );
    let external = [
        ("/spec/clusterIP", Value::Null),
        ("/spec/clusterIPs", Value::Null),
        ("/spec/type", json!("ExternalName")),
        ("/spec/externalName", json!("a.test")),
    ];
    check_update("Service", &good, &external, &[]);
}
