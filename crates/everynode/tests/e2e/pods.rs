//! One pod on one node: what its container sees, how it ends, and what happens when something is
//! wrong or missing.

use serde_json::{Value, json};

use crate::harness::{Cluster, Space, condition, container, daemon_set, name, text};

fn main_of(set: &mut Value) -> &mut Value {
    &mut set["spec"]["template"]["spec"]["containers"][0]
}

fn pod_spec(set: &mut Value) -> &mut Value {
    &mut set["spec"]["template"]["spec"]
}

fn exec(space: &Space<'_>, pod: &Value, command: &str) -> String {
    space.kubectl.ok(&format!("exec {} -- {command}", name(pod)))
}

/// DS-H05, DS-H10, DS-L04: restarts in place, with a growing delay that users see; the last words
/// stay readable.
#[test]
fn a_crash_loop_backs_off_and_says_so() {
    let space = Cluster::shared().space("crash-loop");
    space.kubectl.apply(daemon_set("crash", &["exit", "3", "--message", "last words"]));
    let pod = space.pod_that("crash", "backs off after a restart", |pod| {
        let status = container(pod, "main");
        status["restartCount"].as_u64() >= Some(1) && status["state"]["waiting"]["reason"] == "CrashLoopBackOff"
    });
    let status = container(&pod, "main");
    assert_eq!(status["lastState"]["terminated"]["exitCode"], 3, "{status}");
    assert_eq!(status["lastState"]["terminated"]["reason"], "Error", "{status}");
    assert_eq!(status["lastState"]["terminated"]["message"], "last words", "{status}");
    let waiting = text(&status["state"]["waiting"]["message"]);
    let expected = format!("back-off 10s restarting failed container=main pod={}_crash-loop(", name(&pod));
    assert!(waiting.starts_with(&expected), "{waiting}");
    let event = space.event("BackOff", "Back-off restarting failed container main in pod");
    assert_eq!(event["type"], "Warning");
    space.kubectl.run(&format!("logs {} --previous", name(&pod))).printed("last words");
    let set = space.object("daemonsets/crash").unwrap();
    assert_eq!(set["status"]["numberReady"], 0, "{}", set["status"]);
    // The same pod all the time: crashes are the node's affair.
    assert_eq!(space.pods("crash").unwrap().len(), 1);
}

/// DS-H15, DS-H17, DS-H18: the container is restarted, the pod stays.
#[test]
fn a_failed_liveness_probe_restarts_the_container() {
    let space = Cluster::shared().space("liveness");
    let mut set = daemon_set("alive", &["http", "--port", "8080"]);
    main_of(&mut set)["livenessProbe"] =
        json!({"httpGet": {"path": "/healthz", "port": 8080}, "periodSeconds": 1, "failureThreshold": 2});
    space.kubectl.apply(set);
    let before = space.rolled_out("alive").remove(0);
    exec(&space, &before, "/testtool http-get http://127.0.0.1:8080/fail");
    let after = space.pod_that("alive", "was restarted", |pod| {
        let status = container(pod, "main");
        status["restartCount"] == 1 && status["state"]["running"].is_object()
    });
    assert_eq!(after["metadata"]["uid"], before["metadata"]["uid"]);
    space.event("Unhealthy", "Liveness probe failed: HTTP probe failed with statuscode: 503");
    space.event("Killing", "Container main failed liveness probe, will be restarted");
}

/// DS-H02, DS-H03, DS-E04: not ready is not restarted, and the set's status follows both ways.
#[test]
fn readiness_gates_ready_and_follows_the_probe() {
    let space = Cluster::shared().space("readiness");
    let mut set = daemon_set("gated", &["http", "--port", "8080", "--health-file", "/tmp/health"]);
    main_of(&mut set)["readinessProbe"] =
        json!({"httpGet": {"path": "/readyz", "port": 8080}, "periodSeconds": 1, "failureThreshold": 1});
    main_of(&mut set)["volumeMounts"] = json!([{"name": "tmp", "mountPath": "/tmp"}]);
    pod_spec(&mut set)["volumes"] = json!([{"name": "tmp", "emptyDir": {}}]);
    space.kubectl.apply(set);
    let not_ready = space.pod_that("gated", "runs and is not ready", |pod| {
        container(pod, "main")["state"]["running"].is_object() && condition(pod, "Ready")["status"] == "False"
    });
    assert_eq!(condition(&not_ready, "Ready")["reason"], "ContainersNotReady");
    assert_eq!(text(&condition(&not_ready, "Ready")["message"]), "containers with unready status: [main]");
    space.event("Unhealthy", "Readiness probe failed: HTTP probe failed with statuscode: 503");

    exec(&space, &not_ready, "/testtool write /tmp/health x");
    let ready = space.rolled_out("gated").remove(0);
    exec(&space, &ready, "/testtool http-get http://127.0.0.1:8080/fail");
    space.until("the set has no ready pod", || {
        let status = space.object("daemonsets/gated")?["status"].clone();
        if status["numberReady"] == 0 { Ok(()) } else { Err(status.to_string()) }
    });
    let pod = space.pods("gated").unwrap().remove(0);
    assert_eq!(container(&pod, "main")["restartCount"], 0);
}

