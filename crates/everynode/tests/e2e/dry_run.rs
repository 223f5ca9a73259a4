//! `everynode plan`: what the controller would do, of a cluster and of files.

use serde_json::{Value, json};

use crate::harness::{Cluster, Options, daemon_set, text};

/// Exit codes of `everynode plan`.
const NOTHING: i32 = 0;
const WORK: i32 = 6;

fn node(name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": {"disk": name}}})
}

/// The set is of a class that no controller has, so what would be done is not done meanwhile.
#[test]
fn a_plan_tells_what_would_be_done_and_does_nothing() {
    let cluster = Cluster::start(Options { server_only: true, ..Options::default() });
    let space = cluster.space("planned");
    for name in ["a", "b"] {
        space.kubectl.apply(node(name));
    }
    let mut set = daemon_set("web", &["sleep"]);
    set["metadata"]["annotations"] = json!({"everynode.dev/class": "planned"});
    set["spec"]["template"]["spec"]["nodeSelector"] = json!({"disk": "a"});
    set["spec"]["template"]["spec"]["tolerations"] = json!([{"operator": "Exists"}]);
    space.kubectl.apply(&set);

    let plan = |words: &str| cluster.everynode(&format!("plan web -n planned --class planned {words}"));
    let shown = plan("");
    assert_eq!(shown.code, WORK, "{shown}");
    for words in [
        "planned/web: 1 pod to create",
        "a      create",
        "it has none",
        "b      none",
        "node selector disk=a: the node has disk=b",
    ] {
        assert!(shown.stdout.contains(words), "{words:?} is not in {shown}");
    }
    assert!(shown.stderr.is_empty(), "{shown}");
    let json: Value = serde_json::from_str(&plan("-o json").stdout).expect("JSON");
    let set = &json["daemonSets"][0];
    let writes: Vec<String> = set["writes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|write| format!("{} {}", text(&write["verb"]), text(&write["resource"])))
        .collect();
    assert_eq!(writes, ["create controllerrevisions", "create pods"]);
    assert_eq!((&set["nothingToDo"], &set["forecast"]["waves"]), (&json!(false), &json!([["a"]])));
    assert_eq!(space.pods("web").unwrap().len(), 0);
    assert_eq!(space.object("controllerrevisions").unwrap()["items"], json!([]));

    let other = cluster.everynode("plan");
    assert_eq!(other.code, NOTHING, "sets of another class are not looked at: {other}");
    cluster.everynode("plan nothing -n planned").failed_with("there is no DaemonSet planned/nothing");
}

/// No server is asked: there is none. An update of three nodes, two at a time.
#[test]
fn a_plan_of_files_needs_no_server() {
    let cluster = Cluster::new(Options { server_only: true, ..Options::default() });
    let file = |name: &str, objects: &[Value]| {
        let path = cluster.path(name);
        let list = json!({"apiVersion": "v1", "kind": "List", "items": objects});
        std::fs::write(&path, list.to_string()).unwrap();
        path.display().to_string()
    };
    let mut set = daemon_set("web", &["sleep"]);
    set["spec"]["updateStrategy"] = json!({"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 2}});
    let sets = file("sets.json", &[set.clone()]);
    let nodes = file("nodes.json", &[node("a"), node("b"), node("c")]);
    let fresh = cluster.everynode(&format!("plan -f {sets} -f {nodes}"));
    assert_eq!(fresh.code, WORK, "{fresh}");
    assert!(fresh.stdout.starts_with("default/web: 3 pods to create, 1 other write\n"), "{fresh}");
    assert!(fresh.stdout.contains("recording the template as revision 1"), "{fresh}");
    cluster.everynode(&format!("plan -f {sets}")).failed_with("there is no Node in the files");
    cluster.everynode("plan -f /no/such/file").failed_with("/no/such/file");

    set["metadata"]["uid"] = json!("uid-web");
    let owner =
        json!([{"apiVersion": "apps/v1", "kind": "DaemonSet", "name": "web", "uid": "uid-web", "controller": true}]);
    let labels = json!({"app": "web", "controller-revision-hash": "old"});
    let mut template = set["spec"]["template"].clone();
    template["spec"]["containers"][0]["image"] = json!("an-older-image");
    template["$patch"] = json!("replace");
    let mut objects = vec![
        set,
        json!({
            "apiVersion": "apps/v1", "kind": "ControllerRevision", "revision": 1, "data": {"spec": {"template": template}},
            "metadata": {"name": "web-old", "labels": labels, "ownerReferences": owner},
        }),
    ];
    objects.extend(["a", "b", "c"].map(|node| json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": format!("web-{node}"), "labels": labels, "ownerReferences": owner},
        "spec": {"nodeName": node}, "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]},
    })));
    let cluster_file = file("cluster.json", &objects);
    let update = cluster.everynode(&format!("plan -f {cluster_file} -f {nodes} -o json"));
    assert_eq!(update.code, WORK, "{update}");
    let json: Value = serde_json::from_str(&update.stdout).expect("JSON");
    let forecast = &json["daemonSets"][0]["forecast"];
    assert_eq!(forecast, &json!({"waves": [["a", "b"], ["c"]], "complete": true, "left": []}));
}
