//! Custom resources, from their definition to their end.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use everynode_apiserver::User;
use everynode_controllers::garbage::Garbage;
use everynode_controllers::namespaces::Namespaces;
use everynode_runtime::{Env, Manager, Options, Shutdown, Trigger};
use everynode_store::MemoryStore;
use serde_json::{Value, json};

use crate::support::*;

pub(crate) const DEFINITIONS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
pub(crate) const WIDGETS: &str = "/apis/x.test/v1/namespaces/default/widgets";
/// What is waited for comes within milliseconds, but on a machine that is busy.
pub(crate) const TRIES: usize = 400;
pub(crate) const PAUSE: Duration = Duration::from_millis(25);

/// A version of the widgets, whose `spec` has these properties.
pub(crate) fn version(name: &str, storage: bool, properties: Value) -> Value {
    json!({"name": name, "served": true, "storage": storage,
        "schema": {"openAPIV3Schema": {"type": "object", "properties": {
            "spec": {"type": "object", "properties": properties},
            "status": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}}}}})
}

pub(crate) fn widgets(versions: Vec<Value>) -> Value {
    json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "widgets.x.test"},
        "spec": {"group": "x.test", "scope": "Namespaced", "versions": versions,
            "names": {"plural": "widgets", "kind": "Widget", "shortNames": ["wd"], "categories": ["all"]}}})
}

pub(crate) fn widget(version: &str, name: &str, spec: Value) -> Value {
    json!({"apiVersion": format!("x.test/{version}"), "kind": "Widget", "metadata": {"name": name}, "spec": spec})
}

/// Asks until the answer has this code.
pub(crate) async fn until(server: &Server, path: &str, code: u16) -> Value {
    for _ in 0..TRIES {
        let answer = server.get(path).await;
        if answer.code == code {
            return serde_json::from_slice(&answer.body).unwrap_or_default();
        }
        tokio::time::sleep(PAUSE).await;
    }
    panic!("{path} is not answered with {code}");
}

/// Makes a definition and waits until it is served at a path.
pub(crate) async fn define(server: &Server, definition: &Value, path: &str) {
    server.post(DEFINITIONS, definition).await.expect(201);
    until(server, path, 200).await;
}

/// The mission's manifest, and as much of its definition as it needs.
const RULES: &str = include_str!("custom_resources/prometheus_rule.yaml");

#[tokio::test]
async fn the_alerts_of_the_mission_apply_once_their_kind_is_defined() {
    let server = Server::start().await;
    let mut documents = RULES.split("\n---\n");
    let (definition, alerts) = (documents.next().unwrap(), documents.next().unwrap());
    let path = "/apis/monitoring.coreos.com/v1/namespaces/default/prometheusrules";
    let yaml = [("content-type", "application/yaml")];
    let send = |path: &'static str, body: &str| {
        let body = body.to_owned();
        let server = &server;
        async move { server.send(&Who::Admin, http::Method::POST, path, &yaml, Bytes::from(body)).await }
    };
    assert_eq!(send(path, alerts).await.code, 404, "the kind is not there yet");
    send(DEFINITIONS, definition).await.expect(201);
    until(&server, path, 200).await;
    let made = send(path, alerts).await.expect(201);
    assert_eq!(made["spec"]["groups"][0]["rules"][2]["for"], "15m");
    let wrong = alerts
        .replace("daemonset-alerts", "b")
        .replace("for: 10m", "for: soon")
        .replace("- name: daemonset\n", "- interval: 1m\n");
    let refused = send(path, &wrong).await.expect(422);
    let text = refused["message"].as_str().unwrap();
    assert!(text.contains("spec.groups[0].name: Required value"), "{text}");
    assert!(text.contains("spec.groups[0].rules[0].for in body should match"), "{text}");
}

#[tokio::test]
async fn what_is_defined_is_discovered_and_explained() {
    let server = Server::start().await;
    define(
        &server,
        &widgets(vec![version("v1", true, json!({"color": {"type": "string", "description": "its color"}}))]),
        WIDGETS,
    )
    .await;
    let group = server.get("/apis/x.test").await.expect(200);
    assert_eq!(group["preferredVersion"]["groupVersion"], "x.test/v1");
    let resources = server.get("/apis/x.test/v1").await.expect(200);
    assert_eq!(resources["resources"][0]["shortNames"], json!(["wd"]));
    let index = server.get("/openapi/v3").await.expect(200);
    assert!(index["paths"]["apis/x.test/v1"].is_object());
    let document = server.get("/openapi/v3/apis/x.test/v1").await.expect(200);
    let schema = &document["components"]["schemas"]["test.x.v1.Widget"];
    assert_eq!(schema["properties"]["spec"]["properties"]["color"]["description"], "its color");
    assert_eq!(schema["x-kubernetes-group-version-kind"][0]["kind"], "Widget");
    let metadata = schema["properties"]["metadata"]["$ref"].as_str().unwrap();
    assert!(document.pointer(&metadata[1..]).is_some(), "{metadata} is in the document");
    let old = server.get("/openapi/v2").await.expect(200);
    assert!(old["definitions"]["test.x.v1.WidgetList"].is_object());
}

