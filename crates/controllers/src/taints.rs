//! The taints that controllers put on nodes, and how they are written.

use everynode_api::kinds;
use everynode_api::ports::PatchType;
use everynode_api::reconcile::Action;
use everynode_api::time::rfc3339;
use everynode_api::view::{Effect, Node, Taint};
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::common::{target, unchanged};

pub(crate) const NOT_READY: &str = "node.kubernetes.io/not-ready";
pub(crate) const UNREACHABLE: &str = "node.kubernetes.io/unreachable";

/// What a node says of itself, or what is concluded when it is silent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Readiness {
    True,
    False,
    Unknown,
    Absent,
}

pub(crate) fn readiness(node: &Node) -> Readiness {
    match node.condition("Ready").map(|condition| condition.status.as_ref()) {
        Some("True") => Readiness::True,
        Some("False") => Readiness::False,
        Some(_) => Readiness::Unknown,
        None => Readiness::Absent,
    }
}

impl Readiness {
    /// The key of the taint that tells of it; a node that never reported is not ready (DS-G04).
    pub(crate) fn taint_key(self) -> Option<&'static str> {
        match self {
            Readiness::True => None,
            Readiness::False | Readiness::Absent => Some(NOT_READY),
            Readiness::Unknown => Some(UNREACHABLE),
        }
    }
}

/// A taint that makes pods leave because of the node's health (DS-G05).
pub(crate) fn is_eviction(taint: &Taint) -> bool {
    taint.effect == Effect::NoExecute && matches!(taint.key.as_ref(), NOT_READY | UNREACHABLE)
}

pub(crate) fn new_taint(key: &str, effect: Effect, now: Timestamp) -> Taint {
    Taint { key: key.into(), effect, time_added: Some(now), ..Taint::default() }
}

/// Replaces all taints of a node, if it has not changed meanwhile: the list has no merge keys.
pub(crate) fn write_taints(node: &Node, taints: &[Taint]) -> Action {
    let taints: Vec<_> = taints.iter().map(taint_json).collect();
    Action::Patch {
        target: target(&kinds::NODE, &node.meta),
        patch: PatchType::Merge,
        body: json!({ "spec": { "taints": if taints.is_empty() { json!(null) } else { json!(taints) } } }),
        preconditions: unchanged(&node.meta),
        report: None,
    }
}

fn taint_json(taint: &Taint) -> Value {
    let mut value = json!({ "key": taint.key, "effect": taint.effect.as_str() });
    if !taint.value.is_empty() {
        value["value"] = json!(taint.value);
    }
    if let Some(added) = taint.time_added {
        value["timeAdded"] = json!(rfc3339(added));
    }
    value
}
