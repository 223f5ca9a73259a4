//! The configuration of a pod's sandbox.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Container, Pod, PodSpec};

use super::{dns, log_directory, pod_labels, resources, security};
use crate::admission::dotted;
use crate::config::AgentConfig;
use crate::cri::v1;
use crate::ports::{ConfigError, PodRef};

/// A part of a host name has at most this many bytes.
const HOSTNAME_BYTES_MAX: usize = 63;
/// What the kernel takes.
const KERNEL_HOSTNAME_BYTES_MAX: usize = 64;

/// The sandbox of a pod. `resolv_conf` is the text of the node's own resolver configuration.
///
/// # Errors
/// The pod's full name is to be its host name and is too long for that.
pub(crate) fn sandbox_config(
    config: &AgentConfig,
    pod: &Pod,
    attempt: u32,
    resolv_conf: &str,
) -> Result<v1::PodSandboxConfig, ConfigError> {
    let PodRef { namespace, name, uid } = PodRef::of(pod);
    let reference = PodRef::of(pod);
    let spec = pod.spec.clone().unwrap_or_default();
    let own = pod_labels(config, &reference);
    let labels = pod.metadata.labels.iter().flatten().map(|(key, value)| (key.clone(), value.clone())).chain(own);
    let hostname = match spec.host_network {
        Some(true) => String::new(),
        _ => kernel_hostname(config, &spec, &reference)?,
    };
    Ok(v1::PodSandboxConfig {
        metadata: Some(v1::PodSandboxMetadata { name, uid, namespace, attempt }),
        hostname,
        log_directory: log_directory(config, &reference).display().to_string(),
        dns_config: Some(dns::dns_config(&config.dns, &spec, &reference.namespace, resolv_conf)),
        port_mappings: if spec.host_network == Some(true) { Vec::new() } else { port_mappings(&spec) },
        labels: labels.collect(),
        annotations: pod.metadata.annotations.clone().unwrap_or_default(),
        linux: Some(v1::LinuxPodSandboxConfig {
            cgroup_parent: resources::cgroup_parent(config, &spec, &reference.uid),
            security_context: Some(security::sandbox_security(&spec)),
            sysctls: sysctls(&spec),
            ..Default::default()
        }),
        windows: None,
    })
}

/// What the kernel says inside the pod: the host name, or the full name where the pod asks for it.
fn kernel_hostname(config: &AgentConfig, spec: &PodSpec, pod: &PodRef) -> Result<String, ConfigError> {
    let name = hostname(spec, pod);
    match full_hostname(config, spec, pod).filter(|_| spec.set_hostname_as_fqdn == Some(true)) {
        Some(full) if full.len() > KERNEL_HOSTNAME_BYTES_MAX => Err(ConfigError::new(format!(
            "failed to construct FQDN from pod hostname and cluster domain, FQDN {full} is too long \
             ({KERNEL_HOSTNAME_BYTES_MAX} characters is the max, {} characters requested)",
            full.len()
        ))),
        Some(full) => Ok(full),
        None => Ok(name),
    }
}

/// With a subdomain the pod has a full name; a name that overrides all others stands alone.
pub(super) fn full_hostname(config: &AgentConfig, spec: &PodSpec, pod: &PodRef) -> Option<String> {
    let subdomain = spec.subdomain.as_deref().filter(|subdomain| !subdomain.is_empty())?;
    let name = hostname(spec, pod);
    let full = || format!("{name}.{subdomain}.{}.svc.{}", pod.namespace, config.dns.domain);
    spec.hostname_override.is_none().then(full)
}

/// The host name inside the pod.
pub(super) fn hostname(spec: &PodSpec, pod: &PodRef) -> String {
    if let Some(name) = &spec.hostname_override {
        return name.clone();
    }
    let wanted = spec.hostname.as_deref().filter(|name| !name.is_empty()).unwrap_or(&pod.name);
    let mut end = wanted.len().min(HOSTNAME_BYTES_MAX);
    while !wanted.is_char_boundary(end) {
        end -= 1;
    }
    wanted[..end].trim_end_matches(['-', '.']).to_owned()
}

fn sysctls(spec: &PodSpec) -> BTreeMap<String, String> {
    let listed = spec.security_context.iter().flat_map(|context| context.sysctls.iter().flatten());
    listed.map(|sysctl| (dotted(&sysctl.name), sysctl.value.clone())).collect()
}

fn port_mappings(spec: &PodSpec) -> Vec<v1::PortMapping> {
    let containers = spec.init_containers.iter().flatten().filter(|container| crate::sync::is_sidecar(container));
    containers.chain(&spec.containers).flat_map(container_ports).collect()
}

fn container_ports(container: &Container) -> impl Iterator<Item = v1::PortMapping> + '_ {
    let ports = container.ports.iter().flatten().filter(|port| port.host_port.is_some_and(|port| port > 0));
    ports.map(|port| v1::PortMapping {
        protocol: match port.protocol.as_deref() {
            Some("UDP") => v1::Protocol::Udp,
            Some("SCTP") => v1::Protocol::Sctp,
            _ => v1::Protocol::Tcp,
        } as i32,
        container_port: port.container_port,
        host_port: port.host_port.unwrap_or(0),
        host_ip: port.host_ip.clone().unwrap_or_default(),
    })
}
