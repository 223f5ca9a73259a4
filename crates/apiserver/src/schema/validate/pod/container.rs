//! Containers of the three kinds.

use std::collections::BTreeSet;

use everynode_api::field::{FieldError, Path};
use everynode_api::names;
use serde_json::Value;

use super::super::check::{
    Errors, int, invalid_each, list, number, one_of, optional_name, present, required, required_name, required_one_of,
    text,
};
use super::{Context, env, handler, mount, resources, security};

pub(super) const PROTOCOLS: [&str; 3] = ["SCTP", "TCP", "UDP"];

pub(super) fn containers(errors: &mut Errors, context: &Context<'_>, path: &Path) {
    let containers = list(context.spec, "containers");
    if containers.is_empty() {
        return errors.push(FieldError::required(path, ""));
    }
    let mut seen = BTreeSet::new();
    for (index, container) in containers.iter().enumerate() {
        let path = path.index(index);
        common(errors, context, container, &path);
        unique_name(errors, &mut seen, container, &path);
        hooks_and_probes(errors, context, container, &path);
        for name in ["restartPolicy", "restartPolicyRules"] {
            if present(container, name).is_some() {
                let detail = "may not be set for non-init containers";
                errors.push(FieldError::forbidden(&path.child(name), detail));
            }
        }
    }
    host_port_conflicts(errors, containers, path);
}

pub(super) fn init_containers(errors: &mut Errors, context: &Context<'_>, path: &Path) {
    let mut seen: BTreeSet<&str> = list(context.spec, "containers").iter().map(|c| text(c, "name")).collect();
    for (index, container) in list(context.spec, "initContainers").iter().enumerate() {
        let item = path.index(index);
        common(errors, context, container, &item);
        if present(container, "restartPolicy").is_some() {
            one_of(errors, container, &item, "restartPolicy", &["Always"]);
        }
        unique_name(errors, &mut seen, container, &item);
        host_port_conflicts(errors, std::slice::from_ref(container), path);
        match text(container, "restartPolicy") {
            "Always" => hooks_and_probes(errors, context, container, &item),
            _ => forbid_hooks_and_probes(errors, container, &item),
        }
    }
}

/// Ephemeral containers reach a stored pod only through their own subresource; their form is
/// checked here.
pub(super) fn ephemeral_containers(errors: &mut Errors, context: &Context<'_>, path: &Path) {
    let spec = context.spec;
    let others = list(spec, "containers").iter().chain(list(spec, "initContainers"));
    let mut seen: BTreeSet<&str> = others.map(|container| text(container, "name")).collect();
    for (index, container) in list(spec, "ephemeralContainers").iter().enumerate() {
        let path = path.index(index);
        common(errors, context, container, &path);
        unique_name(errors, &mut seen, container, &path);
        for name in ["ports", "lifecycle", "livenessProbe", "readinessProbe", "startupProbe"] {
            if present(container, name).is_some() {
                let detail = "cannot be set for an Ephemeral Container";
                errors.push(FieldError::forbidden(&path.child(name), detail));
            }
        }
    }
}

fn unique_name<'v>(errors: &mut Errors, seen: &mut BTreeSet<&'v str>, container: &'v Value, path: &Path) {
    let name = text(container, "name");
    if !seen.insert(name) {
        errors.push(FieldError::duplicate(&path.child("name"), name));
    }
}

/// What is checked of every container.
fn common(errors: &mut Errors, context: &Context<'_>, container: &Value, path: &Path) {
    required_name(errors, container, path, "name", names::dns1123_label);
    image(errors, context, container, path);
    let policies = ["FallbackToLogsOnError", "File"];
    required_one_of(errors, container, path, "terminationMessagePolicy", &policies);
    ports(errors, container, &path.child("ports"));
    env::env(errors, container, &path.child("env"));
    env::env_from(errors, container, &path.child("envFrom"));
    mount::mounts(errors, context.spec, container, path);
    required_one_of(errors, container, path, "imagePullPolicy", &["Always", "IfNotPresent", "Never"]);
    resources::requirements(errors, &container["resources"], &path.child("resources"));
    resources::claims(errors, context.spec, &container["resources"], &path.child("resources"));
    resources::resize_policies(errors, container, path);
    security::container(errors, context.spec, &container["securityContext"], &path.child("securityContext"));
}

