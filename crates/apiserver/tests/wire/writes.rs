//! What a write insists on, what it makes, and what cannot be written or deleted at all.

use http::Method;
use serde_json::{Value, json};

use crate::support::*;

const LEASES: &str = "/apis/coordination.k8s.io/v1/namespaces/default/leases";
const BUDGETS: &str = "/apis/policy/v1/namespaces/default/poddisruptionbudgets";
const RBAC: &str = "/apis/rbac.authorization.k8s.io/v1";

#[tokio::test]
async fn only_one_namespace_is_emptied_at_once() {
    let server = Server::start().await;
    server.post(DAEMON_SETS, &daemon_set("web")).await.expect(201);
    let everywhere =
        ["/apis/apps/v1/daemonsets", "/api/v1/pods", "/api/v1/namespaces", "/apis/coordination.k8s.io/v1/leases"];
    for path in everywhere {
        let refused = server.delete(&format!("{path}?labelSelector=a%3Db"), &Value::Null).await.expect(405);
        assert_eq!(refused["message"], "the server does not allow this method on the requested resource", "{path}");
        assert_eq!(refused["details"], json!({}), "{path}");
    }
    server.get(&format!("{DAEMON_SETS}/web")).await.expect(200);
    server.delete(DAEMON_SETS, &Value::Null).await.expect(200);
    server.get(&format!("{DAEMON_SETS}/web")).await.expect(404);
}

#[tokio::test]
async fn what_the_cluster_needs_stays() {
    let server = Server::start().await;
    for name in ["system-node-critical", "system-cluster-critical"] {
        let path = format!("/apis/scheduling.k8s.io/v1/priorityclasses/{name}");
        let refused = server.delete(&path, &Value::Null).await.expect(403);
        let text = format!(
            "priorityclasses.scheduling.k8s.io \"{name}\" is forbidden: this is a system priority class and cannot be deleted"
        );
        assert_eq!(refused["message"], text);
    }
    for name in ["default", "kube-system", "kube-public"] {
        let refused = server.delete(&format!("/api/v1/namespaces/{name}"), &Value::Null).await.expect(403);
        let text = format!("namespaces \"{name}\" is forbidden: this namespace may not be deleted");
        assert_eq!(refused["message"], text);
    }
}

#[tokio::test]
async fn some_kinds_demand_a_version() {
    let server = Server::start().await;
    let budget = json!({"metadata": {"name": "a"}, "spec": {"minAvailable": 1, "selector": {}}});
    let account = json!({"metadata": {"name": "a"}});
    let accounts = "/api/v1/namespaces/default/serviceaccounts";
    let cases = [
        (LEASES, json!({"metadata": {"name": "a"}, "spec": {}}), "leases.coordination.k8s.io"),
        (BUDGETS, budget, "poddisruptionbudgets.policy"),
        (accounts, account, "serviceaccounts"),
    ];
    for (path, object, resource) in cases {
        let made = server.post(path, &object).await.expect(201);
        let one = format!("{path}/a");
        for version in [Value::Null, json!("0")] {
            let mut unversioned = object.clone();
            unversioned["metadata"]["resourceVersion"] = version;
            let refused = server.put(&one, &unversioned).await.expect(422);
            let text = format!(
                "{resource} \"a\" is invalid: metadata.resourceVersion: Invalid value: 0: must be specified for an update"
            );
            assert_eq!(refused["message"], text);
        }
        server.put(&one, &made).await.expect(200);
        server.patch(&one, MERGE, &json!({"metadata": {"labels": {"a": "b"}}})).await.expect(200);
    }
    // Others take what comes, and so does "0".
    server.post(CONFIG_MAPS, &config_map("a")).await.expect(201);
    let any = json!({"metadata": {"name": "a", "resourceVersion": "0"}, "data": {"a": "2"}});
    assert_eq!(server.put(&format!("{CONFIG_MAPS}/a"), &any).await.expect(200)["data"]["a"], "2");
    let odd = json!({"metadata": {"name": "a", "resourceVersion": "x"}});
    let refused = server.put(&format!("{CONFIG_MAPS}/a"), &odd).await.expect(500);
    assert_eq!(refused["message"], "strconv.ParseUint: parsing \"x\": invalid syntax");
    let new = json!({"metadata": {"name": "b", "resourceVersion": "5"}});
    let refused = server.post(CONFIG_MAPS, &new).await.expect(500);
    assert_eq!(refused["message"], "resourceVersion should not be set on objects to be created");
}

