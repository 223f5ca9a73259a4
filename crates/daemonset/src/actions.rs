//! The writes of a plan and what they report.

use std::sync::Arc;

use everynode_api::kinds::{self, Kind};
use everynode_api::meta::Meta;
use everynode_api::ports::{PatchType, Preconditions, Target};
use everynode_api::reconcile::{Action, Event, EventType, Regarding, Report};
use everynode_api::view::{DaemonSet, Pod};
use serde_json::{Value, json};

/// The set's own kind. The only place that names it for claims, revisions and owner references.
pub(crate) const OWNER: Kind = kinds::DAEMON_SET;

/// The owner reference that makes an object the set's (DS-C16).
pub(crate) fn owner_reference(owner: &Kind, meta: &Meta) -> Value {
    json!({
        "apiVersion": owner.api_version(),
        "kind": owner.kind,
        "name": &*meta.name,
        "uid": &*meta.uid,
        "controller": true,
        "blockOwnerDeletion": true,
    })
}

/// Adds the owner reference; refused if the object is not the one that was seen (DS-C13).
pub(crate) fn adopt(kind: &Kind, object: &Meta, set: &Meta) -> Action {
    strategic(kind, object, json!({ "metadata": { "ownerReferences": [owner_reference(&OWNER, set)] } }))
}

/// Removes the owner reference (DS-C11).
pub(crate) fn release(kind: &Kind, object: &Meta, set: &Meta) -> Action {
    let gone = json!({ "$patch": "delete", "uid": &*set.uid });
    strategic(kind, object, json!({ "metadata": { "ownerReferences": [gone] } }))
}

fn strategic(kind: &Kind, object: &Meta, body: Value) -> Action {
    patch(kind, object, PatchType::Strategic, body)
}

/// A merge patch of an object that must still be the same.
pub(crate) fn merge(kind: &Kind, object: &Meta, body: Value) -> Action {
    patch(kind, object, PatchType::Merge, body)
}

fn patch(kind: &Kind, object: &Meta, patch: PatchType, body: Value) -> Action {
    Action::Patch { target: target(kind, object), patch, body, preconditions: same_object(object), report: None }
}

/// Deletes a pod and tells of it (DS-C71).
pub(crate) fn delete_pod(set: &DaemonSet, pod: &Pod) -> Action {
    let report = Report {
        regarding: regarding_set(set),
        action: "",
        success: Some(("SuccessfulDelete", "Deleted pod: {}".into())),
        failure: Some(("FailedDelete", "Error deleting: {}".into())),
    };
    delete(&kinds::POD, &pod.meta, same_object(&pod.meta), Some(report))
}

/// Deletes a revision that was not changed meanwhile.
pub(crate) fn delete_revision(revision: &Meta) -> Action {
    let resource_version = Some(revision.resource_version).filter(|version| *version > 0);
    let preconditions = Preconditions { resource_version, ..same_object(revision) };
    delete(&kinds::CONTROLLER_REVISION, revision, preconditions, None)
}

fn delete(kind: &Kind, object: &Meta, preconditions: Preconditions, report: Option<Report>) -> Action {
    Action::Delete {
        target: target(kind, object),
        preconditions,
        grace_period_seconds: None,
        propagation: None,
        report,
    }
}

/// Creates a pod and tells of it (DS-C70).
pub(crate) fn create_pod(set: &DaemonSet, name: &str, body: Value) -> Action {
    let report = Report {
        regarding: regarding_set(set),
        action: "",
        success: Some(("SuccessfulCreate", "Created pod: {}".into())),
        failure: Some(("FailedCreate", "Error creating: {}".into())),
    };
    Action::Create { target: Target::new(kinds::POD, &set.meta.namespace, name), body, report: Some(report) }
}

/// An event about the set (DS-C72).
pub(crate) fn emit(set: &DaemonSet, kind: EventType, reason: &str, message: String) -> Action {
    let regarding = regarding_set(set);
    Action::Emit(Event { regarding, kind, reason: reason.into(), action: String::new(), message })
}

/// The event that the scheduler would have written (DS-B46).
pub(crate) fn scheduled(pod: &Arc<Pod>) -> Action {
    let meta = &pod.meta;
    let message = format!("Successfully assigned {}/{} to {}", meta.namespace, meta.name, pod.spec.node_name);
    Action::Emit(Event {
        regarding: regarding(&kinds::POD, meta),
        kind: EventType::Normal,
        reason: "Scheduled".into(),
        action: "Binding".into(),
        message,
    })
}

fn regarding_set(set: &DaemonSet) -> Regarding {
    regarding(&OWNER, &set.meta)
}

fn regarding(kind: &Kind, meta: &Meta) -> Regarding {
    Regarding {
        kind: kind.clone(),
        namespace: meta.namespace.to_string(),
        name: meta.name.to_string(),
        uid: meta.uid.to_string(),
        field_path: String::new(),
    }
}

fn target(kind: &Kind, object: &Meta) -> Target {
    Target::new(kind.clone(), &object.namespace, &object.name)
}

fn same_object(object: &Meta) -> Preconditions {
    Preconditions { uid: Some(object.uid.to_string()), resource_version: None }
}
