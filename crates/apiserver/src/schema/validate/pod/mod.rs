//! Pods and pod templates (DS-A37, DS-A38), in the order in which Kubernetes checks and reports.

mod affinity;
mod annotations;
mod container;
mod env;
mod handler;
mod mount;
mod network;
mod resources;
mod scheduling;
mod security;
mod source;
mod update;
mod volume;
mod windows;

use everynode_api::field::{FieldError, Path};
use everynode_api::names;
use serde_json::Value;

use super::check::{Errors, flag, int, labels, list, optional_name, optional_one_of, present, required_one_of, text};
use super::metadata::annotations;

pub(super) use self::resources::quantity_value;
pub(super) use self::scheduling::taints;
pub(in crate::schema) use self::update::{pod_status, pod_update};

/// What the checks of parts must know of the whole.
struct Context<'v> {
    spec: &'v Value,
    /// A pod itself, not the template of one.
    is_pod: bool,
}

/// `spec.template` of a workload.
pub(super) fn template(template: &Value, path: &Path) -> Errors {
    let mut errors = Errors::new();
    labels(&mut errors, &template["metadata"], path, "labels");
    annotations(&mut errors, &template["metadata"], path);
    let spec = &template["spec"];
    annotations::annotations(&mut errors, &template["metadata"], spec, &path.child("annotations"));
    pod_spec(&mut errors, &Context { spec, is_pod: false }, &path.child("spec"));
    if !list(spec, "ephemeralContainers").is_empty() {
        let detail = "ephemeral containers not allowed in pod template";
        errors.push(FieldError::forbidden(&path.child("spec").child("ephemeralContainers"), detail));
    }
    errors
}

/// A pod on create.
pub(in crate::schema) fn pod(object: &Value) -> Errors {
    let mut errors = pod_parts(object);
    let (spec, path) = (&object["spec"], Path::new("spec"));
    if !list(spec, "ephemeralContainers").is_empty() {
        errors.push(FieldError::forbidden(&path.child("ephemeralContainers"), "cannot be set on create"));
    }
    if !text(spec, "nodeName").is_empty() && !list(spec, "schedulingGates").is_empty() {
        let detail = "cannot be set until all schedulingGates have been cleared";
        errors.push(FieldError::forbidden(&path.child("nodeName"), detail));
    }
    errors
}

fn pod_parts(object: &Value) -> Errors {
    let mut errors = Errors::new();
    let (metadata, spec) = (&object["metadata"], &object["spec"]);
    annotations::annotations(&mut errors, metadata, spec, &Path::new("metadata").child("annotations"));
    pod_spec(&mut errors, &Context { spec, is_pod: true }, &Path::new("spec"));
    errors
}

fn pod_spec(errors: &mut Errors, context: &Context<'_>, path: &Path) {
    let spec = context.spec;
    volume::volumes(errors, spec, &path.child("volumes"));
    container::containers(errors, context, &path.child("containers"));
    container::init_containers(errors, context, &path.child("initContainers"));
    container::ephemeral_containers(errors, context, &path.child("ephemeralContainers"));
    required_one_of(errors, spec, path, "restartPolicy", &["Always", "OnFailure", "Never"]);
    let policies = ["ClusterFirstWithHostNet", "ClusterFirst", "Default", "None"];
    required_one_of(errors, spec, path, "dnsPolicy", &policies);
    labels(errors, spec, path, "nodeSelector");
    network::host_network(errors, context, path);
    security::host_users(errors, spec, path);
    security::pod(errors, spec, path);
    affinity::affinity(errors, &spec["affinity"], &path.child("affinity"));
    network::dns_config(errors, spec, &path.child("dnsConfig"));
    scheduling::readiness_gates(errors, spec, &path.child("readinessGates"));
    scheduling::scheduling_gates(errors, spec, &path.child("schedulingGates"));
    scheduling::topology_spread(errors, spec, &path.child("topologySpreadConstraints"));
    identity(errors, spec, path);
    scheduling::tolerations(errors, spec, &path.child("tolerations"));
    network::host_aliases(errors, spec, &path.child("hostAliases"));
    classes(errors, spec, path);
    unsupported(errors, spec, path);
}

