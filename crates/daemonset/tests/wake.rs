//! Which sets a change wakes (docs/requirements.md, F).

use everynode_api::kinds::{self, Kind};
use everynode_api::meta::Key;
use everynode_api::reconcile::Reconciler;
use everynode_api::view::{Change, Item, View};
use everynode_daemonset::{DaemonSetController, Options};
use serde_json::{Value, json};

struct Cluster {
    view: View,
    controller: DaemonSetController,
}

impl Cluster {
    /// Three sets: `all` runs everywhere, `ssd` where the label is, `other` is of another class.
    fn new(options: Options) -> Self {
        let mut cluster = Cluster { view: View::default(), controller: DaemonSetController::new(options) };
        cluster.put(&kinds::DAEMON_SET, set("all", json!({}), json!({})));
        cluster.put(&kinds::DAEMON_SET, set("ssd", json!({ "disk": "ssd" }), json!({})));
        cluster.put(&kinds::DAEMON_SET, set("other", json!({}), json!({ "everynode.dev/class": "blue" })));
        cluster
    }

    fn put(&mut self, kind: &Kind, object: Value) -> Vec<String> {
        let change = self.view.upsert(kind, Item::parse(kind, object.to_string().as_bytes()).unwrap());
        self.woken(&change)
    }

    fn remove(&mut self, kind: &Kind, key: &Key) -> Vec<String> {
        let change = self.view.remove(kind, key, 0).unwrap();
        self.woken(&change)
    }

    fn woken(&self, change: &Change) -> Vec<String> {
        self.controller.wake(&self.view, change).iter().map(|key| key.name.to_string()).collect()
    }
}

fn set(name: &str, selector: Value, annotations: Value) -> Value {
    json!({
        "metadata": { "name": name, "namespace": "x", "uid": format!("uid-{name}"), "annotations": annotations },
        "spec": {
            "selector": { "matchLabels": { "app": name } },
            "template": { "metadata": { "labels": { "app": name } }, "spec": { "nodeSelector": selector } },
        },
    })
}

fn node(labels: Value, taints: Value, ready: &str) -> Value {
    json!({
        "metadata": { "name": "a", "uid": "n1", "labels": labels },
        "spec": { "taints": taints },
        "status": { "conditions": [{ "type": "Ready", "status": ready }] },
    })
}

fn pod(app: &str, owner: Option<&str>, phase: &str) -> Value {
    let owners = owner
        .map(|name| json!([{ "kind": "DaemonSet", "name": name, "uid": format!("uid-{name}"), "controller": true }]));
    json!({
        "metadata": { "name": "p", "namespace": "x", "labels": { "app": app }, "ownerReferences": owners },
        "spec": { "nodeName": "a" },
        "status": { "phase": phase },
    })
}

const NONE: [&str; 0] = [];

#[test]
fn sets_wake_themselves() {
    // DS-F05
    let mut cluster = Cluster::new(Options::default());
    assert_eq!(cluster.put(&kinds::DAEMON_SET, set("all", json!({ "a": "b" }), json!({}))), ["all"]);
    assert_eq!(cluster.remove(&kinds::DAEMON_SET, &Key::new("x", "all")), ["all"]);
}

#[test]
fn a_node_wakes_only_the_sets_whose_verdict_changes() {
    // DS-F12, DS-F14 to DS-F16, issue 3 "Speed"
    let mut cluster = Cluster::new(Options::default());
    assert_eq!(cluster.put(&kinds::NODE, node(json!({}), json!([]), "True")), ["all"]);
    assert_eq!(cluster.put(&kinds::NODE, node(json!({ "x": "y" }), json!([]), "True")), NONE);
    assert_eq!(cluster.put(&kinds::NODE, node(json!({ "disk": "ssd" }), json!([]), "True")), ["ssd"]);
    assert_eq!(cluster.put(&kinds::NODE, node(json!({ "disk": "ssd" }), json!([]), "False")), NONE);
    let taint = |effect: &str| json!([{ "key": "k", "effect": effect }]);
    let labels = json!({ "disk": "ssd" });
    assert_eq!(cluster.put(&kinds::NODE, node(labels.clone(), taint("PreferNoSchedule"), "False")), NONE);
    assert_eq!(cluster.put(&kinds::NODE, node(labels.clone(), taint("NoSchedule"), "False")), ["all", "ssd"]);
    assert_eq!(cluster.put(&kinds::NODE, node(labels.clone(), taint("NoExecute"), "False")), ["all", "ssd"]);
    assert_eq!(cluster.put(&kinds::NODE, node(labels, json!([]), "False")), ["all", "ssd"]);
}

