//! Requests and limits.

use std::collections::BTreeSet;

use everynode_api::field::{BadValue, FieldError, Path};
use everynode_api::names;
use everynode_api::quantity::Quantity;
use serde_json::Value;

use super::super::check::{Errors, entries, invalid_each, list, present, text};

const STANDARD: [&str; 3] = ["cpu", "memory", "ephemeral-storage"];
const HUGE_PAGES: &str = "hugepages-";
/// Names that quotas know, and containers do not.
const OF_QUOTAS: [&str; 17] = [
    "configmaps",
    "limits.cpu",
    "limits.ephemeral-storage",
    "limits.memory",
    "persistentvolumeclaims",
    "pods",
    "replicationcontrollers",
    "requests.cpu",
    "requests.ephemeral-storage",
    "requests.memory",
    "requests.storage",
    "resourcequotas",
    "secrets",
    "services",
    "services.loadbalancers",
    "services.nodeports",
    "storage",
];

/// `resources` of a container.
pub(super) fn requirements(errors: &mut Errors, resources: &Value, path: &Path) {
    amounts(errors, resources, "limits", &path.child("limits"));
    amounts(errors, resources, "requests", &path.child("requests"));
    for (name, request) in entries(resources, "requests") {
        against_limit(errors, resources, name, request, path);
    }
    let named = |wanted: fn(&str) -> bool| {
        ["limits", "requests"].iter().any(|member| entries(resources, member).any(|(name, _)| wanted(name)))
    };
    if named(is_huge_pages) && !named(|name| matches!(name, "cpu" | "memory")) {
        errors.push(FieldError::forbidden(path, "HugePages require cpu or memory"));
    }
}

/// Claims of a container, each of which is one of the pod's.
pub(super) fn claims(errors: &mut Errors, spec: &Value, resources: &Value, path: &Path) {
    let path = path.child("claims");
    let known: BTreeSet<&str> = list(spec, "resourceClaims").iter().map(|claim| text(claim, "name")).collect();
    let before = errors.len();
    let mut seen = BTreeSet::new();
    for (index, claim) in list(resources, "claims").iter().enumerate() {
        let (name, path) = (text(claim, "name"), path.index(index));
        if name.is_empty() {
            errors.push(FieldError::required(&path, ""));
            continue;
        }
        if !seen.insert(name) {
            errors.push(FieldError::duplicate(&path, name));
        }
        if !known.contains(name) {
            let names: Vec<&str> = known.iter().copied().collect();
            let names = if names.is_empty() { " which is empty".into() } else { format!(": {}", names.join(", ")) };
            let detail = format!("must be one of the names in pod.spec.resourceClaims{names}");
            errors.push(FieldError { detail, ..FieldError::not_found(&path, name) });
        }
    }
    if errors.len() == before && present(resources, "claims").is_some() {
        // Refused here, because the agent cannot prepare them: silence would start the container
        // without.
        errors.push(FieldError::forbidden(&path, "dynamic resource allocation is not supported"));
    }
}

/// One map from resource names to quantities.
pub(super) fn amounts(errors: &mut Errors, owner: &Value, member: &str, path: &Path) {
    for (name, value) in entries(owner, member) {
        let path = path.key(name);
        resource_name(errors, name, &path);
        let Ok(quantity) = Quantity::from_json(value) else { continue };
        quantity_value(errors, name, quantity, &path);
        if is_huge_pages(name) && !is_multiple_of_page(name, quantity) {
            let detail = format!("{quantity} is not positive integer multiple of {name}");
            errors.push(FieldError::invalid(&path, quantity.to_string(), detail));
        }
    }
}

fn is_huge_pages(name: &str) -> bool {
    name.starts_with(HUGE_PAGES)
}

/// Whether an amount of `hugepages-SIZE` is a number of pages.
fn is_multiple_of_page(name: &str, amount: Quantity) -> bool {
    let page = name.strip_prefix(HUGE_PAGES).and_then(|size| size.parse::<Quantity>().ok());
    let page = page.map_or(0, Quantity::value);
    page > 0 && amount.value() % page == 0
}

