//! What a service's type needs and it does not have yet: an address, a port on every node.

use everynode_api::field::{FieldError, Path};
use everynode_api::kinds::SERVICE;
use everynode_api::status::Status;
use serde_json::{Value, json};

use super::{has_address, has_node_ports, node_port};
use crate::keys;
use crate::object::{self, items, text};
use crate::registry::{Registry, store_failure};

/// Kubernetes' default `--service-node-port-range`.
const NODE_PORTS: std::ops::RangeInclusive<u64> = 30_000..=32_767;
/// Random draws before an allocation is given up.
const DRAWS_MAX: usize = 2_000;

/// Gives the service what it lacks.
pub(super) fn allocate(registry: &Registry, new: &mut Value, old: &Value) -> Result<(), Status> {
    if has_address(new) {
        cluster_ip(registry, new, old)?;
    }
    match has_node_ports(new) {
        true => node_ports(registry, new, old),
        false => Ok(()),
    }
}

fn cluster_ip(registry: &Registry, new: &mut Value, old: &Value) -> Result<(), Status> {
    let before = text(old, &["spec", "clusterIP"]);
    let address = match text(new, &["spec", "clusterIP"]) {
        "" => free_address(registry)?,
        given => given.to_owned(),
    };
    if address != "None" && before.is_empty() {
        check_address(registry, new, &address)?;
    }
    let spec = object::object_mut(new, "spec");
    let families = spec.get("ipFamilies").and_then(Value::as_array).map_or(0, Vec::len);
    spec.entry("clusterIPs").or_insert_with(|| json!([address]));
    spec.insert("clusterIP".into(), address.into());
    if families == 0 {
        spec.insert("ipFamilies".into(), json!(["IPv4"]));
    }
    spec.entry("ipFamilyPolicy").or_insert_with(|| "SingleStack".into());
    Ok(())
}

/// What is no address at all is for validation to refuse.
fn check_address(registry: &Registry, value: &Value, address: &str) -> Result<(), Status> {
    let [a, b, c] = registry.settings.service_network;
    let Ok(ip) = address.parse::<std::net::IpAddr>() else { return Ok(()) };
    if matches!(ip, std::net::IpAddr::V4(ip) if ip.octets()[..3] == [a, b, c]) {
        return Ok(());
    }
    let text = format!(
        "failed to allocate IP {address}: the provided IP ({address}) is not in the valid range. The range of valid IPs is {a}.{b}.{c}.0/24"
    );
    let error = FieldError::invalid(&Path::new("spec").child("clusterIPs"), json!([address]), text);
    Err(Status::invalid(&SERVICE, object::meta(value, "name"), &[error]))
}

/// A random free address; that it stays free is for the claim in the transaction to say. `.1` is
/// the API server's.
fn free_address(registry: &Registry) -> Result<String, Status> {
    let [a, b, c] = registry.settings.service_network;
    for _ in 0..DRAWS_MAX {
        let address = format!("{a}.{b}.{c}.{}", 2 + registry.env.below(253));
        if is_free(registry, &format!("serviceips/{address}"))? {
            return Ok(address);
        }
    }
    Err(Status::internal("failed to allocate a serviceIP: range is full"))
}

fn node_ports(registry: &Registry, new: &mut Value, old: &Value) -> Result<(), Status> {
    let mut taken: Vec<u64> = Vec::new();
    let count = items(new, &["spec", "ports"]).len();
    for index in 0..count {
        let port = new["spec"]["ports"][index].clone();
        let given = port["nodePort"].as_u64().unwrap_or(0);
        let same = |held: &&Value| held["port"] == port["port"] && held["protocol"] == port["protocol"];
        let before = items(old, &["spec", "ports"]).iter().find(same).and_then(|held| held["nodePort"].as_u64());
        let number = match (given, before) {
            (0, Some(number)) if number > 0 => number,
            (0, _) => free_node_port(registry, &port, &taken)?,
            (number, _) => number,
        };
        taken.push(number);
        new["spec"]["ports"][index]["nodePort"] = number.into();
    }
    Ok(())
}

fn free_node_port(registry: &Registry, port: &Value, taken: &[u64]) -> Result<u64, Status> {
    let (first, count) = (*NODE_PORTS.start(), NODE_PORTS.end() - NODE_PORTS.start() + 1);
    for _ in 0..DRAWS_MAX {
        let number = first + registry.env.below(count);
        if !taken.contains(&number) && is_free(registry, &node_port(port, number))? {
            return Ok(number);
        }
    }
    Err(Status::internal("failed to allocate a nodePort: range is full"))
}

fn is_free(registry: &Registry, path: &str) -> Result<bool, Status> {
    let key = format!("{}{path}", keys::RESERVATIONS);
    registry.store.get(&key, None).map(|held| held.is_none()).map_err(|error| store_failure(&error))
}
