//! Pods on a real containerd.

mod support;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use everynode_agent::cri::{CriRuntime, Runtime};
use k8s_openapi::api::core::v1::{ContainerStatus, PodStatus};
use serde_json::json;
use support::fakes::{Workers, config, deleted, pod, wait};
use support::{BUSYBOX, Containerd, TESTTOOL};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

fn runtime(containerd: &Containerd) -> Arc<dyn Runtime> {
    Arc::new(CriRuntime::new(&containerd.endpoint()).unwrap())
}

/// A host-network pod from a Pod value to a running container, its log, and its orderly end
/// (DS-H01, H08, H24, H25, H45, H46, H50).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn host_network_pod_runs_and_ends() {
    let containerd = Containerd::start();
    let runtime = runtime(&containerd);
    let workers = Workers::start(config(containerd.dir.path(), "one"), runtime.clone());
    let script = "echo hello $GREETING; cat /etc/hosts; trap 'echo bye; exit 0' TERM; while :; do sleep 0.1; done";
    let web = pod(
        "web",
        json!({"hostNetwork": true, "containers": [{"name": "main", "image": BUSYBOX,
            "command": ["/bin/sh", "-c", script], "env": [{"name": "GREETING", "value": "node"}]}]}),
    );
    workers.replace(std::slice::from_ref(&web)).await;
    let status =
        workers.wait_status("web-uid", "the pod runs", |status| status.phase.as_deref() == Some("Running")).await;
    assert_eq!((status.pod_ip.as_deref(), status.host_ip.as_deref()), (Some("127.0.0.1"), Some("127.0.0.1")));
    let main = &status.container_statuses.as_ref().unwrap()[0];
    assert!(main.ready && main.started == Some(true) && main.restart_count == 0, "{main:#?}");
    assert!(main.container_id.as_deref().unwrap().starts_with("containerd://"));

    let log = containerd.dir.path().join("log/pods/default_web_web-uid/main/0.log");
    let text = || std::fs::read_to_string(&log).unwrap_or_default();
    wait("the log", || text().contains("kubernetes.default.svc").then_some(()), text).await;
    assert!(text().contains("stdout F hello node\n"), "{}", text());
    assert!(text().contains("# Kubernetes-managed hosts file (host network).\n"));
    let links: Vec<_> = std::fs::read_dir(containerd.dir.path().join("log/containers")).unwrap().flatten().collect();
    assert_eq!(links.len(), 1);
    assert!(links[0].file_name().to_str().unwrap().starts_with("web_default_main-"));

    let cgroup = cgroup(&workers, "memory", "besteffort/podweb-uid");
    assert!(cgroup.exists(), "{}", cgroup.display());
    workers.set(&deleted(&web, 30)).await;
    workers.wait_gone("web-uid").await;
    assert!(text().contains("stdout F bye\n"), "TERM reached the process: {}", text());
    let status = workers.record.status("web-uid");
    assert_eq!(status.phase.as_deref(), Some("Succeeded"), "{status:#?}");
    let all = BTreeMap::new();
    assert!(runtime.list_sandboxes(&all).await.unwrap().is_empty());
    assert!(runtime.list_containers(&all).await.unwrap().is_empty());
    assert!(!containerd.dir.path().join("kubelet/pods/web-uid").exists());
    assert!(!cgroup.exists(), "{}", cgroup.display());
    workers.stop().await;
}

/// The path of a cgroup of v1 below this agent's `kubepods`.
fn cgroup(workers: &Workers, controller: &str, below: &str) -> PathBuf {
    let cgroups = &workers.config.cgroups;
    cgroups.mount.join(controller).join(&cgroups.root).join("kubepods").join(below)
}

fn first(status: &PodStatus) -> ContainerStatus {
    status.container_statuses.as_ref().and_then(|list| list.first()).cloned().unwrap_or_default()
}

fn is_running(status: &PodStatus) -> bool {
    first(status).state.is_some_and(|state| state.running.is_some())
}