/// A resource's name, as containers have them.
pub(super) fn container_resource(errors: &mut Errors, name: &str, path: &Path) {
    resources::resource_name(errors, name, path);
}

/// A resource's name, as some object may have an amount of it.
pub(super) fn known_resource(errors: &mut Errors, name: &str, path: &Path) {
    resources::known_name(errors, name, path);
}

/// A directory of a node.
pub(super) fn host_path(errors: &mut Errors, source: &Value, path: &Path) {
    volume::host_path(errors, source, path);
}

/// The nodes on which a volume is.
pub(super) fn node_selector(errors: &mut Errors, selector: &Value, path: &Path) {
    affinity::node_selector(errors, selector, path);
}

/// Tolerations outside of a pod, at their own path.
pub(super) fn tolerations(errors: &mut Errors, owner: &Value, path: &Path) {
    scheduling::tolerations(errors, owner, path);
}

/// What a runtime takes for itself: amounts as those of a container's limits.
pub(super) fn overhead(errors: &mut Errors, overhead: &Value, path: &Path) {
    resources::amounts(errors, overhead, "podFixed", &path.child("podFixed").child("limits"));
}

/// Fields of Kubernetes that nothing here acts on yet: refused, because ignoring them would be
/// silent.
fn unsupported(errors: &mut Errors, spec: &Value, path: &Path) {
    let fields = [
        ("resourceClaims", "dynamic resource allocation is not supported"),
        ("schedulingGroup", "scheduling groups are not supported"),
    ];
    for (name, detail) in fields {
        if present(spec, name).is_some() {
            errors.push(FieldError::forbidden(&path.child(name), detail));
        }
    }
    resources::of_pod(errors, spec, &path.child("resources"));
}

/// Names that the pod refers to or goes by, and its deadline.
fn identity(errors: &mut Errors, spec: &Value, path: &Path) {
    optional_name(errors, spec, path, "serviceAccountName", names::dns1123_subdomain);
    optional_name(errors, spec, path, "nodeName", names::dns1123_subdomain);
    if let Some(seconds) = int(spec, "activeDeadlineSeconds") {
        let complaints = names::in_range(seconds, 1, i64::from(i32::MAX));
        let path = path.child("activeDeadlineSeconds");
        errors.extend(complaints.into_iter().map(|text| FieldError::invalid(&path, seconds, text)));
    }
    optional_name(errors, spec, path, "hostname", names::dns1123_label);
    optional_name(errors, spec, path, "subdomain", names::dns1123_label);
    hostname_override(errors, spec, &path.child("hostnameOverride"));
}

/// What the kernel takes as a host name.
const KERNEL_HOSTNAME_BYTES_MAX: usize = 64;

/// It stands in for every other host name, so that nothing else may ask for one.
fn hostname_override(errors: &mut Errors, spec: &Value, path: &Path) {
    let Some(name) = present(spec, "hostnameOverride") else { return };
    let name = name.as_str().unwrap_or_default();
    if name.len() > KERNEL_HOSTNAME_BYTES_MAX {
        errors.push(FieldError::too_long(path, KERNEL_HOSTNAME_BYTES_MAX));
    }
    errors.extend(names::dns1123_subdomain(name).into_iter().map(|text| FieldError::invalid(path, name, text)));
    for other in ["setHostnameAsFQDN", "hostNetwork"] {
        if flag(spec, other) {
            errors.push(FieldError::forbidden(path, format!("may not be specified when `{other}` is true")));
        }
    }
}

fn classes(errors: &mut Errors, spec: &Value, path: &Path) {
    optional_name(errors, spec, path, "priorityClassName", names::dns1123_subdomain);
    optional_name(errors, spec, path, "runtimeClassName", names::dns1123_subdomain);
    optional_one_of(errors, spec, path, "preemptionPolicy", &["PreemptLowerPriority", "Never"]);
    if present(spec, "overhead").is_some() {
        resources::amounts(errors, spec, "overhead", &path.child("overhead").child("limits"));
    }
    if let Some(os) = present(spec, "os") {
        match text(os, "name") {
            "" => errors.push(FieldError::required(&path.child("os").child("name"), "")),
            "linux" => {}
            "windows" => windows::fields(errors, spec, path),
            other => errors.push(FieldError::not_supported(&path.child("os"), other, &["linux", "windows"])),
        }
    }
}
