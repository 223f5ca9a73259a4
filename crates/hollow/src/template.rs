//! The objects that a simulated node writes about itself.

use std::net::{IpAddr, Ipv4Addr};

use everynode_api::time::{rfc3339, rfc3339_micro};
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::options::Group;

pub(crate) const LEASES: &str = "kube-node-lease";
/// A lease is good for this long; it is renewed after a quarter of it.
const LEASE_SECONDS: u32 = 40;
const VERSION: &str = concat!("v1.36.0+everynode.hollow.", env!("CARGO_PKG_VERSION"));

/// 10.0.0.1 and up, by the node's number.
pub(crate) fn node_ip(index: u32) -> IpAddr {
    IpAddr::V4(Ipv4Addr::from(0x0a00_0001 + (index & 0x007f_ffff)))
}

/// 10.128.0.1 and up, by how many pods there were before.
pub(crate) fn pod_ip(sequence: u32) -> IpAddr {
    IpAddr::V4(Ipv4Addr::from(0x0a80_0001 + (sequence % 0x007f_fff0)))
}

/// The labels of a node: the standard ones, its zone, its group's.
pub(crate) fn labels(group: &Group, index: u32, name: &str) -> Map<String, Value> {
    let standard = [
        ("kubernetes.io/hostname", name),
        ("kubernetes.io/os", "linux"),
        ("kubernetes.io/arch", "amd64"),
        ("everynode.dev/hollow", "true"),
    ];
    let zone = group.zones.get(index as usize % group.zones.len().max(1));
    let zone = zone.map(|zone| ("topology.kubernetes.io/zone", zone.as_str()));
    let own = group.labels.iter().map(|(key, value)| (key.as_str(), value.as_str()));
    standard.into_iter().chain(zone).chain(own).map(|(key, value)| (key.to_owned(), value.into())).collect()
}

/// `spec.taints`
pub(crate) fn taints(group: &Group) -> Vec<Value> {
    let taint = |taint: &crate::options::Taint| {
        let mut json = json!({ "key": taint.key, "effect": taint.effect });
        if !taint.value.is_empty() {
            json["value"] = taint.value.as_str().into();
        }
        json
    };
    group.taints.iter().map(taint).collect()
}

/// The whole object, as at registration.
pub(crate) fn node(group: &Group, index: u32, name: &str, now: Timestamp) -> Value {
    let taints = taints(group);
    json!({
        "apiVersion": "v1", "kind": "Node",
        "metadata": { "name": name, "labels": labels(group, index, name) },
        "spec": if taints.is_empty() { json!({}) } else { json!({ "taints": taints }) },
        "status": status(group, index, name, now, now),
    })
}

/// `status`; conditions have been as they are since `since`.
pub(crate) fn status(group: &Group, index: u32, name: &str, since: Timestamp, now: Timestamp) -> Value {
    let condition = |kind: &str, status: &str, reason: &str, message: &str| {
        json!({
            "type": kind, "status": status, "reason": reason, "message": message,
            "lastHeartbeatTime": rfc3339(now), "lastTransitionTime": rfc3339(since),
        })
    };
    json!({
        "capacity": group.capacity,
        "allocatable": group.capacity,
        "conditions": [
            condition("MemoryPressure", "False", "KubeletHasSufficientMemory", "kubelet has sufficient memory available"),
            condition("DiskPressure", "False", "KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
            condition("PIDPressure", "False", "KubeletHasSufficientPID", "kubelet has sufficient PID available"),
            condition("Ready", "True", "KubeletReady", "kubelet is posting ready status"),
        ],
        "addresses": [
            { "type": "InternalIP", "address": node_ip(index).to_string() },
            { "type": "Hostname", "address": name },
        ],
        "daemonEndpoints": { "kubeletEndpoint": { "Port": 10250 } },
        "nodeInfo": {
            "machineID": format!("{index:032x}"),
            "systemUUID": format!("{index:032x}"),
            "bootID": format!("{index:032x}"),
            "kernelVersion": "6.12.0-hollow",
            "osImage": "Hollow Linux",
            "containerRuntimeVersion": "hollow://1",
            "kubeletVersion": VERSION,
            "kubeProxyVersion": "",
            "operatingSystem": "linux",
            "architecture": "amd64",
        },
    })
}

/// `spec` of a lease that is renewed now.
pub(crate) fn lease_spec(holder: &str, now: Timestamp) -> Value {
    json!({ "holderIdentity": holder, "leaseDurationSeconds": LEASE_SECONDS, "renewTime": rfc3339_micro(now) })
}

/// The lease object, owned by its node.
pub(crate) fn lease(name: &str, node_uid: &str, now: Timestamp) -> Value {
    let owner = json!({ "apiVersion": "v1", "kind": "Node", "name": name, "uid": node_uid });
    json!({
        "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
        "metadata": { "name": name, "namespace": LEASES, "ownerReferences": [owner] },
        "spec": lease_spec(name, now),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_is_what_its_group_says() {
        let group = Group {
            zones: vec!["a".into(), "b".into()],
            taints: vec!["gpu=yes:NoSchedule".parse().unwrap()],
            ..Group::default()
        };
        let node = node(&group, 3, "hollow-3", Timestamp::UNIX_EPOCH);
        assert_eq!(node["metadata"]["labels"]["topology.kubernetes.io/zone"], "b");
        assert_eq!(node["spec"]["taints"], json!([{ "key": "gpu", "value": "yes", "effect": "NoSchedule" }]));
        assert_eq!(node["status"]["addresses"][0]["address"], "10.0.0.4");
        assert_eq!(node["status"]["allocatable"]["cpu"], "8");
        assert_ne!(node_ip(0), pod_ip(0));
    }
}