/// DS-H16, DS-H18: every kind of probe handler; liveness waits for the startup probe.
#[test]
fn exec_tcp_and_grpc_probes_work() {
    let space = Cluster::shared().space("probes");
    let mut set = daemon_set("probed", &["grpc-health", "--port", "9000"]);
    let main = main_of(&mut set);
    main["startupProbe"] = json!({"exec": {"command": ["/testtool", "ls", "/"]}, "periodSeconds": 1});
    main["livenessProbe"] = json!({"tcpSocket": {"port": 9000}, "periodSeconds": 1});
    main["readinessProbe"] = json!({"grpc": {"port": 9000}, "periodSeconds": 1});
    space.kubectl.apply(set);
    let pod = space.rolled_out("probed").remove(0);
    assert_eq!(container(&pod, "main")["started"], true);
    assert_eq!(container(&pod, "main")["restartCount"], 0);
}

/// DS-H34, DS-H42, DS-L06: a missing config map is named, and nothing but creating it is needed.
#[test]
fn a_missing_config_map_is_named_and_its_appearance_is_enough() {
    let space = Cluster::shared().space("late-config");
    let mut by_env = daemon_set("by-env", &["sleep"]);
    main_of(&mut by_env)["env"] =
        json!([{"name": "WORD", "valueFrom": {"configMapKeyRef": {"name": "late", "key": "word"}}}]);
    let mut by_volume = daemon_set("by-volume", &["sleep"]);
    main_of(&mut by_volume)["volumeMounts"] = json!([{"name": "words", "mountPath": "/words"}]);
    pod_spec(&mut by_volume)["volumes"] = json!([{"name": "words", "configMap": {"name": "late"}}]);
    space.kubectl.apply(by_env);
    space.kubectl.apply(by_volume);

    let pod = space.pod_that("by-env", "waits for its config", |pod| {
        container(pod, "main")["state"]["waiting"]["reason"] == "CreateContainerConfigError"
    });
    assert_eq!(container(&pod, "main")["state"]["waiting"]["message"], "configmap \"late\" not found");
    space.event("FailedMount", "MountVolume.SetUp failed for volume \"words\" : configmap \"late\" not found");

    space.kubectl.ok("create configmap late --from-literal=word=hello");
    let pod = space.rolled_out("by-env").remove(0);
    assert_eq!(exec(&space, &pod, "/testtool env WORD"), "WORD=hello\n");
    let pod = space.rolled_out("by-volume").remove(0);
    assert_eq!(exec(&space, &pod, "/testtool cat /words/word"), "hello");
}

/// DS-H30, DS-L07: a hostPath of the wrong type is refused, and taken once it is right.
#[test]
fn a_host_path_of_the_wrong_type_is_refused_until_it_is_right() {
    let cluster = Cluster::shared();
    let space = cluster.space("host-path");
    let path = cluster.path("host-path");
    std::fs::write(&path, "a file").unwrap();
    let mut set = daemon_set("typed", &["ls", "/data"]);
    main_of(&mut set)["args"] = json!(["sleep"]);
    main_of(&mut set)["volumeMounts"] = json!([{"name": "data", "mountPath": "/data"}]);
    pod_spec(&mut set)["volumes"] = json!([{"name": "data", "hostPath": {"path": path, "type": "Directory"}}]);
    space.kubectl.apply(set);
    space.event("FailedMount", &format!("hostPath type check failed: {} is not a directory", path.display()));
    std::fs::remove_file(&path).unwrap();
    std::fs::create_dir(&path).unwrap();
    space.rolled_out("typed");
}

