//! The command line without kubectl: what it prints, how it ends, and what it says when it was not
//! meant.

use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::{Cluster, Options, daemon_set, free_port, run};

const LIMIT: Duration = Duration::from_secs(20);

fn control_plane() -> Cluster {
    Cluster::start(Options { server_only: true, ..Options::default() })
}

/// The reader of the output has gone before anything is printed, as in `everynode status | true`.
#[test]
fn a_reader_that_has_gone_ends_a_command_quietly() {
    let cluster = control_plane();
    let space = cluster.space("pipes");
    space.kubectl.apply(daemon_set("web", &["sleep"]));
    let kubeconfig = cluster.kubeconfig().display().to_string();
    let data = cluster.path("data").display().to_string();
    let with_server = ["status", "why pipes/web", "plan", "rollout history pipes/web", "status -o json"];
    let without = [format!("kubeconfig --data-dir {data}"), "completion bash".into(), "man".into(), "--help".into()];
    let lines = with_server.iter().map(|words| format!("{words} --kubeconfig {kubeconfig}")).chain(without);
    for line in lines {
        let (reader, writer) = std::io::pipe().expect("a pipe");
        drop(reader);
        let mut command = Command::new(env!("CARGO_BIN_EXE_everynode"));
        let ended = command.args(line.split(' ')).stdin(Stdio::null()).stdout(writer).output().expect("run everynode");
        let stderr = String::from_utf8_lossy(&ended.stderr);
        // A plan that has work in it may still say so by its code.
        assert!(matches!(ended.status.code(), Some(0 | 6)) && stderr.is_empty(), "{line}: {:?} {stderr}", ended.status);
    }
}

/// `status` names sets as `NAMESPACE/NAME`; that is a name everywhere, and `-n` filters.
#[test]
fn sets_are_named_as_status_names_them() {
    let cluster = control_plane();
    let spaces = ["one", "two"].map(|namespace| cluster.space(namespace));
    for space in &spaces {
        space.kubectl.apply(daemon_set("web", &["sleep"]));
    }
    cluster.everynode("why one/web").succeeded().printed("one/web");
    cluster.everynode("why ds/web -n two").succeeded().printed("two/web");
    cluster.everynode("rollout history two/web").succeeded();
    let disagreement = cluster.everynode("why one/web -n two").failed_with("does not match the namespace \"two\"");
    assert_eq!(disagreement.code, 2, "{disagreement}");
    let all: Value = serde_json::from_str(&cluster.everynode("status -o json").succeeded().stdout).unwrap();
    assert_eq!(all["daemonSets"].as_array().map(Vec::len), Some(2), "{all}");
    let one: Value = serde_json::from_str(&cluster.everynode("status -n one -o json").succeeded().stdout).unwrap();
    assert_eq!(one["daemonSets"].as_array().map(Vec::len), Some(1), "{one}");
}

/// The namespace is that of `-n`, of the kubeconfig's context, or `default`; an object of another
/// one is a mistake.
#[test]
fn a_namespace_is_given_once() {
    let cluster = control_plane();
    let _spaces = ["a", "b"].map(|namespace| cluster.space(namespace));
    let file = cluster.path("b.yaml");
    let mut object = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c", "namespace": "b"}});
    std::fs::write(&file, object.to_string()).unwrap();
    let refused = cluster.everynode(&format!("apply -n a -f {}", file.display()));
    let refused =
        refused.failed_with("the namespace from the provided object \"b\" does not match the namespace \"a\"");
    assert_eq!(refused.code, 2, "{refused}");
    object["metadata"]["namespace"] = Value::Null;
    std::fs::write(&file, object.to_string()).unwrap();
    let text = std::fs::read_to_string(cluster.kubeconfig()).unwrap();
    let context = text.replace("\n    user: ", "\n    namespace: b\n    user: ");
    assert_ne!(context, text, "the kubeconfig's form has changed");
    let kubeconfig = cluster.path("b.kubeconfig");
    std::fs::write(&kubeconfig, context).unwrap();
    let (kubeconfig, file) = (kubeconfig.display().to_string(), file.display().to_string());
    run(&["apply", "--kubeconfig", &kubeconfig, "-f", &file], LIMIT).succeeded();
    cluster.kubectl("b").ok("get configmap c");
}

/// What is applied is what kubectl would have applied: in turn they change nothing.
#[test]
fn kubectl_and_everynode_apply_in_turn() {
    let cluster = control_plane();
    let space = cluster.space("turns");
    let file = cluster.path("set.yaml").display().to_string();
    let manifest = "apiVersion: apps/v1\nkind: DaemonSet\nmetadata: {name: web, namespace: turns}\nspec:\n  \
        minReadySeconds: 1.0\n  selector: {matchLabels: {app: web}}\n  template:\n    metadata: {labels: {app: web}}\n    \
        spec:\n      terminationGracePeriodSeconds: 30.0\n      containers: [{name: c, image: x}]\n      \
        volumes: [{name: v, configMap: {name: c, defaultMode: 0755}}]\n";
    std::fs::write(&file, manifest).unwrap();
    cluster.everynode(&format!("apply -f {file}")).succeeded().printed("daemonset.apps/web created");
    let stored: Value = serde_json::from_str(&space.kubectl.ok("get daemonset web -o json")).unwrap();
    let spec = &stored["spec"]["template"]["spec"];
    assert_eq!(spec["volumes"][0]["configMap"]["defaultMode"], 493);
    assert_eq!((&stored["spec"]["minReadySeconds"], &spec["terminationGracePeriodSeconds"]), (&json!(1), &json!(30)));
    for _ in 0..2 {
        space.kubectl.run(&format!("apply -f {file}")).succeeded().printed("unchanged");
        cluster.everynode(&format!("apply -f {file}")).succeeded().printed("daemonset.apps/web unchanged");
    }
}

