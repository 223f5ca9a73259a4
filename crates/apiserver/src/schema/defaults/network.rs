//! Defaults of networks.

use serde_json::{Map, Value, json};

use super::{each, fill, fill_pointer, protocol, with};

pub(in crate::schema) fn endpoint_slice(slice: &mut Map<String, Value>) {
    each(slice, "ports", |port| {
        fill_pointer(port, "name", || "".into());
        fill_pointer(port, "protocol", || "TCP".into());
    });
}

pub(in crate::schema) fn network_policy(policy: &mut Map<String, Value>) {
    with(policy, "spec", |spec| {
        for direction in ["ingress", "egress"] {
            each(spec, direction, |rule| each(rule, "ports", protocol));
        }
        let is_listed = |spec: &Map<String, Value>, name: &str| {
            spec.get(name).and_then(Value::as_array).is_some_and(|list| !list.is_empty())
        };
        if !is_listed(spec, "policyTypes") {
            let types = if is_listed(spec, "egress") { json!(["Ingress", "Egress"]) } else { json!(["Ingress"]) };
            spec.insert("policyTypes".into(), types);
        }
    });
}

pub(in crate::schema) fn ingress_class(class: &mut Map<String, Value>) {
    with(class, "spec", |spec| with(spec, "parameters", |parameters| fill(parameters, "scope", || "Cluster".into())));
}
