//! A node's room: a write that puts a pod on a node takes the pod's part of it.

use std::sync::Arc;

use everynode_store::MemoryStore;
use serde_json::{Value, json};

use crate::support::*;

const NODES: &str = "/api/v1/nodes";

/// A node that has so many CPUs and places.
pub(crate) async fn node(server: &Server, name: &str, cpu: &str, places: &str) {
    let has = json!({"cpu": cpu, "memory": "8Gi", "pods": places});
    let ready = json!([{"type": "Ready", "status": "True", "reason": "KubeletReady", "message": "ready"}]);
    let status = json!({"capacity": has, "allocatable": has, "conditions": ready});
    server.post(NODES, &json!({"metadata": {"name": name}, "status": status})).await.expect(201);
}

fn asking(name: &str, cpu: &str) -> Value {
    let mut pod = pod(name);
    pod["spec"]["containers"][0]["resources"] = json!({"requests": {"cpu": cpu}});
    pod
}

fn on(mut pod: Value, node: &str) -> Value {
    pod["spec"]["nodeName"] = node.into();
    pod
}

/// As the DaemonSet controller creates pods where they fit: owned, pinned, and with the node
/// already in it.
fn of_set(mut pod: Value, set: &Value, node: &str) -> Value {
    let owner = json!({"apiVersion": "apps/v1", "kind": "DaemonSet", "name": set["metadata"]["name"],
                       "uid": set["metadata"]["uid"], "controller": true});
    pod["metadata"]["ownerReferences"] = json!([owner]);
    let pin = json!([{"matchFields": [{"key": "metadata.name", "operator": "In", "values": [node]}]}]);
    let required = json!({"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": pin}});
    pod["spec"]["affinity"] = json!({"nodeAffinity": required});
    on(pod, node)
}

fn bind(name: &str, node: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Binding", "metadata": {"name": name}, "target": {"kind": "Node", "name": node}})
}

async fn node_of(server: &Server, name: &str) -> Value {
    server.get(&format!("{PODS}/{name}")).await.expect(200)["spec"]["nodeName"].clone()
}

async fn phase(server: &Server, name: &str, phase: &str) {
    let status = json!({"status": {"phase": phase}});
    server.patch(&format!("{PODS}/{name}/status"), MERGE, &status).await.expect(200);
}

async fn remove(server: &Server, name: &str) {
    server.delete(&format!("{PODS}/{name}"), &json!({"gracePeriodSeconds": 0})).await.expect(200);
}

#[tokio::test]
async fn a_daemon_pod_that_does_not_fit_any_more_is_created_without_a_node() {
    let server = Server::start().await.with_default_account().await;
    node(&server, "n1", "8", "110").await;
    let [a, b] = ["a", "b"].map(daemon_set);
    let a = server.post(DAEMON_SETS, &a).await.expect(201);
    let b = server.post(DAEMON_SETS, &b).await.expect(201);
    let first = server.post(PODS, &of_set(asking("a-1", "5"), &a, "n1")).await.expect(201);
    assert_eq!(first["spec"]["nodeName"], "n1");
    let second = server.post(PODS, &of_set(asking("b-1", "5"), &b, "n1")).await.expect(201);
    assert_eq!(second["spec"]["nodeName"], Value::Null, "left to the scheduler");
    assert_eq!(second["spec"]["affinity"], of_set(pod("x"), &b, "n1")["spec"]["affinity"], "and still pinned");
    let third = server.post(PODS, &of_set(asking("b-2", "3"), &b, "n1")).await.expect(201);
    assert_eq!(third["spec"]["nodeName"], "n1", "what fits beside it is bound");
}

#[tokio::test]
async fn a_node_that_a_template_names_is_its_authors_choice() {
    // DS-B34: the node's agent judges, as it does of pods that users put on a node.
    let server = Server::start().await.with_default_account().await;
    node(&server, "n1", "8", "110").await;
    let mut set = daemon_set("a");
    set["spec"]["template"]["spec"]["nodeName"] = "n1".into();
    let set = server.post(DAEMON_SETS, &set).await.expect(201);
    let made = server.post(PODS, &of_set(asking("a-1", "1000"), &set, "n1")).await.expect(201);
    assert_eq!(made["spec"]["nodeName"], "n1");
    let made = server.post(PODS, &on(asking("plain", "1000"), "n1")).await.expect(201);
    assert_eq!(made["spec"]["nodeName"], "n1");
    server.post(PODS, &asking("small", "1")).await.expect(201);
    server.post(&format!("{PODS}/small/binding"), &bind("small", "n1")).await.expect(409);
    phase(&server, "a-1", "Failed").await;
    phase(&server, "plain", "Failed").await;
    server.post(&format!("{PODS}/small/binding"), &bind("small", "n1")).await.expect(201);
}

