//! The scale of custom resources: a form of the object with rules of its own.

use serde_json::{Value, json};

use crate::custom_resources::{WIDGETS, define, version, widget, widgets};
use crate::support::*;

/// A server with widgets that have a scale, whose `spec` has these properties.
async fn with_scale(properties: Value, wanted: &str) -> Server {
    let server = Server::start().await;
    let mut scaled = version("v1", true, properties);
    scaled["subresources"] = json!({"status": {}, "scale": {"specReplicasPath": wanted,
        "statusReplicasPath": ".status.replicas", "labelSelectorPath": ".status.selector"}});
    define(&server, &widgets(vec![scaled]), WIDGETS).await;
    server
}

const REPLICAS: &str = ".spec.replicas";

fn replicas() -> Value {
    json!({"replicas": {"type": "integer", "maximum": 9}})
}

fn any() -> Value {
    json!({"x": {"x-kubernetes-preserve-unknown-fields": true}})
}

fn scale(replicas: Value) -> Value {
    json!({"apiVersion": "autoscaling/v1", "kind": "Scale", "metadata": {"name": "a"}, "spec": {"replicas": replicas}})
}

#[tokio::test]
async fn a_scale_changes_the_replicas() {
    let server = with_scale(replicas(), REPLICAS).await;
    server.post(WIDGETS, &widget("v1", "a", json!({"replicas": 2}))).await.expect(201);
    let path = format!("{WIDGETS}/a/scale");
    let scale = server.get(&path).await.expect(200);
    assert_eq!(
        (&scale["kind"], &scale["spec"]["replicas"], &scale["status"]["replicas"]),
        (&json!("Scale"), &json!(2), &json!(0))
    );
    let patched = server.patch(&path, MERGE, &json!({"spec": {"replicas": 5}})).await.expect(200);
    assert_eq!(patched["spec"]["replicas"], 5);
    let mut stale = scale.clone();
    stale["spec"]["replicas"] = 7.into();
    assert_eq!(server.put(&path, &stale).await.code, 409, "it names a version that is gone");
    stale["metadata"].as_object_mut().unwrap().remove("resourceVersion");
    server.put(&path, &stale).await.expect(200);
    assert_eq!(server.get(&format!("{WIDGETS}/a")).await.expect(200)["spec"]["replicas"], 7);
    assert_eq!(server.patch(&path, MERGE, &json!({"spec": {"replicas": -1}})).await.code, 422);
    assert_eq!(server.patch(&path, MERGE, &json!({"spec": {"replicas": 10}})).await.code, 422, "by the schema");
}

#[tokio::test]
async fn what_is_no_scale_is_refused() {
    let server = with_scale(replicas(), REPLICAS).await;
    server.post(WIDGETS, &widget("v1", "a", json!({"replicas": 2}))).await.expect(201);
    let path = format!("{WIDGETS}/a/scale");
    let named = |name: &str, value: Value| {
        let mut scale = scale(json!(4));
        scale["metadata"][name] = value;
        scale
    };
    let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}, "spec": {"replicas": 4}});
    let cases = [
        (json!([1]), 400),
        (pod, 400),
        (named("name", json!("other")), 400),
        (named("namespace", json!("other")), 400),
        (named("uid", json!("other")), 409),
        (scale(json!("3")), 400),
        (scale(json!(1.5)), 400),
        (scale(json!(true)), 400),
        (scale(json!(2_147_483_648_i64)), 400),
        (scale(json!(-1)), 422),
    ];
    for (body, code) in cases {
        let answer = server.put(&path, &body).await;
        assert_eq!(answer.code, code, "{body}: {:?}", answer.body);
    }
    let patches = [
        (STRATEGIC, json!({"spec": {"replicas": 4}}), 415),
        (MERGE, json!({"spec": {"replicas": "4"}}), 422),
        (MERGE, json!({"spec": {"replicas": 1_099_511_627_776_i64}}), 422),
        ("application/json-patch+json", json!([{"op": "replace", "path": "/spec", "value": "x"}]), 422),
        (MERGE, json!({"metadata": {"name": "b"}}), 400),
    ];
    for (form, body, code) in patches {
        let answer = server.patch(&path, form, &body).await;
        assert_eq!(answer.code, code, "{body}: {:?}", answer.body);
    }
    assert_eq!(server.get(&format!("{WIDGETS}/a")).await.expect(200)["spec"], json!({"replicas": 2}));
}

