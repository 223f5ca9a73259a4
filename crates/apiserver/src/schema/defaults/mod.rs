//! Kubernetes' static defaults: what a reader sees in fields that the writer left out.
//!
//! Idempotent, and never about metadata or anything that needs state (cluster IPs, priorities,
//! accounts): those belong to strategies and admission. Templates get fewer defaults than pods
//! (DS-A07, DS-A08, DS-A09).

pub(super) mod devices;
pub(super) mod limits;
pub(super) mod network;
pub(super) mod pod;
pub(super) mod storage;
mod volume;
pub(super) mod volumes;

use serde_json::{Map, Value, json};

use crate::catalogue::Row;

/// Fills in the defaults of the kind.
pub(crate) fn default(info: &Row, value: &mut Value) {
    if let Some(object) = value.as_object_mut() {
        (info.rules.default)(object);
    }
}

/// Sets a member that is absent or zero for Go: null, `""`.
pub(super) fn fill(object: &mut Map<String, Value>, name: &str, value: impl FnOnce() -> Value) {
    let absent = match object.get(name) {
        None | Some(Value::Null) => true,
        Some(Value::String(text)) => text.is_empty(),
        Some(_) => false,
    };
    if absent {
        object.insert(name.to_owned(), value());
    }
}

/// Sets a pointer that is nil; an empty string that was sent stays.
fn fill_pointer(object: &mut Map<String, Value>, name: &str, value: impl FnOnce() -> Value) {
    if object.get(name).is_none_or(Value::is_null) {
        object.insert(name.to_owned(), value());
    }
}

/// Sets a number that is absent or 0.
fn fill_number(object: &mut Map<String, Value>, name: &str, value: i64) {
    if object.get(name).is_none_or(|value| value.is_null() || value.as_i64() == Some(0)) {
        object.insert(name.to_owned(), value.into());
    }
}

/// Runs on a member that is an object.
pub(super) fn with(object: &mut Map<String, Value>, name: &str, run: impl FnOnce(&mut Map<String, Value>)) {
    if let Some(Value::Object(member)) = object.get_mut(name) {
        run(member);
    }
}

/// Runs on every object of a list.
pub(super) fn each(object: &mut Map<String, Value>, name: &str, run: impl FnMut(&mut Map<String, Value>)) {
    if let Some(Value::Array(items)) = object.get_mut(name) {
        items.iter_mut().filter_map(Value::as_object_mut).for_each(run);
    }
}

/// Every protocol is TCP unless it says otherwise.
pub(super) fn protocol(port: &mut Map<String, Value>) {
    fill(port, "protocol", || "TCP".into());
}

/// DS-A03, DS-A04, DS-A05, DS-A06
pub(super) fn daemon_set(spec: &mut Map<String, Value>) {
    with(spec, "template", |template| with(template, "spec", pod::template));
    fill_pointer(spec, "revisionHistoryLimit", || 10.into());
    fill_pointer(spec, "updateStrategy", || json!({}));
    with(spec, "updateStrategy", |strategy| {
        fill(strategy, "type", || "RollingUpdate".into());
        if strategy["type"] == "RollingUpdate" {
            fill_pointer(strategy, "rollingUpdate", || json!({}));
            with(strategy, "rollingUpdate", |update| {
                fill_pointer(update, "maxUnavailable", || 1.into());
                fill_pointer(update, "maxSurge", || 0.into());
            });
        } else {
            // What Kubernetes holds in between has no absent numbers.
            with(strategy, "rollingUpdate", |update| {
                fill_pointer(update, "maxUnavailable", || 0.into());
                fill_pointer(update, "maxSurge", || 0.into());
            });
        }
    });
}

pub(super) fn service(service: &mut Map<String, Value>) {
    with(service, "spec", |spec| {
        fill(spec, "sessionAffinity", || "None".into());
        if spec["sessionAffinity"] == "ClientIP" {
            fill_pointer(spec, "sessionAffinityConfig", || json!({}));
            with(spec, "sessionAffinityConfig", |config| {
                fill_pointer(config, "clientIP", || json!({}));
                with(config, "clientIP", |client| fill_pointer(client, "timeoutSeconds", || 10_800.into()));
            });
        }
        fill(spec, "type", || "ClusterIP".into());
        service_traffic(spec);
        each(spec, "ports", service_port);
    });
    with(service, "status", |status| with(status, "loadBalancer", |balancer| each(balancer, "ingress", ingress)));
}

fn service_traffic(spec: &mut Map<String, Value>) {
    let kind = spec["type"].as_str().unwrap_or_default().to_owned();
    if matches!(kind.as_str(), "NodePort" | "LoadBalancer") {
        fill(spec, "externalTrafficPolicy", || "Cluster".into());
    }
    if matches!(kind.as_str(), "NodePort" | "LoadBalancer" | "ClusterIP") {
        fill_pointer(spec, "internalTrafficPolicy", || "Cluster".into());
    }
    if kind == "LoadBalancer" {
        fill_pointer(spec, "allocateLoadBalancerNodePorts", || true.into());
    }
}

fn service_port(port: &mut Map<String, Value>) {
    protocol(port);
    let unset = port.get("targetPort").is_none_or(|target| target.is_null() || *target == 0 || *target == "");
    if unset {
        let number = port.get("port").cloned().unwrap_or_else(|| 0.into());
        port.insert("targetPort".into(), number);
    }
}

fn ingress(ingress: &mut Map<String, Value>) {
    if ingress.contains_key("ip") {
        fill_pointer(ingress, "ipMode", || "VIP".into());
    }
}

pub(super) fn node_status(status: &mut Map<String, Value>) {
    if let Some(capacity) = status.get("capacity").cloned() {
        fill_pointer(status, "allocatable", || capacity);
    }
}

pub(super) fn binding(binding: &mut Map<String, Value>) {
    let group = "rbac.authorization.k8s.io";
    with(binding, "roleRef", |role| fill(role, "apiGroup", || group.into()));
    each(binding, "subjects", |subject| {
        if matches!(subject.get("kind").and_then(Value::as_str), Some("User" | "Group")) {
            fill(subject, "apiGroup", || group.into());
        }
    });
}

#[cfg(test)]
mod tests;
