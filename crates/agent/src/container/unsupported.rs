//! What a pod may ask for and this agent cannot give: refused with words instead of being ignored.

use k8s_openapi::api::core::v1::{Container, PodSpec};

/// Why the pod as a whole cannot run here; the message of `FailedCreatePodSandBox`.
pub(crate) fn in_pod(spec: &PodSpec) -> Option<String> {
    if let Some(class) = spec.runtime_class_name.as_deref().filter(|class| !class.is_empty()) {
        return Some(format!("runtime class {class:?} is not supported: this agent knows the default runtime only"));
    }
    if spec.host_users == Some(false) {
        return Some("hostUsers: false (user namespaces) is not supported by this agent".into());
    }
    if spec.resource_claims.as_ref().is_some_and(|claims| !claims.is_empty()) {
        return Some("resourceClaims (dynamic resource allocation) are not supported by this agent".into());
    }
    None
}

/// Why this container cannot be made; the message of `CreateContainerConfigError`.
pub(super) fn in_container(container: &Container) -> Option<String> {
    if container.volume_devices.as_ref().is_some_and(|devices| !devices.is_empty()) {
        return Some("volumeDevices (raw block volumes) are not supported by this agent".into());
    }
    if container.lifecycle.as_ref().is_some_and(|lifecycle| lifecycle.stop_signal.is_some()) {
        return Some("lifecycle.stopSignal is not supported by this agent: set the signal in the image".into());
    }
    if container.restart_policy_rules.as_ref().is_some_and(|rules| !rules.is_empty()) {
        return Some("restartPolicyRules are not supported by this agent".into());
    }
    None
}
