//! Mistakes of users and misfortunes of machines: each has an error that names the thing, and harms
//! nothing else.

use std::path::Path;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::harness::{Cluster, Directory, Options, Outcome, daemon_set, free_port, run};

const LIMIT: Duration = Duration::from_secs(20);

/// DS-A20 to DS-A34, DS-I40, DS-I42, DS-I43: what Kubernetes refuses is refused with its words, and
/// nothing is stored.
#[test]
fn wrong_manifests_are_refused_with_kubernetes_words() {
    let space = Cluster::shared().space("refused");
    let cases: Vec<(&str, Value, &str)> = vec![
        (
            "/metadata/name",
            json!("Not_A_Name"),
            "metadata.name: Invalid value: \"Not_A_Name\": a lowercase RFC 1123 subdomain must consist of",
        ),
        ("/spec/selector/matchLabels/app", json!("other"), "`selector` does not match template `labels`"),
        ("/spec/selector", json!({}), "spec.selector: Invalid value: {}: empty selector is invalid for daemonset"),
        (
            "/spec/updateStrategy",
            json!({"rollingUpdate": {"maxUnavailable": 0}}),
            "maxUnavailable: Required value: cannot be 0 when maxSurge is 0",
        ),
        (
            "/spec/updateStrategy",
            json!({"rollingUpdate": {"maxSurge": 1}}),
            "maxSurge: Invalid value: 1: may not be set when maxUnavailable is non-zero",
        ),
        ("/spec/updateStrategy", json!({"rollingUpdate": {"maxUnavailable": "150%"}}), "must not be greater than 100%"),
        ("/spec/updateStrategy", json!({"type": "Sometimes"}), "supported values: \"RollingUpdate\", \"OnDelete\""),
        (
            "/spec/minReadySeconds",
            json!(-1),
            "spec.minReadySeconds: Invalid value: -1: must be greater than or equal to 0",
        ),
        ("/spec/minReadySeconds", json!("many"), "minReadySeconds"),
        ("/spec/unknown", json!(1), "unknown field \"spec.unknown\""),
        (
            "/spec/template/spec/restartPolicy",
            json!("Never"),
            "spec.template.spec.restartPolicy: Unsupported value: \"Never\": supported values: \"Always\"",
        ),
        ("/spec/template/spec/containers", json!([]), "spec.template.spec.containers: Required value"),
        (
            "/spec/template/spec/containers/0/volumeMounts",
            json!([{"name": "nowhere", "mountPath": "/x"}]),
            "spec.template.spec.containers[0].volumeMounts[0].name: Not found: \"nowhere\"",
        ),
        ("/spec/template/spec/containers/0/ports", json!([{"containerPort": 70000}]), "must be between 1 and 65535"),
        (
            "/spec/template/spec/containers/0/resources",
            json!({"limits": {"memory": "much"}}),
            "quantities must match the regular expression",
        ),
        (
            "/spec/template/spec/containers/0/volumeMounts",
            json!([{"name": "v", "mountPath": "/x", "mountPropagation": "Bidirectional"}]),
            "available only to privileged containers",
        ),
    ];
    for (pointer, value, words) in cases {
        let manifest = changed(pointer, value).to_string();
        let refused = space.kubectl.input("apply -f -", &manifest);
        assert!(refused.code != 0 && refused.stderr.contains(words), "{pointer} should give {words:?}: {refused}");
    }
    assert_eq!(space.kubectl.ok("get daemonsets -o name"), "", "nothing of them is stored");
    space.kubectl.input("apply -f -", "kind: DaemonSet\n  bad: [indent").failed_with("error");
    for (version, kind) in [("monitoring.coreos.com/v1", "PrometheusRule"), ("apps/v1", "Deployment")] {
        let manifest = format!("apiVersion: {version}\nkind: {kind}\nmetadata: {{name: x}}");
        let words = format!("no matches for kind \"{kind}\" in version \"{version}\"");
        space.kubectl.input("apply -f -", &manifest).failed_with(&words);
    }
}

