//! Services: cluster addresses and node ports are allocated from ranges, each held by one service
//! only.

mod allocate;

use everynode_api::kinds::SERVICE;
use everynode_api::status::Status;
use serde_json::{Value, json};

use crate::catalogue::Row;
use crate::hub::FieldRules;
use crate::object::{self, at, items, text};
use crate::registry::claims::Claim;
use crate::registry::strategy::Strategy;
use crate::registry::{Registry, Settings};
use crate::schema::Rules;
use crate::tables::Printer;

pub(crate) struct Services;

/// Everything about them.
pub(crate) fn row() -> Row {
    Row {
        strategy: &Services,
        rules: Rules::SERVICE,
        fields: FieldRules::services(),
        printer: Printer::services(),
        ..Row::ordinary(&SERVICE)
    }
}

impl Strategy for Services {
    fn prepare_create(&self, registry: &Registry, value: &mut Value) -> Result<(), Status> {
        value["status"] = json!({"loadBalancer": {}});
        allocate::allocate(registry, value, &Value::Null)
    }

    fn prepare_update(&self, registry: &Registry, new: &mut Value, old: &Value) -> Result<(), Status> {
        follow_first_address(new, old);
        keep_addresses(new, old);
        drop_what_the_type_lacks(new, old);
        allocate::allocate(registry, new, old)
    }

    fn claims(&self, _: &Settings, value: &Value) -> Vec<Claim> {
        let address = text(value, &["spec", "clusterIP"]);
        let address = (!matches!(address, "" | "None")).then(|| format!("serviceips/{address}"));
        let port = |port: &Value| {
            let number = port["nodePort"].as_u64().filter(|number| *number > 0)?;
            Some(node_port(port, number))
        };
        let paths = address.into_iter().chain(items(value, &["spec", "ports"]).iter().filter_map(port));
        paths.map(|path| Claim { path, required: true }).collect()
    }

    fn creates_on_update(&self) -> bool {
        true
    }

    fn returns_deleted(&self) -> bool {
        true
    }
}

/// Whether services of this type have an address of their own (or say that they want none).
fn has_address(service: &Value) -> bool {
    text(service, &["spec", "type"]) != "ExternalName"
}

fn has_node_ports(service: &Value) -> bool {
    matches!(text(service, &["spec", "type"]), "NodePort" | "LoadBalancer")
}

/// A changed `clusterIP` is the first of `clusterIPs`, which a client may not know of.
fn follow_first_address(new: &mut Value, old: &Value) {
    let given = at(new, &["spec", "clusterIP"]).clone();
    let untouched = new["spec"].get("clusterIPs") == old["spec"].get("clusterIPs");
    if given != *at(old, &["spec", "clusterIP"]) && untouched {
        let spec = object::object_mut(new, "spec");
        match given.as_str().unwrap_or_default() {
            "" => drop(spec.remove("clusterIPs")),
            address => drop(spec.insert("clusterIPs".into(), json!([address]))),
        }
    }
}

/// Addresses that a client does not name stay as they are.
fn keep_addresses(new: &mut Value, old: &Value) {
    if !has_address(new) || !has_address(old) {
        return;
    }
    for name in ["clusterIP", "clusterIPs"] {
        let empty = new["spec"].get(name).is_none_or(|given| given.is_null() || *given == "" || *given == json!([]));
        if empty && let Some(held) = old["spec"].get(name) {
            object::object_mut(new, "spec").insert(name.into(), held.clone());
        }
    }
}

/// What an earlier type gave the service and the client only sent back goes with that type.
fn drop_what_the_type_lacks(new: &mut Value, old: &Value) {
    let (addressed, ported) = (has_address(new), has_node_ports(new));
    let balanced = text(new, &["spec", "type"]) == "LoadBalancer";
    let gone: Vec<&str> = [
        ("clusterIP", addressed),
        ("clusterIPs", addressed),
        ("ipFamilies", addressed),
        ("ipFamilyPolicy", addressed),
        ("internalTrafficPolicy", addressed),
        ("externalTrafficPolicy", ported),
        ("healthCheckNodePort", balanced),
        ("allocateLoadBalancerNodePorts", balanced),
        ("loadBalancerClass", balanced),
    ]
    .into_iter()
    .filter(|(name, stays)| !stays && new["spec"].get(*name) == old["spec"].get(*name))
    .map(|(name, _)| name)
    .collect();
    let same_ports = node_ports(new).eq(node_ports(old));
    let spec = object::object_mut(new, "spec");
    for name in gone {
        spec.remove(name);
    }
    if !ported && same_ports {
        for port in spec.get_mut("ports").and_then(Value::as_array_mut).into_iter().flatten() {
            port.as_object_mut().map(|port| port.remove("nodePort"));
        }
    }
}

fn node_ports(service: &Value) -> impl Iterator<Item = &Value> {
    items(service, &["spec", "ports"]).iter().map(|port| &port["nodePort"])
}

fn node_port(port: &Value, number: u64) -> String {
    format!("nodeports/{}/{number}", port["protocol"].as_str().unwrap_or("TCP"))
}
