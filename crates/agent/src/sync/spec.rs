//! Small questions to a pod's spec.

use everynode_api::quantity::Quantity;
use everynode_common::fnv;
use k8s_openapi::api::core::v1::{Container, PodSpec};

use crate::cri;

/// When containers are started again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RestartPolicy {
    Always,
    OnFailure,
    Never,
}

pub(super) fn restart_policy(spec: &PodSpec) -> RestartPolicy {
    match spec.restart_policy.as_deref() {
        Some("OnFailure") => RestartPolicy::OnFailure,
        Some("Never") => RestartPolicy::Never,
        _ => RestartPolicy::Always,
    }
}

/// An init container that stays (DS-H21).
pub fn is_sidecar(container: &Container) -> bool {
    container.restart_policy.as_deref() == Some("Always")
}

pub(super) fn init_containers(spec: &PodSpec) -> &[Container] {
    spec.init_containers.as_deref().unwrap_or_default()
}

/// Containers whose readiness counts: the ordinary ones and the sidecars.
pub(super) fn lasting_containers(spec: &PodSpec) -> impl Iterator<Item = &Container> {
    init_containers(spec).iter().filter(|container| is_sidecar(container)).chain(&spec.containers)
}

/// The container of this name, and whether it is an init container.
pub fn container_named<'a>(spec: &'a PodSpec, name: &str) -> Option<(&'a Container, bool)> {
    let init = init_containers(spec).iter().map(|container| (container, true));
    let ordinary = spec.containers.iter().map(|container| (container, false));
    init.chain(ordinary).find(|(container, _)| container.name == name)
}

/// A number for what, when changed, needs a new container: FNV-1a over its image. Only the image
/// of a running pod's container may change (DS-H22); leaving everything else out keeps containers
/// running when a newer agent knows more fields.
pub fn container_spec_hash(container: &Container) -> String {
    let image = container.image.as_deref().unwrap_or_default();
    let hash = fnv::hash_64(format!("{}\0{image}", container.name).as_bytes());
    format!("{hash:016x}")
}

/// Whether this container was made from this spec.
pub(super) fn matches_spec(spec: &Container, found: &cri::Container) -> bool {
    let noted = found.annotations.get(super::SPEC_HASH_ANNOTATION);
    noted.is_none_or(|hash| *hash == container_spec_hash(spec))
}

/// The pod's quality-of-service class (DS-H07).
pub fn qos_class(spec: &PodSpec) -> &'static str {
    let containers = || init_containers(spec).iter().chain(&spec.containers);
    let amounts: Vec<_> = containers().map(amounts).collect();
    let none = |amount: &Amounts| amount.iter().all(|(request, limit)| request.is_zero() && limit.is_zero());
    let guaranteed = |amount: &Amounts| {
        amount.iter().all(|(request, limit)| !limit.is_zero() && (request.is_zero() || request == limit))
    };
    match () {
        () if amounts.iter().all(none) => "BestEffort",
        () if amounts.iter().all(guaranteed) => "Guaranteed",
        () => "Burstable",
    }
}

/// Requests and limits of cpu and memory; zero counts as absent.
type Amounts = [(Quantity, Quantity); 2];

fn amounts(container: &Container) -> Amounts {
    let resources = container.resources.as_ref();
    let amount = |list: Option<&std::collections::BTreeMap<String, _>>, name: &str| {
        let found: Option<&k8s_openapi::apimachinery::pkg::api::resource::Quantity> =
            list.and_then(|list| list.get(name));
        found.and_then(|found| Quantity::parse(&found.0).ok()).unwrap_or(Quantity::ZERO)
    };
    ["cpu", "memory"].map(|name| {
        let requests = resources.and_then(|resources| resources.requests.as_ref());
        let limits = resources.and_then(|resources| resources.limits.as_ref());
        (amount(requests, name), amount(limits, name))
    })
}
