use serde_json::json;

use super::*;

#[test]
fn nodes() {
    let good = json!({"metadata": {"name": "n"}});
    let cases: Vec<(Change, Vec<&str>)> = vec![
        (
            ("/spec/taints", json!([{"key": "a", "effect": "NoSchedule"}, {"key": "a", "effect": "NoSchedule"}])),
            vec![
                r#"metadata.taints[1]: Duplicate value: {"Key":"a","Value":"","Effect":"NoSchedule","TimeAdded":null}: taints must be unique by key and effect pair"#,
            ],
        ),
        (
            ("/spec/podCIDRs", json!(["10.0.0.0/24", "10.1.0.0/24"])),
            vec![
                r#"spec.podCIDRs: Invalid value: ["10.0.0.0/24","10.1.0.0/24"]: may specify no more than one CIDR for each IP family"#,
            ],
        ),
        (("/spec/podCIDRs", json!(["10.0.0.0/24", "fd00::/64"])), vec![]),
        (
            ("/status/capacity", json!({"cpu": "-1"})),
            vec![
                r#"status.capacity.cpu: Invalid value: "-1": must be greater than or equal to 0"#,
                r#"status.allocatable.cpu: Invalid value: "-1": must be greater than or equal to 0"#,
            ],
        ),
        (
            ("/status/capacity", json!({"pods": "1500m"})),
            vec![
                r#"status.capacity.pods: Invalid value: "1500m": must be an integer"#,
                r#"status.allocatable.pods: Invalid value: "1500m": must be an integer"#,
            ],
        ),
        (
            (
                "/status/addresses",
                json!([{"type": "InternalIP", "address": "1.1.1.1"}, {"type": "InternalIP", "address": "1.1.1.1"}]),
            ),
            vec![],
        ),
    ];
    for (change, expected) in cases {
        check("Node", &good, &[change], &expected);
    }
}

#[test]
fn namespaces() {
    let good = json!({"metadata": {"name": "n"}});
    let long = "a".repeat(64);
    let too_long = format!("metadata.name: Invalid value: \"{long}\": must be no more than 63 characters");
    check("Namespace", &good, &[("/metadata/name", json!(long))], &[&too_long]);
    let dots = [("/metadata/name", json!("a.b"))];
    check("Namespace", &good, &dots, &["metadata.name: Invalid value: \"a.b\": must not contain dots"]);
    let finalizer = [("/spec/finalizers", json!(["x"]))];
    let text =
        "spec.finalizers: Invalid value: \"x\": name is neither a standard finalizer name nor is it fully qualified";
    check("Namespace", &good, &finalizer, &[text]);
    let old = ready("Namespace", good);
    let mut new = old.clone();
    new["status"]["phase"] = "Terminating".into();
    let errors = texts(validate_status_update(info("Namespace"), &new, &old));
    let text = "status.Phase: Invalid value: \"Terminating\": may only be 'Active' if `deletionTimestamp` is empty";
    assert_eq!(errors, [text]);
}
