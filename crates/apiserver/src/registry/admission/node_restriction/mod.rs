//! What an agent may write, beyond what the node authoriser lets through: that looks at paths, this
//! at objects.
//!
//! [`CHECKS`] is the table: one row for each resource, subresource and operation. It also holds for
//! an agent that was given further rights by a role.

mod nodes;
mod pods;
mod tokens;

use everynode_api::status::Status;
use serde_json::Value;

use crate::auth::User;
use crate::auth::node::NODE_LEASES;
use crate::object;
use crate::registry::{Registry, Target};

pub(in crate::registry) use tokens::longest_life;

/// As admission names what is done; a patch is an update.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::registry) enum Operation {
    Create,
    Update,
    Delete,
}

impl Operation {
    fn as_str(self) -> &'static str {
        match self {
            Operation::Create => "CREATE",
            Operation::Update => "UPDATE",
            Operation::Delete => "DELETE",
        }
    }
}

/// What an agent is about to do.
pub(super) struct Asked<'a> {
    pub(super) registry: &'a Registry,
    pub(super) user: &'a User,
    pub(super) target: &'a Target,
    pub(super) operation: Operation,
    /// As it was sent; null for a deletion.
    pub(super) new: &'a Value,
    /// As it is stored; null for a creation.
    pub(super) old: &'a Value,
}

/// What is being done, by an agent.
struct ByNode<'a> {
    asked: &'a Asked<'a>,
    node: &'a str,
}

/// A row of the table.
struct Check {
    group: &'static str,
    resource: &'static str,
    subresource: &'static str,
    operation: Operation,
    check: fn(&ByNode<'_>) -> Result<(), Status>,
}

const fn check(
    group: &'static str,
    resource: &'static str,
    subresource: &'static str,
    operation: Operation,
    check: fn(&ByNode<'_>) -> Result<(), Status>,
) -> Check {
    Check { group, resource, subresource, operation, check }
}

const CHECKS: &[Check] = &[
    check("", "pods", "", Operation::Create, pods::create),
    check("", "pods", "", Operation::Delete, pods::delete),
    check("", "pods", "status", Operation::Update, pods::status),
    check("", "pods", "eviction", Operation::Create, pods::evict),
    check("", "nodes", "", Operation::Create, nodes::create),
    check("", "nodes", "", Operation::Update, nodes::update),
    check("", "nodes", "status", Operation::Update, nodes::update),
    check("", "nodes", "", Operation::Delete, nodes::delete),
    check("", "serviceaccounts", "token", Operation::Create, tokens::create),
    check("coordination.k8s.io", "leases", "", Operation::Create, lease),
    check("coordination.k8s.io", "leases", "", Operation::Update, lease),
    check("coordination.k8s.io", "leases", "", Operation::Delete, lease),
    check("storage.k8s.io", "csinodes", "", Operation::Create, csi_node),
    check("storage.k8s.io", "csinodes", "", Operation::Update, csi_node),
    check("storage.k8s.io", "csinodes", "", Operation::Delete, csi_node),
];

/// Refuses what an agent may not write. Other users are not concerned.
pub(super) fn admit(asked: &Asked<'_>) -> Result<(), Status> {
    let Some(node) = asked.user.node() else { return Ok(()) };
    let by_node = ByNode { asked, node };
    if node.is_empty() {
        return by_node.refuse(&format!("could not determine node from user {:?}", asked.user.name));
    }
    let (kind, subresource) = (&asked.target.info.kind, asked.target.subresource);
    let row = CHECKS.iter().find(|row| {
        row.group == kind.group
            && row.resource == kind.plural
            && row.subresource == subresource
            && row.operation == asked.operation
    });
    match row {
        Some(row) => (row.check)(&by_node),
        None if kind.group.is_empty() && kind.plural == "pods" => pods::unexpected(&by_node),
        None if kind.group.is_empty() && kind.plural == "nodes" => by_node.own_name(),
        None => Ok(()),
    }
}

impl ByNode<'_> {
    fn refuse(&self, text: &str) -> Result<(), Status> {
        Err(Status::forbidden(&self.asked.target.info.kind, self.name(), text))
    }

    /// The object's name; that of one that is created is in its body.
    fn name(&self) -> &str {
        match self.asked.target.name.as_str() {
            "" => object::meta(self.asked.new, "name"),
            name => name,
        }
    }

    fn own_name(&self) -> Result<(), Status> {
        match self.name() == self.node {
            true => Ok(()),
            false => self.refuse(&format!("node {:?} is not allowed to modify node {:?}", self.node, self.name())),
        }
    }
}

fn lease(by_node: &ByNode<'_>) -> Result<(), Status> {
    if by_node.asked.target.namespace != NODE_LEASES {
        return by_node.refuse(&format!("can only access leases in the {NODE_LEASES:?} system namespace"));
    }
    named_alike(by_node, "node lease")
}

fn csi_node(by_node: &ByNode<'_>) -> Result<(), Status> {
    named_alike(by_node, "CSINode")
}

/// An agent has the one object that has its node's name.
fn named_alike(by_node: &ByNode<'_>, what: &str) -> Result<(), Status> {
    match by_node.name() == by_node.node {
        true => Ok(()),
        false => by_node.refuse(&format!("can only access {what} with the same name as the requesting node")),
    }
}
