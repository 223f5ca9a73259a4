//! One write: carried out, and what came of it told.

use everynode_api::kinds;
use everynode_api::meta::Key;
use everynode_api::ports::{ApiError, PatchType, Preconditions, Propagation, Request, Target};
use everynode_api::reconcile::{Action, Event, EventType, Report};
use serde_json::Value;

use super::identity::{Identity, is_terminal, is_terminating};
use super::{Executor, Written};
use crate::awaited::Await;
use crate::informer::MetaOnly;
use crate::metrics::count;

type Result = (Written, Option<Await>);

impl Executor {
    /// Carries out one action and tells its outcome as its report says.
    pub(super) async fn write(&self, action: Action) -> Result {
        if self.shutdown.is_fired() {
            return (Written::Skipped, None);
        }
        let result = match action {
            Action::Create { target, body, report } => self.create(target, body, report).await,
            Action::Patch { target, patch, body, preconditions, report } => {
                self.patch(target, patch, body, preconditions, report).await
            }
            Action::Delete { target, preconditions, grace_period_seconds, propagation, report } => {
                self.delete(target, preconditions, grace_period_seconds, propagation, report).await
            }
            Action::Emit(event) => {
                self.recorder.record(event);
                (Written::Done, None)
            }
        };
        match &result.0 {
            Written::Done => count(&self.counters.writes_total),
            Written::Failed(_) => count(&self.counters.write_errors_total),
            Written::Refused | Written::Stale | Written::Skipped => {}
        }
        result
    }

    async fn create(&self, target: Target, body: Value, report: Option<Report>) -> Result {
        let name = body["metadata"]["name"].as_str().unwrap_or(&target.name).to_owned();
        let wanted = Wanted { target: Target { name, ..target.clone() }, identity: Identity::of(&body), report };
        match target.subresource {
            None => self.create_object(target, body, wanted).await,
            Some(_) => self.post(target, body, wanted.report).await,
        }
    }

    async fn create_object(&self, target: Target, body: Value, wanted: Wanted) -> Result {
        match self.api.call(Request::Create { target, body }).await {
            Ok(answer) => {
                let meta = meta_of(&answer);
                self.tell_success(&wanted.report, &meta.name);
                (Written::Done, self.await_revision(&wanted.target.kind, meta.resource_version))
            }
            Err(error) if error.is_lease_lost() => (Written::Skipped, None),
            Err(error) if error.is_already_exists() => self.collide(wanted, error).await,
            Err(error @ ApiError::UnknownOutcome(_)) => self.look_up_create(wanted, error).await,
            Err(error) if is_namespace_terminating(&error) => (Written::Refused, None),
            Err(error) => self.fail(&wanted.report, error, None),
        }
    }

    /// Posts to a subresource. The answer does not tell the object's new revision, so the cache
    /// has to show any other than the one it shows now.
    async fn post(&self, target: Target, body: Value, report: Option<Report>) -> Result {
        let (kind, key) = (target.kind.clone(), Key::new(&target.namespace, &target.name));
        let known = self.cache.read().meta(&kind, &key).map(|meta| meta.resource_version);
        let changes_object = matches!(target.subresource, Some("binding" | "eviction"));
        match self.api.call(Request::Create { target, body }).await {
            Ok(_) => {
                self.tell_success(&report, &key.name);
                let known = known.filter(|_| changes_object);
                (Written::Done, known.map(|revision| Await::Change(kind, key, revision)))
            }
            Err(error) if error.is_lease_lost() => (Written::Skipped, None),
            // Bound by another client, or gone.
            Err(error) if error.is_conflict() || error.is_not_found() => (Written::Stale, None),
            Err(error @ ApiError::UnknownOutcome(_)) => {
                count(&self.counters.unknown_outcomes_total);
                self.fail(&None, error, self.await_list(&kind))
            }
            Err(error) => self.fail(&report, error, None),
        }
    }