#[tokio::test]
async fn objects_are_pruned_defaulted_and_validated() {
    let server = Server::start().await;
    let properties = json!({
        "size": {"type": "integer", "minimum": 1, "maximum": 9, "default": 3},
        "names": {"type": "array", "items": {"type": "string", "maxLength": 3}, "x-kubernetes-list-type": "set"},
        "port": {"x-kubernetes-int-or-string": true},
        "mode": {"type": "string", "enum": ["a", "b"]},
    });
    define(&server, &widgets(vec![version("v1", true, properties)]), WIDGETS).await;
    let made = server.post(WIDGETS, &widget("v1", "a", json!({"port": "http", "unknown": 1}))).await;
    assert_eq!(made.headers["warning"], "299 - \"unknown field \\\"spec.unknown\\\"\"");
    assert_eq!(made.expect(201)["spec"], json!({"port": "http", "size": 3}));
    let bad = json!({"size": 10, "names": ["a", "long", "a"], "port": true, "mode": "c"});
    let refused = server.post(WIDGETS, &widget("v1", "b", bad)).await.expect(422);
    let causes: Vec<&str> = refused["details"]["causes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|cause| cause["message"].as_str().unwrap())
        .collect();
    assert_eq!(
        causes,
        [
            "Unsupported value: \"c\": supported values: \"a\", \"b\"",
            "Too long: may not be more than 3 bytes",
            "Duplicate value: \"a\"",
            "Invalid value: \"boolean\": spec.port in body must be of type integer,string: \"boolean\"",
            "Invalid value: 10: spec.size in body should be less than or equal to 9",
        ]
    );
    let other = json!({"apiVersion": "x.test/v1", "kind": "Other", "metadata": {"name": "c"}});
    let refused = server.post(WIDGETS, &other).await.expect(422);
    assert_eq!(refused["details"]["causes"][0]["message"], "Invalid value: \"Other\": must be Widget");
}

#[tokio::test]
async fn a_status_is_written_apart_and_counts_as_no_generation() {
    let server = Server::start().await;
    let mut with_status = version("v1", true, json!({"a": {"type": "string"}}));
    with_status["subresources"] = json!({"status": {}});
    define(&server, &widgets(vec![with_status]), WIDGETS).await;
    let mut body = widget("v1", "a", json!({"a": "1"}));
    body["status"] = json!({"ready": true});
    let made = server.post(WIDGETS, &body).await.expect(201);
    assert_eq!((made.get("status"), &made["metadata"]["generation"]), (None, &json!(1)));
    let path = format!("{WIDGETS}/a");
    let patch = json!({"spec": {"a": "2"}, "status": {"ready": true}, "metadata": {"labels": {"x": "y"}}});
    let seen = server.patch(&format!("{path}/status"), MERGE, &patch).await.expect(200);
    assert_eq!((&seen["spec"]["a"], &seen["status"]["ready"]), (&json!("1"), &json!(true)));
    assert_eq!((seen["metadata"].get("labels"), &seen["metadata"]["generation"]), (None, &json!(1)));
    let seen = server.patch(&path, MERGE, &patch).await.expect(200);
    assert_eq!((&seen["spec"]["a"], &seen["metadata"]["generation"]), (&json!("2"), &json!(2)));
    assert_eq!(server.patch(&path, STRATEGIC, &patch).await.code, 415);
}

#[tokio::test]
async fn versions_show_the_same_objects() {
    let server = Server::start().await;
    let field = || json!({"a": {"type": "string"}});
    define(&server, &widgets(vec![version("v1", true, field()), version("v2", false, field())]), WIDGETS).await;
    let second = WIDGETS.replace("/v1/", "/v2/");
    server.post(&second, &widget("v2", "a", json!({"a": "1"}))).await.expect(201);
    let seen = server.get(&format!("{WIDGETS}/a")).await.expect(200);
    assert_eq!((&seen["apiVersion"], &seen["spec"]["a"]), (&json!("x.test/v1"), &json!("1")));
    let list = server.get(&second).await.expect(200);
    assert_eq!(list["items"][0]["apiVersion"], "x.test/v2");
    let version = list["metadata"]["resourceVersion"].as_str().unwrap();
    let mut watches = Vec::new();
    for path in [WIDGETS, &second] {
        watches.push(server.watch(&format!("{path}?watch=1&resourceVersion={version}")).await);
    }
    server.patch(&format!("{WIDGETS}/a"), MERGE, &json!({"spec": {"a": "2"}})).await.expect(200);
    for (watch, version) in watches.iter_mut().zip(["x.test/v1", "x.test/v2"]) {
        let event = watch.next().await.unwrap();
        assert_eq!((&event["object"]["apiVersion"], &event["object"]["spec"]["a"]), (&json!(version), &json!("2")));
    }
    let group = server.get("/apis/x.test").await.expect(200);
    assert_eq!(group["preferredVersion"]["version"], "v2");
}

#[tokio::test]
async fn a_changed_schema_holds_at_once_and_old_objects_stay() {
    let server = Server::start().await;
    define(&server, &widgets(vec![version("v1", true, json!({"a": {"type": "string"}}))]), WIDGETS).await;
    server.post(WIDGETS, &widget("v1", "a", json!({"a": "text"}))).await.expect(201);
    let narrow = json!({"spec": widgets(vec![version("v1", true, json!({"a": {"type": "string", "maxLength": 2},
                                                                       "b": {"type": "string"}}))])["spec"]});
    server.patch(&format!("{DEFINITIONS}/widgets.x.test"), MERGE, &narrow).await.expect(200);
    for _ in 0..TRIES {
        if server.post(&format!("{WIDGETS}?dryRun=All"), &widget("v1", "b", json!({"a": "text"}))).await.code == 422 {
            break;
        }
        tokio::time::sleep(PAUSE).await;
    }
    assert_eq!(server.post(WIDGETS, &widget("v1", "b", json!({"a": "text"}))).await.code, 422);
    // What was wrong before is no obstacle to another change.
    let patched = server.patch(&format!("{WIDGETS}/a"), MERGE, &json!({"spec": {"b": "new"}})).await.expect(200);
    assert_eq!(patched["spec"], json!({"a": "text", "b": "new"}));
}

#[tokio::test]
async fn names_that_are_taken_are_not_served() {
    let server = Server::start().await;
    define(&server, &widgets(vec![version("v1", true, json!({}))]), WIDGETS).await;
    let mut second = widgets(vec![version("v1", true, json!({}))]);
    second["metadata"]["name"] = "gadgets.x.test".into();
    second["spec"]["names"] = json!({"plural": "gadgets", "kind": "Widget"});
    server.post(DEFINITIONS, &second).await.expect(201);
    let mut conditions = Value::Null;
    for _ in 0..TRIES {
        let held = server.get(&format!("{DEFINITIONS}/gadgets.x.test")).await.expect(200);
        conditions = held["status"]["conditions"].clone();
        if conditions.is_array() {
            break;
        }
        tokio::time::sleep(PAUSE).await;
    }
    assert_eq!((&conditions[0]["type"], &conditions[0]["status"]), (&json!("NamesAccepted"), &json!("False")));
    assert_eq!((&conditions[1]["type"], &conditions[1]["status"]), (&json!("Established"), &json!("False")));
    assert_eq!(server.get("/apis/x.test/v1/namespaces/default/gadgets").await.code, 404);
    // The first one goes, and its names are free.
    server.delete(&format!("{DEFINITIONS}/widgets.x.test"), &Value::Null).await.expect(200);
    until(&server, "/apis/x.test/v1/namespaces/default/gadgets", 200).await;
}

#[tokio::test]
async fn what_cannot_be_done_is_refused_by_name() {
    let server = Server::start().await;
    let mut converted = widgets(vec![version("v1", true, json!({}))]);
    converted["spec"]["conversion"] = json!({"strategy": "Webhook", "webhook": {
        "conversionReviewVersions": ["v1"], "clientConfig": {"url": "https://x.test"}}});
    let refused = server.post(DEFINITIONS, &converted).await.expect(422);
    assert!(refused["message"].as_str().unwrap().contains("conversion by webhook is not supported"), "{refused}");
}

#[tokio::test]
async fn rules_are_kept() {
    let server = Server::start().await;
    let size = json!({"type": "integer", "x-kubernetes-validations": [
        {"rule": "self <= 5", "messageExpression": "'at most 5, not ' + (self > 9 ? 'more' : 'a few more')"},
        {"rule": "self >= oldSelf", "message": "must not shrink", "reason": "FieldValueForbidden"},
    ]});
    let wrong = json!({"size": {"type": "integer", "x-kubernetes-validations": [{"rule": "self.startsWith('a')"}]}});
    let refused = server.post(DEFINITIONS, &widgets(vec![version("v1", true, wrong)])).await.expect(422);
    assert!(refused["message"].as_str().unwrap().contains("found no matching overload for 'startsWith'"), "{refused}");
    define(&server, &widgets(vec![version("v1", true, json!({"size": size}))]), WIDGETS).await;
    let refused = server.post(WIDGETS, &widget("v1", "w", json!({"size": 7}))).await.expect(422);
    assert_eq!(refused["details"]["causes"][0]["message"], "Invalid value: 7: at most 5, not a few more");
    server.post(WIDGETS, &widget("v1", "w", json!({"size": 3}))).await.expect(201);
    let sized = |size: u8| json!({"spec": {"size": size}});
    let smaller = server.patch(&format!("{WIDGETS}/w"), MERGE, &sized(2)).await.expect(422);
    assert_eq!(smaller["details"]["causes"][0]["message"], "Forbidden: must not shrink");
    server.patch(&format!("{WIDGETS}/w"), MERGE, &sized(4)).await.expect(200);
}

#[tokio::test]
async fn a_definition_ends_with_its_objects() {
    let server = Server::start().await;
    define(&server, &widgets(vec![version("v1", true, json!({}))]), WIDGETS).await;
    let mut held = widget("v1", "held", json!({}));
    held["metadata"]["finalizers"] = json!(["x.test/held"]);
    server.post(WIDGETS, &held).await.expect(201);
    server.post(WIDGETS, &widget("v1", "free", json!({}))).await.expect(201);
    let path = format!("{DEFINITIONS}/widgets.x.test");
    server.delete(&path, &Value::Null).await.expect(200);
    until(&server, &format!("{WIDGETS}/free"), 404).await;
    let refused = server.post(WIDGETS, &widget("v1", "new", json!({}))).await;
    assert_eq!(refused.code, 405, "nothing new comes while it ends");
    assert!(server.get(&format!("{WIDGETS}/held")).await.expect(200)["metadata"]["deletionTimestamp"].is_string());
    server.patch(&format!("{WIDGETS}/held"), MERGE, &json!({"metadata": {"finalizers": null}})).await.expect(200);
    until(&server, &path, 404).await;
    until(&server, WIDGETS, 404).await;
    define(&server, &widgets(vec![version("v1", true, json!({}))]), WIDGETS).await;
    assert_eq!(server.get(WIDGETS).await.expect(200)["items"], json!([]));
}

#[tokio::test]
async fn definitions_and_objects_outlive_a_restart() {
    let store = Arc::new(MemoryStore::new());
    let mut first = Server::start_on(store.clone()).await;
    define(&first, &widgets(vec![version("v1", true, json!({"a": {"type": "string"}}))]), WIDGETS).await;
    first.post(WIDGETS, &widget("v1", "a", json!({"a": "1"}))).await.expect(201);
    first.stop().await;
    let second = Server::start_on(store).await;
    let list = second.get(WIDGETS).await.expect(200);
    assert_eq!(list["items"][0]["spec"]["a"], "1", "served from the first request on");
}

fn controllers(server: &Server) -> Trigger {
    let client = server.api.client(User::new("system:kube-controller-manager", &["system:masters"]));
    let mut manager = Manager::new(client, Env::real());
    manager.discover(|kind| kind.plural != "events");
    manager.add(Namespaces, Options::default());
    manager.add(Garbage, Options::default());
    let (stop, stopped) = Shutdown::new();
    tokio::spawn(manager.run(stopped));
    stop
}

#[tokio::test]
async fn custom_objects_go_with_their_namespace_and_their_owner() {
    let server = Server::start().await;
    let _stop = controllers(&server);
    define(&server, &widgets(vec![version("v1", true, json!({}))]), WIDGETS).await;
    server.post("/api/v1/namespaces", &json!({"metadata": {"name": "team"}})).await.expect(201);
    let there = WIDGETS.replace("/default/", "/team/");
    server.post(&there, &widget("v1", "a", json!({}))).await.expect(201);
    server.delete("/api/v1/namespaces/team", &Value::Null).await.expect(200);
    until(&server, "/api/v1/namespaces/team", 404).await;
    assert_eq!(server.get(&there).await.expect(200)["items"], json!([]));

    let owner = server.post(WIDGETS, &widget("v1", "owner", json!({}))).await.expect(201);
    let mut owned = config_map("owned");
    owned["metadata"]["ownerReferences"] = json!([{"apiVersion": "x.test/v1", "kind": "Widget", "name": "owner",
                                                   "uid": owner["metadata"]["uid"]}]);
    server.post(CONFIG_MAPS, &owned).await.expect(201);
    server.delete(&format!("{WIDGETS}/owner"), &Value::Null).await.expect(200);
    until(&server, &format!("{CONFIG_MAPS}/owned"), 404).await;
}
