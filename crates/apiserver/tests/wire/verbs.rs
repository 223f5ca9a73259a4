//! Create, get, update, patch, delete.

use http::Method;
use serde_json::{Value, json};

use crate::support::*;

#[tokio::test]
async fn create_gives_an_identity_and_refuses_a_second() {
    let server = Server::start().await;
    let mut sent = daemon_set("web");
    sent["status"] = json!({"numberReady": 7});
    sent["metadata"]["generation"] = 9.into();
    let made = server.post(DAEMON_SETS, &sent).await.expect(201); // DS-I10
    assert_eq!(made["metadata"]["generation"], 1); // DS-A10
    assert_eq!(made["metadata"]["annotations"]["deprecated.daemonset.template.generation"], "1"); // DS-A11
    assert_eq!(made["status"]["numberReady"], 0); // DS-A10, DS-A46
    assert_eq!(made["spec"]["updateStrategy"]["rollingUpdate"]["maxUnavailable"], 1); // DS-A04
    assert!(made["metadata"]["uid"].as_str().unwrap().len() == 36 && made["metadata"]["resourceVersion"].is_string());
    let again = server.post(DAEMON_SETS, &sent).await.expect(409);
    assert_eq!(again["message"], "daemonsets.apps \"web\" already exists"); // DS-I42
    let read = server.get(&format!("{DAEMON_SETS}/web")).await.expect(200);
    assert_eq!(read, made);
    let missing = server.get(&format!("{DAEMON_SETS}/nope")).await.expect(404);
    assert_eq!(
        (&missing["reason"], &missing["message"]),
        (&json!("NotFound"), &json!("daemonsets.apps \"nope\" not found"))
    );
}

#[tokio::test]
async fn generations_count_what_changed() {
    let server = Server::start().await;
    let path = format!("{DAEMON_SETS}/web");
    server.post(DAEMON_SETS, &daemon_set("web")).await.expect(201);
    let generations = |value: &Value| {
        let template =
            value["metadata"]["annotations"]["deprecated.daemonset.template.generation"].as_str().unwrap().to_owned();
        (value["metadata"]["generation"].as_i64().unwrap(), template)
    };
    // DS-A14: labels only; another part of spec; the template.
    let labels = server.patch(&path, MERGE, &json!({"metadata": {"labels": {"a": "b"}}})).await.expect(200);
    assert_eq!(generations(&labels), (1, "1".into()));
    let spec = server.patch(&path, MERGE, &json!({"spec": {"minReadySeconds": 3}})).await.expect(200);
    assert_eq!(generations(&spec), (2, "1".into()));
    let image = json!({"spec": {"template": {"spec": {"containers": [{"name": "main", "image": "x:2"}]}}}});
    let template = server.patch(&path, STRATEGIC, &image).await.expect(200);
    assert_eq!(generations(&template), (3, "2".into()));
    // DS-I12: nothing changes, nothing is written.
    let same = server.patch(&path, STRATEGIC, &image).await.expect(200);
    assert_eq!(same["metadata"]["resourceVersion"], template["metadata"]["resourceVersion"]);
    // DS-A13: status does not touch spec, nor spec status.
    let mut status = same.clone();
    status["spec"]["minReadySeconds"] = 99.into();
    status["status"]["numberReady"] = 2.into();
    let after = server.put(&format!("{path}/status"), &status).await.expect(200);
    assert_eq!((&after["spec"]["minReadySeconds"], &after["status"]["numberReady"]), (&json!(3), &json!(2)));
    let mut main = after.clone();
    main["status"]["numberReady"] = 0.into();
    assert_eq!(server.put(&path, &main).await.expect(200)["status"]["numberReady"], 2);
}

