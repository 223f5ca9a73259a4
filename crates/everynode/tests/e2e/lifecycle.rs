//! Start, stop, crash and start again.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::harness::{
    Cluster, Directory, Kubectl, Options, Program, Waiting, condition, container, daemon_set, free_port, leftovers,
    name, poll, run,
};

const NODE: &str = "node-a";

/// A host-network exporter on a port of its own: pods keep running when everynode ends, are picked
/// up again, and are stopped by `down`, which leaves nothing. DS-H67
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

/// kill -9 in the middle of writes: whatever was answered with 201 is there afterwards, whole, and
/// revisions go on. DS-I45
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

/// Four writers at a time; the kill comes when thirty writes were acknowledged. Gives name and
/// revision of those.
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

/// The private containerd is watched over: killed, it comes back, and containers did not notice.
#[test]
fn a_killed_container_runtime_comes_back_and_pods_run_on() {
    let cluster = Cluster::start(Options::default());
    let space = cluster.space("runtime");
    space.kubectl.apply(daemon_set("kept", &["sleep"]));
    let before = space.rolled_out("kept").remove(0);
    let file = cluster.path("data/containerd/containerd.pid");
    let pid = std::fs::read_to_string(&file).unwrap().trim().parse().unwrap();
    rustix::process::kill_process(rustix::process::Pid::from_raw(pid).unwrap(), Signal::KILL).unwrap();
    let exec = format!("exec {} -- /testtool env PATH", name(&before));
    cluster.until("commands run in the container again", Duration::from_secs(40), || {
        let now = std::fs::read_to_string(&file).unwrap_or_default();
        let run = space.kubectl.run(&exec);
        if run.code == 0 && now.trim() != pid.to_string() { Ok(()) } else { Err(format!("process {now}, {run}")) }
    });
    let after = space.rolled_out("kept").remove(0);
    assert_eq!(after["metadata"]["uid"], before["metadata"]["uid"]);
    assert_eq!(container(&after, "main")["containerID"], container(&before, "main")["containerID"]);
}

/// A runtime that is there already is used, and `down` stops only what is ours in it.
#[test]
fn a_given_container_runtime_is_used_and_left_running() {
    let runtime = Cluster::start(Options::default());
    let socket = runtime.path("data/containerd/containerd.sock");
    assert_eq!(runtime.stop(Signal::TERM), Some(0)); // its containerd stays
    let directory = Directory::new();
    let path = |name: &str| directory.path().join(name).display().to_string();
    let kubeconfig = path("kubeconfig");
    let line = format!(
        "up --data-dir {} --listen 127.0.0.1:{} --kubeconfig {kubeconfig} --node-name guest --node-ip 127.0.0.1 \
         --cri-endpoint unix://{} --agent-listen 127.0.0.1:0 --kubelet-dir {} --log-dir {} --cgroup-root {}",
        path("data"),
        free_port(),
        socket.display(),
        path("kubelet"),
        path("log"),
        directory.path().file_name().unwrap().display(),
    );
    let arguments: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
    let _up = Program::start(&arguments, &directory.path().join("up.log"));
    let kubectl = Kubectl::new(&directory.path().join("kubeconfig"), "default");
    let set = daemon_set("guest", &["sleep"]).to_string();
    let applied = poll(Duration::from_secs(20), || {
        let applied = kubectl.input("apply -f -", &set);
        if applied.code == 0 { Ok(()) } else { Err(applied.to_string()) }
    });
    assert_eq!(applied, Ok(()));
    // A cluster without a node so far has nothing to roll out.
    let ready = poll(Duration::from_secs(30), || match kubectl.run("get ds guest -o jsonpath={.status.numberReady}") {
        outcome if outcome.stdout == "1" => Ok(()),
        _ => Err(kubectl.run("describe nodes,pods").to_string()),
    });
    assert_eq!(ready, Ok(()));
    run(&["down", "--data-dir", &path("data")], Duration::from_secs(60)).succeeded();
    let listed = std::process::Command::new("ctr")
        .arg("-a")
        .arg(&socket)
        .args(["-n", "k8s.io", "containers", "ls", "-q"])
        .output();
    let listed = listed.expect("run ctr");
    assert!(listed.status.success(), "the given containerd still answers: {listed:?}");
    assert_eq!(String::from_utf8_lossy(&listed.stdout), "", "our containers are gone");
}

/// DS-C80 and the command line's own verbs: what is applied is shown, explained and deleted.
#[test]
fn the_command_line_needs_no_kubectl() {
    let cluster = Cluster::shared();
    let space = cluster.space("no-kubectl");
    let file = cluster.path("no-kubectl.json");
    let mut set = daemon_set("own", &["sleep"]);
    std::fs::write(&file, set.to_string()).unwrap();
    let (kubeconfig, file_name) = (cluster.kubeconfig().display().to_string(), file.display().to_string());
    let verb = |words: &[&str]| {
        let connection = ["--kubeconfig", kubeconfig.as_str(), "--namespace", "no-kubectl"];
        run(&[words, &connection].concat(), Duration::from_secs(60))
    };
    verb(&["apply", "-f", &file_name, "--wait"]).printed("daemonset.apps/own created");
    verb(&["apply", "-f", &file_name]).printed("daemonset.apps/own unchanged");
    let status = verb(&["status", "-o", "json"]).succeeded().stdout;
    let status: Value = serde_json::from_str(&status).unwrap_or_else(|error| panic!("{error}: {status}"));
    let shown = status["daemonSets"].as_array().and_then(|all| all.iter().find(|set| set["name"] == "own"));
    assert_eq!(shown.map(|set| set["ready"].clone()), Some(json!(1)), "{status}");
    set["spec"]["template"]["spec"]["nodeSelector"] = json!({"no-such": "label"});
    std::fs::write(&file, set.to_string()).unwrap();
    verb(&["apply", "-f", &file_name]).printed("daemonset.apps/own configured");
    space.until("`why` says why not", || {
        let why = verb(&["why", "own"]);
        if why.stdout.contains("no-such") { Ok(()) } else { Err(why.to_string()) }
    });
    verb(&["delete", "-f", &file_name]).printed("daemonset.apps/own deleted");
    verb(&["delete", "-f", &file_name]).failed_with("not found");
}

