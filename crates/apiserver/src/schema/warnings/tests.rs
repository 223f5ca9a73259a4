use crate::catalogue::built_in;
use serde_json::{Value, json};

use super::*;

fn warnings_of(group: &str, plural: &str, value: &Value) -> Vec<String> {
    on_create(built_in::find(group, plural).unwrap(), value)
}

#[test]
fn templates() {
    let cases = [
        (
            json!({"nodeSelector": {"beta.kubernetes.io/os": "linux"}}),
            "nodeSelector[beta.kubernetes.io/os]: deprecated since v1.14; use \"kubernetes.io/os\" instead",
        ),
        (
            json!({"topologySpreadConstraints": [{"topologyKey": "z"}]}),
            "topologySpreadConstraints[0].labelSelector: a null labelSelector results in matching no pod",
        ),
        (
            json!({"containers": [{"env": [{"name": "A"}, {"name": "B"}, {"name": "A"}]}]}),
            "containers[0].env[2]: hides previous definition of \"A\", which may be dropped when using apply",
        ),
        (
            json!({"containers": [{"resources": {"requests": {"memory": "100m"}}}]}),
            "containers[0].resources.requests[memory]: fractional byte value \"100m\" is invalid, must be an integer",
        ),
        (json!({"imagePullSecrets": [{"name": "a"}, {"name": "a"}]}), "imagePullSecrets[1].name: duplicate name \"a\""),
        (json!({"imagePullSecrets": [{"name": ""}]}), "imagePullSecrets[0].name: invalid empty name \"\""),
        (json!({"hostAliases": [{"ip": "1.1.1.1"}, {"ip": "1.1.1.1"}]}), "hostAliases[1].ip: duplicate ip \"1.1.1.1\""),
        (
            json!({"volumes": [{"name": "v", "gitRepo": {"repository": "x"}}]}),
            "volumes[0].gitRepo: deprecated in v1.11, and disabled by default in v1.33+",
        ),
        (
            json!({"containers": [{"ports": [{"containerPort": 1}]}, {"ports": [{"containerPort": 1}]}]}),
            "containers[1].ports[0]: duplicate port definition with spec.template.spec.containers[0].ports[0]",
        ),
        (
            json!({"containers": [{"ports": [{"containerPort": 1, "protocol": "TCP"}, {"containerPort": 1, "protocol": "UDP"}]}]}),
            "",
        ),
        (
            json!({"terminationGracePeriodSeconds": -1}),
            "terminationGracePeriodSeconds: must be >= 0; negative values are invalid and will be treated as 1",
        ),
    ];
    for (spec, expected) in cases {
        let found = warnings_of("apps", "daemonsets", &json!({"spec": {"template": {"spec": spec}}}));
        let expected = (!expected.is_empty()).then(|| format!("spec.template.spec.{expected}"));
        assert_eq!(found, expected.into_iter().collect::<Vec<_>>());
    }
    let annotated = json!({"spec": {"template": {"metadata": {"annotations": {"scheduler.alpha.kubernetes.io/critical-pod": ""}}}}});
    let text = "spec.template.metadata.annotations[scheduler.alpha.kubernetes.io/critical-pod]: non-functional in v1.16+; use the \"priorityClassName\" field instead";
    assert_eq!(warnings_of("apps", "daemonsets", &annotated), [text]);
    let info = built_in::find("apps", "daemonsets").unwrap();
    assert!(on_update(info, &annotated, &annotated).is_empty(), "the template did not change");
    assert_eq!(on_update(info, &annotated, &json!({})), [text]);
}

#[test]
fn the_other_kinds() {
    let dots = warnings_of("", "pods", &json!({"metadata": {"name": "a.b"}}));
    assert_eq!(
        dots,
        [
            "metadata.name: this is used in the Pod's hostname, which can result in surprising behavior; a DNS label is recommended: [must not contain dots]"
        ]
    );
    assert!(warnings_of("", "pods", &json!({"metadata": {"name": "a"}})).is_empty());
    let owners = json!({"metadata": {"ownerReferences": [{"uid": "1"}, {"uid": "2"}, {"uid": "1"}]}});
    assert!(warnings_of("", "configmaps", &owners)[0].ends_with("duplicate UID(s) observed: 1"));
    assert!(built_in::ENDPOINTS.deprecated.as_deref().is_some_and(|text| text.contains("EndpointSlice")));
    assert_eq!(built_in::SERVICE.deprecated, None);
    let old = json!({"metadata": {"annotations": {"kubernetes.io/enforce-mountable-secrets": "true"}}});
    assert!(warnings_of("", "serviceaccounts", &old)[0].contains("deprecated in v1.32+"));
    let node = warnings_of("", "nodes", &json!({"spec": {"externalID": "x"}}));
    assert_eq!(node, ["spec.externalID: this field is deprecated, and is unused by Kubernetes"]);
}
