//! Statuses, held against those of Kubernetes' agent (1.36, recorded).

use std::sync::Arc;

use k8s_openapi::api::core::v1::Pod;
use serde_json::{Value, json};

use super::super::seen::NodeFacts;
use super::super::{Memory, Observed, Seen, plan};
use super::*;
use crate::cri::{Container, ContainerState, Sandbox};
use crate::ports::Rejection;

fn seen(spec: Value, status: Value, observed: Observed) -> Seen {
    let pod = json!({"metadata": {"name": "p", "namespace": "n", "uid": "u", "generation": 1}, "spec": spec, "status": status});
    let pod: Pod = serde_json::from_value(pod).unwrap();
    let node = NodeFacts { ips: vec!["192.0.2.1".parse().unwrap()], runtime: "containerd".into(), network_error: None };
    Seen { pod: Arc::new(pod), node: Arc::new(node), observed }
}

/// A sandbox with an address, and containers that run, or have ended with a message.
fn observed(names: &[&str], message: Option<&str>) -> Observed {
    let at = Timestamp::UNIX_EPOCH;
    let container = |name: &&str| Container {
        id: format!("{name}#0"),
        sandbox_id: "s".into(),
        name: (*name).into(),
        attempt: 0,
        state: if message.is_some() { ContainerState::Exited } else { ContainerState::Running },
        created_at: at,
        started_at: Some(at),
        finished_at: message.map(|_| at),
        exit_code: 0,
        reason: String::new(),
        message: message.unwrap_or_default().into(),
        image: "i:1".into(),
        image_ref: "sha256:1".into(),
        log_path: String::new(),
        labels: Default::default(),
        annotations: Default::default(),
    };
    let sandbox = Sandbox {
        id: "s".into(),
        namespace: "n".into(),
        pod: "p".into(),
        uid: "u".into(),
        attempt: 0,
        ready: true,
        created_at: at,
        ips: vec!["10.0.0.5".parse().unwrap()],
        host_network: false,
        labels: Default::default(),
        annotations: Default::default(),
    };
    Observed { sandboxes: vec![sandbox], containers: names.iter().map(container).collect() }
}

fn status_of(seen: &Seen, memory: &Memory) -> Value {
    serde_json::to_value(plan(seen, memory, Timestamp::UNIX_EPOCH).status).unwrap()
}

/// As recorded in `res-init` and `mountprop`.
#[test]
fn resources_and_mounts_are_shown() {
    let amounts = |cpu: &str, memory: &str| json!({"cpu": cpu, "memory": memory});
    let of = |requests: Value, limits: Value| json!({"requests": requests, "limits": limits});
    let mounts = json!([{"name": "hd", "mountPath": "/a", "mountPropagation": "Bidirectional"},
        {"name": "hd", "mountPath": "/d", "readOnly": true, "recursiveReadOnly": "IfPossible"}]);
    let spec = json!({
        "initContainers": [
            {"name": "i", "resources": of(amounts("200m", "64Mi"), amounts("300m", "96Mi"))},
            {"name": "s", "restartPolicy": "Always", "resources": of(amounts("20m", "8Mi"), amounts("40m", "12Mi"))}],
        "containers": [
            {"name": "c", "resources": of(amounts("50m", "16Mi"), amounts("100m", "32Mi")), "volumeMounts": mounts},
            {"name": "waits", "volumeMounts": [{"name": "hd", "mountPath": "/a"}]}]});
    let status = status_of(&seen(spec, json!({}), observed(&["s", "c"], None)), &Memory::default());
    assert_eq!(status["allocatedResources"], amounts("200m", "64Mi"));
    assert_eq!(status["resources"], of(amounts("200m", "64Mi"), amounts("300m", "96Mi")));
    let [runs, waits] = [0, 1].map(|index| &status["containerStatuses"][index]);
    assert_eq!(runs["allocatedResources"], amounts("50m", "16Mi"));
    assert_eq!(runs["resources"], of(amounts("50m", "16Mi"), amounts("100m", "32Mi")));
    let shown = json!([{"name": "hd", "mountPath": "/a"},
        {"name": "hd", "mountPath": "/d", "readOnly": true, "recursiveReadOnly": "Disabled"}]);
    assert_eq!(runs["volumeMounts"], shown);
    assert_eq!((&waits["resources"], &waits["allocatedResources"]), (&Value::Null, &Value::Null));
    assert_eq!(waits["volumeMounts"], json!([{"name": "hd", "mountPath": "/a"}]));
    let plain = seen(json!({"containers": [{"name": "c"}]}), json!({}), observed(&["c"], None));
    let status = status_of(&plain, &Memory::default());
    assert_eq!((&status["resources"], &status["containerStatuses"][0]["resources"]), (&json!({}), &json!({})));
    assert_eq!(status.get("allocatedResources"), None);
}

