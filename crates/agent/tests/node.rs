//! What a node says of itself to a server that is away for a while, in simulated time.

mod support;

use std::sync::Arc;
use std::time::Duration;

use everynode_agent::cri::FakeRuntime;
use everynode_agent::node::machine::Machine;
use everynode_agent::node::{NodeObject, NodeReporter};
use everynode_api::kinds;
use everynode_api::meta::Key;
use everynode_runtime::Env;
use everynode_runtime::testing::{Fault, MemoryApi, RequestFault};
use serde_json::{Value, json};
use support::fakes::{TokioClock, config};
use tokio::sync::watch;

fn ready(api: &MemoryApi) -> Value {
    let node = api.get(&kinds::NODE, &Key::cluster("n1")).expect("the node is registered");
    let conditions = node["status"]["conditions"].as_array().cloned().unwrap_or_default();
    conditions.into_iter().find(|condition| condition["type"] == "Ready").unwrap_or_default()["status"].clone()
}

/// What node lifecycle does to a node that is silent (DS-G03).
fn declare_lost(api: &MemoryApi) {
    let mut node = api.get(&kinds::NODE, &Key::cluster("n1")).expect("the node is registered");
    for condition in node["status"]["conditions"].as_array_mut().expect("it has reported") {
        condition["status"] = json!("Unknown");
    }
    api.put(&kinds::NODE, node);
}

/// The documented way to advertise a resource that no plugin does: `kubectl patch node
/// --subresource=status`.
#[tokio::test(start_paused = true)]
async fn what_others_put_into_the_capacity_becomes_allocatable() {
    let directory = tempfile::tempdir().unwrap();
    let clock = TokioClock::new();
    let api = MemoryApi::new(Env::simulated(1, "2026-01-01T00:00:00Z".parse().unwrap()));
    let runtime = Arc::new(FakeRuntime::new(clock.clone()));
    let machine = Machine::measure(directory.path(), 110);
    let config = Arc::new(config(directory.path(), "n1"));
    let object = NodeObject::new(Arc::new(api.clone()), &config, &machine);
    let reporter = NodeReporter::new(config, Arc::new(api.clone()), runtime, clock, machine, object, 10250);
    let (stop, stopped) = watch::channel(false);
    let reporting = tokio::spawn(async move { reporter.run(stopped).await });
    let node = || api.get(&kinds::NODE, &Key::cluster("n1")).expect("the node is registered");
    tokio::time::sleep(Duration::from_secs(5)).await;
    let mut patched = node();
    patched["status"]["capacity"]["example.com/dongle"] = json!("4");
    api.put(&kinds::NODE, patched);
    tokio::time::sleep(Duration::from_secs(45)).await;
    assert_eq!(node()["status"]["allocatable"]["example.com/dongle"], "4");
    assert_eq!(node()["status"]["allocatable"]["pods"], "110");
    let mut patched = node();
    patched["status"]["capacity"].as_object_mut().unwrap().remove("example.com/dongle");
    api.put(&kinds::NODE, patched);
    tokio::time::sleep(Duration::from_secs(45)).await;
    assert_eq!(node()["status"]["allocatable"]["example.com/dongle"], Value::Null);
    stop.send(true).unwrap();
    reporting.await.unwrap();
}

/// A reporter that runs until it is dropped, with a fake runtime and a server in memory.
struct World {
    api: MemoryApi,
    runtime: Arc<FakeRuntime>,
    stop: watch::Sender<bool>,
    reporting: tokio::task::JoinHandle<()>,
    _directory: tempfile::TempDir,
}

fn world() -> World {
    let directory = tempfile::tempdir().unwrap();
    let clock = TokioClock::new();
    let api = MemoryApi::new(Env::simulated(1, "2026-01-01T00:00:00Z".parse().unwrap()));
    let runtime = Arc::new(FakeRuntime::new(clock.clone()));
    let machine = Machine::measure(directory.path(), 110);
    let config = Arc::new(config(directory.path(), "n1"));
    let object = NodeObject::new(Arc::new(api.clone()), &config, &machine);
    let reporter = NodeReporter::new(config, Arc::new(api.clone()), runtime.clone(), clock, machine, object, 10250);
    let (stop, stopped) = watch::channel(false);
    let reporting = tokio::spawn(async move { reporter.run(stopped).await });
    World { api, runtime, stop, reporting, _directory: directory }
}

