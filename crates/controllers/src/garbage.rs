//! Garbage collection: dependents follow their owners (DS-C80 to DS-C84).
//!
//! Its kinds are those that discovery finds; they come and go. What belongs to a kind that is not
//! known is neither here nor absent: nothing follows from it. An owner that waits for its
//! dependents is let go only when every kind is known up to the owner's deletion, so that a
//! dependent that was not heard of yet is not forgotten.
//!
//! One key per owner uid. An owner counts as absent only when it surely is: it was here and is
//! gone (uids never come back), or everything of its kind is known up to the revision of the
//! dependent that names it. A stale view therefore never collects a live owner's dependents.
//!
//! Owners live in their dependents' namespace or in none. A reference to an owner in another
//! namespace counts as one to an owner that is absent; one from a cluster-scoped object to a
//! namespaced kind can not be resolved, and such an object is never collected. Both are told by an
//! event on the dependent.

use std::collections::BTreeSet;
use std::sync::Arc;

use everynode_api::kinds::Kind;
use everynode_api::meta::{Key, Meta, OwnerReference};
use everynode_api::ports::{PatchType, Propagation};
use everynode_api::reconcile::{Action, Event, EventType, Plan, Reconciler};
use everynode_api::view::{Change, Item, View};
use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use crate::common::{regarding, same_uid, target, unchanged};

const FOREGROUND: &str = "foregroundDeletion";
const ORPHAN: &str = "orphan";

/// The garbage collector.
#[derive(Clone, Copy, Debug, Default)]
pub struct Garbage;

/// A kind that cannot be listed any more holds up foreground deletion for so long. Orphaning waits
/// for it: what it missed would be collected.
const PATIENCE: SignedDuration = SignedDuration::from_secs(30);

/// What is known of one owner.
#[derive(Debug, PartialEq)]
enum Owner {
    Present(Kind, Box<Meta>),
    Absent,
    /// Not here, but the view may be too old to be sure.
    Unsure,
    /// Not here, and of a kind of which nothing is known.
    Unknown,
}

/// An owner and those that name it.
#[derive(Debug)]
pub struct GarbageInput {
    uid: Box<str>,
    owner: Owner,
    dependents: Vec<Dependent>,
    /// All kinds that are served are known up to here.
    known_up_to: u64,
}

#[derive(Debug)]
struct Dependent {
    kind: Kind,
    meta: Meta,
    link: Link,
    /// Uids of its other owners that are here and stay.
    other_owners: BTreeSet<Box<str>>,
    /// Some other owner may be here, the view is too old to be sure.
    unsure: bool,
    has_dependents: bool,
    /// The owner is, over some others, a dependent of its dependent: neither could ever go first.
    in_circle: bool,
}

/// What a reference to an owner is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Link {
    Sound,
    /// The owner is in another namespace: for this dependent it does not exist.
    Elsewhere,
    /// A cluster-scoped object names an owner of a namespaced kind.
    Unresolvable,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct GarbageMemory {
    /// Dependents whose unsound references have been told.
    told: BTreeSet<Arc<str>>,
    /// At which revision, and when, the owner was first seen to wait for its dependents.
    ending: Option<(u64, Timestamp)>,
}

/// What the collector waits for.
#[derive(Clone, Debug, PartialEq)]
pub enum GarbageNote {
    Unsure { uid: Box<str> },
    Unknown { uid: Box<str> },
    CatchingUp { owner: Key },
    Blocked { owner: Key, dependents: usize },
}

impl std::fmt::Display for GarbageNote {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            GarbageNote::Unsure { uid } => write!(f, "owner {uid} is not known yet; nothing is collected"),
            GarbageNote::Unknown { uid } => {
                write!(f, "owner {uid} is of a kind that is not served; nothing is collected")
            }
            GarbageNote::CatchingUp { owner } => {
                write!(f, "{owner} waits until every kind is known up to its deletion")
            }
            GarbageNote::Blocked { owner, dependents } => write!(f, "{owner} waits for {dependents} dependents to end"),
        }
    }
}

impl Reconciler for Garbage {
    type Input = GarbageInput;
    type Memory = GarbageMemory;
    type Note = GarbageNote;

