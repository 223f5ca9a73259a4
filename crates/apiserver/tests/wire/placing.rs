//! What users apply together, with the controllers beside the server: of two that do not fit on a
//! node together one is placed, and the other waits and says why.

use std::collections::BTreeMap;
use std::time::Duration;

use everynode_apiserver::User;
use everynode_controllers::accounts::Accounts;
use everynode_controllers::scheduler::Scheduler;
use everynode_daemonset::{Bind, DaemonSetController, Options};
use everynode_runtime::{Env, Manager, Shutdown, Trigger};
use serde_json::{Value, json};

use crate::room::node;
use crate::support::*;

/// A server with the controllers that place pods; no agent runs what they place.
struct World {
    server: Server,
    _stop: Trigger,
}

async fn world(nodes: usize, strict: bool) -> World {
    let server = Server::start().await.with_default_account().await;
    for number in 0..nodes {
        node(&server, &format!("n{number}"), "8", "110").await;
    }
    let client = server.api.client(User::new("system:kube-controller-manager", &["system:masters"]));
    let mut manager = Manager::new(client, Env::real());
    let options = if strict { Options::strict() } else { Options::default() };
    let several = everynode_runtime::Options { workers: 4, audit: true, ..everynode_runtime::Options::default() };
    manager.add(DaemonSetController::new(Options { bind: Bind::WhereFits, ..options }), several);
    let one = || everynode_runtime::Options { workers: 1, audit: true, ..everynode_runtime::Options::default() };
    manager.add(Scheduler, one());
    manager.add(Accounts { ca_pem: "none".into() }, one());
    let (stop, stopped) = Shutdown::new();
    tokio::spawn(manager.run(stopped));
    World { server, _stop: stop }
}

/// Requests of one container.
fn asking(requests: Value) -> Value {
    json!({"containers": [{"name": "main", "image": "x:1", "resources": {"requests": requests}}]})
}

fn set(name: &str, spec: Value) -> Value {
    let mut set = daemon_set(name);
    set["spec"]["template"]["spec"] = spec;
    set
}

impl World {
    /// Pods that have a node, by node; and what is said of those that have none.
    async fn placed(&self) -> (BTreeMap<String, Vec<Value>>, Vec<String>) {
        let pods = self.server.get(PODS).await.expect(200);
        let (mut bound, mut waiting) = (BTreeMap::<String, Vec<Value>>::new(), Vec::new());
        for pod in pods["items"].as_array().unwrap() {
            match pod["spec"]["nodeName"].as_str() {
                Some(node) => bound.entry(node.into()).or_default().push(pod.clone()),
                None => {
                    let conditions = pod["status"]["conditions"].as_array().cloned().unwrap_or_default();
                    let told = conditions.iter().find(|one| one["type"] == "PodScheduled" && one["status"] == "False");
                    waiting.extend(told.and_then(|told| Some(told["message"].as_str()?.to_owned())));
                }
            }
        }
        (bound, waiting)
    }

