//! How long a pass takes: `cargo run --release -p everynode-daemonset --example measure`.
//!
//! Issue 3 asks for under 3 ms on 5,000 nodes, and for a ratio of at most 11 to 500 nodes.

#![allow(clippy::disallowed_methods, reason = "this measures time")]

use std::time::Instant;

use everynode_api::kinds;
use everynode_api::reconcile::Reconciler;
use everynode_api::view::{Item, View};
use everynode_daemonset::{Bind, DaemonSetController, Memory, Options};
use jiff::Timestamp;
use serde_json::{Value, json};

const ROUNDS: usize = 21;

fn set(image: &str, selector: Value) -> Value {
    json!({
        "metadata": { "name": "web", "namespace": "x", "uid": "u", "generation": 1, "resourceVersion": "1" },
        "spec": {
            "selector": { "matchLabels": { "app": "web" } },
            "updateStrategy": { "type": "RollingUpdate", "rollingUpdate": { "maxUnavailable": 1 } },
            "template": {
                "metadata": { "labels": { "app": "web" } },
                "spec": {
                    "nodeSelector": selector,
                    "containers": [{ "name": "main", "image": image, "resources": { "requests": { "cpu": "10m" } } }],
                },
            },
        },
    })
}

fn node(name: &str) -> Value {
    let labels = json!({ "kubernetes.io/hostname": name, "kubernetes.io/os": "linux", "kubernetes.io/arch": "amd64" });
    json!({
        "metadata": { "name": name, "uid": name, "labels": labels, "creationTimestamp": "2026-01-01T00:00:00Z" },
        "status": {
            "allocatable": { "cpu": "4", "memory": "8Gi", "pods": "110" },
            "conditions": [{ "type": "MemoryPressure", "status": "False" }, { "type": "Ready", "status": "True" }],
        },
    })
}

fn pod(node: &str, hash: &str) -> Value {
    json!({
        "metadata": {
            "name": format!("web-{node}"), "namespace": "x", "uid": format!("pod-{node}"), "resourceVersion": "2",
            "labels": { "app": "web", "controller-revision-hash": hash }, "creationTimestamp": "2026-01-02T00:00:00Z",
            "ownerReferences": [{ "kind": "DaemonSet", "name": "web", "uid": "u", "controller": true }],
        },
        "spec": { "nodeName": node, "containers": [{ "name": "main" }] },
        "status": {
            "phase": "Running", "startTime": "2026-01-02T00:00:00Z", "containerStatuses": [{}],
            "conditions": [{ "type": "Initialized", "status": "True" }, { "type": "Ready", "status": "True",
                             "lastTransitionTime": "2026-01-02T00:00:00Z" }],
        },
    })
}

fn view(nodes: usize, set: Value, hash: Option<&str>) -> View {
    let mut view = View::default();
    let mut put = |kind, value: Value| {
        view.upsert(&kind, Item::parse(&kind, value.to_string().as_bytes()).expect("it parses"));
    };
    let data = json!({ "spec": { "template": set["spec"]["template"] } });
    let labels = json!({ "app": "web", "controller-revision-hash": "h" });
    let owner = json!([{ "kind": "DaemonSet", "name": "web", "uid": "u", "controller": true }]);
    let metadata = json!({ "name": "web-h", "namespace": "x", "uid": "r", "labels": labels, "ownerReferences": owner });
    put(kinds::CONTROLLER_REVISION, json!({ "metadata": metadata, "data": data, "revision": 1 }));
    put(kinds::DAEMON_SET, set);
    for number in 0..nodes {
        let name = format!("node-{number:05}");
        put(kinds::NODE, node(&name));
        if let Some(hash) = hash {
            put(kinds::POD, pod(&name, hash));
        }
    }
    view
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

fn measure(what: &str, nodes: usize, options: Options, view: &View) {
    let controller = DaemonSetController::new(options);
    let now: Timestamp = "2026-02-01T00:00:00Z".parse().expect("a time");
    let key = controller.all(view).remove(0);
    let mut memory = Memory::default();
    let (mut gathered, mut planned, mut actions) = (Vec::new(), Vec::new(), 0);
    for _ in 0..ROUNDS {
        let start = Instant::now();
        let seen = controller.see(view, &key).expect("the set");
        gathered.push(start.elapsed().as_secs_f64() * 1e3);
        let start = Instant::now();
        let plan = controller.plan(&seen, &memory, now);
        planned.push(start.elapsed().as_secs_f64() * 1e3);
        actions = plan.actions.len();
        memory = plan.memory;
    }
    let (see, plan) = (median(gathered), median(planned));
    println!("{what:24} {nodes:5} nodes: see {see:6.3} ms, plan {plan:6.3} ms, {actions} actions");
}

fn main() {
    for nodes in [500, 5000] {
        measure("steady", nodes, Options::default(), &view(nodes, set("i", json!({})), Some("h")));
        measure("rolling", nodes, Options::default(), &view(nodes, set("i", json!({})), Some("old")));
        measure("selects no node", nodes, Options::default(), &view(nodes, set("i", json!({ "disk": "x" })), None));
        measure("all missing", nodes, Options::default(), &view(nodes, set("i", json!({})), None));
        let bind = Options { bind: Bind::WhereFits, ..Options::default() };
        measure("all missing, bound", nodes, bind, &view(nodes, set("i", json!({})), None));
    }
}