/// DS-H33, DS-H35, DS-H36, DS-H40, DS-H41, DS-H42: what a container finds in its environment and
/// its volumes.
#[test]
fn a_container_finds_its_environment_and_volumes() {
    let space = Cluster::shared().space("inside");
    space.kubectl.ok("create configmap settings --from-literal=color=blue --from-literal=size=3");
    space.kubectl.ok("create secret generic hidden --from-literal=password=swordfish");
    space.kubectl.apply(well_equipped());
    let pod = space.rolled_out("inside").remove(0);

    let environment = exec(&space, &pod, "/testtool env");
    let expected = [
        format!("POD={}", name(&pod)),
        "NODE=node-a".to_owned(),
        "MEMORY=64".to_owned(),
        "GREETING=hello from node-a, $(NOBODY) and $(NODE)".to_owned(),
        "PASSWORD=swordfish".to_owned(),
        "SET_color=blue".to_owned(),
        format!("POD_IP={}", text(&pod["status"]["podIP"])),
    ];
    for line in expected {
        assert!(environment.lines().any(|found| found == line), "{line} is not in\n{environment}");
    }
    assert_eq!(exec(&space, &pod, "/testtool cat /config/the-color /only/size /secret/password"), "blue3swordfish");
    assert!(exec(&space, &pod, "/testtool cat /about/labels").contains("app=\"inside\""));
    assert_eq!(exec(&space, &pod, "/testtool cat /all/color /all/password"), "blueswordfish");
    exec(&space, &pod, "/testtool write /scratch/x kept");
    assert!(exec(&space, &pod, "/testtool cat /etc/hosts").contains("# Kubernetes-managed hosts file."));
    assert!(exec(&space, &pod, "/testtool id").contains("Uid:\t1234"));
}

