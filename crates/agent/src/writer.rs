//! The API server's side of a pod: writing its status, and removing it when it has ended.

use std::sync::Arc;

use everynode_api::kinds;
use everynode_api::meta::Meta;
use everynode_api::ports::{Api, ApiError, PatchType, Preconditions, Request, Target};
use k8s_openapi::api::core::v1::{Pod, PodStatus};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::ports::{BoxFuture, PodRef, PodWriter, WriteError};

/// Fields of the status that the agent owns. What is not in the new status is removed.
const OWN_FIELDS: [&str; 15] = [
    "phase",
    "reason",
    "message",
    "hostIP",
    "hostIPs",
    "podIP",
    "podIPs",
    "startTime",
    "qosClass",
    "containerStatuses",
    "initContainerStatuses",
    "observedGeneration",
    "allocatedResources",
    "resources",
    "conditions",
];
/// Lists that Kubernetes merges by key; a change of them replaces the whole list.
const REPLACED_LISTS: [&str; 2] = ["hostIPs", "podIPs"];

/// Writes through the API.
pub struct ApiWriter {
    api: Arc<dyn Api>,
}

impl ApiWriter {
    pub fn new(api: Arc<dyn Api>) -> Self {
        ApiWriter { api }
    }
}

impl PodWriter for ApiWriter {
    fn write_status<'a>(&'a self, pod: &'a Pod, status: &'a PodStatus) -> BoxFuture<'a, Result<u64, WriteError>> {
        Box::pin(async move {
            let Some(difference) = difference(pod.status.as_ref(), status) else { return Ok(0) };
            let request = Request::Patch {
                target: target(&PodRef::of(pod)).subresource("status"),
                patch: PatchType::Strategic,
                body: json!({"status": difference}),
                preconditions: Preconditions { uid: pod.metadata.uid.clone(), resource_version: None },
            };
            self.api.call(request).await.map(|answer| revision(&answer)).map_err(failure)
        })
    }

    fn delete<'a>(&'a self, pod: &'a PodRef) -> BoxFuture<'a, Result<(), WriteError>> {
        Box::pin(async move {
            let request = Request::Delete {
                target: target(pod),
                preconditions: Preconditions { uid: Some(pod.uid.clone()), resource_version: None },
                grace_period_seconds: Some(0),
                propagation: None,
            };
            self.api.call(request).await.map(drop).map_err(failure)
        })
    }
}

/// The revision of an object as the server sent it; 0 if it has none.
fn revision(answer: &[u8]) -> u64 {
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Answer {
        metadata: Meta,
    }
    serde_json::from_slice::<Answer>(answer).unwrap_or_default().metadata.resource_version
}

fn target(pod: &PodRef) -> Target {
    Target::new(kinds::POD, &pod.namespace, &pod.name)
}

/// A conflict can only be the uid: another pod has the name by now. A patch says so in its own way.
fn failure(error: ApiError) -> WriteError {
    let another = error.status().is_some_and(everynode_api::status::Status::is_uid_mismatch);
    match another || error.is_not_found() || error.is_conflict() {
        true => WriteError::Gone,
        false => WriteError::Retry(error.to_string()),
    }
}

/// The strategic merge patch from what the server has to what it should have; `None`: nothing
/// differs. Conditions merge by type, so that those of others stay.
fn difference(known: Option<&PodStatus>, wanted: &PodStatus) -> Option<Value> {
    let known = known.and_then(|known| serde_json::to_value(known).ok()).unwrap_or_default();
    let wanted = serde_json::to_value(wanted).ok()?;
    let mut patch = Map::new();
    for field in OWN_FIELDS {
        match (known.get(field), wanted.get(field)) {
            (known, wanted) if known == wanted => {}
            (_, None) => drop(patch.insert(field.into(), Value::Null)),
            (Some(Value::Array(known)), Some(Value::Array(wanted))) if field == "conditions" => {
                let changed = wanted.iter().filter(|one| !known.contains(one)).map(|one| condition(known, one));
                let is_wanted = |one: &&Value| wanted.iter().any(|wanted| wanted["type"] == one["type"]);
                let removed = known.iter().filter(|one| !is_wanted(one));
                let removed = removed.map(|one| json!({"$patch": "delete", "type": one["type"]}));
                patch.insert(field.into(), changed.chain(removed).collect());
            }
            (Some(_), Some(Value::Array(wanted))) if REPLACED_LISTS.contains(&field) => {
                let whole = std::iter::once(json!({"$patch": "replace"})).chain(wanted.iter().cloned());
                patch.insert(field.into(), whole.collect());
            }
            (_, Some(wanted)) => drop(patch.insert(field.into(), wanted.clone())),
        }
    }
    (!patch.is_empty()).then_some(Value::Object(patch))
}

/// A changed condition: what it had and has no more must be said.
fn condition(known: &[Value], wanted: &Value) -> Value {
    let mut patch = wanted.clone();
    let before = known.iter().find(|before| before["type"] == wanted["type"]).and_then(Value::as_object);
    for field in before.into_iter().flat_map(Map::keys).filter(|field| wanted.get(field.as_str()).is_none()) {
        patch[field] = Value::Null;
    }
    patch
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(value: Value) -> PodStatus {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn only_what_differs_is_sent() {
        let known = status(json!({
            "phase": "Pending", "reason": "x", "podIPs": [{"ip": "10.0.0.1"}], "podIP": "10.0.0.1",
            "conditions": [{"type": "Ready", "status": "False", "reason": "r"}, {"type": "PodScheduled", "status": "True"}],
        }));
        let wanted = status(json!({
            "phase": "Running", "podIPs": [{"ip": "10.0.0.2"}], "podIP": "10.0.0.1",
            "conditions": [{"type": "Ready", "status": "True"}, {"type": "PodScheduled", "status": "True"}],
        }));
        assert_eq!(
            difference(Some(&known), &wanted).unwrap(),
            json!({
                "phase": "Running", "reason": null, "podIPs": [{"$patch": "replace"}, {"ip": "10.0.0.2"}],
                "conditions": [{"type": "Ready", "status": "True", "reason": null}],
            })
        );
        assert_eq!(difference(Some(&wanted), &wanted), None);
        let refused = status(json!({"phase": "Failed", "conditions": [{"type": "PodScheduled", "status": "True"}]}));
        let removed = json!({"phase": "Failed", "podIP": null, "podIPs": null,
            "conditions": [{"$patch": "delete", "type": "Ready"}]});
        assert_eq!(difference(Some(&wanted), &refused).unwrap(), removed);
        assert_eq!(difference(None, &status(json!({"phase": "Pending"}))).unwrap(), json!({"phase": "Pending"}));
    }
}
