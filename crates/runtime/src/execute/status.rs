//! The status write: the whole `status` member replaced, if the object is still the one that the
//! status was computed from.
//!
//! A JSON patch does it in one request: two tests (uid, resourceVersion) and one `add`, which
//! replaces a member that exists (RFC 6902, 4.1). A merge patch would keep members that the new
//! status leaves out.

use everynode_api::ports::{ApiError, PatchType, Preconditions, Request};
use everynode_api::reconcile::StatusWrite;
use serde_json::{Value, json};

use super::write::{is_stale, meta_of};
use super::{Executor, Written};
use crate::awaited::Await;
use crate::metrics::count;

impl Executor {
    /// Writes the status; if the object has changed meanwhile, reads it once and tries again.
    pub(super) async fn write_status(&self, write: StatusWrite) -> (Written, Option<Await>) {
        if self.shutdown.is_fired() {
            return (Written::Skipped, None);
        }
        match self.try_status(&write).await {
            (Written::Stale, _) => self.write_status_again(write).await,
            (Written::Failed(error @ ApiError::UnknownOutcome(_)), _) => {
                count(&self.counters.unknown_outcomes_total);
                (Written::Failed(error), self.await_list(&write.target.kind))
            }
            other => other,
        }
    }

    async fn try_status(&self, write: &StatusWrite) -> (Written, Option<Await>) {
        let request = Request::Patch {
            target: write.target.clone(),
            patch: PatchType::Json,
            body: status_patch(&write.status, &write.preconditions),
            preconditions: Preconditions::default(),
        };
        match self.api.call(request).await {
            Ok(answer) => {
                count(&self.counters.writes_total);
                (Written::Done, self.await_revision(&write.target.kind, meta_of(&answer).resource_version))
            }
            Err(error) if error.is_lease_lost() => (Written::Skipped, None),
            Err(error) if is_stale(&error, &write.preconditions) => (Written::Stale, None),
            Err(error) => {
                count(&self.counters.write_errors_total);
                (Written::Failed(error), None)
            }
        }
    }

    async fn write_status_again(&self, mut write: StatusWrite) -> (Written, Option<Await>) {
        let live = match self.live(&write.target).await {
            Ok(live) => live,
            Err(error) if error.is_not_found() => return (Written::Done, None),
            Err(error) => return (Written::Failed(error), None),
        };
        let metadata = &live["metadata"];
        if write.preconditions.uid.as_deref().is_some_and(|uid| metadata["uid"] != uid) {
            return (Written::Done, None); // Another object of the same name: not ours to speak of.
        }
        let revision = metadata["resourceVersion"].as_str().and_then(|text| text.parse().ok());
        if live["status"] == write.status {
            return (Written::Done, self.await_revision(&write.target.kind, revision.unwrap_or(0)));
        }
        write.preconditions.resource_version = revision;
        self.try_status(&write).await
    }
}

fn status_patch(status: &Value, preconditions: &Preconditions) -> Value {
    let mut operations = Vec::new();
    if let Some(uid) = &preconditions.uid {
        operations.push(json!({"op": "test", "path": "/metadata/uid", "value": uid}));
    }
    if let Some(revision) = preconditions.resource_version {
        operations.push(json!({"op": "test", "path": "/metadata/resourceVersion", "value": revision.to_string()}));
    }
    operations.push(json!({"op": "add", "path": "/status", "value": status}));
    Value::Array(operations)
}