/// Installers rename a configuration into its directory; containerd 1.6 does not notice that by
/// itself. While there is none, the node says so, its pods stay ready, and a pod whose network
/// cannot be taken down says what fails.
#[test]
fn a_network_configuration_that_is_renamed_into_place_is_noticed() {
    let cluster = Cluster::start(Options::default());
    let space = cluster.space("network");
    space.kubectl.apply(daemon_set("web", &["sleep"]));
    let before = space.rolled_out("web").remove(0);
    let (place, aside) = (cluster.path("data/cni/net.d/90-everynode.conflist"), cluster.path("90-everynode.conflist"));
    std::fs::rename(&place, &aside).unwrap();
    let limit = Duration::from_secs(60);
    let is_ready = |expected: &str| {
        cluster.until(&format!("the node is Ready={expected}"), limit, || {
            let node = cluster.api().object(&format!("/api/v1/nodes/{NODE}"))?;
            let ready = condition(&node, "Ready");
            if ready["status"] == expected { Ok(()) } else { Err(ready.to_string()) }
        });
    };
    is_ready("False");
    space.kubectl.ok(&format!("delete pod {} --wait=false", name(&before)));
    space.event("FailedKillPod", "KillPodSandboxError");
    std::fs::rename(&aside, &place).unwrap();
    is_ready("True");
    space.until("the pod went and has a successor", || {
        let pods = space.pods("web")?;
        let fits = pods.len() == 1 && pods[0]["metadata"]["uid"] != before["metadata"]["uid"];
        let ready = pods.first().is_some_and(|pod| condition(pod, "Ready")["status"] == "True");
        if fits && ready { Ok(()) } else { Err(format!("{} pods", pods.len())) }
    });
}

/// A network plugin that puts its configuration in place of ours is asked to take down what it has
/// not made, and leaves it. `down` looks for that itself.
#[test]
fn down_undoes_networks_of_pods_whose_plugin_was_replaced() {
    let cluster = Cluster::start(Options::default());
    let space = cluster.space("replaced");
    let mut set = daemon_set("web", &["sleep"]);
    set["spec"]["template"]["spec"]["containers"][0]["ports"] = json!([{"containerPort": 80, "hostPort": free_port()}]);
    space.kubectl.apply(set);
    let before = space.rolled_out("web").remove(0);
    let ids = pods_with_addresses(&cluster);
    assert!(!ids.is_empty() && traces(&ids).len() >= 3, "rules and results: {:?}", traces(&ids));

    let place = cluster.path("data/cni/net.d");
    let ours = std::fs::read_to_string(place.join("90-everynode.conflist")).unwrap();
    let mut other: Value = serde_json::from_str(&ours).unwrap();
    other["name"] = "other".into();
    other["plugins"][0]["ipam"]["dataDir"] = json!(cluster.path("data/other-ipam"));
    std::fs::write(place.join("10-other.conflist"), other.to_string()).unwrap();
    std::fs::remove_file(place.join("90-everynode.conflist")).unwrap();
    space.until("a pod has an address of the other plugin", || {
        let took = cluster.path("data/other-ipam/other").exists();
        if took {
            return Ok(());
        }
        for pod in space.pods("web")? {
            space.kubectl.run(&format!("delete pod {} --wait=false", name(&pod)));
        }
        Err("not yet".into())
    });
    space.until("the first pod is gone", || {
        let pods = space.pods("web")?;
        let gone = pods.iter().all(|pod| pod["metadata"]["uid"] != before["metadata"]["uid"]);
        if gone { Ok(()) } else { Err(format!("{} pods", pods.len())) }
    });
    assert!(!traces(&ids).is_empty(), "the other plugin knows nothing of the first pod: it is left to `down`");
    std::mem::forget(space);
    down(&cluster);
    assert_eq!(traces(&ids), Vec::<String>::new());
    assert_eq!(pods_with_addresses(&cluster), Vec::<String>::new());
    down(&cluster);
}

/// Of the pods that have addresses of our network.
fn pods_with_addresses(cluster: &Cluster) -> Vec<String> {
    let pool = cluster.path("data/containerd/cni/ipam/everynode");
    let files = std::fs::read_dir(pool).into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path()));
    let texts = files.filter_map(|file| std::fs::read_to_string(file).ok());
    // The last address is noted there, too.
    texts.filter_map(|text| Some(text.lines().next()?.to_owned())).filter(|id| id.len() == 64).collect()
}

/// Rules and results of these pods.
fn traces(ids: &[String]) -> Vec<String> {
    let saved = std::process::Command::new("iptables-save").args(["-t", "nat"]).output().expect("run iptables-save");
    let saved = String::from_utf8_lossy(&saved.stdout).into_owned();
    let results = std::fs::read_dir("/var/lib/cni/results").into_iter().flatten();
    let results = results.filter_map(|entry| Some(entry.ok()?.file_name().to_string_lossy().into_owned()));
    let all = saved.lines().map(str::to_owned).chain(results);
    all.filter(|line| ids.iter().any(|id| line.contains(id))).collect()
}
