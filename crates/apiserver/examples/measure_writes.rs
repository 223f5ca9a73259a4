//! How long the life of many daemon pods takes in process, on a memory store: no sockets, no disk.
//!
//! `cargo run -p everynode-apiserver --example measure_writes -- [PODS]` prints microseconds per
//! pod and step.

use std::sync::Arc;
use std::time::Instant;

use everynode_api::kinds::{POD, SERVICE_ACCOUNT};
use everynode_api::ports::{Api, PatchType, Preconditions, Request, Target};
use everynode_apiserver::{ApiServer, Config, User};
use everynode_store::MemoryStore;
use serde_json::{Value, json};

fn daemon_pod(index: usize) -> Value {
    let owner = json!([{"apiVersion": "apps/v1", "kind": "DaemonSet", "name": "web", "uid": "u1", "controller": true,
                        "blockOwnerDeletion": true}]);
    let term =
        json!({"matchFields": [{"key": "metadata.name", "operator": "In", "values": [format!("node-{index}")]}]});
    let tolerations: Vec<Value> =
        ["not-ready", "unreachable", "disk-pressure", "memory-pressure", "pid-pressure", "unschedulable"]
            .iter()
            .map(|key| {
                let effect = if key.starts_with("not") || key.starts_with("unr") { "NoExecute" } else { "NoSchedule" };
                json!({"key": format!("node.kubernetes.io/{key}"), "operator": "Exists", "effect": effect})
            })
            .collect();
    json!({"apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": format!("web-{index}"), "ownerReferences": owner,
                     "labels": {"app": "web", "controller-revision-hash": "abc"}},
        "spec": {"tolerations": tolerations,
            "affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [term]}}},
            "containers": [{"name": "main", "image": "x:1", "resources": {"requests": {"cpu": "10m", "memory": "32Mi"}}}]}})
}

fn request(step: usize, index: usize) -> Request {
    let target = Target::new(POD, "default", &format!("web-{index}"));
    match step {
        0 => Request::Create { target, body: daemon_pod(index) },
        1 => {
            let body = json!({"target": {"kind": "Node", "name": format!("node-{index}")}});
            Request::Create { target: target.subresource("binding"), body }
        }
        2 => {
            let conditions =
                json!([{"type": "Ready", "status": "True"}, {"type": "ContainersReady", "status": "True"}]);
            let body = json!({"status": {"phase": "Running", "podIP": "10.0.0.1", "conditions": conditions}});
            let preconditions = Preconditions::default();
            Request::Patch { target: target.subresource("status"), patch: PatchType::Strategic, body, preconditions }
        }
        _ => Request::Delete {
            target,
            preconditions: Preconditions::default(),
            grace_period_seconds: Some(0),
            propagation: None,
        },
    }
}

async fn step(client: &Arc<dyn Api>, step: usize, pods: usize) {
    let started = Instant::now();
    let mut tasks = tokio::task::JoinSet::new();
    for index in 0..pods {
        // As the driver does: at most 64 writes in flight.
        if tasks.len() >= 64 {
            let _ = tasks.join_next().await;
        }
        let client = client.clone();
        tasks.spawn(async move { client.call(request(step, index)).await.expect("the request failed") });
    }
    tasks.join_all().await;
    let name = ["create", "bind", "status", "delete"][step];
    println!("{name:8} {:8.1} µs per pod", started.elapsed().as_secs_f64() * 1e6 / pods as f64);
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let pods = std::env::args().nth(1).and_then(|text| text.parse().ok()).unwrap_or(1000);
    let directory = std::env::temp_dir().join(format!("everynode-measure-{}", std::process::id()));
    let server = ApiServer::new(Arc::new(MemoryStore::new()), Config::new(directory.clone())).await?;
    let client = server.client(User::internal("measure"));
    let account = json!({"metadata": {"name": "default"}});
    client.call(Request::Create { target: Target::new(SERVICE_ACCOUNT, "default", ""), body: account }).await?;
    for index in 0..4 {
        step(&client, index, pods).await;
    }
    std::fs::remove_dir_all(directory)?;
    Ok(())
}
