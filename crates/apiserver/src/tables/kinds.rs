//! The cells of all kinds but pods and nodes.

use everynode_api::selector::LabelSelector;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;

use super::age::since;

const NONE: &str = "<none>";
/// Addresses of an Endpoints that are shown before the rest is only counted.
const ENDPOINTS_SHOWN: usize = 3;

pub(super) fn text<'v>(value: &'v Value, name: &str) -> &'v str {
    value.get(name).and_then(Value::as_str).unwrap_or_default()
}

pub(super) fn list<'v>(value: &'v Value, name: &str) -> &'v [Value] {
    value.get(name).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

pub(super) fn name(object: &Value) -> Value {
    text(&object["metadata"], "name").into()
}

pub(super) fn age(object: &Value, now: Timestamp) -> Value {
    since(&object["metadata"]["creationTimestamp"], now).into()
}

/// The text, or `<none>`.
pub(super) fn or_none(text: impl Into<String>) -> Value {
    let text = text.into();
    if text.is_empty() { NONE.into() } else { text.into() }
}

pub(super) fn count(value: &Value, name: &str) -> Value {
    value.get(name).and_then(Value::as_i64).unwrap_or(0).into()
}

fn entries(object: &Value, name: &str) -> usize {
    object.get(name).and_then(Value::as_object).map_or(0, serde_json::Map::len)
}

/// `k=v` pairs, sorted and joined (DS-A51).
pub(super) fn pairs(labels: &Value) -> Value {
    let members = labels.as_object().into_iter().flatten();
    let pairs: Vec<String> = members.map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or(""))).collect();
    or_none(pairs.join(","))
}

pub(super) fn joined<'v>(items: impl Iterator<Item = &'v str>) -> String {
    items.collect::<Vec<_>>().join(",")
}

pub(super) fn plain(object: &Value, _: Timestamp) -> Vec<Value> {
    vec![name(object), object["metadata"]["creationTimestamp"].clone()]
}

/// DS-A50, DS-A51
pub(super) fn daemon_set(object: &Value, now: Timestamp) -> Vec<Value> {
    let (spec, status) = (&object["spec"], &object["status"]);
    let pod = &spec["template"]["spec"];
    let containers = |member| joined(list(pod, "containers").iter().map(|container| text(container, member)));
    let selector = LabelSelector::deserialize(&spec["selector"]).unwrap_or_default();
    vec![
        name(object),
        count(status, "desiredNumberScheduled"),
        count(status, "currentNumberScheduled"),
        count(status, "numberReady"),
        count(status, "updatedNumberScheduled"),
        count(status, "numberAvailable"),
        pairs(&pod["nodeSelector"]),
        age(object, now),
        containers("name").into(),
        containers("image").into(),
        selector.to_string().into(),
    ]
}

/// DS-A52
pub(super) fn revision(object: &Value, now: Timestamp) -> Vec<Value> {
    let owners = list(&object["metadata"], "ownerReferences");
    let controller = owners.iter().find(|owner| owner["controller"] == true).map(qualified);
    vec![name(object), or_none(controller.unwrap_or_default()), count(object, "revision"), age(object, now)]
}

/// `daemonset.apps/web`
fn qualified(owner: &Value) -> String {
    let kind = text(owner, "kind").to_ascii_lowercase();
    match text(owner, "apiVersion").split_once('/') {
        Some((group, _)) => format!("{kind}.{group}/{}", text(owner, "name")),
        None => format!("{kind}/{}", text(owner, "name")),
    }
}

pub(super) fn service(object: &Value, now: Timestamp) -> Vec<Value> {
    let spec = &object["spec"];
    let ports: Vec<String> = list(spec, "ports").iter().map(service_port).collect();
    vec![
        name(object),
        text(spec, "type").into(),
        or_none(text(spec, "clusterIP")),
        external_address(object).into(),
        or_none(ports.join(",")),
        age(object, now),
        pairs(&spec["selector"]),
    ]
}

fn service_port(port: &Value) -> String {
    let (number, protocol) = (&port["port"], text(port, "protocol"));
    match port["nodePort"].as_i64().filter(|port| *port > 0) {
        Some(node) => format!("{number}:{node}/{protocol}"),
        None => format!("{number}/{protocol}"),
    }
}

fn external_address(object: &Value) -> String {
    let spec = &object["spec"];
    let fixed = joined(list(spec, "externalIPs").iter().filter_map(Value::as_str));
    match text(spec, "type") {
        "ExternalName" => text(spec, "externalName").to_owned(),
        "LoadBalancer" => {
            let ingress = list(&object["status"]["loadBalancer"], "ingress");
            let given = joined(ingress.iter().map(|item| match text(item, "ip") {
                "" => text(item, "hostname"),
                ip => ip,
            }));
            let all: Vec<String> = [given, fixed].into_iter().filter(|part| !part.is_empty()).collect();
            if all.is_empty() { "<pending>".into() } else { all.join(",") }
        }
        _ if fixed.is_empty() => NONE.into(),
        _ => fixed,
    }
}

