use serde_json::{Map, Value, json};

use super::super::*;
use super::{named, patched, pod, spec};

#[test]
fn maps_merge_and_null_deletes() {
    // DS-I14
    let cases = [
        (
            json!({"metadata": {"labels": {"a": "1"}}}),
            json!({"metadata": {"labels": {"b": "2"}}}),
            json!({"metadata": {"labels": {"a": "1", "b": "2"}}}),
        ),
        (
            json!({"metadata": {"labels": {"a": "1"}}}),
            json!({"metadata": {"labels": {"a": null}}}),
            json!({"metadata": {"labels": {}}}),
        ),
        (json!({"a": 1}), json!({"a": null, "b": null}), json!({})),
        (json!({}), json!({"a": {"b": null, "c": {"d": null}}}), json!({"a": {"c": {}}})),
        (json!({"a": {"x": 1}}), json!({"a": "s"}), json!({"a": "s"})),
        (json!({"a": "s"}), json!({"a": {"x": 1, "y": null}}), json!({"a": {"x": 1}})),
        (json!({"a": {"x": 1}}), json!({"a": {"$patch": "replace", "y": 2}}), json!({"a": {"y": 2}})),
        (json!({"a": {"x": 1}}), json!({"a": {"$patch": "delete"}}), json!({"a": {}})),
        (json!({"a": {"x": 1}}), json!({"a": {"$patch": "merge", "y": 2}}), json!({"a": {"x": 1, "y": 2}})),
        (
            json!({"a": {"x": 1, "y": 2}}),
            json!({"a": {"$retainKeys": ["x", "z"], "z": 3}}),
            json!({"a": {"x": 1, "z": 3}}),
        ),
        (json!({}), json!({"a": {"$retainKeys": ["z"], "z": 3}}), json!({"a": {"z": 3}})),
    ];
    for (document, patch, result) in cases {
        assert_eq!(patched(document, patch), result);
    }
}

#[test]
fn lists_merge_by_their_key() {
    // DS-I15: (field, live, patch, result)
    let cases = [
        (
            "containers",
            json!([{"name": "a", "image": "1"}]),
            json!([{"name": "a", "image": "2"}]),
            json!([{"name": "a", "image": "2"}]),
        ),
        ("containers", json!([{"name": "a"}]), json!([{"name": "b"}]), json!([{"name": "b"}, {"name": "a"}])),
        ("initContainers", json!([{"name": "a", "x": 1}]), json!([{"name": "a", "x": null}]), json!([{"name": "a"}])),
        ("ephemeralContainers", json!([{"name": "a"}]), json!([{"name": "a", "x": 1}]), json!([{"name": "a", "x": 1}])),
        (
            "containers",
            json!([{"name": "a"}, {"name": "b"}]),
            json!([{"name": "a", "$patch": "delete"}]),
            json!([{"name": "b"}]),
        ),
        ("containers", json!([{"name": "a"}]), json!([{"name": "x", "$patch": "delete"}]), json!([{"name": "a"}])),
        ("containers", json!([{"name": "a"}]), json!([{"$patch": "replace"}, {"name": "b"}]), json!([{"name": "b"}])),
        (
            "containers",
            json!([{"name": "a", "x": {"y": 1}}]),
            json!([{"name": "a", "$patch": "replace", "z": 1}]),
            json!([]),
        ),
        (
            "volumes",
            json!([{"name": "v", "emptyDir": {}}]),
            json!([{"name": "v", "$retainKeys": ["name", "hostPath"], "hostPath": {"path": "/x"}}]),
            json!([{"name": "v", "hostPath": {"path": "/x"}}]),
        ), // DS-I17
        (
            "volumes",
            json!([{"name": "v", "emptyDir": {}}]),
            json!([{"name": "v", "hostPath": {"path": "/x"}}]),
            json!([{"name": "v", "emptyDir": {}, "hostPath": {"path": "/x"}}]),
        ),
        (
            "hostAliases",
            json!([{"ip": "1", "hostnames": ["a"]}]),
            json!([{"ip": "1", "hostnames": ["b"]}]),
            json!([{"ip": "1", "hostnames": ["b"]}]),
        ),
        ("imagePullSecrets", json!([{"name": "a"}]), json!([{"name": "a"}]), json!([{"name": "a"}])),
        (
            "topologySpreadConstraints",
            json!([{"topologyKey": "z", "maxSkew": 1}]),
            json!([{"topologyKey": "z", "maxSkew": 2}]),
            json!([{"topologyKey": "z", "maxSkew": 2}]),
        ),
        ("tolerations", json!([{"key": "a"}]), json!([{"key": "b"}]), json!([{"key": "b"}])),
        ("tolerations", json!([{"key": "a"}]), json!([{"$patch": "replace"}, {"key": "b"}]), json!([{"key": "b"}])),
        ("unknown", json!([{"name": "a"}]), json!([{"name": "b"}]), json!([{"name": "b"}])),
        ("containers", json!([]), json!([{"name": "a"}]), json!([{"name": "a"}])),
        ("containers", json!([{"name": "a"}]), json!([]), json!([{"name": "a"}])),
    ];
    for (field, live, patch, result) in cases {
        assert_eq!(patched(spec(field, live), spec(field, patch)), spec(field, result), "{field}");
    }
}

