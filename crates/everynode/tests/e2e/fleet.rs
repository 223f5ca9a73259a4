//! A control plane and machines that join it: each played by an agent with its own containerd,
//! directories and network.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::{Cluster, Options, Space, condition, container, daemon_set, free_port, name, poll, text};

const LIMIT: Duration = Duration::from_secs(60);

/// The nodes that have a pod of the set, sorted; terminating pods do not count.
fn nodes(space: &Space<'_>, set: &str) -> Vec<String> {
    let pods = space.pods(set).unwrap_or_default();
    let live = pods.iter().filter(|pod| pod["metadata"]["deletionTimestamp"].is_null());
    let mut nodes: Vec<String> = live.map(|pod| text(&pod["spec"]["nodeName"]).to_owned()).collect();
    nodes.sort();
    nodes
}

/// Waits until the set runs, ready, on exactly these nodes.
fn runs_on(cluster: &Cluster, space: &Space<'_>, set: &str, expected: &[&str]) {
    cluster.until(&format!("{set} runs on {expected:?}"), LIMIT, || {
        let status = space.object(&format!("daemonsets/{set}"))?["status"].clone();
        let (found, pods) = (nodes(space, set), space.pods(set)?.len());
        let ready = status["numberReady"].as_u64() == Some(expected.len() as u64);
        let desired = status["desiredNumberScheduled"].as_u64() == Some(expected.len() as u64);
        if found == expected && pods == expected.len() && ready && desired {
            Ok(())
        } else {
            Err(format!("{found:?} of {pods} pods, {status}"))
        }
    });
}

fn with_image(mut set: Value, image: &str) -> Value {
    set["spec"]["template"]["spec"]["containers"][0]["image"] = json!(image);
    set
}

/// One story, since nodes are shared by all that happens on them.
#[test]
fn nodes_join_are_labelled_tainted_updated_and_leave() {
    let cluster = Cluster::start(Options { server_only: true, ..Options::default() });
    let space = cluster.space("fleet");
    space.kubectl.apply(daemon_set("agent", &["sleep"]));
    cluster.until("without nodes nothing is desired", LIMIT, || {
        let status = space.object("daemonsets/agent")?["status"].clone();
        if status["observedGeneration"] == 1 && status["desiredNumberScheduled"] == 0 {
            Ok(())
        } else {
            Err(status.to_string())
        }
    });
    a_node_that_joins_gets_its_pods(&cluster, &space);
    a_node_selector_follows_a_label(&cluster, &space);
    a_control_plane_taint_needs_a_toleration(&cluster, &space);
    an_update_proceeds_one_node_at_a_time(&cluster, &space);
    agents_serve_logs_and_exec(&space);
    an_agent_may_touch_its_own_node_only(&cluster, &space);
    a_node_that_leaves_takes_its_pods_along(&cluster, &space);
}

/// DS-F12, DS-G01, DS-G14: pods are there as soon as the node is Ready.
fn a_node_that_joins_gets_its_pods(cluster: &Cluster, space: &Space<'_>) {
    for (node, all) in [("node-1", vec!["node-1"]), ("node-2", vec!["node-1", "node-2"])] {
        cluster.join(node);
        cluster.node_ready(node);
        cluster.until(&format!("{node} has its pod"), LIMIT, || {
            let found = nodes(space, "agent");
            if found == all { Ok(()) } else { Err(format!("{found:?}")) }
        });
        cluster.import_images(node);
        runs_on(cluster, space, "agent", &all);
    }
    let node = cluster.api().object("/api/v1/nodes/node-2").unwrap();
    let labels = &node["metadata"]["labels"];
    assert_eq!(labels["kubernetes.io/hostname"], "node-2");
    assert_eq!((&labels["kubernetes.io/os"], &labels["beta.kubernetes.io/os"]), (&json!("linux"), &json!("linux")));
    assert!(
        labels["kubernetes.io/arch"].is_string() && labels["kubernetes.io/arch"] == labels["beta.kubernetes.io/arch"]
    );
    let lease = cluster.api().object("/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/node-2").unwrap();
    assert_eq!(
        (&lease["spec"]["holderIdentity"], &lease["spec"]["leaseDurationSeconds"]),
        (&json!("node-2"), &json!(40))
    );
    assert_eq!(lease["metadata"]["ownerReferences"][0]["uid"], node["metadata"]["uid"]);
}

/// DS-B10, DS-C24, DS-F14
fn a_node_selector_follows_a_label(cluster: &Cluster, space: &Space<'_>) {
    let mut set = daemon_set("gpu", &["sleep"]);
    set["spec"]["template"]["spec"]["nodeSelector"] = json!({"gpu": "yes"});
    space.kubectl.apply(set);
    runs_on(cluster, space, "gpu", &[]);
    space.kubectl.ok("label node node-2 gpu=yes");
    runs_on(cluster, space, "gpu", &["node-2"]);
    space.kubectl.ok("label node node-2 gpu=no --overwrite");
    runs_on(cluster, space, "gpu", &[]);
    space.kubectl.ok("delete daemonset gpu --wait=false");
}

