//! The commands that people use, unmodified; a quick round of them by every version of kubectl that
//! is here.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::{Cluster, Kubectl, Outcome, Space, daemon_set, name, newer_and_older};

const NODE: &str = "node-a";

/// A set whose pod says a line for each number and has a second container.
fn talker() -> Value {
    let mut set = daemon_set("talker", &["log-writer", "--prefix", "said", "--every-ms", "20", "--count", "50"]);
    let containers = set["spec"]["template"]["spec"]["containers"].as_array_mut().unwrap();
    containers.push(json!({"name": "other", "image": "localhost/everynode/testtool:1",
        "args": ["log-writer", "--prefix", "other", "--every-ms", "20", "--count", "3"]}));
    set["metadata"]["annotations"] = json!({"kubernetes.io/change-cause": "the first one"});
    set
}

fn talking<'a>(namespace: &str) -> (Space<'a>, String) {
    let space = Cluster::shared().space(namespace);
    space.kubectl.apply(talker());
    let pod = name(&space.rolled_out("talker")[0]);
    (space, pod)
}

/// DS-A50, DS-I38, DS-I39, DS-I36, DS-I37
#[test]
fn get_prints_every_form() {
    let (space, pod) = talking("get");
    let kubectl = &space.kubectl;
    kubectl
        .run("get daemonsets")
        .printed("NAME     DESIRED   CURRENT   READY   UP-TO-DATE   AVAILABLE   NODE SELECTOR   AGE");
    kubectl.run("get ds -o wide").printed("main,other");
    kubectl.run("get pods -o wide").printed(NODE);
    kubectl.run("get ds talker -o yaml").printed("kind: DaemonSet");
    let object: Value = serde_json::from_str(&kubectl.ok("get ds talker -o json")).expect("JSON");
    assert_eq!(object["status"]["numberReady"], 1);
    assert_eq!(kubectl.ok("get ds -o name"), "daemonset.apps/talker\n");
    assert_eq!(kubectl.ok("get ds talker -o jsonpath={.status.numberReady}"), "1");
    kubectl.run("get pods -o custom-columns=WHO:.metadata.name,WHERE:.spec.nodeName").printed("WHO");
    assert_eq!(kubectl.ok("get pods -l app=talker -o name"), format!("pod/{pod}\n"));
    assert_eq!(kubectl.ok("get pods -l app!=talker -o name"), "");
    assert_eq!(
        kubectl.ok(&format!("get pods --field-selector=spec.nodeName={NODE},status.phase=Running -o name")),
        format!("pod/{pod}\n")
    );
    kubectl.run("get pods -A").printed("NAMESPACE");
    kubectl.run("wait --for=jsonpath={.status.numberReady}=1 ds/talker --timeout=10s").printed("condition met");
    kubectl.run(&format!("wait --for=condition=Ready pod/{pod} --timeout=10s")).printed("condition met");
    kubectl.run("get all").printed("daemonset.apps/talker");
    kubectl.run("get nodes -o wide").printed("containerd://");
    kubectl.run("get events").printed("SuccessfulCreate");
    kubectl.run("get pods --show-labels").printed("app=talker");
    kubectl.run("get ds nothing").failed_with("Error from server (NotFound): daemonsets.apps \"nothing\" not found");
    kubectl.run("get pods --chunk-size=1 -A -o name").printed(&pod);
    kubectl.run("get controllerrevisions").printed("daemonset.apps/talker");
}

