//! Definitions that ask for too much, or that change under the objects that they define.

use std::time::Duration;

use serde_json::{Value, json};

use crate::custom_resources::{DEFINITIONS, PAUSE, TRIES, WIDGETS, define, until, version, widget, widgets};
use crate::support::*;

const APPLY: &str = "application/apply-patch+yaml";
const ONE: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/widgets.x.test";

/// Replaces the versions of the widgets, and waits until this is served.
async fn replace_versions(server: &Server, versions: Vec<Value>, served: &str, gone: Option<&str>) {
    let mut definition = server.get(ONE).await.expect(200);
    definition["spec"]["versions"] = versions.into();
    server.put(ONE, &definition).await.expect(200);
    until(server, served, 200).await;
    if let Some(gone) = gone {
        until(server, gone, 404).await;
    }
}

#[tokio::test]
async fn patterns_are_those_of_go() {
    let server = Server::start().await;
    let digits = json!({"d": {"type": "string", "pattern": r"^\d+$"}, "b": {"type": "string", "pattern": "^a{$"}});
    define(&server, &widgets(vec![version("v1", true, digits)]), WIDGETS).await;
    server.post(WIDGETS, &widget("v1", "a", json!({"d": "12", "b": "a{"}))).await.expect(201);
    assert_eq!(server.post(WIDGETS, &widget("v1", "b", json!({"d": "٣٤"}))).await.code, 422);
    let costly: serde_json::Map<String, Value> = (0..500)
        .map(|number| (format!("p{number}"), json!({"type": "string", "pattern": format!(r"^\pL{{100}}{number}$")})))
        .collect();
    let mut other = widgets(vec![version("v1", true, costly.into())]);
    other["metadata"]["name"] = "others.x.test".into();
    other["spec"]["names"] = json!({"plural": "others", "kind": "Other"});
    let refused = server.post(DEFINITIONS, &other).await.expect(422);
    assert!(refused["message"].as_str().unwrap().contains("expression too large"), "{refused}");
}

#[tokio::test]
async fn refusals_and_defaults_are_bounded() {
    let server = Server::start().await;
    let allowed: Vec<String> = (0..5_000).map(|number| format!("v{number}")).collect();
    let item = json!({"type": "object", "properties": {"a": {"type": "string", "default": "x".repeat(50_000)}}});
    let properties = json!({
        "words": {"type": "array", "items": {"type": "string", "enum": allowed}},
        "items": {"type": "array", "items": item},
    });
    define(&server, &widgets(vec![version("v1", true, properties)]), WIDGETS).await;
    let refused = server.post(WIDGETS, &widget("v1", "a", json!({"words": vec!["x"; 5_000]}))).await;
    assert_eq!(refused.code, 422);
    assert!(refused.body.len() < 1 << 20, "{}", refused.body.len());
    for path in [WIDGETS.to_owned(), format!("{WIDGETS}?dryRun=All")] {
        let many = widget("v1", "b", json!({"items": vec![json!({}); 50_000]}));
        let refused = server.post(&path, &many).await.expect(413);
        assert_eq!(refused["message"], "Request entity too large: limit is 1572864");
        let long = widget("v1", "c", json!({"items": [{"a": "x".repeat(1_600_000)}]}));
        assert_eq!(server.post(&path, &long).await.code, 413, "{path}");
    }
}