/// DS-B20, DS-K01: a taint keeps new pods away unless tolerated; those that run stay. NoExecute
/// removes them (DS-G08).
fn a_control_plane_taint_needs_a_toleration(cluster: &Cluster, space: &Space<'_>) {
    space.kubectl.ok("taint node node-1 node-role.kubernetes.io/control-plane=:NoSchedule");
    space.kubectl.apply(daemon_set("plain", &["sleep"]));
    let mut set = daemon_set("tolerant", &["sleep"]);
    set["spec"]["template"]["spec"]["tolerations"] =
        json!([{"key": "node-role.kubernetes.io/control-plane", "operator": "Exists", "effect": "NoSchedule"}]);
    space.kubectl.apply(set);
    runs_on(cluster, space, "plain", &["node-2"]);
    runs_on(cluster, space, "tolerant", &["node-1", "node-2"]);
    assert_eq!(nodes(space, "agent"), ["node-1", "node-2"], "a pod that ran before the taint stays");
    space.kubectl.ok("taint node node-1 node-role.kubernetes.io/control-plane:NoSchedule-");
    runs_on(cluster, space, "plain", &["node-1", "node-2"]);

    space.kubectl.ok("taint node node-2 maintenance=now:NoExecute");
    runs_on(cluster, space, "plain", &["node-1"]);
    space.kubectl.ok("taint node node-2 maintenance-");
    runs_on(cluster, space, "plain", &["node-1", "node-2"]);
    space.kubectl.ok("delete daemonset plain tolerant --wait=false");
}

/// DS-D12, DS-D14: maxUnavailable 1: the second node waits until the first has its new pod, which a
/// bad image never has.
fn an_update_proceeds_one_node_at_a_time(cluster: &Cluster, space: &Space<'_>) {
    runs_on(cluster, space, "agent", &["node-1", "node-2"]);
    let first = space.rolled_out("agent");
    space.kubectl.apply(with_image(daemon_set("agent", &["sleep"]), "localhost/everynode/no-such-image:1"));
    space.until("one node has the bad image", || {
        let pods = space.pods("agent")?;
        let waits = |pod: &&Value| {
            text(&pod["status"]["containerStatuses"][0]["state"]["waiting"]["reason"]).contains("ImagePull")
        };
        if pods.iter().any(|pod| waits(&pod)) { Ok(()) } else { Err(format!("{} pods", pods.len())) }
    });
    let pods = space.pods("agent").unwrap();
    let kept: Vec<&Value> =
        pods.iter().filter(|pod| first.iter().any(|old| old["metadata"]["uid"] == pod["metadata"]["uid"])).collect();
    assert_eq!(kept.len(), 1, "the other node keeps its pod");
    let survivor = kept[0]["metadata"]["uid"].clone();

    space.kubectl.ok("rollout undo daemonset/agent");
    let pods = space.rolled_out("agent");
    assert!(pods.iter().any(|pod| pod["metadata"]["uid"] == survivor), "undo restarts nothing that is right already");

    space.kubectl.apply(with_image(daemon_set("agent", &["sleep"]), "localhost/everynode/testtool:2"));
    let mut seen_both_missing = false;
    cluster.until("the update is through", LIMIT, || {
        let status = space.object("daemonsets/agent")?["status"].clone();
        seen_both_missing |= status["numberAvailable"].as_u64().unwrap_or(0) == 0;
        let done = status["updatedNumberScheduled"] == 2
            && status["numberAvailable"] == 2
            && status["observedGeneration"] == 4;
        if done { Ok(()) } else { Err(status.to_string()) }
    });
    assert!(!seen_both_missing, "maxUnavailable 1 of 2 was exceeded");
}

/// DS-H53: through the API server to the right agent.
fn agents_serve_logs_and_exec(space: &Space<'_>) {
    for pod in space.rolled_out("agent") {
        let node = text(&pod["spec"]["nodeName"]).to_owned();
        let printed = space.kubectl.ok(&format!("exec {} -- /testtool cat /proc/sys/kernel/hostname", name(&pod)));
        assert_eq!(printed.trim(), name(&pod), "on {node}");
        space.kubectl.ok(&format!("logs {}", name(&pod)));
    }
}

/// The node's own credentials: its own node and pods, nothing else.
fn an_agent_may_touch_its_own_node_only(cluster: &Cluster, space: &Space<'_>) {
    let agent = space.kubectl.kubeconfig(&kubeconfig_of_agent(cluster, "node-1"));
    agent.run("get node node-1 -o name").printed("node/node-1");
    agent.run("label node node-2 stolen=yes").failed_with("orbidden");
    agent.run("get secrets -A").failed_with("orbidden");
    agent.run("delete daemonset agent").failed_with("orbidden");
}

