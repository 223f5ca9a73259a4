//! From a pod and its containers to the runtime's configuration. Pure, except for the questions
//! that the caller has answered already (environment, mounts, image).

mod dns;
#[cfg(test)]
mod fields_tests;
mod hosts;
mod resources;
mod sandbox;
mod security;
#[cfg(test)]
pub(crate) mod tests;
mod unsupported;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use k8s_openapi::api::core::v1::{Container, Pod};

use crate::config::AgentConfig;
use crate::cri::{Image, v1};
use crate::env::expand::expand;
use crate::ports::{ConfigError, EnvVar, PodRef};
use crate::sync::{SPEC_HASH_ANNOTATION, container_spec_hash};

pub(crate) use dns::misses_cluster_dns;
pub(crate) use hosts::hosts_file;
pub(crate) use resources::cgroup_parent;
pub(crate) use resources::{PodLimits, cgroup_v2_weight, pod_limits};
pub(crate) use sandbox::sandbox_config;
pub(crate) use unsupported::in_pod as unsupported;

/// Which agent a sandbox or container belongs to: several agents may share one runtime.
pub const NODE_LABEL: &str = "everynode.dev/node";
/// What a file's name may have on the file systems of Linux.
const FILE_NAME_BYTES_MAX: usize = 255;
const LOG_SUFFIX: &str = ".log";
/// The labels that log collectors and tools look for, as Kubernetes' agent sets them.
pub const POD_NAME_LABEL: &str = "io.kubernetes.pod.name";
pub const POD_NAMESPACE_LABEL: &str = "io.kubernetes.pod.namespace";
pub const POD_UID_LABEL: &str = "io.kubernetes.pod.uid";
pub const CONTAINER_NAME_LABEL: &str = "io.kubernetes.container.name";
/// Where the container's termination message is on the host, and what to do when it is empty.
pub const MESSAGE_FILE_ANNOTATION: &str = "everynode.dev/termination-message-file";
pub const MESSAGE_POLICY_ANNOTATION: &str = "io.kubernetes.container.terminationMessagePolicy";
/// Where the container's log is on the host.
pub const LOG_FILE_ANNOTATION: &str = "everynode.dev/log-file";

/// What a container is made from.
pub(crate) struct ContainerInputs<'a> {
    pub config: &'a AgentConfig,
    pub pod: &'a Pod,
    pub container: &'a Container,
    pub attempt: u32,
    /// The reference to start with.
    pub image_ref: &'a str,
    pub image: &'a Image,
    pub env: &'a [EnvVar],
    pub mounts: Vec<v1::Mount>,
    pub message_file: &'a Path,
    /// Bytes of memory of the machine, for oom scores (DS-H49).
    pub memory_capacity: u64,
}

/// The configuration of one container.
///
/// # Errors
/// The container must not run as it would (DS-H47), or asks for what is not supported.
pub(crate) fn container_config(inputs: ContainerInputs<'_>) -> Result<v1::ContainerConfig, ConfigError> {
    let ContainerInputs {
        config,
        pod,
        container,
        attempt,
        image_ref,
        image,
        env,
        mounts,
        message_file,
        memory_capacity,
    } = inputs;
    if let Some(message) = unsupported::in_container(container) {
        return Err(ConfigError { message });
    }
    let lookup = |name: &str| env.iter().rev().find(|var| var.name == name).map(|var| var.value.as_str());
    let expanded = |list: &Option<Vec<String>>| list.iter().flatten().map(|text| expand(text, lookup)).collect();
    let security_context = security::container_security(pod, container, image, config)?;
    let log_path = log_path(&container.name, attempt);
    let log_file = log_directory(config, &PodRef::of(pod)).join(&log_path);
    Ok(v1::ContainerConfig {
        metadata: Some(v1::ContainerMetadata { name: container.name.clone(), attempt }),
        image: Some(v1::ImageSpec {
            image: image_ref.to_owned(),
            user_specified_image: container.image.clone().unwrap_or_default(),
            ..Default::default()
        }),
        command: expanded(&container.command),
        args: expanded(&container.args),
        working_dir: container.working_dir.clone().unwrap_or_default(),
        envs: env.iter().map(|var| v1::KeyValue { key: var.name.clone(), value: var.value.clone() }).collect(),
        mounts,
        labels: container_labels(config, pod, &container.name),
        annotations: container_annotations(container, &log_file, message_file),
        log_path,
        stdin: container.stdin == Some(true),
        stdin_once: container.stdin_once == Some(true),
        tty: container.tty == Some(true),
        linux: Some(v1::LinuxContainerConfig {
            resources: Some(resources::container_resources(pod, container, memory_capacity, config)),
            security_context: Some(security_context),
        }),
        ..Default::default()
    })
}

/// `CONTAINER/ATTEMPT.log` within the pod's log directory (DS-H50).
pub(crate) fn log_path(container: &str, attempt: u32) -> String {
    format!("{container}/{attempt}.log")
}

/// `/var/log/pods/NAMESPACE_NAME_UID` (DS-H50).
pub(crate) fn log_directory(config: &AgentConfig, pod: &PodRef) -> PathBuf {
    config.dirs.pod_logs.join(format!("{}_{}_{}", pod.namespace, pod.name, pod.uid))
}

/// `/var/log/containers/POD_NAMESPACE_CONTAINER-ID.log` (DS-H50).
///
/// Names of 63 characters each are longer than a file's name may be.
pub(crate) fn log_link(config: &AgentConfig, pod: &PodRef, container: &str, id: &str) -> PathBuf {
    let mut name = format!("{}_{}_{container}-{id}", pod.name, pod.namespace);
    // All of it is ASCII. Kubernetes cuts it at the same place.
    name.truncate(FILE_NAME_BYTES_MAX - LOG_SUFFIX.len());
    config.dirs.container_logs.join(name + LOG_SUFFIX)
}

/// The labels of everything of one pod.
pub(crate) fn pod_labels(config: &AgentConfig, pod: &PodRef) -> BTreeMap<String, String> {
    [
        (POD_NAME_LABEL, &pod.name),
        (POD_NAMESPACE_LABEL, &pod.namespace),
        (POD_UID_LABEL, &pod.uid),
        (NODE_LABEL, &config.node_name),
    ]
    .map(|(label, value)| (label.to_owned(), value.clone()))
    .into()
}

fn container_labels(config: &AgentConfig, pod: &Pod, container: &str) -> BTreeMap<String, String> {
    let mut labels = pod_labels(config, &PodRef::of(pod));
    labels.insert(CONTAINER_NAME_LABEL.to_owned(), container.to_owned());
    labels
}

fn container_annotations(container: &Container, log_file: &Path, message_file: &Path) -> BTreeMap<String, String> {
    let policy = container.termination_message_policy.clone().unwrap_or_else(|| "File".into());
    [
        (SPEC_HASH_ANNOTATION, container_spec_hash(container)),
        (LOG_FILE_ANNOTATION, log_file.display().to_string()),
        (MESSAGE_FILE_ANNOTATION, message_file.display().to_string()),
        (MESSAGE_POLICY_ANNOTATION, policy),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into()
}