/// A pod with its own network; limits on its cgroup; a crash with last words, a restart, the log of
/// the run before (DS-H05, H08, H10, H48, H51).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cni_pod_restarts_after_a_crash() {
    let containerd = Containerd::start();
    let workers = Workers::start(config(containerd.dir.path(), "one"), runtime(&containerd));
    let script = "echo run $$; hostname; grep node /etc/hosts; echo last words > /dev/termination-log; sleep 0.2; \
        test -e /host/crashed && exec sleep 1000; touch /host/crashed; exit 3";
    let shared = containerd.dir.path().join("shared");
    std::fs::create_dir(&shared).unwrap();
    let web = pod(
        "web",
        json!({
            "hostname": "node-web", "terminationGracePeriodSeconds": 1,
            "volumes": [{"name": "host", "hostPath": {"path": shared}}],
            "containers": [{"name": "main", "image": BUSYBOX, "command": ["/bin/sh", "-c", script],
                "volumeMounts": [{"name": "host", "mountPath": "/host"}],
                "resources": {"limits": {"cpu": "500m", "memory": "64Mi"}, "requests": {"cpu": "250m", "memory": "64Mi"}}}],
        }),
    );
    workers.replace(std::slice::from_ref(&web)).await;
    let restarted = |status: &PodStatus| first(status).restart_count == 1 && is_running(status);
    let status = workers.wait_status("web-uid", "the container runs again", restarted).await;
    let last = first(&status).last_state.unwrap().terminated.unwrap();
    assert_eq!(
        (last.exit_code, last.reason.as_deref(), last.message.as_deref()),
        (3, Some("Error"), Some("last words\n"))
    );
    let ip = status.pod_ip.clone().unwrap();
    assert!(ip.starts_with("10.233.77."), "{ip}");
    assert_eq!(status.qos_class.as_deref(), Some("Burstable"));
    let read = |controller: &str, file: &str| {
        let path = cgroup(&workers, controller, "burstable/podweb-uid").join(file);
        std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display())).trim().to_owned()
    };
    if !Path::new("/sys/fs/cgroup/cgroup.controllers").exists() {
        assert_eq!(read("memory", "memory.limit_in_bytes"), (64 * 1024 * 1024).to_string());
        assert_eq!((read("cpu", "cpu.shares"), read("cpu", "cpu.cfs_quota_us")), ("256".into(), "50000".into()));
    }
    let log = |attempt: u32| {
        let path = containerd.dir.path().join(format!("log/pods/default_web_web-uid/main/{attempt}.log"));
        std::fs::read_to_string(path).unwrap_or_default()
    };
    assert!(log(0).contains("stdout F node-web\n"), "{}", log(0));
    assert!(log(0).contains(&format!("{ip}\tnode-web")), "{}", log(0));
    assert!(log(1).contains("stdout F run"), "{}", log(1));
    workers.set(&deleted(&web, 1)).await;
    workers.wait_gone("web-uid").await;
    workers.stop().await;
}

/// The agent's end leaves containers running; the next one takes them over and, when their pod has
/// gone in the meantime, ends them. Another node's pods in the same runtime are left alone
/// (DS-H67).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn agents_come_and_go() {
    let containerd = Containerd::start();
    let runtime = runtime(&containerd);
    let one = Workers::start(config(containerd.dir.path(), "one"), runtime.clone());
    let two = Workers::start(config(containerd.dir.path(), "two"), runtime.clone());
    let host = json!({"hostNetwork": true, "terminationGracePeriodSeconds": 1,
        "containers": [{"name": "main", "image": TESTTOOL, "args": ["sleep"]}]});
    let (mine, other) = (pod("mine", host.clone()), pod("other", host));
    // Left behind by a pod that ended while no agent ran.
    let ghost = containerd.dir.path().join("kubelet/pods/ghost-uid");
    std::fs::create_dir_all(ghost.join("containers/main")).unwrap();
    one.replace(std::slice::from_ref(&mine)).await;
    two.replace(std::slice::from_ref(&other)).await;
    let before = first(&one.wait_status("mine-uid", "it runs", is_running).await);
    two.wait_status("other-uid", "the other one runs", is_running).await;
    one.stop().await;

    let one = Workers::start(config(containerd.dir.path(), "one"), runtime.clone());
    one.replace(std::slice::from_ref(&mine)).await;
    let after = first(&one.wait_status("mine-uid", "it is taken over", is_running).await);
    assert_eq!((after.container_id, after.restart_count), (before.container_id, 0));
    assert!(!one.record.has_event("Started"), "{:#?}", one.record.events());
    one.stop().await;

    let one = Workers::start(config(containerd.dir.path(), "one"), runtime.clone());
    one.replace(&[]).await;
    let left = || async {
        let sandboxes = runtime.list_sandboxes(&BTreeMap::new()).await.unwrap();
        sandboxes.into_iter().map(|sandbox| sandbox.pod).collect::<Vec<_>>()
    };
    while left().await != ["other"] {
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    assert!(!one.record.was_deleted("mine-uid"));
    wait("the leftovers are gone", || (!ghost.exists()).then_some(()), || format!("{ghost:?} exists")).await;
    assert!(is_running(&two.record.status("other-uid")));
    two.set(&deleted(&other, 1)).await;
    two.wait_gone("other-uid").await;
    one.stop().await;
    two.stop().await;
}

