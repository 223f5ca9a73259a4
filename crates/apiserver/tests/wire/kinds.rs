//! What every served kind can do, whatever it is: each verb, a watch, a table, validation.

use std::collections::BTreeSet;

use everynode_api::kinds::{KINDS, KindInfo};
use http::Method;
use serde_json::{Value, json};

use crate::attack::bodies;
use crate::support::*;

/// Where the bodies are made for.
const SPACE: &str = "team";
const TABLE: &str = "application/json;as=Table;v=v1;g=meta.k8s.io";
/// Kinds whose objects have a life of their own (deletion in steps, names by rule): tested elsewhere.
const OF_THEIR_OWN: [&str; 5] =
    ["namespaces", "pods", "customresourcedefinitions", "persistentvolumes", "persistentvolumeclaims"];

#[tokio::test]
async fn every_verb_works_on_every_kind() {
    let server = Server::start().await;
    server.post("/api/v1/namespaces", &bodies::object("namespaces", SPACE)).await.expect(201);
    let mut tried = BTreeSet::new();
    for info in KINDS.iter().filter(|info| !OF_THEIR_OWN.contains(&info.kind.plural.as_ref())) {
        one_life(&server, info).await;
        tried.insert(info.kind.qualified_resource());
    }
    assert_eq!(tried.len(), KINDS.len() - OF_THEIR_OWN.len());
}

/// An object from its creation to its end, and what a watch says of it.
async fn one_life(server: &Server, info: &KindInfo) {
    let resource = info.kind.qualified_resource();
    let collection = info.kind.path(Some(SPACE), None, None);
    let object = info.kind.path(Some(SPACE), Some("life"), None);
    let mut watch = server.watch(&format!("{collection}?watch=1&fieldSelector=metadata.name%3Dlife")).await;

    let mut body = bodies::object(&resource, "life");
    if info.kind.plural == "events" {
        body["involvedObject"]["namespace"] = SPACE.into();
    }
    let made = server.post(&collection, &body).await.expect(201);
    assert_eq!((&made["kind"], &made["metadata"]["name"]), (&json!(info.kind.kind), &json!("life")), "{resource}");
    assert_eq!(server.get(&object).await.expect(200), made, "{resource}");
    let again = server.post(&collection, &body).await.expect(409);
    assert_eq!(again["reason"], "AlreadyExists", "{resource}");
    let list = server.get(&collection).await.expect(200);
    assert_eq!(list["kind"], format!("{}List", info.kind.kind));
    assert!(list["items"].as_array().unwrap().iter().any(|item| item["metadata"]["name"] == "life"), "{resource}");

    let label = json!({"metadata": {"labels": {"tier": "x"}}});
    let patched = server.patch(&object, MERGE, &label).await.expect(200);
    assert_eq!(patched["metadata"]["labels"]["tier"], "x", "{resource}");
    let mut put = patched.clone();
    put["metadata"]["annotations"]["by"] = "put".into();
    let put = server.put(&object, &put).await.expect(200);
    assert_eq!(put["metadata"]["annotations"]["by"], "put", "{resource}");
    let stale = server.put(&object, &patched).await.expect(409);
    assert_eq!(stale["reason"], "Conflict", "{resource}");
    table(server, info, &object).await;
    wrong_bodies(server, &resource, &collection, &body).await;

    server.delete(&object, &Value::Null).await.expect(200);
    server.get(&object).await.expect(404);
    for expected in ["ADDED life", "MODIFIED life", "MODIFIED life", "DELETED life"] {
        assert_eq!(watch.summary().await, expected, "{resource}");
    }
}

async fn table(server: &Server, info: &KindInfo, object: &str) {
    let answer = server.send(&Who::Admin, Method::GET, object, &[("accept", TABLE)], "").await.expect(200);
    let columns = answer["columnDefinitions"].as_array().unwrap();
    assert_eq!(answer["rows"][0]["cells"].as_array().unwrap().len(), columns.len(), "{}", info.kind.plural);
    assert!(columns.iter().any(|column| column["format"] == "name"), "{}", info.kind.plural);
}

/// A name that is none, a field that is not there, and one of the wrong type.
async fn wrong_bodies(server: &Server, resource: &str, collection: &str, body: &Value) {
    let mut unnamed = body.clone();
    unnamed["metadata"]["name"] = "no/name".into();
    let refused = server.post(collection, &unnamed).await.expect(422);
    assert_eq!(refused["reason"], "Invalid", "{resource}");
    let mut unknown = body.clone();
    unknown["metadata"]["name"] = "unknown".into();
    unknown["noSuchField"] = 1.into();
    let refused = server.post(&format!("{collection}?fieldValidation=Strict"), &unknown).await.expect(400);
    assert!(refused["message"].as_str().unwrap().contains("unknown field \"noSuchField\""), "{resource}: {refused}");
    let mut typed = body.clone();
    typed["metadata"]["labels"] = "text".into();
    server.post(collection, &typed).await.expect(400);
}