/// How a container takes a change of its resources.
pub(super) fn resize_policies(errors: &mut Errors, container: &Value, path: &Path) {
    let mut seen = BTreeSet::new();
    let path = path.child("resizePolicy");
    for (index, policy) in list(container, "resizePolicy").iter().enumerate() {
        let (name, restart) = (text(policy, "resourceName"), text(policy, "restartPolicy"));
        if !seen.insert(name) {
            errors.push(FieldError::duplicate(&path.index(index), name));
        }
        match name {
            "" => errors.push(FieldError::required(&path, "")),
            "cpu" | "memory" => {}
            other => errors.push(FieldError::not_supported(&path, other, &["cpu", "memory"])),
        }
        match restart {
            "" => errors.push(FieldError::required(&path, "")),
            "NotRequired" | "RestartContainer" => {}
            other => errors.push(FieldError::not_supported(&path, other, &["NotRequired", "RestartContainer"])),
        }
    }
}

/// A resource's name and amount, as nodes report them too.
pub(in super::super) fn quantity_value(errors: &mut Errors, name: &str, quantity: Quantity, path: &Path) {
    let raw = || BadValue::from(quantity.to_string());
    if quantity.is_negative() {
        errors.push(FieldError::invalid(path, raw(), "must be greater than or equal to 0"));
    }
    if is_extended(name) && !quantity.is_whole() {
        errors.push(FieldError::invalid(path, raw(), "must be an integer"));
    }
}

fn is_standard(name: &str) -> bool {
    STANDARD.contains(&name) || name.starts_with(HUGE_PAGES)
}

/// A name that some object may have an amount of.
pub(super) fn known_name(errors: &mut Errors, name: &str, path: &Path) {
    invalid_each(errors, path, name, names::qualified_name(name));
    if !name.contains('/') && !is_standard(name) && !OF_QUOTAS.contains(&name) {
        errors.push(FieldError::invalid(path, name, "must be a standard resource type or fully qualified"));
    }
}

/// `resources` of a pod as a whole: what is of no resource is refused so, and everything else
/// because nothing here acts on it yet.
pub(super) fn of_pod(errors: &mut Errors, spec: &Value, path: &Path) {
    let before = errors.len();
    for member in ["limits", "requests"] {
        let path = path.child(member);
        entries(&spec["resources"], member).for_each(|(name, _)| known_name(errors, name, &path.key(name)));
    }
    if errors.len() == before && present(spec, "resources").is_some() {
        errors.push(FieldError::forbidden(path, "pod-level resources are not supported"));
    }
}

pub(super) fn resource_name(errors: &mut Errors, name: &str, path: &Path) {
    known_name(errors, name, path);
    if !name.contains('/') {
        if !is_standard(name) {
            errors.push(FieldError::invalid(path, name, "must be a standard resource for containers"));
        }
    } else if !is_native(name) && !is_extended(name) {
        errors.push(FieldError::invalid(path, name, "doesn't follow extended resource name standard"));
    }
}

fn against_limit(errors: &mut Errors, resources: &Value, name: &str, request: &Value, path: &Path) {
    let overcommit = is_native(name) && !name.starts_with("hugepages-");
    let limit = resources.get("limits").and_then(|limits| limits.get(name));
    let (Ok(request), Some(limit)) = (Quantity::from_json(request), limit) else {
        if limit.is_none() && !overcommit {
            let detail = "Limit must be set for non overcommitable resources";
            errors.push(FieldError::required(&path.child("limits"), detail));
        }
        return;
    };
    let Ok(limit) = Quantity::from_json(limit) else { return };
    let detail = match overcommit {
        false if request != limit => format!("must be equal to {name} limit of {limit}"),
        true if request > limit => format!("must be less than or equal to {name} limit of {limit}"),
        _ => return,
    };
    errors.push(FieldError::invalid(&path.child("requests"), request.to_string(), detail));
}

/// Kubernetes' own resources: without a domain, or in `kubernetes.io`.
fn is_native(name: &str) -> bool {
    !name.contains('/') || name.contains("kubernetes.io/")
}

fn is_extended(name: &str) -> bool {
    !is_native(name) && !name.starts_with("requests.") && names::qualified_name(&format!("requests.{name}")).is_empty()
}