#[tokio::test]
async fn what_stands_on_the_way_to_the_replicas_stays() {
    let server = with_scale(any(), ".spec.x.replicas").await;
    for (spec, detail) in [
        (json!({"x": "text"}), "text is of the type string, expected map[string]interface{}"),
        (json!({"x": {"replicas": "3"}}), "3 is of the type string, expected int64"),
        (json!({"x": {"replicas": 2_147_483_648_i64}}), "should be less than or equal to 2147483647"),
    ] {
        let refused = server.post(WIDGETS, &widget("v1", "a", spec)).await.expect(422);
        assert!(refused["message"].as_str().unwrap().contains(detail), "{refused}");
    }
    server.post(WIDGETS, &widget("v1", "a", json!({}))).await.expect(201);
    let path = format!("{WIDGETS}/a/scale");
    let absent = server.get(&path).await.expect(500);
    assert_eq!(
        absent["message"],
        "Internal error occurred: the spec replicas field \".spec.x.replicas\" does not exist"
    );
    let unset = server.patch(&path, MERGE, &json!({"metadata": {}})).await.expect(400);
    assert_eq!(unset["message"], "the spec replicas field \".spec.x.replicas\" cannot be empty");
    server.patch(&path, MERGE, &json!({"spec": {"replicas": 3}})).await.expect(200);
    assert_eq!(server.get(&format!("{WIDGETS}/a")).await.expect(200)["spec"], json!({"x": {"replicas": 3}}));
}

#[tokio::test]
async fn replicas_have_an_owner_whichever_way_they_are_written() {
    let server = with_scale(replicas(), REPLICAS).await;
    let apply = |path: String, body: Value| {
        let server = &server;
        async move { server.patch(&path, "application/apply-patch+yaml", &body).await }
    };
    let (object, path) = (format!("{WIDGETS}/a?fieldManager=one"), format!("{WIDGETS}/a/scale"));
    apply(object, widget("v1", "a", json!({"replicas": 2}))).await.expect(201);
    let conflict = apply(format!("{path}?fieldManager=two"), scale(json!(3))).await.expect(409);
    assert_eq!(conflict["details"]["causes"][0]["field"], ".spec.replicas");
    assert!(conflict["message"].as_str().unwrap().contains("conflict with \"one\""), "{conflict}");
    let applied = apply(format!("{path}?fieldManager=two&force=true"), scale(json!(3))).await.expect(200);
    assert_eq!((&applied["kind"], &applied["spec"]["replicas"]), (&json!("Scale"), &json!(3)));
    let held = server.get(&format!("{WIDGETS}/a")).await.expect(200);
    assert_eq!(held["spec"]["replicas"], 3);
    let entries = held["metadata"]["managedFields"].as_array().unwrap();
    let owner: Vec<&Value> = entries.iter().filter(|entry| entry["manager"] == "two").collect();
    assert_eq!(
        (owner.len(), &owner[0]["subresource"], &owner[0]["apiVersion"]),
        (1, &json!("scale"), &json!("x.test/v1"))
    );
    assert_eq!(owner[0]["fieldsV1"], json!({"f:spec": {"f:replicas": {}}}));
    assert!(entries.iter().all(|entry| entry["manager"] != "one"), "it had nothing else: {entries:?}");
    server.put(&format!("{path}?fieldManager=three"), &scale(json!(4))).await.expect(200);
    let held = server.get(&format!("{WIDGETS}/a")).await.expect(200);
    let managers: Vec<&Value> =
        held["metadata"]["managedFields"].as_array().unwrap().iter().map(|entry| &entry["manager"]).collect();
    assert_eq!(managers, ["three"]);
}
