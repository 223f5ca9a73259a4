//! Whether a pod may run on this node at all (DS-H09).

mod sysctls;

use std::sync::Arc;

use k8s_openapi::api::core::v1::Pod;

use crate::ports::{Admission, Rejection};

pub(crate) use sysctls::dotted;
pub use sysctls::{AllowedSysctls, UnknownSysctls};

/// What this node refuses, whoever has bound the pod to it.
#[derive(Clone, Debug, Default)]
pub struct NodeAdmission {
    pub sysctls: AllowedSysctls,
}

impl Admission for NodeAdmission {
    fn admit(&self, pod: &Pod, _running: &[Arc<Pod>]) -> Result<(), Rejection> {
        let Some(spec) = &pod.spec else { return Ok(()) };
        let rejection = |reason: &str, message: String| Rejection { reason: reason.into(), message };
        self.sysctls.check(spec).map_err(|why| rejection("SysctlForbidden", format!("forbidden sysctl: {why}")))?;
        if spec.os.as_ref().is_some_and(|os| os.name != "linux") {
            let message = "Failed to admit pod as the OS field doesn't match node OS";
            return Err(rejection("PodOSNotSupported", message.into()));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn admit(node: &NodeAdmission, mut spec: Value) -> Result<(), String> {
        spec["containers"] = json!([]);
        let pod: Pod = serde_json::from_value(json!({"metadata": {"name": "p"}, "spec": spec})).unwrap();
        node.admit(&pod, &[]).map_err(|rejection| format!("{}: {}", rejection.reason, rejection.message))
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
