//! Watches over the wire.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::support::*;

#[tokio::test]
async fn events_follow_from_a_version() {
    let server = Server::start().await;
    let made = server.post(CONFIG_MAPS, &config_map("a")).await.expect(201);
    let version = made["metadata"]["resourceVersion"].as_str().unwrap();
    let mut watch = server.watch(&format!("{CONFIG_MAPS}?watch=1&resourceVersion={version}")).await; // DS-I33
    server.patch(&format!("{CONFIG_MAPS}/a"), MERGE, &json!({"data": {"a": "2"}})).await.expect(200);
    server.delete(&format!("{CONFIG_MAPS}/a"), &Value::Null).await.expect(200);
    assert_eq!(watch.summary().await, "MODIFIED a");
    let deleted = watch.next().await.unwrap();
    assert_eq!((&deleted["type"], &deleted["object"]["data"]["a"]), (&json!("DELETED"), &json!("2")));
    let at = |value: &Value| value["metadata"]["resourceVersion"].as_str().unwrap().parse::<u64>().unwrap();
    assert!(at(&deleted["object"]) > at(&made) + 1); // the deletion's own version
}

/// Every agent's watch goes on where it was when the server comes back, deletions and selectors
/// included.
#[tokio::test]
async fn watches_resume_after_a_restart() {
    let directory = tempfile::TempDir::new().unwrap();
    let open = || {
        let options = everynode_store::EmbeddedOptions::default();
        Arc::new(everynode_store::EmbeddedStore::open(directory.path(), options).unwrap())
    };
    let store = open();
    let server = Server::start_on(store.clone()).await;
    let made = server.post(CONFIG_MAPS, &config_map("a")).await.expect(201);
    let label = |tier: &str| json!({"metadata": {"labels": {"tier": tier}}});
    for tier in ["x", "y"] {
        server.patch(&format!("{CONFIG_MAPS}/a"), MERGE, &label(tier)).await.expect(200);
    }
    server.delete(&format!("{CONFIG_MAPS}/a"), &Value::Null).await.expect(200);
    drop(server);
    everynode_store::Store::shutdown(&*store).await.unwrap();
    drop(store);

    let server = Server::start_on(open()).await;
    let from = format!("watch=1&resourceVersion={}", made["metadata"]["resourceVersion"].as_str().unwrap());
    let mut all = server.watch(&format!("{CONFIG_MAPS}?{from}")).await;
    for told in ["MODIFIED a", "MODIFIED a", "DELETED a"] {
        assert_eq!(all.summary().await, told);
    }
    let mut selected = server.watch(&format!("{CONFIG_MAPS}?{from}&labelSelector=tier%3Dx")).await;
    for told in ["ADDED a", "DELETED a"] {
        assert_eq!(selected.summary().await, told); // DS-I33
    }
    // A crash may lose the newest renewals: leases are listed again.
    server.get(&format!("/apis/coordination.k8s.io/v1/leases?{from}")).await.expect(410);
}

#[tokio::test]
async fn objects_enter_and_leave_a_selector() {
    let server = Server::start().await;
    let mut watch = server.watch(&format!("{CONFIG_MAPS}?watch=true&labelSelector=tier%3Dx")).await;
    server.post(CONFIG_MAPS, &config_map("a")).await.expect(201);
    let label = |tier: &str| json!({"metadata": {"labels": {"tier": tier}}});
    server.patch(&format!("{CONFIG_MAPS}/a"), MERGE, &label("x")).await.expect(200);
    server.patch(&format!("{CONFIG_MAPS}/a"), MERGE, &json!({"data": {"a": "2"}})).await.expect(200);
    server.patch(&format!("{CONFIG_MAPS}/a"), MERGE, &label("y")).await.expect(200);
    assert_eq!(watch.summary().await, "ADDED a"); // DS-I33
    assert_eq!(watch.summary().await, "MODIFIED a");
    let left = watch.next().await.unwrap();
    assert_eq!((&left["type"], &left["object"]["metadata"]["labels"]["tier"]), (&json!("DELETED"), &json!("x")));
}

