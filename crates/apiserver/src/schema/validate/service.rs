//! Services.

use everynode_api::field::{BadValue, FieldError, Path};
use everynode_api::names;
use serde_json::Value;

use super::check::{
    CIDR, Errors, int, invalid_each, ip_address, is_cidr, labels, list, number, optional_one_of, port_or_name, present,
    required, required_one_of, text,
};

/// A day: the longest that a client may be bound to a pod.
const AFFINITY_SECONDS_MAX: i64 = 86_400;
/// The only family of addresses here.
const FAMILY: &str = "IPv4";

pub(in crate::schema) fn service(object: &Value) -> Errors {
    let mut errors = Errors::new();
    let (spec, path) = (&object["spec"], Path::new("spec"));
    let (kind, headless) = (text(spec, "type"), text(spec, "clusterIP") == "None");
    topology(&mut errors, &object["metadata"]["annotations"]);
    let ports = list(spec, "ports");
    if ports.is_empty() && !headless && kind != "ExternalName" {
        errors.push(FieldError::required(&path.child("ports"), ""));
    }
    if headless && matches!(kind, "NodePort" | "LoadBalancer") {
        let detail = format!("may not be set to 'None' for {kind} services");
        errors.push(FieldError::invalid(&path.child("clusterIPs").index(0), "None", detail));
    }
    if kind == "ExternalName" {
        external_name(&mut errors, spec, &path);
    } else {
        addresses(&mut errors, spec, &path);
    }
    service_ports(&mut errors, ports, kind, &path.child("ports"));
    labels(&mut errors, spec, &path, "selector");
    affinity(&mut errors, spec, &path);
    for (index, address) in list(spec, "externalIPs").iter().enumerate() {
        external_ip(&mut errors, &path.child("externalIPs").index(index), address.as_str().unwrap_or_default());
    }
    required_one_of(&mut errors, spec, &path, "type", &["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"]);
    load_balancer(&mut errors, spec, kind, &path);
    traffic(&mut errors, spec, kind, &path);
    errors
}

/// Two annotations mean the same: what they say must be one thing.
fn topology(errors: &mut Errors, annotations: &Value) {
    let [hints, mode] = ["service.kubernetes.io/topology-aware-hints", "service.kubernetes.io/topology-mode"];
    let (given, new) = (annotations[hints].as_str(), annotations[mode].as_str());
    if let (Some(given), Some(new)) = (given, new)
        && given != new
    {
        let path = Path::new("metadata").child("annotations").key(mode);
        let detail = format!("must match annotations[{hints}] when both are specified");
        errors.push(FieldError::invalid(&path, new, detail));
    }
}

fn external_name(errors: &mut Errors, spec: &Value, path: &Path) {
    for name in ["clusterIPs", "ipFamilies", "ipFamilyPolicy"] {
        let also = name == "clusterIPs" && !text(spec, "clusterIP").is_empty();
        if present(spec, name).is_some() || also {
            errors.push(FieldError::forbidden(&path.child(name), "may not be set for ExternalName services"));
        }
    }
    let name = text(spec, "externalName");
    match name.strip_suffix('.').unwrap_or(name) {
        "" => drop(required(errors, spec, path, "externalName")),
        name => invalid_each(errors, &path.child("externalName"), name, names::dns1123_subdomain(name)),
    }
}

/// Cluster addresses and their families.
fn addresses(errors: &mut Errors, spec: &Value, path: &Path) {
    let given = list(spec, "clusterIPs");
    let all = path.child("clusterIPs");
    if given.first().is_some_and(|first| first.as_str() != Some(text(spec, "clusterIP"))) {
        errors.push(FieldError::invalid(&all, spec["clusterIPs"].clone(), "first value must match `clusterIP`"));
    }
    for (index, address) in given.iter().enumerate().filter(|(_, address)| *address != "None") {
        ip_address(errors, &all.index(index), address.as_str().unwrap_or_default());
    }
    for (index, family) in list(spec, "ipFamilies").iter().enumerate() {
        let (path, family) = (path.child("ipFamilies").index(index), family.as_str().unwrap_or_default());
        match family {
            FAMILY => {}
            "IPv6" => errors.push(FieldError::invalid(&path, family, "not configured on this cluster")),
            _ => errors.push(FieldError::not_supported(&path, family, &["IPv4", "IPv6"])),
        }
    }
    let policies = ["PreferDualStack", "RequireDualStack", "SingleStack"];
    optional_one_of(errors, spec, path, "ipFamilyPolicy", &policies);
    if text(spec, "ipFamilyPolicy") == "RequireDualStack" {
        let detail = "this cluster is not configured for dual-stack services";
        errors.push(FieldError::invalid(&path.child("ipFamilyPolicy"), "RequireDualStack", detail));
    }
}

fn affinity(errors: &mut Errors, spec: &Value, path: &Path) {
    required_one_of(errors, spec, path, "sessionAffinity", &["ClientIP", "None"]);
    if text(spec, "sessionAffinity") == "ClientIP"
        && let Some(seconds) = int(&spec["sessionAffinityConfig"]["clientIP"], "timeoutSeconds")
        && !(1..=AFFINITY_SECONDS_MAX).contains(&seconds)
    {
        let path = path.child("sessionAffinityConfig").child("clientIP").child("timeoutSeconds");
        let detail = format!("must be greater than 0 and less than {AFFINITY_SECONDS_MAX}");
        errors.push(FieldError::invalid(&path, seconds, detail));
    }
}