/// `--dry-run` checks and keeps nothing; `-o json` of every verb is JSON.
#[test]
fn a_dry_run_keeps_nothing_and_results_are_json() {
    let cluster = control_plane();
    let space = cluster.space("dry");
    let directory = cluster.path("manifests/below");
    std::fs::create_dir_all(&directory).unwrap();
    std::fs::write(directory.join("set.json"), daemon_set("web", &["sleep"]).to_string()).unwrap();
    let directory = cluster.path("manifests").display().to_string();
    let json = |words: &str| -> Value {
        let done = cluster.everynode(&format!("{words} -n dry -o json")).succeeded();
        serde_json::from_str(&done.stdout).unwrap_or_else(|error| panic!("{words}: {error}: {}", done.stdout))
    };
    let tried = json(&format!("apply --dry-run -R -f {directory}"));
    assert_eq!((&tried["objects"][0]["result"], &tried["dryRun"]), (&json!("created"), &json!(true)));
    assert_eq!(space.kubectl.ok("get daemonsets -o name"), "");
    json(&format!("apply -R -f {directory}"));
    assert_eq!(json(&format!("delete --dry-run -R -f {directory}"))["objects"][0]["result"], "deleted");
    assert_eq!(space.kubectl.ok("get daemonsets -o name").trim(), "daemonset.apps/web");
    assert_eq!(json("rollout restart web")["result"], "restarted");
    assert!(json("rollout history web")["revisions"].is_array());
    assert_eq!(json(&format!("delete -R -f {directory}"))["objects"][0]["name"], "web");
    let data = cluster.path("data").display().to_string();
    let token = run(&["token", "--data-dir", &data, "-o", "json"], LIMIT).succeeded();
    assert!(serde_json::from_str::<Value>(&token.stdout).unwrap()["token"].is_string());
}

/// Exit codes: 2 for what cannot be meant, 4 for a server that is not there or refuses who asks,
/// its address named.
#[test]
fn failures_end_with_the_documented_codes() {
    for words in [
        &["up", "--node-labels", "x"][..],
        &["up", "--service-cidr", "banana"],
        &["up", "--pod-cidr", "10.0.0.0/31"],
        &["up", "--node-name", "Not_A_Name"],
        &["agent", "--server", "http://x", "--token", "t"],
        &["status", "--log-level", "loud"],
    ] {
        let refused = run(words, LIMIT).failed_with(words[1]);
        assert_eq!(refused.code, 2, "{refused}");
    }
    assert!(run(&["get", "pods"], LIMIT).failed_with("kubectl").code == 2);
    assert!(run(&["wy", "web"], LIMIT).failed_with("everynode why").code == 2);
    let cluster = control_plane();
    let text = std::fs::read_to_string(cluster.kubeconfig()).unwrap();
    let nowhere = format!("127.0.0.1:{}", free_port());
    let moved = text.replace(&format!("127.0.0.1:{}", cluster.port()), &nowhere);
    assert_ne!(moved, text);
    let file = cluster.path("nowhere.kubeconfig");
    std::fs::write(&file, moved).unwrap();
    let unreachable = run(&["status", "--kubeconfig", &file.display().to_string()], LIMIT);
    let unreachable = unreachable.failed_with(&format!("https://{nowhere}: Connection refused"));
    assert_eq!(unreachable.code, 4, "{unreachable}");
    assert!(!unreachable.stderr.contains("client error"), "{unreachable}");
    // An account without rights: refused with the same code as one that is not known.
    let space = cluster.space("strangers");
    let token = space.kubectl.ok("create token default").trim().to_owned();
    for (token, words) in [(token.as_str(), "forbidden"), ("a.b.c", "Unauthorized")] {
        let file = cluster.path("stranger.kubeconfig");
        let ca = cluster.path("data/pki/ca.crt").display().to_string();
        let server = format!("https://127.0.0.1:{}", cluster.port());
        let config = json!({"apiVersion": "v1", "kind": "Config", "current-context": "c",
            "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
            "clusters": [{"name": "c", "cluster": {"server": server, "certificate-authority": ca}}],
            "users": [{"name": "u", "user": {"token": token}}]});
        std::fs::write(&file, config.to_string()).unwrap();
        let refused = run(&["status", "--kubeconfig", &file.display().to_string()], LIMIT).failed_with(words);
        assert_eq!(refused.code, 4, "{refused}");
    }
}

/// Whoever is not root is told so before anything is started.
#[test]
fn an_ordinary_user_learns_that_root_is_needed() {
    let directory = crate::harness::Directory::new();
    let data = directory.path().join("data").display().to_string();
    let listen = format!("127.0.0.1:{}", free_port());
    // The binary lies where an ordinary user may not look.
    let copy = directory.path().join("everynode");
    std::fs::copy(env!("CARGO_BIN_EXE_everynode"), &copy).unwrap();
    let mut command = Command::new("setpriv");
    command.args(["--reuid", "65534", "--regid", "65534", "--clear-groups"]).arg(&copy);
    command.args(["up", "--data-dir", &data, "--listen", &listen]);
    for part in directory.path().ancestors().take(2) {
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(part, mode).unwrap();
    }
    let ended = command.output().expect("run setpriv");
    let stderr = String::from_utf8_lossy(&ended.stderr);
    assert!(ended.status.code() == Some(1) && stderr.contains("root is needed"), "{:?} {stderr}", ended.status);
    assert!(ended.stdout.is_empty() && !directory.path().join("data").exists(), "nothing was started");
}
