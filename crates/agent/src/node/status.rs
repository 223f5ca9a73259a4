//! From measures to the status of the Node object; pure.

use std::collections::BTreeMap;

use everynode_api::time::rfc3339;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::extended::Extended;
use super::machine::{Machine, Pressure};
use crate::config::AgentConfig;
use crate::cri;

/// At most this many images are reported, largest first (DS-H61).
const IMAGES_MAX: usize = 50;
/// At most this many names of one image.
const NAMES_MAX: usize = 5;
/// The level of the Kubernetes API and behaviour, and our own version as build metadata.
pub const KUBELET_VERSION: &str = concat!("v1.36.0+everynode-", env!("CARGO_PKG_VERSION"));

/// What a status is made from.
pub(super) struct Seen<'a> {
    pub(super) config: &'a AgentConfig,
    pub(super) machine: &'a Machine,
    pub(super) extended: &'a Extended,
    pub(super) pressure: Pressure,
    pub(super) readiness: &'a Result<cri::Readiness, String>,
    pub(super) version: &'a cri::Version,
    pub(super) images: &'a [cri::Image],
    pub(super) server_port: u16,
}

/// The node's whole status. Transition times are `now`; [`keep_transitions`] corrects those of
/// conditions that stay.
pub(super) fn compute(seen: &Seen<'_>, now: Timestamp) -> Value {
    let capacity: BTreeMap<_, _> =
        seen.machine.capacity().into_iter().map(|(name, amount)| (name, amount.to_string())).collect();
    let addresses = seen.config.node_ips.iter().map(|ip| json!({ "type": "InternalIP", "address": ip.to_string() }));
    let hostname = json!({ "type": "Hostname", "address": seen.config.hostname });
    json!({
        "capacity": capacity,
        "allocatable": seen.extended.allocatable(&capacity),
        "conditions": conditions(seen, now),
        "addresses": addresses.chain([hostname]).collect::<Vec<_>>(),
        "daemonEndpoints": { "kubeletEndpoint": { "Port": seen.server_port } },
        "nodeInfo": node_info(seen),
        "images": images(seen.images),
    })
}

/// Labels of every node (DS-G14), and those asked for.
pub(super) fn labels(config: &AgentConfig) -> BTreeMap<String, String> {
    let (os, arch) = (std::env::consts::OS, architecture());
    let standard = [
        ("kubernetes.io/hostname", config.node_name.as_str()),
        ("kubernetes.io/os", os),
        ("kubernetes.io/arch", arch),
        ("beta.kubernetes.io/os", os),
        ("beta.kubernetes.io/arch", arch),
    ];
    let standard = standard.map(|(key, value)| (key.to_owned(), value.to_owned()));
    standard.into_iter().chain(config.node_labels.clone()).collect()
}

/// Go's name of this processor.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

fn node_info(seen: &Seen<'_>) -> Value {
    let machine = seen.machine;
    json!({
        "machineID": machine.machine_id,
        "systemUUID": machine.system_uuid,
        "bootID": machine.boot_id,
        "kernelVersion": machine.kernel_version,
        "osImage": machine.os_image,
        "containerRuntimeVersion": format!("{}://{}", seen.version.name, seen.version.version),
        "kubeletVersion": KUBELET_VERSION,
        "kubeProxyVersion": "",
        "operatingSystem": std::env::consts::OS,
        "architecture": architecture(),
    })
}

fn images(images: &[cri::Image]) -> Vec<Value> {
    let mut images: Vec<&cri::Image> = images.iter().collect();
    images.sort_by(|a, b| b.bytes.cmp(&a.bytes).then_with(|| a.id.cmp(&b.id)));
    let named = images.into_iter().take(IMAGES_MAX).map(|image| {
        let names: Vec<&String> = image.digests.iter().chain(&image.tags).take(NAMES_MAX).collect();
        json!({ "names": names, "sizeBytes": image.bytes })
    });
    named.filter(|image| image["names"].as_array().is_some_and(|names| !names.is_empty())).collect()
}