#[test]
fn container_lists_merge_by_their_key() {
    // DS-I15
    let cases = [
        (
            "ports",
            json!([{"containerPort": 80, "protocol": "TCP"}]),
            json!([{"containerPort": 80, "name": "http"}]),
            json!([{"containerPort": 80, "protocol": "TCP", "name": "http"}]),
        ),
        // Live elements that share a key stay apart; the first takes the patch.
        (
            "ports",
            json!([{"containerPort": 53, "protocol": "TCP"}, {"containerPort": 53, "protocol": "UDP"}]),
            json!([{"containerPort": 53, "name": "dns"}]),
            json!([{"containerPort": 53, "protocol": "TCP", "name": "dns"}, {"containerPort": 53, "protocol": "UDP"}]),
        ),
        (
            "env",
            json!([{"name": "A", "value": "1"}]),
            json!([{"name": "A", "value": "2"}]),
            json!([{"name": "A", "value": "2"}]),
        ),
        (
            "volumeMounts",
            json!([{"mountPath": "/a", "name": "v"}]),
            json!([{"mountPath": "/a", "name": "w"}]),
            json!([{"mountPath": "/a", "name": "w"}]),
        ),
        (
            "volumeDevices",
            json!([{"devicePath": "/d"}]),
            json!([{"devicePath": "/d", "name": "n"}]),
            json!([{"devicePath": "/d", "name": "n"}]),
        ),
        ("args", json!(["a", "b"]), json!(["c"]), json!(["c"])),
        ("command", json!(["a"]), json!(["a", "b"]), json!(["a", "b"])),
        ("envFrom", json!([{"prefix": "a"}]), json!([{"prefix": "b"}]), json!([{"prefix": "b"}])),
    ];
    for (field, live, patch, result) in cases {
        let container = |value: Value| json!({"spec": {"containers": [{"name": "c", field: value}]}});
        assert_eq!(patched(container(live), container(patch)), container(result), "{field}");
    }
}

