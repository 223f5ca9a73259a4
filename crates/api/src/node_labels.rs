//! Which labels a machine may give its own node.
//!
//! Labels steer pods: a machine that could label itself as it likes could call secrets and
//! privileged pods to itself. Those of Kubernetes' own domains are an administrator's, but for the
//! few that only a machine knows.

/// Labels of Kubernetes' domains that a machine may set.
pub const OWN: [&str; 11] = [
    "beta.kubernetes.io/arch",
    "beta.kubernetes.io/instance-type",
    "beta.kubernetes.io/os",
    "failure-domain.beta.kubernetes.io/region",
    "failure-domain.beta.kubernetes.io/zone",
    "kubernetes.io/arch",
    "kubernetes.io/hostname",
    "kubernetes.io/os",
    "node.kubernetes.io/instance-type",
    "topology.kubernetes.io/region",
    "topology.kubernetes.io/zone",
];
/// Domains (and those below) that are the machine's own.
const OWN_DOMAINS: [&str; 2] = ["kubelet.kubernetes.io", "node.kubernetes.io"];
/// The domain (and those below) of labels that keep pods away from machines that were taken over.
const RESTRICTED_DOMAIN: &str = "node-restriction.kubernetes.io";

/// Whether a machine may add, change or remove this label of its own node.
pub fn is_the_machines(key: &str) -> bool {
    let domain = key.split_once('/').map_or("", |(domain, _)| domain);
    let restricted = is_at_or_below(domain, RESTRICTED_DOMAIN);
    let kubernetes = ["kubernetes.io", "k8s.io"].iter().any(|kubernetes| is_at_or_below(domain, kubernetes));
    let own = OWN.contains(&key) || OWN_DOMAINS.iter().any(|own| is_at_or_below(domain, own));
    !restricted && (!kubernetes || own)
}

fn is_at_or_below(domain: &str, parent: &str) -> bool {
    domain.strip_suffix(parent).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kubernetes_domains_are_an_administrators() {
        let free = ["rack", "example.com/rack", "fakekubernetes.io/x", "kubernetes.io.example/x"];
        let machine = ["node.kubernetes.io/x", "a.kubelet.kubernetes.io/x", "kubernetes.io/hostname"];
        assert!(free.iter().chain(&machine).chain(&OWN).all(|key| is_the_machines(key)));
        let foreign = [
            "kubernetes.io/x",
            "k8s.io/x",
            "a.k8s.io/x",
            "node-role.kubernetes.io/control-plane",
            "node-restriction.kubernetes.io/x",
            "a.node-restriction.kubernetes.io/x",
            "topology.kubernetes.io/rack",
            "xnode.kubernetes.io/x",
        ];
        assert!(foreign.iter().all(|key| !is_the_machines(key)));
    }
}
