//! How a set's pods are replaced when its template changes, as one node shows it; `fleet` has the
//! order over nodes.

use serde_json::{Value, json};

use crate::harness::{Cluster, Space, container, daemon_set, name, text};

const OLD: &str = "localhost/everynode/testtool:1";
const NEW: &str = "localhost/everynode/testtool:2";
const MISSING: &str = "localhost/everynode/no-such-image:1";

fn image(pod: &Value) -> &str {
    text(&pod["spec"]["containers"][0]["image"])
}

fn set_image(space: &Space<'_>, set: &str, image: &str) {
    space.kubectl.run(&format!("set image daemonset/{set} main={image}")).printed("image updated");
}

fn hash(pod: &Value) -> &str {
    text(&pod["metadata"]["labels"]["controller-revision-hash"])
}

/// DS-D15, DS-D41, DS-D48, DS-D49, DS-D66, DS-D68: update, history, undo; going back reuses the old
/// revision.
#[test]
fn an_update_and_its_undo_replace_the_pod() {
    let space = Cluster::shared().space("update");
    space.kubectl.apply(daemon_set("web", &["sleep"]));
    let first = space.rolled_out("web").remove(0);
    assert_eq!(image(&first), OLD);

    set_image(&space, "web", NEW);
    space
        .kubectl
        .run("rollout status daemonset/web --timeout=40s")
        .printed("daemon set \"web\" successfully rolled out");
    let second = space.rolled_out("web").remove(0);
    assert_eq!(image(&second), NEW);
    assert_ne!(hash(&first), hash(&second));
    let env = space.kubectl.ok(&format!("exec {} -- /testtool env IMAGE_VERSION", name(&second)));
    assert_eq!(env, "IMAGE_VERSION=2\n", "the container really is of the new image");

    let history = space.kubectl.ok("rollout history daemonset/web");
    let numbers: Vec<&str> = history.lines().filter_map(|line| line.split_whitespace().next()).collect();
    assert!(numbers.ends_with(&["1", "2"]), "{history}");
    space.kubectl.run("rollout history daemonset/web --revision=1").printed(OLD);

    space.kubectl.run("rollout undo daemonset/web").printed("rolled back");
    let third = space.rolled_out("web").remove(0);
    assert_eq!((image(&third), hash(&third)), (OLD, hash(&first)));
    let history = space.kubectl.ok("rollout history daemonset/web");
    let numbers: Vec<&str> = history.lines().filter_map(|line| line.split_whitespace().next()).collect();
    assert!(numbers.ends_with(&["2", "3"]), "{history}");
    space.event("SuccessfulCreate", &format!("Created pod: {}", name(&third)));
    space.event("SuccessfulDelete", &format!("Deleted pod: {}", name(&second)));
}

/// DS-D13, DS-H04, DS-H11, DS-H13: the pod of a bad image says so, and an undo brings the good one
/// back.
#[test]
fn a_bad_image_is_visible_and_undone() {
    let space = Cluster::shared().space("bad-image");
    space.kubectl.apply(daemon_set("web", &["sleep"]));
    space.rolled_out("web");
    set_image(&space, "web", MISSING);
    for reason in ["ErrImagePull", "ImagePullBackOff"] {
        space.pod_that("web", &format!("waits with {reason}"), |pod| {
            container(pod, "main")["state"]["waiting"]["reason"] == reason
        });
    }
    let event = space.event("Failed", &format!("Failed to pull image \"{MISSING}\""));
    assert_eq!(event["type"], "Warning");
    space.event("BackOff", &format!("Back-off pulling image \"{MISSING}\""));
    let status = space.kubectl.run("rollout status daemonset/web --timeout=1s");
    assert_ne!(status.code, 0, "{status}");
    space.kubectl.ok("rollout undo daemonset/web");
    assert_eq!(image(&space.rolled_out("web")[0]), OLD);
}

