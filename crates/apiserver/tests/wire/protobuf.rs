//! Answers in Kubernetes' protobuf encoding, as typed clients ask for them.

use bytes::Bytes;
use everynode_protobuf::{Limits, MEDIA_TYPE, from_json, kind, to_json, watch_event};
use http::Method;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use serde_json::{Value, json};

use crate::support::*;

const METADATA: &str = "application/vnd.kubernetes.protobuf;as=PartialObjectMetadata;g=meta.k8s.io;v=v1";
const METADATA_LIST: &str = "application/vnd.kubernetes.protobuf;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1";
const LIMITS: Limits = Limits { size_max: 64 << 20, depth_max: 100 };

fn object(bytes: &[u8]) -> Value {
    let object = to_json(bytes, LIMITS).unwrap_or_else(|error| panic!("{error}: {}", bytes.escape_ascii()));
    serde_json::from_slice(&object.json).unwrap()
}

/// What is sent of an object.
fn body(object: &Value) -> Vec<u8> {
    let (version, name) = (object["apiVersion"].as_str().unwrap(), object["kind"].as_str().unwrap());
    from_json(version, name, kind(version, name).unwrap(), object.to_string().as_bytes()).unwrap()
}

impl Server {
    /// Sends an object in protobuf, or nothing, and reads the answer, which is in protobuf, too.
    async fn typed(&self, method: Method, path: &str, sent: &Value, code: u16) -> Value {
        let headers =
            [("accept", "application/vnd.kubernetes.protobuf,application/json"), ("content-type", MEDIA_TYPE)];
        let sent = if sent.is_null() { Vec::new() } else { body(sent) };
        let answer = self.send(&Who::Admin, method, path, &headers, sent).await;
        assert_eq!((answer.code, answer.headers["content-type"].to_str().unwrap()), (code, MEDIA_TYPE), "{path}");
        object(&answer.body)
    }

    async fn shown(&self, path: &str, accept: &str) -> Answer {
        self.send(&Who::Admin, Method::GET, path, &[("accept", accept)], "").await
    }
}

/// The frames of a watch: four bytes of length, and a message.
struct Frames {
    body: Incoming,
    rest: Vec<u8>,
}

impl Frames {
    async fn open(server: &Server, path: &str, accept: &str) -> Frames {
        let response = server.open(&Who::Admin, Method::GET, path, &[("accept", accept)], Bytes::new()).await;
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "application/vnd.kubernetes.protobuf;stream=watch");
        Frames { body: response.into_body(), rest: Vec::new() }
    }

    async fn take(&mut self, length: usize) -> Option<Vec<u8>> {
        while self.rest.len() < length {
            self.rest.extend_from_slice(&self.body.frame().await?.unwrap().into_data().unwrap_or_default());
        }
        Some(self.rest.drain(..length).collect())
    }

    async fn next(&mut self) -> Option<(String, Value)> {
        let length = self.take(4).await?;
        let message = self.take(u32::from_be_bytes(length.try_into().unwrap()) as usize).await.unwrap();
        let (event_type, inner) = watch_event(&message).unwrap();
        Some((event_type.to_owned(), object(inner)))
    }
}

/// Create, read, replace and delete: the same objects as in JSON.
#[tokio::test]
async fn verbs_in_protobuf() {
    let server = Server::start().await.with_default_account().await;
    let mut sent = pod("web");
    sent["apiVersion"] = "v1".into();
    sent["kind"] = "Pod".into();
    let made = server.typed(Method::POST, PODS, &sent, 201).await;
    assert_eq!((&made["kind"], &made["status"]["phase"]), (&json!("Pod"), &json!("Pending")));
    let path = format!("{PODS}/web");
    let read = server.typed(Method::GET, &path, &Value::Null, 200).await;
    assert_eq!(read["spec"], made["spec"]); // DS-I06
    let as_json = server.get(&path).await.expect(200);
    assert_eq!((&read["metadata"], &read["spec"]), (&as_json["metadata"], &as_json["spec"]));
    let mut changed = read.clone();
    changed["metadata"]["labels"]["tier"] = "x".into();
    let replaced = server.typed(Method::PUT, &path, &changed, 200).await;
    assert_eq!(replaced["metadata"]["labels"], json!({"app": "web", "tier": "x"}));
    let options = json!({"apiVersion": "v1", "kind": "DeleteOptions", "gracePeriodSeconds": 0});
    let deleted = server.typed(Method::DELETE, &path, &options, 200).await;
    assert_eq!(deleted["metadata"]["name"], "web");
    let missing = server.typed(Method::GET, &path, &Value::Null, 404).await;
    assert_eq!(
        (&missing["kind"], &missing["reason"], &missing["code"]),
        (&json!("Status"), &json!("NotFound"), &json!(404))
    );
    assert_eq!(missing["details"]["name"], "web");
    let account = json!({"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": {"verb": "get", "resource": "pods"}}});
    let reviews = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
    assert_eq!(server.typed(Method::POST, reviews, &account, 201).await["status"]["allowed"], true);
}