/// The network is released; the runtime forgets the address.
#[test]
fn ended_pods_keep_their_addresses() {
    let spec = json!({"restartPolicy": "Never", "containers": [{"name": "c"}]});
    let mut ended = observed(&["c"], Some(""));
    let first = plan(&seen(spec.clone(), json!({}), ended.clone()), &Memory::default(), Timestamp::UNIX_EPOCH);
    assert_eq!((first.status.phase.as_deref(), first.status.pod_ip.as_deref()), (Some("Succeeded"), Some("10.0.0.5")));
    ended.sandboxes[0].ready = false;
    ended.sandboxes[0].ips.clear();
    let later = plan(&seen(spec.clone(), json!({}), ended.clone()), &first.memory, Timestamp::UNIX_EPOCH).status;
    assert_eq!(later.pod_ip.as_deref(), Some("10.0.0.5"));
    assert_eq!(later.pod_ips.map(|ips| ips.len()), Some(1));
    // After a restart of the agent only the API server knows.
    let told = json!({"phase": "Succeeded", "podIP": "10.0.0.7", "podIPs": [{"ip": "10.0.0.7"}]});
    for observed in [ended, Observed::default()] {
        let status = status_of(&seen(spec.clone(), told.clone(), observed), &Memory::default());
        assert_eq!(status["podIP"], "10.0.0.7");
    }
}

/// As recorded in `os-windows`; also when the agent has restarted since.
#[test]
fn a_refused_pod_says_only_why() {
    let spec = json!({"containers": [{"name": "c"}]});
    let mut memory = Memory::default();
    memory.reject(Rejection { reason: "PodOSNotSupported".into(), message: "no".into() });
    let foreign = json!({"type": "example.com/x", "status": "True"});
    let before = json!({"startTime": "1970-01-01T00:00:00Z", "conditions": [{"type": "PodScheduled", "status": "True"}, foreign]});
    let status = status_of(&seen(spec.clone(), before, Observed::default()), &memory);
    let expected = json!({"observedGeneration": 1, "phase": "Failed", "reason": "PodOSNotSupported",
        "message": "Pod was rejected: no", "qosClass": "BestEffort", "startTime": "1970-01-01T00:00:00Z",
        "conditions": [foreign]});
    assert_eq!(status, expected);
    assert_eq!(status_of(&seen(spec, expected.clone(), Observed::default()), &Memory::default()), expected);
}

#[test]
fn last_words_share_twelve_kib() {
    let names: Vec<String> = (0..6).map(|number| format!("c{number}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let containers: Vec<Value> = names.iter().map(|name| json!({"name": name})).collect();
    let spec = json!({"restartPolicy": "Never", "containers": containers});
    let message = "é".repeat(2048);
    let status = status_of(&seen(spec, json!({}), observed(&names, Some(&message))), &Memory::default());
    for one in status["containerStatuses"].as_array().unwrap() {
        assert_eq!(one["state"]["terminated"]["message"].as_str().map(str::len), Some(2048));
    }
    let one = seen(
        json!({"restartPolicy": "Never", "containers": [{"name": "c0"}]}),
        json!({}),
        observed(&["c0"], Some(&message)),
    );
    let status = status_of(&one, &Memory::default());
    assert_eq!(status["containerStatuses"][0]["state"]["terminated"]["message"].as_str().map(str::len), Some(4096));
}
