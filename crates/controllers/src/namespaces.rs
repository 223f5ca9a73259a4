//! Namespace deletion: a terminating namespace is emptied, then finalized (DS-I26).
//!
//! Its content is everything of every kind that discovery finds. It ends only when no kind can be
//! hidden: the kinds were asked for after its deletion, each is known up to then, and no part of
//! discovery has failed. What is left, and why, is told in its conditions.

use std::collections::BTreeMap;
use std::sync::Arc;

use everynode_api::kinds::{self, Kind};
use everynode_api::meta::{Key, Meta};
use everynode_api::ports::PatchType;
use everynode_api::reconcile::{Action, Plan, Reconciler, StatusWrite};
use everynode_api::view::{Change, Object, View};
use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use crate::common::{same_uid, target, unchanged};
use crate::namespace_conditions::{Left, conditions};

/// Conditions are written so often at most; what is gone sooner is not told of.
const TELL_EVERY: SignedDuration = SignedDuration::from_secs(1);
/// What is not even terminating so long after its deletion was asked for is told of as a failure.
const REFUSED_AFTER: SignedDuration = SignedDuration::from_secs(15);

/// The namespace controller. One key per namespace.
#[derive(Clone, Copy, Debug, Default)]
pub struct Namespaces;

/// A terminating namespace and what is left in it.
#[derive(Debug)]
pub struct NamespaceInput {
    namespace: Arc<Object>,
    content: Vec<(Kind, Meta)>,
    /// Up to where each kind is known, and in the end, up to where the kinds are.
    known: Vec<u64>,
    /// Parts of discovery that could not be read, and why.
    failed: BTreeMap<String, String>,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct NamespaceMemory {
    /// The revision at which the namespace was first seen terminating: nothing is created in it any
    /// more.
    since: Option<u64>,
    /// When its conditions were written, or might have been.
    told: Option<Timestamp>,
    /// By uid, when the deletion of what is not terminating was first asked for.
    asked: BTreeMap<Arc<str>, Timestamp>,
}

/// What a terminating namespace waits for.
#[derive(Clone, Debug, PartialEq)]
pub enum NamespaceNote {
    Remaining { namespace: Box<str>, objects: usize },
    CatchingUp { namespace: Box<str>, kinds: usize },
    Undiscovered { namespace: Box<str>, parts: usize },
}

impl std::fmt::Display for NamespaceNote {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            NamespaceNote::Remaining { namespace, objects } => {
                write!(f, "namespace {namespace} waits for {objects} objects to end")
            }
            NamespaceNote::CatchingUp { namespace, kinds } => {
                write!(f, "namespace {namespace} waits until {kinds} kinds are known up to its deletion")
            }
            NamespaceNote::Undiscovered { namespace, parts } => {
                write!(f, "namespace {namespace} waits until {parts} parts of discovery can be read")
            }
        }
    }
}

impl Reconciler for Namespaces {
    type Input = NamespaceInput;
    type Memory = NamespaceMemory;
    type Note = NamespaceNote;