fn well_equipped() -> Value {
    let mut set = daemon_set("inside", &["sleep"]);
    let field = |path: &str| json!({"fieldRef": {"fieldPath": path}});
    let main = main_of(&mut set);
    main["env"] = json!([
        {"name": "POD", "valueFrom": field("metadata.name")},
        {"name": "NODE", "valueFrom": field("spec.nodeName")},
        {"name": "POD_IP", "valueFrom": field("status.podIP")},
        {"name": "MEMORY", "valueFrom": {"resourceFieldRef": {"resource": "limits.memory", "divisor": "1Mi"}}},
        {"name": "GREETING", "value": "hello from $(NODE), $(NOBODY) and $$(NODE)"},
        {"name": "PASSWORD", "valueFrom": {"secretKeyRef": {"name": "hidden", "key": "password"}}},
    ]);
    main["envFrom"] = json!([{"prefix": "SET_", "configMapRef": {"name": "settings"}}]);
    main["resources"] = json!({"limits": {"memory": "64Mi"}});
    main["securityContext"] = json!({"runAsUser": 1234});
    main["volumeMounts"] = json!([
        {"name": "config", "mountPath": "/config"},
        {"name": "config-all", "mountPath": "/only/size", "subPath": "size"},
        {"name": "secret", "mountPath": "/secret"},
        {"name": "about", "mountPath": "/about"},
        {"name": "all", "mountPath": "/all"},
        {"name": "scratch", "mountPath": "/scratch"},
    ]);
    let labels = json!({"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}});
    pod_spec(&mut set)["volumes"] = json!([
        {"name": "config", "configMap": {"name": "settings", "items": [{"key": "color", "path": "the-color"}]}},
        {"name": "config-all", "configMap": {"name": "settings"}},
        {"name": "secret", "secret": {"secretName": "hidden"}},
        {"name": "about", "downwardAPI": {"items": [labels]}},
        {"name": "all", "projected": {"sources": [{"configMap": {"name": "settings"}}, {"secret": {"name": "hidden"}}]}},
        {"name": "scratch", "emptyDir": {"medium": "Memory", "sizeLimit": "1Mi"}},
    ]);
    set
}

/// DS-H33, DS-H34: a changed config map reaches the volume of a running pod.
#[test]
fn a_changed_config_map_reaches_a_running_pod() {
    let space = Cluster::shared().space("live-config");
    space.kubectl.ok("create configmap live --from-literal=word=first");
    let mut set = daemon_set("live", &["sleep"]);
    main_of(&mut set)["volumeMounts"] = json!([{"name": "words", "mountPath": "/words"}]);
    pod_spec(&mut set)["volumes"] = json!([{"name": "words", "configMap": {"name": "live"}}]);
    space.kubectl.apply(set);
    let pod = space.rolled_out("live").remove(0);
    space.kubectl.words(&["patch", "configmap", "live", "-p", r#"{"data":{"word":"second"}}"#]).succeeded();
    let words = format!("exec {} -- /testtool cat /words/word", name(&pod));
    Cluster::shared().until("the volume has the new word", std::time::Duration::from_secs(100), || {
        let found = space.kubectl.run(&words);
        if found.stdout == "second" { Ok(()) } else { Err(found.to_string()) }
    });
}

/// DS-H05, DS-H48: the memory limit holds, and its breach is told apart from a crash.
#[test]
fn a_memory_limit_ends_the_container_as_oom_killed() {
    let space = Cluster::shared().space("memory");
    let mut set = daemon_set("hungry", &["mem", "200"]);
    main_of(&mut set)["resources"] = json!({"limits": {"memory": "24Mi"}});
    space.kubectl.apply(set);
    let pod = space.pod_that("hungry", "was killed for its memory", |pod| {
        let status = container(pod, "main");
        let ends = [&status["lastState"]["terminated"], &status["state"]["terminated"]];
        ends.iter().any(|end| end["reason"] == "OOMKilled" && end["exitCode"] == 137)
    });
    assert_eq!(pod["status"]["qosClass"], "Burstable", "DS-H07: a request follows from the limit, for memory only");
}

/// A disk that a pod fills ends the pod, in Kubernetes' words; its processes are counted.
#[test]
fn what_a_pod_may_use_of_a_node_is_bounded() {
    let cluster = Cluster::shared();
    let space = cluster.space("bounded");
    space.takes_pods();
    let pod = |name: &str, script: &str| {
        json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": {
            "automountServiceAccountToken": false, "terminationGracePeriodSeconds": 1,
            "volumes": [{"name": "v", "emptyDir": {"sizeLimit": "1Mi"}}],
            "containers": [{"name": "main", "image": "localhost/everynode/busybox:1",
                "command": ["/bin/sh", "-c", script], "volumeMounts": [{"name": "v", "mountPath": "/v"}]}]}})
    };
    space.kubectl.apply(pod("full", "dd if=/dev/zero of=/v/f bs=1M count=8; sleep 1000"));
    space.kubectl.apply(pod("modest", "echo here >/v/f; sleep 1000"));
    let ended = space.until("the pod that fills its volume is ended", || {
        let pod = space.object("pods/full")?;
        if pod["status"]["phase"] == "Failed" { Ok(pod) } else { Err(pod["status"].to_string()) }
    });
    let message = "Usage of EmptyDir volume \"v\" exceeds the limit \"1Mi\". ";
    assert_eq!((&ended["status"]["reason"], &ended["status"]["message"]), (&json!("Evicted"), &json!(message)));
    space.event("Evicted", "exceeds the limit");
    let modest = space.object("pods/modest").unwrap();
    assert_eq!(modest["status"]["phase"], "Running", "{modest}");
    let group = format!("pod{}", text(&modest["metadata"]["uid"]));
    let found = std::process::Command::new("find")
        .args(["/sys/fs/cgroup", "-type", "f", "-path", &format!("*/{group}/pids.max")])
        .args(["-exec", "cat", "{}", ";"])
        .output()
        .expect("run find");
    let limits = String::from_utf8_lossy(&found.stdout).into_owned();
    assert_eq!(limits.trim(), "4096", "{}", String::from_utf8_lossy(&found.stderr));
}

/// DS-H24, DS-H25, DS-L10: the grace period is kept and not exceeded, and preStop comes first.
#[test]
fn termination_is_graceful_and_bounded() {
    let cluster = Cluster::shared();
    let space = cluster.space("graceful");
    let place = cluster.path("graceful");
    let mut polite = daemon_set("polite", &["trap-term", "1"]);
    main_of(&mut polite)["volumeMounts"] = json!([{"name": "host", "mountPath": "/host"}]);
    main_of(&mut polite)["lifecycle"] =
        json!({"preStop": {"exec": {"command": ["/testtool", "write", "/host/pre-stop", "ran"]}}});
    pod_spec(&mut polite)["volumes"] =
        json!([{"name": "host", "hostPath": {"path": place, "type": "DirectoryOrCreate"}}]);
    pod_spec(&mut polite)["terminationGracePeriodSeconds"] = json!(30);
    space.kubectl.apply(polite);
    space.kubectl.apply(daemon_set("stubborn", &["ignore-term"]));
    for set in ["polite", "stubborn"] {
        space.rolled_out(set);
        space.kubectl.ok(&format!("delete daemonset {set} --wait=false"));
    }
    for set in ["polite", "stubborn"] {
        space.until(&format!("the pod of {set} is gone"), || match space.pods(set)?.first() {
            Some(pod) => Err(format!("{} {}", name(pod), pod["status"])),
            None => Ok(()),
        });
    }
    let written = std::fs::read_to_string(place.join("pre-stop"));
    assert_eq!(written.ok().as_deref(), Some("ran\n"), "{}", space.kubectl.ok("get events"));
    space.event("Killing", "Stopping container main");
}

/// DS-B44, DS-B47, DS-K13: two sets want one host port; the second waits, is told why, and gets it
/// when it is free.
#[test]
fn a_host_port_in_use_is_waited_for() {
    let space = Cluster::shared().space("port-taken");
    let port = crate::harness::free_port();
    let with_port = |name: &str| {
        let mut set = daemon_set(name, &["http", "--port", "8080"]);
        main_of(&mut set)["ports"] = json!([{"containerPort": 8080, "hostPort": port}]);
        set
    };
    space.kubectl.apply(with_port("first"));
    space.rolled_out("first");
    space.kubectl.apply(with_port("second"));
    space.event(
        "FailedScheduling",
        "0/1 nodes are available: 1 node(s) didn't have free ports for the requested pod ports",
    );
    space.kubectl.ok("delete daemonset first --wait=false");
    space.rolled_out("second");
}