/// What kubectl asks discovery for: names, short names, categories.
#[tokio::test]
async fn short_names_are_of_one_kind_of_a_group() {
    let mut seen = BTreeSet::new();
    for info in KINDS {
        for name in info.short_names {
            assert!(seen.insert((info.kind.group.clone(), *name)), "{name} is of two kinds");
        }
    }
    assert!(seen.contains(&("storage.k8s.io".into(), "sc")), "{seen:?}");
}

#[tokio::test]
async fn a_pod_gets_what_its_runtime_class_says() {
    let server = Server::start().await.with_default_account().await;
    let class = json!({"metadata": {"name": "sandbox"}, "handler": "runsc", "overhead": {"podFixed": {"cpu": "0.1"}},
        "scheduling": {"nodeSelector": {"sandbox": "yes"}, "tolerations": [{"key": "sandbox", "operator": "Exists"}]}});
    server.post("/apis/node.k8s.io/v1/runtimeclasses", &class).await.expect(201);
    let mut wanted = pod("p");
    wanted["spec"]["runtimeClassName"] = "sandbox".into();
    let spec = server.post(PODS, &wanted).await.expect(201)["spec"].clone();
    assert_eq!((&spec["overhead"], &spec["nodeSelector"]), (&json!({"cpu": "100m"}), &json!({"sandbox": "yes"})));
    assert!(spec["tolerations"].as_array().unwrap().contains(&class["scheduling"]["tolerations"][0]), "{spec}");
    wanted["metadata"]["name"] = "q".into();
    wanted["spec"]["nodeSelector"] = json!({"sandbox": "no"});
    let refused = server.post(PODS, &wanted).await.expect(403);
    let words = "conflict: runtimeClass.scheduling.nodeSelector[sandbox] = yes; pod.spec.nodeSelector[sandbox] = no";
    assert_eq!(refused["message"], format!("pods \"q\" is forbidden: {words}"));
}

/// The first requests of a stock kubelet, by a node's own certificate.
#[tokio::test]
async fn a_kubelet_finds_what_it_asks_for() {
    let server = Server::start().await;
    server.post("/api/v1/nodes", &bodies::object("nodes", "n1")).await.expect(201);
    let node = Who::Certificate(server.api.pki().node_certificate("n1").unwrap().credentials());
    for path in [
        "/api/v1/services?fieldSelector=spec.clusterIP%21%3DNone&limit=500&resourceVersion=0",
        "/apis/storage.k8s.io/v1/csidrivers?limit=500&resourceVersion=0",
        "/apis/node.k8s.io/v1/runtimeclasses?limit=500&resourceVersion=0",
    ] {
        let list = server.send(&node, Method::GET, path, &[], "").await.expect(200);
        assert!(list["kind"].as_str().unwrap().ends_with("List"), "{list}");
    }
    let nodes = "/apis/storage.k8s.io/v1/csinodes";
    let post = async |name: &str| {
        let body = bodies::object("csinodes.storage.k8s.io", name).to_string();
        server.send(&node, Method::POST, nodes, &[("content-type", JSON)], body).await
    };
    post("n1").await.expect(201);
    let refused = post("n2").await.expect(403);
    let words = "can only access CSINode with the same name as the requesting node";
    assert!(refused["message"].as_str().unwrap().ends_with(words), "{refused}");
}

#[tokio::test]
async fn the_servers_own_service_has_endpoints_in_both_forms() {
    let server = Server::start().await;
    let address = server.address;
    let endpoints = server.get("/api/v1/namespaces/default/endpoints/kubernetes").await.expect(200);
    assert_eq!(endpoints["subsets"][0]["addresses"][0]["ip"], address.ip().to_string());
    let slice = server.get("/apis/discovery.k8s.io/v1/namespaces/default/endpointslices/kubernetes").await.expect(200);
    assert_eq!(slice["metadata"]["labels"]["kubernetes.io/service-name"], "kubernetes");
    assert_eq!(slice["endpoints"][0]["addresses"], json!([address.ip().to_string()]));
    assert_eq!(slice["ports"], json!([{"name": "https", "port": address.port(), "protocol": "TCP"}]));
}