/// A good set with this at that place.
fn changed(pointer: &str, value: Value) -> Value {
    let mut set = daemon_set("wrong", &["sleep"]);
    let (parent, key) = pointer.rsplit_once('/').unwrap();
    set.pointer_mut(parent).unwrap()[key] = value;
    set
}

/// DS-I40, DS-I41: the server's own view, without kubectl's help.
#[test]
fn the_server_answers_bad_requests_with_a_status() {
    let cluster = Cluster::shared();
    let space = cluster.space("requests");
    let sets = space.path("daemonsets");
    let not_json = cluster.api().call("POST", &sets, Some("{\"kind\":"), &[]);
    assert_eq!((not_json.code, &not_json.body["reason"]), (400, &json!("BadRequest")), "{}", not_json.text);
    let wrong_type = cluster.api().post(&sets, &changed("/spec/minReadySeconds", json!("many")));
    assert_eq!(wrong_type.code, 400, "{}", wrong_type.text);
    let strict = cluster.api().post(&format!("{sets}?fieldValidation=Strict"), &changed("/spec/unknown", json!(1)));
    assert_eq!(strict.code, 400, "{}", strict.text);
    assert!(strict.text.contains("strict decoding error: unknown field"), "{}", strict.text);
    let warned = cluster.api().post(&sets, &changed("/spec/unknown", json!(1)));
    assert_eq!((warned.code, &warned.body["spec"]["unknown"]), (201, &Value::Null), "{}", warned.text);
    let invalid = cluster.api().post(&sets, &changed("/spec/selector", json!({})));
    assert_eq!(
        (invalid.code, &invalid.body["kind"], &invalid.body["reason"]),
        (422, &json!("Status"), &json!("Invalid"))
    );
    let nothing = cluster.api().get("/apis/apps/v1/namespaces/requests/nonsense");
    assert_eq!(nothing.code, 404, "{}", nothing.text);
    let big = format!("{{\"data\":\"{}\"}}", "x".repeat(4 << 20));
    let too_big = cluster.api().call("POST", &space.path("configmaps"), Some(&big), &[]);
    assert_eq!(too_big.code, 413, "DS-I46: {}", too_big.text);
    let text = cluster.api().call("POST", &sets, Some("x"), &["Content-Type: text/plain"]);
    assert_eq!(text.code, 415, "{}", text.text);
}

/// No credentials, bad ones, and ones that may not.
#[test]
fn unknown_clients_learn_that_they_are() {
    let cluster = Cluster::shared();
    let path = "/api/v1/namespaces/default/secrets";
    for (token, code) in [(None, 403), (Some("nonsense"), 401), (Some("a.b.c"), 401)] {
        let answer = cluster.api().as_token(token, path);
        let expected = [code, 401].contains(&answer.code);
        assert!(expected && answer.body["kind"] == "Status", "{token:?}: {} {}", answer.code, answer.text);
    }
    let space = cluster.space("strangers");
    let token = space.kubectl.ok("create token default");
    let answer = cluster.api().as_token(Some(token.trim()), path);
    assert_eq!(answer.code, 403, "{}", answer.text);
    let words =
        "secrets is forbidden: User \"system:serviceaccount:strangers:default\" cannot list resource \"secrets\"";
    assert!(answer.body["message"].as_str().is_some_and(|text| text.starts_with(words)), "{}", answer.text);
}

/// What is not there yet is refused by name, not ignored.
#[test]
fn what_is_not_supported_is_refused_by_name() {
    let space = Cluster::shared().space("not-yet");
    space.kubectl.run("get deployments").failed_with("the server doesn't have a resource type \"deployments\"");
}

fn up(data: &Path, listen: &str) -> Outcome {
    let data = data.display().to_string();
    run(&["up", "--no-agent", "--data-dir", &data, "--listen", listen], LIMIT)
}

