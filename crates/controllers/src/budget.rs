//! A `policy/v1 PodDisruptionBudget` as decisions read it.

use std::collections::BTreeMap;

use everynode_api::int_or_string::IntOrString;
use everynode_api::meta::Meta;
use everynode_api::selector::{LabelSelector, Selector};
use everynode_api::time::rfc3339;
use everynode_api::view::{Object, Pod};
use jiff::Timestamp;
use serde_json::{Value, json};

/// One budget: whom it covers and what it promises.
#[derive(Clone, Debug)]
pub(crate) struct Budget {
    /// `None` covers nothing: an absent selector, or one that cannot be read.
    selector: Option<Selector>,
    pub(crate) min_available: Option<IntOrString>,
    pub(crate) max_unavailable: Option<IntOrString>,
    pub(crate) allowed: i64,
    /// Pods whose eviction was granted and which have not ended yet, since when.
    pub(crate) disrupted: BTreeMap<Box<str>, Timestamp>,
}

impl Budget {
    pub(crate) fn read(object: &Object) -> Budget {
        let amount = |name| IntOrString::from_json(object.at(&["spec", name]));
        let disrupted = object.at(&["status", "disruptedPods"]).as_object().into_iter().flatten();
        let since = |(name, at): (&String, &Value)| Some((name.as_str().into(), at.as_str()?.parse().ok()?));
        Budget {
            selector: selector(object.at(&["spec", "selector"])),
            min_available: amount("minAvailable"),
            max_unavailable: amount("maxUnavailable"),
            allowed: object.at(&["status", "disruptionsAllowed"]).as_i64().unwrap_or(0),
            disrupted: disrupted.filter_map(since).collect(),
        }
    }

    /// Whether the selector matches a pod of the budget's namespace.
    pub(crate) fn covers(&self, pod: &Meta) -> bool {
        self.selector.as_ref().is_some_and(|selector| selector.matches(|key| pod.labels.get(key)))
    }
}

fn selector(value: &Value) -> Option<Selector> {
    if value.is_null() {
        return None;
    }
    let structured: LabelSelector = serde_json::from_value(value.clone()).ok()?;
    structured.to_selector().ok()
}

/// The numbers of a budget's status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BudgetNumbers {
    pub(crate) expected: i64,
    pub(crate) desired: i64,
    pub(crate) healthy: i64,
}

impl BudgetNumbers {
    /// How many pods may be disrupted now.
    pub(crate) fn allowed(&self) -> i64 {
        if self.expected <= 0 { 0 } else { (self.healthy - self.desired).max(0) }
    }
}

/// A pod that a budget counts on: ready, not on its way out, and no eviction of it was granted.
pub(crate) fn is_healthy(pod: &Pod, disrupted: &BTreeMap<Box<str>, Timestamp>) -> bool {
    pod.is_ready() && !pod.is_terminating() && !disrupted.contains_key(pod.meta.name.as_ref())
}

/// `status` with condition `DisruptionAllowed` set; conditions of other types are kept.
pub(crate) fn conditions(object: &Object, status: bool, reason: &str, message: &str, now: Timestamp) -> Vec<Value> {
    const TYPE: &str = "DisruptionAllowed";
    let old = object.at(&["status", "conditions"]).as_array().map(Vec::as_slice).unwrap_or_default();
    let status = if status { "True" } else { "False" };
    let known = old.iter().find(|one| one["type"] == TYPE && one["status"] == status);
    let since = known.map_or_else(|| json!(rfc3339(now)), |one| one["lastTransitionTime"].clone());
    let ours = json!({
        "type": TYPE, "status": status, "reason": reason, "message": message,
        "observedGeneration": object.meta.generation, "lastTransitionTime": since,
    });
    old.iter().filter(|one| one["type"] != TYPE).cloned().chain([ours]).collect()
}