    fn name(&self) -> &'static str {
        "namespace-controller"
    }

    fn watches(&self) -> Vec<Kind> {
        vec![kinds::NAMESPACE]
    }

    fn follows_served(&self) -> bool {
        true
    }

    fn wake(&self, view: &View, change: &Change) -> Vec<Key> {
        if change.kind == kinds::NAMESPACE {
            return vec![change.key.clone()];
        }
        let key = Key::cluster(&change.key.namespace);
        let ending = view.object(&kinds::NAMESPACE, &key).is_some_and(|namespace| namespace.meta.is_terminating());
        if ending { vec![key] } else { Vec::new() }
    }

    fn all(&self, view: &View) -> Vec<Key> {
        let namespaces = view.objects(&kinds::NAMESPACE);
        namespaces.filter(|namespace| namespace.meta.is_terminating()).map(|namespace| namespace.meta.key()).collect()
    }

    fn gather(&self, view: &View, key: &Key) -> Option<NamespaceInput> {
        let namespace = view.object(&kinds::NAMESPACE, key)?;
        if !namespace.meta.is_terminating() {
            return None;
        }
        let served = view.served();
        let namespaced = || served.kinds.iter().filter(|kind| kind.namespaced);
        let content = namespaced().flat_map(|kind| inside(view, kind, &key.name)).collect();
        let known = namespaced().map(|kind| view.seen_revision(kind)).chain([served.as_of]).collect();
        Some(NamespaceInput { namespace: namespace.clone(), content, known, failed: served.failed.clone() })
    }

    fn plan(
        &self,
        seen: &NamespaceInput,
        memory: &NamespaceMemory,
        now: Timestamp,
    ) -> Plan<NamespaceNote, NamespaceMemory> {
        let since = memory.since.unwrap_or(seen.namespace.meta.resource_version);
        let has_pods = seen.content.iter().any(|(kind, _)| *kind == kinds::POD);
        // Pods go first: what they use, and what guards them, stays until they are gone.
        let is_due = |kind: &Kind| !has_pods || *kind == kinds::POD;
        let staying = || seen.content.iter().filter(|(kind, meta)| is_due(kind) && !meta.is_terminating());
        let asked_at = |meta: &Meta| memory.asked.get(&meta.uid).copied().unwrap_or(now);
        let asked = staying().map(|(_, meta)| (meta.uid.clone(), asked_at(meta))).collect();
        let memory = NamespaceMemory { since: Some(since), asked, ..memory.clone() };
        match seen.waits_for(since) {
            Some(note) => {
                let mut plan = Plan { actions: staying().map(delete).collect(), notes: vec![note], ..Plan::default() };
                plan.wake_at = seen.content.is_empty().then_some(now + TELL_EVERY);
                plan.memory = memory;
                tell(seen, now, &mut plan);
                plan
            }
            None => Plan { actions: finalize(&seen.namespace).into_iter().collect(), memory, ..Plan::default() },
        }
    }
}

impl NamespaceInput {
    fn waits_for(&self, since: u64) -> Option<NamespaceNote> {
        let namespace: Box<str> = self.namespace.meta.name.as_ref().into();
        let behind = self.known.iter().filter(|known| **known < since).count();
        match () {
            () if !self.content.is_empty() => Some(NamespaceNote::Remaining { namespace, objects: self.content.len() }),
            () if behind > 0 => Some(NamespaceNote::CatchingUp { namespace, kinds: behind }),
            () if !self.failed.is_empty() => Some(NamespaceNote::Undiscovered { namespace, parts: self.failed.len() }),
            () => None,
        }
    }
}

/// Puts the conditions into the plan, once in a while.
fn tell(seen: &NamespaceInput, now: Timestamp, plan: &mut Plan<NamespaceNote, NamespaceMemory>) {
    let due = *plan.memory.told.get_or_insert(now) + TELL_EVERY;
    let asked = &plan.memory.asked;
    let is_refused = |meta: &Meta| asked.get(&meta.uid).is_some_and(|at| *at + REFUSED_AFTER <= now);
    let refused = seen.content.iter().filter(|(_, meta)| is_refused(meta)).collect();
    let left = Left { content: &seen.content, refused, failed: &seen.failed };
    let mut status = seen.namespace.at(&["status"]).clone();
    // What is asked for and does not begin is noticed although nothing happens.
    let notice = asked.values().map(|at| *at + REFUSED_AFTER).filter(|at| *at > now).min();
    let Some(conditions) = conditions(&left, &status["conditions"], now) else {
        plan.wake_at = [plan.wake_at, notice].into_iter().flatten().min();
        return;
    };
    if now < due {
        plan.wake_at = [plan.wake_at, Some(due)].into_iter().flatten().min();
        return;
    }
    plan.memory.told = Some(now);
    plan.wake_at = [plan.wake_at, notice].into_iter().flatten().min();
    if !status.is_object() {
        status = json!({"phase": "Terminating"});
    }
    status["conditions"] = conditions;
    plan.status = Some(StatusWrite {
        target: target(&kinds::NAMESPACE, &seen.namespace.meta).subresource("status"),
        status,
        preconditions: unchanged(&seen.namespace.meta),
    });
}

fn inside(view: &View, kind: &Kind, namespace: &str) -> Vec<(Kind, Meta)> {
    let metas: Vec<Meta> = match () {
        () if *kind == kinds::POD => view.pods().in_namespace(namespace).map(|pod| pod.meta.clone()).collect(),
        () if *kind == kinds::DAEMON_SET => view.daemon_sets_in(namespace).map(|set| set.meta.clone()).collect(),
        () if *kind == kinds::CONTROLLER_REVISION => view.revisions_in(namespace).map(|one| one.meta.clone()).collect(),
        () => view.objects_in(kind, namespace).map(|object| object.meta.clone()).collect(),
    };
    metas.into_iter().map(|meta| (kind.clone(), meta)).collect()
}

