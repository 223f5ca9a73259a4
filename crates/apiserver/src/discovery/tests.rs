use serde_json::{Value, json};

use super::Answer;
use crate::catalogue::Rows;

fn respond(path: &str, accept: &str) -> Option<Answer> {
    super::respond(&Rows::built_in(), path, accept)
}

const V2: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";
const V2BETA1: &str = "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList";

fn get(path: &str, accept: &str) -> Value {
    serde_json::from_slice(&respond(path, accept).unwrap().body).unwrap()
}

fn named<'v>(list: &'v Value, key: &str, name: &str) -> &'v Value {
    list.as_array().unwrap().iter().find(|item| item[key] == name).unwrap()
}

#[test]
fn old_form() {
    // DS-I01, DS-I03, DS-A01, DS-A02
    assert_eq!(get("/api", "")["versions"], json!(["v1"]));
    let apps = json!({
        "kind": "APIGroup", "apiVersion": "v1", "name": "apps",
        "versions": [{"groupVersion": "apps/v1", "version": "v1"}],
        "preferredVersion": {"groupVersion": "apps/v1", "version": "v1"}
    });
    assert_eq!(get("/apis/apps", ""), apps);
    let resources = &get("/apis/apps/v1/", "application/json")["resources"];
    let set = named(resources, "name", "daemonsets");
    assert_eq!(
        (&set["singularName"], &set["shortNames"], &set["categories"], &set["verbs"]),
        (
            &json!("daemonset"),
            &json!(["ds"]),
            &json!(["all"]),
            &json!(["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"])
        )
    );
    assert_eq!(named(resources, "name", "daemonsets/status")["verbs"], json!(["get", "patch", "update"]));
    assert!(resources.as_array().unwrap().iter().all(|resource| resource["name"] != "daemonsets/scale"));
    let core = &get("/api/v1", "*/*")["resources"];
    // DS-G20
    let eviction = named(core, "name", "pods/eviction");
    assert_eq!(
        (&eviction["group"], &eviction["version"], &eviction["kind"]),
        (&json!("policy"), &json!("v1"), &json!("Eviction"))
    );
    assert!(respond("/apis/extensions", "").is_none() && respond("/apis/apps/v1beta2", "").is_none());
}

#[test]
fn aggregated_form() {
    // DS-I02
    let wish = format!("{V2},{V2BETA1},application/json");
    let answer = respond("/apis", &wish).unwrap();
    assert_eq!(answer.content_type, V2);
    let document: Value = serde_json::from_slice(&answer.body).unwrap();
    let group = document["items"].as_array().unwrap().iter().find(|item| item["metadata"]["name"] == "apps").unwrap();
    let set = named(&group["versions"][0]["resources"], "resource", "daemonsets");
    assert_eq!(set["responseKind"], json!({"group": "apps", "version": "v1", "kind": "DaemonSet"}));
    assert_eq!((&set["scope"], &set["subresources"][0]["subresource"]), (&json!("Namespaced"), &json!("status")));
    assert_eq!(respond("/api", &format!("{V2BETA1},application/json")).unwrap().content_type, V2BETA1);
    assert_eq!(respond("/api", "application/json").unwrap().content_type, "application/json");
    let reviews = get("/apis", V2);
    let group =
        reviews["items"].as_array().unwrap().iter().find(|item| item["metadata"]["name"] == "authorization.k8s.io");
    assert_eq!(group.unwrap()["versions"][0]["resources"].as_array().unwrap().len(), 4);
}

#[test]
fn etags_tell_documents_apart() {
    let etag = |path, accept| respond(path, accept).unwrap().etag.unwrap();
    assert_eq!(etag("/apis", V2), etag("/apis", V2));
    assert_ne!(etag("/apis", V2), etag("/apis", V2BETA1));
    assert_ne!(etag("/apis", V2), etag("/api", V2));
    // As in Kubernetes, those of the old form have none.
    assert_eq!(respond("/api", "").unwrap().etag, None);
}