#[tokio::test]
async fn a_binding_takes_the_nodes_room_or_is_refused() {
    let server = Server::start().await.with_default_account().await;
    node(&server, "n1", "8", "2").await;
    for (name, cpu) in [("a", "5"), ("b", "5"), ("c", "1"), ("d", "1")] {
        server.post(PODS, &asking(name, cpu)).await.expect(201);
    }
    let put = async |name: &str| server.post(&format!("{PODS}/{name}/binding"), &bind(name, "n1")).await;
    put("a").await.expect(201);
    let refused = put("b").await.expect(409);
    let text =
        "Operation cannot be fulfilled on pods/binding \"b\": pod b does not fit on node \"n1\": Insufficient cpu";
    assert_eq!(refused["message"], text);
    assert_eq!(node_of(&server, "b").await, Value::Null);
    put("c").await.expect(201);
    let refused = put("d").await.expect(409);
    assert!(refused["message"].as_str().unwrap().ends_with(": Too many pods"), "{refused}");
    // Ended, or gone: the room is free at once.
    phase(&server, "c", "Succeeded").await;
    put("d").await.expect(201);
    remove(&server, "a").await;
    put("b").await.expect(201);
}

#[tokio::test]
async fn a_host_port_is_held_once() {
    let server = Server::start().await.with_default_account().await;
    node(&server, "n1", "8", "110").await;
    let holding = |name: &str, address: &str| {
        let mut pod = pod(name);
        pod["spec"]["containers"][0]["ports"] = json!([{"containerPort": 80, "hostPort": 9100, "hostIP": address}]);
        pod
    };
    for (name, address) in [("a", "10.0.0.1"), ("b", "10.0.0.2"), ("c", "10.0.0.1"), ("d", "")] {
        server.post(PODS, &holding(name, address)).await.expect(201);
    }
    let put = async |name: &str| server.post(&format!("{PODS}/{name}/binding"), &bind(name, "n1")).await;
    put("a").await.expect(201);
    put("b").await.expect(201);
    for name in ["c", "d"] {
        let refused = put(name).await.expect(409);
        let text = refused["message"].as_str().unwrap().to_owned();
        assert!(text.ends_with("node(s) didn't have free ports for the requested pod ports"), "{text}");
        assert!(!text.contains("default/a"), "who holds it is not told");
    }
    remove(&server, "a").await;
    put("c").await.expect(201);
}

/// Fifty at once for a node with room for three.
#[tokio::test]
async fn of_many_at_once_as_many_as_fit_get_in() {
    let server = Arc::new(Server::start().await.with_default_account().await);
    node(&server, "n1", "8", "110").await;
    let set = server.post(DAEMON_SETS, &daemon_set("a")).await.expect(201);
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..50 {
        let (server, set) = (server.clone(), set.clone());
        tasks.spawn(async move {
            let name = format!("p-{number}");
            match number % 2 {
                0 => server.post(PODS, &of_set(asking(&name, "2500m"), &set, "n1")).await.expect(201),
                _ => {
                    server.post(PODS, &asking(&name, "2500m")).await.expect(201);
                    let answer = server.post(&format!("{PODS}/{name}/binding"), &bind(&name, "n1")).await;
                    assert!(matches!(answer.code, 201 | 409), "{}", answer.json());
                    Value::Null
                }
            }
        });
    }
    tasks.join_all().await;
    let pods = server.get(PODS).await.expect(200);
    let bound = pods["items"].as_array().unwrap().iter().filter(|pod| pod["spec"]["nodeName"] == "n1");
    assert_eq!(bound.count(), 3);
}