pub(super) fn endpoints(object: &Value, now: Timestamp) -> Vec<Value> {
    let mut addresses = Vec::new();
    for subset in list(object, "subsets") {
        let ports = list(subset, "ports");
        let ips = || list(subset, "addresses").iter().map(|address| text(address, "ip"));
        match ports.is_empty() {
            true => addresses.extend(ips().map(str::to_owned)),
            false => addresses.extend(ports.iter().flat_map(|port| ips().map(move |ip| with_port(ip, &port["port"])))),
        }
    }
    let mut shown = addresses.iter().take(ENDPOINTS_SHOWN).cloned().collect::<Vec<_>>().join(",");
    if addresses.len() > ENDPOINTS_SHOWN {
        shown.push_str(&format!(" + {} more...", addresses.len() - ENDPOINTS_SHOWN));
    }
    vec![name(object), or_none(shown), age(object, now)]
}

fn with_port(ip: &str, port: &Value) -> String {
    if ip.contains(':') { format!("[{ip}]:{port}") } else { format!("{ip}:{port}") }
}

pub(super) fn namespace(object: &Value, now: Timestamp) -> Vec<Value> {
    vec![name(object), text(&object["status"], "phase").into(), age(object, now)]
}

pub(super) fn config_map(object: &Value, now: Timestamp) -> Vec<Value> {
    let data = entries(object, "data") + entries(object, "binaryData");
    vec![name(object), data.into(), age(object, now)]
}

pub(super) fn secret(object: &Value, now: Timestamp) -> Vec<Value> {
    vec![name(object), text(object, "type").into(), entries(object, "data").into(), age(object, now)]
}

pub(super) fn service_account(object: &Value, now: Timestamp) -> Vec<Value> {
    vec![name(object), age(object, now)]
}

/// Events of both groups, whose fields go by different names (DS-I39).
pub(super) fn event(object: &Value, now: Timestamp) -> Vec<Value> {
    let member = |one: &str, other: &str| match &object[one] {
        Value::Null => object[other].clone(),
        value => value.clone(),
    };
    let about = member("involvedObject", "regarding");
    let first = match member("firstTimestamp", "deprecatedFirstTimestamp") {
        Value::Null => object["eventTime"].clone(),
        time => time,
    };
    let mut last = member("lastTimestamp", "deprecatedLastTimestamp");
    let mut count = member("count", "deprecatedCount").as_i64().filter(|count| *count > 0).unwrap_or(1);
    if let Some(series) = object["series"].as_object() {
        last = series.get("lastObservedTime").cloned().unwrap_or_default();
        count = series.get("count").and_then(Value::as_i64).unwrap_or(count);
    }
    let last = if last.is_null() { first.clone() } else { last };
    let message = member("message", "note");
    vec![
        since(&last, now).into(),
        text(object, "type").into(),
        text(object, "reason").into(),
        event_target(&about).into(),
        text(&about, "fieldPath").into(),
        event_source(object, &member("source", "deprecatedSource")).into(),
        message.as_str().unwrap_or_default().trim().into(),
        since(&first, now).into(),
        count.into(),
        name(object),
    ]
}

fn event_target(about: &Value) -> String {
    let kind = text(about, "kind").to_ascii_lowercase();
    match text(about, "name") {
        "" => kind,
        name => format!("{kind}/{name}"),
    }
}

fn event_source(object: &Value, source: &Value) -> String {
    let component =
        [text(source, "component"), text(object, "reportingComponent"), text(object, "reportingController")];
    let instance = [text(source, "host"), text(object, "reportingInstance")];
    let first = |candidates: &[&str]| candidates.iter().find(|text| !text.is_empty()).map(|text| (*text).to_owned());
    [first(&component), first(&instance)].into_iter().flatten().collect::<Vec<_>>().join(", ")
}

pub(super) fn lease(object: &Value, now: Timestamp) -> Vec<Value> {
    vec![name(object), text(&object["spec"], "holderIdentity").into(), age(object, now)]
}

pub(super) fn priority_class(object: &Value, now: Timestamp) -> Vec<Value> {
    let default = object["globalDefault"] == true;
    let policy = text(object, "preemptionPolicy");
    vec![name(object), count(object, "value"), default.into(), age(object, now), policy.into()]
}

pub(super) fn disruption_budget(object: &Value, now: Timestamp) -> Vec<Value> {
    let bound = |name: &str| match &object["spec"][name] {
        Value::Null => "N/A".to_owned(),
        Value::String(text) => text.clone(),
        number => number.to_string(),
    };
    vec![
        name(object),
        bound("minAvailable").into(),
        bound("maxUnavailable").into(),
        count(&object["status"], "disruptionsAllowed"),
        age(object, now),
    ]
}

pub(super) fn role_binding(object: &Value, now: Timestamp) -> Vec<Value> {
    let role = format!("{}/{}", text(&object["roleRef"], "kind"), text(&object["roleRef"], "name"));
    let of = |kind: &str| {
        let subjects = list(object, "subjects").iter().filter(|subject| text(subject, "kind") == kind);
        subjects.map(subject_name).collect::<Vec<_>>().join(", ")
    };
    vec![
        name(object),
        role.into(),
        age(object, now),
        of("User").into(),
        of("Group").into(),
        of("ServiceAccount").into(),
    ]
}

fn subject_name(subject: &Value) -> String {
    match text(subject, "namespace") {
        "" => text(subject, "name").to_owned(),
        namespace => format!("{namespace}/{}", text(subject, "name")),
    }
}