    /// The name is taken. The cache first catches up with the occupant, then the plan decides;
    /// only a pod that is the very one we wanted is success at once.
    async fn collide(&self, wanted: Wanted, error: ApiError) -> Result {
        count(&self.counters.collisions_total);
        let live = match self.live(&wanted.target).await {
            Ok(live) => live,
            Err(gone) if gone.is_not_found() => return (Written::Stale, None),
            Err(_) => return self.fail(&wanted.report, error, self.await_list(&wanted.target.kind)),
        };
        let awaits = self.await_revision(&wanted.target.kind, revision_of(&live));
        match wanted.is(&live) {
            true => (Written::Done, awaits),
            false => (Written::Stale, awaits),
        }
    }

    /// No answer came to a create.
    async fn look_up_create(&self, wanted: Wanted, error: ApiError) -> Result {
        count(&self.counters.unknown_outcomes_total);
        let live = match wanted.target.name.as_str() {
            "" => Err(error.clone()),
            _ => self.live(&wanted.target).await,
        };
        match live {
            Ok(live) if wanted.is(&live) => {
                self.tell_success(&wanted.report, &wanted.target.name);
                (Written::Done, self.await_revision(&wanted.target.kind, revision_of(&live)))
            }
            Ok(live) => (Written::Stale, self.await_revision(&wanted.target.kind, revision_of(&live))),
            // It may still arrive; then the name collides.
            Err(_) => self.fail(&wanted.report, error, self.await_list(&wanted.target.kind)),
        }
    }

    async fn patch(
        &self,
        target: Target,
        patch: PatchType,
        body: Value,
        preconditions: Preconditions,
        report: Option<Report>,
    ) -> Result {
        let request = Request::Patch { target: target.clone(), patch, body, preconditions: preconditions.clone() };
        match self.api.call(request).await {
            Ok(answer) => {
                self.tell_success(&report, &target.name);
                (Written::Done, self.await_revision(&target.kind, meta_of(&answer).resource_version))
            }
            Err(error) if error.is_lease_lost() => (Written::Skipped, None),
            Err(error) if is_stale(&error, &preconditions) => (Written::Stale, None),
            // What became of it is in a list that begins now; the plan decides from that.
            Err(error @ ApiError::UnknownOutcome(_)) => {
                count(&self.counters.unknown_outcomes_total);
                self.fail(&None, error, self.await_list(&target.kind))
            }
            Err(error) => self.fail(&report, error, None),
        }
    }

    async fn delete(
        &self,
        target: Target,
        preconditions: Preconditions,
        grace_period_seconds: Option<i64>,
        propagation: Option<Propagation>,
        report: Option<Report>,
    ) -> Result {
        let uid = preconditions.uid.clone();
        let awaits = self.await_deletion(&target, uid.as_deref());
        let request = Request::Delete {
            target: target.clone(),
            preconditions: preconditions.clone(),
            grace_period_seconds,
            propagation,
        };
        match self.api.call(request).await {
            Ok(_) => {
                self.tell_success(&report, &target.name);
                (Written::Done, awaits)
            }
            Err(error) if error.is_lease_lost() => (Written::Skipped, None),
            Err(error) if error.is_not_found() => (Written::Done, awaits), // DS-C55, DS-C71
            Err(error) if is_stale(&error, &preconditions) => (Written::Stale, None),
            Err(error @ ApiError::UnknownOutcome(_)) => {
                count(&self.counters.unknown_outcomes_total);
                let gone = match self.live(&target).await {
                    Ok(live) => is_terminating(&live) || uid.is_some_and(|uid| live["metadata"]["uid"] != uid.as_str()),
                    Err(error) => error.is_not_found(),
                };
                match gone {
                    true => {
                        self.tell_success(&report, &target.name);
                        (Written::Done, awaits)
                    }
                    false => self.fail(&None, error, self.await_list(&target.kind)),
                }
            }
            Err(error) => self.fail(&report, error, None),
        }
    }

    /// The object as the server has it now.
    pub(super) async fn live(&self, target: &Target) -> std::result::Result<Value, ApiError> {
        let answer = self.api.call(Request::Get(Target { subresource: None, ..target.clone() })).await?;
        serde_json::from_slice(&answer).map_err(|error| ApiError::Garbled(error.to_string()))
    }

    fn await_deletion(&self, target: &Target, uid: Option<&str>) -> Option<Await> {
        let key = Key::new(&target.namespace, &target.name);
        let uid = uid.filter(|_| self.cache.watches(&target.kind))?;
        Some(Await::Deletion(target.kind.clone(), key, uid.into()))
    }