/// The envelope by hand, byte for byte: nothing of our own reads it.
#[tokio::test]
async fn an_answer_byte_for_byte() {
    let server = Server::start().await;
    server.post(CONFIG_MAPS, &config_map("a")).await.expect(201);
    let answer = server.shown(&format!("{CONFIG_MAPS}/a"), MEDIA_TYPE).await;
    let head = b"k8s\0\x0a\x0f\x0a\x02v1\x12\x09ConfigMap\x12";
    assert_eq!(&answer.body[..head.len()], head);
    // The message's length, in two bytes; and at its end the map's only entry.
    let (length, message) = answer.body[head.len()..].split_at(2);
    assert_eq!(message.len(), usize::from(length[0] & 0x7f) | usize::from(length[1]) << 7);
    let entry = b"\x12\x06\x0a\x01a\x12\x011";
    assert!(message.windows(entry.len()).any(|window| window == entry), "{}", message.escape_ascii());
}

#[tokio::test]
async fn lists_in_protobuf() {
    let server = Server::start().await;
    let empty = server.typed(Method::GET, CONFIG_MAPS, &Value::Null, 200).await;
    assert_eq!((&empty["kind"], &empty["items"]), (&json!("ConfigMapList"), &Value::Null));
    // More than are encoded at once, and pieces of more than one.
    for number in 0..250 {
        let mut map = config_map(&format!("m{number:03}"));
        map["data"]["a"] = "x".repeat(1000).into();
        server.post(CONFIG_MAPS, &map).await.expect(201);
    }
    let as_json = server.get(CONFIG_MAPS).await.expect(200);
    let whole = server.typed(Method::GET, CONFIG_MAPS, &Value::Null, 200).await;
    assert_eq!((&whole["items"], &whole["metadata"]), (&as_json["items"], &as_json["metadata"]));
    let page = server.typed(Method::GET, &format!("{CONFIG_MAPS}?limit=3"), &Value::Null, 200).await;
    assert_eq!(page["items"], Value::from(as_json["items"].as_array().unwrap()[..3].to_vec()));
    assert_eq!(page["metadata"]["remainingItemCount"], 247);
    let metadata = server.shown(&format!("{CONFIG_MAPS}?limit=1"), METADATA_LIST).await;
    let metadata = object(&metadata.body);
    assert_eq!(metadata["kind"], "PartialObjectMetadataList");
    assert_eq!(
        (&metadata["items"][0]["metadata"]["name"], &metadata["items"][0]["data"]),
        (&json!("m000"), &Value::Null)
    );
}

#[tokio::test]
async fn watches_in_protobuf() {
    let server = Server::start().await;
    server.post(CONFIG_MAPS, &config_map("a")).await.expect(201);
    let query = "watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true";
    let mut whole = Frames::open(&server, &format!("{CONFIG_MAPS}?{query}"), MEDIA_TYPE).await;
    let mut metadata = Frames::open(&server, &format!("{CONFIG_MAPS}?watch=1"), METADATA).await;
    let (event_type, first) = whole.next().await.unwrap();
    assert_eq!((event_type.as_str(), &first["kind"], &first["data"]["a"]), ("ADDED", &json!("ConfigMap"), &json!("1")));
    let (event_type, mark) = whole.next().await.unwrap();
    assert_eq!((event_type.as_str(), &mark["kind"]), ("BOOKMARK", &json!("ConfigMap")));
    assert_eq!(mark["metadata"]["annotations"]["k8s.io/initial-events-end"], "true");
    assert_eq!(metadata.next().await.unwrap().1["kind"], "PartialObjectMetadata");
    let changed = server.patch(&format!("{CONFIG_MAPS}/a"), MERGE, &json!({"data": {"a": "2"}})).await.expect(200);
    let (event_type, second) = whole.next().await.unwrap();
    assert_eq!(
        (event_type.as_str(), &second["metadata"], &second["data"]),
        ("MODIFIED", &changed["metadata"], &changed["data"])
    );
    server.delete(&format!("{CONFIG_MAPS}/a"), &Value::Null).await.expect(200);
    for frames in [&mut whole, &mut metadata] {
        let mut last = frames.next().await.unwrap();
        while last.0 == "MODIFIED" {
            last = frames.next().await.unwrap();
        }
        assert_eq!((last.0.as_str(), &last.1["metadata"]["name"]), ("DELETED", &json!("a")));
    }
}