/// DS-G03, DS-H61: a runtime that hangs does not keep the server from hearing of its node, and that
/// is not ready then.
#[tokio::test(start_paused = true)]
async fn a_runtime_that_hangs_is_reported_and_the_lease_is_renewed() {
    let world = world();
    let renewals = || {
        let is = |line: &&String| line.contains("leases");
        world.api.requests().iter().filter(is).count()
    };
    tokio::time::sleep(Duration::from_secs(35)).await;
    world.runtime.hang(true);
    tokio::time::sleep(Duration::from_secs(15)).await;
    assert_eq!(ready(&world.api), "True", "a hiccup is none of the cluster's business");
    tokio::time::sleep(Duration::from_secs(45)).await;
    let node = world.api.get(&kinds::NODE, &Key::cluster("n1")).unwrap();
    assert_eq!(ready(&world.api), "False");
    assert!(node["status"]["conditions"].to_string().contains("container runtime is down"), "{node}");
    assert_eq!(node["status"]["nodeInfo"]["containerRuntimeVersion"], "fake://1", "what is known stays");
    let before = renewals();
    tokio::time::sleep(Duration::from_secs(120)).await;
    assert!(renewals() - before >= 8, "{} renewals in two minutes", renewals() - before);
    world.runtime.hang(false);
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!(ready(&world.api), "True");
    world.stop.send(true).unwrap();
    world.reporting.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_node_that_was_cut_off_says_at_once_that_it_is_well() {
    // DS-G01, DS-G03: its own status has not changed, so nothing but the silence tells it that the
    // server's has.
    let World { api, stop, reporting, _directory, .. } = world();
    tokio::time::sleep(Duration::from_secs(35)).await;
    assert_eq!(ready(&api), "True");
    let posts = |api: &MemoryApi| api.requests().iter().filter(|line| line.starts_with("patch nodes")).count();
    let before = posts(&api);
    tokio::time::sleep(Duration::from_secs(100)).await;
    assert_eq!(posts(&api), before, "a node that is heard of says nothing twice");

    api.fault(Fault { verb: "", kind: None, times: usize::MAX, trouble: RequestFault::Unreachable });
    tokio::time::sleep(Duration::from_secs(60)).await;
    declare_lost(&api);
    api.heal();
    tokio::time::sleep(Duration::from_secs(11)).await;
    assert_eq!(ready(&api), "True");
    stop.send(true).unwrap();
    reporting.await.unwrap();
}

/// The server was begun empty under a running agent: neither node nor lease is there, and no name
/// is taken.
#[tokio::test(start_paused = true)]
async fn a_node_registers_at_once_with_a_server_that_was_begun_anew() {
    let directory = tempfile::tempdir().unwrap();
    let clock = TokioClock::new();
    let api = MemoryApi::new(Env::simulated(1, "2026-01-01T00:00:00Z".parse().unwrap()));
    let runtime = Arc::new(FakeRuntime::new(clock.clone()));
    let machine = Machine::measure(directory.path(), 110);
    let config = Arc::new(config(directory.path(), "n1"));
    let object = NodeObject::new(Arc::new(api.clone()), &config, &machine);
    let reporter = NodeReporter::new(config, Arc::new(api.clone()), runtime, clock, machine, object, 10250);
    let (stop, stopped) = watch::channel(false);
    let reporting = tokio::spawn(async move { reporter.run(stopped).await });
    tokio::time::sleep(Duration::from_secs(35)).await;
    let lease = Key::new("kube-node-lease", "n1");
    let owner =
        |api: &MemoryApi| api.get(&kinds::LEASE, &lease).unwrap()["metadata"]["ownerReferences"][0]["uid"].clone();
    let uid = |api: &MemoryApi| api.get(&kinds::NODE, &Key::cluster("n1")).unwrap()["metadata"]["uid"].clone();
    let before = uid(&api);
    assert_eq!(owner(&api), before);
    assert!(api.remove(&kinds::NODE, &Key::cluster("n1")) && api.remove(&kinds::LEASE, &lease));
    tokio::time::sleep(Duration::from_secs(11)).await;
    assert_ne!(uid(&api), before);
    assert_eq!(owner(&api), uid(&api), "a lease of the node that is there");
    assert_eq!(ready(&api), "True");
    stop.send(true).unwrap();
    reporting.await.unwrap();
}