#[tokio::test]
async fn a_put_makes_what_is_made_that_way() {
    let server = Server::start().await;
    let meta = json!({"name": "a"});
    let role = json!({"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view"});
    let namespaced = |name: &str| format!("/api/v1/namespaces/default/{name}");
    let cases = [
        (namespaced("services"), json!({"metadata": meta, "spec": {"ports": [{"port": 1}]}})),
        (namespaced("endpoints"), json!({"metadata": meta})),
        (namespaced("events"), json!({"metadata": meta, "involvedObject": {"kind": "Pod", "namespace": "default"}})),
        (LEASES.to_owned(), json!({"metadata": meta, "spec": {}})),
        (format!("{RBAC}/namespaces/default/roles"), json!({"metadata": meta, "rules": []})),
        (format!("{RBAC}/namespaces/default/rolebindings"), json!({"metadata": meta, "roleRef": role})),
        (format!("{RBAC}/clusterroles"), json!({"metadata": meta, "rules": []})),
        (format!("{RBAC}/clusterrolebindings"), json!({"metadata": meta, "roleRef": role})),
    ];
    for (path, object) in cases {
        let one = format!("{path}/a");
        assert!(server.put(&one, &object).await.expect(201)["metadata"]["uid"].is_string(), "{path}");
        server.get(&one).await.expect(200);
    }
    let others = [
        (format!("{CONFIG_MAPS}/n"), json!({"metadata": {"name": "n"}})),
        (format!("{DAEMON_SETS}/n"), daemon_set("n")),
        (format!("{BUDGETS}/n"), json!({"metadata": {"name": "n"}, "spec": {"selector": {}}})),
    ];
    for (path, object) in others {
        server.put(&path, &object).await.expect(404);
    }
    let mut other = json!({"metadata": {"name": "u", "uid": "x"}, "spec": {}});
    server.put(&format!("{LEASES}/u"), &other).await.expect(409);
    other["metadata"]["uid"] = Value::Null;
    server.put(&format!("{LEASES}/u/status"), &other).await.expect(404);
}

#[tokio::test]
async fn who_may_only_update_makes_nothing() {
    let server = Server::start().await.with_default_account().await;
    let rules = json!([{"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": ["get", "update"]}]);
    let role = json!({"metadata": {"name": "updater"}, "rules": rules});
    server.post(&format!("{RBAC}/clusterroles"), &role).await.expect(201);
    let binding = json!({"metadata": {"name": "updater"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "updater"},
        "subjects": [{"kind": "ServiceAccount", "name": "default", "namespace": "default"}]});
    server.post(&format!("{RBAC}/clusterrolebindings"), &binding).await.expect(201);
    let token = server.post("/api/v1/namespaces/default/serviceaccounts/default/token", &json!({"spec": {}})).await;
    let who = Who::Token(token.expect(201)["status"]["token"].as_str().unwrap().to_owned());
    let lease = json!({"metadata": {"name": "a"}, "spec": {}}).to_string();
    let path = format!("{LEASES}/a");
    let refused = server.send(&who, Method::PUT, &path, &[("content-type", JSON)], lease).await.expect(403);
    assert!(refused["message"].as_str().unwrap().contains("cannot create resource \"leases\""), "{refused}");
    server.get(&path).await.expect(404);
}

