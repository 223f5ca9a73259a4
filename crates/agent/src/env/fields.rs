//! Fields of a pod and of its resources, as texts (DS-H40, DS-H41).

use std::collections::BTreeMap;
use std::net::IpAddr;

use everynode_api::quantity::Quantity;
use k8s_openapi::api::core::v1::{Container, Pod, ResourceFieldSelector};

/// The node's allocatable amounts, which stand in for limits that are not set.
pub type Allocatable = BTreeMap<String, Quantity>;

/// The value of a `fieldRef`. `ips` are the pod's addresses, `node_ips` the node's.
///
/// # Errors
/// A path that does not exist; validation refuses such pods on our own server.
pub(crate) fn of_pod(pod: &Pod, path: &str, ips: &[IpAddr], node_ips: &[IpAddr]) -> Result<String, String> {
    let meta = &pod.metadata;
    let spec = pod.spec.as_ref();
    let text = |value: &Option<String>| value.clone().unwrap_or_default();
    let list = |ips: &[IpAddr]| ips.iter().map(IpAddr::to_string).collect::<Vec<_>>().join(",");
    let first = |ips: &[IpAddr]| ips.first().map(IpAddr::to_string).unwrap_or_default();
    if let Some((map, key)) = subscript(path) {
        let values = match map {
            "metadata.labels" => &meta.labels,
            "metadata.annotations" => &meta.annotations,
            _ => return Err(format!("unsupported fieldPath: {path}")),
        };
        return Ok(values.as_ref().and_then(|values| values.get(key)).cloned().unwrap_or_default());
    }
    Ok(match path {
        "metadata.name" => text(&meta.name),
        "metadata.namespace" => text(&meta.namespace),
        "metadata.uid" => text(&meta.uid),
        "metadata.labels" => quoted_lines(meta.labels.as_ref()),
        "metadata.annotations" => quoted_lines(meta.annotations.as_ref()),
        "spec.nodeName" => spec.map(|spec| text(&spec.node_name)).unwrap_or_default(),
        "spec.serviceAccountName" => spec.map(|spec| text(&spec.service_account_name)).unwrap_or_default(),
        "spec.host" => spec.map(|spec| text(&spec.node_name)).unwrap_or_default(),
        "status.hostIP" => first(node_ips),
        "status.hostIPs" => list(node_ips),
        "status.podIP" => first(ips),
        "status.podIPs" => list(ips),
        _ => return Err(format!("unsupported fieldPath: {path}")),
    })
}

/// `metadata.labels['k']` to its two parts.
fn subscript(path: &str) -> Option<(&str, &str)> {
    let (map, key) = path.strip_suffix("']")?.split_once("['")?;
    Some((map, key))
}

/// One `key="value"` a line, in key order, as downward API files have it.
fn quoted_lines(map: Option<&BTreeMap<String, String>>) -> String {
    let lines: Vec<String> = map.into_iter().flatten().map(|(key, value)| format!("{key}={value:?}")).collect();
    lines.join("\n")
}

/// The value of a `resourceFieldRef`: divided and rounded up; the node's allocatable amount where
/// a limit is not set, zero where a request is not.
///
/// # Errors
/// An unknown container, resource or divisor.
pub(crate) fn of_resources(
    pod: &Pod,
    own: Option<&Container>,
    selector: &ResourceFieldSelector,
    allocatable: &Allocatable,
) -> Result<String, String> {
    let container = match selector.container_name.as_deref().filter(|name| !name.is_empty()) {
        None => own,
        Some(name) => pod.spec.as_ref().and_then(|spec| {
            let init = spec.init_containers.iter().flatten();
            spec.containers.iter().chain(init).find(|container| container.name == name)
        }),
    };
    let container =
        container.ok_or_else(|| format!("container {} not found", selector.container_name.as_deref().unwrap_or("")))?;
    let (side, name) = selector
        .resource
        .split_once('.')
        .ok_or_else(|| format!("unsupported container resource: {}", selector.resource))?;
    let needs = container.resources.as_ref();
    let set = match side {
        "limits" => needs.and_then(|needs| needs.limits.as_ref()),
        "requests" => needs.and_then(|needs| needs.requests.as_ref()),
        _ => return Err(format!("unsupported container resource: {}", selector.resource)),
    };
    let set = set.and_then(|amounts| amounts.get(name));
    let amount: Quantity = match set {
        Some(amount) => parse(&amount.0)?,
        None if side == "limits" => allocatable.get(name).copied().unwrap_or_default(),
        None => Quantity::default(),
    };
    let divisor =
        selector.divisor.as_ref().map(|divisor| divisor.0.as_str()).filter(|text| !text.is_empty() && *text != "0");
    Ok(divide_rounding_up(&amount, &parse(divisor.unwrap_or("1"))?).to_string())
}

fn parse(text: &str) -> Result<Quantity, String> {
    Quantity::parse(text).map_err(|_| format!("\"{text}\" is not a quantity"))
}

/// In thousandths on both sides, so that cpu divides exactly.
fn divide_rounding_up(amount: &Quantity, divisor: &Quantity) -> i128 {
    let (amount, divisor) = (i128::from(amount.milli_value()), i128::from(divisor.milli_value()).max(1));
    (amount + divisor - 1).div_euclid(divisor)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod() -> Pod {
        serde_json::from_str(
            r#"{"metadata":{"name":"p","namespace":"x","uid":"u","labels":{"a":"1","b":"2 \"q\""}},
            "spec":{"nodeName":"n","serviceAccountName":"s","containers":[{"name":"c","resources":{
            "limits":{"cpu":"1500m","memory":"64Mi"},"requests":{"cpu":"100m"}}}]}}"#,
        )
        .unwrap()
    }

    #[test]
    fn fields() {
        // DS-H40
        let (pod_ips, node_ips) = (["10.0.0.2".parse().unwrap()], ["192.0.2.1".parse().unwrap()]);
        let of = |path: &str| of_pod(&pod(), path, &pod_ips, &node_ips);
        for (path, value) in [
            ("metadata.name", "p"),
            ("metadata.labels['a']", "1"),
            ("metadata.labels['none']", ""),
            ("metadata.labels", "a=\"1\"\nb=\"2 \\\"q\\\"\""),
            ("spec.nodeName", "n"),
            ("spec.serviceAccountName", "s"),
            ("status.hostIP", "192.0.2.1"),
            ("status.podIPs", "10.0.0.2"),
        ] {
            assert_eq!(of(path).as_deref(), Ok(value), "{path}");
        }
        assert!(of("spec.nope").unwrap_err().contains("spec.nope"));
    }

    #[test]
    fn resources() {
        // DS-H41
        let allocatable = Allocatable::from([("ephemeral-storage".to_owned(), Quantity::parse("10Gi").unwrap())]);
        let of = |resource: &str, divisor: Option<&str>| {
            let selector = ResourceFieldSelector {
                resource: resource.into(),
                divisor: divisor.map(|text| k8s_openapi::apimachinery::pkg::api::resource::Quantity(text.into())),
                container_name: Some("c".into()),
            };
            of_resources(&pod(), None, &selector, &allocatable)
        };
        assert_eq!(of("limits.cpu", None).unwrap(), "2");
        assert_eq!(of("limits.cpu", Some("1m")).unwrap(), "1500");
        assert_eq!(of("limits.memory", Some("1Mi")).unwrap(), "64");
        assert_eq!(of("requests.memory", None).unwrap(), "0");
        assert_eq!(of("limits.ephemeral-storage", Some("1Gi")).unwrap(), "10");
        assert!(of("cpu", None).is_err());
    }
}