/// DS-H04, H11, H12, L10: a missing image is said and tried again; deletion does not wait for it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn missing_image() {
    let containerd = Containerd::start();
    let workers = Workers::start(config(containerd.dir.path(), "one"), runtime(&containerd));
    let image = "127.0.0.1:9/missing:1";
    let never = json!({"name": "never", "image": "localhost/missing:1", "imagePullPolicy": "Never"});
    let invalid = json!({"name": "invalid", "image": "UPPER:1"});
    let web =
        pod("web", json!({"hostNetwork": true, "containers": [{"name": "main", "image": image}, never, invalid]}));
    workers.replace(std::slice::from_ref(&web)).await;
    let reason = |status: &PodStatus, name: &str| {
        let found = status.container_statuses.iter().flatten().find(|found| found.name == name).cloned();
        found.and_then(|found| found.state?.waiting?.reason)
    };
    let all = |status: &PodStatus| {
        reason(status, "main").as_deref() == Some("ImagePullBackOff")
            && reason(status, "never").as_deref() == Some("ErrImageNeverPull")
            && reason(status, "invalid").as_deref() == Some("InvalidImageName")
    };
    let status = workers.wait_status("web-uid", "all three are said", all).await;
    assert_eq!(status.phase.as_deref(), Some("Pending"));
    assert!(
        workers.record.has_event(&format!("Failed Failed to pull image \"{image}\": ")),
        "{:#?}",
        workers.record.events()
    );
    assert!(workers.record.has_event(&format!("BackOff Back-off pulling image \"{image}\"")));
    workers.set(&deleted(&web, 30)).await;
    workers.wait_gone("web-uid").await;
    workers.stop().await;
}

/// DS-H19, H24: hooks inside the container; preStop before TERM.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hooks() {
    let containerd = Containerd::start();
    let workers = Workers::start(config(containerd.dir.path(), "one"), runtime(&containerd));
    let shared = containerd.dir.path().join("shared");
    std::fs::create_dir(&shared).unwrap();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let say = |text: &str| json!({"exec": {"command": ["/bin/sh", "-c", format!("echo {text} >> /host/said")]}});
    let web = pod(
        "web",
        json!({
            "hostNetwork": true, "volumes": [{"name": "host", "hostPath": {"path": shared}}],
            "containers": [{"name": "main", "image": BUSYBOX,
                "command": ["/bin/sh", "-c", "trap 'echo term >> /host/said; exit 0' TERM; while :; do sleep 0.1; done"],
                "volumeMounts": [{"name": "host", "mountPath": "/host"}],
                "lifecycle": {"postStart": say("post"), "preStop": say("pre")}},
                {"name": "called", "image": TESTTOOL, "args": ["sleep"],
                "lifecycle": {"postStart": {"httpGet": {"host": "127.0.0.1", "port": port, "path": "/started"}}}}],
        }),
    );
    workers.replace(std::slice::from_ref(&web)).await;
    let both = |status: &PodStatus| status.container_statuses.iter().flatten().filter(|found| found.ready).count() == 2;
    let (mut call, _) = listener.accept().await.unwrap();
    assert!(!both(&workers.record.status("web-uid")), "not running before its hook has run");
    let mut request = [0; 12];
    call.read_exact(&mut request).await.unwrap();
    assert_eq!(&request, b"GET /started");
    call.write_all(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n").await.unwrap();
    drop(call);
    workers.wait_status("web-uid", "both run", both).await;
    workers.set(&deleted(&web, 20)).await;
    workers.wait_gone("web-uid").await;
    assert_eq!(std::fs::read_to_string(shared.join("said")).unwrap(), "post\npre\nterm\n");
    workers.stop().await;
}

