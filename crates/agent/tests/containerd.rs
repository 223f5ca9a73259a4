//! Pods on a real containerd.

mod support;

use std::sync::Arc;

use everynode_agent::cri::{CriRuntime, Runtime};
use everynode_agent::worker::PodUpdate;
use serde_json::json;
use support::fakes::{Workers, config, deleted, pod, wait};
use support::{BUSYBOX, Containerd};

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
    let status = workers.wait_status("web-uid", "the pod runs", |status| status.phase.as_deref() == Some("Running")).await;
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

    workers.set(&deleted(&web, 30)).await;
    wait("the pod is deleted", || workers.record.was_deleted("web-uid").then_some(()), || {
        format!("{:#?}", workers.record.events())
    })
    .await;
    assert!(text().contains("stdout F bye\n"), "TERM reached the process: {}", text());
    let status = workers.record.status("web-uid");
    assert_eq!(status.phase.as_deref(), Some("Succeeded"), "{status:#?}");
    wait("nothing is left", || workers.inspector.pods().is_empty().then_some(()), String::new).await;
    let all = std::collections::BTreeMap::new();
    assert!(runtime.list_sandboxes(&all).await.unwrap().is_empty());
    assert!(runtime.list_containers(&all).await.unwrap().is_empty());
    assert!(!containerd.dir.path().join("kubelet/pods/web-uid").exists());
    let cgroup = std::path::Path::new("/sys/fs/cgroup/memory/everynode-test-one/kubepods/besteffort/podweb-uid");
    assert!(!cgroup.exists(), "{}", cgroup.display());
    workers.updates.send(PodUpdate::Replace(Vec::new())).await.unwrap();
    workers.stop().await;
}
