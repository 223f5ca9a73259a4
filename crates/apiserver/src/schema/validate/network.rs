//! Endpoint slices, network policies, classes of ingresses.

use std::collections::BTreeSet;
use std::net::IpAddr;

use everynode_api::field::{FieldError, Path};
use everynode_api::names;
use serde_json::Value;

use super::check::{
    CIDR, Errors, immutable, int, invalid_each, ip_address, is_cidr, label_selector, list, number, one_of,
    optional_one_of, present, required, required_one_of, text,
};

const ENDPOINTS_MAX: usize = 1000;
const ADDRESSES_MAX: usize = 100;
const PORTS_MAX: usize = 20_000;
const PROTOCOLS: [&str; 3] = ["SCTP", "TCP", "UDP"];
const CONTROLLER_BYTES_MAX: usize = 250;

pub(in crate::schema) fn endpoint_slice(object: &Value) -> Errors {
    let mut errors = Errors::new();
    let kind = text(object, "addressType");
    required_one_of(&mut errors, object, &Path::nil(), "addressType", &["FQDN", "IPv4", "IPv6"]);
    let endpoints = list(object, "endpoints");
    if endpoints.len() > ENDPOINTS_MAX {
        errors.push(FieldError::too_many(&Path::new("endpoints"), endpoints.len(), ENDPOINTS_MAX));
        return errors;
    }
    for (index, endpoint) in endpoints.iter().enumerate() {
        self::endpoint(&mut errors, endpoint, kind, &Path::new("endpoints").index(index));
    }
    slice_ports(&mut errors, list(object, "ports"));
    errors
}

fn endpoint(errors: &mut Errors, endpoint: &Value, kind: &str, path: &Path) {
    let (addresses, addresses_path) = (list(endpoint, "addresses"), path.child("addresses"));
    match addresses.len() {
        0 => errors.push(FieldError::required(&addresses_path, "must contain at least 1 address")),
        count if count > ADDRESSES_MAX => {
            errors.push(FieldError::too_many(&addresses_path, count, ADDRESSES_MAX));
        }
        _ => {}
    }
    for (index, address) in addresses.iter().filter_map(Value::as_str).enumerate() {
        slice_address(errors, address, kind, &addresses_path.index(index));
    }
    if let Some(node) = present(endpoint, "nodeName").and_then(Value::as_str) {
        invalid_each(errors, &path.child("nodeName"), node, names::dns1123_subdomain(node));
    }
    if let Some(name) = present(endpoint, "hostname").and_then(Value::as_str) {
        invalid_each(errors, &path.child("hostname"), name, names::dns1123_label(name));
    }
}

fn slice_address(errors: &mut Errors, address: &str, kind: &str, path: &Path) {
    let wrong = match (kind, address.parse::<IpAddr>()) {
        ("FQDN", _) => return invalid_each(errors, path, address, names::dns1123_subdomain(address)),
        ("IPv4" | "IPv6", Err(_)) => return ip_address(errors, path, address),
        ("IPv4", Ok(IpAddr::V6(_))) => "must be an IPv4 address",
        ("IPv6", Ok(IpAddr::V4(_))) => "must be an IPv6 address",
        _ => return,
    };
    errors.push(FieldError::invalid(path, address, wrong));
}

fn slice_ports(errors: &mut Errors, ports: &[Value]) {
    if ports.len() > PORTS_MAX {
        return errors.push(FieldError::too_many(&Path::new("ports"), ports.len(), PORTS_MAX));
    }
    let mut seen = BTreeSet::new();
    for (index, port) in ports.iter().enumerate() {
        let (path, name) = (Path::new("ports").index(index), text(port, "name"));
        if !name.is_empty() {
            invalid_each(errors, &path.child("name"), name, names::dns1123_label(name));
        }
        if !seen.insert(name) {
            errors.push(FieldError::duplicate(&path.child("name"), name));
        }
        required_one_of(errors, port, &path, "protocol", &PROTOCOLS);
        if let Some(value) = int(port, "port") {
            number(errors, &path.child("port"), value, names::port_number);
        }
        if let Some(protocol) = present(port, "appProtocol").and_then(Value::as_str) {
            invalid_each(errors, &path.child("appProtocol"), protocol, names::qualified_name(protocol));
        }
    }
}

pub(in crate::schema) fn endpoint_slice_update(new: &Value, old: &Value) -> Errors {
    let mut errors = Errors::new();
    immutable(&mut errors, new, old, &Path::nil(), "addressType");
    errors
}

pub(in crate::schema) fn network_policy(object: &Value) -> Errors {
    let mut errors = Errors::new();
    let (spec, path) = (&object["spec"], Path::new("spec"));
    label_selector(&mut errors, spec, &path, "podSelector");
    for (direction, peers) in [("ingress", "from"), ("egress", "to")] {
        for (index, rule) in list(spec, direction).iter().enumerate() {
            let path = path.child(direction).index(index);
            for (index, port) in list(rule, "ports").iter().enumerate() {
                policy_port(&mut errors, port, &path.child("ports").index(index));
            }
            for (index, peer) in list(rule, peers).iter().enumerate() {
                policy_peer(&mut errors, peer, &path.child(peers).index(index));
            }
        }
    }
    let types = list(spec, "policyTypes");
    if types.len() > 2 {
        let detail = "may not specify more than two policyTypes";
        errors.push(FieldError::invalid(&path.child("policyTypes"), spec["policyTypes"].clone(), detail));
        return errors;
    }
    for (index, kind) in types.iter().filter_map(Value::as_str).enumerate() {
        if !["Egress", "Ingress"].contains(&kind) {
            let path = path.child("policyTypes").index(index);
            errors.push(FieldError::not_supported(&path, kind, &["Egress", "Ingress"]));
        }
    }
    errors
}