/// DS-H19: a failed postStart hook is said and kills the container.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn failed_hook() {
    let containerd = Containerd::start();
    let workers = Workers::start(config(containerd.dir.path(), "one"), runtime(&containerd));
    let web = pod(
        "web",
        json!({"hostNetwork": true, "terminationGracePeriodSeconds": 1, "containers": [{
            "name": "main", "image": BUSYBOX, "command": ["sleep", "1000"],
            "lifecycle": {"postStart": {"exec": {"command": ["/bin/sh", "-c", "echo no; exit 7"]}}}}]}),
    );
    workers.replace(std::slice::from_ref(&web)).await;
    workers.wait_status("web-uid", "it was restarted", |status| first(status).restart_count >= 1).await;
    let said = workers.record.events();
    assert!(said.iter().any(|event| event.starts_with("FailedPostStartHook PostStartHook failed")), "{said:#?}");
    workers.set(&deleted(&web, 1)).await;
    workers.wait_gone("web-uid").await;
    workers.stop().await;
}

/// The end of a container is heard of, not waited for: here the containers are not listed for an
/// hour.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ends_are_heard_of() {
    let containerd = Containerd::start();
    let mut config = config(containerd.dir.path(), "one");
    config.relist_interval = std::time::Duration::from_secs(3600);
    let workers = Workers::start(config, runtime(&containerd));
    let web = pod(
        "web",
        json!({"hostNetwork": true, "restartPolicy": "Never",
            "containers": [{"name": "main", "image": BUSYBOX, "command": ["sleep", "0.5"]}]}),
    );
    workers.replace(std::slice::from_ref(&web)).await;
    workers.wait_status("web-uid", "it ended", |status| status.phase.as_deref() == Some("Succeeded")).await;
    workers.set(&deleted(&web, 1)).await;
    workers.wait_gone("web-uid").await;
    workers.stop().await;
}

/// DS-H51: what rotation relies on: after the file was moved away the runtime writes to a new one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn logs_are_reopened() {
    let containerd = Containerd::start();
    let runtime = runtime(&containerd);
    let workers = Workers::start(config(containerd.dir.path(), "one"), runtime.clone());
    let script = "trap 'exit 0' TERM; while :; do echo line; sleep 0.05; done";
    let web = pod(
        "web",
        json!({"hostNetwork": true,
            "containers": [{"name": "main", "image": BUSYBOX, "command": ["/bin/sh", "-c", script]}]}),
    );
    workers.replace(std::slice::from_ref(&web)).await;
    let status = workers.wait_status("web-uid", "it runs", is_running).await;
    let log = containerd.dir.path().join("log/pods/default_web_web-uid/main/0.log");
    let has_lines = |path: &Path| std::fs::read_to_string(path).is_ok_and(|text| text.contains("line")).then_some(());
    wait("a first line", || has_lines(&log), String::new).await;
    std::fs::rename(&log, log.with_file_name("0.log.20261121-000000")).unwrap();
    let id = first(&status).container_id.unwrap();
    runtime.reopen_log(id.strip_prefix("containerd://").unwrap()).await.unwrap();
    wait("a line in the new file", || has_lines(&log), String::new).await;
    workers.set(&deleted(&web, 5)).await;
    workers.wait_gone("web-uid").await;
    workers.stop().await;
}