/// What the agent got when it joined, in the form that kubectl reads.
fn kubeconfig_of_agent(cluster: &Cluster, node: &str) -> PathBuf {
    let directory = cluster.path(node).join("agent");
    let text = std::fs::read_to_string(directory.join("credentials.json")).expect("the agent keeps its credentials");
    let credentials: Value = serde_json::from_str(&text).unwrap();
    let file = |name: &str, field: &str| {
        let file = directory.join(name);
        std::fs::write(&file, self::text(&credentials[field])).unwrap();
        file
    };
    let config = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "c",
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
        "clusters": [{"name": "c", "cluster": {"server": credentials["server"], "certificate-authority": file("ca.pem", "ca")}}],
        "users": [{"name": "u", "user": {
            "client-certificate": file("cert.pem", "certificate"), "client-key": file("key.pem", "key")}}],
    });
    let path = directory.join("kubeconfig");
    std::fs::write(&path, config.to_string()).unwrap();
    path
}

/// DS-G06, DS-G10, DS-K24: its pods go, the others stay, the set counts the nodes that are left,
/// and an event tells of it.
fn a_node_that_leaves_takes_its_pods_along(cluster: &Cluster, space: &Space<'_>) {
    cluster.kill_agent("node-2");
    space.kubectl.ok("delete node node-2");
    runs_on(cluster, space, "agent", &["node-1"]);
    cluster.until("an event tells of it", LIMIT, || {
        let events = cluster.api().items("/api/v1/namespaces/default/events")?;
        let told = |event: &Value| {
            event["reason"] == "RemovingNode"
                && event["message"] == "Node node-2 event: Removing Node node-2 from Controller"
        };
        if events.iter().any(told) { Ok(()) } else { Err(format!("{} events", events.len())) }
    });
}

/// DS-G03, DS-G05, DS-G06, DS-H67: pods do not need the server, and not even their agent, to go on.
#[test]
fn a_fleet_outlives_its_server_and_its_agents() {
    let cluster = Cluster::start(Options { server_only: true, more: "--node-monitor-grace 12s", ..Options::default() });
    cluster.join("node-1");
    cluster.node_ready("node-1");
    cluster.import_images("node-1");
    let space = cluster.space("losses");
    let port = free_port();
    let mut set = daemon_set("web", &["http", "--port", "8080", "--body", "here"]);
    set["spec"]["template"]["spec"]["containers"][0]["ports"] = json!([{"containerPort": 8080, "hostPort": port}]);
    space.kubectl.apply(set);
    let pod = space.rolled_out("web").remove(0);
    let answers = |path: &str| {
        let url = format!("http://127.0.0.1:{port}{path}");
        let output = Command::new("curl").args(["-sS", "-m", "3", &url]).output().expect("run curl");
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    a_crash_without_a_server_is_repaired(&cluster, &answers);
    cluster.up();
    cluster.until("the restart is told", LIMIT, || {
        let now = space.pods("web")?.remove(0);
        assert_eq!(now["metadata"]["uid"], pod["metadata"]["uid"]);
        let status = container(&now, "main");
        let done = status["restartCount"] == 1 && status["ready"] == true;
        if done { Ok(()) } else { Err(status.to_string()) }
    });

    cluster.kill_agent("node-1");
    cluster.until("the node is lost", LIMIT, || {
        let node = cluster.api().object("/api/v1/nodes/node-1")?;
        let taints = node["spec"]["taints"].to_string();
        let lost =
            condition(&node, "Ready")["status"] == "Unknown" && taints.contains("node.kubernetes.io/unreachable");
        if lost { Ok(()) } else { Err(format!("{taints} {}", condition(&node, "Ready"))) }
    });
    assert_eq!(answers("/"), "here", "the pod runs on without its agent");
    cluster.start_agent("node-1");
    cluster.node_ready("node-1");
    let back = space.rolled_out("web").remove(0);
    assert_eq!(back["metadata"]["uid"], pod["metadata"]["uid"], "a daemon pod outlives the loss of its node's agent");
    assert_eq!(container(&back, "main")["restartCount"], 1);
}

fn a_crash_without_a_server_is_repaired(cluster: &Cluster, answers: &dyn Fn(&str) -> String) {
    cluster.stop(rustix::process::Signal::KILL);
    answers("/exit/3");
    let repaired = poll(LIMIT, || match answers("/") {
        text if text == "here" => Ok(()),
        text => Err(format!("it answers {text:?}")),
    });
    assert_eq!(repaired, Ok(()), "the agent restarts containers without its server");
}
