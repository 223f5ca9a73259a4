use serde_json::{Value, json};

use super::super::*;
use super::{named, patched, pod, spec};

#[test]
fn two_way_patches() {
    let cases = [
        (spec("containers", named("ab")), spec("containers", named("ab")), json!({})),
        (spec("hostNetwork", json!(true)), json!({"spec": {}}), json!({"spec": {"hostNetwork": null}})),
        (
            spec("containers", named("ab")),
            spec("containers", named("b")),
            json!({"spec": {"$setElementOrder/containers": [{"name": "b"}], "containers": [{"$patch": "delete", "name": "a"}]}}),
        ),
        (
            spec("containers", named("ab")),
            spec("containers", named("ba")),
            json!({"spec": {"$setElementOrder/containers": [{"name": "b"}, {"name": "a"}]}}),
        ),
        (
            spec("containers", json!([{"name": "a", "image": "1", "x": 1}])),
            spec("containers", json!([{"name": "a", "image": "2"}])),
            json!({"spec": {"$setElementOrder/containers": [{"name": "a"}], "containers": [{"image": "2", "name": "a", "x": null}]}}),
        ),
        (
            spec("tolerations", json!([{"key": "a"}])),
            spec("tolerations", json!([{"key": "b"}])),
            spec("tolerations", json!([{"key": "b"}])),
        ),
        // DS-I17
        (
            spec("volumes", json!([{"name": "v", "emptyDir": {}}])),
            spec("volumes", json!([{"name": "v", "hostPath": {"path": "/"}}])),
            json!({"spec": {"$setElementOrder/volumes": [{"name": "v"}], "volumes": [
            {"$retainKeys": ["hostPath", "name"], "emptyDir": null, "hostPath": {"path": "/"}, "name": "v"}]}}),
        ),
        (
            json!({"metadata": {"finalizers": ["a", "b"]}}),
            json!({"metadata": {"finalizers": ["b", "c"]}}),
            json!({"metadata": {"$deleteFromPrimitiveList/finalizers": ["a"], "$setElementOrder/finalizers": ["b", "c"],
            "finalizers": ["c"]}}),
        ),
    ];
    for (original, modified, patch) in cases {
        let computed = create_two_way(&original, &modified, pod()).unwrap();
        assert_eq!(computed, patch);
        assert_eq!(patched(original, computed), modified);
    }
}

#[test]
fn apply_keeps_what_others_own() {
    // DS-I20: original = applied last, modified = the manifest, current = live.
    let original = json!({"metadata": {"name": "p", "labels": {"mine": "1", "gone": "1"}},
        "spec": {"containers": [{"name": "a", "image": "1"}, {"name": "old"}], "hostNetwork": true}});
    let modified = json!({"metadata": {"name": "p", "labels": {"mine": "2"}},
        "spec": {"containers": [{"name": "a", "image": "2"}, {"name": "new"}]}});
    let current = json!({"metadata": {"name": "p", "uid": "u", "labels": {"mine": "1", "gone": "1", "theirs": "1"}},
        "spec": {"containers": [{"name": "a", "image": "1", "imagePullPolicy": "Always"}, {"name": "old"},
            {"name": "sidecar"}], "hostNetwork": true, "nodeName": "n"}});
    let patch = diff3(&original, &modified, &current, pod()).unwrap();
    assert_eq!(
        patch,
        json!({"metadata": {"labels": {"gone": null, "mine": "2"}}, "spec": {
        "$setElementOrder/containers": [{"name": "a"}, {"name": "new"}],
        "containers": [{"image": "2", "name": "a"}, {"name": "new"}, {"$patch": "delete", "name": "old"}],
        "hostNetwork": null}})
    );
    assert_eq!(
        patched(current, patch),
        json!({"metadata": {"name": "p", "uid": "u", "labels": {"mine": "2", "theirs": "1"}},
        "spec": {"containers": [{"name": "a", "image": "2", "imagePullPolicy": "Always"}, {"name": "new"},
            {"name": "sidecar"}], "nodeName": "n"}})
    );
}

#[test]
fn apply_of_an_unchanged_manifest_is_empty() {
    // DS-I20: defaults that the server added do not count as differences.
    let manifest =
        json!({"metadata": {"name": "p"}, "spec": {"containers": [{"name": "a", "ports": [{"containerPort": 80}]}]}});
    let current = json!({"metadata": {"name": "p", "uid": "u"}, "spec": {"dnsPolicy": "ClusterFirst", "containers":
        [{"name": "a", "imagePullPolicy": "Always", "ports": [{"containerPort": 80, "protocol": "TCP"}]}]}});
    assert_eq!(diff3(&manifest, &manifest, &current, pod()), Ok(json!({})));
}

#[test]
fn apply_with_a_changed_volume_source() {
    // DS-I17
    let volume = |source: Value| json!({"spec": {"volumes": [source]}});
    let original = volume(json!({"name": "v", "emptyDir": {}}));
    let modified = volume(json!({"name": "v", "hostPath": {"path": "/x"}}));
    let current = volume(json!({"name": "v", "emptyDir": {}}));
    let patch = diff3(&original, &modified, &current, pod()).unwrap();
    assert_eq!(patched(current, patch), modified);
}

#[test]
fn apply_may_not_rename() {
    let object = |name: &str| json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}});
    let error = diff3(&object("a"), &object("b"), &object("a"), pod()).unwrap_err();
    assert!(matches!(error, PatchError::Unprocessable(_)));
}