#[tokio::test]
async fn initial_events_end_with_a_bookmark() {
    let server = Server::start().await;
    server.post(CONFIG_MAPS, &config_map("a")).await.expect(201);
    let query = "watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true";
    let mut watch = server.watch(&format!("{CONFIG_MAPS}?{query}")).await; // DS-I35, DS-L01
    assert_eq!(watch.summary().await, "ADDED a");
    let mark = watch.next().await.unwrap();
    assert_eq!((&mark["type"], &mark["object"]["kind"]), (&json!("BOOKMARK"), &json!("ConfigMap")));
    assert_eq!(mark["object"]["metadata"]["annotations"]["k8s.io/initial-events-end"], "true");
    server.post(CONFIG_MAPS, &config_map("b")).await.expect(201);
    assert_eq!(watch.summary().await, "ADDED b");
    server.get(&format!("{CONFIG_MAPS}?watch=1&sendInitialEvents=true")).await.expect(422);
}

#[tokio::test]
async fn agents_watch_their_own_pods() {
    let server = Server::start().await.with_default_account().await;
    let mut watch = server.watch("/api/v1/pods?watch=1&fieldSelector=spec.nodeName%3Dn1").await;
    for name in ["other", "mine"] {
        server.post(PODS, &pod(name)).await.expect(201);
    }
    let bind = |node: &str| json!({"target": {"kind": "Node", "name": node}});
    server.post(&format!("{PODS}/other/binding"), &bind("n2")).await.expect(201);
    server.post(&format!("{PODS}/mine/binding"), &bind("n1")).await.expect(201);
    let added = watch.next().await.unwrap();
    assert_eq!((&added["type"], &added["object"]["metadata"]["name"]), (&json!("ADDED"), &json!("mine")));
    assert_eq!(added["object"]["spec"]["nodeName"], "n1");
}

#[tokio::test]
async fn tables_and_metadata_are_watched_too() {
    let server = Server::start().await;
    server.post(CONFIG_MAPS, &config_map("a")).await.expect(201);
    let table = [("accept", "application/json;as=Table;v=v1;g=meta.k8s.io")];
    let mut watch = server.watch_as(&Who::Admin, &format!("{CONFIG_MAPS}?watch=1"), &table).await;
    let first = watch.next().await.unwrap();
    assert_eq!(first["object"]["kind"], "Table"); // DS-I38
    assert!(!first["object"]["columnDefinitions"].as_array().unwrap().is_empty());
    server.post(CONFIG_MAPS, &config_map("b")).await.expect(201);
    let second = watch.next().await.unwrap();
    assert!(second["object"]["columnDefinitions"].as_array().is_none_or(Vec::is_empty));
    assert_eq!(second["object"]["rows"][0]["cells"][0], "b");
    let metadata = [("accept", "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io")];
    let mut watch = server.watch_as(&Who::Admin, &format!("{CONFIG_MAPS}?watch=1"), &metadata).await;
    assert_eq!(watch.next().await.unwrap()["object"]["kind"], "PartialObjectMetadata");
}

#[tokio::test]
async fn a_watch_ends_by_itself_and_with_the_server() {
    let mut server = Server::start().await;
    let mut short = server.watch(&format!("{CONFIG_MAPS}?watch=1&timeoutSeconds=1&allowWatchBookmarks=true")).await;
    assert_eq!(short.next().await.unwrap()["type"], "BOOKMARK"); // DS-I34: shortly before the end
    assert_eq!(short.next().await, None); // DS-I32
    let mut long = server.watch(&format!("{CONFIG_MAPS}?watch=1")).await;
    server.stop().await;
    assert_eq!(long.next().await, None);
}

#[tokio::test]
async fn versions_that_are_not_held() {
    let limits = everynode_store::Limits { history_changes_max: 3, ..everynode_store::Limits::default() };
    let clock = Arc::new(everynode_store::ManualClock::default());
    let store = Arc::new(everynode_store::MemoryStore::with_clock(clock, limits));
    let first = Server::start_on(store.clone()).await;
    first.post(CONFIG_MAPS, &config_map("a")).await.expect(201);
    let made = first.post(CONFIG_MAPS, &config_map("b")).await.expect(201);
    // A server that starts on the same store knows as much history as the store.
    let server = Server::start_on(store).await;
    let before = made["metadata"]["resourceVersion"].as_str().unwrap().parse::<u64>().unwrap() - 1;
    let mut resumed = server.watch(&format!("{CONFIG_MAPS}?watch=1&resourceVersion={before}")).await;
    assert_eq!(resumed.summary().await, "ADDED b");
    let gone = server.get(&format!("{CONFIG_MAPS}?watch=1&resourceVersion=1")).await;
    assert_eq!((gone.code, gone.json()["reason"].clone()), (410, json!("Expired")));
    let future = server.get(&format!("{CONFIG_MAPS}?watch=1&resourceVersion=999999")).await;
    assert_eq!(future.code, 504);
}