#[tokio::test]
async fn the_room_is_known_again_after_a_restart() {
    let store = Arc::new(MemoryStore::new());
    let server = Server::start_on(store.clone()).await.with_default_account().await;
    node(&server, "n1", "8", "110").await;
    for (name, cpu) in [("a", "5"), ("ended", "5"), ("b", "5"), ("c", "3")] {
        server.post(PODS, &asking(name, cpu)).await.expect(201);
    }
    server.post(&format!("{PODS}/ended/binding"), &bind("ended", "n1")).await.expect(201);
    phase(&server, "ended", "Failed").await;
    server.post(&format!("{PODS}/a/binding"), &bind("a", "n1")).await.expect(201);
    drop(server);
    let server = Server::start_on(store).await;
    server.post(&format!("{PODS}/b/binding"), &bind("b", "n1")).await.expect(409);
    server.post(&format!("{PODS}/c/binding"), &bind("c", "n1")).await.expect(201);
}

/// What the scheduler makes room for is not taken by what is less important (DS-B52).
#[tokio::test]
async fn room_that_was_made_for_a_pod_is_kept_for_it() {
    let server = Server::start().await.with_default_account().await;
    node(&server, "n1", "8", "110").await;
    let class = json!({"metadata": {"name": "high"}, "value": 1000});
    server.post("/apis/scheduling.k8s.io/v1/priorityclasses", &class).await.expect(201);
    let mut high = asking("high", "6");
    high["spec"]["priorityClassName"] = "high".into();
    server.post(PODS, &high).await.expect(201);
    server.post(PODS, &asking("low", "3")).await.expect(201);
    server.post(PODS, &asking("tiny", "2")).await.expect(201);
    let nominated = |node: Value| json!({"status": {"nominatedNodeName": node}});
    server.patch(&format!("{PODS}/high/status"), MERGE, &nominated("n1".into())).await.expect(200);
    let put = async |name: &str| server.post(&format!("{PODS}/{name}/binding"), &bind(name, "n1")).await;
    put("low").await.expect(409);
    put("tiny").await.expect(201);
    put("high").await.expect(201);
    remove(&server, "high").await;
    put("low").await.expect(201);
    // A promise that is withdrawn keeps nothing.
    server.post(PODS, &high).await.expect(201);
    server.patch(&format!("{PODS}/high/status"), MERGE, &nominated("n1".into())).await.expect(200);
    server.post(PODS, &asking("last", "3")).await.expect(201);
    put("last").await.expect(409);
    server.patch(&format!("{PODS}/high/status"), MERGE, &nominated(Value::Null)).await.expect(200);
    put("last").await.expect(201);
}

/// Nodes that do not say what they have, and names that are no node's: as on any Kubernetes server.
#[tokio::test]
async fn where_nothing_is_known_everything_fits() {
    let server = Server::start().await.with_default_account().await;
    server.post(NODES, &json!({"metadata": {"name": "silent"}})).await.expect(201);
    for (name, node) in [("a", "silent"), ("b", "nowhere")] {
        server.post(PODS, &asking(name, "1000")).await.expect(201);
        server.post(&format!("{PODS}/{name}/binding"), &bind(name, node)).await.expect(201);
    }
}

#[tokio::test]
async fn limits_init_containers_and_sidecars_count() {
    // DS-B43
    let server = Server::start().await.with_default_account().await;
    node(&server, "n1", "8", "110").await;
    let mut limited = pod("limited");
    limited["spec"]["containers"][0]["resources"] = json!({"limits": {"cpu": "50"}});
    server.post(PODS, &limited).await.expect(201);
    server.post(&format!("{PODS}/limited/binding"), &bind("limited", "n1")).await.expect(409);
    let mut initialised = asking("init", "1");
    let init = |name: &str, cpu: &str, policy: Value| json!({"name": name, "image": "x:1", "restartPolicy": policy, "resources": {"requests": {"cpu": cpu}}});
    initialised["spec"]["initContainers"] = json!([init("side", "2", "Always".into()), init("once", "5", Value::Null)]);
    server.post(PODS, &initialised).await.expect(201);
    server.post(&format!("{PODS}/init/binding"), &bind("init", "n1")).await.expect(201);
    // 7 of 8 are taken: the peak of its beginning, beside the sidecar.
    server.post(PODS, &asking("two", "2")).await.expect(201);
    server.post(&format!("{PODS}/two/binding"), &bind("two", "n1")).await.expect(409);
    server.post(PODS, &asking("one", "1")).await.expect(201);
    server.post(&format!("{PODS}/one/binding"), &bind("one", "n1")).await.expect(201);
}
