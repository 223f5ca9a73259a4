//! Protection of storage that is in use: a claim that is deleted ends when no pod uses it, a volume
//! when no claim is bound to it. Until then the finalizer that the server gave them holds them.
//!
//! Pods are seen by whether they have claims, not by which: any pod with claims holds all claims of
//! its namespace. That may hold one longer than needed, and lets none go too early.

use std::sync::Arc;

use everynode_api::kinds::{self, Kind};
use everynode_api::meta::Key;
use everynode_api::ports::PatchType;
use everynode_api::reconcile::{Action, Plan, Reconciler};
use everynode_api::view::{Change, Object, View};
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::common::{target, unchanged};

/// The two kinds, and the finalizer of each.
const PROTECTED: [(&Kind, &str); 2] = [
    (&kinds::PERSISTENT_VOLUME_CLAIM, "kubernetes.io/pvc-protection"),
    (&kinds::PERSISTENT_VOLUME, "kubernetes.io/pv-protection"),
];

/// One key per claim (with its namespace) or volume (without).
#[derive(Clone, Copy, Debug, Default)]
pub struct Protection;

/// A claim or volume, and whether it is used.
#[derive(Debug)]
pub struct ProtectionInput {
    kind: &'static Kind,
    finalizer: &'static str,
    object: Arc<Object>,
    is_used: bool,
}

/// Why something that is deleted is still there.
#[derive(Clone, Debug, PartialEq)]
pub enum ProtectionNote {
    InUse { key: Key },
}

impl std::fmt::Display for ProtectionNote {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            ProtectionNote::InUse { key } => write!(f, "{key} is in use"),
        }
    }
}

impl Reconciler for Protection {
    type Input = ProtectionInput;
    type Memory = ();
    type Note = ProtectionNote;

    fn name(&self) -> &'static str {
        "storage-protection-controller"
    }

    fn watches(&self) -> Vec<Kind> {
        vec![kinds::PERSISTENT_VOLUME_CLAIM, kinds::PERSISTENT_VOLUME, kinds::POD]
    }

    fn wake(&self, view: &View, change: &Change) -> Vec<Key> {
        if PROTECTED.iter().any(|(kind, _)| change.kind == **kind) {
            return vec![change.key.clone()];
        }
        let used = change.old.as_ref().and_then(|item| item.pod()).is_some_and(|pod| pod.spec.volume_claims > 0);
        match used {
            true => {
                let claims = view.objects_in(&kinds::PERSISTENT_VOLUME_CLAIM, &change.key.namespace);
                claims.filter(|claim| claim.meta.is_terminating()).map(|claim| claim.meta.key()).collect()
            }
            false => Vec::new(),
        }
    }

    fn all(&self, view: &View) -> Vec<Key> {
        let ending = |kind| view.objects(kind).filter(|object| object.meta.is_terminating());
        PROTECTED.iter().flat_map(|(kind, _)| ending(kind)).map(|object| object.meta.key()).collect()
    }

    fn gather(&self, view: &View, key: &Key) -> Option<ProtectionInput> {
        let is_claim = !key.namespace.is_empty();
        let (kind, finalizer) = PROTECTED[usize::from(!is_claim)];
        let object = view.object(kind, key)?.clone();
        let is_used = match is_claim {
            true => {
                let mut pods = view.pods().in_namespace(&key.namespace);
                pods.any(|pod| pod.spec.volume_claims > 0 && !pod.is_terminal())
            }
            false => object.at(&["status", "phase"]) == "Bound",
        };
        Some(ProtectionInput { kind, finalizer, object, is_used })
    }

    fn plan(&self, seen: &ProtectionInput, _memory: &(), _now: Timestamp) -> Plan<ProtectionNote, ()> {
        let meta = &seen.object.meta;
        let finalizers = seen.object.at(&["metadata", "finalizers"]).as_array();
        let mut left: Vec<&Value> = finalizers.into_iter().flatten().collect();
        let held = left.len();
        left.retain(|finalizer| **finalizer != seen.finalizer);
        if !meta.is_terminating() || left.len() == held {
            return Plan::default();
        }
        if seen.is_used {
            return Plan { notes: vec![ProtectionNote::InUse { key: meta.key() }], ..Plan::default() };
        }
        let release = Action::Patch {
            target: target(seen.kind, meta),
            patch: PatchType::Merge,
            body: json!({"metadata": {"finalizers": left}}),
            preconditions: unchanged(meta),
            report: None,
        };
        Plan { actions: vec![release], ..Plan::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testkit::{TestBed, at};

    fn claim(ends: bool) -> String {
        let mut claim = json!({"metadata": {"name": "c", "namespace": "x", "uid": "c1",
            "finalizers": ["kubernetes.io/pvc-protection", "a/b"]}});
        if ends {
            claim["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z".into();
        }
        claim.to_string()
    }

    fn pod(phase: &str) -> String {
        let volumes = json!([{"name": "v", "persistentVolumeClaim": {"claimName": "c"}}]);
        json!({"metadata": {"name": "p", "namespace": "x", "uid": "p1"}, "spec": {"volumes": volumes},
               "status": {"phase": phase}})
        .to_string()
    }

    #[test]
    fn a_claim_ends_when_no_pod_uses_it() {
        let mut bed = TestBed::new(Protection);
        bed.put(&kinds::PERSISTENT_VOLUME_CLAIM, &claim(false));
        bed.put(&kinds::POD, &pod("Running"));
        assert!(bed.run("x/c", at(0)).is_empty());
        assert_eq!(bed.woken(&kinds::PERSISTENT_VOLUME_CLAIM, &claim(true)), ["x/c"]);
        assert!(bed.run("x/c", at(0)).is_empty());
        assert_eq!(bed.notes(), ["x/c is in use"]);
        assert_eq!(bed.woken(&kinds::POD, &pod("Succeeded")), ["x/c"]);
        assert_eq!(bed.run("x/c", at(0)), ["patch persistentvolumeclaims/x/c"]);
        assert_eq!(bed.last_body(0), r#"{"metadata":{"finalizers":["a/b"]}}"#);
    }

    #[test]
    fn a_volume_ends_when_no_claim_is_bound_to_it() {
        let volume = |phase: &str| {
            json!({"metadata": {"name": "v", "uid": "v1", "finalizers": ["kubernetes.io/pv-protection"],
                "deletionTimestamp": "2026-01-01T00:00:00Z"}, "status": {"phase": phase}})
            .to_string()
        };
        let mut bed = TestBed::new(Protection);
        bed.put(&kinds::PERSISTENT_VOLUME, &volume("Bound"));
        assert!(bed.run("v", at(0)).is_empty());
        bed.put(&kinds::PERSISTENT_VOLUME, &volume("Released"));
        assert_eq!(bed.run("v", at(0)), ["patch persistentvolumes/v"]);
    }
}