fn delete((kind, meta): &(Kind, Meta)) -> Action {
    Action::Delete {
        target: target(kind, meta),
        preconditions: same_uid(meta),
        grace_period_seconds: None,
        propagation: None,
        report: None,
    }
}

/// Drops the finalizer `kubernetes`; the server removes the namespace with its last finalizer.
fn finalize(namespace: &Object) -> Option<Action> {
    let finalizers = namespace.at(&["spec", "finalizers"]).as_array()?;
    let others: Vec<_> = finalizers.iter().filter(|name| name.as_str() != Some("kubernetes")).collect();
    if others.len() == finalizers.len() {
        return None;
    }
    Some(Action::Patch {
        target: target(&kinds::NAMESPACE, &namespace.meta).subresource("finalize"),
        patch: PatchType::Merge,
        body: json!({ "spec": { "finalizers": others } }),
        preconditions: unchanged(&namespace.meta),
        report: None,
    })
}

#[cfg(test)]
mod tests {
    use everynode_api::view::{Item, Served};
    use serde_json::Value;

    use super::*;
    use crate::testkit::{TestBed, at};

    const TERMINATING: &str = r#"{"metadata":{"name":"x","resourceVersion":"7","deletionTimestamp":"2026-01-01T00:00:00Z"},
        "spec":{"finalizers":["kubernetes"]},"status":{"phase":"Terminating"}}"#;

    fn bed() -> TestBed<Namespaces> {
        let mut bed = TestBed::new(Namespaces);
        bed.view.set_served(Served::always([kinds::POD, kinds::CONFIG_MAP, kinds::NODE]));
        bed
    }

    #[test]
    fn a_namespace_is_emptied_before_it_ends() {
        // DS-I26
        let mut bed = bed();
        bed.put(&kinds::NAMESPACE, r#"{"metadata":{"name":"x"},"spec":{"finalizers":["kubernetes"]}}"#);
        assert_eq!(bed.run("x", at(0)), ["forget"]);
        bed.put(&kinds::NAMESPACE, TERMINATING);
        bed.put(&kinds::POD, r#"{"metadata":{"name":"p","namespace":"x","uid":"u","resourceVersion":"3"}}"#);
        bed.put(&kinds::POD, r#"{"metadata":{"name":"q","namespace":"y","uid":"v","resourceVersion":"3"}}"#);
        assert_eq!(bed.run("x", at(0)), ["delete pods/x/p"]);
        bed.remove(&kinds::POD, "x/p");
        assert!(bed.run("x", at(0)).is_empty());
        assert_eq!(bed.notes(), ["namespace x waits until 2 kinds are known up to its deletion"]);
        bed.view.observe_revision(&kinds::POD, 8);
        bed.view.observe_revision(&kinds::CONFIG_MAP, 8);
        assert_eq!(bed.run("x", at(0)), ["patch namespaces/x finalize"]);
    }

    #[test]
    fn pods_go_first_and_the_rest_when_they_are_gone() {
        let mut bed = bed();
        bed.put(&kinds::NAMESPACE, TERMINATING);
        bed.put(&kinds::POD, r#"{"metadata":{"name":"p","namespace":"x","uid":"u"}}"#);
        bed.put(&kinds::CONFIG_MAP, r#"{"metadata":{"name":"c","namespace":"x","uid":"c"}}"#);
        assert_eq!(bed.run("x", at(0)), ["delete pods/x/p"]);
        let ending =
            r#"{"metadata":{"name":"p","namespace":"x","uid":"u","deletionTimestamp":"2026-01-01T00:00:00Z"}}"#;
        bed.put(&kinds::POD, ending);
        assert!(bed.run("x", at(1)).is_empty(), "it has not gone yet");
        bed.remove(&kinds::POD, "x/p");
        assert_eq!(bed.run("x", at(2)), ["delete configmaps/x/c"]);
    }

    #[test]
    fn kinds_that_appear_late_are_emptied_too() {
        // DS-I26
        let widget = Kind { group: "example.com".into(), kind: "Widget".into(), ..kinds::CONFIG_MAP };
        let mut bed = bed();
        bed.put(&kinds::NAMESPACE, TERMINATING);
        bed.serve(&[kinds::POD], 8);
        // The kinds were asked for before the namespace was deleted.
        let before = Served { as_of: 6, ..bed.view.served().clone() };
        bed.view.set_served(before);
        assert!(bed.run("x", at(0)).is_empty());
        bed.view.set_served(Served::always([kinds::POD, widget.clone()]));
        assert!(bed.run("x", at(0)).is_empty(), "the new kind was not listed yet");
        let object = r#"{"metadata":{"name":"w","namespace":"x","uid":"w","resourceVersion":"3"}}"#;
        bed.view.replace(&widget, vec![Item::parse(&widget, object.as_bytes()).unwrap()], 9);
        assert_eq!(bed.run("x", at(0)), ["delete configmaps/x/w"]);
        bed.remove(&widget, "x/w");
        assert_eq!(bed.run("x", at(0)), ["patch namespaces/x finalize"]);
    }

    fn said(bed: &TestBed<Namespaces>) -> Vec<String> {
        let Some(status) = bed.last_status() else { return Vec::new() };
        assert_eq!(status["phase"], "Terminating");
        let conditions = status["conditions"].as_array().unwrap().iter();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let truths = conditions.filter(|condition| condition["status"] == "True");
        truths
            .map(|one| format!("{} {}: {}", text(&one["type"]), text(&one["reason"]), text(&one["message"])))
            .collect()
    }

    #[test]
    fn what_cannot_be_discovered_may_hide_something() {
        let mut bed = bed();
        bed.put(&kinds::NAMESPACE, TERMINATING);
        bed.serve(&[kinds::POD], 8);
        let failed = [("/apis/metrics.k8s.io/v1".to_owned(), "503".to_owned())].into();
        let partly = Served { failed, ..bed.view.served().clone() };
        bed.view.set_served(partly);
        assert!(bed.run("x", at(0)).is_empty());
        assert_eq!(bed.notes(), ["namespace x waits until 1 parts of discovery can be read"]);
        assert!(said(&bed).is_empty() && bed.wake_at() == Some(at(1)));
        bed.run("x", at(1));
        let text = "NamespaceDeletionDiscoveryFailure DiscoveryFailed: Discovery failed for some groups, 1 failing: \
                    metrics.k8s.io/v1: 503";
        assert_eq!(said(&bed), [text]);
        bed.serve(&[kinds::POD], 8);
        assert_eq!(bed.run("x", at(2)), ["patch namespaces/x finalize"]);
    }

    #[test]
    fn conditions_say_what_remains() {
        let mut bed = bed();
        bed.put(&kinds::NAMESPACE, TERMINATING);
        bed.serve(&[kinds::POD, kinds::DAEMON_SET], 8);
        for name in ["p", "q"] {
            bed.put(&kinds::POD, &format!(r#"{{"metadata":{{"name":"{name}","namespace":"x","uid":"{name}"}}}}"#));
        }
        let held = r#"{"metadata":{"name":"d","namespace":"x","uid":"d","deletionTimestamp":"2026-01-01T00:00:00Z",
            "finalizers":["example.com/hold"]}}"#;
        bed.put(&kinds::DAEMON_SET, held);
        assert_eq!(bed.run("x", at(0)), ["delete pods/x/p", "delete pods/x/q"]);
        assert!(said(&bed).is_empty(), "what goes at once is not told of");
        bed.run("x", at(1));
        let remaining = "NamespaceContentRemaining SomeResourcesRemain: Some resources are remaining: daemonsets.apps has \
                         1 resource instances, pods. has 2 resource instances";
        let finalizers = "NamespaceFinalizersRemaining SomeFinalizersRemain: Some content in the namespace has finalizers \
                          remaining: example.com/hold in 1 resource instances";
        assert_eq!(said(&bed), [remaining, finalizers]);
        // Written once; then the pods that stay although they should go are told of.
        let status = bed.last_status().unwrap().to_string();
        let ending = TERMINATING.replace(r#""phase":"Terminating""#, &status[1..status.len() - 1]);
        bed.put(&kinds::NAMESPACE, &ending);
        bed.run("x", at(2));
        assert_eq!((bed.last_status(), bed.wake_at()), (None, Some(at(15))));
        bed.run("x", at(15));
        let failure = "NamespaceDeletionContentFailure ContentDeletionFailed: Failed to delete all resource types, 2 \
                       remaining: deletion was asked for and did not begin: pods p, pods q";
        assert_eq!(said(&bed), [failure, remaining, finalizers]);
    }
}