#[tokio::test]
async fn a_definition_that_was_never_served_can_be_made_right() {
    let server = Server::start().await;
    define(&server, &widgets(vec![version("v1", true, json!({}))]), WIDGETS).await;
    let mut second = widgets(vec![version("v1", true, json!({}))]);
    second["metadata"]["name"] = "gadgets.x.test".into();
    second["spec"]["names"] = json!({"plural": "gadgets", "kind": "Widget"});
    server.post(DEFINITIONS, &second).await.expect(201);
    let path = format!("{DEFINITIONS}/gadgets.x.test");
    let (names, mut code) = (
        json!({"plural": "gadgets", "singular": "gadget", "kind": "Gadget",
        "listKind": "GadgetList"}),
        0,
    );
    for _ in 0..TRIES {
        let mut held = server.get(&path).await.expect(200);
        held["spec"]["names"] = names.clone();
        code = server.put(&path, &held).await.code;
        if code != 409 {
            break;
        }
        tokio::time::sleep(PAUSE).await;
    }
    assert_eq!(code, 200);
    until(&server, "/apis/x.test/v1/namespaces/default/gadgets", 200).await;
    let mut held = server.get(&path).await.expect(200);
    held["spec"]["names"]["kind"] = "Thing".into();
    let refused = server.put(&path, &held).await.expect(422);
    assert_eq!(refused["details"]["causes"][0]["message"], "Invalid value: \"Thing\": field is immutable");
}

#[tokio::test]
async fn an_object_of_a_version_that_is_gone_is_shown_in_one_that_is_there() {
    let server = Server::start().await;
    let field = || json!({"a": {"type": "string"}});
    let both = |first: bool| vec![version("v1", first, field()), version("v2", !first, field())];
    define(&server, &widgets(both(true)), WIDGETS).await;
    server
        .patch(&format!("{WIDGETS}/a?fieldManager=one"), APPLY, &widget("v1", "a", json!({"a": "1"})))
        .await
        .expect(201);
    let second = WIDGETS.replace("/v1/", "/v2/");
    replace_versions(&server, both(false), &second, None).await;
    server.patch(&format!("{ONE}/status"), MERGE, &json!({"status": {"storedVersions": ["v2"]}})).await.expect(200);
    replace_versions(&server, vec![version("v2", true, field())], &second, Some(WIDGETS)).await;
    let path = format!("{second}/a");
    assert_eq!(server.get(&path).await.expect(200)["apiVersion"], "x.test/v2");
    let list = server.get(&second).await.expect(200);
    assert_eq!(list["items"][0]["apiVersion"], "x.test/v2");
    let mut watch = server.watch(&format!("{second}?watch=1")).await;
    assert_eq!(watch.next().await.unwrap()["object"]["apiVersion"], "x.test/v2");
    let body = widget("v2", "a", json!({"a": "2"}));
    let applied = server.patch(&format!("{path}?fieldManager=two"), APPLY, &body).await.expect(200);
    let entries = applied["metadata"]["managedFields"].as_array().unwrap();
    let seen: Vec<_> = entries.iter().map(|entry| (&entry["manager"], &entry["apiVersion"])).collect();
    assert_eq!(seen, [(&json!("two"), &json!("x.test/v2"))], "entries of a version that is gone are dropped");
    assert_eq!(tokio::time::timeout(Duration::from_secs(20), watch.next()).await.unwrap().unwrap()["type"], "MODIFIED");
}

#[tokio::test]
async fn fields_have_owners_in_every_version() {
    let server = Server::start().await;
    let field = || json!({"a": {"type": "string"}, "b": {"type": "string"}});
    define(&server, &widgets(vec![version("v1", true, field()), version("v2", false, field())]), WIDGETS).await;
    let second = WIDGETS.replace("/v1/", "/v2/");
    let apply = async |path: &str, manager: &str, body: Value| {
        server.patch(&format!("{path}/a?fieldManager={manager}"), APPLY, &body).await
    };
    apply(WIDGETS, "one", widget("v1", "a", json!({"a": "1"}))).await.expect(201);
    apply(&second, "two", widget("v2", "a", json!({"b": "1"}))).await.expect(200);
    let refused = apply(&second, "two", widget("v2", "a", json!({"a": "2"}))).await.expect(409);
    assert!(refused["message"].as_str().unwrap().contains("conflict with \"one\""), "{refused}");
    let put = json!({"spec": {"a": "3"}});
    server.patch(&format!("{WIDGETS}/a?fieldManager=three"), MERGE, &put).await.expect(200);
    let held = server.get(&format!("{second}/a")).await.expect(200);
    let entries = held["metadata"]["managedFields"].as_array().unwrap();
    let seen: Vec<_> = entries.iter().map(|entry| (&entry["manager"], &entry["apiVersion"])).collect();
    assert_eq!(seen, [(&json!("two"), &json!("x.test/v2")), (&json!("three"), &json!("x.test/v1"))]);
}

