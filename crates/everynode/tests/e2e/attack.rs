//! What an attacker tries where real containers, agents and files are needed; and `everynode
//! audit`. The walk of every role over every operation is in crates/apiserver/tests/wire/attack.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::{Cluster, Options, Space, daemon_set, name};

const SECRET: &str = "planted-secret-data";
const ARGUMENT: &str = "planted-argument";

/// A token of an account in this namespace, which has this role there.
fn token(space: &Space<'_>, role: &str) -> String {
    space.kubectl.ok("create serviceaccount attacker");
    space.kubectl.ok(&format!("create rolebinding attacker --clusterrole={role} --serviceaccount=mine:attacker"));
    space.kubectl.ok("create token attacker").trim().to_owned()
}

/// Asks the node's agent with a certificate of the cluster; the status code.
fn asked(cluster: &Cluster, certificate: &str, path: &str) -> String {
    let node = cluster.api().object("/api/v1/nodes/node-a").expect("the node");
    let port = &node["status"]["daemonEndpoints"]["kubeletEndpoint"]["Port"];
    let pki = cluster.path("data/pki");
    let mut command = Command::new("curl");
    command.args(["-sk", "-m", "20", "-o", "/dev/null", "-w", "%{http_code}"]);
    if !certificate.is_empty() {
        command.arg("--cert").arg(pki.join(format!("{certificate}.crt")));
        command.arg("--key").arg(pki.join(format!("{certificate}.key")));
    }
    let output = command.arg(format!("https://127.0.0.1:{port}{path}")).output().expect("start curl");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Every file that everynode and its runtime write words into.
fn logs(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
        let (path, kind) = (entry.path(), entry.file_type().expect("its type"));
        // What containers write is theirs.
        let theirs = ["log", "kubelet", "state", "root"].iter().any(|name| path.ends_with(name));
        if kind.is_dir() && !theirs {
            logs(&path, found);
        } else if kind.is_file() && path.extension().is_some_and(|ending| ending == "log") {
            found.push(path);
        }
    }
}

