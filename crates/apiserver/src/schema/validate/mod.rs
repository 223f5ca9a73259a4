//! Validation with Kubernetes' own paths, reasons and words (behaviour.md A.2; DS-A37, DS-I42, DS-I43).
//!
//! Every function expects decoded and defaulted objects: types are right, canonical forms are in place. One
//! function per kind and occasion; the shared checks are in [`check`], pods and templates in [`pod`].

mod check;
mod core;
mod daemon_set;
mod endpoints;
mod event;
mod metadata;
mod node;
mod pod;
mod policy;
mod service;
#[cfg(test)]
mod tests;

use everynode_api::field::FieldError;
use everynode_api::kinds::KindInfo;
use serde_json::Value;

/// Every mistake of a new object, metadata included.
pub(crate) fn validate_create(info: &KindInfo, value: &Value) -> Vec<FieldError> {
    let mut errors = metadata::metadata(&info.kind, value);
    errors.extend(match id(info) {
        ("", "Pod") => pod::pod(value),
        _ => object(info, value),
    });
    errors
}

/// Every mistake of an update of the main resource, what may not change included (DS-A25, DS-D40, DS-H22).
pub(crate) fn validate_update(info: &KindInfo, new: &Value, old: &Value) -> Vec<FieldError> {
    let mut errors = metadata::update(new, old);
    let given = metadata::metadata(&info.kind, new);
    if !(errors.is_empty() && given.is_empty()) {
        // Kubernetes looks at metadata twice in an update, and once more in the object.
        errors.extend(metadata::common(new));
        errors.extend_from_within(..);
        errors.extend(given);
    }
    errors.extend(match id(info) {
        ("", "Pod") => pod::pod_update(new, old),
        ("", "ConfigMap") => core::frozen(new, old),
        ("", "Secret") => core::secret_update(new, old),
        ("", "Node") => node::node_update(new, old),
        ("", "Service") => service::service_update(new, old),
        ("apps", "DaemonSet") => daemon_set::daemon_set_update(new, old),
        ("apps", "ControllerRevision") => daemon_set::revision_update(new, old),
        ("scheduling.k8s.io", "PriorityClass") => policy::priority_class_update(new, old),
        ("rbac.authorization.k8s.io", "RoleBinding" | "ClusterRoleBinding") => policy::binding_update(new, old),
        _ => Vec::new(),
    });
    errors.extend(object(info, new));
    errors
}

/// Every mistake of an update of `status` (DS-A39).
pub(crate) fn validate_status_update(info: &KindInfo, new: &Value, old: &Value) -> Vec<FieldError> {
    let mut errors = metadata::update(new, old);
    errors.extend(match id(info) {
        ("", "Pod") => pod::pod_status(new),
        ("", "Node") => node::node_status(new),
        ("", "Service") => service::service_status(new),
        ("", "Namespace") => node::namespace_status(new),
        ("apps", "DaemonSet") => daemon_set::daemon_set_status(new, old),
        ("policy", "PodDisruptionBudget") => policy::disruption_budget_status(new),
        _ => Vec::new(),
    });
    errors
}

fn id(info: &KindInfo) -> (&str, &str) {
    (info.kind.group.as_ref(), info.kind.kind.as_ref())
}

/// What create and update check alike. Pods differ in both.
fn object(info: &KindInfo, value: &Value) -> Vec<FieldError> {
    match id(info) {
        ("", "ConfigMap") => core::config_map(value),
        ("", "Secret") => core::secret(value),
        ("", "Namespace") => node::namespace(value),
        ("", "Node") => node::node(value),
        ("", "Service") => service::service(value),
        ("", "Endpoints") => endpoints::endpoints(value),
        ("", "Event") => event::event(value, "involvedObject"),
        ("events.k8s.io", "Event") => event::event(value, "regarding"),
        ("apps", "DaemonSet") => daemon_set::daemon_set(value),
        ("apps", "ControllerRevision") => daemon_set::revision(value),
        ("coordination.k8s.io", "Lease") => policy::lease(value),
        ("scheduling.k8s.io", "PriorityClass") => policy::priority_class(value),
        ("policy", "PodDisruptionBudget") => policy::disruption_budget(value),
        ("rbac.authorization.k8s.io", "Role") => policy::role(value, true),
        ("rbac.authorization.k8s.io", "ClusterRole") => policy::role(value, false),
        ("rbac.authorization.k8s.io", "RoleBinding") => policy::binding(value, true),
        ("rbac.authorization.k8s.io", "ClusterRoleBinding") => policy::binding(value, false),
        _ => Vec::new(),
    }
}
