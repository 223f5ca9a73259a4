//! Who owns which field, and server-side apply. The recorded scenarios `apply/*` show the rest.

use everynode_api::kinds::POD;
use everynode_api::ports::{PatchType, Preconditions, Request, Target};
use everynode_apiserver::User;
use http::Method;
use serde_json::{Value, json};

use crate::support::*;

const APPLY: &str = "application/apply-patch+yaml";
const RBAC: &str = "/apis/rbac.authorization.k8s.io/v1";

fn set_path(query: &str) -> String {
    format!("{DAEMON_SETS}/web?{query}")
}

/// The entry of a manager and subresource; `Null`: there is none.
fn entry(object: &Value, manager: &str, subresource: Option<&str>) -> Value {
    let entries = object["metadata"]["managedFields"].as_array().cloned().unwrap_or_default();
    let of = |entry: &Value| entry["manager"] == manager && entry["subresource"].as_str() == subresource;
    entries.into_iter().find(of).unwrap_or_default()
}

fn with_port(port: u16, image: &str) -> Value {
    let mut set = daemon_set("web");
    set["spec"]["template"]["spec"]["containers"][0]["ports"] = json!([{ "containerPort": port }]);
    set["spec"]["template"]["spec"]["containers"][0]["image"] = image.into();
    set
}

#[tokio::test]
async fn two_managers_share_a_daemon_set() {
    let server = Server::start().await;
    let made = server.patch(&set_path("fieldManager=one"), APPLY, &with_port(80, "x:1")).await.expect(201);
    let again = server.patch(&set_path("fieldManager=one"), APPLY, &with_port(80, "x:1")).await.expect(200);
    assert_eq!(made["metadata"], again["metadata"], "what changes nothing writes nothing");
    let other = json!({"apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": {"labels": {"a": "b"}},
        "spec": {"template": {"spec": {"containers": [{"name": "main", "ports": [{"containerPort": 81}]}]}}}});
    let shared = server.patch(&set_path("fieldManager=two"), APPLY, &other).await.expect(200);
    let ports = &shared["spec"]["template"]["spec"]["containers"][0]["ports"];
    assert_eq!(*ports, json!([{"containerPort": 80, "protocol": "TCP"}, {"containerPort": 81, "protocol": "TCP"}]));
    let key = r#"k:{"containerPort":81,"protocol":"TCP"}"#;
    let containers = &entry(&shared, "two", None)["fieldsV1"]["f:spec"]["f:template"]["f:spec"]["f:containers"];
    assert_eq!(containers[r#"k:{"name":"main"}"#]["f:ports"][key], json!({".": {}, "f:containerPort": {}}));
    let left = json!({"apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": {"name": "web"}});
    let alone = server.patch(&set_path("fieldManager=two"), APPLY, &left).await.expect(200);
    assert_eq!(alone["spec"], made["spec"], "what only it owned is gone, and the rest stays");
    assert_eq!(entry(&alone, "two", None), Value::Null);
}

#[tokio::test]
async fn conflicts_force_and_dry_runs() {
    let server = Server::start().await;
    server.post(&format!("{DAEMON_SETS}?fieldManager=maker"), &with_port(80, "x:1")).await.expect(201);
    let image = json!({"apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": {"name": "web"},
        "spec": {"template": {"spec": {"containers": [{"name": "main", "image": "x:2"}]}}}});
    let refused = server.patch(&set_path("fieldManager=me"), APPLY, &image).await.expect(409);
    let field = ".spec.template.spec.containers[name=\"main\"].image";
    assert_eq!(
        refused["details"]["causes"],
        json!([{"reason": "FieldManagerConflict", "field": field, "message": "conflict with \"maker\" using apps/v1"}])
    );
    let query = "fieldManager=me&force=true&dryRun=All";
    let shown = server.patch(&set_path(query), APPLY, &image).await.expect(200);
    assert_eq!(shown["spec"]["template"]["spec"]["containers"][0]["image"], "x:2");
    assert_ne!(entry(&shown, "me", None), Value::Null);
    let kept = server.get(&set_path("")).await.expect(200);
    assert_eq!(kept["spec"]["template"]["spec"]["containers"][0]["image"], "x:1");
    assert_eq!(entry(&kept, "me", None), Value::Null, "a dry run is one");
    let taken = server.patch(&set_path("fieldManager=me&force=true"), APPLY, &image).await.expect(200);
    let containers = &entry(&taken, "maker", None)["fieldsV1"]["f:spec"]["f:template"]["f:spec"]["f:containers"];
    let main = &containers[r#"k:{"name":"main"}"#];
    assert!(main.get("f:image").is_none() && main.get("f:ports").is_some(), "{main}");
    let back = server.patch(&set_path("fieldManager=maker"), MERGE, &json!({"spec": {"minReadySeconds": 5}})).await;
    assert_eq!(entry(&back.expect(200), "maker", None)["fieldsV1"]["f:spec"]["f:minReadySeconds"], json!({}));
}

#[tokio::test]
async fn status_has_owners_of_its_own() {
    let server = Server::start().await;
    server.post(&format!("{DAEMON_SETS}?fieldManager=maker"), &daemon_set("web")).await.expect(201);
    let status = json!({"status": {"numberReady": 3}, "spec": {"minReadySeconds": 9}});
    let path = format!("{DAEMON_SETS}/web/status?fieldManager=reporter");
    let reported = server.patch(&path, MERGE, &status).await.expect(200);
    assert_eq!(
        entry(&reported, "reporter", Some("status"))["fieldsV1"],
        json!({"f:status": {"f:numberReady": {}}}),
        "a write of the status owns nothing of the spec"
    );
    let body = json!({"status": {"numberReady": 7}, "spec": {"minReadySeconds": 9}});
    let changed = server.patch(&set_path("fieldManager=maker"), MERGE, &body).await.expect(200);
    let maker = entry(&changed, "maker", None);
    assert!(maker["fieldsV1"].get("f:status").is_none(), "and the other way round: {maker}");
    assert_eq!(changed["status"]["numberReady"], 3);
    assert_ne!(entry(&changed, "reporter", Some("status")), Value::Null);
}

#[tokio::test]
async fn what_our_own_parts_report_has_no_entries_and_keeps_those_of_users() {
    let server = Server::start().await.with_default_account().await;
    let client = server.api.client(User::internal("system:tester"));
    let target = |name: &str| Target::new(POD, "default", name);
    client.call(Request::Create { target: target("ours"), body: pod("ours") }).await.unwrap();
    let ours = server.get(&format!("{PODS}/ours")).await.expect(200);
    assert!(ours["metadata"].get("managedFields").is_none(), "{}", ours["metadata"]);
    let labelled = server.patch(&format!("{PODS}/ours"), MERGE, &json!({"metadata": {"labels": {"a": "b"}}})).await;
    assert!(labelled.expect(200)["metadata"].get("managedFields").is_none(), "an update does not begin to track");
    server.post(&format!("{PODS}?fieldManager=user"), &pod("theirs")).await.expect(201);
    let report = Request::Patch {
        target: Target { subresource: Some("status"), ..target("theirs") },
        patch: PatchType::Merge,
        body: json!({"status": {"phase": "Running"}}),
        preconditions: Preconditions::default(),
    };
    client.call(report).await.unwrap();
    let theirs = server.get(&format!("{PODS}/theirs")).await.expect(200);
    assert_eq!(theirs["status"]["phase"], "Running");
    assert_eq!(theirs["metadata"]["managedFields"].as_array().map(Vec::len), Some(1));
    assert_ne!(entry(&theirs, "user", None), Value::Null);
    let apply = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "ours", "labels": {"app": "x"}}});
    let refused = server.patch(&format!("{PODS}/ours?fieldManager=me"), APPLY, &apply).await.expect(409);
    let text = "conflict with \"before-first-apply\" using v1";
    assert_eq!(refused["details"]["causes"][0]["message"], text, "what was there is owned");
}

