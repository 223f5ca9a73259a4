//! Quotas: when to count again what a namespace uses.
//!
//! The server counts: creates add to `status.used` in their own transaction, and every write of a
//! quota's status is a count of what is there (`apiserver/src/registry/quota`). This controller
//! says when something may have gone. It asks at most once a second for each quota, however much
//! goes.

use std::sync::Arc;

use everynode_api::kinds::{self, Kind};
use everynode_api::meta::Key;
use everynode_api::ports::PatchType;
use everynode_api::reconcile::{Action, Plan, Reconciler};
use everynode_api::view::{Change, Item, Object, View};
use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use crate::common::{same_uid, target};

/// Between two counts of one quota: a namespace may lose thousands of pods at once.
const PAUSE: SignedDuration = SignedDuration::from_secs(1);

/// One key per ResourceQuota.
#[derive(Clone, Copy, Debug, Default)]
pub struct Quotas;

/// A quota that may use less than it says.
#[derive(Debug)]
pub struct QuotaInput {
    quota: Arc<Object>,
}

/// When the quota was last counted on our request.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct QuotaMemory {
    asked_at: Option<Timestamp>,
}

/// A count waits.
#[derive(Clone, Debug, PartialEq)]
pub enum QuotaNote {
    CountedLately { quota: Key },
}

impl std::fmt::Display for QuotaNote {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            QuotaNote::CountedLately { quota } => write!(f, "quota {quota} was counted within the last second"),
        }
    }
}

impl Reconciler for Quotas {
    type Input = QuotaInput;
    type Memory = QuotaMemory;
    type Note = QuotaNote;

    fn name(&self) -> &'static str {
        "resourcequota-controller"
    }

    fn watches(&self) -> Vec<Kind> {
        vec![kinds::RESOURCE_QUOTA, kinds::POD]
    }

    fn follows_served(&self) -> bool {
        true
    }

    fn wake(&self, view: &View, change: &Change) -> Vec<Key> {
        let is_new = change.old.is_none() && change.kind == kinds::RESOURCE_QUOTA;
        match () {
            () if is_new => vec![change.key.clone()],
            () if has_left(change) => {
                let quotas = view.objects_in(&kinds::RESOURCE_QUOTA, &change.key.namespace);
                quotas.map(|quota| quota.meta.key()).collect()
            }
            () => Vec::new(),
        }
    }

    fn all(&self, view: &View) -> Vec<Key> {
        view.objects(&kinds::RESOURCE_QUOTA).map(|quota| quota.meta.key()).collect()
    }

    fn gather(&self, view: &View, key: &Key) -> Option<QuotaInput> {
        Some(QuotaInput { quota: view.object(&kinds::RESOURCE_QUOTA, key)?.clone() })
    }

    fn plan(&self, seen: &QuotaInput, memory: &QuotaMemory, now: Timestamp) -> Plan<QuotaNote, QuotaMemory> {
        let meta = &seen.quota.meta;
        if meta.is_terminating() {
            return Plan { memory: memory.clone(), ..Plan::default() };
        }
        let next = memory.asked_at.map(|asked| asked + PAUSE).filter(|next| now < *next);
        if next.is_some() {
            let notes = vec![QuotaNote::CountedLately { quota: meta.key() }];
            return Plan { notes, wake_at: next, memory: memory.clone(), ..Plan::default() };
        }
        let count = Action::Patch {
            target: target(&kinds::RESOURCE_QUOTA, meta).subresource("status"),
            patch: PatchType::Merge,
            body: json!({ "status": {} }),
            preconditions: same_uid(meta),
            report: None,
        };
        Plan { actions: vec![count], memory: QuotaMemory { asked_at: Some(now) }, ..Plan::default() }
    }
}

/// Whether an object does not count any more: it is gone, or its pod has ended.
fn has_left(change: &Change) -> bool {
    let has_ended = |item: &Option<Item>| item.as_ref().and_then(Item::pod).is_some_and(|pod| pod.is_terminal());
    match (&change.old, &change.new) {
        (Some(_), None) => true,
        (Some(_), Some(_)) => has_ended(&change.new) && !has_ended(&change.old),
        (None, _) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testkit::{TestBed, at};

    const QUOTA: &str = r#"{"metadata":{"name":"q","namespace":"x","uid":"q1"},"spec":{"hard":{"pods":"3"}}}"#;
    const COUNT: &str = "patch resourcequotas/x/q status";

    fn pod(namespace: &str, phase: &str) -> String {
        format!(r#"{{"metadata":{{"name":"p","namespace":"{namespace}","uid":"p1"}},"status":{{"phase":"{phase}"}}}}"#)
    }

    #[test]
    fn a_quota_is_counted_when_something_left_its_namespace() {
        let mut bed = TestBed::new(Quotas);
        assert_eq!(bed.woken(&kinds::RESOURCE_QUOTA, QUOTA), ["x/q"]);
        assert!(bed.woken(&kinds::RESOURCE_QUOTA, QUOTA).is_empty(), "counts change nothing that is to be counted");
        assert!(bed.woken(&kinds::POD, &pod("x", "Running")).is_empty(), "the server added it");
        assert_eq!(bed.woken(&kinds::POD, &pod("x", "Succeeded")), ["x/q"]);
        assert!(bed.woken(&kinds::POD, &pod("x", "Succeeded")).is_empty());
        bed.put(&kinds::POD, &pod("y", "Running"));
        assert!(bed.woken(&kinds::POD, &pod("y", "Failed")).is_empty(), "there is no quota");
    }

    #[test]
    fn counts_have_a_second_between_them() {
        let mut bed = TestBed::new(Quotas);
        bed.put(&kinds::RESOURCE_QUOTA, QUOTA);
        assert_eq!(bed.run("x/q", at(0)), [COUNT]);
        assert!(bed.run("x/q", at(0)).is_empty());
        assert_eq!(bed.run("x/q", at(1)), [COUNT]);
        bed.remove(&kinds::RESOURCE_QUOTA, "x/q");
        assert_eq!(bed.run("x/q", at(2)), ["forget"]);
    }
}