#[test]
fn a_data_directory_that_cannot_be_used_is_named() {
    let directory = Directory::new();
    let file = directory.path().join("file");
    std::fs::write(&file, "not a directory").unwrap();
    let listen = format!("127.0.0.1:{}", free_port());
    for place in [file.join("below"), Path::new("/proc/everynode").to_owned()] {
        let refused = up(&place, &listen).failed_with(&place.display().to_string());
        assert_eq!(refused.code, 3, "{refused}");
    }
}

/// A file system that is read-only, and one that is full.
#[test]
fn a_read_only_or_full_disk_is_said_to_be_one() {
    let directory = Directory::new();
    let listen = format!("127.0.0.1:{}", free_port());
    for (name, options, words) in
        [("ro", "ro", "Read-only file system"), ("full", "size=4k", "No space left on device")]
    {
        let place = directory.path().join(name);
        std::fs::create_dir(&place).unwrap();
        let mounted =
            std::process::Command::new("mount").args(["-t", "tmpfs", "-o", options, "tmpfs"]).arg(&place).status();
        assert!(mounted.expect("run mount").success());
        if name == "full" {
            let _ = std::fs::write(place.join("filler"), [0; 8192]);
        }
        let refused = up(&place.join("data"), &listen);
        assert!(refused.code == 3 && refused.stderr.contains(words), "{name}: {refused}");
        assert!(refused.stderr.contains(&place.display().to_string()), "it should name the place: {refused}");
    }
}

/// The file is left as it is, for whoever can still read it.
#[test]
fn a_damaged_database_is_named_and_left_alone() {
    let cluster = Cluster::start(Options { server_only: true, ..Options::default() });
    assert_eq!(cluster.stop(Signal::TERM), Some(0));
    let data = cluster.path("data");
    let database = data.join("store/store.db");
    let damaged: Vec<u8> = (0..65_536_u32).map(|n| (n * 7 % 251) as u8).collect();
    std::fs::write(&database, &damaged).unwrap();
    let refused = up(&data, &format!("127.0.0.1:{}", free_port()));
    assert_eq!(refused.code, 3, "{refused}");
    assert!(refused.stderr.contains(&data.join("store").display().to_string()), "it should name the file: {refused}");
    assert_eq!(std::fs::read(&database).unwrap(), damaged);
}

/// A start writes nothing that is there already, room is made through the API, and no client is
/// shown a path.
#[test]
fn a_full_disk_is_left_through_the_api() {
    let cluster = Cluster::new(Options { server_only: true, ..Options::default() });
    let disk = cluster.path("data");
    std::fs::create_dir(&disk).unwrap();
    let mut mount = std::process::Command::new("mount");
    assert!(mount.args(["-t", "tmpfs", "-o", "size=48m", "tmpfs"]).arg(&disk).status().expect("run mount").success());
    cluster.up();
    let config_maps = "/api/v1/namespaces/default/configmaps";
    let config_map = |name: &str| json!({"metadata": {"name": name}, "data": {"a": "b"}});
    assert_eq!(cluster.api().post(config_maps, &config_map("kept")).code, 201);
    assert_eq!(cluster.stop(Signal::TERM), Some(0));
    let mut ballast = std::fs::File::create(disk.join("ballast")).unwrap();
    while std::io::Write::write(&mut ballast, &[0; 4096]).is_ok() {}

    cluster.up_alive();
    let refused = cluster.until("the disk is full", Duration::from_secs(20), || {
        let answer = cluster.api().post(config_maps, &json!({"metadata": {"generateName": "new-"}}));
        if answer.code == 500 { Ok(answer.text) } else { Err(format!("{} {}", answer.code, answer.text)) }
    });
    assert!(refused.contains("the disk is full") && !refused.contains("store.db"), "{refused}");
    let ready = cluster.api().get("/readyz");
    assert!(ready.code == 503 && ready.text.contains("[-]store failed: the disk is full"), "{}", ready.text);
    assert!(cluster.api().get("/metrics").text.contains("everynode_store_health{state=\"full\"} 1"));
    let deleted = cluster.api().call("DELETE", &format!("{config_maps}/kept"), None, &[]);
    assert_eq!(deleted.code, 200, "{}", deleted.text);
    assert_eq!(cluster.api().get(&format!("{config_maps}/kept")).code, 404);
}