    fn name(&self) -> &'static str {
        "garbage-collector"
    }

    fn watches(&self) -> Vec<Kind> {
        Vec::new()
    }

    fn follows_served(&self) -> bool {
        true
    }

    fn wake(&self, view: &View, change: &Change) -> Vec<Key> {
        let [old, new] = [&change.old, &change.new].map(|item| item.as_ref().map(Item::meta));
        // Nearly always (5,000 leases are renewed 500 times a second) nothing that counts here has
        // changed.
        let is_as_before =
            |(old, new): (&Meta, &Meta)| old.relates_like(new) && !old.is_terminating() && !new.is_terminating();
        if old.zip(new).is_some_and(is_as_before) {
            return Vec::new();
        }
        let metas = old.into_iter().chain(new);
        let mut uids: BTreeSet<&str> = BTreeSet::new();
        for meta in metas {
            let collected = meta.is_terminating() || view.by_uid(&meta.uid).is_none();
            uids.extend(collected.then_some(meta.uid.as_ref()));
            // A live owner's key needs no look unless the owner itself is on its way out.
            let concerned = |owner: &&OwnerReference| is_going(view, &owner.uid) || self.is_unsound(view, meta, owner);
            uids.extend(meta.owner_references.iter().filter(concerned).map(|owner| owner.uid.as_ref()));
        }
        uids.into_iter().map(Key::cluster).collect()
    }

    fn all(&self, view: &View) -> Vec<Key> {
        let concerned = |uid: &&str| is_going(view, uid) || self.has_unsound_dependents(view, uid);
        // Owners that are ending count even if nothing names them any more: whoever deleted the
        // last dependent may have died before it let the owner go.
        let metas = view.served().kinds.iter().flat_map(|kind| view.metas(kind));
        let ending = metas.filter(|meta| is_ending(meta)).map(|meta| meta.uid.as_ref());
        let uids: BTreeSet<&str> = view.owner_uids().filter(concerned).chain(ending).collect();
        uids.into_iter().map(Key::cluster).collect()
    }

    fn gather(&self, view: &View, key: &Key) -> Option<GarbageInput> {
        let uid = key.name.as_ref();
        let dependents: Vec<Dependent> =
            view.dependents(uid).filter_map(|(kind, key)| self.dependent(view, uid, kind, key)).collect();
        let owner = match view.by_uid(uid) {
            Some((kind, key)) => Owner::Present(kind.clone(), Box::new(view.meta(kind, key)?.clone())),
            None if dependents.is_empty() => return None,
            None if dependents.iter().all(|one| self.is_surely_absent(view, one, uid)) => Owner::Absent,
            None if dependents.iter().any(|one| self.may_become_sure(view, one, uid)) => Owner::Unsure,
            None => Owner::Unknown,
        };
        Some(GarbageInput { uid: uid.into(), owner, dependents, known_up_to: known_up_to(view) })
    }

    fn plan(&self, seen: &GarbageInput, memory: &GarbageMemory, now: Timestamp) -> Plan<GarbageNote, GarbageMemory> {
        let mut plan = match &seen.owner {
            Owner::Present(kind, meta) if is_ending(meta) => end_owner(kind, meta, seen, memory, now),
            Owner::Present(..) | Owner::Unknown => Plan::default(),
            Owner::Absent => Plan { actions: release_all(seen, |link| link == Link::Sound), ..Plan::default() },
            Owner::Unsure => {
                let wake_at = Some(now + SignedDuration::from_secs(1));
                Plan { notes: vec![GarbageNote::Unsure { uid: seen.uid.clone() }], wake_at, ..Plan::default() }
            }
        };
        let unsound = || seen.dependents.iter().filter(|one| one.link != Link::Sound);
        // It is planned again when the kinds change, and with every full pass.
        if seen.owner == Owner::Unknown {
            plan.notes.push(GarbageNote::Unknown { uid: seen.uid.clone() });
        }
        let untold = unsound().filter(|one| !memory.told.contains(&one.meta.uid));
        plan.actions.extend(untold.filter_map(|one| one.complaint(&seen.uid)));
        plan.actions.extend(release_all(seen, |link| link == Link::Elsewhere));
        plan.memory.told = unsound().map(|one| one.meta.uid.clone()).collect();
        plan
    }
}