fn conditions(seen: &Seen<'_>, now: Timestamp) -> Value {
    let condition = |kind: &str, status: bool, reason: &str, message: &str| {
        json!({
            "type": kind, "status": if status { "True" } else { "False" }, "reason": reason, "message": message,
            "lastHeartbeatTime": rfc3339(now), "lastTransitionTime": rfc3339(now),
        })
    };
    let pressure = |kind: &str, short: bool, bad: (&str, &str), good: (&str, &str)| {
        let (reason, message) = if short { bad } else { good };
        condition(kind, short, reason, message)
    };
    let (ready, message) = ready(seen.readiness);
    let reason = if ready { "KubeletReady" } else { "KubeletNotReady" };
    json!([
        pressure(
            "MemoryPressure",
            seen.pressure.memory,
            ("KubeletHasInsufficientMemory", "kubelet has insufficient memory available"),
            ("KubeletHasSufficientMemory", "kubelet has sufficient memory available"),
        ),
        pressure(
            "DiskPressure",
            seen.pressure.disk,
            ("KubeletHasDiskPressure", "kubelet has disk pressure"),
            ("KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
        ),
        pressure(
            "PIDPressure",
            seen.pressure.pids,
            ("KubeletHasInsufficientPID", "kubelet has insufficient PID available"),
            ("KubeletHasSufficientPID", "kubelet has sufficient PID available"),
        ),
        condition("Ready", ready, reason, &message),
    ])
}

fn ready(readiness: &Result<cri::Readiness, String>) -> (bool, String) {
    let unmet = |name: &str, condition: &Option<cri::Condition>| {
        let words = condition.as_ref().map(|unmet| format!(" reason:{} message:{}", unmet.reason, unmet.message));
        format!("container runtime {name} not ready:{}", words.unwrap_or_default())
    };
    match readiness {
        Err(error) => (false, format!("container runtime is down: {error}")),
        Ok(readiness) if !readiness.runtime_ready() => (false, unmet("is", &readiness.runtime)),
        Ok(readiness) if !readiness.network_ready() => (false, unmet("network", &readiness.network)),
        Ok(_) => (true, "kubelet is posting ready status".to_owned()),
    }
}

/// Whether two statuses differ in more than heartbeats.
pub(super) fn differs(a: &Value, b: &Value) -> bool {
    still(a) != still(b)
}

fn still(status: &Value) -> Value {
    let mut status = status.clone();
    for condition in status["conditions"].as_array_mut().into_iter().flatten() {
        condition["lastHeartbeatTime"] = Value::Null;
        condition["lastTransitionTime"] = Value::Null;
    }
    status
}

/// Gives conditions of `new` whose status did not change the transition time of `old`.
pub(super) fn keep_transitions(old: &Value, new: &mut Value) {
    let old = old["conditions"].as_array().cloned().unwrap_or_default();
    for condition in new["conditions"].as_array_mut().into_iter().flatten() {
        let same = old.iter().find(|old| old["type"] == condition["type"] && old["status"] == condition["status"]);
        if let Some(same) = same {
            condition["lastTransitionTime"] = same["lastTransitionTime"].clone();
        }
    }
}

fn ready_condition(status: &Value) -> Option<&Value> {
    status["conditions"].as_array()?.iter().find(|condition| condition["type"] == "Ready")
}

pub(super) fn is_ready(status: &Value) -> bool {
    ready_condition(status).is_some_and(|condition| condition["status"] == "True")
}

pub(super) fn ready_message(status: &Value) -> String {
    ready_condition(status).and_then(|condition| condition["message"].as_str()).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn condition(met: bool) -> Option<cri::Condition> {
        Some(cri::Condition { met, reason: "R".into(), message: "M".into() })
    }

    #[test]
    fn readiness_follows_the_runtime_and_its_network() {
        // DS-H61
        let both = |runtime, network| Ok(cri::Readiness { runtime: condition(runtime), network: condition(network) });
        assert_eq!(ready(&both(true, true)), (true, "kubelet is posting ready status".into()));
        assert_eq!(ready(&both(true, false)).1, "container runtime network not ready: reason:R message:M");
        assert!(!ready(&both(false, true)).0);
        assert!(ready(&Err("no socket".into())).1.contains("no socket"));
    }

    #[test]
    fn heartbeats_are_not_changes_and_transitions_are_kept() {
        let at = |status: &str, time: &str| json!({ "conditions": [{ "type": "Ready", "status": status, "lastTransitionTime": time, "lastHeartbeatTime": time }] });
        assert!(!differs(&at("True", "1"), &at("True", "2")));
        assert!(differs(&at("True", "1"), &at("False", "1")));
        let mut new = at("True", "9");
        keep_transitions(&at("True", "1"), &mut new);
        assert_eq!(new["conditions"][0]["lastTransitionTime"], "1");
    }
}
