//! Garbage collection: dependents follow their owners (DS-C80 to DS-C84).
//!
//! One key per owner uid. An owner counts as absent only when it surely is: it was here and is
//! gone (uids never come back), or everything of its kind is known up to the revision of the
//! dependent that names it. A stale view therefore never collects a live owner's dependents.

use std::collections::BTreeSet;

use everynode_api::kinds::Kind;
use everynode_api::meta::{Key, Meta, OwnerReference};
use everynode_api::ports::{PatchType, Propagation};
use everynode_api::reconcile::{Action, Plan, Reconciler};
use everynode_api::view::{Change, View};
use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use crate::common::{same_uid, target, unchanged};

const FOREGROUND: &str = "foregroundDeletion";
const ORPHAN: &str = "orphan";

/// The garbage collector.
#[derive(Clone, Debug)]
pub struct Garbage {
    /// Every kind that is served and can be deleted, by discovery.
    pub kinds: Vec<Kind>,
}

/// What is known of one owner.
#[derive(Debug, PartialEq)]
enum Owner {
    Present(Kind, Box<Meta>),
    Absent,
    /// Not here, but the view may be too old to be sure.
    Unsure,
}

/// An owner and those that name it.
#[derive(Debug)]
pub struct Seen {
    uid: Box<str>,
    owner: Owner,
    dependents: Vec<Dependent>,
}

#[derive(Debug)]
struct Dependent {
    kind: Kind,
    meta: Meta,
    /// Uids of its other owners that are here and stay.
    other_owners: BTreeSet<Box<str>>,
    /// Some other owner may be here, the view is too old to be sure.
    unsure: bool,
    has_dependents: bool,
}

/// What the collector waits for.
#[derive(Clone, Debug, PartialEq)]
pub enum Note {
    Unsure { uid: Box<str> },
    Blocked { owner: Key, dependents: usize },
}

impl std::fmt::Display for Note {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Note::Unsure { uid } => write!(f, "owner {uid} is not known yet; nothing is collected"),
            Note::Blocked { owner, dependents } => write!(f, "{owner} waits for {dependents} dependents to end"),
        }
    }
}

impl Reconciler for Garbage {
    type Seen = Seen;
    type Memory = ();
    type Note = Note;

    fn name(&self) -> &'static str {
        "garbage-collector"
    }

    fn watches(&self) -> Vec<Kind> {
        self.kinds.clone()
    }

    fn wake(&self, view: &View, change: &Change) -> Vec<Key> {
        let items = [&change.old, &change.new];
        let metas = items.into_iter().flatten().map(everynode_api::view::Item::meta);
        let mut uids: BTreeSet<&str> = BTreeSet::new();
        for meta in metas {
            let collected = meta.is_terminating() || view.by_uid(&meta.uid).is_none();
            uids.extend(collected.then_some(meta.uid.as_ref()));
            // A live owner's key needs no look unless the owner itself is on its way out.
            let owners = meta.owner_references.iter().map(|owner| owner.uid.as_ref());
            uids.extend(owners.filter(|uid| is_going(view, uid)));
        }
        uids.into_iter().map(Key::cluster).collect()
    }

    fn all(&self, view: &View) -> Vec<Key> {
        view.owner_uids().filter(|uid| is_going(view, uid)).map(Key::cluster).collect()
    }

    fn see(&self, view: &View, key: &Key) -> Option<Seen> {
        let uid = key.name.as_ref();
        let dependents: Vec<Dependent> =
            view.dependents(uid).filter_map(|(kind, key)| self.dependent(view, uid, kind, key)).collect();
        let owner = match view.by_uid(uid) {
            Some((kind, key)) => Owner::Present(kind.clone(), Box::new(view.meta(kind, key)?.clone())),
            None if dependents.is_empty() => return None,
            None if dependents.iter().all(|one| surely_absent(view, &self.kinds, &one.meta, uid)) => Owner::Absent,
            None => Owner::Unsure,
        };
        Some(Seen { uid: uid.into(), owner, dependents })
    }

    fn plan(&self, seen: &Seen, _memory: &(), now: Timestamp) -> Plan<Note, ()> {
        match &seen.owner {
            Owner::Present(kind, meta) if meta.is_terminating() => end_owner(kind, meta, seen),
            Owner::Present(..) => Plan::default(),
            Owner::Absent => Plan {
                actions: seen.dependents.iter().filter_map(|one| one.release(&seen.uid)).collect(),
                ..Plan::default()
            },
            Owner::Unsure => {
                let wake_at = Some(now + SignedDuration::from_secs(1));
                Plan { notes: vec![Note::Unsure { uid: seen.uid.clone() }], wake_at, ..Plan::default() }
            }
        }
    }
}

