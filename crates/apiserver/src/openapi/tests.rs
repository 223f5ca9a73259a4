use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{PROTOBUF, PROTOBUF_ASKED, proto};
use crate::catalogue::Rows;
use crate::discovery::Answer;

fn respond(path: &str, accept: &str) -> Option<Answer> {
    super::respond(&Rows::built_in(), path, accept)
}

fn v2() -> Value {
    super::v2(&Rows::built_in())
}

fn get(path: &str) -> Value {
    serde_json::from_slice(&respond(path, "application/json").unwrap().body).unwrap()
}

/// Every `$ref` of a document.
fn references(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                match member {
                    Value::String(text) if name == "$ref" => drop(found.insert(text.clone())),
                    other => references(other, found),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| references(item, found)),
        _ => {}
    }
}

fn assert_closed(document: &Value, references_min: usize) {
    let mut found = BTreeSet::new();
    references(document, &mut found);
    assert!(found.len() >= references_min);
    for reference in found {
        assert!(document.pointer(&reference[1..]).is_some(), "{reference}");
    }
}

#[test]
fn index_points_to_closed_documents() {
    // DS-I04
    let paths = get("/openapi/v3")["paths"].as_object().unwrap().clone();
    assert!(paths["apis/apps/v1"]["serverRelativeURL"].as_str().unwrap().starts_with("/openapi/v3/apis/apps/v1?hash="));
    for path in paths.keys() {
        let document = get(&format!("/openapi/v3/{path}"));
        assert_eq!(document["openapi"], "3.0.0");
        assert_closed(&document, if path == "version" { 1 } else { 10 });
    }
    assert!(respond("/openapi/v3/apis/extensions/v1beta1", "").is_none());
    assert_closed(&v2(), 10);
}

#[test]
fn operations_list_what_kubectl_looks_for() {
    // DS-I05
    let document = get("/openapi/v3/apis/apps/v1");
    let path = &document["paths"]["/apis/apps/v1/namespaces/{namespace}/daemonsets/{name}"];
    let kind = json!({"group": "apps", "version": "v1", "kind": "DaemonSet"});
    assert_eq!(path["patch"]["x-kubernetes-group-version-kind"], kind);
    let query = path["patch"]["parameters"].as_array().unwrap();
    for name in ["fieldValidation", "dryRun", "fieldManager", "force"] {
        assert!(query.iter().any(|parameter| parameter["name"] == name && parameter["in"] == "query"), "{name}");
    }
    assert_eq!(
        document["paths"]["/apis/apps/v1/daemonsets"]["get"]["operationId"],
        "listAppsV1DaemonSetForAllNamespaces"
    );
    let pods = get("/openapi/v3/api/v1");
    assert!(pods["paths"]["/api/v1/namespaces/{namespace}/pods/{name}/eviction"]["post"].is_object());
}

#[test]
fn definitions_carry_kubernetes_extensions() {
    // DS-I04, DS-I15, DS-I16, DS-I17
    let document = get("/openapi/v3/apis/apps/v1");
    let schemas = &document["components"]["schemas"];
    let set = &schemas["io.k8s.api.apps.v1.DaemonSet"];
    assert_eq!(
        set["x-kubernetes-group-version-kind"],
        json!([{"group": "apps", "version": "v1", "kind": "DaemonSet"}])
    );
    let volumes = &schemas["io.k8s.api.core.v1.PodSpec"]["properties"]["volumes"];
    assert_eq!(volumes["x-kubernetes-patch-strategy"], "merge,retainKeys");
    assert_eq!(volumes["x-kubernetes-patch-merge-key"], "name");
    let ports = &schemas["io.k8s.api.core.v1.Container"]["properties"]["ports"];
    assert_eq!(ports["x-kubernetes-list-map-keys"], json!(["containerPort", "protocol"]));
    assert!(ports["description"].as_str().unwrap().starts_with("List of ports to expose"));
    assert_eq!(schemas["io.k8s.api.apps.v1.DaemonSetSpec"]["required"], json!(["selector", "template"]));
}

/// Reads the fields of a protobuf message: (number, payload of a length-delimited field).
fn fields(mut bytes: &[u8]) -> Vec<(u64, &[u8])> {
    let mut found = Vec::new();
    while !bytes.is_empty() {
        let key = varint(&mut bytes);
        match key & 7 {
            0 => drop(varint(&mut bytes)),
            2 => {
                let length = varint(&mut bytes) as usize;
                let (payload, rest) = bytes.split_at(length);
                found.push((key >> 3, payload));
                bytes = rest;
            }
            other => panic!("wire type {other}"),
        }
    }
    found
}

fn varint(bytes: &mut &[u8]) -> u64 {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (first, rest) = bytes.split_first().unwrap();
        *bytes = rest;
        value |= u64::from(first & 0x7f) << shift;
        if first & 0x80 == 0 {
            break;
        }
    }
    value
}

fn only(message: &[u8], number: u64) -> &[u8] {
    fields(message).into_iter().find(|(field, _)| *field == number).unwrap().1
}

fn entry<'b>(map: &'b [u8], number: u64, name: &str) -> &'b [u8] {
    let pairs = fields(map).into_iter().filter(|(field, _)| *field == number);
    let found = pairs.map(|(_, pair)| pair).find(|pair| only(pair, 1) == name.as_bytes()).unwrap();
    only(found, 2)
}

#[test]
fn protobuf_carries_the_same() {
    let answer = respond("/openapi/v2", &format!("{PROTOBUF_ASKED},application/json;q=0.5")).unwrap();
    assert_eq!(answer.content_type, PROTOBUF);
    let bytes = proto::document(&v2());
    assert_eq!(answer.body, bytes);
    assert_eq!(only(&bytes, 1), b"2.0");
    let spec = entry(only(&bytes, 9), 1, "io.k8s.api.core.v1.PodSpec");
    let volumes = entry(only(spec, 25), 1, "volumes");
    // vendor_extension = 31, NamedAny.value = 2, Any.yaml = 2
    assert_eq!(only(entry(volumes, 31, "x-kubernetes-patch-strategy"), 2), b"\"merge,retainKeys\"\n");
    assert_eq!(only(only(volumes, 22), 1), b"array");
    let element = only(only(volumes, 23), 1);
    assert_eq!(only(element, 1), b"#/definitions/io.k8s.api.core.v1.Volume");
    let path = entry(only(&bytes, 8), 2, "/apis/apps/v1/namespaces/{namespace}/daemonsets/{name}");
    let patch = only(path, 8);
    let names: Vec<&[u8]> = fields(patch)
        .into_iter()
        .filter(|(field, _)| *field == 8)
        .filter_map(|(_, item)| fields(only(item, 1)).into_iter().find(|(field, _)| *field == 2))
        .map(|(_, other)| only(only(other, 3), 4))
        .collect();
    assert!(names.contains(&b"dryRun".as_slice()) && names.contains(&b"fieldValidation".as_slice()));
}
