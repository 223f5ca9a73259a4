//! ConfigMaps, Secrets, nodes, namespaces, endpoints.

use everynode_api::field::{FieldError, Path};
use everynode_api::names;
use everynode_api::quantity::Quantity;
use serde_json::Value;

use super::check::{
    Errors, entries, flag, int, invalid_each, ip_address, list, number, port_or_name, present, required,
    required_one_of, text,
};
use super::pod;
use crate::schema::base64;

/// Total size of a ConfigMap's or Secret's data.
const DATA_BYTES_MAX: usize = 1 << 20;

pub(super) fn config_map(object: &Value) -> Errors {
    let mut errors = Errors::new();
    let mut bytes = 0;
    for (key, value) in entries(object, "data") {
        invalid_each(&mut errors, &Path::new("data").key(key), key, names::config_map_key(key));
        if present(&object["binaryData"], key).is_some() {
            let detail = "duplicate of key present in binaryData";
            errors.push(FieldError::invalid(&Path::new("data").key(key), key, detail));
        }
        bytes += value.as_str().map_or(0, str::len);
    }
    for (key, value) in entries(object, "binaryData") {
        invalid_each(&mut errors, &Path::new("binaryData").key(key), key, names::config_map_key(key));
        bytes += decoded_length(value);
    }
    if bytes > DATA_BYTES_MAX {
        errors.push(FieldError::too_long(&Path::new(""), DATA_BYTES_MAX));
    }
    errors
}

fn decoded_length(value: &Value) -> usize {
    value.as_str().map_or(0, |text| text.len() / 4 * 3)
}

/// What `immutable: true` freezes.
pub(super) fn frozen(new: &Value, old: &Value) -> Errors {
    let mut errors = Errors::new();
    if !flag(old, "immutable") {
        return errors;
    }
    let detail = "field is immutable when `immutable` is set";
    if !flag(new, "immutable") {
        errors.push(FieldError::forbidden(&Path::new("immutable"), detail));
    }
    for name in ["data", "binaryData"] {
        if !crate::schema::semantic_eq(&new[name], &old[name]) {
            errors.push(FieldError::forbidden(&Path::new(name), detail));
        }
    }
    errors
}

pub(super) fn secret(object: &Value) -> Errors {
    let mut errors = Errors::new();
    let path = Path::new("data");
    let mut bytes = 0;
    for (key, value) in entries(object, "data") {
        invalid_each(&mut errors, &path.key(key), key, names::config_map_key(key));
        bytes += decoded_length(value);
    }
    if bytes > DATA_BYTES_MAX {
        errors.push(FieldError::too_long(&path, DATA_BYTES_MAX));
    }
    typed_secret(&mut errors, object, &path);
    errors
}

fn typed_secret(errors: &mut Errors, object: &Value, path: &Path) {
    let data = &object["data"];
    let mut must_have = |keys: &[&str]| {
        for key in keys.iter().filter(|key| present(data, key).is_none()) {
            errors.push(FieldError::required(&path.key(*key), ""));
        }
    };
    match text(object, "type") {
        "kubernetes.io/tls" => must_have(&["tls.crt", "tls.key"]),
        "kubernetes.io/ssh-auth" => must_have(&["ssh-privatekey"]),
        "kubernetes.io/basic-auth" if present(data, "username").is_none() && present(data, "password").is_none() => {
            must_have(&["username", "password"]);
        }
        "kubernetes.io/dockercfg" => docker_config(errors, data, path, ".dockercfg"),
        "kubernetes.io/dockerconfigjson" => docker_config(errors, data, path, ".dockerconfigjson"),
        "kubernetes.io/service-account-token" => {
            let key = "kubernetes.io/service-account.name";
            if text(&object["metadata"]["annotations"], key).is_empty() {
                errors.push(FieldError::required(&Path::new("metadata").child("annotations").key(key), ""));
            }
        }
        _ => {}
    }
}

fn docker_config(errors: &mut Errors, data: &Value, path: &Path, key: &str) {
    let Some(value) = present(data, key).and_then(Value::as_str) else {
        return errors.push(FieldError::required(&path.key(key), ""));
    };
    let bytes = base64::decode(value).unwrap_or_default();
    if let Err(error) = serde_json::from_slice::<serde_json::Map<String, Value>>(&bytes) {
        errors.push(FieldError::invalid(&path.key(key), "<secret contents redacted>", error.to_string()));
    }
}

pub(super) fn secret_update(new: &Value, old: &Value) -> Errors {
    let mut errors = Errors::new();
    if text(new, "type") != text(old, "type") {
        errors.push(FieldError::invalid(&Path::new("type"), text(new, "type"), "field is immutable"));
    }
    errors.extend(frozen(new, old));
    errors
}

