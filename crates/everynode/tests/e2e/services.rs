//! The five kinds of node service, from `examples/`, each asked for what it is for. (The node
//! exporter is also in `lifecycle`.) Their pods run on a node with the standard directories where
//! the test run has its own (see `harness`).

use std::sync::LazyLock;

use serde_json::json;

use crate::harness::{COLLECTED, Cluster, Options, Space, daemon_set, name, text};

/// One node for all services, as on a real machine.
fn machine() -> &'static Cluster {
    static MACHINE: LazyLock<Cluster> =
        LazyLock::new(|| Cluster::start(Options { standard_paths: true, ..Options::default() }));
    &MACHINE
}

/// Applies an example and waits until its set runs.
fn install<'a>(file: &str, namespace: &str, set: &str) -> (Space<'a>, serde_json::Value) {
    let cluster = machine();
    cluster.kubectl("").apply(cluster.example(file));
    let space = cluster.at(namespace);
    let pod = space.rolled_out(set).remove(0);
    (space, pod)
}

fn uninstall(file: &str) {
    let cluster = machine();
    cluster.kubectl("").input("delete --wait=false --ignore-not-found -f -", &cluster.example(file)).succeeded();
}

/// DS-H50: log files and their links; the collector finds another pod's lines through them.
#[test]
fn a_log_collector_reads_other_pods_logs_from_the_host() {
    let (writers, writer) = install("log-writer.yaml", "default", "log-writer");
    let (logging, collector) = install("log-collector.yaml", "logging", "log-collector");
    let (writer, collector) = (name(&writer), name(&collector));
    let line = format!("{COLLECTED}{writer}_default_writer-");
    let log = logging.log_with(&collector, "log-collector", &line);
    let collected = log.lines().find(|found| found.contains(&line)).unwrap();
    assert!(collected.contains("node-a "), "the writer's own line: {collected}");
    logging.log_with(&collector, "log-collector", "https://kubernetes.default.svc:443/version answers 200");
    std::mem::forget(writers);
    uninstall("log-collector.yaml");
    uninstall("log-writer.yaml");
}

/// DS-H20, DS-H30: init containers in order, hostPath DirectoryOrCreate; the files are on the host,
/// and gone with the agent.
#[test]
fn a_network_plugin_puts_programs_and_a_configuration_on_the_host() {
    let cluster = machine();
    // The bridge of pods that start meanwhile; it stays when the plugin goes.
    std::fs::write(cluster.path("bridges"), "edge0\n").unwrap();
    let (space, pod) = install("network-plugin.yaml", "kube-system", "network-plugin");
    let programs = cluster.host_path("/opt/cni/bin");
    let configuration = cluster.host_path("/etc/cni/net.d").join("10-edge.conflist");
    for program in ["bridge", "host-local", "portmap", "loopback"] {
        let file = programs.join(program);
        let run = std::process::Command::new(&file).env("CNI_COMMAND", "VERSION").output();
        let output = run.unwrap_or_else(|error| panic!("{} does not run: {error}", file.display()));
        assert!(String::from_utf8_lossy(&output.stdout).contains("supportedVersions"), "{output:?}");
    }
    let written = std::fs::read_to_string(&configuration).expect("the configuration is on the host");
    assert!(written.contains("edge0"), "{written}");
    let states = pod["status"]["initContainerStatuses"].as_array().unwrap();
    let done = states.iter().all(|state| state["state"]["terminated"]["reason"] == "Completed");
    assert!(done && states.len() == 2, "{states:?}");

    space.kubectl.ok("delete daemonset network-plugin --wait=false");
    space.until("the configuration is taken away", || match configuration.exists() {
        true => Err(format!("{} is still there", configuration.display())),
        false => Ok(()),
    });
    std::mem::forget(space);
    uninstall("network-plugin.yaml");
}