/// One cluster for all of it: containers are slow to come by.
#[test]
fn a_node_keeps_what_is_not_the_askers() {
    let cluster = Cluster::start(Options { more: "--log-level trace", ..Options::default() });
    let theirs = cluster.space("theirs");
    theirs.kubectl.words(&["create", "secret", "generic", "s", &format!("--from-literal=k={SECRET}")]).succeeded();
    let mut set = daemon_set("web", &["sleep"]);
    set["spec"]["template"]["spec"]["containers"][0]["env"] =
        json!([{"name": "K", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}]);
    set["spec"]["template"]["spec"]["volumes"] = json!([{"name": "v", "secret": {"secretName": "s"}}]);
    set["spec"]["template"]["spec"]["containers"][0]["volumeMounts"] = json!([{"name": "v", "mountPath": "/s"}]);
    theirs.takes_pods();
    theirs.kubectl.apply(set);
    let pod = name(&theirs.rolled_out("web")[0]);

    // A reader of one namespace does not get into a container of another, by no path that exec and
    // log have.
    let mine = cluster.space("mine");
    let token = token(&mine, "view");
    for path in [
        format!("/api/v1/namespaces/theirs/pods/{pod}/log"),
        format!("/api/v1/namespaces/theirs/pods/{pod}/exec?command=id&stdout=1"),
        format!("/api/v1/namespaces/mine/pods/x/exec%2Ftheirs%2F{pod}%2Fmain%3Fcommand%3Did"),
        format!("/api/v1/namespaces/mine/pods/..%2F..%2Ftheirs%2Fpods%2F{pod}/log"),
        format!("/api/v1/namespaces/mine/pods/x/log%2F..%2F..%2F..%2Ftheirs%2F{pod}%2Fmain"),
        "/api/v1/nodes/node-a/proxy/pods".to_owned(),
    ] {
        let answer = cluster.api().as_token(Some(&token), &path);
        assert!(matches!(answer.code, 400 | 403 | 404), "{path}: {} {}", answer.code, answer.text);
    }

    // The agent answers the API server, and no other holder of a certificate of the cluster.
    let log = format!("/containerLogs/theirs/{pod}/main");
    for (certificate, code) in
        [("", "401"), ("node-node-a", "401"), ("admin", "401"), ("apiserver-kubelet-client", "200")]
    {
        assert_eq!(asked(&cluster, certificate, &log), code, "{certificate}");
        assert_eq!(asked(&cluster, certificate, "/healthz"), "200", "{certificate}");
    }
    let other_life = format!("/containerLogs/theirs/{pod}/main?uid=another");
    assert_eq!(asked(&cluster, "apiserver-kubelet-client", &other_life), "404");

    // What was planted is in no log, at the most talkative level.
    theirs.kubectl.run(&format!("exec {pod} -- /nothing {ARGUMENT}"));
    theirs.kubectl.ok(&format!("logs {pod}"));
    let join = std::fs::read_to_string(cluster.path("data/pki/join.token")).expect("the join token");
    let mut found = Vec::new();
    logs(cluster.directory(), &mut found);
    let texts: Vec<String> =
        found.iter().map(|path| String::from_utf8_lossy(&std::fs::read(path).expect("a log")).into_owned()).collect();
    assert!(texts.iter().any(|text| text.contains("TRACE")), "no log at that level among {found:?}");
    for planted in [SECRET, "cGxhbnRlZC1zZWNyZXQtZGF0YQ", "PRIVATE KEY", token.as_str(), join.trim()] {
        for (path, text) in found.iter().zip(&texts) {
            let line = text.lines().find(|line| line.contains(planted));
            assert_eq!(line, None, "{planted} in {}", path.display());
        }
    }
    assert!(!cluster.log().contains(ARGUMENT), "the arguments of a command are logged");
}

fn findings(cluster: &Cluster) -> (i32, Value) {
    let done = cluster.everynode(&format!("audit -o json --data-dir {}", cluster.path("data").display()));
    (done.code, serde_json::from_str(&done.stdout).unwrap_or_else(|error| panic!("{error}: {done}")))
}

fn failed(found: &Value) -> Vec<String> {
    let all = found["findings"].as_array().expect("findings").iter();
    all.filter(|finding| finding["outcome"] == "fail")
        .map(|finding| finding["id"].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn audit_passes_a_new_cluster_and_names_what_was_opened() {
    let cluster = Cluster::start(Options { server_only: true, ..Options::default() });
    let accounts = || cluster.api().object("/api/v1/namespaces/kube-system/serviceaccounts/default").map(|_| ());
    cluster.until("the controllers are at work", Duration::from_secs(30), accounts);
    let (code, found) = findings(&cluster);
    assert_eq!((code, failed(&found)), (0, Vec::new()), "{found}");
    cluster
        .kubectl("default")
        .ok("create clusterrolebinding open --clusterrole=cluster-admin --group=system:unauthenticated");
    use std::os::unix::fs::PermissionsExt;
    let key = cluster.path("data/pki/sa.key");
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o644)).expect("open the key");
    let (code, found) = findings(&cluster);
    // Who is cluster-admin may do all that the items about single rights are about, too.
    let opened = ["1.1.21", "1.2.1", "5.1.1", "5.1.2", "5.1.8", "5.1.10", "5.1.13"].map(str::to_owned);
    assert_eq!((code, failed(&found)), (8, opened.to_vec()), "{found}");
    let told = cluster.everynode(&format!("audit --data-dir {}", cluster.path("data").display()));
    let told = told.failed_with("7 items failed");
    assert!(
        told.stdout.contains("pki/sa.key: mode 0644") && told.stdout.contains("open gives cluster-admin to"),
        "{told}"
    );
}
