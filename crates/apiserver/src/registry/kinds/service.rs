//! Services: cluster addresses and node ports are allocated from ranges, each held by one service only.

use everynode_api::field::{FieldError, Path};
use everynode_api::kinds::SERVICE;
use everynode_api::status::Status;
use serde_json::{Value, json};

use crate::keys;
use crate::object::{self, items, text};
use crate::registry::claims::Claim;
use crate::registry::strategy::Strategy;
use crate::registry::{Registry, Settings, store_failure};

pub(crate) struct Services;

/// Kubernetes' default `--service-node-port-range`.
const NODE_PORTS: std::ops::RangeInclusive<u64> = 30_000..=32_767;
/// Random draws before an allocation is given up.
const DRAWS_MAX: usize = 2_000;

impl Strategy for Services {
    fn prepare_create(&self, registry: &Registry, value: &mut Value) -> Result<(), Status> {
        value["status"] = json!({"loadBalancer": {}});
        allocate(registry, value, &Value::Null)
    }

    fn prepare_update(&self, registry: &Registry, new: &mut Value, old: &Value) -> Result<(), Status> {
        allocate(registry, new, old)
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
}

fn node_port(port: &Value, number: u64) -> String {
    format!("nodeports/{}/{number}", port["protocol"].as_str().unwrap_or("TCP"))
}

/// Gives the service what its type needs and it does not have yet.
fn allocate(registry: &Registry, new: &mut Value, old: &Value) -> Result<(), Status> {
    match text(new, &["spec", "type"]) {
        "ExternalName" => {
            for name in ["clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"] {
                object::object_mut(new, "spec").remove(name);
            }
            Ok(())
        }
        kind => {
            let ports = matches!(kind, "NodePort" | "LoadBalancer");
            cluster_ip(registry, new, old)?;
            if ports { node_ports(registry, new, old) } else { Ok(()) }
        }
    }
}

fn cluster_ip(registry: &Registry, new: &mut Value, old: &Value) -> Result<(), Status> {
    let before = text(old, &["spec", "clusterIP"]);
    let address = match text(new, &["spec", "clusterIP"]) {
        "" if before.is_empty() => free_address(registry)?,
        "" => before.to_owned(),
        given => given.to_owned(),
    };
    if !before.is_empty() && address != before {
        return Err(invalid(new, "clusterIP", &address, "field is immutable"));
    }
    if address != "None" && before.is_empty() {
        check_address(registry, new, &address)?;
    }
    let spec = object::object_mut(new, "spec");
    spec.insert("clusterIPs".into(), json!([address]));
    spec.insert("clusterIP".into(), address.into());
    spec.entry("ipFamilies").or_insert_with(|| json!(["IPv4"]));
    spec.entry("ipFamilyPolicy").or_insert_with(|| "SingleStack".into());
    Ok(())
}

fn check_address(registry: &Registry, value: &Value, address: &str) -> Result<(), Status> {
    let [a, b, c] = registry.settings.service_network;
    let inside = address.parse::<std::net::Ipv4Addr>().is_ok_and(|ip| ip.octets()[..3] == [a, b, c]);
    let text = format!(
        "failed to allocate IP {address}: the provided IP ({address}) is not in the valid range. The range of valid IPs is {a}.{b}.{c}.0/24"
    );
    if inside { Ok(()) } else { Err(invalid(value, "clusterIPs", address, &text)) }
}

fn invalid(value: &Value, field: &'static str, bad: &str, text: &str) -> Status {
    let path = Path::new("spec").child(field);
    let error = FieldError::invalid(&path, bad, text);
    Status::invalid(&SERVICE, object::meta(value, "name"), &[error])
}

/// A random free address; that it stays free is for the claim in the transaction to say. `.1` is the API server's.
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