/// Events are stored in one version and shown in two.
#[tokio::test]
async fn events_of_both_versions() {
    let server = Server::start().await;
    let events = "/apis/events.k8s.io/v1/namespaces/default/events";
    let mut watch = Frames::open(&server, &format!("{events}?watch=1"), MEDIA_TYPE).await;
    let event = json!({"apiVersion": "v1", "kind": "Event", "metadata": {"name": "e"}, "message": "m", "reason": "r",
        "involvedObject": {"kind": "Pod", "name": "p", "namespace": "default"}});
    server.typed(Method::POST, "/api/v1/namespaces/default/events", &event, 201).await;
    let shown = watch.next().await.unwrap().1;
    assert_eq!((&shown["apiVersion"], &shown["note"]), (&json!("events.k8s.io/v1"), &json!("m")));
    assert_eq!(shown["regarding"]["name"], "p");
    let listed = server.typed(Method::GET, events, &Value::Null, 200).await;
    assert_eq!(listed["items"][0]["note"], "m");
}

#[tokio::test]
async fn what_has_no_form_in_protobuf() {
    let server = Server::start().await;
    server.post(CONFIG_MAPS, &config_map("a")).await.expect(201);
    let table = "application/vnd.kubernetes.protobuf;as=Table;v=v1;g=meta.k8s.io";
    server.shown(CONFIG_MAPS, table).await.expect(406);
    let either = format!("{table},application/json;as=Table;v=v1;g=meta.k8s.io");
    assert_eq!(server.shown(CONFIG_MAPS, &either).await.expect(200)["kind"], "Table");
    let refused = server.shown(&format!("{CONFIG_MAPS}?watch=1"), "application/yaml").await.expect(406);
    assert!(refused["message"].as_str().unwrap().contains("application/vnd.kubernetes.protobuf;stream=watch"));
    let headers = [("content-type", MEDIA_TYPE), ("accept", MEDIA_TYPE)];
    for broken in [&b"{}"[..], b"k8s\0\xff", b"k8s\0\x0a\x09\x0a\x02v1\x12\x03Foo"] {
        let answer = server.send(&Who::Admin, Method::POST, CONFIG_MAPS, &headers, broken).await;
        assert_eq!((answer.code, object(&answer.body)["reason"].clone()), (400, json!("BadRequest")));
    }
}

/// Definitions have a message, their objects have none, and the metadata of both has one.
#[tokio::test]
async fn custom_resources_are_json() {
    let server = Server::start().await;
    let definition = json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "widgets.x.test"},
        "spec": {"group": "x.test", "scope": "Namespaced", "names": {"plural": "widgets", "kind": "Widget"},
            "versions": [{"name": "v1", "served": true, "storage": true,
                "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}}}]}});
    let made =
        server.typed(Method::POST, "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", &definition, 201).await;
    assert_eq!(made["spec"]["versions"][0]["schema"], definition["spec"]["versions"][0]["schema"]);
    let widgets = "/apis/x.test/v1/namespaces/default/widgets";
    for _ in 0..400 {
        if server.get(widgets).await.code == 200 {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(25)).await;
    }
    server
        .post(widgets, &json!({"apiVersion": "x.test/v1", "kind": "Widget", "metadata": {"name": "w"}}))
        .await
        .expect(201);
    let refused = server.shown(widgets, MEDIA_TYPE).await;
    assert_eq!((refused.code, object(&refused.body)["reason"].clone()), (406, json!("NotAcceptable")));
    let both = server.shown(widgets, "application/vnd.kubernetes.protobuf,application/json").await;
    assert_eq!(both.expect(200)["items"][0]["metadata"]["name"], "w");
    let metadata = object(&server.shown(&format!("{widgets}/w"), METADATA).await.body);
    assert_eq!((&metadata["kind"], &metadata["metadata"]["name"]), (&json!("PartialObjectMetadata"), &json!("w")));
    let sent = server.send(&Who::Admin, Method::POST, widgets, &[("content-type", MEDIA_TYPE)], "k8s\0").await;
    assert_eq!(sent.code, 415);
}

#[tokio::test]
async fn discovery_in_protobuf() {
    let server = Server::start().await;
    for (path, kind) in [
        ("/api", "APIVersions"),
        ("/apis", "APIGroupList"),
        ("/apis/apps", "APIGroup"),
        ("/apis/apps/v1", "APIResourceList"),
    ] {
        let shown = server.shown(path, "application/vnd.kubernetes.protobuf,application/json").await;
        let shown = object(&shown.body);
        assert_eq!(shown["kind"], kind);
        let as_json = server.get(path).await.expect(200);
        for member in ["groups", "resources", "versions"] {
            assert_eq!(shown[member].as_array().map(Vec::len), as_json[member].as_array().map(Vec::len), "{path}");
        }
    }
}
