//! The pod's managed `/etc/hosts` (DS-H45).

use std::fmt::Write as _;
use std::net::IpAddr;

use k8s_openapi::api::core::v1::{HostAlias, PodSpec};

use super::sandbox::{full_hostname, hostname};
use crate::config::AgentConfig;
use crate::ports::PodRef;

const OWN_HEADER: &str = "# Kubernetes-managed hosts file.\n";
const HOST_HEADER: &str = "# Kubernetes-managed hosts file (host network).\n";
const LOCAL: &str = "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\nfe00::0\tip6-localnet\nfe00::0\tip6-mcastprefix\nfe00::1\tip6-allnodes\nfe00::2\tip6-allrouters\n";

/// The whole file. `node_hosts` is the node's own file, for host-network pods.
pub(crate) fn hosts_file(
    config: &AgentConfig,
    spec: &PodSpec,
    pod: &PodRef,
    ips: &[IpAddr],
    node_hosts: &str,
) -> String {
    let mut text = if spec.host_network == Some(true) {
        format!("{HOST_HEADER}{}\n", node_hosts.trim_end())
    } else {
        let mut text = format!("{OWN_HEADER}{LOCAL}");
        ips.iter().for_each(|ip| push_line(&mut text, &ip.to_string(), &own_names(config, spec, pod)));
        text
    };
    config.extra_hosts.iter().for_each(|(ip, names)| push_line(&mut text, &ip.to_string(), &names.join("\t")));
    push_aliases(&mut text, spec.host_aliases.as_deref().unwrap_or_default());
    text
}

/// With a subdomain the full name comes first.
fn own_names(config: &AgentConfig, spec: &PodSpec, pod: &PodRef) -> String {
    let name = hostname(spec, pod);
    full_hostname(config, spec, pod).map_or(name.clone(), |full| format!("{full}\t{name}"))
}

fn push_aliases(text: &mut String, aliases: &[HostAlias]) {
    if aliases.is_empty() {
        return;
    }
    text.push_str("\n# Entries added by HostAliases.\n");
    for alias in aliases {
        push_line(text, &alias.ip, &alias.hostnames.as_deref().unwrap_or_default().join("\t"));
    }
}

fn push_line(text: &mut String, address: &str, names: &str) {
    let _ = writeln!(text, "{address}\t{names}");
}