/// DS-I32, DS-I33: a watch prints what happens while it runs.
#[test]
fn a_watch_prints_changes() {
    let space = Cluster::shared().space("watch");
    let mut watch = space.kubectl.command("get configmaps --watch -o name");
    let mut child = watch.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let (said, lines) = std::sync::mpsc::channel();
    let output = child.stdout.take().unwrap();
    let reader = std::thread::spawn(move || {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            let _ = said.send(line);
        }
    });
    let wait_for = |wanted: &str| loop {
        let line =
            lines.recv_timeout(Duration::from_secs(20)).unwrap_or_else(|_| panic!("the watch did not print {wanted}"));
        if line == wanted {
            return;
        }
    };
    wait_for("configmap/kube-root-ca.crt");
    space.kubectl.ok("create configmap seen --from-literal=a=b");
    wait_for("configmap/seen");
    space.kubectl.ok("label configmap seen changed=yes");
    wait_for("configmap/seen");
    child.kill().unwrap();
    child.wait().unwrap();
    reader.join().unwrap();
}

/// DS-A53, DS-I44
#[test]
fn describe_shows_sets_pods_and_nodes_with_their_events() {
    let (space, pod) = talking("describe");
    let text = space.kubectl.ok("describe daemonset talker");
    for words in [
        "Desired Number of Nodes Scheduled: 1",
        "Pods Status:  1 Running / 0 Waiting",
        "SuccessfulCreate",
        "Image:      localhost/everynode/testtool:1",
    ] {
        assert!(text.contains(words), "{words:?} is not in\n{text}");
    }
    let text = space.kubectl.ok(&format!("describe pod {pod}"));
    for words in [
        "Controlled By:  DaemonSet/talker",
        "State:          Running",
        "Scheduled",
        "Pulled",
        "Created",
        "Started",
        "QoS Class:",
    ] {
        assert!(text.contains(words), "{words:?} is not in\n{text}");
    }
    let text = space.kubectl.ok(&format!("describe node {NODE}"));
    for words in ["Non-terminated Pods:", &pod, "KubeletReady", "Allocatable:", "HolderIdentity:  node-a"] {
        assert!(text.contains(words), "{words:?} is not in\n{text}");
    }
}

/// DS-H52
#[test]
fn logs_of_every_kind() {
    let (space, pod) = talking("logs");
    let kubectl = &space.kubectl;
    space.log_with(&pod, "main", "said 50\n");
    space.log_with(&pod, "other", "other 3\n");
    assert_eq!(kubectl.ok(&format!("logs {pod} -c main")).lines().count(), 50);
    assert_eq!(kubectl.ok(&format!("logs {pod} -c main --tail=2")), "said 49\nsaid 50\n");
    assert_eq!(kubectl.ok("logs -l app=talker -c other --tail=-1"), "other 1\nother 2\nother 3\n");
    let prefixed = kubectl.ok("logs -l app=talker --all-containers --prefix --tail=1");
    assert!(prefixed.contains(&format!("[pod/{pod}/other] other 3")), "{prefixed}");
    kubectl.run("logs ds/talker -c other").printed("other 3");
    assert_eq!(kubectl.ok(&format!("logs {pod} -c other --since=1h")).lines().count(), 3);
    let stamped = kubectl.ok(&format!("logs {pod} -c other --timestamps"));
    assert!(stamped.lines().all(|line| line.contains('T') && line.contains(" other ")), "{stamped}");
    assert_eq!(kubectl.ok(&format!("logs {pod} -c other --limit-bytes=7")), "other 1");
    kubectl.run(&format!("logs {pod} -c none")).failed_with("container none is not valid for pod");
    kubectl.run(&format!("logs {pod} -c main --previous")).failed_with("previous terminated container \"main\" in pod");
    let followed = Outcome::of(&mut kubectl.command(&format!("logs {pod} -c main -f")), None, Duration::from_secs(2));
    assert!(followed.stdout.ends_with("said 50\n"), "{followed}");
}