#[tokio::test]
async fn metadata_of_the_server_is_not_written() {
    let server = Server::start().await;
    let path = format!("{CONFIG_MAPS}/a");
    server.post(CONFIG_MAPS, &config_map("a")).await.expect(201);
    for member in ["deletionTimestamp", "deletionGracePeriodSeconds"] {
        let value = if member == "deletionTimestamp" { json!("2001-01-01T00:00:00Z") } else { json!(5) };
        let refused = server.patch(&path, MERGE, &json!({"metadata": {member: value}})).await.expect(422);
        assert!(
            refused["message"].as_str().unwrap().contains(&format!("metadata.{member}: Invalid value:")),
            "{refused}"
        );
    }
    let born = json!({"metadata": {"creationTimestamp": "2001-01-01T00:00:00Z", "generateName": "z-"}});
    let kept = server.patch(&path, MERGE, &born).await.expect(200);
    assert_ne!(kept["metadata"]["creationTimestamp"], "2001-01-01T00:00:00Z");
    assert_eq!(kept["metadata"]["generateName"], "z-");
    let nameless = server.put(&path, &json!({"data": {}})).await.expect(400);
    let text = "the name of the object (a based on URL) was undeterminable: name must be provided";
    assert_eq!(nameless["message"], text);
}

#[tokio::test]
async fn patches_that_do_not_fit_are_refused_in_kubernetes_words() {
    let server = Server::start().await;
    let path = format!("{DAEMON_SETS}/web");
    server.post(DAEMON_SETS, &daemon_set("web")).await.expect(201);
    let made = json!([{"op": "replace", "path": "/metadata/annotations/made", "value": "1"}]);
    let patched = server.patch(&path, "application/json-patch+json", &made).await.expect(200);
    assert_eq!(patched["metadata"]["annotations"]["made"], "1");
    let failing = json!([{"op": "test", "path": "/metadata/name", "value": "other"}]);
    let refused = server.patch(&path, "application/json-patch+json", &failing).await.expect(422);
    assert_eq!(refused["message"], "the server rejected our request due to an error in our request");
    let odd = server.patch(&path, MERGE, &json!({"spec": "x"})).await.expect(422);
    let text = odd["message"].as_str().unwrap();
    assert!(text.starts_with(" \"\" is invalid: patch: Invalid value: \"{"), "{text}");
    let end = "json: cannot unmarshal string into Go struct field DaemonSet.spec of type v1.DaemonSetSpec";
    assert!(text.ends_with(end), "{text}");
    let keyless = json!({"spec": {"template": {"spec": {"containers": [{"image": "x"}]}}}});
    let refused = server.patch(&path, STRATEGIC, &keyless).await.expect(500);
    assert_eq!(refused["message"], "map: map[image:x] does not contain declared merge key: name");
}

#[tokio::test]
async fn what_is_odd_but_right_is_warned_of() {
    let server = Server::start().await;
    let mut twice = daemon_set("web");
    twice["spec"]["template"]["spec"]["containers"][0]["env"] = json!([{"name": "A"}, {"name": "A"}]);
    let told = |answer: &Answer| answer.headers.get("warning").map(|text| text.to_str().unwrap().to_owned());
    let expected = "299 - \"spec.template.spec.containers[0].env[1]: hides previous definition of \\\"A\\\", which may be dropped when using apply\"";
    let made = server.post(DAEMON_SETS, &twice).await;
    assert_eq!((made.code, told(&made).as_deref()), (201, Some(expected)));
    let path = format!("{DAEMON_SETS}/web");
    let labelled = server.patch(&path, MERGE, &json!({"metadata": {"labels": {"a": "b"}}})).await;
    assert_eq!((labelled.code, told(&labelled)), (200, None), "the template is as it was");
    let image = json!({"spec": {"template": {"spec": {"containers": [{"name": "main", "image": "y"}]}}}});
    let changed = server.patch(&path, STRATEGIC, &image).await;
    assert_eq!((changed.code, told(&changed).as_deref()), (200, Some(expected)));
}

