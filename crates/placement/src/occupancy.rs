//! What pods take of a node: requests, places, host ports (DS-B43, DS-B44).

use std::collections::BTreeMap;

use everynode_api::quantity::Quantity;
use everynode_api::view::{ContainerNeeds, HostPort, Pod, PodSpec, Resources};

/// What one pod takes of its node, besides one place.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Needs {
    pub requests: Resources,
    pub ports: Vec<HostPort>,
}

impl Needs {
    /// What a pod with this spec takes.
    pub fn of(spec: &PodSpec) -> Needs {
        Needs { requests: effective_requests(spec), ports: host_ports(spec).collect() }
    }
}

/// What is taken on one node. Terminal pods take nothing; terminating ones still count (DS-B43).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Occupancy {
    pub pods: usize,
    pub requested: Resources,
    /// Each port with its holder, `namespace/name`.
    pub ports: Vec<(HostPort, Box<str>)>,
}

impl Occupancy {
    /// The sum over pods that are bound or pinned to one node.
    pub fn of<'a>(pods: impl IntoIterator<Item = &'a Pod>) -> Self {
        let mut occupancy = Occupancy::default();
        pods.into_iter().for_each(|pod| occupancy.add(pod));
        occupancy
    }

    /// Counts one more pod.
    pub fn add(&mut self, pod: &Pod) {
        if !pod.is_terminal() {
            self.add_needs(&Needs::of(&pod.spec), &format!("{}/{}", pod.meta.namespace, pod.meta.name));
        }
    }

    /// Counts one more pod by what it needs; `holder` names it, as `namespace/name`.
    pub fn add_needs(&mut self, needs: &Needs, holder: &str) {
        self.pods += 1;
        add(&mut self.requested, &needs.requests);
        self.ports.extend(needs.ports.iter().map(|port| (port.clone(), holder.into())));
    }
}

/// What a pod asks of its node: the greater of what its containers (sidecars included) use together
/// and of what its initialisation needs at its peak, plus `overhead` (DS-B43). What the pod asks
/// for as a whole takes the place of its containers' sum (KEP-2837).
pub fn effective_requests(spec: &PodSpec) -> Resources {
    let mut peak = Resources::new();
    let mut sidecars = Resources::new();
    for init in spec.init_containers.iter() {
        let mut now = sidecars.clone();
        add(&mut now, &init.resources.requests);
        if is_sidecar(init) {
            sidecars = now.clone();
        }
        keep_greater(&mut peak, now);
    }
    let mut all = sidecars;
    spec.containers.iter().for_each(|container| add(&mut all, &container.resources.requests));
    keep_greater(&mut all, peak);
    all.extend(spec.resources.requests.iter().map(|(name, amount)| (name.clone(), *amount)));
    add(&mut all, &spec.overhead);
    all
}

/// The host ports that a pod holds; those of host-network containers count (DS-B44).
pub fn host_ports(spec: &PodSpec) -> impl Iterator<Item = HostPort> {
    let sidecars = spec.init_containers.iter().filter(|init| is_sidecar(init));
    let ports = spec.containers.iter().chain(sidecars).flat_map(|container| &container.ports);
    ports.filter_map(|port| {
        let number = if port.host_port == 0 && spec.host_network { port.container_port } else { port.host_port };
        (number != 0).then(|| HostPort {
            host_ip: if port.host_ip.as_ref() == "0.0.0.0" { "".into() } else { port.host_ip.clone() },
            protocol: if port.protocol.is_empty() { "TCP".into() } else { port.protocol.clone() },
            host_port: number,
            container_port: port.container_port,
        })
    })
}

/// The first host port of `spec` that cannot be held on a node where `other` is.
pub fn contested_port(spec: &PodSpec, other: &PodSpec) -> Option<HostPort> {
    let held: Vec<HostPort> = host_ports(other).collect();
    host_ports(spec).find(|port| held.iter().any(|held| conflict(port, held)))
}

/// Whether two host ports, as [`host_ports`] gives them, cannot be held together.
pub(crate) fn conflict(a: &HostPort, b: &HostPort) -> bool {
    let same_address = a.host_ip.is_empty() || b.host_ip.is_empty() || a.host_ip == b.host_ip;
    same_address && a.protocol == b.protocol && a.host_port == b.host_port
}

fn is_sidecar(container: &ContainerNeeds) -> bool {
    container.restart_policy.as_ref() == "Always"
}

fn add(sum: &mut BTreeMap<Box<str>, Quantity>, more: &Resources) {
    for (name, amount) in more {
        let entry = sum.entry(name.clone()).or_default();
        *entry = entry.saturating_add(*amount);
    }
}

fn keep_greater(greatest: &mut Resources, other: Resources) {
    for (name, amount) in other {
        let entry = greatest.entry(name).or_default();
        *entry = (*entry).max(amount);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn init_peak_sidecars_and_overhead() {
        // DS-B43
        let spec: PodSpec = serde_json::from_str(
            r#"{"overhead":{"cpu":"10m"},
                "initContainers":[
                    {"resources":{"requests":{"cpu":"100m","memory":"1Gi"}}},
                    {"restartPolicy":"Always","resources":{"requests":{"cpu":"50m"}}},
                    {"resources":{"requests":{"cpu":"400m"}}}],
                "containers":[{"resources":{"requests":{"cpu":"200m","memory":"64Mi"}}},{}]}"#,
        )
        .unwrap();
        let requests = effective_requests(&spec);
        assert_eq!(requests["cpu"], Quantity::from_millis(460));
        assert_eq!(requests["memory"], Quantity::parse("1Gi").unwrap());
    }

    #[test]
    fn the_pod_as_a_whole_comes_first() {
        let spec: PodSpec = serde_json::from_str(
            r#"{"resources":{"requests":{"cpu":"1"}},"overhead":{"cpu":"10m"},
                "containers":[{"resources":{"requests":{"cpu":"200m","memory":"64Mi"}}}]}"#,
        )
        .unwrap();
        let requests = effective_requests(&spec);
        assert_eq!(requests["cpu"], Quantity::from_millis(1010));
        assert_eq!(requests["memory"], Quantity::parse("64Mi").unwrap());
    }

    #[test]
    fn terminal_pods_take_nothing() {
        // DS-B43, DS-B44
        let pods: Vec<Pod> = serde_json::from_str(
            r#"[{"metadata":{"name":"a","namespace":"x"},"status":{"phase":"Failed"},"spec":{"containers":[{"ports":[{"hostPort":80}]}]}},
                {"metadata":{"name":"b","namespace":"x","deletionTimestamp":"2026-01-01T00:00:00Z"},
                 "spec":{"hostNetwork":true,"containers":[{"ports":[{"containerPort":81}]}]}}]"#,
        )
        .unwrap();
        let occupancy = Occupancy::of(&pods);
        assert_eq!(occupancy.pods, 1);
        assert_eq!(occupancy.ports.len(), 1);
        assert_eq!((occupancy.ports[0].0.host_port, occupancy.ports[0].1.as_ref()), (81, "x/b"));
    }
}