/// An address that leads to the cluster from outside cannot be one that is only of the machine
/// itself.
fn external_ip(errors: &mut Errors, path: &Path, address: &str) {
    use std::net::IpAddr::{V4, V6};
    let Ok(ip) = address.parse::<std::net::IpAddr>() else { return ip_address(errors, path, address) };
    let (link_local, multicast) = match ip {
        V4(ip) => (ip.is_link_local(), ip.octets()[..3] == [224, 0, 0]),
        V6(ip) => (ip.segments()[0] & 0xffc0 == 0xfe80, ip.segments()[0] == 0xff02),
    };
    let detail = match () {
        () if ip.is_unspecified() => format!("may not be unspecified ({address})"),
        () if ip.is_loopback() => "may not be in the loopback range (127.0.0.0/8, ::1/128)".to_owned(),
        () if link_local => "may not be in the link-local range (169.254.0.0/16, fe80::/10)".to_owned(),
        () if multicast => "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)".to_owned(),
        () => return,
    };
    errors.push(FieldError::invalid(path, address, detail));
}

fn load_balancer(errors: &mut Errors, spec: &Value, kind: &str, path: &Path) {
    let balanced = kind == "LoadBalancer";
    let detail = "may only be used when `type` is 'LoadBalancer'";
    for (index, range) in list(spec, "loadBalancerSourceRanges").iter().enumerate() {
        // Kubernetes spells this path in its own way.
        let path = path.child("LoadBalancerSourceRanges");
        if !balanced {
            errors.push(FieldError::forbidden(&path, detail));
            break;
        }
        let range = range.as_str().unwrap_or_default();
        if !is_cidr(range.trim()) {
            errors.push(FieldError::invalid(&path.index(index), range, CIDR));
        }
    }
    for name in ["allocateLoadBalancerNodePorts", "loadBalancerClass"] {
        if !balanced && present(spec, name).is_some() {
            errors.push(FieldError::forbidden(&path.child(name), detail));
        }
    }
    let class = text(spec, "loadBalancerClass");
    if balanced && present(spec, "loadBalancerClass").is_some() {
        invalid_each(errors, &path.child("loadBalancerClass"), class, names::qualified_name(class));
    }
}

fn traffic(errors: &mut Errors, spec: &Value, kind: &str, path: &Path) {
    let external = text(spec, "externalTrafficPolicy");
    let reachable =
        matches!(kind, "NodePort" | "LoadBalancer") || kind == "ClusterIP" && !list(spec, "externalIPs").is_empty();
    let field = path.child("externalTrafficPolicy");
    match external {
        "" if matches!(kind, "NodePort" | "LoadBalancer") => errors.push(FieldError::required(&field, "")),
        "" => {}
        _ if !reachable => {
            errors.push(FieldError::invalid(&field, external, "may only be set for externally-accessible services"));
        }
        "Cluster" | "Local" => {}
        _ => errors.push(FieldError::not_supported(&field, external, &["Cluster", "Local"])),
    }
    let checked = kind == "LoadBalancer" && external == "Local";
    if let Some(port) = int(spec, "healthCheckNodePort").filter(|port| *port != 0 && !checked) {
        let detail = "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'";
        errors.push(FieldError::invalid(&path.child("healthCheckNodePort"), port, detail));
    }
    optional_one_of(errors, spec, path, "internalTrafficPolicy", &["Cluster", "Local"]);
    let words = ["PreferClose", "PreferSameZone", "PreferSameNode"];
    optional_one_of(errors, spec, path, "trafficDistribution", &words);
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
        if let Some(protocol) = present(port, "appProtocol").and_then(Value::as_str) {
            invalid_each(errors, &path.child("appProtocol"), protocol, names::qualified_name(protocol));
        }
        if kind == "ClusterIP" && int(port, "nodePort").is_some_and(|port| port != 0) {
            let detail = "may not be used when `type` is 'ClusterIP'";
            errors.push(FieldError::forbidden(&path.child("nodePort"), detail));
        }
        let key = (text(port, "protocol"), value);
        if seen.contains(&key) {
            let shown = format!(
                r#"{{"Name":"","Protocol":"{}","AppProtocol":null,"Port":{},"TargetPort":0,"NodePort":0}}"#,
                key.0, key.1
            );
            errors.push(FieldError::duplicate(&path, BadValue::Raw(shown)));
        }
        seen.push(key);
    }
}

/// A cluster IP, once given, stays as long as the type has one.
pub(in crate::schema) fn service_update(new: &Value, old: &Value) -> Errors {
    let mut errors = Errors::new();
    let (new, old) = (&new["spec"], &old["spec"]);
    let external = [new, old].iter().any(|spec| text(spec, "type") == "ExternalName");
    let before = text(old, "clusterIP");
    if !external && !before.is_empty() && text(new, "clusterIP") != before {
        let path = Path::new("spec").child("clusterIPs").index(0);
        errors.push(FieldError::invalid(&path, new["clusterIPs"].clone(), "may not change once set"));
    }
    errors
}

/// An update of `status`.
pub(in crate::schema) fn service_status(new: &Value) -> Errors {
    let mut errors = Errors::new();
    let given = !list(&new["status"]["loadBalancer"], "ingress").is_empty();
    if given && text(&new["spec"], "type") != "LoadBalancer" {
        let path = Path::new("status").child("loadBalancer").child("ingress");
        let detail = "may only be used when `spec.type` is 'LoadBalancer'";
        errors.push(FieldError::forbidden(&path, detail));
    }
    errors
}
