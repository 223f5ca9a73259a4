//! What several controllers say in the same way.

use everynode_api::kinds::{self, Kind};
use everynode_api::meta::Meta;
use everynode_api::ports::{PatchType, Preconditions, Target};
use everynode_api::reconcile::{Action, Event, EventType, Regarding};
use everynode_api::time::rfc3339;
use everynode_api::view::Pod;
use jiff::Timestamp;
use serde_json::{Value, json};

/// A controller without memory or notes of its own kind uses these.
pub(crate) fn target(kind: &Kind, meta: &Meta) -> Target {
    Target::new(kind.clone(), &meta.namespace, &meta.name)
}

/// The object is still this very one.
pub(crate) fn same_uid(meta: &Meta) -> Preconditions {
    Preconditions { uid: Some(meta.uid.to_string()), resource_version: None }
}

/// The object is still exactly as seen.
pub(crate) fn unchanged(meta: &Meta) -> Preconditions {
    Preconditions { uid: Some(meta.uid.to_string()), resource_version: Some(meta.resource_version) }
}

/// A patch of one pod condition, and of other status fields given in `status`.
pub(crate) fn patch_pod_condition(pod: &Pod, condition: Value, mut status: Value) -> Action {
    status["conditions"] = json!([condition]);
    patch_pod_status(pod, status)
}

/// A patch of some status fields of a pod.
pub(crate) fn patch_pod_status(pod: &Pod, status: Value) -> Action {
    Action::Patch {
        target: target(&kinds::POD, &pod.meta).subresource("status"),
        patch: PatchType::Strategic,
        body: json!({ "status": status }),
        preconditions: same_uid(&pod.meta),
        report: None,
    }
}

/// Condition `DisruptionTarget`, written before a pod is deleted by us (KEP-3329).
pub(crate) fn disruption_target(reason: &str, message: &str, now: Timestamp) -> Value {
    json!({
        "type": "DisruptionTarget", "status": "True", "reason": reason, "message": message,
        "lastTransitionTime": rfc3339(now),
    })
}

/// Deletes a pod, if it is still the same one.
pub(crate) fn delete_pod(pod: &Pod, grace_period_seconds: Option<i64>) -> Action {
    Action::Delete {
        target: target(&kinds::POD, &pod.meta),
        preconditions: same_uid(&pod.meta),
        grace_period_seconds,
        propagation: None,
        report: None,
    }
}

pub(crate) fn regarding(kind: &Kind, meta: &Meta) -> Regarding {
    Regarding {
        kind: kind.clone(),
        namespace: meta.namespace.to_string(),
        name: meta.name.to_string(),
        uid: meta.uid.to_string(),
        field_path: String::new(),
    }
}

pub(crate) fn pod_event(pod: &Pod, kind: EventType, reason: &str, message: String) -> Action {
    Action::Emit(Event {
        regarding: regarding(&kinds::POD, &pod.meta),
        kind,
        reason: reason.into(),
        action: String::new(),
        message,
    })
}

/// Events about nodes carry the node's name as uid, as the original's do.
pub(crate) fn node_event(name: &str, kind: EventType, reason: &str, message: String) -> Action {
    let regarding = Regarding {
        kind: kinds::NODE,
        namespace: String::new(),
        name: name.into(),
        uid: name.into(),
        field_path: String::new(),
    };
    Action::Emit(Event { regarding, kind, reason: reason.into(), action: String::new(), message })
}
