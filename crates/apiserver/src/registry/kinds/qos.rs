//! The quality-of-service class of a pod (DS-H07).

use everynode_api::quantity::Quantity;
use serde_json::Value;

use crate::object::items;

/// `Guaranteed`, `Burstable` or `BestEffort`.
pub(crate) fn class(pod: &Value) -> &'static str {
    let containers = || ["containers", "initContainers"].iter().flat_map(|list| items(pod, &["spec", list]));
    let any = containers().any(|container| {
        ["requests", "limits"]
            .iter()
            .any(|kind| ["cpu", "memory"].iter().any(|name| amount(container, kind, name).is_some()))
    });
    let guaranteed = containers().all(|container| {
        ["cpu", "memory"].iter().all(|name| {
            let limit = amount(container, "limits", name);
            limit.is_some() && amount(container, "requests", name).is_none_or(|request| Some(request) == limit)
        })
    });
    match (any, guaranteed) {
        (false, _) => "BestEffort",
        (true, true) => "Guaranteed",
        (true, false) => "Burstable",
    }
}

/// A positive amount of a resource.
fn amount(container: &Value, kind: &str, name: &str) -> Option<Quantity> {
    let quantity = Quantity::from_json(&container["resources"][kind][name]).ok()?;
    (!quantity.is_zero()).then_some(quantity)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn classes() {
        let pod = |resources: Value| json!({"spec": {"containers": [{"resources": resources}]}});
        assert_eq!(class(&pod(json!({}))), "BestEffort");
        assert_eq!(class(&pod(json!({"requests": {"cpu": "1"}}))), "Burstable");
        let both = json!({"cpu": "1", "memory": "1Gi"});
        assert_eq!(class(&pod(json!({"requests": both, "limits": both}))), "Guaranteed");
        assert_eq!(class(&pod(json!({"limits": {"cpu": "1"}}))), "Burstable");
    }
}