#[tokio::test]
async fn who_may_only_patch_makes_nothing_by_apply() {
    let server = Server::start().await.with_default_account().await;
    let rules = json!([{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get", "patch"]}]);
    let role = json!({"metadata": {"name": "patcher"}, "rules": rules});
    server.post(&format!("{RBAC}/clusterroles"), &role).await.expect(201);
    let binding = json!({"metadata": {"name": "patcher"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "patcher"},
        "subjects": [{"kind": "ServiceAccount", "name": "default", "namespace": "default"}]});
    server.post(&format!("{RBAC}/clusterrolebindings"), &binding).await.expect(201);
    let token = server.post("/api/v1/namespaces/default/serviceaccounts/default/token", &json!({"spec": {}})).await;
    let who = Who::Token(token.expect(201)["status"]["token"].as_str().unwrap().to_owned());
    let body = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}}).to_string();
    let path = format!("{CONFIG_MAPS}/a?fieldManager=me");
    let refused = server.send(&who, Method::PATCH, &path, &[("content-type", APPLY)], body).await.expect(403);
    assert!(refused["message"].as_str().unwrap().contains("cannot create resource \"configmaps\""), "{refused}");
    server.get(&path).await.expect(404);
}

#[tokio::test]
async fn entries_that_clients_send_are_whole_or_left_out() {
    let server = Server::start().await;
    server.post(&format!("{CONFIG_MAPS}?fieldManager=maker"), &config_map("a")).await.expect(201);
    let deep = (0..300).fold(json!({}), |below, _| json!({ "f:a": below }));
    for fields in [deep, json!({"a": {}}), json!([])] {
        let mut body = config_map("a");
        body["metadata"]["managedFields"] = json!([{"manager": "x", "operation": "Update", "apiVersion": "v1",
            "fieldsType": "FieldsV1", "fieldsV1": fields}]);
        let answer = server.put(&format!("{CONFIG_MAPS}/a?fieldManager=maker"), &body).await;
        assert!(matches!(answer.code, 200 | 400), "{}", answer.code);
        let kept = server.get(&format!("{CONFIG_MAPS}/a")).await.expect(200);
        assert_eq!(entry(&kept, "x", None), Value::Null);
        assert_ne!(entry(&kept, "maker", None), Value::Null);
    }
    let mut body = config_map("a");
    body["metadata"]["managedFields"] = json!([{}]);
    let reset = server.put(&format!("{CONFIG_MAPS}/a"), &body).await.expect(200);
    assert!(reset["metadata"].get("managedFields").is_none(), "one empty entry clears them");
}
