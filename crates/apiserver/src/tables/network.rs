//! Columns and cells of networks.

use everynode_api::selector::LabelSelector;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;

use super::columns::Printer;
use super::kinds::{age, list, name, or_none, text};

/// Items of a list that are shown before the rest is only counted.
const SHOWN_MAX: usize = 3;

impl Printer {
    pub(crate) fn endpoint_slices() -> Printer {
        Printer::new("Name; AddressType; Ports; Endpoints; Age", endpoint_slice)
    }

    pub(crate) fn network_policies() -> Printer {
        Printer::new("Name; Pod-Selector; Age", |policy, now| {
            let selector = LabelSelector::deserialize(&policy["spec"]["podSelector"]).unwrap_or_default();
            vec![name(policy), or_none(selector.to_string()), age(policy, now)]
        })
    }

    pub(crate) fn ingress_classes() -> Printer {
        Printer::new("Name; Controller; Parameters; Age", |class, now| {
            let spec = &class["spec"];
            vec![name(class), text(spec, "controller").into(), or_none(parameters(spec)), age(class, now)]
        })
    }
}

fn endpoint_slice(slice: &Value, now: Timestamp) -> Vec<Value> {
    let port = |port: &Value| match (port["port"].as_i64(), port["name"].as_str()) {
        (Some(number), _) => number.to_string(),
        (None, Some(name)) => name.to_owned(),
        (None, None) => "*".to_owned(),
    };
    let addresses = list(slice, "endpoints").iter().flat_map(|endpoint| list(endpoint, "addresses"));
    let addresses = addresses.filter_map(Value::as_str).map(str::to_owned).collect();
    vec![
        name(slice),
        text(slice, "addressType").into(),
        some_of(list(slice, "ports").iter().map(port).collect()).into(),
        some_of(addresses).into(),
        age(slice, now),
    ]
}

/// The first of some items, and how many follow.
fn some_of(items: Vec<String>) -> String {
    let shown = items.iter().take(SHOWN_MAX).cloned().collect::<Vec<_>>().join(",");
    match items.len() {
        0 => "<unset>".into(),
        count if count > SHOWN_MAX => format!("{shown} + {} more...", count - SHOWN_MAX),
        _ => shown,
    }
}

/// `kind.group/name`
fn parameters(spec: &Value) -> String {
    let parameters = &spec["parameters"];
    match (parameters["apiGroup"].as_str(), text(parameters, "kind")) {
        (_, "") => String::new(),
        (Some(group), kind) => format!("{kind}.{group}/{}", text(parameters, "name")),
        (None, kind) => format!("{kind}/{}", text(parameters, "name")),
    }
}
