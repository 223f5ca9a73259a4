//! Lists: pages, selectors, versions.

use serde_json::{Value, json};

use crate::support::*;

async fn with_maps(count: usize) -> Server {
    let server = Server::start().await;
    for index in 0..count {
        server.post(CONFIG_MAPS, &config_map(&format!("m{index}"))).await.expect(201);
    }
    server
}

fn names(list: &Value) -> Vec<&str> {
    list["items"].as_array().unwrap().iter().map(|item| item["metadata"]["name"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn pages_show_one_revision() {
    let server = with_maps(5).await;
    let first = server.get(&format!("{CONFIG_MAPS}?limit=2")).await.expect(200);
    assert_eq!((names(&first), &first["metadata"]["remainingItemCount"]), (vec!["m0", "m1"], &json!(3))); // DS-I31
    server.delete(&format!("{CONFIG_MAPS}/m3"), &Value::Null).await.expect(200);
    let token = first["metadata"]["continue"].as_str().unwrap().replace('=', "%3D");
    let second = server.get(&format!("{CONFIG_MAPS}?limit=2&continue={token}")).await.expect(200);
    assert_eq!(names(&second), ["m2", "m3"]);
    assert_eq!(second["metadata"]["resourceVersion"], first["metadata"]["resourceVersion"]);
    let token = second["metadata"]["continue"].as_str().unwrap().replace('=', "%3D");
    let last = server.get(&format!("{CONFIG_MAPS}?limit=2&continue={token}")).await.expect(200);
    assert_eq!((names(&last), &last["metadata"]["continue"]), (vec!["m4"], &Value::Null));
    server.get(&format!("{CONFIG_MAPS}?continue=bad")).await.expect(400);
}

#[tokio::test]
async fn selectors() {
    let server = with_maps(3).await;
    let label = json!({"metadata": {"labels": {"tier": "x"}}});
    server.patch(&format!("{CONFIG_MAPS}/m1"), MERGE, &label).await.expect(200);
    let by = async |query: &str| names(&server.get(&format!("{CONFIG_MAPS}?{query}")).await.expect(200)).join(" ");
    assert_eq!(by("labelSelector=tier").await, "m1"); // DS-I37
    assert_eq!(by("labelSelector=tier!%3Dx").await, "m0 m2");
    assert_eq!(by("fieldSelector=metadata.name%3Dm2").await, "m2"); // DS-I36
    assert_eq!(by("fieldSelector=metadata.name!%3Dm2,metadata.namespace%3Ddefault").await, "m0 m1");
    let bad = server.get(&format!("{CONFIG_MAPS}?fieldSelector=data.a%3D1")).await.expect(400);
    assert!(bad["message"].as_str().unwrap().contains("\"data.a\" is not a known field selector"));
    server.get(&format!("{CONFIG_MAPS}?labelSelector=a%20b")).await.expect(400);
    let selected = server.get(&format!("{CONFIG_MAPS}?limit=1&labelSelector=!tier")).await.expect(200);
    assert_eq!((names(&selected), &selected["metadata"]["remainingItemCount"]), (vec!["m0"], &Value::Null)); // DS-I31
}

/// A page of a selection ends with what fills it, in the middle of what was read, and the next goes
/// on right there.
#[tokio::test]
async fn pages_of_a_selection_leave_nothing_out() {
    let server = with_maps(9).await;
    for name in ["m1", "m4", "m5", "m8"] {
        let label = json!({"metadata": {"labels": {"tier": "x"}}});
        server.patch(&format!("{CONFIG_MAPS}/{name}"), MERGE, &label).await.expect(200);
    }
    let (mut found, mut pages, mut token) = (Vec::new(), 0, String::new());
    loop {
        let list = server.get(&format!("{CONFIG_MAPS}?limit=1&labelSelector=tier&continue={token}")).await.expect(200);
        found.extend(names(&list).into_iter().map(str::to_owned));
        pages += 1;
        match list["metadata"]["continue"].as_str() {
            Some(next) => token = next.replace('=', "%3D"),
            None => break,
        }
    }
    assert_eq!((found.join(" "), pages), ("m1 m4 m5 m8".to_owned(), 4)); // DS-I31
}

#[tokio::test]
async fn versions_of_lists() {
    let server = with_maps(1).await;
    let before = server.get(CONFIG_MAPS).await.expect(200);
    let version = before["metadata"]["resourceVersion"].as_str().unwrap().to_owned();
    server.post(CONFIG_MAPS, &config_map("later")).await.expect(201);
    let exact =
        server.get(&format!("{CONFIG_MAPS}?resourceVersion={version}&resourceVersionMatch=Exact")).await.expect(200);
    assert_eq!(names(&exact), ["m0"]); // DS-I30
    let newer = server
        .get(&format!("{CONFIG_MAPS}?resourceVersion={version}&resourceVersionMatch=NotOlderThan"))
        .await
        .expect(200);
    assert_eq!(names(&newer), ["later", "m0"]);
    server.get(&format!("{CONFIG_MAPS}?resourceVersionMatch=Exact")).await.expect(422);
    let future = server.get(&format!("{CONFIG_MAPS}?resourceVersion=999999")).await.expect(504);
    assert_eq!(future["details"]["causes"][0]["reason"], "ResourceVersionTooLarge");
    assert_eq!(before["kind"], "ConfigMapList");
}

#[tokio::test]
async fn lists_of_one_node() {
    let server = Server::start().await.with_default_account().await;
    for (name, node) in [("a", "n1"), ("b", "n2"), ("c", "n1")] {
        let mut pod = pod(name);
        pod["spec"]["nodeName"] = node.into();
        server.post(PODS, &pod).await.expect(201);
    }
    let list = server.get("/api/v1/pods?fieldSelector=spec.nodeName%3Dn1").await.expect(200);
    assert_eq!(names(&list), ["a", "c"]);
    // As client-go and agents ask: any state will do, in pages; and pages that are too small.
    for query in ["resourceVersion=0", "limit=2", "limit=500&resourceVersion=0"] {
        let list = server.get(&format!("/api/v1/pods?fieldSelector=spec.nodeName%3Dn1&{query}")).await.expect(200);
        assert_eq!((names(&list), &list["metadata"]["continue"]), (vec!["a", "c"], &Value::Null), "{query}");
    }
    let first = server.get("/api/v1/pods?fieldSelector=spec.nodeName%3Dn1&limit=1").await.expect(200);
    let token = first["metadata"]["continue"].as_str().unwrap().replace('=', "%3D");
    let path = format!("/api/v1/pods?fieldSelector=spec.nodeName%3Dn1&limit=1&continue={token}");
    assert_eq!((names(&first), names(&server.get(&path).await.expect(200))), (vec!["a"], vec!["c"]));
    let unreached = "/api/v1/pods?fieldSelector=spec.nodeName%3Dn1&resourceVersion=999999";
    assert_ne!(server.get(unreached).await.code, 200);
}

#[tokio::test]
async fn large_lists_come_in_pieces() {
    let server = with_maps(150).await;
    let list = server.get(CONFIG_MAPS).await;
    assert!(!list.headers.contains_key("content-length"));
    let list = list.expect(200);
    assert_eq!((names(&list).len(), &list["kind"], names(&list)[149]), (150, &json!("ConfigMapList"), "m99"));
}