pub(super) fn namespace(object: &Value) -> Errors {
    let mut errors = Errors::new();
    let path = Path::new("spec").child("finalizers");
    for (index, finalizer) in list(&object["spec"], "finalizers").iter().enumerate() {
        let name = finalizer.as_str().unwrap_or_default();
        let path = path.index(index);
        invalid_each(&mut errors, &path, name, names::qualified_name(name));
        if !name.contains('/') && !matches!(name, "kubernetes" | "orphan" | "foregroundDeletion") {
            let detail = "name is neither a standard finalizer name nor is it fully qualified";
            errors.push(FieldError::invalid(&path, name, detail));
        }
    }
    errors
}

pub(super) fn node(object: &Value) -> Errors {
    let mut errors = Errors::new();
    let path = Path::new("spec");
    pod::taints(&mut errors, &object["spec"], &path.child("taints"));
    let cidrs = list(&object["spec"], "podCIDRs");
    for (index, cidr) in cidrs.iter().enumerate() {
        let cidr = cidr.as_str().unwrap_or_default();
        if !is_cidr(cidr) {
            let detail = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)";
            errors.push(FieldError::invalid(&path.child("podCIDRs").index(index), cidr, detail));
        }
    }
    errors.extend(node_status(object));
    errors
}

fn is_cidr(text: &str) -> bool {
    let Some((address, bits)) = text.split_once('/') else { return false };
    let max = match address.parse() {
        Ok(std::net::IpAddr::V4(_)) => 32,
        Ok(std::net::IpAddr::V6(_)) => 128,
        Err(_) => return false,
    };
    bits.parse::<u8>().is_ok_and(|bits| bits <= max)
}

pub(super) fn node_update(new: &Value, old: &Value) -> Errors {
    let mut errors = Errors::new();
    let (new, old, path) = (&new["spec"], &old["spec"], Path::new("spec"));
    let mut fixed_once_set = |name: &'static str, detail: &str| {
        if present(old, name).is_some() && new.get(name) != old.get(name) {
            errors.push(FieldError::forbidden(&path.child(name), detail));
        }
    };
    fixed_once_set("podCIDRs", "node updates may not change podCIDR except from \"\" to valid");
    fixed_once_set("providerID", "node updates may not change providerID except from \"\" to valid");
    errors
}

/// What a node reports of itself.
pub(super) fn node_status(object: &Value) -> Errors {
    let mut errors = Errors::new();
    let (status, path) = (&object["status"], Path::new("status"));
    for member in ["capacity", "allocatable"] {
        for (name, value) in entries(status, member) {
            let path = path.child(member).key(name);
            invalid_each(&mut errors, &path, name, names::qualified_name(name));
            if let Ok(quantity) = Quantity::from_json(value) {
                pod::quantity_value(&mut errors, name, quantity, &path);
            }
        }
    }
    let addresses = list(status, "addresses");
    for (index, address) in addresses.iter().enumerate() {
        if addresses[..index].contains(address) {
            errors.push(FieldError::duplicate(&path.child("addresses").index(index), address.clone()));
        }
    }
    errors
}

pub(super) fn endpoints(object: &Value) -> Errors {
    let mut errors = Errors::new();
    for (index, subset) in list(object, "subsets").iter().enumerate() {
        let path = Path::new("subsets").index(index);
        if list(subset, "addresses").is_empty() && list(subset, "notReadyAddresses").is_empty() {
            errors.push(FieldError::required(&path, "must specify `addresses` or `notReadyAddresses`"));
        }
        for member in ["addresses", "notReadyAddresses"] {
            for (position, address) in list(subset, member).iter().enumerate() {
                ip_address(&mut errors, &path.child(member).index(position).child("ip"), text(address, "ip"));
            }
        }
        let ports = list(subset, "ports");
        for (position, port) in ports.iter().enumerate() {
            let path = path.child("ports").index(position);
            match text(port, "name") {
                "" if ports.len() > 1 => errors.push(FieldError::required(&path.child("name"), "")),
                "" => {}
                name => invalid_each(&mut errors, &path.child("name"), name, names::dns1123_label(name)),
            }
            number(&mut errors, &path.child("port"), int(port, "port").unwrap_or(0), names::port_number);
            required_one_of(&mut errors, port, &path, "protocol", &["SCTP", "TCP", "UDP"]);
        }
    }
    errors
}

