//! The node authoriser against what Kubernetes 1.36 lets a kubelet do, written down a second time.

use everynode_api::kinds::KINDS;

use super::rules::Rule;
use super::*;

const NODE: &str = "n1";
const VERBS: [&str; 9] =
    ["get", "list", "watch", "create", "update", "patch", "delete", "deletecollection", "impersonate"];

/// What a kubelet may ask for if everything else about the request is in its favour. All others:
/// nothing.
const ALLOWED: &str = "\
nodes: get list watch create update patch
nodes/status: update patch
pods: get list watch create delete
pods/status: update patch
pods/eviction: create
secrets: get list watch
configmaps: get list watch
serviceaccounts/token: create
services: get list watch
endpoints: get
events: create update patch
leases.coordination.k8s.io: get create update patch delete
tokenreviews.authentication.k8s.io: create
subjectaccessreviews.authorization.k8s.io: create
localsubjectaccessreviews.authorization.k8s.io: create
certificatesigningrequests.certificates.k8s.io: get list watch create
runtimeclasses.node.k8s.io: get list watch
csidrivers.storage.k8s.io: get list watch
csinodes.storage.k8s.io: get create update patch delete
";

/// Resources besides those that are served.
const FURTHER: [(&str, &str); 8] = [
    ("authentication.k8s.io", "tokenreviews"),
    ("authentication.k8s.io", "selfsubjectreviews"),
    ("authorization.k8s.io", "subjectaccessreviews"),
    ("authorization.k8s.io", "localsubjectaccessreviews"),
    ("authorization.k8s.io", "selfsubjectaccessreviews"),
    ("", "users"),
    ("", "groups"),
    ("apps", "deployments"),
];

/// The pod `team/mine` runs on the node, and refers to everything that is called `used`.
struct FixedRelations;

impl Relations for FixedRelations {
    fn runs_here(&self, namespace: &str, pod: &str) -> bool {
        (namespace, pod) == ("team", "mine")
    }

    fn refers(&self, resource: &str, namespace: &str, name: &str) -> bool {
        namespace == "team" && name == "used" && ["secrets", "configmaps", "serviceaccounts"].contains(&resource)
    }
}

fn asked(verb: &str, group: &str, resource: &str, subresource: &str) -> Attributes {
    let own = str::to_owned;
    Attributes {
        verb: own(verb),
        group: own(group),
        resource: own(resource),
        subresource: own(subresource),
        ..Attributes::default()
    }
}

/// The request that has most in its favour.
fn favoured(verb: &str, group: &str, resource: &str, subresource: &str) -> Attributes {
    let mut attributes = asked(verb, group, resource, subresource);
    let (namespace, name) = match resource {
        "nodes" | "csinodes" => ("", NODE),
        "leases" => ("kube-node-lease", NODE),
        "pods" => ("team", "mine"),
        _ => ("team", "used"),
    };
    attributes.namespace = namespace.to_owned();
    match verb {
        "list" | "watch" | "deletecollection" => {
            (attributes.selected_name, attributes.selected_node) = (name.to_owned(), NODE.to_owned());
        }
        _ => attributes.name = name.to_owned(),
    }
    attributes
}

fn subresources() -> Vec<(&'static str, &'static str, &'static str)> {
    let served = KINDS.iter().flat_map(|info| {
        let (group, resource) = (info.kind.group.as_ref(), info.kind.plural.as_ref());
        let below = info.subresources.iter().map(move |subresource| (group, resource, *subresource));
        std::iter::once((group, resource, "")).chain(below)
    });
    let further = FURTHER.iter().map(|(group, resource)| (*group, *resource, ""));
    served.chain(further).collect()
}

#[test]
fn an_agent_may_do_what_a_kubelet_may() {
    let mut allowed = String::new();
    for (group, resource, subresource) in subresources() {
        let may = |verb: &&&str| decide(NODE, &favoured(verb, group, resource, subresource), &FixedRelations).is_ok();
        let verbs: Vec<&str> = VERBS.iter().filter(may).copied().collect();
        if !verbs.is_empty() {
            let below = if subresource.is_empty() { String::new() } else { format!("/{subresource}") };
            let group = if group.is_empty() { String::new() } else { format!(".{group}") };
            allowed += &format!("{resource}{below}{group}: {}\n", verbs.join(" "));
        }
    }
    let sorted = |text: &str| {
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        lines.sort();
        lines
    };
    assert_eq!(sorted(&allowed), sorted(ALLOWED));
}

#[test]
fn no_row_is_hidden_by_one_above_it() {
    for (index, rule) in RULES.iter().enumerate() {
        for verb in rule.verbs {
            let same = |other: &Rule| {
                (other.group, other.resource, other.subresource) == (rule.group, rule.resource, rule.subresource)
                    && other.verbs.contains(verb)
            };
            assert_eq!(RULES.iter().position(same), Some(index), "{rule:?} {verb}");
        }
    }
}

