//! What kubectl says of rollouts and sets, word for word. No nodes and no containers: the status of
//! a set whose class no controller has is written by hand, so that every stage can be looked at.

use std::io::{BufRead, BufReader, Read};
use std::process::Stdio;

use serde_json::{Value, json};

use crate::harness::{Cluster, Options, Space, daemon_set, newer_and_older};

fn control_plane() -> Cluster {
    Cluster::start(Options { server_only: true, ..Options::default() })
}

/// A set that every controller leaves alone.
fn unattended() -> Value {
    let mut set = daemon_set("web", &["sleep"]);
    set["metadata"]["annotations"] = json!({"everynode.dev/class": "nobody"});
    set
}

fn write_status(space: &Space<'_>, status: Value) {
    let patch = json!({"status": status}).to_string();
    space
        .kubectl
        .words(&["patch", "daemonset", "web", "--subresource=status", "--type=merge", "-p", &patch])
        .printed("patched");
}

/// DS-D60 to DS-D65
#[test]
fn rollout_status_prints_every_stage() {
    let cluster = control_plane();
    let space = cluster.space("stages");
    space.kubectl.apply(unattended());
    let mut child = space
        .kubectl
        .command("rollout status daemonset/web")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("start kubectl");
    let mut lines = BufReader::new(child.stdout.take().expect("it is piped"));
    let mut next = || {
        let mut line = String::new();
        lines.read_line(&mut line).expect("it prints");
        line.trim_end().to_owned()
    };
    assert_eq!(next(), "Waiting for daemon set spec update to be observed...");
    let status = |updated: u64, available: u64| {
        json!({"observedGeneration": 1, "desiredNumberScheduled": 3, "currentNumberScheduled": 3, "numberReady": 3,
            "updatedNumberScheduled": updated, "numberAvailable": available})
    };
    write_status(&space, status(1, 3));
    let waiting = "Waiting for daemon set \"web\" rollout to finish:";
    assert_eq!(next(), format!("{waiting} 1 out of 3 new pods have been updated..."));
    write_status(&space, status(3, 2));
    assert_eq!(next(), format!("{waiting} 2 of 3 updated pods are available..."));
    write_status(&space, status(3, 3));
    assert_eq!(next(), "daemon set \"web\" successfully rolled out");
    assert!(child.wait().expect("it ends").success());

    write_status(&space, status(1, 3));
    let mut child = space
        .kubectl
        .command("rollout status daemonset/web")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("start kubectl");
    let mut line = String::new();
    BufReader::new(child.stdout.take().expect("it is piped")).read_line(&mut line).expect("it prints");
    space.kubectl.ok("delete daemonset web");
    let mut said = String::new();
    child.stderr.take().expect("it is piped").read_to_string(&mut said).expect("it says why");
    assert!(!child.wait().expect("it ends").success() && said.contains("object has been deleted"), "{said}");

    let mut set = unattended();
    set["spec"]["updateStrategy"] = json!({"type": "OnDelete"});
    space.kubectl.apply(set);
    let refused = space.kubectl.run("rollout status daemonset/web");
    refused.failed_with("rollout status is only available for RollingUpdate strategy type");
}

/// DS-D03, DS-D66 to DS-D69, DS-D71: without a node there are revisions all the same. By kubectl,
/// and by everynode itself.
#[test]
fn history_and_undo_say_what_they_do() {
    let cluster = control_plane();
    let space = cluster.space("history");
    let kubectl = &space.kubectl;
    kubectl.run("rollout pause daemonset/none").failed_with("not found");
    kubectl.apply(daemon_set("web", &["sleep"]));
    revisions(&space, 1);
    kubectl.run("rollout pause daemonset/web").failed_with("pausing is not supported");
    kubectl.run("rollout resume daemonset/web").failed_with("resuming is not supported");
    kubectl.run("rollout undo daemonset/web").failed_with("no last revision to roll back to");
    kubectl.ok("annotate daemonset web kubernetes.io/change-cause=second");
    kubectl.run("set image daemonset/web main=localhost/everynode/testtool:2").printed("image updated");
    revisions(&space, 2);

    let listed = kubectl.ok("rollout history daemonset/web");
    assert_eq!(words(&listed), words("daemonset.apps/web REVISION CHANGE-CAUSE 1 <none> 2 second"));
    let shown = kubectl.ok("rollout history daemonset/web --revision=1");
    assert!(shown.starts_with("daemonset.apps/web with revision #1\nPod Template:"), "{shown}");
    assert!(shown.contains("localhost/everynode/testtool:1"), "{shown}");
    kubectl.run("rollout history daemonset/web --revision=9").failed_with("unable to find the specified revision");
    kubectl
        .run("rollout undo daemonset/web --to-revision=9")
        .failed_with("unable to find specified revision 9 in history");
    let skipped = "daemonset.apps/web skipped rollback (current template already matches revision 2)";
    // kubectl compares bytes, and up to 1.33 its own hold a null timestamp that 1.36 does not
    // write: "rolled back", to the very same. Nothing changes.
    let generation = || space.object("daemonsets/web").unwrap()["metadata"]["generation"].clone();
    let before = generation();
    let said = kubectl.run("rollout undo daemonset/web --to-revision=2").succeeded().stdout;
    assert!(said.trim() == skipped || said.trim() == "daemonset.apps/web rolled back", "{said}");
    assert_eq!(generation(), before);
    for program in newer_and_older() {
        let older = ["27", "28", "29", "30", "31", "32", "33"]
            .iter()
            .any(|minor| program.ends_with(format!("kubectl.1.{minor}")));
        let expected = if older { "daemonset.apps/web rolled back" } else { skipped };
        kubectl.program(&program).run("rollout undo daemonset/web --to-revision=2").printed(expected);
        assert_eq!(generation(), before, "{}", program.display());
    }

    let ours = |line: &str| cluster.everynode(&format!("{line} -n history"));
    assert_eq!(words(&ours("rollout history web").succeeded().stdout), words(&listed));
    ours("rollout history web --revision 1").printed("localhost/everynode/testtool:1");
    ours("rollout undo web --to-revision 2").printed(skipped);
    ours("rollout undo web --to-revision 9").failed_with("unable to find specified revision 9 in history");
    ours("rollout undo web").printed("daemonset.apps/web rolled back");
    let set = space.object("daemonsets/web").unwrap();
    assert_eq!(set["spec"]["template"]["spec"]["containers"][0]["image"], "localhost/everynode/testtool:1");
    assert_eq!(set["metadata"]["annotations"]["kubernetes.io/change-cause"], "second", "only the template is restored");
    revisions(&space, 3);
    ours("rollout restart web").printed("daemonset.apps/web restarted");
    revisions(&space, 4);
    ours("rollout status web --timeout 20s").succeeded();
    ours("rollout status none").failed_with("not found");
}