#[test]
fn merge_keys_by_kind() {
    // DS-I15: (group, kind, where, list of key or None for atomic)
    let cases: Vec<(&str, &str, &[&str], Option<&str>)> = vec![
        ("apps", "DaemonSet", &["spec", "template", "spec", "containers"], Some("name")),
        ("apps", "DaemonSet", &["spec", "template", "spec", "containers", "ports"], Some("containerPort")),
        ("apps", "DaemonSet", &["status", "conditions"], Some("type")),
        ("apps", "DaemonSet", &["metadata", "ownerReferences"], Some("uid")),
        ("", "PodTemplate", &["template", "spec", "volumes"], Some("name")),
        ("", "Pod", &["status", "conditions"], Some("type")),
        ("", "Pod", &["status", "podIPs"], Some("ip")),
        ("", "Pod", &["spec", "tolerations"], None),
        ("", "Pod", &["status", "containerStatuses"], None),
        ("", "Node", &["status", "addresses"], Some("type")),
        ("", "Node", &["status", "conditions"], Some("type")),
        ("", "Node", &["spec", "taints"], None),
        ("", "Service", &["spec", "ports"], Some("port")),
        ("", "ServiceAccount", &["secrets"], Some("name")),
        ("", "ServiceAccount", &["imagePullSecrets"], None),
        ("", "Namespace", &["status", "conditions"], Some("type")),
        ("", "Endpoints", &["subsets"], None),
        ("", "ConfigMap", &["metadata", "ownerReferences"], Some("uid")),
        ("policy", "PodDisruptionBudget", &["status", "conditions"], Some("type")),
        ("storage.k8s.io", "CSINode", &["spec", "drivers"], Some("name")),
        ("admissionregistration.k8s.io", "ValidatingWebhookConfiguration", &["webhooks"], Some("name")),
    ];
    for (group, kind, path, key) in cases {
        let start = FieldMerge { schema: BuiltIn::for_kind(group, kind), ..FieldMerge::default() };
        let field = path.iter().fold(start, |field, name| field.schema.lookup(name));
        let expected = if key.is_some() { Strategy::Merge } else { Strategy::Default };
        assert_eq!((field.merge_key, field.strategy), (key, expected), "{group}/{kind} {path:?}");
    }
    let budget = BuiltIn::for_kind("policy", "PodDisruptionBudget");
    assert_eq!(budget.lookup("spec").schema.lookup("selector").strategy, Strategy::Replace);
    assert_eq!(pod().lookup("metadata").schema.lookup("finalizers").strategy, Strategy::Merge);
}

#[test]
fn finalizers_merge_as_a_set() {
    // DS-I14, DS-I15
    let cases = [
        (json!(["a"]), json!({"finalizers": ["b"]}), json!(["b", "a"])),
        (json!(["a", "b"]), json!({"finalizers": ["a"]}), json!(["a", "b"])),
        (json!(["a", "b"]), json!({"$deleteFromPrimitiveList/finalizers": ["a", "x"]}), json!(["b"])),
        (json!(["a"]), json!({"$deleteFromPrimitiveList/finalizers": ["a"], "finalizers": ["b"]}), json!(["b"])),
        (json!(["a", "b"]), json!({"$setElementOrder/finalizers": ["b", "a"]}), json!(["b", "a"])),
        (
            json!(["a", "b", "c"]),
            json!({"$setElementOrder/finalizers": ["c", "n"], "finalizers": ["n"]}),
            json!(["a", "b", "c", "n"]),
        ),
    ];
    for (live, patch, result) in cases {
        assert_eq!(
            patched(json!({"metadata": {"finalizers": live}}), json!({"metadata": patch})),
            json!({"metadata": {"finalizers": result}})
        );
    }
    let absent = patched(json!({"metadata": {}}), json!({"metadata": {"$deleteFromPrimitiveList/finalizers": ["a"]}}));
    assert_eq!(absent, json!({"metadata": {}}));
}

