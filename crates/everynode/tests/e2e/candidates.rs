//! `everynode controller`, twice, as a client of a server whose own controller leaves the sets of a
//! class alone: one leads, the other waits; with the rights of `deploy/controller.yaml` and no
//! others. Nodes are simulated.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::harness::{Cluster, Options, Program, Space, daemon_set, text};

const CLASS: &str = "trial";
const NODES: usize = 5;
/// A leader that is killed is succeeded when its lease has ended: 15 s.
const LIMIT: Duration = Duration::from_secs(60);

fn start(cluster: &Cluster, name: &str, line: &str) -> Program {
    let arguments: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
    Program::start(&arguments, &cluster.path(&format!("{name}.log")))
}

struct Candidates<'a> {
    cluster: &'a Cluster,
    kubeconfig: PathBuf,
    started: usize,
    running: Vec<(u32, Program)>,
}

impl Candidates<'_> {
    fn add(&mut self) {
        let line = format!("controller --kubeconfig {} --class {CLASS}", self.kubeconfig.display());
        let program = start(self.cluster, &format!("candidate-{}", self.started), &line);
        self.running.push((program.id(), program));
        self.started += 1;
    }

    /// The process that leads, other than `former`, by its own word; one that leads no longer ends.
    fn leader(&self, former: Option<u32>) -> u32 {
        self.cluster.until("a candidate leads", LIMIT, || {
            let leads = |(pid, program): &&(u32, Program)| {
                Some(*pid) != former && program.tail(100).contains("leading: everynode keeps the DaemonSets")
            };
            self.running.iter().find(leads).map(|(pid, _)| *pid).ok_or_else(|| "nobody".to_owned())
        })
    }

    fn take(&mut self, pid: u32) -> Program {
        let index = self.running.iter().position(|(running, _)| *running == pid).expect("it runs");
        self.running.remove(index).1
    }
}

/// DS-F19, DS-F20, DS-K14, DS-K27
#[test]
fn one_of_two_controllers_leads_and_the_other_takes_over() {
    let cluster = Cluster::start(Options { server_only: true, ..Options::default() });
    let hollow = format!("hollow --nodes {NODES} --ready 300ms --kubeconfig {}", cluster.kubeconfig().display());
    let _nodes = start(&cluster, "hollow", &hollow);
    let space = cluster.space("candidates");
    let kubeconfig = account(&cluster);
    let mut candidates = Candidates { cluster: &cluster, kubeconfig, started: 0, running: Vec::new() };
    candidates.add();
    candidates.add();
    // It has no say in rollouts.
    space.kubectl.apply(json!({
        "apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": "all"},
        "spec": {"maxUnavailable": 0, "selector": {"matchLabels": {"app": "web"}}},
    }));
    space.kubectl.apply(web("testtool:1"));
    runs_everywhere(&cluster, &space, "testtool:1");

    for (number, moment) in moments(2).into_iter().enumerate() {
        let image = format!("testtool:{}", number + 2);
        let leader = candidates.leader(None);
        space.kubectl.apply(web(&image));
        std::thread::sleep(moment);
        drop(candidates.take(leader));
        let next = candidates.leader(Some(leader));
        assert_ne!(next, leader);
        candidates.add();
        runs_everywhere(&cluster, &space, &image);
    }
    // One that stands still is succeeded, too. When it goes on, in the middle of what it was doing,
    // it learns that it does not lead any more before it has written anything, and ends as a
    // failure.
    let leader = candidates.leader(None);
    space.kubectl.apply(web("testtool:8"));
    std::thread::sleep(moments(1)[0]);
    let paused = candidates.take(leader);
    paused.signal(Signal::STOP);
    candidates.leader(Some(leader));
    space.kubectl.apply(web("testtool:7"));
    paused.signal(Signal::CONT);
    runs_everywhere(&cluster, &space, "testtool:7");
    assert_eq!(paused.wait(LIMIT), Some(1));
    candidates.add();
    // One that is asked to stop gives its lease up, and the next one need not wait.
    let last = candidates.leader(None);
    kill_process(Pid::from_raw(last as i32).expect("a process id"), Signal::TERM).expect("it runs");
    assert_ne!(candidates.leader(Some(last)), last);
    space.kubectl.apply(web("testtool:9"));
    runs_everywhere(&cluster, &space, "testtool:9");
}

fn web(image: &str) -> Value {
    let mut set = daemon_set("web", &["sleep"]);
    set["metadata"]["annotations"] = json!({"everynode.dev/class": CLASS});
    set["spec"]["template"]["spec"]["containers"][0]["image"] = json!(format!("localhost/everynode/{image}"));
    set
}

/// On the way to it, no node ever has two pods that are not ending.
fn runs_everywhere(cluster: &Cluster, space: &Space<'_>, image: &str) {
    cluster.until(&format!("{image} runs on every node, once"), LIMIT, || {
        let pods = space.pods("web")?;
        let mut live: BTreeMap<&str, Vec<&Value>> = BTreeMap::new();
        let bound =
            |pod: &&Value| pod["metadata"]["deletionTimestamp"].is_null() && pod["spec"]["nodeName"].is_string();
        for pod in pods.iter().filter(bound) {
            live.entry(text(&pod["spec"]["nodeName"])).or_default().push(pod);
        }
        assert!(live.values().all(|here| here.len() == 1), "two pods on a node: {live:#?}");
        let updated = |pod: &&Value| text(&pod["spec"]["containers"][0]["image"]).ends_with(image);
        let status = space.object("daemonsets/web")?["status"].clone();
        let done = pods.len() == NODES && pods.iter().all(|pod| updated(&pod)) && status["numberAvailable"] == NODES;
        if done { Ok(()) } else { Err(format!("{} pods, {status}", pods.len())) }
    });
}

/// A kubeconfig with a token of the service account of `deploy/controller.yaml`, whose role also
/// covers this class's lease, as docs/controller.md says.
fn account(cluster: &Cluster) -> PathBuf {
    let kubectl = cluster.kubectl("");
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/controller.yaml");
    let manifest = std::fs::read_to_string(manifest).expect("the manifest is there");
    let names = "resourceNames: [everynode-controller]";
    assert!(manifest.contains(names), "the role names its lease");
    kubectl.apply(
        manifest.replace(names, &format!("resourceNames: [everynode-controller, everynode-controller-{CLASS}]")),
    );
    let token = kubectl.ok("create token everynode-controller --namespace everynode --duration=1h");
    let text = std::fs::read_to_string(cluster.kubeconfig()).expect("the administrator's kubeconfig");
    let admin: Value = serde_saphyr::from_str(&text).expect("YAML");
    let config = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "c",
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
        "clusters": [{"name": "c", "cluster": admin["clusters"][0]["cluster"]}],
        "users": [{"name": "u", "user": {"token": token.trim()}}],
    });
    let path = cluster.path("controller.kubeconfig");
    std::fs::write(&path, config.to_string()).expect("write a kubeconfig");
    path
}

/// Moments within the second that a rollout begins with; they are arbitrary.
fn moments(count: usize) -> Vec<Duration> {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |now| now.subsec_nanos());
    (0..count as u32).map(|index| Duration::from_millis(u64::from(now.rotate_right(7 * index) % 1_000))).collect()
}
