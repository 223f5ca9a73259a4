//! The node authoriser: what an agent (`system:node:NAME`) may do, as Kubernetes' authoriser of the
//! same name has it. The table is [`rules`]; what a pod lends its node is [`references`].
//!
//! An agent sees its own node, its own pods and what those refer to. Every other node's secrets
//! stay out of its reach.

pub(crate) mod references;
pub(crate) mod rules;
#[cfg(test)]
mod tests;

use serde_json::Value;

use super::User;
use super::authorize::Attributes;
use crate::catalogue::built_in;
use crate::hub::Filter;
use crate::registry::Registry;
use rules::{Condition, RULES};

/// Where the leases of nodes lie.
pub(crate) const NODE_LEASES: &str = "kube-node-lease";

/// What the pods on a node bring along.
trait Relations {
    /// Whether this pod is bound to the node.
    fn runs_here(&self, namespace: &str, pod: &str) -> bool;
    /// Whether a pod on the node refers to the object.
    fn refers(&self, resource: &str, namespace: &str, name: &str) -> bool;
}

/// Lets an agent do this, or says why not; the reason may be empty. Of other users it has no
/// opinion.
pub(crate) fn judge(registry: &Registry, user: &User, attributes: &Attributes) -> Result<(), String> {
    match user.node() {
        None => Err(String::new()),
        Some("") => Err(format!("unknown node for user {:?}", user.name)),
        Some(node) => decide(node, attributes, &Stored { registry, node }),
    }
}

fn decide(node: &str, a: &Attributes, relations: &dyn Relations) -> Result<(), String> {
    let verb = a.verb.as_str();
    let row = RULES.iter().find(|rule| {
        rule.group == a.group
            && rule.resource == a.resource
            && rule.subresource == a.subresource
            && rule.verbs.contains(&verb)
    });
    match row {
        Some(rule) => holds(rule.condition, node, a, relations),
        None => Err(rules::no_row(&a.resource, verb).to_owned()),
    }
}

fn holds(condition: Condition, node: &str, a: &Attributes, relations: &dyn Relations) -> Result<(), String> {
    let name = named(a);
    let runs_here = || relations.runs_here(&a.namespace, name);
    let unrelated = || Err(format!("no relationship found between node '{node}' and this object"));
    match condition {
        Condition::Always | Condition::Admission => Ok(()),
        Condition::OwnName if name == node => Ok(()),
        Condition::OwnName => Err(other_name(node, a, name)),
        Condition::AmongNodeLeases | Condition::OwnNodeLease if a.namespace != NODE_LEASES => {
            Err(format!("can only access leases in the {NODE_LEASES:?} system namespace"))
        }
        Condition::OwnNodeLease if name != node => {
            Err("can only access node lease with the same name as the requesting node".to_owned())
        }
        Condition::AmongNodeLeases | Condition::OwnNodeLease => Ok(()),
        Condition::OwnPods if a.selected_node == node || (!name.is_empty() && runs_here()) => Ok(()),
        Condition::OwnPods if name.is_empty() => {
            Err("can only list/watch pods with spec.nodeName field selector".to_owned())
        }
        Condition::RunsHere if !name.is_empty() && runs_here() => Ok(()),
        Condition::OwnPods | Condition::RunsHere => unrelated(),
        Condition::Referred if a.namespace.is_empty() => Err("can only read namespaced object of this type".to_owned()),
        Condition::Referred if name.is_empty() => Err("No Object name found".to_owned()),
        Condition::Referred if relations.refers(&a.resource, &a.namespace, name) => Ok(()),
        Condition::Referred => unrelated(),
    }
}

fn other_name(node: &str, a: &Attributes, name: &str) -> String {
    match (a.resource.as_str(), name) {
        ("nodes", "") => format!("node '{node}' cannot read all nodes, only its own Node object"),
        ("nodes", name) => format!("node '{node}' cannot read '{name}', only its own Node object"),
        _ => "can only access CSINode with the same name as the requesting node".to_owned(),
    }
}

/// The one object asked for, by name or by field selector.
fn named(a: &Attributes) -> &str {
    if a.name.is_empty() { &a.selected_name } else { &a.name }
}

/// The pods as the hub has them.
struct Stored<'a> {
    registry: &'a Registry,
    node: &'a str,
}

impl Relations for Stored<'_> {
    fn runs_here(&self, namespace: &str, pod: &str) -> bool {
        let info = &built_in::POD;
        let topic = self.registry.hub.topic(&info.storage);
        let held = topic.and_then(|topic| topic.get(&crate::keys::object(info, namespace, pod)));
        held.is_some_and(|item| item.node() == self.node)
    }

    fn refers(&self, resource: &str, namespace: &str, name: &str) -> bool {
        let info = &built_in::POD;
        let selector = format!("spec.nodeName={}", self.node);
        let (Ok(filter), Some(topic)) =
            (Filter::parse(info, Some(namespace.to_owned()), "", &selector), self.registry.hub.topic(&info.storage))
        else {
            return false;
        };
        // A pod that does not contain the name cannot refer to it: parse only the few that do.
        let quoted = format!("\"{name}\"");
        topic.select(&filter).iter().any(|item| {
            let value = &item.kv.value;
            let contains = value.windows(quoted.len()).any(|window| window == quoted.as_bytes());
            contains && serde_json::from_slice::<Value>(value).is_ok_and(|pod| references::refers(&pod, resource, name))
        })
    }
}