#[tokio::test]
async fn fields_that_select() {
    let server = Server::start().await;
    let services = "/api/v1/namespaces/default/services";
    let spec = json!({"clusterIP": "None", "ports": [{"port": 1}]});
    server.post(services, &json!({"metadata": {"name": "headless"}, "spec": spec})).await.expect(201);
    let found = server.get(&format!("{services}?fieldSelector=spec.clusterIP%3DNone")).await.expect(200);
    assert_eq!(found["items"].as_array().unwrap().len(), 1);
    let others = server.get(&format!("{services}?fieldSelector=spec.clusterIP!%3DNone,metadata.name%3Dheadless")).await;
    assert_eq!(others.expect(200)["items"], json!([]));
    let cases = [
        (
            CONFIG_MAPS,
            "data.x",
            "\"data.x\" is not a known field selector: only \"metadata.name\", \"metadata.namespace\"",
        ),
        ("/api/v1/nodes", "metadata.namespace", "field label not supported: metadata.namespace"),
    ];
    for (path, field, text) in cases {
        assert_eq!(server.get(&format!("{path}?fieldSelector={field}%3D1")).await.expect(400)["message"], text);
    }
}

#[tokio::test]
async fn a_generated_name_is_known_to_all_that_follows() {
    let server = Server::start().await;
    let made = server.post("/api/v1/namespaces", &json!({"metadata": {"generateName": "gen-"}})).await.expect(201);
    let name = made["metadata"]["name"].as_str().unwrap();
    assert!(name.starts_with("gen-") && name.len() == 9, "{name}");
    assert_eq!(made["metadata"]["labels"]["kubernetes.io/metadata.name"], name);
}

#[tokio::test]
async fn a_binding_carries_labels_and_is_about_its_pod() {
    let server = Server::start().await.with_default_account().await;
    server.post(PODS, &pod("a")).await.expect(201);
    let path = format!("{PODS}/a/binding");
    let target = json!({"kind": "Node", "name": "n"});
    let cases = [
        (
            json!({"metadata": {"name": "b"}, "target": target}),
            400,
            "name in URL does not match name in Binding object",
        ),
        (
            json!({"metadata": {"name": "a"}, "target": {"kind": "Pod", "name": "n"}}),
            500,
            "target.kind: Unsupported value: \"Pod\": supported values: \"Node\", \"<empty>\"",
        ),
        (json!({"metadata": {"name": "a"}, "target": {"kind": "Node"}}), 500, "target.name: Required value"),
    ];
    for (binding, code, text) in cases {
        assert_eq!(server.post(&path, &binding).await.expect(code)["message"], text);
    }
    let meta = json!({"name": "a", "labels": {"l": "1"}, "annotations": {"n": "2"}});
    let binding = json!({"metadata": meta, "target": target});
    server.post(&path, &binding).await.expect(201);
    let bound = server.get(&format!("{PODS}/a")).await.expect(200);
    assert_eq!(bound["metadata"]["labels"], json!({"app": "web", "l": "1"}));
    assert_eq!(bound["metadata"]["annotations"]["n"], "2");
    let again = server.post(&path, &binding).await.expect(409);
    let text = "Operation cannot be fulfilled on pods/binding \"a\": pod a is already assigned to node \"n\"";
    assert_eq!(again["message"], text);
}

#[tokio::test]
async fn a_deleted_pod_ends_with_one_event() {
    let server = Server::start().await.with_default_account().await;
    server.post(PODS, &pod("a")).await.expect(201);
    let gone = server.delete(&format!("{PODS}/a"), &Value::Null).await.expect(200);
    assert_eq!(gone["metadata"]["deletionGracePeriodSeconds"], 0);
    assert_eq!(gone["metadata"]["generation"], 2);
    assert!(gone["metadata"]["deletionTimestamp"].is_string());
    // A running one: only the first mark counts as a change of it.
    let mut bound = pod("b");
    bound["spec"]["nodeName"] = "n".into();
    server.post(PODS, &bound).await.expect(201);
    for seconds in [20, 10] {
        let options = json!({"gracePeriodSeconds": seconds});
        let marked = server.delete(&format!("{PODS}/b"), &options).await.expect(200);
        assert_eq!(marked["metadata"]["deletionGracePeriodSeconds"], seconds);
        assert_eq!(marked["metadata"]["generation"], 2);
    }
}