impl Garbage {
    fn dependent(&self, view: &View, owner: &str, kind: &Kind, key: &Key) -> Option<Dependent> {
        let meta = view.meta(kind, key)?.clone();
        let (named, others): (Vec<_>, Vec<_>) =
            meta.owner_references.iter().partition(|reference| reference.uid.as_ref() == owner);
        let link = |reference: &OwnerReference| self.link(view, &meta, reference);
        let here = |other: &&&OwnerReference| link(other) == Link::Sound && stays(view, &other.uid);
        let doubtful = |other: &&OwnerReference| match link(other) {
            Link::Sound => view.by_uid(&other.uid).is_none() && !surely_absent(view, &meta, &other.uid),
            Link::Elsewhere => false,
            Link::Unresolvable => true,
        };
        let has_dependents = view.dependents(&meta.uid).next().is_some();
        let in_circle = has_dependents && leads_to(view, &meta.uid, owner);
        Some(Dependent {
            kind: kind.clone(),
            link: named.first().map_or(Link::Sound, |reference| link(reference)),
            other_owners: others.iter().filter(here).map(|other| other.uid.clone()).collect(),
            unsure: others.iter().any(doubtful),
            has_dependents,
            in_circle,
            meta,
        })
    }

    fn link(&self, view: &View, dependent: &Meta, reference: &OwnerReference) -> Link {
        let present = view.by_uid(&reference.uid);
        let kind = present.map(|(kind, _)| kind).or_else(|| kind_of(view, reference));
        let namespaced = kind.is_some_and(|kind| kind.namespaced);
        match present {
            _ if namespaced && dependent.namespace.is_empty() => Link::Unresolvable,
            Some((_, owner)) if namespaced && owner.namespace != dependent.namespace => Link::Elsewhere,
            _ => Link::Sound,
        }
    }

    fn is_unsound(&self, view: &View, dependent: &Meta, reference: &OwnerReference) -> bool {
        self.link(view, dependent, reference) != Link::Sound
    }

    fn has_unsound_dependents(&self, view: &View, uid: &str) -> bool {
        let metas = view.dependents(uid).filter_map(|(kind, key)| view.meta(kind, key));
        let unsound = |meta: &Meta| meta.owner_references.iter().any(|one| self.is_unsound(view, meta, one));
        metas.into_iter().any(unsound)
    }

    /// What can not be resolved is neither evidence for nor against.
    fn is_surely_absent(&self, view: &View, dependent: &Dependent, uid: &str) -> bool {
        dependent.link == Link::Unresolvable || surely_absent(view, &dependent.meta, uid)
    }

    /// The view only lags: the owner's kind is followed.
    fn may_become_sure(&self, view: &View, dependent: &Dependent, uid: &str) -> bool {
        !self.is_surely_absent(view, dependent, uid) && owner_kind(view, &dependent.meta, uid).is_some()
    }
}

/// How many objects are looked at to find a circle.
const CIRCLE_MAX: usize = 1000;

/// Whether `to` is a dependent of `from`, over any number of others.
fn leads_to(view: &View, from: &str, to: &str) -> bool {
    let mut looked_at: BTreeSet<Arc<str>> = BTreeSet::new();
    let mut next: Vec<Arc<str>> = vec![from.into()];
    while let Some(uid) = next.pop() {
        if looked_at.len() >= CIRCLE_MAX || !looked_at.insert(uid.clone()) {
            continue;
        }
        for meta in view.dependents(&uid).filter_map(|(kind, key)| view.meta(kind, key)) {
            if meta.uid.as_ref() == to {
                return true;
            }
            next.push(meta.uid.clone());
        }
    }
    false
}

/// Whether the object waits for its dependents to go, or to be let go.
fn is_ending(meta: &Meta) -> bool {
    meta.is_terminating() && (has_finalizer(meta, ORPHAN) || has_finalizer(meta, FOREGROUND))
}

fn release_all(seen: &GarbageInput, which: impl Fn(Link) -> bool) -> Vec<Action> {
    seen.dependents.iter().filter(|one| which(one.link)).filter_map(|one| one.release(&seen.uid)).collect()
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
fn surely_absent(view: &View, dependent: &Meta, uid: &str) -> bool {
    let seen = |kind| view.seen_revision(kind) >= dependent.resource_version.max(1);
    view.is_gone(uid) || owner_kind(view, dependent, uid).is_some_and(seen)
}

/// The kind of the owner with this uid, as its dependent names it, if it is served.
fn owner_kind<'a>(view: &'a View, dependent: &Meta, uid: &str) -> Option<&'a Kind> {
    let reference = dependent.owner_references.iter().find(|reference| reference.uid.as_ref() == uid)?;
    kind_of(view, reference)
}

