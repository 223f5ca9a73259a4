//! Environments of whole containers.

use std::sync::Arc;

use serde_json::{Value, json};

use super::*;
use crate::container::tests::config;
use crate::volumes::testkit::{Events, FakeApi};

/// The environment as `NAME=value`, or why there is none; and the messages of events.
fn resolve(objects: &[(&str, Value)], container: Value) -> (Result<Vec<String>, String>, Vec<String>) {
    let (api, events) = (Arc::new(FakeApi::default()), Arc::new(Events::default()));
    objects.iter().for_each(|(path, object)| api.put(&format!("/api/v1/namespaces/x/{path}"), object.clone()));
    let resolver = Resolver::new(Objects::new(api), Arc::new(config()), Allocatable::new(), events.clone());
    let pod = json!({"metadata": {"name": "p", "namespace": "x", "uid": "u"}, "spec": {"containers": [container]}});
    let pod: Pod = serde_json::from_value(pod).unwrap();
    let resolved = resolver.resolve(&pod, &pod.spec.as_ref().unwrap().containers[0], &[]);
    let resolved = tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(resolved);
    let lines = resolved.map(|list| list.into_iter().map(|var| format!("{}={}", var.name, var.value)).collect());
    let told = events.0.lock().unwrap().iter().map(|event| format!("{}: {}", event.reason, event.message)).collect();
    (lines.map_err(|error| error.message), told)
}

/// A binary value is no text: Kubernetes' agent takes only `data`, for single keys too.
#[test]
fn only_texts_of_a_config_map_become_environment() {
    let map = ("configmaps/c", json!({"data": {"A": "1", "b.c-d": "2", "9": "3"}, "binaryData": {"B": "AAEC"}}));
    let all = json!({"name": "c", "envFrom": [{"prefix": "P_", "configMapRef": {"name": "c"}}]});
    let (found, told) = resolve(std::slice::from_ref(&map), all);
    assert_eq!(found.unwrap(), ["P_9=3", "P_A=1", "P_b.c-d=2"]);
    assert_eq!(told, [""; 0]);
    let one = |optional: bool| {
        let key = json!({"name": "c", "key": "B", "optional": optional});
        let container = json!({"name": "c", "env": [{"name": "X", "valueFrom": {"configMapKeyRef": key}}]});
        resolve(std::slice::from_ref(&map), container).0
    };
    assert_eq!(one(false).unwrap_err(), "couldn't find key B in ConfigMap x/c");
    assert_eq!(one(true).unwrap(), [""; 0]);
}

#[test]
fn keys_that_are_no_names_are_skipped_and_reported() {
    let container = json!({"name": "c", "envFrom": [
        {"prefix": "P=", "configMapRef": {"name": "c"}}, {"secretRef": {"name": "s"}}]});
    let objects = [
        ("configmaps/c", json!({"data": {"a": "1", "b": "2"}})),
        ("secrets/s", json!({"data": {"ok": "MQ==", "not=ok": "MQ=="}})),
    ];
    let (found, told) = resolve(&objects, container);
    assert_eq!(found.unwrap(), ["ok=1"]);
    let words = "were skipped since they are considered invalid environment variable names.";
    let expected = [
        format!("Keys [P=a, P=b] from the EnvFrom configMap x/c {words}"),
        format!("Keys [not=ok] from the EnvFrom secret x/s {words}"),
    ];
    assert_eq!(told, expected.map(|message| format!("InvalidEnvironmentVariableNames: {message}")));
}

#[test]
fn pull_secrets_that_cannot_be_read_are_reported() {
    let (api, events) = (Arc::new(FakeApi::default()), Arc::new(Events::default()));
    let login = json!({"data": {".dockercfg": "eyJyLmV4YW1wbGUiOnsidXNlcm5hbWUiOiJ1IiwicGFzc3dvcmQiOiJwIn19"}});
    api.put("/api/v1/namespaces/x/secrets/there", login);
    let resolver = Resolver::new(Objects::new(api), Arc::new(config()), Allocatable::new(), events.clone());
    let secrets = json!([{"name": "a"}, {"name": "there"}, {"name": "b"}, {}]);
    let pod = json!({"metadata": {"name": "p", "namespace": "x", "uid": "u"},
        "spec": {"imagePullSecrets": secrets, "containers": []}});
    let pod: Pod = serde_json::from_value(pod).unwrap();
    let found = resolver.credentials(&pod, "r.example/i:1");
    let found = tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(found);
    assert_eq!((found.len(), found[0].username.as_str()), (1, "u"));
    let told = events.0.lock().unwrap();
    let words = "Unable to retrieve some image pull secrets (a, b); attempting to pull the image may not succeed.";
    assert_eq!((told.len(), told[0].reason, told[0].message.as_str()), (1, "FailedToRetrieveImagePullSecret", words));
}
