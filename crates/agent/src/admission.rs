//! Whether a pod may run on this node at all (DS-H09).

mod sysctls;

use everynode_api::view::Node;
use everynode_placement::{Occupancy, admit};
use k8s_openapi::api::core::v1::Pod;

use crate::ports::{Admission, Rejection};
use crate::view;

pub(crate) use sysctls::dotted;
pub use sysctls::{AllowedSysctls, UnknownSysctls};

/// The annotation of pods that an agent has from elsewhere than the API server.
const MIRROR: &str = "kubernetes.io/config.mirror";

/// What this node refuses, whoever has bound the pod to it.
#[derive(Clone, Debug, Default)]
pub struct NodeAdmission {
    pub sysctls: AllowedSysctls,
}

impl Admission for NodeAdmission {
    fn admit(&self, pod: &Pod, node: &Node, taken: &Occupancy) -> Result<(), Rejection> {
        let Some(spec) = &pod.spec else { return Ok(()) };
        let rejection = |reason: &str, message: String| Rejection { reason: reason.into(), message };
        self.sysctls.check(spec).map_err(|why| rejection("SysctlForbidden", format!("forbidden sysctl: {why}")))?;
        if spec.os.as_ref().is_some_and(|os| os.name != "linux") {
            let message = "Failed to admit pod as the OS field doesn't match node OS";
            return Err(rejection("PodOSNotSupported", message.into()));
        }
        let is_static = pod.metadata.annotations.iter().flatten().any(|(name, _)| name == MIRROR);
        let wanted = view::pod_spec(spec).map_err(|error| {
            rejection("UnexpectedAdmissionError", format!("the pod's requests cannot be understood: {error}"))
        })?;
        admit(&wanted, node, taken, is_static).map_err(|why| rejection(&why.reason, why.message))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn admit(node: &NodeAdmission, mut spec: Value) -> Result<(), String> {
        spec["containers"] = json!([]);
        admit_with_others(node, spec, json!([]))
    }

    /// On a node of 2 CPUs that has a label.
    fn admit_with_others(admission: &NodeAdmission, spec: Value, others: Value) -> Result<(), String> {
        let node = json!({"metadata": {"name": "n", "labels": {"disk": "ssd"}},
            "status": {"allocatable": {"cpu": "2", "memory": "1Gi", "pods": "3"}}});
        let node: Node = serde_json::from_value(node).unwrap();
        let pod: Pod = serde_json::from_value(json!({"metadata": {"name": "p"}, "spec": spec})).unwrap();
        let others: Vec<everynode_api::view::Pod> = serde_json::from_value(others).unwrap();
        let verdict = admission.admit(&pod, &node, &Occupancy::of(&others));
        verdict.map_err(|rejection| format!("{}: {}", rejection.reason, rejection.message))
    }

    /// The first in the words that were recorded from Kubernetes 1.36, the others made like it.
    #[test]
    fn what_does_not_fit_is_refused() {
        let node = NodeAdmission::default();
        let asks = |requests: Value| json!({"nodeName": "n", "containers": [{"name": "c", "image": "i", "resources": {"requests": requests}}]});
        let other = json!({"metadata": {"name": "o", "namespace": "x"}, "spec": {"containers": [
            {"ports": [{"hostPort": 80}], "resources": {"requests": {"cpu": "1500m"}}}]}});
        let wants_port = json!({"nodeName": "n", "containers": [
            {"name": "c", "image": "i", "ports": [{"containerPort": 8080, "hostPort": 80}]}]});
        let table = [
            (
                asks(json!({"cpu": "500"})),
                json!([]),
                Err("OutOfcpu: Node didn't have enough resource: cpu, requested: 500000, used: 0, capacity: 2000"),
            ),
            (asks(json!({"cpu": "500m"})), json!([other]), Ok(())),
            (
                asks(json!({"cpu": "501m"})),
                json!([other]),
                Err("OutOfcpu: Node didn't have enough resource: cpu, requested: 501, used: 1500, capacity: 2000"),
            ),
            (
                asks(json!({})),
                json!([{}, {}, {}]),
                Err("OutOfpods: Node didn't have enough resource: pods, requested: 1, used: 3, capacity: 3"),
            ),
            (
                json!({"nodeName": "n", "nodeSelector": {"disk": "hdd"}, "containers": []}),
                json!([]),
                Err("NodeAffinity: Predicate NodeAffinity failed: node(s) didn't match Pod's node affinity/selector"),
            ),
            (
                wants_port.clone(),
                json!([other]),
                Err(
                    "NodePorts: Predicate NodePorts failed: node(s) didn't have free ports for the requested pod ports",
                ),
            ),
            (wants_port, json!([]), Ok(())),
        ];
        for (spec, others, expected) in table {
            let verdict = admit_with_others(&node, spec.clone(), others);
            assert_eq!(verdict.as_ref().copied().map_err(String::as_str), expected, "{spec}");
        }
    }

    fn sysctl(name: &str) -> Value {
        json!({"securityContext": {"sysctls": [{"name": "kernel.shm_rmid_forced", "value": "1"}, {"name": name, "value": "1"}]}})
    }

    /// In the words that were recorded from Kubernetes 1.36.
    #[test]
    fn unsafe_sysctls_and_other_systems_are_refused() {
        let node = NodeAdmission::default();
        let refused = admit(&node, sysctl("net.core.somaxconn")).unwrap_err();
        assert_eq!(refused, "SysctlForbidden: forbidden sysctl: \"net.core.somaxconn\" not allowlisted");
        let refused = admit(&node, sysctl("net/core/somaxconn")).unwrap_err();
        assert_eq!(refused, "SysctlForbidden: forbidden sysctl: \"net.core.somaxconn\" not allowlisted");
        assert_eq!(admit(&node, sysctl("net/ipv4/tcp_syncookies")), Ok(()));
        let refused = admit(&node, json!({"os": {"name": "windows"}})).unwrap_err();
        assert_eq!(refused, "PodOSNotSupported: Failed to admit pod as the OS field doesn't match node OS");
        assert_eq!(admit(&node, json!({"os": {"name": "linux"}})), Ok(()));
    }

    #[test]
    fn what_the_node_allows_is_admitted_in_namespaces_of_the_pod_only() {
        let allowed = ["net.core.*".to_owned(), "kernel/msgmax".to_owned()];
        let node = NodeAdmission { sysctls: AllowedSysctls::new(&allowed).unwrap() };
        for name in ["net.core.somaxconn", "kernel.msgmax", "kernel/msgmax"] {
            assert_eq!(admit(&node, sysctl(name)), Ok(()), "{name}");
        }
        assert!(admit(&node, sysctl("kernel.msgmnb")).is_err());
        let mut on_host = sysctl("net.core.somaxconn");
        on_host["hostNetwork"] = json!(true);
        let words = "SysctlForbidden: forbidden sysctl: \"net.core.somaxconn\" not allowed with host Net enabled";
        assert_eq!(admit(&node, on_host).unwrap_err(), words);
        let mut on_host = sysctl("net.core.somaxconn");
        on_host["hostIPC"] = json!(true);
        let words = "SysctlForbidden: forbidden sysctl: \"kernel.shm_rmid_forced\" not allowed with host IPC enabled";
        assert_eq!(admit(&node, on_host).unwrap_err(), words);
    }
}