pub(super) fn service(object: &Value) -> Errors {
    let mut errors = Errors::new();
    let (spec, path) = (&object["spec"], Path::new("spec"));
    let (kind, headless) = (text(spec, "type"), text(spec, "clusterIP") == "None");
    let ports = list(spec, "ports");
    if ports.is_empty() && !headless && kind != "ExternalName" {
        errors.push(FieldError::required(&path.child("ports"), ""));
    }
    if headless && matches!(kind, "NodePort" | "LoadBalancer") {
        let detail = format!("may not be set to 'None' for {kind} services");
        errors.push(FieldError::invalid(&path.child("clusterIPs").index(0), "None", detail));
    }
    if kind == "ExternalName" {
        let name = text(spec, "externalName");
        let name = name.strip_suffix('.').unwrap_or(name);
        match name {
            "" => drop(required(&mut errors, spec, &path, "externalName")),
            name => invalid_each(&mut errors, &path.child("externalName"), name, names::dns1123_subdomain(name)),
        }
    }
    service_ports(&mut errors, ports, kind, &path.child("ports"));
    super::check::labels(&mut errors, spec, &path, "selector");
    required_one_of(&mut errors, spec, &path, "sessionAffinity", &["ClientIP", "None"]);
    for (index, address) in list(spec, "externalIPs").iter().enumerate() {
        ip_address(&mut errors, &path.child("externalIPs").index(index), address.as_str().unwrap_or_default());
    }
    required_one_of(&mut errors, spec, &path, "type", &["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"]);
    errors
}

fn service_ports(errors: &mut Errors, ports: &[Value], kind: &str, path: &Path) {
    let (mut names_seen, mut seen) = (Vec::new(), Vec::new());
    for (index, port) in ports.iter().enumerate() {
        let path = path.index(index);
        let name = text(port, "name");
        match name {
            "" if ports.len() > 1 => errors.push(FieldError::required(&path.child("name"), "")),
            "" => {}
            _ => invalid_each(errors, &path.child("name"), name, names::dns1123_label(name)),
        }
        if !name.is_empty() && names_seen.contains(&name) {
            errors.push(FieldError::duplicate(&path.child("name"), name));
        }
        names_seen.push(name);
        let value = int(port, "port").unwrap_or(0);
        number(errors, &path.child("port"), value, names::port_number);
        required_one_of(errors, port, &path, "protocol", &["SCTP", "TCP", "UDP"]);
        port_or_name(errors, port, &path, "targetPort");
        if kind == "ClusterIP" && int(port, "nodePort").is_some_and(|port| port != 0) {
            let detail = "may not be used when `type` is 'ClusterIP'";
            errors.push(FieldError::forbidden(&path.child("nodePort"), detail));
        }
        let key = (text(port, "protocol"), value);
        if seen.contains(&key) {
            let value = serde_json::json!({ "protocol": key.0, "port": key.1 });
            errors.push(FieldError::duplicate(&path, super::check::whole(&value)));
        }
        seen.push(key);
    }
}

/// A cluster IP, once given, stays.
pub(super) fn service_update(new: &Value, old: &Value) -> Errors {
    let mut errors = Errors::new();
    let (new, old) = (&new["spec"], &old["spec"]);
    let (now, before) = (text(new, "clusterIP"), text(old, "clusterIP"));
    if text(new, "type") != "ExternalName" && !before.is_empty() && now != before {
        let path = Path::new("spec").child("clusterIPs").index(0);
        errors.push(FieldError::invalid(&path, now, "may not change once set"));
    }
    errors
}

/// Events of both groups.
pub(super) fn event(object: &Value, regarding: &'static str) -> Errors {
    let mut errors = Errors::new();
    let (namespace, target) = (text(&object["metadata"], "namespace"), text(&object[regarding], "namespace"));
    let legacy = present(object, "eventTime").is_none();
    let agrees = match (target, legacy) {
        ("", true) => matches!(namespace, "" | "default"),
        ("", false) => matches!(namespace, "" | "default" | "kube-system"),
        (target, _) => target == namespace,
    };
    if !agrees {
        let path = Path::new("involvedObject").child("namespace");
        errors.push(FieldError::invalid(&path, target, "does not match event.namespace"));
    }
    if legacy && regarding == "involvedObject" {
        return errors;
    }
    let controller = if regarding == "regarding" { "reportingController" } else { "reportingComponent" };
    for name in [controller, "reportingInstance", "action", "reason"] {
        if text(object, name).is_empty() {
            errors.push(FieldError::required(&Path::new(name), ""));
        }
    }
    invalid_each(&mut errors, &Path::new(controller), text(object, controller), match text(object, controller) {
        "" => Vec::new(),
        name => names::qualified_name(name),
    });
    errors
}
