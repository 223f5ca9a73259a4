//! The question that every authoriser answers, and the order in which they are asked.

use everynode_api::status::Status;

use super::{MASTERS, User, node};
use crate::registry::Registry;

/// What is to be done, as RBAC sees it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Attributes {
    /// `get`, `list`, `watch`, `create`, `update`, `patch`, `delete`, `deletecollection`; for other
    /// paths the lower-case method.
    pub(crate) verb: String,
    /// Empty for requests that are about no resource.
    pub(crate) resource: String,
    pub(crate) group: String,
    pub(crate) version: String,
    pub(crate) namespace: String,
    pub(crate) name: String,
    pub(crate) subresource: String,
    /// Only for requests that are about no resource.
    pub(crate) path: String,
    /// `spec.nodeName` or `metadata.name` of the field selector: what agents list and watch by.
    pub(crate) selected_node: String,
    pub(crate) selected_name: String,
}

impl Attributes {
    /// The name that rules with `resourceNames` compare: a list or watch that is narrowed to one
    /// name has it.
    pub(crate) fn requested_name(&self) -> &str {
        match self.verb.as_str() {
            "list" | "watch" if self.name.is_empty() => &self.selected_name,
            _ => &self.name,
        }
    }
}

/// Decides.
pub(crate) fn allowed(registry: &Registry, user: &User, attributes: &Attributes) -> bool {
    decide(registry, user, attributes).is_ok()
}

/// Decides, with Kubernetes' 403 for no.
pub(crate) fn check(registry: &Registry, user: &User, attributes: &Attributes) -> Result<(), Status> {
    decide(registry, user, attributes).map_err(|reason| forbidden(user, attributes, &reason))
}

/// Why not, where an authoriser says it.
pub(crate) fn decide(registry: &Registry, user: &User, attributes: &Attributes) -> Result<(), String> {
    if user.is_in(MASTERS) {
        return Ok(());
    }
    let Err(reason) = node::judge(registry, user, attributes) else { return Ok(()) };
    match registry.rbac.allows(registry, user, attributes) {
        true => Ok(()),
        false => Err(reason),
    }
}

fn forbidden(user: &User, attributes: &Attributes, reason: &str) -> Status {
    let Attributes { verb, resource, group, namespace, name, subresource, path, .. } = attributes;
    if resource.is_empty() {
        let message = format!("forbidden: User \"{}\" cannot {verb} path \"{path}\"", user.name);
        let mut status = Status::failure(403, "Forbidden", message);
        status.details.get_or_insert_default();
        return status;
    }
    let qualified = if group.is_empty() { resource.clone() } else { format!("{resource}.{group}") };
    let subject = if name.is_empty() { qualified } else { format!("{qualified} \"{name}\"") };
    let what = if subresource.is_empty() { resource.clone() } else { format!("{resource}/{subresource}") };
    let place = if namespace.is_empty() {
        "at the cluster scope".to_owned()
    } else {
        format!("in the namespace \"{namespace}\"")
    };
    let mut message = format!(
        "{subject} is forbidden: User \"{}\" cannot {verb} resource \"{what}\" in API group \"{group}\" {place}",
        user.name
    );
    if !reason.is_empty() {
        message = format!("{message}: {reason}");
    }
    let mut status = Status::failure(403, "Forbidden", message);
    let details = status.details.get_or_insert_default();
    (details.name, details.group, details.kind) = (name.clone(), group.clone(), resource.clone());
    status
}