fn policy_port(errors: &mut Errors, port: &Value, path: &Path) {
    optional_one_of(errors, port, path, "protocol", &PROTOCOLS);
    let end = int(port, "endPort");
    match present(port, "port") {
        Some(Value::String(name)) => {
            if end.is_some() {
                let detail = "may not be specified when `port` is non-numeric";
                errors.push(FieldError::forbidden(&path.child("endPort"), detail));
            }
            invalid_each(errors, &path.child("port"), name, names::port_name(name));
        }
        Some(value) => {
            let value = value.as_i64().unwrap_or(0);
            number(errors, &path.child("port"), value, names::port_number);
            if let Some(end) = end.filter(|end| *end < value) {
                let detail = "must be greater than or equal to `port`";
                errors.push(FieldError::invalid(&path.child("endPort"), end, detail));
            }
            if let Some(end) = end {
                number(errors, &path.child("endPort"), end, names::port_number);
            }
        }
        None if end.is_some() => {
            let detail = "may not be specified when `port` is not specified";
            errors.push(FieldError::forbidden(&path.child("endPort"), detail));
        }
        None => {}
    }
}

fn policy_peer(errors: &mut Errors, peer: &Value, path: &Path) {
    let selectors = ["podSelector", "namespaceSelector"].into_iter().filter(|name| present(peer, name).is_some());
    let selectors: Vec<&str> = selectors.collect();
    for name in &selectors {
        label_selector(errors, peer, path, name);
    }
    match present(peer, "ipBlock") {
        None if selectors.is_empty() => errors.push(FieldError::required(path, "must specify a peer")),
        None => {}
        Some(block) => {
            address_block(errors, block, &path.child("ipBlock"));
            if !selectors.is_empty() {
                let detail = "may not specify both ipBlock and another peer";
                errors.push(FieldError::forbidden(path, detail));
            }
        }
    }
}

fn address_block(errors: &mut Errors, block: &Value, path: &Path) {
    let cidr = text(block, "cidr");
    if cidr.is_empty() {
        return errors.push(FieldError::required(&path.child("cidr"), ""));
    }
    if !is_cidr(cidr) {
        return errors.push(FieldError::invalid(&path.child("cidr"), cidr, CIDR));
    }
    for (index, except) in list(block, "except").iter().filter_map(Value::as_str).enumerate() {
        let path = path.child("except").index(index);
        if !is_cidr(except) {
            errors.push(FieldError::invalid(&path, except, CIDR));
        } else if !is_inside(except, cidr) {
            errors.push(FieldError::invalid(&path, except, "must be a strict subset of `cidr`"));
        }
    }
}

/// Whether a range of addresses is a smaller one in another.
fn is_inside(inner: &str, outer: &str) -> bool {
    let bits = |text: &str| -> Option<(bool, u128, u32)> {
        let (address, length) = text.split_once('/')?;
        let length: u32 = length.parse().ok()?;
        Some(match address.parse().ok()? {
            IpAddr::V4(address) => (true, u128::from(address.to_bits()) << 96, length),
            IpAddr::V6(address) => (false, address.to_bits(), length),
        })
    };
    let (Some((family, address, length)), Some((outer_family, base, outer_length))) = (bits(inner), bits(outer)) else {
        return false;
    };
    let mask = u128::MAX.checked_shl(128 - outer_length).unwrap_or(0);
    family == outer_family && length > outer_length && address & mask == base & mask
}

pub(in crate::schema) fn ingress_class(object: &Value) -> Errors {
    let mut errors = Errors::new();
    let (spec, path) = (&object["spec"], Path::new("spec"));
    let controller = text(spec, "controller");
    if controller.len() > CONTROLLER_BYTES_MAX {
        errors.push(FieldError::too_long(&path.child("controller"), CONTROLLER_BYTES_MAX));
    }
    domain_prefixed(&mut errors, controller, &path.child("controller"));
    if let Some(parameters) = present(spec, "parameters") {
        class_parameters(&mut errors, parameters, &path.child("parameters"));
    }
    errors
}

/// `example.com/name`
fn domain_prefixed(errors: &mut Errors, name: &str, path: &Path) {
    if name.is_empty() {
        return errors.push(FieldError::required(path, ""));
    }
    match name.split_once('/') {
        Some((domain, rest)) if !domain.is_empty() && !rest.is_empty() => {
            invalid_each(errors, path, domain, names::dns1123_subdomain(domain));
        }
        _ => {
            let detail = "must be a domain-prefixed path (such as \"acme.io/foo\")";
            errors.push(FieldError::invalid(path, name, detail));
        }
    }
}

fn class_parameters(errors: &mut Errors, parameters: &Value, path: &Path) {
    for name in ["kind", "name"] {
        required(errors, parameters, path, name);
    }
    if let Some(group) = present(parameters, "apiGroup").and_then(Value::as_str) {
        invalid_each(errors, &path.child("apiGroup"), group, names::dns1123_subdomain(group));
    }
    one_of(errors, parameters, path, "scope", &["Cluster", "Namespace"]);
    match (text(parameters, "scope"), text(parameters, "namespace")) {
        ("Namespace", "") => {
            let detail = "`parameters.scope` is set to 'Namespace'";
            errors.push(FieldError::required(&path.child("namespace"), detail));
        }
        ("Cluster", namespace) if !namespace.is_empty() => {
            let detail = "`parameters.scope` is set to 'Cluster'";
            errors.push(FieldError::forbidden(&path.child("namespace"), detail));
        }
        _ => {}
    }
}

pub(in crate::schema) fn ingress_class_update(new: &Value, old: &Value) -> Errors {
    let mut errors = Errors::new();
    immutable(&mut errors, &new["spec"], &old["spec"], &Path::new("spec"), "controller");
    errors
}