    /// Waits until so many are bound and so many wait with a reason; then neither is more.
    async fn settles(&self, bound: usize, waiting: usize) -> (BTreeMap<String, Vec<Value>>, Vec<String>) {
        for _ in 0..600 {
            let (on, why) = self.placed().await;
            let count: usize = on.values().map(Vec::len).sum();
            assert!(count <= bound, "{count} are bound, {bound} fit");
            if (count, why.len()) == (bound, waiting) {
                return (on, why);
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let (on, why) = self.placed().await;
        panic!("expected {bound} bound and {waiting} waiting: {:?} {why:?}", on.values().map(Vec::len).sum::<usize>());
    }

    async fn apply(&self, objects: &[Value]) {
        // One after the other, as kubectl does, without waiting for anything in between.
        for object in objects {
            let path = if object["kind"] == "DaemonSet" { DAEMON_SETS } else { PODS };
            self.server.post(path, object).await.expect(201);
        }
    }
}

#[tokio::test]
async fn of_two_sets_in_one_file_one_is_placed_and_the_other_says_why() {
    for strict in [false, true] {
        let world = world(1, strict).await;
        let spec = || asking(json!({"cpu": "5"}));
        world.apply(&[set("a", spec()), set("b", spec())]).await;
        let (_, why) = world.settles(1, 1).await;
        let text = "0/1 nodes are available: 1 Insufficient cpu. preemption: 0/1 nodes are available: \
                    1 No preemption victims found for incoming pod.";
        assert_eq!(why, [text], "strict: {strict}");
    }
}

#[tokio::test]
async fn on_a_hundred_nodes_a_hundred_are_placed() {
    let world = world(100, false).await;
    let spec = || asking(json!({"memory": "5Gi"}));
    world.apply(&[set("a", spec()), set("b", spec())]).await;
    let (on, why) = world.settles(100, 100).await;
    assert!(on.values().all(|pods| pods.len() == 1) && on.len() == 100);
    assert!(why.iter().all(|text| text.contains("1 Insufficient memory")), "{why:?}");
}

#[tokio::test]
async fn of_three_sets_where_two_fit_two_are_placed() {
    let world = world(3, false).await;
    let sets = ["a", "b", "c"].map(|name| set(name, asking(json!({"cpu": "3"}))));
    world.apply(&sets).await;
    world.settles(6, 3).await;
}

#[tokio::test]
async fn a_host_port_is_given_to_one_of_two_sets() {
    let world = world(2, false).await;
    let spec = || {
        let mut spec = asking(json!({}));
        spec["hostNetwork"] = true.into();
        spec["containers"][0]["ports"] = json!([{"containerPort": 9100, "hostPort": 9100}]);
        spec
    };
    world.apply(&[set("a", spec()), set("b", spec())]).await;
    let (_, why) = world.settles(2, 2).await;
    assert!(
        why.iter().all(|text| text.contains("1 node(s) didn't have free ports for the requested pod ports")),
        "{why:?}"
    );
}

#[tokio::test]
async fn a_set_and_a_plain_pod_in_one_file() {
    for strict in [false, true] {
        let world = world(1, strict).await;
        let plain = json!({"kind": "Pod", "metadata": {"name": "plain"}, "spec": asking(json!({"cpu": "5"}))});
        world.apply(&[plain, set("a", asking(json!({"cpu": "5"})))]).await;
        let (_, why) = world.settles(1, 1).await;
        assert!(why[0].starts_with("0/1 nodes are available: 1 Insufficient cpu."), "{why:?}");
    }
}

#[tokio::test]
async fn limits_are_requests_before_pods_are_placed() {
    let world = world(1, false).await;
    let limited =
        |limits: Value| json!({"containers": [{"name": "c", "image": "x:1", "resources": {"limits": limits}}]});
    world.apply(&[set("a", limited(json!({"cpu": "50"}))), set("b", limited(json!({"memory": "900Gi"})))]).await;
    let (_, mut why) = world.settles(0, 2).await;
    why.sort();
    assert!(why[0].contains("Insufficient cpu") && why[1].contains("Insufficient memory"), "{why:?}");
}

/// The more important one gets in, whoever was first; what has to go is told (DS-B52).
#[tokio::test]
async fn an_important_set_makes_room_and_gets_it() {
    let world = world(1, false).await;
    let class = json!({"metadata": {"name": "high"}, "value": 1000});
    world.server.post("/apis/scheduling.k8s.io/v1/priorityclasses", &class).await.expect(201);
    world.apply(&[set("low", asking(json!({"cpu": "5"})))]).await;
    let (on, _) = world.settles(1, 0).await;
    let low = on["n0"][0]["metadata"]["name"].as_str().unwrap().to_owned();
    let mut spec = asking(json!({"cpu": "5"}));
    spec["priorityClassName"] = "high".into();
    world.apply(&[set("high", spec)]).await;
    // No agent ends the victim: the test does, when it is asked to.
    for _ in 0..600 {
        let pod = world.server.get(&format!("{PODS}/{low}")).await.expect(200);
        if pod["metadata"]["deletionTimestamp"].is_string() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    world.server.delete(&format!("{PODS}/{low}"), &json!({"gracePeriodSeconds": 0})).await.expect(200);
    let (on, _) = world.settles(1, 1).await;
    assert_eq!(on["n0"][0]["metadata"]["labels"]["app"], "high");
}