/// DS-H53: exit codes, standard input, both streams.
#[test]
fn exec_passes_streams_and_exit_codes() {
    let space = Cluster::shared().space("exec");
    let mut set = daemon_set("shell", &["-c", "exec sleep 1000000"]);
    let main = &mut set["spec"]["template"]["spec"]["containers"][0];
    main["image"] = json!("localhost/everynode/busybox:1");
    main["command"] = json!(["/bin/sh"]);
    space.kubectl.apply(set);
    let pod = name(&space.rolled_out("shell")[0]);
    let exec = |kubectl: &Kubectl, script: &str| kubectl.words(&["exec", &pod, "--", "/bin/sh", "-c", script]);
    let kubectls = newer_and_older().into_iter().map(|program| space.kubectl.program(&program));
    for kubectl in std::iter::once(space.kubectl.clone()).chain(kubectls) {
        let done = exec(&kubectl, "echo out; echo err >&2; exit 7");
        assert_eq!((done.code, done.stdout.as_str()), (7, "out\n"), "{done}");
        assert!(done.stderr.starts_with("err\n"), "{done}");
        let through = kubectl.input(&format!("exec -i {pod} -- /bin/sh -c cat"), "through and back\n").succeeded();
        assert_eq!(through.stdout, "through and back\n", "{through}");
        kubectl.run(&format!("exec {pod} -- /no/such/program")).failed_with("no such file or directory");
    }
    let much = exec(
        &space.kubectl,
        "i=0; while [ $i -lt 20000 ]; do echo 0123456789012345678901234567890123456789; i=$((i+1)); done",
    );
    assert_eq!(much.succeeded().stdout.len(), 20_000 * 41);
    space.kubectl.run("exec ds/shell -- hostname").printed(&pod);
}

/// DS-H53: a terminal, a port and an attached output, over SPDY (kubectl up to 1.30) and over
/// WebSocket.
#[test]
fn terminals_ports_and_attached_outputs_work_by_every_kubectl() {
    let space = Cluster::shared().space("streams");
    let mut set = daemon_set("streams", &["http", "--port", "8080", "--body", "through the port"]);
    let containers = set["spec"]["template"]["spec"]["containers"].as_array_mut().unwrap();
    containers.push(json!({"name": "shell", "image": "localhost/everynode/busybox:1",
        "command": ["/bin/sh", "-c", "while true; do echo tick; sleep 0.2; done"]}));
    space.kubectl.apply(set);
    let pod = name(&space.rolled_out("streams")[0]);
    let others = newer_and_older().into_iter().map(|program| space.kubectl.program(&program));
    for kubectl in std::iter::once(space.kubectl.clone()).chain(others) {
        let line = kubectl.line(&format!("exec -it {pod} -c shell -- /bin/sh -c 'tty && exit 3'"));
        let terminal =
            Outcome::of(Command::new("script").args(["-qec", &line, "/dev/null"]), None, Duration::from_secs(20));
        assert!(terminal.code == 3 && terminal.stdout.contains("/dev/pts/"), "{terminal}");
        let attached =
            Outcome::of(&mut kubectl.command(&format!("attach {pod} -c shell")), None, Duration::from_millis(1500));
        assert!(attached.stdout.contains("tick\n"), "{attached}");
        a_port_is_forwarded(&kubectl, &pod);
    }
}

fn a_port_is_forwarded(kubectl: &Kubectl, pod: &str) {
    let mut forward = kubectl.command(&format!("port-forward pod/{pod} :8080"));
    let mut child = forward.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    // Kept: it ends when its output is closed.
    let mut output = BufReader::new(child.stdout.take().unwrap());
    output.read_line(&mut line).unwrap();
    let address = line.split_whitespace().nth(2).unwrap_or_default().to_owned();
    let said = Outcome::of(
        Command::new("curl").args(["-sS", "-m", "10", &format!("http://{address}/")]),
        None,
        Duration::from_secs(15),
    );
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(said.stdout.contains("through the port"), "{line} {said} by {forward:?}");
}