#[test]
fn a_node_that_falls_silent_wakes_the_sets_with_pods_there() {
    let mut cluster = Cluster::new(Options::default());
    cluster.put(&kinds::NODE, node(json!({}), json!([]), "True"));
    cluster.put(&kinds::POD, pod("ssd", Some("ssd"), "Running"));
    assert_eq!(cluster.put(&kinds::NODE, node(json!({}), json!([]), "Unknown")), ["ssd"]);
    assert_eq!(cluster.put(&kinds::NODE, node(json!({}), json!([]), "True")), ["ssd"]);
}

#[test]
fn a_deleted_node_wakes_the_sets_that_ran_there() {
    // deviation: DS-K24; DS-F13 for the original
    let mut cluster = Cluster::new(Options::default());
    cluster.put(&kinds::NODE, node(json!({}), json!([]), "True"));
    cluster.put(&kinds::POD, pod("ssd", Some("ssd"), "Running"));
    assert_eq!(cluster.remove(&kinds::NODE, &Key::cluster("a")), ["all", "ssd"]);
    let mut strict = Cluster::new(Options::strict());
    strict.put(&kinds::NODE, node(json!({}), json!([]), "True"));
    assert_eq!(strict.remove(&kinds::NODE, &Key::cluster("a")), NONE);
}

#[test]
fn a_node_of_another_machine_under_the_same_name_wakes_its_sets() {
    // deviation: DS-K25
    let mut cluster = Cluster::new(Options::default());
    cluster.put(&kinds::NODE, node(json!({}), json!([]), "True"));
    let mut other = node(json!({}), json!([]), "True");
    other["metadata"]["uid"] = "n2".into();
    assert_eq!(cluster.put(&kinds::NODE, other), ["all", "ssd"]);
}

#[test]
fn a_pod_wakes_its_owners_old_and_new() {
    // DS-F07, DS-F08, DS-F10
    let mut cluster = Cluster::new(Options::default());
    assert_eq!(cluster.put(&kinds::POD, pod("all", Some("all"), "Pending")), ["all"]);
    assert_eq!(cluster.put(&kinds::POD, pod("all", Some("all"), "Running")), ["all"]);
    assert_eq!(cluster.put(&kinds::POD, pod("all", Some("ssd"), "Running")), ["all", "ssd"]);
    assert_eq!(cluster.remove(&kinds::POD, &Key::new("x", "p")), ["ssd"]);
    let mut stranger = pod("all", Some("all"), "Running");
    stranger["metadata"]["ownerReferences"][0]["uid"] = "somebody".into();
    assert_eq!(cluster.put(&kinds::POD, stranger), NONE);
}

#[test]
fn an_orphan_wakes_the_sets_that_select_it_when_it_is_news() {
    // DS-F07, DS-F08
    let mut cluster = Cluster::new(Options::default());
    assert_eq!(cluster.put(&kinds::POD, pod("ssd", None, "Running")), ["ssd"]);
    assert_eq!(cluster.put(&kinds::POD, pod("ssd", None, "Failed")), NONE);
    assert_eq!(cluster.put(&kinds::POD, pod("all", None, "Failed")), ["all"]);
    assert_eq!(cluster.put(&kinds::POD, pod("nobody", None, "Failed")), NONE);
}

#[test]
fn revisions_wake_their_owner() {
    // DS-F11
    let mut cluster = Cluster::new(Options::default());
    let owner = json!([{ "kind": "DaemonSet", "name": "all", "uid": "uid-all", "controller": true }]);
    let revision = |number: u32| json!({ "metadata": { "name": "r", "namespace": "x", "ownerReferences": owner }, "revision": number });
    let mut all = set("all", json!({}), json!({}));
    all["metadata"]["generation"] = json!(1);
    cluster.put(&kinds::DAEMON_SET, all.clone());
    // The set waits for its own.
    assert_eq!(cluster.put(&kinds::CONTROLLER_REVISION, revision(1)), ["all"]);
    assert_eq!(cluster.remove(&kinds::CONTROLLER_REVISION, &Key::new("x", "r")), ["all"]);
    // One that another client makes while nothing is under way is merged when something happens.
    all["status"] = json!({ "observedGeneration": 1, "desiredNumberScheduled": 2, "updatedNumberScheduled": 2,
        "numberAvailable": 2 });
    cluster.put(&kinds::DAEMON_SET, all);
    assert_eq!(cluster.put(&kinds::CONTROLLER_REVISION, revision(2)), NONE);
    assert_eq!(cluster.put(&kinds::CONTROLLER_REVISION, revision(3)), ["all"]);
    assert_eq!(cluster.remove(&kinds::CONTROLLER_REVISION, &Key::new("x", "r")), ["all"]);
}

#[test]
fn a_full_pass_takes_every_set_of_the_class() {
    let names = |options: Options| {
        let cluster = Cluster::new(options);
        let keys = cluster.controller.all(&cluster.view);
        keys.iter().map(|key| key.name.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(names(Options::default()), ["all", "ssd"]);
    assert_eq!(names(Options { class: Some("blue".into()), ..Options::default() }), ["other"]);
}