#[tokio::test]
async fn updates_compare_versions() {
    let server = Server::start().await;
    let path = format!("{CONFIG_MAPS}/a");
    let first = server.post(CONFIG_MAPS, &config_map("a")).await.expect(201);
    let mut second = first.clone();
    second["data"]["a"] = "2".into();
    server.put(&path, &second).await.expect(200);
    let stale = server.put(&path, &second).await.expect(409);
    let text = "Operation cannot be fulfilled on configmaps \"a\": the object has been modified; please apply your changes to \
                the latest version and try again";
    assert_eq!(stale["message"], text); // DS-I11
    second["metadata"].as_object_mut().unwrap().remove("resourceVersion");
    second["data"]["a"] = "3".into();
    server.put(&path, &second).await.expect(200); // DS-A16
    let uid = json!({"metadata": {"uid": "other"}, "data": {"a": "4"}});
    let refused = server.patch(&path, MERGE, &uid).await.expect(422);
    let text = "ConfigMap \"a\" is invalid: metadata.uid: Invalid value: \"other\": field is immutable";
    assert_eq!(refused["message"], text);
    server.put(&format!("{CONFIG_MAPS}/none"), &config_map("none")).await.expect(404); // DS-A16
    server.put(&path, &config_map("b")).await.expect(400);
}

#[tokio::test]
async fn patches_of_three_kinds() {
    let server = Server::start().await;
    let path = format!("{CONFIG_MAPS}/a");
    server.post(CONFIG_MAPS, &config_map("a")).await.expect(201);
    let merged = server.patch(&path, MERGE, &json!({"data": {"b": "2", "a": null}})).await.expect(200);
    assert_eq!(merged["data"], json!({"b": "2"}));
    let operations =
        json!([{"op": "add", "path": "/data/c", "value": "3"}, {"op": "test", "path": "/data/b", "value": "2"}]);
    let patched = server.patch(&path, "application/json-patch+json", &operations).await.expect(200);
    assert_eq!(patched["data"], json!({"b": "2", "c": "3"}));
    let failing = json!([{"op": "test", "path": "/data/b", "value": "x"}]);
    server.patch(&path, "application/json-patch+json", &failing).await.expect(422); // DS-I13
    let odd = server.patch(&path, "text/plain", &json!({})).await.expect(415);
    assert!(odd["message"].as_str().unwrap().ends_with("application/apply-patch+yaml"), "{odd}");
}

#[tokio::test]
async fn deletion_options() {
    let server = Server::start().await;
    let path = format!("{CONFIG_MAPS}/a");
    let made = server.post(CONFIG_MAPS, &config_map("a")).await.expect(201);
    let wrong = server.delete(&path, &json!({"preconditions": {"uid": "x"}})).await.expect(409); // DS-I23
    let words = "Operation cannot be fulfilled on ConfigMap \"a\": the UID in the precondition (x) does not match the UID in record (";
    assert!(wrong["message"].as_str().unwrap().starts_with(words));
    server.delete(&format!("{path}?dryRun=All"), &Value::Null).await.expect(200);
    server.delete(&format!("{path}?dryRun=All"), &json!({})).await.expect(200);
    server.delete(&path, &json!({"dryRun": ["All"]})).await.expect(200); // DS-I21
    server.delete(&path, &json!({"dryRun": ["Some"]})).await.expect(422);
    // DS-C81
    let marked = server.delete(&path, &json!({"propagationPolicy": "Foreground"})).await.expect(200);
    assert_eq!(marked["metadata"]["finalizers"], json!(["foregroundDeletion"]));
    assert!(marked["metadata"]["deletionTimestamp"].is_string());
    // DS-I24
    let more = server
        .patch(&path, MERGE, &json!({"metadata": {"finalizers": ["a.b/c", "foregroundDeletion"]}}))
        .await
        .expect(422);
    assert!(
        more["message"].as_str().unwrap().contains("no new finalizers can be added if the object is being deleted")
    );
    server.patch(&path, MERGE, &json!({"metadata": {"finalizers": null}})).await.expect(200);
    server.get(&path).await.expect(404);
    let gone = json!({"preconditions": {"uid": made["metadata"]["uid"]}});
    server.delete(&path, &gone).await.expect(404);
    server.post(CONFIG_MAPS, &config_map("b")).await.expect(201);
    let status = server.delete(&format!("{CONFIG_MAPS}/b"), &Value::Null).await.expect(200);
    assert_eq!((&status["status"], &status["details"]["name"]), (&json!("Success"), &json!("b")));
}

