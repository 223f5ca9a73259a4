//! Limit ranges and quotas: what a namespace's objects get, and may have.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::support::*;

const QUOTAS: &str = "/api/v1/namespaces/default/resourcequotas";
const LIMIT_RANGES: &str = "/api/v1/namespaces/default/limitranges";

async fn start() -> Server {
    Server::start().await.with_default_account().await
}

async fn quota(server: &Server, spec: Value) {
    server.post(QUOTAS, &json!({"metadata": {"name": "q"}, "spec": spec})).await.expect(201);
}

async fn used(server: &Server) -> Value {
    server.get(&format!("{QUOTAS}/q")).await.expect(200)["status"]["used"].clone()
}

/// As the controller does when something has left.
async fn count(server: &Server) {
    server.patch(&format!("{QUOTAS}/q/status"), MERGE, &json!({"status": {}})).await.expect(200);
}

fn asking(name: &str, cpu: &str) -> Value {
    let mut pod = pod(name);
    pod["spec"]["containers"][0]["resources"] = json!({"requests": {"cpu": cpu}});
    pod
}

#[tokio::test]
async fn a_create_beyond_a_quota_is_refused_in_the_originals_words() {
    let server = start().await;
    server.post(PODS, &asking("before", "500m")).await.expect(201);
    quota(&server, json!({"hard": {"pods": "2", "requests.cpu": "1"}})).await;
    server.post(PODS, &asking("a", "400m")).await.expect(201);
    assert_eq!(used(&server).await, json!({"pods": "2", "requests.cpu": "900m"}), "what was there before counts");
    let refused = server.post(PODS, &asking("b", "200m")).await.expect(403);
    let words = "pods \"b\" is forbidden: exceeded quota: q, requested: pods=1,requests.cpu=200m, used: \
                 pods=2,requests.cpu=900m, limited: pods=2,requests.cpu=1";
    assert_eq!(refused["message"], words);
    let bare = server.post(PODS, &pod("c")).await.expect(403);
    assert_eq!(bare["message"], "pods \"c\" is forbidden: failed quota: q: must specify requests.cpu for: main");
    server.delete(&format!("{PODS}/a"), &Value::Null).await.expect(200);
    count(&server).await;
    assert_eq!(used(&server).await, json!({"pods": "1", "requests.cpu": "500m"}));
    server.post(PODS, &asking("b", "200m")).await.expect(201);
    let table = "application/json;as=Table;v=v1;g=meta.k8s.io";
    let path = format!("{QUOTAS}/q");
    let table = server.send(&Who::Admin, http::Method::GET, &path, &[("accept", table)], "").await.expect(200);
    assert_eq!(table["rows"][0]["cells"][1], "pods: 2/2, requests.cpu: 700m/1");
}

#[tokio::test]
async fn creates_at_the_same_time_do_not_exceed_a_quota() {
    let server = Arc::new(start().await);
    quota(&server, json!({"hard": {"count/configmaps": "5"}})).await;
    let mut tasks = tokio::task::JoinSet::new();
    for index in 0..16 {
        let server = server.clone();
        tasks.spawn(async move { server.post(CONFIG_MAPS, &config_map(&format!("c{index}"))).await.code });
    }
    let codes = tasks.join_all().await;
    assert_eq!(codes.iter().filter(|code| **code == 201).count(), 5, "{codes:?}");
    assert!(codes.iter().all(|code| [201, 403].contains(code)), "{codes:?}");
    assert_eq!(used(&server).await, json!({"count/configmaps": "5"}));
    server.post(&format!("{CONFIG_MAPS}?dryRun=All"), &config_map("dry")).await.expect(403);
}

#[tokio::test]
async fn a_quota_with_scopes_is_about_some_pods() {
    let server = start().await;
    quota(&server, json!({"hard": {"pods": "0"}, "scopes": ["BestEffort"]})).await;
    server.post(PODS, &pod("none")).await.expect(403);
    server.post(PODS, &asking("some", "1")).await.expect(201);
    server.post(CONFIG_MAPS, &config_map("other")).await.expect(201);
    count(&server).await;
    assert_eq!(used(&server).await, json!({"pods": "0"}));
}

#[tokio::test]
async fn a_changed_quota_counts_at_once() {
    let server = start().await;
    quota(&server, json!({"hard": {"configmaps": "9"}})).await;
    server.post(CONFIG_MAPS, &config_map("a")).await.expect(201);
    let wider = json!({"spec": {"hard": {"configmaps": "1", "pods": "3"}}});
    let changed = server.patch(&format!("{QUOTAS}/q"), MERGE, &wider).await.expect(200);
    assert_eq!(changed["status"]["used"], json!({"configmaps": "1", "pods": "0"}));
    // What a controller of another origin counted is not taken over.
    let wrong = json!({"status": {"hard": {"configmaps": "1"}, "used": {"configmaps": "0"}}});
    server.patch(&format!("{QUOTAS}/q/status"), MERGE, &wrong).await.expect(200);
    assert_eq!(used(&server).await, json!({"configmaps": "1", "pods": "0"}));
}

#[tokio::test]
async fn limit_ranges_fill_in_and_refuse() {
    let server = start().await;
    let limit =
        json!({"type": "Container", "max": {"cpu": "2"}, "min": {"cpu": "100m"}, "defaultRequest": {"cpu": "500m"}});
    let range = json!({"metadata": {"name": "l"}, "spec": {"limits": [limit]}});
    server.post(LIMIT_RANGES, &range).await.expect(201);
    let made = server.post(PODS, &pod("a")).await.expect(201);
    let resources = &made["spec"]["containers"][0]["resources"];
    assert_eq!(resources, &json!({"limits": {"cpu": "2"}, "requests": {"cpu": "500m"}}));
    let words = "LimitRanger plugin set: cpu request for container main; cpu limit for container main";
    assert_eq!(made["metadata"]["annotations"]["kubernetes.io/limit-ranger"], words);
    let refused = server.post(PODS, &asking("b", "50m")).await.expect(403);
    let words = "pods \"b\" is forbidden: minimum cpu usage per Container is 100m, but request is 50m";
    assert_eq!(refused["message"], words);
}

#[tokio::test]
async fn claims_are_held_and_get_the_default_class() {
    let server = Server::start().await;
    let class = json!({"metadata": {"name": "fast", "annotations": {"storageclass.kubernetes.io/is-default-class": "true"}},
        "provisioner": "x.test"});
    server.post("/apis/storage.k8s.io/v1/storageclasses", &class).await.expect(201);
    let claims = "/api/v1/namespaces/default/persistentvolumeclaims";
    let claim = crate::attack::bodies::object("persistentvolumeclaims", "c");
    let made = server.post(claims, &claim).await.expect(201);
    assert_eq!(made["spec"]["storageClassName"], "fast");
    assert_eq!(made["metadata"]["finalizers"], json!(["kubernetes.io/pvc-protection"]));
    assert_eq!(made["status"]["phase"], "Pending");
    let limit = json!({"type": "PersistentVolumeClaim", "max": {"storage": "1Gi"}});
    let range = json!({"metadata": {"name": "l"}, "spec": {"limits": [limit]}});
    server.post(LIMIT_RANGES, &range).await.expect(201);
    let mut large = claim;
    large["metadata"]["name"] = "large".into();
    large["spec"]["resources"]["requests"]["storage"] = "2Gi".into();
    let refused = server.post(claims, &large).await.expect(403);
    let words = "maximum storage usage per PersistentVolumeClaim is 1Gi, but request is 2Gi";
    assert!(refused["message"].as_str().unwrap().ends_with(words), "{refused}");
}