/// A template may have an image that no pod may have: others have given blanks a meaning there.
fn image(errors: &mut Errors, context: &Context<'_>, container: &Value, path: &Path) {
    let image = text(container, "image");
    if image.is_empty() {
        errors.push(FieldError::required(&path.child("image"), ""));
    } else if context.is_pod && image.trim() != image {
        let detail = "must not have leading or trailing whitespace";
        errors.push(FieldError::invalid(&path.child("image"), image, detail));
    }
}

fn hooks_and_probes(errors: &mut Errors, context: &Context<'_>, container: &Value, path: &Path) {
    let grace = int(context.spec, "terminationGracePeriodSeconds");
    handler::lifecycle(errors, &container["lifecycle"], grace, &path.child("lifecycle"));
    for name in ["livenessProbe", "readinessProbe", "startupProbe"] {
        if let Some(probe) = present(container, name) {
            handler::probe(errors, probe, name, &path.child(name));
        }
    }
}

fn forbid_hooks_and_probes(errors: &mut Errors, container: &Value, path: &Path) {
    for name in ["lifecycle", "livenessProbe", "readinessProbe", "startupProbe"] {
        if present(container, name).is_some() {
            let detail = "may not be set for init containers without restartPolicy=Always";
            errors.push(FieldError::forbidden(&path.child(name), detail));
        }
    }
}

fn ports(errors: &mut Errors, container: &Value, path: &Path) {
    let mut seen = BTreeSet::new();
    for (index, port) in list(container, "ports").iter().enumerate() {
        let path = path.index(index);
        port_name(errors, &mut seen, text(port, "name"), &path);
        match int(port, "containerPort").unwrap_or(0) {
            0 => errors.push(FieldError::required(&path.child("containerPort"), "")),
            value => number(errors, &path.child("containerPort"), value, names::port_number),
        }
        if let Some(value) = int(port, "hostPort").filter(|value| *value != 0) {
            number(errors, &path.child("hostPort"), value, names::port_number);
        }
        if required(errors, port, &path, "protocol") {
            one_of(errors, port, &path, "protocol", &PROTOCOLS);
        }
        optional_name(errors, port, &path, "hostIP", |ip| {
            let valid = ip.parse::<std::net::IpAddr>().is_ok();
            if valid {
                Vec::new()
            } else {
                vec!["must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)".into()]
            }
        });
    }
}

fn port_name<'v>(errors: &mut Errors, seen: &mut BTreeSet<&'v str>, name: &'v str, path: &Path) {
    if name.is_empty() {
        return;
    }
    let complaints = names::port_name(name);
    if !complaints.is_empty() {
        invalid_each(errors, &path.child("name"), name, complaints);
    } else if !seen.insert(name) {
        errors.push(FieldError::duplicate(&path.child("name"), name));
    }
}

/// The same host port twice in one pod.
fn host_port_conflicts(errors: &mut Errors, containers: &[Value], path: &Path) {
    let mut seen = BTreeSet::new();
    for (index, container) in containers.iter().enumerate() {
        for (position, port) in list(container, "ports").iter().enumerate() {
            let number = int(port, "hostPort").unwrap_or(0);
            let key = format!("{}/{}/{number}", text(port, "protocol"), text(port, "hostIP"));
            if number != 0 && !seen.insert(key.clone()) {
                let path = path.index(index).child("ports").index(position).child("hostPort");
                errors.push(FieldError::duplicate(&path, key));
            }
        }
    }
}