/// DS-D20 to DS-D26: with maxSurge the old pod serves until the new one is ready.
#[test]
fn a_surge_keeps_the_old_pod_until_the_new_one_is_ready() {
    let cluster = Cluster::shared();
    let space = cluster.space("surge");
    let gate = cluster.path("surge");
    std::fs::create_dir(&gate).unwrap();
    let mut set = daemon_set("web", &["sleep"]);
    set["spec"]["updateStrategy"] =
        json!({"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}});
    let pod = &mut set["spec"]["template"]["spec"];
    pod["volumes"] = json!([{"name": "gate", "hostPath": {"path": gate}}]);
    pod["containers"][0]["volumeMounts"] = json!([{"name": "gate", "mountPath": "/gate"}]);
    space.kubectl.apply(&set);
    let old = space.rolled_out("web").remove(0);

    let main = &mut set["spec"]["template"]["spec"]["containers"][0];
    main["image"] = json!(NEW);
    main["readinessProbe"] = json!({"exec": {"command": ["/testtool", "cat", "/gate/open"]}, "periodSeconds": 1});
    space.kubectl.apply(&set);
    let new = space.pod_that("web", "is new and runs", |pod| {
        image(pod) == NEW && container(pod, "main")["state"]["running"].is_object()
    });
    space.event("Unhealthy", "Readiness probe failed");
    let pods = space.pods("web").unwrap();
    let kept = pods.iter().find(|pod| pod["metadata"]["uid"] == old["metadata"]["uid"]).expect("the old pod is there");
    assert!(kept["metadata"]["deletionTimestamp"].is_null(), "the old pod ends before the new one is ready");
    assert_eq!(pods.len(), 2);

    std::fs::write(gate.join("open"), "").unwrap();
    let left = space.rolled_out("web").remove(0);
    assert_eq!(left["metadata"]["uid"], new["metadata"]["uid"]);
}

/// DS-D01: with OnDelete nothing happens until the pod is deleted.
#[test]
fn on_delete_waits_for_the_user() {
    let space = Cluster::shared().space("on-delete");
    let mut set = daemon_set("web", &["sleep"]);
    set["spec"]["updateStrategy"] = json!({"type": "OnDelete"});
    space.kubectl.apply(set);
    let old = space.rolled_out("web").remove(0);
    set_image(&space, "web", NEW);
    space.until("the change is observed", || {
        let set = space.object("daemonsets/web")?;
        let revisions = space.object("controllerrevisions")?["items"].as_array().map_or(0, Vec::len);
        let seen = set["status"]["observedGeneration"] == 2 && revisions == 2;
        if seen { Ok(()) } else { Err(format!("{revisions} revisions, {}", set["status"])) }
    });
    let pods = space.pods("web").unwrap();
    assert_eq!((pods.len(), &pods[0]["metadata"]["uid"]), (1, &old["metadata"]["uid"]));
    space.kubectl.run("rollout status daemonset/web").failed_with("only available for RollingUpdate"); // DS-D61

    space.kubectl.ok(&format!("delete pod {} --wait=false", name(&old)));
    space.pod_that("web", "is new", |pod| image(pod) == NEW);
    space.rolled_out("web");
}

/// DS-D71: a restart replaces the pod by one of the same image.
#[test]
fn a_restart_replaces_the_pod() {
    let space = Cluster::shared().space("restart");
    space.kubectl.apply(daemon_set("web", &["sleep"]));
    let old = space.rolled_out("web").remove(0);
    space.kubectl.run("rollout restart daemonset/web").printed("daemonset.apps/web restarted");
    let new = space.pod_that("web", "is another", |pod| pod["metadata"]["uid"] != old["metadata"]["uid"]);
    assert_eq!(image(&new), OLD);
    space.rolled_out("web");
}

/// DS-C80, DS-C82: deleting the set deletes its pods; `--cascade=orphan` leaves them, and a new set
/// adopts them (DS-C13).
#[test]
fn deletion_cascades_or_leaves_orphans_that_are_adopted() {
    let space = Cluster::shared().space("cascade");
    space.kubectl.apply(daemon_set("web", &["sleep"]));
    let pod = space.rolled_out("web").remove(0);
    space.kubectl.ok("delete daemonset web --cascade=orphan");
    let orphan = space.object(&format!("pods/{}", name(&pod))).expect("the pod stays");
    assert!(
        orphan["metadata"]["ownerReferences"].is_null() && orphan["metadata"]["deletionTimestamp"].is_null(),
        "{orphan}"
    );

    space.kubectl.apply(daemon_set("web", &["sleep"]));
    let adopted = space.rolled_out("web").remove(0);
    assert_eq!(adopted["metadata"]["uid"], pod["metadata"]["uid"]);
    space.kubectl.ok("delete daemonset web");
    space.until("the pod and the revisions are gone", || {
        let left = space.object("controllerrevisions")?["items"].as_array().map_or(0, Vec::len);
        match space.object(&format!("pods/{}", name(&pod))) {
            Ok(pod) => Err(format!("still there: {}", pod["status"])),
            Err(_) if left > 0 => Err(format!("{left} revisions")),
            Err(_) => Ok(()),
        }
    });
}