impl Garbage {
    fn dependent(&self, view: &View, owner: &str, kind: &Kind, key: &Key) -> Option<Dependent> {
        let meta = view.meta(kind, key)?.clone();
        let others = || meta.owner_references.iter().filter(|reference| reference.uid.as_ref() != owner);
        let other_owners = others().filter(|other| stays(view, &other.uid)).map(|other| other.uid.clone()).collect();
        let unsure = others()
            .any(|other| view.by_uid(&other.uid).is_none() && !surely_absent(view, &self.kinds, &meta, &other.uid));
        let has_dependents = view.dependents(&meta.uid).next().is_some();
        Some(Dependent { kind: kind.clone(), meta, other_owners, unsure, has_dependents })
    }
}

fn is_going(view: &View, uid: &str) -> bool {
    !stays(view, uid)
}

/// The owner is here and is not being deleted with its dependents.
fn stays(view: &View, uid: &str) -> bool {
    let meta = view.by_uid(uid).and_then(|(kind, key)| view.meta(kind, key));
    meta.is_some_and(|meta| !meta.is_terminating())
}

/// DS-C84, without a live read: see the module's documentation.
fn surely_absent(view: &View, kinds: &[Kind], dependent: &Meta, uid: &str) -> bool {
    if view.is_gone(uid) {
        return true;
    }
    let reference = dependent.owner_references.iter().find(|reference| reference.uid.as_ref() == uid);
    let kind = reference.and_then(|reference| kind_of(kinds, reference));
    kind.is_some_and(|kind| view.seen_revision(kind) >= dependent.resource_version.max(1))
}

fn kind_of<'a>(kinds: &'a [Kind], reference: &OwnerReference) -> Option<&'a Kind> {
    kinds
        .iter()
        .find(|kind| kind.kind == reference.kind.as_ref() && kind.api_version() == reference.api_version.as_ref())
}

fn has_finalizer(meta: &Meta, name: &str) -> bool {
    meta.finalizers.iter().any(|finalizer| finalizer.as_ref() == name)
}

/// A terminating owner: orphan its dependents, or delete them before it (DS-C81, DS-C82).
fn end_owner(kind: &Kind, meta: &Meta, seen: &Seen) -> Plan<Note, ()> {
    let orphan = has_finalizer(meta, ORPHAN);
    if !orphan && !has_finalizer(meta, FOREGROUND) {
        return Plan::default();
    }
    let blocks = |one: &&Dependent| orphan || one.blocks(&seen.uid);
    let blocking = seen.dependents.iter().filter(blocks).count();
    let mut actions: Vec<Action> = match orphan {
        true => seen.dependents.iter().map(|one| one.without_owner(&seen.uid)).collect(),
        false => seen.dependents.iter().filter_map(|one| one.release(&seen.uid)).collect(),
    };
    if blocking == 0 {
        actions.push(drop_finalizer(kind, meta, if orphan { ORPHAN } else { FOREGROUND }));
        return Plan { actions, ..Plan::default() };
    }
    Plan { actions, notes: vec![Note::Blocked { owner: meta.key(), dependents: blocking }], ..Plan::default() }
}

fn drop_finalizer(kind: &Kind, meta: &Meta, name: &str) -> Action {
    let rest: Vec<_> = meta.finalizers.iter().filter(|finalizer| finalizer.as_ref() != name).collect();
    Action::Patch {
        target: target(kind, meta),
        patch: PatchType::Merge,
        body: json!({ "metadata": { "finalizers": rest } }),
        preconditions: unchanged(meta),
        report: None,
    }
}

impl Dependent {
    fn blocks(&self, owner: &str) -> bool {
        let named = self.meta.owner_references.iter().find(|reference| reference.uid.as_ref() == owner);
        named.is_some_and(|reference| reference.block_owner_deletion == Some(true)) && self.other_owners.is_empty()
    }

    /// Deletes the dependent, or, where it has other owners, only takes this one off it.
    fn release(&self, owner: &str) -> Option<Action> {
        if self.unsure {
            return None;
        }
        if !self.other_owners.is_empty() {
            return Some(self.without_owner(owner));
        }
        if self.meta.is_terminating() {
            return None;
        }
        Some(Action::Delete {
            target: target(&self.kind, &self.meta),
            preconditions: same_uid(&self.meta),
            grace_period_seconds: None,
            propagation: Some(if self.has_dependents { Propagation::Foreground } else { Propagation::Background }),
            report: None,
        })
    }

