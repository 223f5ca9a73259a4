//! Emptying nodes, by every kubectl that is here: what stays, what goes, what it is held up by.
//! Nodes are simulated.

use std::io::{BufRead, BufReader, Read};
use std::process::Stdio;
use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::{Cluster, Kubectl, Options, Program, Space, daemon_set, name, newer_and_older, text};

const LIMIT: Duration = Duration::from_secs(60);

fn pod(name: &str, node: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": {"guard": name}},
        "spec": {"nodeName": node, "terminationGracePeriodSeconds": 1,
            "containers": [{"name": "main", "image": "localhost/everynode/testtool:1"}]},
    })
}

/// DS-G15 to DS-G22: each version has a node of its own; they work at the same time, since each has
/// to wait.
#[test]
fn every_kubectl_drains_a_node_and_waits_for_its_budget() {
    let cluster = Cluster::start(Options { server_only: true, ..Options::default() });
    let space = cluster.space("drain");
    let kubectls: Vec<Kubectl> = std::iter::once(space.kubectl.clone())
        .chain(newer_and_older().into_iter().map(|program| space.kubectl.program(&program)))
        .collect();
    let line = format!("hollow --nodes {} --kubeconfig {}", kubectls.len(), cluster.kubeconfig().display());
    let arguments: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
    let _nodes = Program::start(&arguments, &cluster.path("hollow.log"));
    space.kubectl.apply(daemon_set("agent", &["sleep"]));
    cluster.until("the set runs everywhere", LIMIT, || {
        let status = space.object("daemonsets/agent")?["status"].clone();
        if status["numberAvailable"] == kubectls.len() { Ok(()) } else { Err(status.to_string()) }
    });
    std::thread::scope(|scope| {
        for (number, kubectl) in kubectls.iter().enumerate() {
            let (cluster, space) = (&cluster, &space);
            scope.spawn(move || drain(cluster, space, kubectl, number));
        }
    });
}

fn drain(cluster: &Cluster, space: &Space<'_>, kubectl: &Kubectl, number: usize) {
    let node = format!("hollow-{number}");
    let [solo, scratch, guarded] = ["solo", "scratch", "guarded"].map(|name| format!("{name}-{number}"));
    let mut with_disk = pod(&scratch, &node);
    with_disk["spec"]["volumes"] = json!([{"name": "v", "emptyDir": {}}]);
    let budget = json!({
        "apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": guarded},
        "spec": {"minAvailable": 1, "selector": {"matchLabels": {"guard": guarded}}},
    });
    for object in [pod(&solo, &node), with_disk, pod(&guarded, &node), budget] {
        kubectl.apply(object);
    }
    cluster.until("the budget has counted its pod", LIMIT, || {
        let path = format!("/apis/policy/v1/namespaces/drain/poddisruptionbudgets/{guarded}");
        let status = cluster.api().object(&path)?["status"].clone();
        if status["currentHealthy"] == 1 { Ok(()) } else { Err(status.to_string()) }
    });
    let daemon = daemon_pod(space, &node);
    refused_whole(space, kubectl, &node, &daemon, [&solo, &scratch]);

    let mut child = kubectl
        .command(&format!("drain {node} --ignore-daemonsets --force --delete-emptydir-data --timeout=50s"))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("start kubectl");
    let mut said = String::new();
    let mut errors = BufReader::new(child.stderr.take().expect("it is piped"));
    // It says so again every five seconds, and ends with --timeout at the latest.
    let refusal = format!(
        "error when evicting pods/\"{guarded}\" -n \"drain\" (will retry after 5s): \
        Cannot evict pod as it would violate the pod's disruption budget."
    );
    while !said.contains(&refusal) {
        assert!(errors.read_line(&mut said).is_ok_and(|count| count > 0), "{kubectl:?} ended with\n{said}");
    }
    assert!(space.object(&format!("pods/{guarded}")).is_ok(), "the budget holds");
    kubectl.ok(&format!("delete poddisruptionbudget {guarded}"));
    errors.read_to_string(&mut said).expect("read on");
    let output = child.wait_with_output().expect("it ends");
    let printed = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{kubectl:?}: {printed}\n{said}");
    for pod in [&solo, &scratch, &guarded] {
        let told = printed.contains(&format!("evicting pod drain/{pod}"))
            || said.contains(&format!("evicting pod drain/{pod}"));
        assert!(told, "{kubectl:?}: {printed}\n{said}");
        assert!(space.object(&format!("pods/{pod}")).is_err(), "{pod} is gone");
    }
    assert!(printed.contains(&format!("node/{node} drained")), "{kubectl:?}: {printed}\n{said}");
    let left = format!("ignoring DaemonSet-managed Pods: drain/{}", name(&daemon));
    assert!(said.contains(&left), "{kubectl:?}: {said}");
    let now = daemon_pod(space, &node);
    assert_eq!(now["metadata"]["uid"], daemon["metadata"]["uid"], "the daemon pod was not touched");
    kubectl.run(&format!("uncordon {node}")).printed("uncordoned");
}