/// DS-H32, DS-H38: what a privileged container mounts below a Bidirectional volume, the host and a
/// second pod see.
#[test]
fn a_storage_plugin_mounts_for_the_host_and_for_other_pods() {
    let cluster = machine();
    let (space, _pod) = install("storage-plugin.yaml", "storage", "storage-plugin");
    let kubelet = cluster.host_path("/var/lib/kubelet");
    let volume = kubelet.join("pods/csi-node-a/volume");
    space.until("the host sees the mount", || match std::fs::read_to_string(&volume) {
        Ok(content) if content.contains("published on node-a") => Ok(()),
        other => Err(format!("{}: {other:?}", volume.display())),
    });
    for socket in ["plugins/edge.everynode.dev/csi.sock", "plugins_registry/edge.everynode.dev-reg.sock"] {
        let path = kubelet.join(socket);
        space.until(&format!("{} is there", path.display()), || match path.exists() {
            true => Ok(()),
            false => Err("missing".to_owned()),
        });
    }
    let reader = cluster.space("volume-reader");
    let mut set = daemon_set("reader", &["wait-file", "/pods/csi-node-a/volume", "--timeout-seconds", "30"]);
    let pod = &mut set["spec"]["template"]["spec"];
    pod["volumes"] = json!([{"name": "pods", "hostPath": {"path": kubelet.join("pods")}}]);
    pod["initContainers"] = json!([{"name": "first", "image": "localhost/everynode/testtool:1",
        "args": ["cat", "/pods/csi-node-a/volume"],
        "volumeMounts": [{"name": "pods", "mountPath": "/pods", "mountPropagation": "HostToContainer"}]}]);
    pod["containers"][0]["args"] = json!(["sleep"]);
    reader.kubectl.apply(set);
    let pod = reader.rolled_out("reader").remove(0);
    reader.log_with(&name(&pod), "first", "published on node-a");

    space.kubectl.ok("delete daemonset storage-plugin --wait=false");
    space.until("the mount is gone from the host", || match volume.exists() {
        true => Err(format!("{} is still there", volume.display())),
        false => Ok(()),
    });
    std::mem::forget(space);
    uninstall("storage-plugin.yaml");
}

/// DS-H37, DS-H46: a read-only view of the host, and the API with the pod's own token.
#[test]
fn a_security_sensor_sees_the_host_and_asks_the_api() {
    let (space, pod) = install("security-sensor.yaml", "security", "security-sensor");
    let pod_name = name(&pod);
    let first = text(&pod["spec"]["containers"][0]["name"]);
    let log = space.log_with(&pod_name, first, "/api/v1/nodes/node-a answers 200");
    let seen =
        log.lines().find_map(|line| line.strip_prefix("sensor: ")?.split_once(" processes").map(|(count, _)| count));
    let seen: usize = seen.and_then(|count| count.parse().ok()).unwrap_or_else(|| panic!("{log}"));
    assert!(seen >= 5, "the host has more than {seen} processes");
    // Not writable, whatever the process may otherwise do.
    let write = space.kubectl.run(&format!("exec {pod_name} -- /testtool write /host/etc/everynode-was-here x"));
    write.failed_with("Read-only file system");
    // What its role does not allow, it may not.
    let secrets =
        space.kubectl.run(&format!("exec {pod_name} -- /testtool api-get /api/v1/namespaces/kube-system/secrets"));
    assert_ne!(secrets.code, 0, "{secrets}");
    assert!(secrets.stdout.contains("is forbidden"), "{secrets}");
    std::mem::forget(space);
    uninstall("security-sensor.yaml");
}

/// `https://kubernetes.default.svc`, verified against the mounted CA, from a pod with a network of
/// its own and from one on the host's; and the address in the environment. DS-H37, DS-H45
#[test]
fn pods_of_both_networks_reach_the_api_by_its_name() {
    let space = machine().space("in-cluster");
    for (set_name, host_network) in [("cni", false), ("host", true)] {
        let mut set = daemon_set(set_name, &["sleep"]);
        set["spec"]["template"]["spec"]["automountServiceAccountToken"] = json!(true);
        set["spec"]["template"]["spec"]["hostNetwork"] = json!(host_network);
        space.kubectl.apply(set);
    }
    for set in ["cni", "host"] {
        let pod = space.rolled_out(set).remove(0);
        for server in ["https://kubernetes.default.svc:443", "https://kubernetes.default:443", "env"] {
            let words = format!("exec {} -- /testtool api-get /version --server {server}", name(&pod));
            space.kubectl.run(&words).printed("gitVersion");
        }
    }
}

/// A pod's `hostPort` is reachable on the host, and its own address from another pod. DS-H46
#[test]
fn a_host_port_leads_to_a_pod_with_its_own_network() {
    let space = machine().space("host-port");
    let port = crate::harness::free_port();
    let mut set = daemon_set("web", &["http", "--port", "8080", "--body", "hello from the pod"]);
    set["spec"]["template"]["spec"]["containers"][0]["ports"] = json!([{"containerPort": 8080, "hostPort": port}]);
    space.kubectl.apply(set);
    let pod = space.rolled_out("web").remove(0);
    let ip = text(&pod["status"]["podIP"]).to_owned();
    for url in [format!("http://127.0.0.1:{port}/"), format!("http://{ip}:8080/")] {
        space.until(&format!("{url} answers"), || {
            let output = std::process::Command::new("curl").args(["-sS", "-m", "3", &url]).output().expect("run curl");
            let body = String::from_utf8_lossy(&output.stdout).into_owned();
            if body.contains("hello from the pod") { Ok(()) } else { Err(format!("{output:?}")) }
        });
    }
}