/// Verb, resource with subresource and group, namespace, name, selectors: what is refused, and how.
const REFUSED: &[(&str, &str, &str, &str, &str, &str)] = &[
    ("get", "nodes", "", "n2", "", "node 'n1' cannot read 'n2', only its own Node object"),
    ("list", "nodes", "", "", "", "node 'n1' cannot read all nodes, only its own Node object"),
    ("watch", "nodes", "", "", "metadata.name=n2", "node 'n1' cannot read 'n2', only its own Node object"),
    ("delete", "nodes", "", "n1", "", ""),
    ("get", "nodes/status", "", "n1", "", ""),
    ("get", "nodes/proxy", "", "n1", "", ""),
    ("get", "pods", "team", "other", "", "no relationship found between node 'n1' and this object"),
    ("get", "pods", "other", "mine", "", "no relationship found between node 'n1' and this object"),
    ("list", "pods", "", "", "", "can only list/watch pods with spec.nodeName field selector"),
    ("list", "pods", "team", "", "spec.nodeName=n2", "can only list/watch pods with spec.nodeName field selector"),
    ("watch", "pods", "team", "", "metadata.name=other", "no relationship found between node 'n1' and this object"),
    ("deletecollection", "pods", "team", "", "spec.nodeName=n1", ""),
    ("update", "pods", "team", "mine", "", ""),
    ("patch", "pods", "team", "mine", "", ""),
    ("get", "pods/log", "team", "mine", "", ""),
    ("create", "pods/exec", "team", "mine", "", ""),
    ("create", "pods/binding", "team", "mine", "", ""),
    ("update", "pods/ephemeralcontainers", "team", "mine", "", ""),
    ("get", "secrets", "team", "other", "", "no relationship found between node 'n1' and this object"),
    ("get", "secrets", "other", "used", "", "no relationship found between node 'n1' and this object"),
    ("list", "secrets", "team", "", "", "No Object name found"),
    ("list", "secrets", "", "", "metadata.name=used", "can only read namespaced object of this type"),
    ("update", "secrets", "team", "used", "", "can only read resources of this type"),
    (
        "watch",
        "configmaps",
        "team",
        "",
        "metadata.name=other",
        "no relationship found between node 'n1' and this object",
    ),
    ("create", "configmaps", "team", "", "", "can only read resources of this type"),
    ("get", "serviceaccounts", "team", "used", "", "can only create tokens for individual service accounts"),
    ("create", "serviceaccounts", "team", "", "", "can only create token subresource of serviceaccount"),
    ("create", "serviceaccounts/token", "team", "other", "", "no relationship found between node 'n1' and this object"),
    ("list", "namespaces", "", "", "", ""),
    ("get", "namespaces", "", "team", "", ""),
    ("list", "events", "team", "", "", ""),
    ("create", "events.events.k8s.io", "team", "", "", ""),
    ("list", "endpoints", "team", "", "", ""),
    (
        "list",
        "leases.coordination.k8s.io",
        "kube-node-lease",
        "",
        "",
        "can only get, create, update, patch, or delete a node lease",
    ),
    (
        "create",
        "leases.coordination.k8s.io",
        "kube-system",
        "",
        "",
        "can only access leases in the \"kube-node-lease\" system namespace",
    ),
    (
        "get",
        "leases.coordination.k8s.io",
        "team",
        "n1",
        "",
        "can only access leases in the \"kube-node-lease\" system namespace",
    ),
    (
        "update",
        "leases.coordination.k8s.io",
        "kube-node-lease",
        "n2",
        "",
        "can only access node lease with the same name as the requesting node",
    ),
    (
        "patch",
        "csinodes.storage.k8s.io",
        "",
        "n2",
        "",
        "can only access CSINode with the same name as the requesting node",
    ),
    ("list", "csinodes.storage.k8s.io", "", "", "", "can only get, create, update, patch, or delete a CSINode"),
    ("get", "daemonsets.apps", "team", "used", "", ""),
    ("get", "clusterroles.rbac.authorization.k8s.io", "", "admin", "", ""),
];

#[test]
fn refusals_have_kubernetes_words() {
    for (verb, what, namespace, name, selector, words) in REFUSED {
        let (resource, group) = what.split_once('.').unwrap_or((what, ""));
        let (resource, subresource) = resource.split_once('/').unwrap_or((resource, ""));
        let mut attributes = asked(verb, group, resource, subresource);
        (attributes.namespace, attributes.name) = ((*namespace).to_owned(), (*name).to_owned());
        match selector.split_once('=') {
            Some(("spec.nodeName", node)) => attributes.selected_node = node.to_owned(),
            Some((_, name)) => attributes.selected_name = name.to_owned(),
            None => {}
        }
        assert_eq!(decide(NODE, &attributes, &FixedRelations), Err((*words).to_owned()), "{attributes:?}");
    }
}