fn daemon_pod(space: &Space<'_>, node: &str) -> Value {
    let pods = space.pods("agent").expect("a list of pods");
    pods.into_iter().find(|pod| text(&pod["spec"]["nodeName"]) == node).expect("the node has its daemon pod")
}

/// DS-G16, DS-G17, DS-G19: without flags it names every obstacle, evicts nothing, and the node
/// stays cordoned.
fn refused_whole(space: &Space<'_>, kubectl: &Kubectl, node: &str, daemon: &Value, [solo, scratch]: [&String; 2]) {
    let refused = kubectl.run(&format!("drain {node}"));
    let daemon = name(daemon);
    for words in [
        format!("cannot delete DaemonSet-managed Pods (use --ignore-daemonsets to ignore): drain/{daemon}"),
        format!("cannot delete Pods with local storage (use --delete-emptydir-data to override): drain/{scratch}"),
        // 1.27 to 1.29 say "Pods declare", later ones "cannot delete Pods that declare".
        "declare no controller (use --force to override): drain/".to_owned(),
    ] {
        assert!(refused.code != 0 && refused.stderr.contains(&words), "{words:?} is not in {refused}");
    }
    for pod in [solo, scratch, &daemon] {
        let live = space.object(&format!("pods/{pod}")).expect("it is there");
        assert!(live["metadata"]["deletionTimestamp"].is_null(), "{pod} was evicted");
    }
    let cordoned = kubectl.ok(&format!("get node {node} -o jsonpath={{.spec.unschedulable}}"));
    assert_eq!(cordoned, "true");
}

/// DS-G18, DS-G22: a daemon pod that has ended goes in spite of the flag; one whose set is not
/// there needs --force. The node has no agent and the set no controller, so that what is written by
/// hand stays.
#[test]
fn a_drain_tells_ended_and_stray_daemon_pods_apart() {
    let cluster = Cluster::start(Options { server_only: true, ..Options::default() });
    let space = cluster.space("stray");
    space.takes_pods();
    space.kubectl.apply(json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "bare"}}));
    let mut set = daemon_set("agent", &["sleep"]);
    set["metadata"]["annotations"] = json!({"everynode.dev/class": "nobody"});
    space.kubectl.apply(set);
    let uid = space.object("daemonsets/agent").unwrap()["metadata"]["uid"].clone();
    let owned = |name: &str, owner: &str| {
        let mut pod = pod(name, "bare");
        pod["metadata"]["ownerReferences"] =
            json!([{"apiVersion": "apps/v1", "kind": "DaemonSet", "name": owner, "uid": uid, "controller": true}]);
        pod
    };
    space.kubectl.apply(owned("ended", "agent"));
    let words = ["patch", "pod", "ended", "--subresource=status", "-p", r#"{"status":{"phase":"Failed"}}"#];
    space.kubectl.words(&words).printed("patched");
    space.kubectl.apply(owned("kept", "agent"));
    space.kubectl.run("drain bare --ignore-daemonsets --timeout=20s").printed("node/bare drained");
    assert!(space.object("pods/ended").is_err(), "a pod that has ended is evicted");
    assert!(space.object("pods/kept").unwrap()["metadata"]["deletionTimestamp"].is_null());

    // kubectl asks for the set by name; garbage collection goes by uid.
    space.kubectl.apply(owned("stray", "gone"));
    let refused = space.kubectl.run("drain bare --ignore-daemonsets --timeout=20s");
    assert!(refused.code != 0 && refused.stderr.contains("daemonsets.apps \"gone\" not found"), "{refused}");
    let forced = space.kubectl.run("drain bare --ignore-daemonsets --force --grace-period=0 --timeout=20s").succeeded();
    assert!(forced.stdout.contains("evicting pod stray/stray"), "{forced}");
    assert!(space.object("pods/stray").is_err());
}