    fn without_owner(&self, owner: &str) -> Action {
        let rest: Vec<_> =
            self.meta.owner_references.iter().filter(|reference| reference.uid.as_ref() != owner).collect();
        let rest = if rest.is_empty() { json!(null) } else { json!(rest) };
        Action::Patch {
            target: target(&self.kind, &self.meta),
            patch: PatchType::Merge,
            body: json!({ "metadata": { "ownerReferences": rest } }),
            preconditions: unchanged(&self.meta),
            report: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testkit::{Bed, at};
    use everynode_api::kinds;

    fn bed() -> Bed<Garbage> {
        Bed::new(Garbage { kinds: vec![kinds::POD, kinds::DAEMON_SET] })
    }

    fn set(extra: &str) -> String {
        format!(r#"{{"metadata":{{"name":"web","namespace":"x","uid":"s1","resourceVersion":"5"{extra}}}}}"#)
    }

    fn pod(extra_owner: &str) -> String {
        format!(
            r#"{{"metadata":{{"name":"p","namespace":"x","uid":"p1","resourceVersion":"6","ownerReferences":[
            {{"apiVersion":"apps/v1","kind":"DaemonSet","name":"web","uid":"s1","controller":true,"blockOwnerDeletion":true}}{extra_owner}]}}}}"#
        )
    }

    #[test]
    fn dependents_of_a_gone_owner_are_deleted() {
        // DS-C80
        let mut bed = bed();
        bed.put(&kinds::DAEMON_SET, &set(""));
        bed.put(&kinds::POD, &pod(""));
        assert!(bed.run("s1", at(0)).is_empty());
        bed.remove(&kinds::DAEMON_SET, "x/web");
        assert_eq!(bed.run("s1", at(0)), ["delete pods/x/p"]);
        bed.remove(&kinds::POD, "x/p");
        assert_eq!(bed.run("s1", at(0)), ["forget"]);
    }

    #[test]
    fn an_owner_that_the_view_may_not_know_yet_is_not_absent() {
        // DS-C84
        let mut bed = bed();
        bed.put(&kinds::POD, &pod(""));
        assert!(bed.run("s1", at(0)).is_empty());
        assert_eq!(bed.wake_at(), Some(at(1)));
        bed.view.observe_revision(&kinds::DAEMON_SET, 6);
        assert_eq!(bed.run("s1", at(1)), ["delete pods/x/p"]);
    }

    #[test]
    fn foreground_waits_for_blocking_dependents() {
        // DS-C81
        let mut bed = bed();
        let ending = r#","deletionTimestamp":"2026-01-01T00:00:00Z","finalizers":["foregroundDeletion"]"#;
        bed.put(&kinds::DAEMON_SET, &set(ending));
        bed.put(&kinds::POD, &pod(""));
        assert_eq!(bed.run("s1", at(0)), ["delete pods/x/p"]);
        assert_eq!(bed.notes(), ["x/web waits for 1 dependents to end"]);
        bed.remove(&kinds::POD, "x/p");
        assert_eq!(bed.run("s1", at(0)), ["patch daemonsets/x/web"]);
        assert_eq!(bed.last_body(0), r#"{"metadata":{"finalizers":[]}}"#);
    }

    #[test]
    fn orphan_takes_the_reference_off_first() {
        // DS-C82
        let mut bed = bed();
        bed.put(&kinds::DAEMON_SET, &set(r#","deletionTimestamp":"2026-01-01T00:00:00Z","finalizers":["orphan"]"#));
        bed.put(&kinds::POD, &pod(""));
        assert_eq!(bed.run("s1", at(0)), ["patch pods/x/p"]);
        assert_eq!(bed.last_body(0), r#"{"metadata":{"ownerReferences":null}}"#);
        bed.put(&kinds::POD, r#"{"metadata":{"name":"p","namespace":"x","uid":"p1","resourceVersion":"9"}}"#);
        assert_eq!(bed.run("s1", at(0)), ["patch daemonsets/x/web"]);
    }

    #[test]
    fn a_second_owner_keeps_the_dependent() {
        let mut bed = bed();
        bed.put(&kinds::DAEMON_SET, r#"{"metadata":{"name":"two","namespace":"x","uid":"s2"}}"#);
        bed.put(&kinds::DAEMON_SET, &set(""));
        bed.put(&kinds::POD, &pod(r#",{"apiVersion":"apps/v1","kind":"DaemonSet","name":"two","uid":"s2"}"#));
        bed.remove(&kinds::DAEMON_SET, "x/web");
        assert_eq!(bed.run("s1", at(0)), ["patch pods/x/p"]);
        assert!(bed.last_body(0).contains("s2") && !bed.last_body(0).contains("s1"));
    }

    #[test]
    fn an_unserved_owner_kind_is_never_absent() {
        let mut bed = bed();
        bed.put(
            &kinds::POD,
            r#"{"metadata":{"name":"p","namespace":"x","uid":"p1","ownerReferences":[{"apiVersion":"batch/v1","kind":"Job","uid":"j"}]}}"#,
        );
        assert!(bed.run("j", at(0)).is_empty());
    }
}