#[test]
fn order_of_elements() {
    // DS-I14: (live, patch, $setElementOrder or "-", result)
    let cases = [
        ("abc", "d", "-", "dabc"),
        ("abc", "c", "-", "abc"),
        ("abc", "ca", "-", "bca"),
        ("ab", "", "ba", "ba"),
        ("abc", "", "cb", "acb"),
        ("abcd", "", "db", "acdb"),
        ("ab", "n", "anb", "anb"),
        ("ab", "n", "abn", "abn"),
        ("ab", "n", "nab", "nab"),
        ("ax", "b", "ab", "abx"),
        ("xa", "b", "ab", "xab"),
        ("", "ab", "ba", "!"),
        ("", "ab", "ab", "ab"),
    ];
    for (live, patch, order, result) in cases {
        let mut change = Map::new();
        if !patch.is_empty() {
            change.insert("containers".into(), named(patch));
        }
        if order != "-" {
            change.insert("$setElementOrder/containers".into(), named(order));
        }
        let applied = apply(spec("containers", named(live)), json!({"spec": change}), pod());
        match result {
            "!" => assert!(matches!(applied, Err(PatchError::NotUnderstood(_))), "{live} {patch} {order}"),
            result => assert_eq!(applied, Ok(spec("containers", named(result))), "{live} {patch} {order}"),
        }
    }
}

#[test]
fn refused() {
    let cases = [
        (json!({"a": {"$patch": "explode"}}), "unknown patch type: explode in map: map[$patch:explode]"),
        (json!({"$retainKeys": ["a"], "b": 1}), "invalid patch format of retainKeys"),
        (json!({"$retainKeys": "a"}), "invalid patch format of retainKeys"),
        (json!({"spec": {"$setElementOrder/containers": "x"}}), "invalid patch format of setElementOrder list"),
        (json!({"spec": {"$setElementOrder": []}}), "invalid patch format of setElementOrder list"),
        (json!({"spec": {"$deleteFromPrimitiveList/x": 1}}), "invalid patch format of primitive list"),
        (json!({"spec": {"$deleteFromPrimitiveList": []}}), "invalid patch format of primitive list"),
        (
            json!({"spec": {"containers": [{"image": "x"}]}}),
            "map: map[image:x] does not contain declared merge key: name",
        ),
        (
            json!({"spec": {"containers": [{"$patch": "delete"}]}}),
            "map: map[$patch:delete] does not contain declared merge key: name",
        ),
        (
            json!({"spec": {"containers": [{"$patch": "merge", "name": "c"}]}}),
            "merging lists cannot yet be specified in the patch",
        ),
        (json!({"spec": {"containers": [1]}}), "list element types are not identical: [[map[name:c]] [1]]"),
        (json!({"spec": {"containers": [[]]}}), "lists of lists are not supported"),
        (
            json!({"spec": {"containers": [{"name": "x"}], "$setElementOrder/containers": [{"name": "c"}]}}),
            "The order in patch list:\n[map[name:x]]\n doesn't match $setElementOrder list:\n[map[name:c]]\n",
        ),
    ];
    for (patch, text) in cases {
        let document = json!({"spec": {"containers": [{"name": "c"}]}});
        assert_eq!(apply(document, patch.clone(), pod()).unwrap_err().to_string(), text, "{patch}");
    }
    assert!(matches!(apply(json!([]), json!({}), pod()), Err(PatchError::Malformed(_))));
    assert!(matches!(apply(json!({}), json!([]), pod()), Err(PatchError::Malformed(_))));
}

#[test]
fn rollback_of_a_daemon_set() {
    // DS-D41: a revision's data is a strategic merge patch that restores the template.
    let live = json!({"spec": {"template": {"metadata": {"labels": {"a": "1", "new": "x"}}, "spec": {"containers":
        [{"name": "c", "image": "2"}, {"name": "extra"}]}}, "minReadySeconds": 5}});
    let data = json!({"spec": {"template": {"$patch": "replace", "metadata": {"creationTimestamp": null, "labels":
        {"a": "1"}}, "spec": {"containers": [{"name": "c", "image": "1"}]}}}});
    let result = apply(live, data, BuiltIn::for_kind("apps", "DaemonSet")).unwrap();
    assert_eq!(
        result,
        json!({"spec": {"template": {"metadata": {"labels": {"a": "1"}}, "spec": {"containers":
        [{"name": "c", "image": "1"}]}}, "minReadySeconds": 5}})
    );
}
