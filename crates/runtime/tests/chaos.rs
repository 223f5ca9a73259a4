//! Many seeds of trouble: whatever the server and the network do, when it stops every node has
//! exactly one pod, and before that a controller never doubles by its own doing.

mod common;

use std::collections::BTreeMap;
use std::time::Duration;

use common::{Cluster, Running, node};
use everynode_api::kinds::{self, Kind};
use everynode_api::meta::Key;
use everynode_api::status::Status;
use everynode_runtime::Options;
use everynode_runtime::testing::{Fault, RequestFault, Spread};
use serde_json::Value;

const NODES: u64 = 6;
const STEPS: usize = 60;
const SEEDS: u64 = 150;
const KINDS: [Kind; 3] = [kinds::POD, kinds::NODE, kinds::DAEMON_SET];

/// Requests that are carried out long after they were given up, and a second controller with other
/// views: names that all controllers compute alike make doubles rare, and they do not last.
#[test]
fn trouble_always_ends() {
    for_each_seed(Names::Computed);
}

/// Without them, reading its own writes protects a controller from itself.
#[test]
fn own_writes_are_read_before_the_next_plan() {
    for_each_seed(Names::FromServer);
}

#[derive(Clone, Copy, PartialEq)]
enum Names {
    Computed,
    FromServer,
}

impl Names {
    /// How many live pods a node may have at the worst moment.
    fn most(self) -> usize {
        match self {
            Names::Computed => 2,
            Names::FromServer => 1,
        }
    }
}

fn for_each_seed(names: Names) {
    for seed in 0..SEEDS {
        let runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = { runtime }.enable_all().start_paused(true).build().unwrap();
        runtime.block_on(run(seed, names));
    }
}

async fn run(seed: u64, names: Names) {
    let cluster = Cluster::seeded(seed, NODES as usize);
    // Two controllers with different views answer each other's status writes; that takes time.
    cluster.api.set_latency(Duration::from_millis(5));
    let twin = (names == Names::Computed && seed.is_multiple_of(3)).then(|| cluster.twin());
    let spread = Spread { generate_names: names == Names::FromServer, ..Spread::default() };
    let cluster = cluster.run(spread, Options::default()).await;
    let twin = match twin {
        Some(twin) => Some(twin.run(Spread::default(), Options::default()).await),
        None => None,
    };
    for step in 0..STEPS {
        make_trouble(&cluster, names);
        let pause = Duration::from_millis(cluster.env.random() % 700);
        cluster.env.sleep(pause).await;
        let most = live_pods(&cluster).into_values().max().unwrap_or(0);
        assert!(most <= names.most(), "seed {seed}, step {step}: {most} live pods on one node");
    }
    cluster.api.heal();
    for _ in 0..3 {
        cluster.env.sleep(Duration::from_secs(60)).await;
        end_terminating(&cluster);
    }
    cluster.settle().await;
    let nodes = cluster.api.list(&kinds::NODE).len();
    let pods = live_pods(&cluster);
    assert_eq!((pods.len(), pods.values().sum::<usize>()), (nodes, nodes), "seed {seed}: {pods:?}");
    assert_eq!(cluster.set()["status"]["numberReady"], nodes, "seed {seed}");
    cluster.stop().await;
    if let Some(twin) = twin {
        twin.stop().await;
    }
}

fn make_trouble(cluster: &Running, names: Names) {
    let dice = |sides: u64| cluster.env.random() % sides;
    let name = format!("n{}", dice(NODES));
    let kind = KINDS[dice(3) as usize].clone();
    match dice(12) {
        0 | 1 => drop(cluster.api.put(&kinds::NODE, node(&name))),
        2 => drop(cluster.api.remove(&kinds::NODE, &Key::cluster(&name))),
        3 => cluster.api.drop_watches(),
        4 => cluster.api.compact(),
        5 => cluster.api.hold_watches(&kind),
        6 => KINDS.iter().for_each(|kind| cluster.api.release_watches(kind)),
        7 => end_terminating(cluster),
        8 => cluster.api.bookmark(),
        _ => cluster.api.fault(Fault {
            verb: ["create", "patch", "delete", "get", "list", "watch"][dice(6) as usize],
            kind: None,
            times: 1 + dice(4) as usize,
            trouble: trouble(dice(5 + u64::from(names == Names::Computed)), Duration::from_millis(dice(3000))),
        }),
    }
}

fn trouble(which: u64, time: Duration) -> RequestFault {
    match which {
        0 => RequestFault::Unreachable,
        1 => RequestFault::LoseRequest,
        2 => RequestFault::LoseAnswer,
        3 => RequestFault::Delay(time),
        4 => RequestFault::Refuse(Box::new(Status::too_many_requests("later", 1))),
        _ => RequestFault::Late(time),
    }
}

/// As a kubelet does when the containers have stopped.
fn end_terminating(cluster: &Running) {
    for pod in cluster.api.list(&kinds::POD).iter().filter(|pod| is_terminating(pod)) {
        let name = pod["metadata"]["name"].as_str().unwrap_or_default();
        cluster.api.remove(&kinds::POD, &Key::new("x", name));
    }
}

fn is_terminating(pod: &Value) -> bool {
    pod["metadata"]["deletionTimestamp"].is_string()
}

/// How many live pods each node has; nodes that are gone count too while they have some.
fn live_pods(cluster: &Running) -> BTreeMap<String, usize> {
    let mut count = BTreeMap::new();
    for pod in cluster.api.list(&kinds::POD).iter().filter(|pod| !is_terminating(pod)) {
        let node = pod["spec"]["nodeName"].as_str().unwrap_or_default();
        *count.entry(node.to_owned()).or_default() += 1;
    }
    count
}
