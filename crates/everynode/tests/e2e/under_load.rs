//! Rollouts over three machines while a client asks their pods all the time; the server is killed,
//! a machine is cut off.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::{Cluster, Link, Options, Space, condition, container, daemon_set, text, while_asking};

const NODES: [&str; 3] = ["node-1", "node-2", "node-3"];
/// The first in a rollout's order: it is in its way.
const CUT: &str = "node-1";
const PORT: u16 = 8080;
const LIMIT: Duration = Duration::from_secs(90);

fn image(number: usize) -> String {
    format!("localhost/everynode/testtool:{number}")
}

/// A web server that is ready when it answers.
fn web(image: &str, rolling: Value) -> Value {
    let mut set = daemon_set("web", &["http", "--port", "8080", "--body", "here"]);
    set["spec"]["updateStrategy"] = json!({"type": "RollingUpdate", "rollingUpdate": rolling});
    let main = &mut set["spec"]["template"]["spec"]["containers"][0];
    main["image"] = json!(image);
    main["readinessProbe"] = json!({"httpGet": {"path": "/", "port": PORT}, "periodSeconds": 1});
    set
}

fn in_place() -> Value {
    json!({"maxUnavailable": 1, "maxSurge": 0})
}

/// One story, since the machines are dear: each has a containerd of its own.
#[test]
fn rollouts_keep_their_promise_under_load_crashes_and_cuts() {
    let cluster = Cluster::start(Options { server_only: true, more: "--node-monitor-grace 12s", ..Options::default() });
    let link = Link::to(cluster.port());
    for node in NODES {
        cluster.join_by(node, if node == CUT { link.port } else { cluster.port() });
    }
    for node in NODES {
        cluster.node_ready(node);
        cluster.import_images(node);
    }
    let space = cluster.space("under-load");
    space.kubectl.apply(web(&image(1), in_place()));
    space.rolled_out("web");

    an_update_takes_one_node_at_a_time(&cluster, &space);
    a_bad_image_takes_one_node_and_is_undone(&cluster, &space);
    a_surge_takes_none(&cluster, &space);
    crashes_of_the_server_change_nothing(&cluster, &space);
    a_machine_that_is_cut_off_is_caught_up(&cluster, &space, &link);
}

/// Exactly one pod for each machine, all of this image.
fn one_pod_per_node(pods: &[Value], image: &str) {
    let mut nodes: Vec<&str> = pods.iter().map(|pod| text(&pod["spec"]["nodeName"])).collect();
    nodes.sort_unstable();
    assert_eq!(nodes, NODES);
    for pod in pods {
        assert_eq!(text(&pod["spec"]["containers"][0]["image"]), image);
    }
}

fn rolled_out_to(cluster: &Cluster, space: &Space<'_>, image: &str) {
    cluster.until(&format!("everything runs {image}"), LIMIT, || {
        let pods = space.pods("web")?;
        let other = pods.iter().find(|pod| text(&pod["spec"]["containers"][0]["image"]) != image);
        other.map_or(Ok(()), |pod| Err(format!("{} does not", pod["metadata"]["name"])))
    });
    one_pod_per_node(&space.rolled_out("web"), image);
}

/// DS-D12, DS-D14, DS-D15
fn an_update_takes_one_node_at_a_time(cluster: &Cluster, space: &Space<'_>) {
    let asked = while_asking(space, "web", &NODES, PORT, || {
        space.kubectl.apply(web(&image(2), in_place()));
        rolled_out_to(cluster, space, &image(2));
    });
    assert!(asked.together.is_empty(), "maxUnavailable 1, and at the same time there were down: {:?}", asked.together);
    // An outage that fits between two of its questions it does not see; three such in a row would
    // mean that it is blind.
    assert!(!asked.down.is_empty(), "the client sees an outage where there is one: {asked:?}");
}