fn kind_of<'a>(view: &'a View, reference: &OwnerReference) -> Option<&'a Kind> {
    let named =
        |kind: &&Kind| kind.kind == reference.kind.as_ref() && kind.api_version() == reference.api_version.as_ref();
    view.served().kinds.iter().find(named)
}

/// Up to which revision every kind is known, those included that were not found yet.
fn known_up_to(view: &View) -> u64 {
    let served = view.served();
    served.kinds.iter().map(|kind| view.seen_revision(kind)).fold(served.as_of, u64::min)
}

fn has_finalizer(meta: &Meta, name: &str) -> bool {
    meta.finalizers.iter().any(|finalizer| finalizer.as_ref() == name)
}

/// A terminating owner: orphan its dependents, or delete them before it (DS-C81, DS-C82).
fn end_owner(
    kind: &Kind,
    meta: &Meta,
    seen: &GarbageInput,
    memory: &GarbageMemory,
    now: Timestamp,
) -> Plan<GarbageNote, GarbageMemory> {
    let orphan = has_finalizer(meta, ORPHAN);
    let ending = memory.ending.unwrap_or((meta.resource_version, now));
    let memory = GarbageMemory { ending: Some(ending), ..GarbageMemory::default() };
    let sound = || seen.dependents.iter().filter(|one| one.link == Link::Sound);
    let blocking = sound().filter(|one| orphan || one.blocks(&seen.uid));
    let mut actions: Vec<Action> = match orphan {
        true => sound().map(|one| one.without_owner(&seen.uid)).collect(),
        false => {
            let circular = blocking.clone().filter(|one| one.in_circle);
            let unblocked = circular.map(|one| one.unblocked(&seen.uid));
            unblocked.chain(release_all(seen, |link| link == Link::Sound)).collect()
        }
    };
    let dependents = blocking.count();
    let is_patient = orphan || now < ending.1 + PATIENCE;
    if dependents == 0 && seen.known_up_to < ending.0 && is_patient {
        let notes = vec![GarbageNote::CatchingUp { owner: meta.key() }];
        return Plan { actions, notes, wake_at: Some(now + SignedDuration::from_secs(1)), memory, ..Plan::default() };
    }
    if dependents == 0 {
        actions.push(drop_finalizer(kind, meta, if orphan { ORPHAN } else { FOREGROUND }));
        return Plan { actions, memory, ..Plan::default() };
    }
    Plan { actions, notes: vec![GarbageNote::Blocked { owner: meta.key(), dependents }], memory, ..Plan::default() }
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
        let rest = self.meta.owner_references.iter().filter(|reference| reference.uid.as_ref() != owner);
        self.with_owners(&rest.cloned().collect::<Vec<_>>())
    }

    /// The owner no longer has to wait for this dependent.
    fn unblocked(&self, owner: &str) -> Action {
        let mut owners = self.meta.owner_references.to_vec();
        for reference in owners.iter_mut().filter(|reference| reference.uid.as_ref() == owner) {
            reference.block_owner_deletion = Some(false);
        }
        self.with_owners(&owners)
    }

    fn with_owners(&self, owners: &[OwnerReference]) -> Action {
        let owners = if owners.is_empty() { json!(null) } else { json!(owners) };
        Action::Patch {
            target: target(&self.kind, &self.meta),
            patch: PatchType::Merge,
            body: json!({ "metadata": { "ownerReferences": owners } }),
            preconditions: unchanged(&self.meta),
            report: None,
        }
    }

    /// The event that tells of an unsound reference.
    fn complaint(&self, owner: &str) -> Option<Action> {
        let reference = self.meta.owner_references.iter().find(|reference| reference.uid.as_ref() == owner)?;
        let OwnerReference { api_version, kind, name, uid, .. } = reference;
        let namespace = &self.meta.namespace;
        let message = format!(
            "ownerRef [{api_version}/{kind}, namespace: {namespace}, name: {name}, uid: {uid}] does not exist in namespace {namespace:?}"
        );
        Some(Action::Emit(Event {
            regarding: regarding(&self.kind, &self.meta),
            kind: EventType::Warning,
            reason: "OwnerRefInvalidNamespace".into(),
            action: String::new(),
            message,
        }))
    }
}

#[cfg(test)]
#[path = "garbage_tests.rs"]
mod tests;