/// DS-G15 to DS-G18
#[test]
fn cordon_and_drain_respect_daemon_pods() {
    let (space, pod) = talking("drain");
    let kubectl = &space.kubectl;
    kubectl.run(&format!("cordon {NODE}")).printed("node/node-a cordoned");
    kubectl.run(&format!("cordon {NODE}")).printed("already cordoned");
    kubectl.run("get nodes").printed("SchedulingDisabled");
    kubectl.run(&format!("drain {NODE} --pod-selector=app=talker")).failed_with("cannot delete DaemonSet-managed Pods");
    let drained = kubectl.run(&format!("drain {NODE} --ignore-daemonsets --pod-selector=app=talker"));
    assert!(drained.stderr.contains("ignoring DaemonSet-managed Pods"), "{drained}");
    drained.printed("drained");
    assert!(space.object(&format!("pods/{pod}")).unwrap()["metadata"]["deletionTimestamp"].is_null());
    kubectl.run(&format!("uncordon {NODE}")).printed("uncordoned");
}

/// DS-I13, DS-I14, DS-I20, DS-I21
#[test]
fn objects_are_changed_in_every_way() {
    let (space, _pod) = talking("change");
    let kubectl = &space.kubectl;
    kubectl.run("label ds talker tier=node").printed("labeled");
    kubectl.run("label ds talker tier=edge").failed_with("already has a value (node)");
    kubectl.run("label ds talker tier-").printed("unlabeled");
    kubectl.run("annotate ds talker note=hello").printed("annotated");
    kubectl
        .words(&["patch", "ds", "talker", "--type=merge", "-p", r#"{"spec":{"minReadySeconds":1}}"#])
        .printed("patched");
    kubectl
        .words(&[
            "patch",
            "ds",
            "talker",
            "--type=json",
            "-p",
            r#"[{"op":"replace","path":"/spec/minReadySeconds","value":2}]"#,
        ])
        .printed("patched");
    kubectl.words(&["patch", "ds", "talker", "-p", r#"{"spec":{"minReadySeconds":0}}"#]).printed("patched");
    kubectl.words(&["patch", "ds", "talker", "-p", r#"{"spec":{"minReadySeconds":0}}"#]).printed("(no change)");
    assert!(kubectl.apply(talker()).contains("unchanged") || kubectl.apply(talker()).contains("unchanged"));
    kubectl
        .input("apply --dry-run=server -f -", &daemon_set("dry", &["sleep"]).to_string())
        .printed("dry created (server dry run)");
    kubectl.run("get ds dry").failed_with("not found");
    kubectl.input("create -f -", &talker().to_string()).failed_with("daemonsets.apps \"talker\" already exists");
    kubectl.input("replace -f -", &talker().to_string()).printed("replaced");
    kubectl.input("diff -f -", &talker().to_string());
    kubectl.run(&format!("taint node {NODE} soft=yes:PreferNoSchedule")).printed("tainted");
    kubectl.run(&format!("taint node {NODE} soft-")).printed("untainted");
    let mut edit = kubectl.command("edit ds talker");
    edit.env("KUBE_EDITOR", "sed -i 's/revisionHistoryLimit: .*/revisionHistoryLimit: 3/'");
    Outcome::of(&mut edit, None, Duration::from_secs(20)).printed("edited");
    assert_eq!(kubectl.ok("get ds talker -o jsonpath={.spec.revisionHistoryLimit}"), "3");
    kubectl.run("rollout history ds/talker").printed("the first one");
    kubectl.run("delete ds talker --now").printed("deleted");
}

/// A pod on the node's own namespaces, with its disk at /host; one by every kubectl.
#[test]
fn debug_shows_the_node() {
    let space = Cluster::shared().space("debug");
    let mut kubectls = vec![space.kubectl.clone()];
    kubectls.extend(newer_and_older().iter().map(|program| space.kubectl.program(program)));
    let debug = format!("debug node/{NODE} --image=localhost/everynode/busybox:1 -- /bin/sh -c");
    let words: Vec<&str> = debug.split(' ').chain(["echo seen by $(cat /host/etc/debian_version)"]).collect();
    for kubectl in &kubectls {
        kubectl.words(&words).succeeded();
    }
    let version = std::fs::read_to_string("/etc/debian_version").expect("tests run on Debian");
    space.until("every debugger's output is in its log", || {
        let pods = space.kubectl.ok("get pods -o name");
        let logs: Vec<_> = pods.lines().map(|pod| space.kubectl.run(&format!("logs {pod}"))).collect();
        let seen = |log: &&Outcome| log.stdout.contains(&format!("seen by {version}"));
        let count = logs.iter().filter(seen).count();
        if count == kubectls.len() { Ok(()) } else { Err(format!("{count} of {}: {}", kubectls.len(), logs.len())) }
    });
}

/// DS-I01 to DS-I04
#[test]
fn the_server_explains_itself() {
    let cluster = Cluster::shared();
    let kubectl = cluster.kubectl("default");
    kubectl.run("explain daemonset.spec.updateStrategy.rollingUpdate.maxSurge").printed("maxSurge");
    kubectl.run("api-resources").printed("daemonsets");
    kubectl.run("api-resources --api-group=apps -o name").printed("daemonsets.apps");
    kubectl.run("api-versions").printed("apps/v1");
    kubectl.run("version").printed("Server Version: v1.36");
    kubectl.run("cluster-info").printed("is running at");
    kubectl.run("auth can-i create daemonsets").printed("yes");
    kubectl.run("auth can-i --list").printed("*.*");
    let denied = kubectl.run("auth can-i list secrets --as=system:serviceaccount:default:default");
    assert_eq!((denied.stdout.trim(), denied.code), ("no", 1), "{denied}");
    kubectl.run("get --raw /readyz").printed("ok");
    kubectl.run("get --raw /readyz?verbose").printed("readyz check passed");
}

/// The same quick round with each version that is here.
#[test]
fn every_version_of_kubectl_works() {
    let (space, pod) = talking("versions");
    for program in newer_and_older() {
        let kubectl = space.kubectl.program(&program);
        let own = program.file_name().unwrap().to_string_lossy().replace('.', "-");
        quick_round(&kubectl, &space, &pod, &own);
    }
}

fn quick_round(kubectl: &Kubectl, space: &Space<'_>, pod: &str, own: &str) {
    kubectl.run("version").printed("v1.36.0+everynode");
    kubectl.run("get ds,pods -o wide").printed(pod);
    kubectl.run("describe ds talker").printed("SuccessfulCreate");
    kubectl.run(&format!("logs {pod} -c other --tail=1")).printed("other 3");
    kubectl.run("rollout status ds/talker --timeout=20s").printed("successfully rolled out");
    kubectl.run("rollout history ds/talker").printed("the first one");
    kubectl.run("explain ds.spec.selector").printed("selector");
    kubectl.run(&format!("label pod {pod} {own}=yes")).printed("labeled");
    // A set that runs nowhere: what counts here is the client's way to the server.
    let mut set = daemon_set(own, &["sleep"]);
    set["spec"]["template"]["spec"]["nodeSelector"] = json!({"no-such": "node"});
    kubectl.apply(&set);
    kubectl.run(&format!("set image ds/{own} main=localhost/everynode/testtool:2")).printed("image updated");
    kubectl.input("apply -f -", &set.to_string()).printed("configured");
    set["spec"]["unknown"] = json!(1);
    kubectl.input("apply -f -", &set.to_string()).failed_with("unknown field \"spec.unknown\"");
    kubectl.run(&format!("delete ds {own}")).printed("deleted");
    // Typed clients send protobuf since 1.32 (DS-I06).
    for words in [
        "configmap NAME --from-literal=a=b",
        "secret generic NAME --from-literal=a=b",
        "role NAME --verb=get --resource=pods",
    ] {
        kubectl.run(&format!("create {}", words.replace("NAME", own))).printed("created");
    }
    kubectl.run(&format!("get secret {own} -o jsonpath={{.data.a}}")).printed("Yg==");
    kubectl.run("auth can-i list pods").printed("yes");
    kubectl.run("create token default").printed(".");
    assert!(space.object(&format!("daemonsets/{own}")).is_err());
}
