//! What Kubernetes' conversion between its versions changes in passing: aliases of fields,
//! write-only fields.

use serde_json::{Map, Value};

use everynode_common::base64;

use crate::object::TEMPLATE_GENERATION;

pub(super) fn daemon_set(value: &mut Value) -> Result<(), String> {
    if let Some(spec) = value.pointer_mut("/spec/template/spec") {
        pod_spec(spec);
    }
    template_generation(value)
}

pub(super) fn pod_template(value: &mut Value) -> Result<(), String> {
    if let Some(spec) = value.pointer_mut("/template/spec") {
        pod_spec(spec);
    }
    Ok(())
}

/// DS-A12: a generation that is no number cannot be converted.
fn template_generation(value: &Value) -> Result<(), String> {
    let text = value["metadata"]["annotations"][TEMPLATE_GENERATION].as_str();
    match text.filter(|text| text.parse::<i64>().is_err()) {
        None => Ok(()),
        Some(text) => {
            let quoted = everynode_api::field::go_quote(text);
            Err(format!("strconv.ParseInt: parsing {quoted}: invalid syntax"))
        }
    }
}

pub(super) fn pod(value: &mut Value) -> Result<(), String> {
    if let Some(spec) = value.get_mut("spec") {
        pod_spec(spec);
    }
    if let Some(status) = value.get_mut("status").and_then(Value::as_object_mut) {
        pod_addresses(status);
    }
    Ok(())
}

/// `serviceAccount` is the old name of `serviceAccountName`; both are always shown.
fn pod_spec(spec: &mut Value) {
    let Some(spec) = spec.as_object_mut() else { return };
    let name = spec.get("serviceAccountName").or_else(|| spec.get("serviceAccount")).cloned();
    if let Some(name) = name {
        spec.insert("serviceAccountName".into(), name.clone());
        spec.insert("serviceAccount".into(), name);
    }
}

/// `podIP` is the first of `podIPs`.
fn pod_addresses(status: &mut Map<String, Value>) {
    let first = status.get("podIPs").and_then(|ips| ips[0]["ip"].as_str()).map(str::to_owned);
    let single = status.get("podIP").and_then(Value::as_str).map(str::to_owned);
    match (single, first) {
        (Some(ip), first) if first.as_deref() != Some(&ip) => {
            status.insert("podIPs".into(), serde_json::json!([{ "ip": ip }]));
        }
        (None, Some(ip)) => {
            status.insert("podIP".into(), ip.into());
        }
        _ => {}
    }
}

/// `podCIDR` is the first of `podCIDRs`.
pub(super) fn node(value: &mut Value) -> Result<(), String> {
    let Some(spec) = value.get_mut("spec").and_then(Value::as_object_mut) else { return Ok(()) };
    match (spec.get("podCIDR").cloned(), spec.get("podCIDRs").map(|list| list[0].clone())) {
        (Some(single), None) => {
            spec.insert("podCIDRs".into(), Value::Array(vec![single]));
        }
        (None, Some(first)) if first.is_string() => {
            spec.insert("podCIDR".into(), first);
        }
        _ => {}
    }
    Ok(())
}

/// `stringData` is write-only: it overwrites entries of `data`.
pub(super) fn secret(value: &mut Value) -> Result<(), String> {
    let Some(secret) = value.as_object_mut() else { return Ok(()) };
    let Some(Value::Object(plain)) = secret.remove("stringData") else { return Ok(()) };
    let data = secret.entry("data").or_insert_with(|| Value::Object(Map::new()));
    if let Some(data) = data.as_object_mut() {
        for (key, text) in plain {
            let text = text.as_str().unwrap_or_default();
            data.insert(key, base64::encode(text.as_bytes()).into());
        }
    }
    Ok(())
}