    fn tell_success(&self, report: &Option<Report>, name: &str) {
        if let Some(Report { regarding, action, success: Some((reason, message)), .. }) = report {
            let (reason, message) = ((*reason).to_owned(), message.replace("{}", name));
            let (regarding, action) = (regarding.clone(), (*action).to_owned());
            self.recorder.record(Event { regarding, kind: EventType::Normal, reason, action, message });
        }
    }

    fn fail(&self, report: &Option<Report>, error: ApiError, awaits: Option<Await>) -> Result {
        if let Some(Report { regarding, action, failure: Some((reason, message)), .. }) = report {
            let (reason, message) = ((*reason).to_owned(), message.replace("{}", &error.to_string()));
            let (regarding, action) = (regarding.clone(), (*action).to_owned());
            self.recorder.record(Event { regarding, kind: EventType::Warning, reason, action, message });
        }
        (Written::Failed(error), awaits)
    }
}

/// What a create wanted to be there.
struct Wanted {
    target: Target,
    identity: Identity,
    report: Option<Report>,
}

impl Wanted {
    /// Whether the live object is it: for pods the same owner, node and revision, and alive. What
    /// another object holds is for the plan to judge.
    fn is(&self, live: &Value) -> bool {
        self.target.kind == kinds::POD
            && !is_terminating(live)
            && !is_terminal(live)
            && Identity::of(live) == self.identity
    }
}

/// Whether a write met another state than the plan knew: the object is gone, was changed, or is
/// another one of the same name.
pub(super) fn is_stale(error: &ApiError, preconditions: &Preconditions) -> bool {
    let guarded = preconditions.uid.is_some() || preconditions.resource_version.is_some();
    error.is_not_found() || error.is_conflict() || (guarded && is_failed_guard(error))
}

/// A patch whose uid does not match is invalid (its cause names the field), and a JSON patch whose
/// test fails is answered with a bare 422.
fn is_failed_guard(error: &ApiError) -> bool {
    let Some(status) = error.status().filter(|status| status.code == 422) else {
        return false;
    };
    let causes = status.details.as_ref().map_or(&[][..], |details| &details.causes);
    causes.is_empty()
        || causes.iter().any(|cause| cause.field == "metadata.uid" || cause.field == "metadata.resourceVersion")
}

/// DS-C54
fn is_namespace_terminating(error: &ApiError) -> bool {
    error.status().is_some_and(|status| status.has_cause("NamespaceTerminating"))
}

fn revision_of(object: &Value) -> u64 {
    object["metadata"]["resourceVersion"].as_str().and_then(|text| text.parse().ok()).unwrap_or(0)
}

pub(super) fn meta_of(answer: &[u8]) -> everynode_api::meta::Meta {
    serde_json::from_slice::<MetaOnly>(answer).unwrap_or_default().metadata
}

#[cfg(test)]
mod tests {
    use super::*;
    use everynode_api::status::Status;

    #[test]
    fn writes_that_come_too_late_are_no_errors() {
        // DS-C15: a release that meets 404 or a 422 about the uid has nothing left to do; an
        // adoption that meets 404 has not claimed anything. Both are planned again from what is
        // there.
        let guarded = Preconditions { uid: Some("u".into()), resource_version: None };
        let error = |status: Status| ApiError::Status(Box::new(status));
        let gone = error(Status::not_found(&kinds::POD, "web-a"));
        assert!(is_stale(&gone, &guarded) && is_stale(&gone, &Preconditions::default()));
        let other =
            Status::failure(422, "Invalid", "Pod is invalid").with_cause("FieldValueInvalid", "", "metadata.uid");
        assert!(is_stale(&error(other), &guarded));
        let wrong =
            Status::failure(422, "Invalid", "Pod is invalid").with_cause("FieldValueInvalid", "", "spec.containers");
        assert!(!is_stale(&error(wrong), &guarded), "a mistake of ours stays one");
        assert!(!is_stale(&error(Status::forbidden(&kinds::POD, "web-a", "no")), &guarded));
    }
}
