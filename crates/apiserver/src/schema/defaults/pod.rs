//! Defaults of pods, pod templates and their containers.

use everynode_api::quantity::Quantity;
use serde_json::{Map, Value, json};

use super::{each, fill, fill_number, fill_pointer, protocol, volume, with};

const CONTAINERS: [&str; 3] = ["initContainers", "containers", "ephemeralContainers"];

/// A pod's own spec: a template's defaults, and those that must not appear in stored templates
/// (DS-A08).
pub(in crate::schema) fn pod(spec: &mut Map<String, Value>) {
    fill_pointer(spec, "enableServiceLinks", || true.into());
    let on_host = spec.get("hostNetwork") == Some(&Value::Bool(true));
    for list in ["initContainers", "containers"] {
        each(spec, list, |container| {
            with(container, "resources", requests_from_limits);
            if on_host {
                each(container, "ports", host_port);
            }
        });
    }
    template(spec);
    // A negative grace period means the shortest one.
    if spec.get("terminationGracePeriodSeconds").and_then(Value::as_i64).is_some_and(|seconds| seconds < 0) {
        spec.insert("terminationGracePeriodSeconds".into(), 1.into());
    }
}

/// The spec of a template (DS-A07); host ports are left alone (DS-A09).
pub(super) fn template(spec: &mut Map<String, Value>) {
    fill(spec, "dnsPolicy", || "ClusterFirst".into());
    fill(spec, "restartPolicy", || "Always".into());
    fill(spec, "schedulerName", || "default-scheduler".into());
    fill_pointer(spec, "securityContext", || json!({}));
    fill_pointer(spec, "terminationGracePeriodSeconds", || 30.into());
    each(spec, "volumes", volume::volume);
    for list in CONTAINERS {
        each(spec, list, container);
    }
    with(spec, "overhead", round_to_millis);
}

fn host_port(port: &mut Map<String, Value>) {
    let number = port.get("containerPort").and_then(Value::as_i64).unwrap_or(0);
    fill_number(port, "hostPort", number);
}

/// A limit without a request is the request.
fn requests_from_limits(resources: &mut Map<String, Value>) {
    let Some(Value::Object(limits)) = resources.get("limits").cloned() else { return };
    let requests = resources.entry("requests").or_insert_with(|| json!({}));
    if let Some(requests) = requests.as_object_mut() {
        for (name, amount) in limits {
            requests.entry(name).or_insert(amount);
        }
    }
}

fn container(container: &mut Map<String, Value>) {
    let policy = pull_policy(container.get("image").and_then(Value::as_str).unwrap_or_default());
    fill(container, "imagePullPolicy", || policy.into());
    fill(container, "terminationMessagePath", || "/dev/termination-log".into());
    fill(container, "terminationMessagePolicy", || "File".into());
    with(container, "resources", |resources| {
        with(resources, "limits", round_to_millis);
        with(resources, "requests", round_to_millis);
    });
    each(container, "ports", protocol);
    each(container, "env", |variable| with(variable, "valueFrom", field_reference));
    for name in ["livenessProbe", "readinessProbe", "startupProbe"] {
        with(container, name, probe);
    }
    with(container, "lifecycle", |lifecycle| {
        for name in ["postStart", "preStop"] {
            with(lifecycle, name, |hook| with(hook, "httpGet", http_get));
        }
    });
}

/// Amounts finer than a thousandth are rounded up to one.
fn round_to_millis(amounts: &mut Map<String, Value>) {
    for amount in amounts.values_mut() {
        if let Ok(quantity) = Quantity::from_json(amount)
            && !quantity.is_whole_millis()
        {
            *amount = Quantity::from_millis(quantity.milli_value()).to_string().into();
        }
    }
}

/// `fieldRef.apiVersion`, of variables and of downward API files.
pub(super) fn field_reference(source: &mut Map<String, Value>) {
    with(source, "fieldRef", |field| fill(field, "apiVersion", || "v1".into()));
}

/// DS-H15
fn probe(probe: &mut Map<String, Value>) {
    fill_number(probe, "timeoutSeconds", 1);
    fill_number(probe, "periodSeconds", 10);
    fill_number(probe, "successThreshold", 1);
    fill_number(probe, "failureThreshold", 3);
    with(probe, "httpGet", http_get);
    with(probe, "grpc", |grpc| fill_pointer(grpc, "service", || "".into()));
}

fn http_get(action: &mut Map<String, Value>) {
    fill(action, "path", || "/".into());
    fill(action, "scheme", || "HTTP".into());
}

/// DS-H12: the tag `latest`, or neither tag nor digest, is always pulled.
pub(super) fn pull_policy(image: &str) -> &'static str {
    if image.contains('@') {
        let tagged = image.split('@').next().unwrap_or_default();
        return if tag(tagged) == Some("latest") { "Always" } else { "IfNotPresent" };
    }
    match tag(image) {
        None | Some("latest") => "Always",
        Some(_) => "IfNotPresent",
    }
}

/// What follows the last colon, unless that belongs to a registry's port.
fn tag(image: &str) -> Option<&str> {
    image.rsplit('/').next().and_then(|last| last.split_once(':')).map(|(_, tag)| tag)
}
