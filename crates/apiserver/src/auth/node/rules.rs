//! The table of what an agent may do at all: one row for each resource, subresource and set of
//! verbs.
//!
//! It covers the kinds that are served and those that a stock kubelet asks for, so that a kind that
//! is added later (leases of other groups, runtime classes) has its row already. Where a row says
//! [`Condition::Admission`], the name or the body decides, which node restriction looks at
//! (`registry/admission/node_restriction`).

/// What must hold besides group, resource, subresource and verb.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Condition {
    /// Nothing.
    Always,
    /// Nothing here; admission sees the object.
    Admission,
    /// The request is about the one object that has the node's name: by its path, or by a field
    /// selector.
    OwnName,
    /// In the namespace of node leases.
    AmongNodeLeases,
    /// In the namespace of node leases, and the object has the node's name.
    OwnNodeLease,
    /// The field selector asks for the node's own pods, or the one pod that is named runs there.
    OwnPods,
    /// The pod runs on the node.
    RunsHere,
    /// One object of a namespace is named, and a pod on the node refers to it.
    Referred,
}

/// A row of the table.
#[derive(Debug)]
pub(crate) struct Rule {
    pub(crate) group: &'static str,
    pub(crate) resource: &'static str,
    pub(crate) subresource: &'static str,
    pub(crate) verbs: &'static [&'static str],
    pub(crate) condition: Condition,
}

const READ: &[&str] = &["get", "list", "watch"];
const CREATE: &[&str] = &["create"];
const CHANGE: &[&str] = &["update", "patch"];

const fn rule(
    group: &'static str,
    resource: &'static str,
    subresource: &'static str,
    verbs: &'static [&'static str],
    condition: Condition,
) -> Rule {
    Rule { group, resource, subresource, verbs, condition }
}

/// Everything that an agent may do.
pub(crate) const RULES: &[Rule] = &[
    rule("", "nodes", "", READ, Condition::OwnName),
    rule("", "nodes", "", &["create", "update", "patch"], Condition::Admission),
    rule("", "nodes", "status", CHANGE, Condition::Admission),
    rule("", "pods", "", &["get"], Condition::RunsHere),
    rule("", "pods", "", &["list", "watch"], Condition::OwnPods),
    rule("", "pods", "", &["create", "delete"], Condition::Admission),
    rule("", "pods", "status", CHANGE, Condition::Admission),
    rule("", "pods", "eviction", CREATE, Condition::Admission),
    rule("", "secrets", "", READ, Condition::Referred),
    rule("", "configmaps", "", READ, Condition::Referred),
    rule("", "serviceaccounts", "token", CREATE, Condition::Referred),
    rule("", "services", "", READ, Condition::Always),
    rule("", "endpoints", "", &["get"], Condition::Always),
    rule("", "events", "", &["create", "update", "patch"], Condition::Always),
    rule("coordination.k8s.io", "leases", "", CREATE, Condition::AmongNodeLeases),
    rule("coordination.k8s.io", "leases", "", &["get", "update", "patch", "delete"], Condition::OwnNodeLease),
    rule("authentication.k8s.io", "tokenreviews", "", CREATE, Condition::Always),
    rule("authorization.k8s.io", "subjectaccessreviews", "", CREATE, Condition::Always),
    rule("authorization.k8s.io", "localsubjectaccessreviews", "", CREATE, Condition::Always),
    rule(
        "certificates.k8s.io",
        "certificatesigningrequests",
        "",
        &["get", "list", "watch", "create"],
        Condition::Always,
    ),
    rule("node.k8s.io", "runtimeclasses", "", READ, Condition::Always),
    rule("storage.k8s.io", "csidrivers", "", READ, Condition::Always),
    rule("storage.k8s.io", "csinodes", "", CREATE, Condition::Admission),
    rule("storage.k8s.io", "csinodes", "", &["get", "update", "patch", "delete"], Condition::OwnName),
];

/// Why there is no row: Kubernetes' words for the resource, empty where it says nothing.
pub(super) fn no_row(resource: &str, verb: &str) -> &'static str {
    match resource {
        "secrets" | "configmaps" if READ.contains(&verb) => "cannot read subresource",
        "secrets" | "configmaps" => "can only read resources of this type",
        "serviceaccounts" if verb == "create" => "can only create token subresource of serviceaccount",
        "serviceaccounts" => "can only create tokens for individual service accounts",
        "leases" => "can only get, create, update, patch, or delete a node lease",
        "csinodes" => "can only get, create, update, patch, or delete a CSINode",
        _ => "",
    }
}