#[tokio::test]
async fn what_is_no_custom_object_is_refused_as_such() {
    let server = Server::start().await;
    define(&server, &widgets(vec![version("v1", true, json!({}))]), WIDGETS).await;
    let mut odd = widget("v1", "a", json!({}));
    odd["metadata"] = "x".into();
    assert_eq!(server.post(WIDGETS, &odd).await.code, 400);
    let mut stale = widget("v1", "b", json!({}));
    stale["metadata"]["resourceVersion"] = "1".into();
    let refused = server.patch(&format!("{WIDGETS}/b?fieldManager=m"), APPLY, &stale).await;
    assert_eq!(refused.code, 409, "there is no such version of an object that is not there");
    let mut owned = config_map("c");
    owned["metadata"]["managedFields"] = json!([{"manager": "m".repeat(129), "operation": "Update", "apiVersion": "v1",
        "time": "2026-01-01T00:00:00Z", "fieldsType": "FieldsV1", "fieldsV1": {"f:data": {}}}]);
    let refused = server.post(CONFIG_MAPS, &owned).await.expect(422);
    assert_eq!(refused["details"]["causes"][0]["field"], "metadata.managedFields[0].manager");
}

#[tokio::test]
async fn a_built_in_kind_is_listed_once_whatever_is_defined() {
    let server = Server::start().await;
    let mut shadow = widgets(vec![version("v1", true, json!({}))]);
    shadow["metadata"] = json!({"name": "leases.coordination.k8s.io",
        "annotations": {"api-approved.kubernetes.io": "unapproved, a test"}});
    shadow["spec"]["group"] = "coordination.k8s.io".into();
    shadow["spec"]["names"] = json!({"plural": "leases", "kind": "Lease"});
    server.post(DEFINITIONS, &shadow).await.expect(201);
    // What is defined later is served later.
    define(&server, &widgets(vec![version("v1", true, json!({}))]), WIDGETS).await;
    let listed = server.get("/apis/coordination.k8s.io/v1").await.expect(200);
    assert_eq!(listed["resources"].as_array().unwrap().len(), 1, "{listed}");
}

#[tokio::test]
async fn a_column_that_cannot_be_read_is_no_obstacle() {
    let server = Server::start().await;
    let column = |path: &str| json!({"name": "Last", "type": "integer", "jsonPath": path});
    let mut first = version("v1", true, json!({"l": {"type": "array", "items": {"type": "integer"}}}));
    first["additionalPrinterColumns"] = json!([column(".spec.l[-1]")]);
    let mut second = version("v2", false, json!({}));
    second["additionalPrinterColumns"] = json!([column(".spec['a','b']")]);
    define(&server, &widgets(vec![first, second]), WIDGETS).await;
    server.post(WIDGETS, &widget("v1", "a", json!({"l": [1, 7]}))).await.expect(201);
    let table = [("accept", "application/json;as=Table;v=v1;g=meta.k8s.io")];
    let rows = async |path: &str| {
        let answer = server.send(&Who::Admin, http::Method::GET, path, &table, bytes::Bytes::new()).await.expect(200);
        (answer["columnDefinitions"].as_array().unwrap().len(), answer["rows"][0]["cells"][1].clone())
    };
    assert_eq!(rows(WIDGETS).await, (2, json!(7)));
    assert_eq!(rows(&WIDGETS.replace("/v1/", "/v2/")).await.0, 2, "name and age");
}
