//! What an agent (`system:node:NAME`) may do, as code: its own node, its own pods, and what those
//! refer to. Every other node's secrets stay out of its reach.

use everynode_api::kinds::{POD, find};
use serde_json::Value;

use super::User;
use super::authorize::Attributes;
use crate::hub::Filter;
use crate::object::{items, text};
use crate::registry::Registry;

/// Whether the node authoriser lets an agent do this. Not being asked (no agent) is no.
pub(crate) fn allows(registry: &Registry, user: &User, a: &Attributes) -> bool {
    let Some(node) = user.node() else { return false };
    let verb = a.verb.as_str();
    let reads = matches!(verb, "get" | "list" | "watch");
    match (a.group.as_str(), a.resource.as_str(), a.subresource.as_str()) {
        ("", "nodes", "" | "status") => node_object(a, node, verb),
        ("", "pods", subresource) => pods(registry, a, node, verb, subresource),
        ("", "services", "") | ("", "namespaces", "") => reads,
        ("", "secrets" | "configmaps", "") => reads && named(a).is_some_and(|name| refers(registry, node, a, name)),
        ("", "serviceaccounts", "") => verb == "get" && refers(registry, node, a, &a.name),
        ("", "serviceaccounts", "token") => verb == "create" && refers(registry, node, a, &a.name),
        ("" | "events.k8s.io", "events", "") => matches!(verb, "create" | "update" | "patch"),
        ("coordination.k8s.io", "leases", "") => lease(a, node, verb),
        ("apps", "daemonsets" | "controllerrevisions", "") => false,
        ("authentication.k8s.io", "tokenreviews", "") => verb == "create",
        ("authorization.k8s.io", "subjectaccessreviews" | "localsubjectaccessreviews", "") => verb == "create",
        ("node.k8s.io", "runtimeclasses", "") | ("storage.k8s.io", "csidrivers", "") => reads,
        _ => false,
    }
}

fn node_object(a: &Attributes, node: &str, verb: &str) -> bool {
    match verb {
        "create" => a.name.is_empty() || a.name == node,
        "list" | "watch" => a.selected_name == node,
        "get" | "update" | "patch" | "delete" => a.name == node,
        _ => false,
    }
}

fn pods(registry: &Registry, a: &Attributes, node: &str, verb: &str, subresource: &str) -> bool {
    match (verb, subresource) {
        ("list" | "watch", "") => a.selected_node == node,
        // Mirror pods; admission looks at the rest.
        ("create", "") => true,
        ("get" | "delete", "") | ("get" | "update" | "patch", "status") | ("create", "eviction") => {
            owns_pod(registry, a, node)
        }
        _ => false,
    }
}

fn owns_pod(registry: &Registry, a: &Attributes, node: &str) -> bool {
    let topic = find(&POD.group, &POD.plural).and_then(|info| Some((info, registry.hub.topic(info.storage)?)));
    let held = topic.and_then(|(info, topic)| topic.get(&crate::keys::object(info, &a.namespace, &a.name)));
    // A pod that is gone is nobody's: the answer is then 404, which an agent must be able to see.
    held.is_none_or(|item| item.node() == node)
}

fn lease(a: &Attributes, node: &str, verb: &str) -> bool {
    a.namespace == "kube-node-lease"
        && match verb {
            "create" => a.name.is_empty() || a.name == node,
            "get" | "update" | "patch" | "delete" => a.name == node,
            _ => false,
        }
}

/// The one object asked for, by name or by field selector.
fn named(a: &Attributes) -> Option<&str> {
    let name = if a.name.is_empty() { &a.selected_name } else { &a.name };
    (!name.is_empty() && !a.namespace.is_empty()).then_some(name)
}

/// Whether a pod on the node refers to the object.
fn refers(registry: &Registry, node: &str, a: &Attributes, name: &str) -> bool {
    let Some(info) = find(&POD.group, &POD.plural) else { return false };
    let selector = format!("spec.nodeName={node}");
    let (Ok(filter), Some(topic)) =
        (Filter::parse(info, Some(a.namespace.clone()), "", &selector), registry.hub.topic(info.storage))
    else {
        return false;
    };
    topic.select(&filter).iter().any(|item| {
        // A pod that does not contain the name cannot refer to it: parse only the few that do.
        let quoted = format!("\"{name}\"");
        let contains = item.kv.value.windows(quoted.len()).any(|window| window == quoted.as_bytes());
        contains && serde_json::from_slice::<Value>(&item.kv.value).is_ok_and(|pod| pod_refers(&pod, &a.resource, name))
    })
}

fn pod_refers(pod: &Value, resource: &str, name: &str) -> bool {
    match resource {
        "serviceaccounts" => text(pod, &["spec", "serviceAccountName"]) == name,
        "secrets" => {
            items(pod, &["spec", "imagePullSecrets"]).iter().any(|secret| secret["name"] == name)
                || volumes(pod).any(|volume| volume["secret"]["secretName"] == name || projects(volume, "secret", name))
                || environment(pod, "secretRef", "secretKeyRef", name)
        }
        "configmaps" => {
            volumes(pod).any(|volume| volume["configMap"]["name"] == name || projects(volume, "configMap", name))
                || environment(pod, "configMapRef", "configMapKeyRef", name)
        }
        _ => false,
    }
}

fn volumes(pod: &Value) -> impl Iterator<Item = &Value> {
    items(pod, &["spec", "volumes"]).iter()
}

fn projects(volume: &Value, kind: &str, name: &str) -> bool {
    items(volume, &["projected", "sources"]).iter().any(|source| source[kind]["name"] == name)
}

fn environment(pod: &Value, whole: &str, key: &str, name: &str) -> bool {
    let lists = ["containers", "initContainers", "ephemeralContainers"];
    lists.iter().flat_map(|list| items(pod, &["spec", list])).any(|container| {
        items(container, &["envFrom"]).iter().any(|from| from[whole]["name"] == name)
            || items(container, &["env"]).iter().any(|env| env["valueFrom"][key]["name"] == name)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn pods_refer_to_what_they_mount_and_read() {
        let pod = json!({"spec": {"serviceAccountName": "sa", "imagePullSecrets": [{"name": "pull"}],
            "volumes": [{"configMap": {"name": "conf"}}, {"projected": {"sources": [{"secret": {"name": "proj"}}]}}],
            "containers": [{"env": [{"valueFrom": {"secretKeyRef": {"name": "key"}}}]}]}});
        assert!(["pull", "proj", "key"].iter().all(|name| pod_refers(&pod, "secrets", name)));
        assert!(pod_refers(&pod, "configmaps", "conf") && !pod_refers(&pod, "configmaps", "key"));
        assert!(pod_refers(&pod, "serviceaccounts", "sa"));
    }
}
