//! The port that controllers of the same process use.

use everynode_api::kinds::{CONFIG_MAP, POD};
use everynode_api::ports::{PatchType, Preconditions, Request, Selection, Target, WatchEvent, WatchRequest};
use everynode_apiserver::User;
use serde_json::{Value, json};

use crate::support::*;

fn name(object: &[u8]) -> String {
    let value: Value = serde_json::from_slice(object).unwrap();
    value["metadata"]["name"].as_str().unwrap().to_owned()
}

fn no_preconditions() -> Preconditions {
    Preconditions::default()
}

fn delete(target: Target) -> Request {
    Request::Delete { target, preconditions: no_preconditions(), grace_period_seconds: None, propagation: None }
}

#[tokio::test]
async fn requests_and_watches_need_no_socket() {
    let server = Server::start().await;
    let client = server.api.client(User::internal("system:tester"));
    let target = Target::new(CONFIG_MAP, "default", "a");
    let selection = Selection { namespace: Some("default".into()), ..Selection::default() };
    let watch =
        WatchRequest { kind: CONFIG_MAP, selection: selection.clone(), resource_version: None, bookmarks: true };
    let mut events = client.watch(watch).await.unwrap();
    let made = client.call(Request::Create { target: target.clone(), body: config_map("a") }).await.unwrap();
    let made: Value = serde_json::from_slice(&made).unwrap();
    let stale = Preconditions { uid: Some("other".into()), resource_version: None };
    let patch = |preconditions| Request::Patch {
        target: target.clone(),
        patch: PatchType::Merge,
        body: json!({"data": {"a": "2"}}),
        preconditions,
    };
    assert!(client.call(patch(stale)).await.unwrap_err().status().unwrap().is_uid_mismatch());
    let version = made["metadata"]["resourceVersion"].as_str().unwrap().parse().unwrap();
    client.call(patch(Preconditions { uid: None, resource_version: Some(version) })).await.unwrap();
    let list = Request::List { kind: CONFIG_MAP, selection, limit: 0, continue_token: None, resource_version: None };
    let list: Value = serde_json::from_slice(&client.call(list).await.unwrap()).unwrap();
    assert_eq!(list["items"][0]["data"]["a"], "2");
    client.call(delete(target.clone())).await.unwrap();
    assert!(client.call(Request::Get(target)).await.unwrap_err().is_not_found());
    let mut seen = Vec::new();
    while seen.len() < 3 {
        match events.next().await.unwrap().unwrap() {
            WatchEvent::Added(object) => seen.push(format!("added {}", name(&object))),
            WatchEvent::Modified(object) => seen.push(format!("modified {}", name(&object))),
            WatchEvent::Deleted(object) => seen.push(format!("deleted {}", name(&object))),
            WatchEvent::Bookmark { .. } => {}
        }
    }
    assert_eq!(seen, ["added a", "modified a", "deleted a"]);
}

#[tokio::test]
async fn a_dry_run_is_answered_as_a_write_and_keeps_nothing() {
    let server = Server::start().await.with_default_account().await;
    let user = || User::internal("system:tester");
    let (client, dry) = (server.api.client(user()), server.api.dry_run_client(user()));
    let target = || Target::new(CONFIG_MAP, "default", "a");
    let create = || Request::Create { target: target(), body: config_map("a") };
    let made: Value = serde_json::from_slice(&dry.call(create()).await.unwrap()).unwrap();
    assert!(made["metadata"]["uid"].is_string(), "{made}");
    assert!(client.call(Request::Get(target())).await.unwrap_err().is_not_found());

    client.call(create()).await.unwrap();
    let stored = client.call(Request::Get(target())).await.unwrap();
    assert!(dry.call(create()).await.unwrap_err().is_already_exists());
    let body = json!({"data": {"a": "2"}});
    let patch = Request::Patch { target: target(), patch: PatchType::Merge, body, preconditions: no_preconditions() };
    let patched: Value = serde_json::from_slice(&dry.call(patch).await.unwrap()).unwrap();
    assert_eq!(patched["data"]["a"], "2");
    let mut body: Value = serde_json::from_slice(&stored).unwrap();
    body["data"]["b"] = "3".into();
    let updated = dry.call(Request::Update { target: target(), body }).await.unwrap();
    assert_eq!(serde_json::from_slice::<Value>(&updated).unwrap()["data"]["b"], "3");
    dry.call(delete(target())).await.unwrap();
    assert_eq!(client.call(Request::Get(target())).await.unwrap(), stored);

    let pod_target = || Target::new(POD, "default", "p");
    client.call(Request::Create { target: pod_target(), body: pod("p") }).await.unwrap();
    let stored = client.call(Request::Get(pod_target())).await.unwrap();
    let body = json!({"metadata": {"name": "p"}});
    dry.call(Request::Create { target: pod_target().subresource("eviction"), body }).await.unwrap();
    let body = json!({"target": {"kind": "Node", "name": "n"}});
    dry.call(Request::Create { target: pod_target().subresource("binding"), body }).await.unwrap();
    let (patch, body) = (PatchType::Merge, json!({"status": {"phase": "Failed"}}));
    let target = pod_target().subresource("status");
    dry.call(Request::Patch { target, patch, body, preconditions: no_preconditions() }).await.unwrap();
    assert_eq!(client.call(Request::Get(pod_target())).await.unwrap(), stored);
}

#[tokio::test]
async fn identities_are_authorised_here_too() {
    let server = Server::start().await;
    let client = server.api.client(User::new("jane", &[]));
    let refused = client.call(Request::Get(Target::new(POD, "default", "a"))).await.unwrap_err();
    assert_eq!(refused.status().unwrap().code, 403);
    let version = client.call(Request::Raw { path: "/apis/apps/v1".into() }).await.unwrap();
    assert!(String::from_utf8_lossy(&version).contains("daemonsets"));
}

#[tokio::test]
async fn a_slow_watcher_catches_up_from_the_ring() {
    let server = Server::start().await;
    let client = server.api.client(User::internal("system:tester"));
    let selection = Selection { namespace: Some("default".into()), ..Selection::default() };
    let watch = WatchRequest { kind: CONFIG_MAP, selection, resource_version: None, bookmarks: false };
    let mut events = client.watch(watch).await.unwrap();
    // More than a watcher's queue holds, before it takes the first.
    let count = 1500;
    for index in 0..count {
        let target = Target::new(CONFIG_MAP, "default", "");
        client.call(Request::Create { target, body: config_map(&format!("m{index}")) }).await.unwrap();
    }
    for index in 0..count {
        let Some(Ok(WatchEvent::Added(object))) = events.next().await else { panic!("the watch ended at {index}") };
        assert_eq!(name(&object), format!("m{index}"));
    }
}
