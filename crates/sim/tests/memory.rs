//! What the controllers' cache keeps of a pod: under 4 KB (issue 3), counted at the allocator. A
//! test binary of its own, since the allocator counts for the whole process.

use std::alloc::System;

use everynode_api::kinds::{self, Kind};
use everynode_api::reconcile::Reconciler;
use everynode_api::view::{Item, View};
use everynode_daemonset::{DaemonSetController, DaemonSetMemory, Options};
use jiff::Timestamp;
use serde_json::{Value, json};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const PODS: usize = 2_000;
const BYTES_MAX: usize = 4_096;

fn put(view: &mut View, kind: Kind, object: &Value) {
    view.upsert(&kind, Item::parse(&kind, object.to_string().as_bytes()).unwrap());
}

fn template() -> Value {
    let limits = json!({ "cpu": "200m", "memory": "200Mi" });
    json!({
        "metadata": { "labels": { "app": "collector", "tier": "node" } },
        "spec": {
            "hostNetwork": true, "serviceAccountName": "collector", "priorityClassName": "system-node-critical",
            "tolerations": [{ "key": "node-role.kubernetes.io/control-plane", "operator": "Exists", "effect": "NoSchedule" }],
            "containers": [{
                "name": "collector", "image": "registry.example/collector:1.2.3",
                "resources": { "requests": { "cpu": "100m", "memory": "100Mi" }, "limits": limits },
                "env": [{ "name": "NODE_NAME", "valueFrom": { "fieldRef": { "fieldPath": "spec.nodeName" } } }],
                "ports": [{ "name": "metrics", "containerPort": 9100, "hostPort": 9100, "protocol": "TCP" }],
                "volumeMounts": [{ "name": "logs", "mountPath": "/var/log", "readOnly": true }],
            }],
            "volumes": [{ "name": "logs", "hostPath": { "path": "/var/log" } }],
        },
    })
}

fn set() -> Value {
    json!({
        "metadata": { "name": "collector", "namespace": "agents", "uid": "9f0c2f5e-6a4b-4c1f-8f43-0d7f4e1c9a11", "generation": 1 },
        "spec": { "selector": { "matchLabels": { "app": "collector" } }, "template": template() },
    })
}

fn node(number: usize) -> Value {
    json!({
        "metadata": { "name": format!("rack-{:02}-node-{number:05}", number % 40), "uid": format!("{number:036}") },
        "status": { "conditions": [{ "type": "Ready", "status": "True" }] },
    })
}

/// As it stands in the store when it runs: what a controller, the server and an agent have written.
fn pod(number: usize, node: &str) -> Value {
    let mut spec = template()["spec"].clone();
    let exists = |key: &str, effect: &str| json!({ "key": key, "operator": "Exists", "effect": effect });
    for (key, effect) in [
        ("not-ready", "NoExecute"),
        ("unreachable", "NoExecute"),
        ("disk-pressure", "NoSchedule"),
        ("memory-pressure", "NoSchedule"),
        ("pid-pressure", "NoSchedule"),
        ("unschedulable", "NoSchedule"),
        ("network-unavailable", "NoSchedule"),
    ] {
        let toleration = exists(&format!("node.kubernetes.io/{key}"), effect);
        spec["tolerations"].as_array_mut().unwrap().push(toleration);
    }
    let pin = json!([{ "matchFields": [{ "key": "metadata.name", "operator": "In", "values": [node] }] }]);
    spec["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"] = pin;
    spec["nodeName"] = node.into();
    let time = "2026-11-25T22:30:00Z";
    let condition = |kind: &str| json!({ "type": kind, "status": "True", "lastTransitionTime": time });
    let kinds = ["PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled"];
    json!({
        "metadata": {
            "name": format!("collector-{number:010}"), "namespace": "agents", "uid": format!("1{number:035}"),
            "resourceVersion": (1000 + number).to_string(), "creationTimestamp": time, "generateName": "collector-",
            "labels": { "app": "collector", "tier": "node", "controller-revision-hash": "5d8c7b9f4", "pod-template-generation": "1" },
            "ownerReferences": [{ "apiVersion": "apps/v1", "kind": "DaemonSet", "name": "collector",
                                  "uid": set()["metadata"]["uid"], "controller": true, "blockOwnerDeletion": true }],
        },
        "spec": spec,
        "status": {
            "phase": "Running", "podIP": "10.0.0.7", "startTime": time, "containerStatuses": [{ "name": "collector", "ready": true }],
            "conditions": kinds.map(condition),
        },
    })
}

#[test]
fn a_pod_in_the_cache_takes_less_than_4_kb() {
    let mut view = View::default();
    put(&mut view, kinds::DAEMON_SET, &set());
    let nodes: Vec<Value> = (0..PODS).map(node).collect();
    nodes.iter().for_each(|node| put(&mut view, kinds::NODE, node));
    let name = |node: &Value| node["metadata"]["name"].as_str().unwrap().to_owned();
    let pods: Vec<Value> = nodes.iter().enumerate().map(|(number, node)| pod(number, &name(node))).collect();

    let region = Region::new(ALLOCATOR);
    pods.iter().for_each(|pod| put(&mut view, kinds::POD, pod));
    let kept = |region: &Region<'_, System>| {
        let change = region.change();
        (change.bytes_allocated - change.bytes_deallocated) / PODS
    };
    let in_view = kept(&region);
    // What the plan remembers of each node and pod comes on top.
    let controller = DaemonSetController::new(Options::default());
    let key = controller.all(&view).remove(0);
    let now: Timestamp = "2026-11-25T23:00:00Z".parse().unwrap();
    let memory = {
        let seen = controller.gather(&view, &key).unwrap();
        controller.plan(&seen, &DaemonSetMemory::default(), now).memory
    };
    let all = kept(&region);
    println!("{in_view} bytes of a pod in the view, {} in the plan's memory", all - in_view);
    assert!(in_view > 500 && all > in_view, "something is not counted: {in_view}, {all}");
    assert!(all < BYTES_MAX, "{in_view} bytes of a pod in the view, {} in the plan's memory", all - in_view);
    drop(memory);
}
