//! The configuration of a pod's sandbox.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Container, Pod, PodSpec};

use super::{dns, log_directory, pod_labels, resources, security};
use crate::config::AgentConfig;
use crate::cri::v1;
use crate::ports::PodRef;

/// Host names have at most this many bytes.
const HOSTNAME_BYTES_MAX: usize = 63;

/// The sandbox of a pod. `resolv_conf` is the text of the node's own resolver configuration.
pub(crate) fn sandbox_config(config: &AgentConfig, pod: &Pod, attempt: u32, resolv_conf: &str) -> v1::PodSandboxConfig {
    let PodRef { namespace, name, uid } = PodRef::of(pod);
    let reference = PodRef::of(pod);
    let spec = pod.spec.clone().unwrap_or_default();
    let own = pod_labels(config, &reference);
    let labels = pod.metadata.labels.iter().flatten().map(|(key, value)| (key.clone(), value.clone())).chain(own);
    v1::PodSandboxConfig {
        metadata: Some(v1::PodSandboxMetadata { name, uid, namespace, attempt }),
        hostname: if spec.host_network == Some(true) { String::new() } else { hostname(&spec, &reference) },
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
    }
}

/// The host name inside the pod.
pub(super) fn hostname(spec: &PodSpec, pod: &PodRef) -> String {
    let wanted = spec.hostname.as_deref().filter(|name| !name.is_empty()).unwrap_or(&pod.name);
    let mut end = wanted.len().min(HOSTNAME_BYTES_MAX);
    while !wanted.is_char_boundary(end) {
        end -= 1;
    }
    wanted[..end].trim_end_matches(['-', '.']).to_owned()
}

fn sysctls(spec: &PodSpec) -> BTreeMap<String, String> {
    let listed = spec.security_context.iter().flat_map(|context| context.sysctls.iter().flatten());
    listed.map(|sysctl| (sysctl.name.clone(), sysctl.value.clone())).collect()
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
