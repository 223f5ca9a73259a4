//! The resources of containers and of the whole pod, as the status shows them: what the spec asks
//! for. They are in force from the start of a container on, and cannot change while it runs.

use std::collections::BTreeMap;

use everynode_api::quantity::Quantity;
use k8s_openapi::api::core::v1::{Container, PodSpec, ResourceRequirements};
use k8s_openapi::apimachinery::pkg::api::resource;

use super::super::spec::{init_containers, is_sidecar};

type Amounts = BTreeMap<String, resource::Quantity>;
type Side = fn(&ResourceRequirements) -> Option<&Amounts>;

fn requests(resources: &ResourceRequirements) -> Option<&Amounts> {
    resources.requests.as_ref()
}

fn limits(resources: &ResourceRequirements) -> Option<&Amounts> {
    resources.limits.as_ref()
}

pub(super) fn of_container(container: &Container) -> ResourceRequirements {
    let resources = container.resources.as_ref();
    let side = |side: Side| resources.and_then(side).filter(|amounts| !amounts.is_empty()).cloned();
    ResourceRequirements { requests: side(requests), limits: side(limits), claims: None }
}

pub(super) fn requests_of_container(container: &Container) -> Option<Amounts> {
    of_container(container).requests
}

/// What the pod asks for as a whole, else the sum of its containers.
pub(super) fn of_pod(spec: &PodSpec) -> ResourceRequirements {
    ResourceRequirements { requests: total(spec, requests), limits: total(spec, limits), claims: None }
}

pub(super) fn requests_of_pod(spec: &PodSpec) -> Option<Amounts> {
    total(spec, requests)
}

/// The greater of what runs together and of what the initialisation needs at its peak.
fn total(spec: &PodSpec, side: Side) -> Option<Amounts> {
    let mut peak = BTreeMap::new();
    let mut together = BTreeMap::new();
    for container in init_containers(spec) {
        let mut now = together.clone();
        add(&mut now, container, side);
        if is_sidecar(container) {
            together = now.clone();
        }
        keep_greater(&mut peak, now);
    }
    spec.containers.iter().for_each(|container| add(&mut together, container, side));
    keep_greater(&mut together, peak);
    let mut amounts: Amounts =
        together.into_iter().map(|(name, amount)| (name.to_owned(), resource::Quantity(amount.to_string()))).collect();
    amounts.extend(spec.resources.as_ref().and_then(side).cloned().unwrap_or_default());
    (!amounts.is_empty()).then_some(amounts)
}

fn add<'a>(sum: &mut BTreeMap<&'a str, Quantity>, container: &'a Container, side: Side) {
    for (name, amount) in container.resources.as_ref().and_then(side).into_iter().flatten() {
        if let Ok(amount) = Quantity::parse(&amount.0) {
            let entry = sum.entry(name).or_default();
            *entry = entry.saturating_add(amount);
        }
    }
}

fn keep_greater<'a>(greatest: &mut BTreeMap<&'a str, Quantity>, other: BTreeMap<&'a str, Quantity>) {
    for (name, amount) in other {
        let entry = greatest.entry(name).or_default();
        *entry = (*entry).max(amount);
    }
}