#[test]
fn a_port_in_use_is_named() {
    let directory = Directory::new();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let listen = taken.local_addr().unwrap().to_string();
    let refused = up(&directory.path().join("data"), &listen).failed_with(&listen);
    assert_eq!(refused.code, 1, "{refused}");
}

#[test]
fn an_unreachable_runtime_is_named_by_the_node() {
    let directory = Directory::new();
    let data = directory.path().join("data").display().to_string();
    let listen = format!("127.0.0.1:{}", free_port());
    let endpoint = format!("unix://{}/no.sock", directory.path().display());
    let words = [
        "up",
        "--data-dir",
        &data,
        "--listen",
        &listen,
        "--node-name",
        "n",
        "--cri-endpoint",
        &endpoint,
        "--agent-listen",
        "127.0.0.1:0",
        "--kubelet-dir",
        &format!("{data}/kubelet"),
        "--log-dir",
        &format!("{data}/log"),
    ];
    let said = run(&words, Duration::from_secs(6));
    assert!(format!("{}{}", said.stdout, said.stderr).contains("no.sock"), "it should name the socket: {said}");
}

#[test]
fn an_agent_with_a_bad_token_or_server_says_so() {
    let cluster = Cluster::shared();
    let data = cluster.path("stranger").display().to_string();
    let arguments = cluster.arguments();
    let listen = &arguments[arguments.iter().position(|word| word == "--listen").unwrap() + 1];
    let nowhere = format!("127.0.0.1:{}", free_port());
    for (server, token) in [(listen.as_str(), "nonsense"), (nowhere.as_str(), "nonsense")] {
        let server = format!("https://{server}");
        let refused =
            run(&["agent", "--server", &server, "--token", token, "--data-dir", &data, "--node-name", "x"], LIMIT);
        assert!(refused.code != 0 && refused.code != 137, "{refused}");
    }
}

/// Arguments and manifests of the command line's own verbs.
#[test]
fn the_command_line_explains_mistakes() {
    assert_eq!(run(&["up", "--listen", "nonsense"], LIMIT).failed_with("nonsense").code, 2);
    assert_eq!(run(&["dance"], LIMIT).failed_with("dance").code, 2);
    let cluster = Cluster::shared();
    let kubeconfig = cluster.kubeconfig().display().to_string();
    let file = cluster.path("broken.yaml").display().to_string();
    std::fs::write(&file, "kind: DaemonSet\n  bad: [indent").unwrap();
    run(&["apply", "--kubeconfig", &kubeconfig, "-f", &file], LIMIT).failed_with("broken.yaml");
    run(&["apply", "--kubeconfig", &kubeconfig, "-f", "/no/such/file.yaml"], LIMIT).failed_with("/no/such/file.yaml");
    std::fs::write(&file, changed("/spec/selector", json!({})).to_string()).unwrap();
    run(&["apply", "--kubeconfig", &kubeconfig, "-f", &file], LIMIT)
        .failed_with("empty selector is invalid for daemonset");
    let unreachable = cluster.path("unreachable.yaml");
    let text = std::fs::read_to_string(cluster.kubeconfig()).unwrap();
    let arguments = cluster.arguments();
    let listen = &arguments[arguments.iter().position(|word| word == "--listen").unwrap() + 1];
    std::fs::write(&unreachable, text.replace(listen.as_str(), &format!("127.0.0.1:{}", free_port()))).unwrap();
    let refused = run(&["status", "--kubeconfig", &unreachable.display().to_string()], LIMIT);
    assert_eq!(refused.code, 4, "{refused}");
}