#[tokio::test]
async fn a_set_is_deleted_in_the_background_unless_asked_otherwise() {
    // DS-A17: it is gone at once; its dependents are left to garbage collection, which finds their
    // owner absent.
    let server = Server::start().await;
    let path = format!("{DAEMON_SETS}/web");
    server.post(DAEMON_SETS, &daemon_set("web")).await.expect(201);
    server.delete(&path, &Value::Null).await.expect(200);
    server.get(&path).await.expect(404);
    server.post(DAEMON_SETS, &daemon_set("web")).await.expect(201);
    let marked = server.delete(&path, &json!({"propagationPolicy": "Orphan"})).await.expect(200);
    assert_eq!(marked["metadata"]["finalizers"], json!(["orphan"]));
}

#[tokio::test]
async fn conditions_of_a_set_merge_by_type() {
    // DS-A47
    let server = Server::start().await;
    let path = format!("{DAEMON_SETS}/web/status");
    server.post(DAEMON_SETS, &daemon_set("web")).await.expect(201);
    let condition = |kind: &str, status: &str| json!({"type": kind, "status": status});
    let write = |conditions: Value| json!({"status": {"conditions": conditions}});
    server.patch(&path, STRATEGIC, &write(json!([condition("A", "True")]))).await.expect(200);
    server.patch(&path, STRATEGIC, &write(json!([condition("B", "True")]))).await.expect(200);
    let after = server.patch(&path, STRATEGIC, &write(json!([condition("A", "False")]))).await.expect(200);
    let mut found: Vec<(&str, &str)> = after["status"]["conditions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|condition| (condition["type"].as_str().unwrap(), condition["status"].as_str().unwrap()))
        .collect();
    found.sort_unstable();
    assert_eq!(found, [("A", "False"), ("B", "True")]);
}

#[tokio::test]
async fn delete_collections_by_selector() {
    let server = Server::start().await;
    for (name, tier) in [("a", "x"), ("b", "x"), ("c", "y")] {
        let mut map = config_map(name);
        map["metadata"]["labels"] = json!({"tier": tier});
        server.post(CONFIG_MAPS, &map).await.expect(201);
    }
    server.delete(&format!("{CONFIG_MAPS}?labelSelector=tier%3Dx"), &Value::Null).await.expect(200);
    let left = server.get(CONFIG_MAPS).await.expect(200);
    assert_eq!(left["items"].as_array().unwrap().len(), 1);
    assert_eq!(left["items"][0]["metadata"]["name"], "c");
}

#[tokio::test]
async fn names_are_generated_and_checked() {
    let server = Server::start().await;
    let made = server.post(CONFIG_MAPS, &json!({"metadata": {"generateName": "x-"}})).await.expect(201);
    let name = made["metadata"]["name"].as_str().unwrap();
    assert!(name.starts_with("x-") && name.len() == 7); // DS-C60
    server.post(CONFIG_MAPS, &json!({"metadata": {}})).await.expect(422);
    let elsewhere = json!({"metadata": {"name": "a", "namespace": "kube-system"}});
    server.post(CONFIG_MAPS, &elsewhere).await.expect(400);
    let dry = server.post(&format!("{CONFIG_MAPS}?dryRun=All"), &config_map("dry")).await.expect(201); // DS-I21
    assert_eq!(dry["metadata"]["name"], "dry");
    server.get(&format!("{CONFIG_MAPS}/dry")).await.expect(404);
}

#[tokio::test]
async fn namespaces_live_and_terminate() {
    let server = Server::start().await;
    let missing = server.post("/api/v1/namespaces/x/configmaps", &config_map("a")).await.expect(404);
    assert_eq!(missing["message"], "namespaces \"x\" not found"); // DS-I26
    let made = server.post("/api/v1/namespaces", &json!({"metadata": {"name": "x"}})).await.expect(201);
    assert_eq!((&made["status"]["phase"], &made["spec"]["finalizers"]), (&json!("Active"), &json!(["kubernetes"])));
    server.post("/api/v1/namespaces/x/configmaps", &config_map("a")).await.expect(201);
    let marked = server.delete("/api/v1/namespaces/x", &Value::Null).await.expect(200);
    assert_eq!(marked["status"]["phase"], "Terminating");
    let refused = server.post("/api/v1/namespaces/x/configmaps", &config_map("b")).await.expect(403);
    assert_eq!(refused["details"]["causes"][0]["reason"], "NamespaceTerminating"); // DS-C54
    assert!(
        refused["message"]
            .as_str()
            .unwrap()
            .contains("unable to create new content in namespace x because it is being terminated")
    );
    let mut finalized = server.get("/api/v1/namespaces/x").await.expect(200);
    finalized["spec"]["finalizers"] = json!([]);
    // Whoever finalizes it may not know of everything.
    server.put("/api/v1/namespaces/x/finalize", &finalized).await.expect(409);
    server.delete("/api/v1/namespaces/x/configmaps/a", &Value::Null).await.expect(200);
    server.put("/api/v1/namespaces/x/finalize", &finalized).await.expect(200);
    server.get("/api/v1/namespaces/x").await.expect(404);
    server.delete("/api/v1/namespaces/default", &Value::Null).await.expect(403);
}

#[tokio::test]
async fn services_get_addresses_that_no_other_has() {
    let server = Server::start().await;
    let services = "/api/v1/namespaces/default/services";
    let service = |name: &str, spec: Value| json!({"metadata": {"name": name}, "spec": spec});
    let ports = json!([{"port": 80}]);
    let made = server.post(services, &service("a", json!({"ports": ports}))).await.expect(201);
    let address = made["spec"]["clusterIP"].as_str().unwrap().to_owned();
    assert!(address.starts_with("10.96.0.") && made["spec"]["clusterIPs"] == json!([address]));
    server.post(services, &service("b", json!({"ports": ports, "clusterIP": address}))).await.expect(409);
    let headless = server.post(services, &service("c", json!({"ports": ports, "clusterIP": "None"}))).await.expect(201);
    assert_eq!(headless["spec"]["clusterIPs"], json!(["None"]));
    let moved = json!({"spec": {"clusterIP": "10.96.0.77", "clusterIPs": ["10.96.0.77"]}});
    server.patch(&format!("{services}/a"), MERGE, &moved).await.expect(422);
    server.delete(&format!("{services}/a"), &Value::Null).await.expect(200);
    server.post(services, &service("b", json!({"ports": ports, "clusterIP": address}))).await.expect(201);
    let port = server.post(services, &service("d", json!({"type": "NodePort", "ports": ports}))).await.expect(201);
    assert!((30_000..=32_767).contains(&port["spec"]["ports"][0]["nodePort"].as_i64().unwrap()));
    let own = server.get(&format!("{services}/kubernetes")).await.expect(200);
    assert_eq!(own["spec"]["clusterIP"], "10.96.0.1");
}

#[tokio::test]
async fn events_have_two_forms() {
    let server = Server::start().await;
    let event = json!({"metadata": {"name": "a.1"}, "involvedObject": {"kind": "Pod", "name": "a", "namespace": "default", "uid": "u1"},
                       "reason": "Started", "message": "m", "type": "Normal", "source": {"component": "c"}});
    server.post("/api/v1/namespaces/default/events", &event).await.expect(201);
    let other = server.get("/apis/events.k8s.io/v1/namespaces/default/events/a.1").await.expect(200);
    assert_eq!(
        (&other["apiVersion"], &other["note"], &other["regarding"]["name"]),
        (&json!("events.k8s.io/v1"), &json!("m"), &json!("a"))
    ); // DS-I44
    let newer = json!({"metadata": {"name": "a.2"}, "regarding": {"kind": "Pod", "name": "b", "namespace": "default", "uid": "u2"},
                       "reason": "Killing", "note": "n", "type": "Normal", "action": "Killing", "reportingController": "agent",
                       "reportingInstance": "agent-1", "eventTime": "2026-01-01T00:00:00.000000Z"});
    server.post("/apis/events.k8s.io/v1/namespaces/default/events", &newer).await.expect(201);
    let by_uid =
        server.get("/api/v1/namespaces/default/events?fieldSelector=involvedObject.uid%3Du2").await.expect(200);
    assert_eq!(by_uid["items"].as_array().unwrap().len(), 1);
    assert_eq!(by_uid["items"][0]["message"], "n");
}

#[tokio::test]
async fn forms_of_requests_and_answers() {
    let server = Server::start().await;
    let admin = Who::Admin;
    let yaml = "metadata:\n  name: why\ndata:\n  k: v\n";
    let made =
        server.send(&admin, Method::POST, CONFIG_MAPS, &[("content-type", "application/yaml")], yaml).await.expect(201);
    assert_eq!(made["data"]["k"], "v");
    let path = format!("{CONFIG_MAPS}/why");
    let shown = server.send(&admin, Method::GET, &path, &[("accept", "application/yaml")], "").await;
    assert!(
        String::from_utf8_lossy(&shown.body).contains("k: v") && shown.headers["content-type"] == "application/yaml"
    );
    let refused = server.send(&admin, Method::GET, &path, &[("accept", "application/cbor")], "").await;
    assert_eq!(refused.code, 406); // DS-I06
    let partial = [("accept", "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io")];
    let shown = server.send(&admin, Method::GET, &path, &partial, "").await.expect(200);
    assert_eq!((&shown["kind"], &shown["data"]), (&json!("PartialObjectMetadata"), &Value::Null));
    let large = vec![b' '; (3 << 20) + 1];
    let too_large = server.send(&admin, Method::POST, CONFIG_MAPS, &[("content-type", JSON)], large).await;
    assert_eq!(too_large.code, 413); // DS-I46
    server.send(&admin, Method::POST, CONFIG_MAPS, &[("content-type", JSON)], "{").await.expect(400);
}

#[tokio::test]
async fn unknown_fields_warn_or_fail() {
    let server = Server::start().await;
    let mut set = daemon_set("web");
    set["spec"]["foo"] = 1.into();
    let strict = server.post(&format!("{DAEMON_SETS}?fieldValidation=Strict"), &set).await.expect(400);
    assert!(strict["message"].as_str().unwrap().contains("strict decoding error: unknown field \"spec.foo\"")); // DS-I40
    let warned = server.post(DAEMON_SETS, &set).await;
    assert_eq!(warned.headers["warning"], "299 - \"unknown field \\\"spec.foo\\\"\"");
    assert_eq!(warned.expect(201)["spec"]["foo"], Value::Null);
}

#[tokio::test]
async fn priority_classes() {
    let server = Server::start().await.with_default_account().await;
    let mut critical = pod("critical");
    critical["spec"]["priorityClassName"] = "system-node-critical".into();
    let made = server.post(PODS, &critical).await.expect(201);
    assert_eq!(made["spec"]["priority"], 2_000_001_000); // DS-B53
    let mut unknown = pod("unknown");
    unknown["spec"]["priorityClassName"] = "nope".into();
    let refused = server.post(PODS, &unknown).await.expect(403);
    assert!(refused["message"].as_str().unwrap().contains("no PriorityClass with name nope was found"));
}

#[tokio::test]
async fn what_was_acknowledged_is_there_after_a_restart() {
    let directory = tempfile::TempDir::new().unwrap();
    let open = || {
        let options = everynode_store::EmbeddedOptions::default();
        std::sync::Arc::new(everynode_store::EmbeddedStore::open(directory.path(), options).unwrap())
    };
    let store = open();
    let server = Server::start_on(store.clone()).await;
    let made = server.post(CONFIG_MAPS, &config_map("a")).await.expect(201);
    drop(server);
    everynode_store::Store::shutdown(&*store).await.unwrap();
    drop(store);
    let server = Server::start_on(open()).await;
    assert_eq!(server.get(&format!("{CONFIG_MAPS}/a")).await.expect(200), made);
    // A watch from now works although nothing was written since.
    let version = server.get(CONFIG_MAPS).await.expect(200)["metadata"]["resourceVersion"].as_str().unwrap().to_owned();
    let mut watch = server.watch(&format!("{CONFIG_MAPS}?watch=1&resourceVersion={version}")).await;
    server.post(CONFIG_MAPS, &config_map("b")).await.expect(201);
    assert_eq!(watch.summary().await, "ADDED b");
}

#[tokio::test]
async fn subresources_without_an_effect_are_refused() {
    let server = Server::start().await.with_default_account().await;
    let made = server.post(PODS, &pod("a")).await.expect(201);
    let refused = server.put(&format!("{PODS}/a/resize"), &made).await.expect(405);
    assert!(refused["message"].as_str().unwrap().contains("not supported by this server yet"));
    assert_eq!(server.get(&format!("{PODS}/a/binding")).await.code, 405);
    assert_eq!(server.get(&format!("{PODS}/a/nonsense")).await.code, 404);
    assert_eq!(server.put(CONFIG_MAPS, &config_map("a")).await.code, 405);
}
