//! A node's room: two sets in one file that do not fit beside each other, and pods that a user puts
//! on a node where they do not fit.

use serde_json::{Value, json};

use crate::harness::{Cluster, Options, Space, daemon_set, text};

const NODE: &str = "node-a";

/// A set whose pods ask for three quarters of a node of so many CPUs.
fn large(name: &str, cpus: f64) -> Value {
    let mut set = daemon_set(name, &["sleep"]);
    let requests = json!({"cpu": format!("{}m", (cpus * 750.0) as u64)});
    set["spec"]["template"]["spec"]["containers"][0]["resources"] = json!({ "requests": requests });
    set
}

/// A pod that names its node.
fn on_node(name: &str, more: Value) -> Value {
    let mut spec = json!({
        "nodeName": NODE, "automountServiceAccountToken": false, "terminationGracePeriodSeconds": 1,
        "containers": [{"name": "main", "image": "localhost/everynode/testtool:1", "args": ["sleep"]}],
    });
    for (member, value) in more.as_object().cloned().unwrap_or_default() {
        spec[member] = value;
    }
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec})
}

/// DS-B43, DS-B48, DS-H09
#[test]
fn a_node_gives_its_room_once() {
    let cluster = Cluster::start(Options::default());
    let space = cluster.space("room");
    let node = cluster.api().object(&format!("/api/v1/nodes/{NODE}")).expect("the node is there");
    let cpus: f64 = text(&node["status"]["allocatable"]["cpu"]).parse().expect("whole CPUs");
    space.kubectl.apply(json!({"apiVersion": "v1", "kind": "List", "items": [large("a", cpus), large("b", cpus)]}));
    let lucky = space.until("one of the two runs", || {
        let runs = |set: &str| {
            let pods = space.pods(set)?;
            Ok::<bool, String>(pods.iter().any(|pod| pod["status"]["phase"] == "Running"))
        };
        match (runs("a")?, runs("b")?) {
            (true, true) => panic!("both run"),
            (true, false) => Ok("a"),
            (false, true) => Ok("b"),
            (false, false) => Err("none runs".into()),
        }
    });
    let waiting = if lucky == "a" { "b" } else { "a" };
    space.event("FailedScheduling", "0/1 nodes are available: 1 Insufficient cpu.");
    let pods = space.pods(waiting).expect("they are listed");
    assert_eq!((pods.len(), &pods[0]["spec"]["nodeName"]), (1, &Value::Null), "{pods:?}");
    let why = cluster.everynode(&format!("why {waiting} -n room"));
    assert!(why.stdout.contains("insufficient cpu: "), "{}", why.stdout);

    pods_that_do_not_fit_fail(&space);

    space.kubectl.ok(&format!("delete daemonset {lucky} --wait=false"));
    space.rolled_out(waiting);
}

fn pods_that_do_not_fit_fail(space: &Space<'_>) {
    space.takes_pods();
    let requests = json!([{"name": "main", "image": "localhost/everynode/testtool:1", "args": ["sleep"],
                           "resources": {"requests": {"cpu": "1000"}}}]);
    space.kubectl.apply(on_node("huge", json!({ "containers": requests })));
    space.kubectl.apply(on_node("elsewhere", json!({"nodeSelector": {"disk": "no-such"}})));
    for (name, reason, words) in [
        ("huge", "OutOfcpu", "Node didn't have enough resource: cpu, requested: 1000000, used: "),
        (
            "elsewhere",
            "NodeAffinity",
            "Predicate NodeAffinity failed: node(s) didn't match Pod's node affinity/selector",
        ),
    ] {
        let pod = space.until("it is refused", || {
            let pod = space.object(&format!("pods/{name}"))?;
            if pod["status"]["phase"] == "Failed" { Ok(pod) } else { Err(pod["status"].to_string()) }
        });
        assert_eq!(pod["status"]["reason"], reason);
        let message = text(&pod["status"]["message"]);
        assert!(message.starts_with(&format!("Pod was rejected: {words}")), "{message}");
        space.event(reason, words);
        space.kubectl.run(&format!("get pod {name}")).printed(reason);
    }
}
