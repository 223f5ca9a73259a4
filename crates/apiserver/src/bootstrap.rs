//! What exists in every cluster: namespaces, roles and bindings, priority classes, the
//! `kubernetes` service and its endpoints. Made at start where it is missing.

use std::net::SocketAddr;

use everynode_api::status::Status;
use serde_json::{Value, json};

use crate::auth::User;
use crate::auth::policy;
use crate::registry::{Body, Caller, DeleteOptions, Registry, Target};
use crate::schema::FieldValidation;

/// Name, value and description of the built-in priority classes (DS-B53).
pub(crate) const PRIORITY_CLASSES: [(&str, i64, &str); 2] = [
    (
        "system-cluster-critical",
        2_000_000_000,
        "Used for system critical pods that must run in the cluster, but can be moved to another node if necessary.",
    ),
    (
        "system-node-critical",
        2_000_001_000,
        "Used for system critical pods that must not be moved from their current node.",
    ),
];

const NAMESPACES: [&str; 4] = ["default", "kube-system", "kube-public", "kube-node-lease"];

/// Makes what is missing. All creates run at once, so that they share few disk writes.
pub(crate) async fn run(registry: &std::sync::Arc<Registry>, advertised: Option<SocketAddr>) -> Result<(), Status> {
    let namespaces =
        NAMESPACES.iter().map(|name| json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}));
    create_all(registry, namespaces.collect()).await?;
    let mut rest: Vec<Value> = PRIORITY_CLASSES.iter().map(priority_class).collect();
    let roles = policy::cluster_roles();
    complete(registry, &roles).await?;
    rest.extend(roles);
    rest.extend(policy::cluster_role_bindings());
    rest.push(kubernetes_service(registry));
    create_all(registry, rest).await?;
    match advertised {
        Some(address) => publish_endpoints(registry, address).await,
        None => Ok(()),
    }
}

fn priority_class(class: &(&str, i64, &str)) -> Value {
    json!({"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": {"name": class.0},
           "value": class.1, "description": class.2, "preemptionPolicy": "PreemptLowerPriority"})
}

fn service_ip(registry: &Registry) -> String {
    let [a, b, c] = registry.settings.service_network;
    format!("{a}.{b}.{c}.1")
}

fn kubernetes_service(registry: &Registry) -> Value {
    json!({"apiVersion": "v1", "kind": "Service",
           "metadata": {"name": "kubernetes", "namespace": "default",
                        "labels": {"component": "apiserver", "provider": "kubernetes"}},
           "spec": {"type": "ClusterIP", "clusterIP": service_ip(registry), "sessionAffinity": "None",
                    "ports": [{"name": "https", "port": 443, "protocol": "TCP", "targetPort": 6443}]}})
}

/// The endpoints of the `kubernetes` service name this server, in both forms; a changed address
/// replaces the old one.
async fn publish_endpoints(registry: &Registry, address: SocketAddr) -> Result<(), Status> {
    let port = json!({"name": "https", "port": address.port(), "protocol": "TCP"});
    let endpoints = json!({"apiVersion": "v1", "kind": "Endpoints",
        "metadata": {"name": "kubernetes", "namespace": "default", "labels": {"endpointslice.kubernetes.io/skip-mirror": "true"}},
        "subsets": [{"addresses": [{"ip": address.ip().to_string()}], "ports": [port]}]});
    let slice = json!({"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
        "metadata": {"name": "kubernetes", "namespace": "default", "labels": {"kubernetes.io/service-name": "kubernetes"}},
        "addressType": if address.is_ipv4() { "IPv4" } else { "IPv6" },
        "endpoints": [{"addresses": [address.ip().to_string()], "conditions": {"ready": true}}], "ports": [port]});
    publish(registry, endpoints).await?;
    // The type of its address cannot change: a slice of the other one is replaced.
    match publish(registry, slice.clone()).await {
        Err(status) if status.code == 422 => {
            let user = User::internal("system:apiserver");
            let target = target(registry, &slice, "kubernetes")?;
            registry.delete(&caller(&user), &target, &DeleteOptions::default()).await?;
            publish(registry, slice).await
        }
        result => result,
    }
}

/// Makes an object, or replaces what is there under its name.
async fn publish(registry: &Registry, object: Value) -> Result<(), Status> {
    let (user, target) = (User::internal("system:apiserver"), target(registry, &object, "kubernetes")?);
    match registry.update(&caller(&user), &target, Body::Value(object.clone())).await {
        Err(status) if status.is_not_found() => {}
        result => return result.map(|_| ()),
    }
    registry.create(&caller(&user), &target, Body::Value(object)).await.map(|_| ())
}

