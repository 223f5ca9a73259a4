//! Kernel parameters that a pod may set: those that act in its own namespaces and harm no other
//! pod, and what the node's administrator allows beyond.

use k8s_openapi::api::core::v1::PodSpec;

/// Safe in every pod, as in Kubernetes 1.36. Each belongs to a namespace of the pod.
const SAFE: [&str; 12] = [
    "kernel.shm_rmid_forced",
    "net.ipv4.ip_local_port_range",
    "net.ipv4.tcp_syncookies",
    "net.ipv4.ping_group_range",
    "net.ipv4.ip_unprivileged_port_start",
    "net.ipv4.ip_local_reserved_ports",
    "net.ipv4.tcp_keepalive_time",
    "net.ipv4.tcp_fin_timeout",
    "net.ipv4.tcp_keepalive_intvl",
    "net.ipv4.tcp_keepalive_probes",
    "net.ipv4.tcp_rmem",
    "net.ipv4.tcp_wmem",
];

/// The namespace that keeps a parameter from the rest of the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Namespace {
    Ipc,
    Net,
}

/// Parameters that have one: by name, or by how the name begins.
fn namespace(name: &str) -> Option<Namespace> {
    match name {
        "kernel.sem" => Some(Namespace::Ipc),
        _ if ["kernel.shm", "kernel.msg", "fs.mqueue."].iter().any(|begin| name.starts_with(begin)) => {
            Some(Namespace::Ipc)
        }
        _ if name.starts_with("net.") => Some(Namespace::Net),
        _ => None,
    }
}

/// Parameters that would reach the whole machine.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the sysctls {0:?} are not known to be namespaced")]
pub struct UnknownSysctls(Vec<String>);

/// The safe ones, and patterns that the administrator allows: a name, or the beginning of one with
/// `*` at its end.
#[derive(Clone, Debug, Default)]
pub struct AllowedSysctls {
    patterns: Vec<String>,
}

impl AllowedSysctls {
    /// `patterns` are allowed besides the safe ones.
    ///
    /// # Errors
    /// A pattern that covers parameters of the whole machine.
    pub fn new(patterns: &[String]) -> Result<Self, UnknownSysctls> {
        let patterns: Vec<String> = patterns.iter().map(|pattern| dotted(pattern)).collect();
        let unknown = |pattern: &&String| namespace(pattern.trim_end_matches('*')).is_none() || inner_star(pattern);
        let unknown: Vec<String> = patterns.iter().filter(unknown).cloned().collect();
        if unknown.is_empty() { Ok(AllowedSysctls { patterns }) } else { Err(UnknownSysctls(unknown)) }
    }

    /// Whether the pod may set what it asks for.
    ///
    /// # Errors
    /// The first that it may not, in Kubernetes' words.
    pub(super) fn check(&self, spec: &PodSpec) -> Result<(), String> {
        let listed = spec.security_context.iter().flat_map(|context| context.sysctls.iter().flatten());
        listed.map(|sysctl| dotted(&sysctl.name)).try_for_each(|name| self.check_one(&name, spec))
    }

    fn check_one(&self, name: &str, spec: &PodSpec) -> Result<(), String> {
        let fits = |pattern: &String| match pattern.strip_suffix('*') {
            Some(begin) => name.starts_with(begin),
            None => name == pattern,
        };
        if !SAFE.contains(&name) && !self.patterns.iter().any(fits) {
            return Err(format!("\"{name}\" not allowlisted"));
        }
        match namespace(name) {
            Some(Namespace::Ipc) if spec.host_ipc == Some(true) => {
                Err(format!("\"{name}\" not allowed with host IPC enabled"))
            }
            Some(Namespace::Net) if spec.host_network == Some(true) => {
                Err(format!("\"{name}\" not allowed with host Net enabled"))
            }
            Some(_) => Ok(()),
            None => Err(format!("\"{name}\" not allowlisted")),
        }
    }
}

fn inner_star(pattern: &str) -> bool {
    pattern.strip_suffix('*').unwrap_or(pattern).contains('*')
}

/// A parameter may be written with slashes; then dots belong to its parts.
pub(crate) fn dotted(name: &str) -> String {
    match name.find(['.', '/']) {
        Some(first) if name.as_bytes().get(first) == Some(&b'/') => {
            let swap = |c: char| match c {
                '/' => '.',
                '.' => '/',
                other => other,
            };
            name.chars().map(swap).collect()
        }
        _ => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_cover_only_what_is_a_pods_own() {
        for pattern in ["kernel.shm*", "kernel.msgmax", "kernel.sem", "fs.mqueue.*", "net.*", "net/ipv4/conf/eth0.1/x"]
        {
            assert!(AllowedSysctls::new(&[pattern.to_owned()]).is_ok(), "{pattern}");
        }
        for pattern in ["*", "kernel.*", "kernel.panic", "vm.swappiness", "net", "net.*.x", ""] {
            let refused = AllowedSysctls::new(&[pattern.to_owned()]).unwrap_err().to_string();
            assert!(refused.starts_with("the sysctls ["), "{pattern}: {refused}");
        }
    }

    #[test]
    fn slashes_become_dots() {
        assert_eq!(dotted("net/ipv4/conf/eno2.100/rp_filter"), "net.ipv4.conf.eno2/100.rp_filter");
        assert_eq!(dotted("net.ipv4.conf.eno2/100.rp_filter"), "net.ipv4.conf.eno2/100.rp_filter");
    }
}
