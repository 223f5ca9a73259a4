use serde_json::{Value, json};

use super::{check, check_update};

#[test]
fn slices() {
    let slice = json!({"metadata": {"name": "a", "namespace": "x"}, "addressType": "IPv4",
        "endpoints": [{"addresses": ["10.0.0.1"]}], "ports": [{"port": 80}]});
    check("EndpointSlice", &slice, &[], &[]);
    let cases: [(&str, Value, &str); 5] = [
        (
            "/addressType",
            json!("IPv5"),
            "addressType: Unsupported value: \"IPv5\": supported values: \"FQDN\", \"IPv4\", \"IPv6\"",
        ),
        (
            "/endpoints/0/addresses",
            json!(["::1"]),
            "endpoints[0].addresses[0]: Invalid value: \"::1\": must be an IPv4 address",
        ),
        (
            "/endpoints/0/addresses",
            json!([]),
            "endpoints[0].addresses: Required value: must contain at least 1 address",
        ),
        ("/ports/-", json!({"port": 81}), "ports[1].name: Duplicate value: \"\""),
        (
            "/ports/0/protocol",
            json!("X"),
            "ports[0].protocol: Unsupported value: \"X\": supported values: \"SCTP\", \"TCP\", \"UDP\"",
        ),
    ];
    for (path, value, words) in cases {
        check("EndpointSlice", &slice, &[(path, value)], &[words]);
    }
    let many: Vec<Value> = (0..1001).map(|_| json!({"addresses": ["10.0.0.1"]})).collect();
    let words = "endpoints: Too many: 1001: must have at most 1000 items";
    check("EndpointSlice", &slice, &[("/endpoints", many.into())], &[words]);
    let none = json!({"metadata": {"name": "a", "namespace": "x"}, "addressType": "IPv4"});
    let frozen = "addressType: Invalid value: \"IPv6\": field is immutable";
    check_update("EndpointSlice", &none, &[("/addressType", json!("IPv6"))], &[frozen]);
}

#[test]
fn policies() {
    let policy = json!({"metadata": {"name": "a", "namespace": "x"}, "spec": {"podSelector": {},
        "ingress": [{"ports": [{"port": 80}], "from": [{"podSelector": {}}]}]}});
    check("NetworkPolicy", &policy, &[], &[]);
    let block = |cidr: &str, except: &str| json!({"ipBlock": {"cidr": cidr, "except": [except]}});
    check("NetworkPolicy", &policy, &[("/spec/ingress/0/from/0", block("10.0.0.0/8", "10.1.0.0/16"))], &[]);
    let cases: [(&str, Value, &str); 7] = [
        ("/spec/ingress/0/from/0", json!({}), "spec.ingress[0].from[0]: Required value: must specify a peer"),
        (
            "/spec/ingress/0/from/0",
            block("10.0.0.0/8", "11.0.0.0/16"),
            "spec.ingress[0].from[0].ipBlock.except[0]: Invalid value: \"11.0.0.0/16\": must be a strict subset of `cidr`",
        ),
        (
            "/spec/ingress/0/from/0",
            block("10.0.0.0/8", "10.0.0.0/8"),
            "spec.ingress[0].from[0].ipBlock.except[0]: Invalid value: \"10.0.0.0/8\": must be a strict subset of `cidr`",
        ),
        (
            "/spec/ingress/0/from/0",
            json!({"ipBlock": {"cidr": "10.0.0.0/8"}, "podSelector": {}}),
            "spec.ingress[0].from[0]: Forbidden: may not specify both ipBlock and another peer",
        ),
        (
            "/spec/ingress/0/ports/0/endPort",
            json!(70),
            "spec.ingress[0].ports[0].endPort: Invalid value: 70: must be greater than or equal to `port`",
        ),
        (
            "/spec/ingress/0/ports/0/protocol",
            json!("ICMP"),
            "spec.ingress[0].ports[0].protocol: Unsupported value: \"ICMP\": supported values: \"SCTP\", \"TCP\", \"UDP\"",
        ),
        (
            "/spec/policyTypes",
            json!(["Out"]),
            "spec.policyTypes[0]: Unsupported value: \"Out\": supported values: \"Egress\", \"Ingress\"",
        ),
    ];
    for (path, value, words) in cases {
        check("NetworkPolicy", &policy, &[(path, value)], &[words]);
    }
}

#[test]
fn classes_of_ingresses() {
    let class = json!({"metadata": {"name": "a"}, "spec": {"controller": "x.test/c"}});
    check("IngressClass", &class, &[], &[]);
    check("IngressClass", &class, &[("/spec/controller", Value::Null)], &["spec.controller: Required value"]);
    let plain = "spec.controller: Invalid value: \"c\": must be a domain-prefixed path (such as \"acme.io/foo\")";
    check("IngressClass", &class, &[("/spec/controller", json!("c"))], &[plain]);
    let parameters = json!({"kind": "K", "name": "n", "scope": "Namespace"});
    let words = "spec.parameters.namespace: Required value: `parameters.scope` is set to 'Namespace'";
    check("IngressClass", &class, &[("/spec/parameters", parameters)], &[words]);
    let frozen = "spec.controller: Invalid value: \"x.test/d\": field is immutable";
    check_update("IngressClass", &class, &[("/spec/controller", json!("x.test/d"))], &[frozen]);
}
