//! Namespace deletion: a terminating namespace is emptied, then finalized (DS-I26).

use std::sync::Arc;

use everynode_api::kinds::{self, Kind};
use everynode_api::meta::{Key, Meta};
use everynode_api::ports::PatchType;
use everynode_api::reconcile::{Action, Plan, Reconciler};
use everynode_api::view::{Change, Object, View};
use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use crate::common::{same_uid, target, unchanged};

/// The namespace controller. One key per namespace.
#[derive(Clone, Debug)]
pub struct Namespaces {
    /// Every namespaced kind that is served, by discovery.
    pub kinds: Vec<Kind>,
}

/// A terminating namespace and what is left in it.
#[derive(Debug)]
pub struct Seen {
    namespace: Arc<Object>,
    content: Vec<(Kind, Meta)>,
    /// Kinds of which the view may be older than the namespace's deletion.
    behind: usize,
}

/// What a terminating namespace waits for.
#[derive(Clone, Debug, PartialEq)]
pub enum Note {
    Remaining { namespace: Box<str>, objects: usize },
    CatchingUp { namespace: Box<str>, kinds: usize },
}

impl std::fmt::Display for Note {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Note::Remaining { namespace, objects } => {
                write!(f, "namespace {namespace} waits for {objects} objects to end")
            }
            Note::CatchingUp { namespace, kinds } => {
                write!(f, "namespace {namespace} waits until {kinds} kinds are known up to its deletion")
            }
        }
    }
}

impl Reconciler for Namespaces {
    type Seen = Seen;
    type Memory = ();
    type Note = Note;

    fn name(&self) -> &'static str {
        "namespace-controller"
    }

    fn watches(&self) -> Vec<Kind> {
        self.kinds.iter().filter(|kind| kind.namespaced).cloned().chain([kinds::NAMESPACE]).collect()
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

    fn see(&self, view: &View, key: &Key) -> Option<Seen> {
        let namespace = view.object(&kinds::NAMESPACE, key)?;
        if !namespace.meta.is_terminating() {
            return None;
        }
        let namespaced = || self.kinds.iter().filter(|kind| kind.namespaced && **kind != kinds::EVENTS_EVENT);
        let content = namespaced().flat_map(|kind| inside(view, kind, &key.name)).collect();
        let behind = namespaced().filter(|kind| view.seen_revision(kind) < namespace.meta.resource_version).count();
        Some(Seen { namespace: namespace.clone(), content, behind })
    }

    fn plan(&self, seen: &Seen, _memory: &(), now: Timestamp) -> Plan<Note, ()> {
        let name: Box<str> = seen.namespace.meta.name.as_ref().into();
        if !seen.content.is_empty() {
            let waiting = Note::Remaining { namespace: name, objects: seen.content.len() };
            let actions = seen.content.iter().filter(|(_, meta)| !meta.is_terminating()).map(delete).collect();
            return Plan { actions, notes: vec![waiting], ..Plan::default() };
        }
        if seen.behind > 0 {
            let waiting = Note::CatchingUp { namespace: name, kinds: seen.behind };
            let wake_at = Some(now + SignedDuration::from_secs(1));
            return Plan { notes: vec![waiting], wake_at, ..Plan::default() };
        }
        Plan { actions: finalize(&seen.namespace).into_iter().collect(), ..Plan::default() }
    }
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
    use super::*;
    use crate::testkit::{Bed, at};

    #[test]
    fn a_namespace_is_emptied_before_it_ends() {
        // DS-I26
        let mut bed = Bed::new(Namespaces { kinds: vec![kinds::POD, kinds::CONFIG_MAP, kinds::NODE] });
        bed.put(&kinds::NAMESPACE, r#"{"metadata":{"name":"x"},"spec":{"finalizers":["kubernetes"]}}"#);
        assert_eq!(bed.run("x", at(0)), ["forget"]);
        bed.put(
            &kinds::NAMESPACE,
            r#"{"metadata":{"name":"x","resourceVersion":"7","deletionTimestamp":"2026-01-01T00:00:00Z"},"spec":{"finalizers":["kubernetes"]}}"#,
        );
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
}
