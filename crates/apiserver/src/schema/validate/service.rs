//! Services, their endpoints, and events.

use everynode_api::field::{FieldError, Path};
use everynode_api::names;
use serde_json::Value;

use super::check::{
    Errors, int, invalid_each, ip_address, labels, list, number, port_or_name, present, required, required_one_of,
    text, whole,
};

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
    labels(&mut errors, spec, &path, "selector");
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
            errors.push(FieldError::duplicate(&path, whole(&value)));
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
    invalid_each(
        &mut errors,
        &Path::new(controller),
        text(object, controller),
        match text(object, controller) {
            "" => Vec::new(),
            name => names::qualified_name(name),
        },
    );
    errors
}
