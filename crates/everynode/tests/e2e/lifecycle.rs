//! Start, stop, crash and start again.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::harness::{Cluster, Options, Waiting, container, free_port, leftovers, name, poll, run};

const NODE: &str = "node-a";

/// A host-network exporter on a port of its own: pods keep running when everynode ends, are picked up again, and are
/// stopped by `down`, which leaves nothing. DS-H67, DS-G01
#[test]
fn a_node_service_outlives_everynode_and_down_removes_it() {
    let cluster = Cluster::start(Options::default());
    assert_says_where_things_are(&cluster);

    let port = free_port();
    let manifest = cluster.example("node-exporter.yaml").replace("9100", &port.to_string());
    let file = cluster.path("exporter.yaml");
    std::fs::write(&file, manifest).unwrap();
    // Without kubectl: the binary's own verbs.
    let kubeconfig = cluster.kubeconfig().display().to_string();
    let file = file.display().to_string();
    let applied = run(&["apply", "--kubeconfig", &kubeconfig, "-f", &file, "--wait"], Duration::from_secs(60));
    applied.printed("daemonset.apps/node-exporter created");
    let space = cluster.at("monitoring");
    let before = space.rolled_out("node-exporter").remove(0);
    cluster.until("the exporter serves the machine's metrics", Duration::from_secs(10), || metrics(port));
    run(&["status", "--kubeconfig", &kubeconfig], Duration::from_secs(10)).printed("node-exporter");

    a_second_up_is_refused(&cluster);
    for signal in [Signal::INT, Signal::TERM] {
        assert_eq!(cluster.stop(signal), Some(0), "{}", cluster.log());
        metrics(port).expect("the pod still runs");
        cluster.up();
        cluster.node_ready(NODE);
        cluster.until("the pod is picked up", Duration::from_secs(20), || {
            same_pod(&space.pods("node-exporter")?, &before)
        });
    }
    cluster.stop(Signal::KILL);
    cluster.up();
    cluster.node_ready(NODE);
    cluster.until("the pod is picked up after a crash", Duration::from_secs(20), || {
        same_pod(&space.pods("node-exporter")?, &before)
    });
    metrics(port).expect("the pod still runs");
    std::mem::forget(space);

    down(&cluster);
    assert!(metrics(port).is_err(), "the exporter still answers");
    down(&cluster); // twice is fine
}

fn assert_says_where_things_are(cluster: &Cluster) {
    let log = cluster.log();
    let kubeconfig = cluster.kubeconfig().display().to_string();
    for words in ["https://127.0.0.1:", kubeconfig.as_str(), NODE] {
        assert!(log.contains(words), "`up` should say {words:?}:\n{log}");
    }
    let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(cluster.kubeconfig()).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600, "the kubeconfig holds a key");
}

fn a_second_up_is_refused(cluster: &Cluster) {
    let arguments = cluster.arguments();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let second = run(&arguments, Duration::from_secs(20)).failed_with("is in use by process");
    assert_eq!(second.code, 3, "{second}");
    let data = cluster.path("data").display().to_string();
    assert!(second.stderr.contains(&data), "it should name the directory: {second}");
}

fn down(cluster: &Cluster) {
    let data = cluster.path("data").display().to_string();
    run(&["down", "--data-dir", &data], Duration::from_secs(60)).succeeded();
    let left = poll(Duration::from_secs(5), || {
        let left = leftovers(cluster.directory(), &cluster.cgroup_root(NODE));
        if left.is_empty() { Ok(()) } else { Err(left.join("\n")) }
    });
    assert_eq!(left, Ok(()), "`down` left something");
}

/// The exporter's answer over the host's port.
fn metrics(port: u16) -> Waiting<()> {
    let url = format!("http://127.0.0.1:{port}/metrics");
    let output = std::process::Command::new("curl").args(["-sS", "-m", "5", &url]).output().expect("run curl");
    let text = String::from_utf8_lossy(&output.stdout);
    if text.contains("\nnode_load1 ") && text.contains("\nnode_memory_MemTotal_bytes ") {
        Ok(())
    } else {
        Err(format!("{url}: {} bytes, {}", text.len(), String::from_utf8_lossy(&output.stderr)))
    }
}

fn same_pod(pods: &[Value], before: &Value) -> Waiting<()> {
    let [pod] = pods else { return Err(format!("{} pods", pods.len())) };
    assert_eq!(pod["metadata"]["uid"], before["metadata"]["uid"], "another pod took its place");
    let (now, then) = (container(pod, "node-exporter"), container(before, "node-exporter"));
    assert_eq!(now["containerID"], then["containerID"], "the container was replaced");
    assert_eq!(now["restartCount"], 0, "the container was restarted");
    if now["ready"] == true { Ok(()) } else { Err(format!("{} is not ready: {now}", name(pod))) }
}

/// kill -9 in the middle of writes: whatever was answered with 201 is there afterwards, whole, and revisions go on. DS-I45
#[test]
fn nothing_acknowledged_is_lost_when_everynode_is_killed() {
    let cluster = Cluster::start(Options { server_only: true, ..Options::default() });
    let mut written = Vec::new();
    for round in 0..3 {
        written.extend(write_until_killed(&cluster, round));
        cluster.up();
        let kept = cluster.api().items("/api/v1/namespaces/default/configmaps").expect("the list");
        for (name, revision) in &written {
            let found = kept.iter().find(|object| object["metadata"]["name"] == name.as_str());
            let found = found.unwrap_or_else(|| panic!("{name} was acknowledged and is lost"));
            assert_eq!(found["data"]["name"], name.as_str());
            assert_eq!(found["metadata"]["resourceVersion"], revision.as_str());
        }
    }
    let revisions: Vec<u64> = written.iter().map(|(_, revision)| revision.parse().unwrap()).collect();
    let mut once = revisions.clone();
    once.sort_unstable();
    once.dedup();
    assert_eq!(once.len(), revisions.len(), "a revision was given out twice");
}

/// Four writers at a time; the kill comes when thirty writes were acknowledged. Gives name and revision of those.
fn write_until_killed(cluster: &Cluster, round: usize) -> Vec<(String, String)> {
    let killed = AtomicBool::new(false);
    let (report, acknowledged) = std::sync::mpsc::channel();
    std::thread::scope(|scope| {
        for writer in 0..4 {
            let (report, killed) = (report.clone(), &killed);
            scope.spawn(move || {
                for number in 0.. {
                    if killed.load(Ordering::Relaxed) {
                        return;
                    }
                    let name = format!("round-{round}-{writer}-{number}");
                    let body = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"name": name}});
                    let answer = cluster.api().post("/api/v1/namespaces/default/configmaps", &body);
                    if answer.code == 201 {
                        let revision = answer.body["metadata"]["resourceVersion"].as_str().unwrap().to_owned();
                        report.send((name, revision)).unwrap();
                    }
                }
            });
        }
        drop(report);
        let mut all: Vec<_> =
            (0..30).map(|_| acknowledged.recv_timeout(Duration::from_secs(20)).expect("writes go on")).collect();
        cluster.stop(Signal::KILL);
        killed.store(true, Ordering::Relaxed);
        all.extend(acknowledged.iter());
        all
    })
}