fn words(text: &str) -> Vec<&str> {
    text.split_whitespace().collect()
}

/// Waits until the newest revision has this number.
fn revisions(space: &Space<'_>, newest: i64) {
    space.until(&format!("there is revision {newest}"), || {
        let list = space.object("controllerrevisions")?;
        let numbers: Vec<i64> =
            list["items"].as_array().into_iter().flatten().filter_map(|one| one["revision"].as_i64()).collect();
        if numbers.iter().max() == Some(&newest) { Ok(()) } else { Err(format!("{numbers:?}")) }
    });
}

/// DS-A53, DS-A54: by phase, ending ones too, and only those whose controller is this very set.
#[test]
fn describe_counts_pods_by_phase() {
    let cluster = control_plane();
    let space = cluster.space("describe-phases");
    space.takes_pods();
    space.kubectl.apply(unattended());
    let uid = space.object("daemonsets/web").unwrap()["metadata"]["uid"].clone();
    let pod = |name: &str, owner: &Value| {
        space.kubectl.apply(json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": name, "labels": {"app": "web"}, "finalizers": ["x/y"], "ownerReferences":
                [{"apiVersion": "apps/v1", "kind": "DaemonSet", "name": "web", "uid": owner, "controller": true}]},
            "spec": {"containers": [{"name": "main", "image": "x"}], "nodeName": "bare"},
        }));
    };
    let phase = |name: &str, phase: &str| {
        let patch = json!({"status": {"phase": phase}}).to_string();
        space.kubectl.words(&["patch", "pod", name, "--subresource=status", "-p", &patch]).printed("patched");
    };
    space.kubectl.apply(json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "bare"}}));
    for name in ["waiting", "running", "running-ending", "done", "failed"] {
        pod(name, &uid);
    }
    phase("running", "Running");
    phase("running-ending", "Running");
    phase("done", "Succeeded");
    phase("failed", "Failed");
    space.kubectl.ok("delete pod running-ending --wait=false");
    let ending = space.object("pods/running-ending").unwrap();
    assert!(!ending["metadata"]["deletionTimestamp"].is_null());
    let text = space.kubectl.ok("describe daemonset web");
    let line = "Pods Status:  2 Running / 1 Waiting / 1 Succeeded / 1 Failed";
    assert!(text.contains(line), "{line:?} is not in\n{text}");
    let order = [
        "Name:",
        "Selector:",
        "Node-Selector:",
        "Labels:",
        "Annotations:",
        "Desired Number of Nodes Scheduled:",
        "Current Number of Nodes Scheduled:",
        "Number of Nodes Scheduled with Up-to-date Pods:",
        "Number of Nodes Scheduled with Available Pods:",
        "Number of Nodes Misscheduled:",
        "Pods Status:",
        "Pod Template:",
        "Events:",
    ];
    let places: Vec<Option<usize>> = order.iter().map(|word| text.find(word)).collect();
    assert!(places.iter().all(Option::is_some) && places.is_sorted(), "{places:?} in\n{text}");
    for name in ["waiting", "running", "running-ending", "done", "failed"] {
        space.kubectl.words(&["patch", "pod", name, "--type=merge", "-p", r#"{"metadata":{"finalizers":null}}"#]);
    }
}