fn caller(user: &User) -> Caller<'_> {
    Caller { user, dry_run: false, validation: FieldValidation::Ignore, fence: None, manager: None, warnings: None }
}

fn target(registry: &Registry, object: &Value, name: &str) -> Result<Target, Status> {
    let text = |name: &str| object[name].as_str().unwrap_or("");
    let rows = registry.catalogue.rows();
    let info = rows.by_kind(text("apiVersion"), text("kind")).cloned().ok_or_else(Status::no_such_path)?;
    let namespace = object["metadata"]["namespace"].as_str().unwrap_or("").to_owned();
    Ok(Target { info, namespace, name: name.to_owned(), subresource: "" })
}

/// Brings the rules and labels that a former version did not have into roles that are there, unless
/// their annotation forbids it. Nothing is taken away.
async fn complete(registry: &Registry, roles: &[Value]) -> Result<(), Status> {
    let user = User::internal("system:apiserver");
    for role in roles {
        let target = target(registry, role, role["metadata"]["name"].as_str().unwrap_or(""))?;
        let held = match registry.current_value(&target) {
            Err(status) if status.is_not_found() => continue,
            held => held?.1,
        };
        if let Some(completed) = completed(&held, role) {
            registry.update(&caller(&user), &target, Body::Value(completed)).await?;
        }
    }
    Ok(())
}

/// The role with what it lacks of `wanted`; none if it lacks nothing.
fn completed(held: &Value, wanted: &Value) -> Option<Value> {
    if held["metadata"]["annotations"]["rbac.authorization.kubernetes.io/autoupdate"] != "true" {
        return None;
    }
    let mut new = held.clone();
    for (label, value) in wanted["metadata"]["labels"].as_object().into_iter().flatten() {
        crate::object::object_mut(&mut new["metadata"], "labels").insert(label.clone(), value.clone());
    }
    match wanted.get("aggregationRule") {
        // Its rules are the controller's.
        Some(rule) => new["aggregationRule"] = rule.clone(),
        None => {
            let rules = crate::object::list_mut(&mut new, "rules");
            let missing = crate::object::items(wanted, &["rules"]).iter().filter(|rule| !rules.contains(rule));
            let missing: Vec<Value> = missing.cloned().collect();
            rules.extend(missing);
        }
    }
    (new != *held).then_some(new)
}

async fn create_all(registry: &std::sync::Arc<Registry>, objects: Vec<Value>) -> Result<(), Status> {
    let mut tasks = tokio::task::JoinSet::new();
    for object in objects {
        let name = object["metadata"]["name"].as_str().unwrap_or("").to_owned();
        let target = target(registry, &object, &name)?;
        let held = registry.store.get(&target.key(), None).map_err(|error| crate::registry::store_failure(&error))?;
        if held.is_none() {
            let registry = registry.clone();
            tasks.spawn(async move {
                let user = User::internal("system:apiserver");
                registry.create(&caller(&user), &target, Body::Value(object)).await
            });
        }
    }
    while let Some(result) = tasks.join_next().await {
        match result.map_err(Status::internal)? {
            Err(status) if !status.is_already_exists() => return Err(status),
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_role_of_a_former_version_gets_what_it_lacks() {
        let role =
            |name: &str| policy::cluster_roles().into_iter().find(|role| role["metadata"]["name"] == name).unwrap();
        let view = role("view");
        assert_eq!(completed(&view, &view), None);
        let mut former = view.clone();
        former["metadata"]["labels"] = json!({"mine": "x"});
        former.as_object_mut().unwrap().remove("aggregationRule");
        let new = completed(&former, &view).unwrap();
        assert_eq!(new["aggregationRule"], view["aggregationRule"]);
        assert_eq!((&new["metadata"]["labels"]["mine"], &new["rules"]), (&json!("x"), &former["rules"]));
        let part = role("system:basic-user");
        let mut fewer = part.clone();
        fewer["rules"] = json!([]);
        assert_eq!(completed(&fewer, &part).unwrap()["rules"], part["rules"]);
        fewer["metadata"]["annotations"]["rbac.authorization.kubernetes.io/autoupdate"] = "false".into();
        assert_eq!(completed(&fewer, &part), None);
    }
}