/// DS-D12, DS-D13, DS-D49: the rollout stops at the first node; the two others never notice.
fn a_bad_image_takes_one_node_and_is_undone(cluster: &Cluster, space: &Space<'_>) {
    let before = space.rolled_out("web");
    let asked = while_asking(space, "web", &NODES, PORT, || {
        space.kubectl.apply(web("localhost/everynode/no-such-image:1", in_place()));
        space.pod_that("web", "waits for its image", |pod| {
            text(&container(pod, "main")["state"]["waiting"]["reason"]).contains("ImagePull")
        });
        space.kubectl.run("rollout undo daemonset/web").printed("rolled back");
        rolled_out_to(cluster, space, &image(2));
    });
    assert_eq!(asked.down.len(), 1, "{asked:?}");
    let after = space.rolled_out("web");
    let uid = |pod: &Value| text(&pod["metadata"]["uid"]).to_owned();
    let kept = after.iter().filter(|pod| before.iter().any(|old| uid(old) == uid(pod))).count();
    assert_eq!(kept, 2, "going back restarts nothing that is right already");
}

/// DS-D20 to DS-D26
fn a_surge_takes_none(cluster: &Cluster, space: &Space<'_>) {
    let asked = while_asking(space, "web", &NODES, PORT, || {
        space.kubectl.apply(web(&image(1), json!({"maxUnavailable": 0, "maxSurge": 1})));
        rolled_out_to(cluster, space, &image(1));
    });
    assert!(asked.down.is_empty() && asked.answers > NODES.len(), "{asked:?}");
}

/// DS-K14: killed three times at arbitrary moments, in the middle of a rollout.
fn crashes_of_the_server_change_nothing(cluster: &Cluster, space: &Space<'_>) {
    let mut moments = Moments::new();
    let asked = while_asking(space, "web", &NODES, PORT, || {
        space.kubectl.apply(web(&image(2), in_place()));
        for _ in 0..3 {
            moments.pass();
            cluster.crash();
            never_two_on_a_node(&space.pods("web").expect("the API is back"));
        }
        rolled_out_to(cluster, space, &image(2));
    });
    assert!(asked.together.is_empty(), "{asked:?}, {moments:?}");
}

fn never_two_on_a_node(pods: &[Value]) {
    let mut live: BTreeMap<&str, usize> = BTreeMap::new();
    for pod in pods.iter().filter(|pod| pod["metadata"]["deletionTimestamp"].is_null()) {
        *live.entry(text(&pod["spec"]["nodeName"])).or_default() += 1;
    }
    assert!(live.values().all(|count| *count == 1), "{live:?}");
}

/// DS-D16, DS-G03, DS-G06, DS-K05: the others are updated without it; it serves on meanwhile, and
/// is caught up.
fn a_machine_that_is_cut_off_is_caught_up(cluster: &Cluster, space: &Space<'_>, link: &Link) {
    link.cut();
    let asked = while_asking(space, "web", &[CUT], PORT, || {
        space.kubectl.apply(web(&image(1), in_place()));
        let updated = |node: &str, pods: &[Value]| {
            let here = |pod: &&Value| text(&pod["spec"]["nodeName"]) == node;
            let mut here = pods.iter().filter(here);
            here.any(|pod| {
                text(&pod["spec"]["containers"][0]["image"]) == image(1) && condition(pod, "Ready")["status"] == "True"
            })
        };
        cluster.until("the two others are updated", LIMIT, || {
            let pods = space.pods("web")?;
            if NODES[1..].iter().all(|node| updated(node, &pods)) {
                Ok(())
            } else {
                Err(format!("{} pods", pods.len()))
            }
        });
        let node = cluster.api().object(&format!("/api/v1/nodes/{CUT}")).unwrap();
        assert_eq!(condition(&node, "Ready")["status"], "Unknown", "it is silent while the others are updated");
    });
    assert!(asked.down.is_empty(), "a pod does not need the server to serve: {asked:?}");
    link.mend();
    cluster.node_ready(CUT);
    rolled_out_to(cluster, space, &image(1));
}

/// Moments without a pattern; those of a run that failed are printed with it.
#[derive(Debug)]
struct Moments {
    state: u64,
    passed: Vec<Duration>,
}

impl Moments {
    fn new() -> Moments {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        Moments { state: now.map_or(1, |now| now.as_nanos() as u64) | 1, passed: Vec::new() }
    }

    /// Waits for up to two seconds: about the time that one node takes.
    fn pass(&mut self) {
        self.state = self.state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let moment = Duration::from_millis((self.state >> 33) % 2_000);
        self.passed.push(moment);
        std::thread::sleep(moment);
    }
}
