//! What a pod may ask for and this agent cannot give: refused with words instead of being ignored.

use k8s_openapi::api::core::v1::{Container, EnvVarSource, PodSpec};

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
    if spec.resources.is_some() {
        return Some("resources of the pod as a whole are not supported by this agent".into());
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
    if let Some(policy) = container.restart_policy.as_deref().filter(|policy| *policy != "Always") {
        return Some(format!("restartPolicy {policy:?} of a container is not supported by this agent"));
    }
    if container.resources.as_ref().is_some_and(|resources| resources.claims.is_some()) {
        return Some("resources.claims (dynamic resource allocation) are not supported by this agent".into());
    }
    container.env.iter().flatten().filter_map(|var| var.value_from.as_ref()).find_map(in_variable)
}

/// Why the value of a variable cannot be had. A kind that is newer than this agent has no name
/// here.
fn in_variable(source: &EnvVarSource) -> Option<String> {
    if source.file_key_ref.is_some() {
        return Some("fileKeyRef (a variable from a file) is not supported by this agent".into());
    }
    (*source == EnvVarSource::default()).then(|| "a variable's valueFrom of an unknown kind is not supported".into())
}
