//! What is taken of each node: resources, places, host ports. A node's room has one owner, this
//! server: whatever puts a pod on a node takes its part here before it commits, and gives it back
//! when the transaction did not happen.
//!
//! The index is in memory, beside the claims that are stored. It is made from the stored pods at
//! the start, so that it is right after a crash and after a repaired store, and kept by the writes
//! themselves: a taken part is there before the pod is, and goes after the pod has gone. Hence it
//! may count too much for a moment, and never too little. Before a claim is refused the node's
//! parts are compared with the store ([`Registry::recount`]), so that the part of a request that
//! was given up half way is found.
//!
//! A user that names a node in a manifest gets it, as in Kubernetes ([`Claim::Forced`]): the node's
//! agent judges such pods.

mod objects;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use everynode_api::kinds::POD;
use everynode_api::status::Status;
use everynode_api::view::Resources;
use everynode_placement::{Needs, Occupancy, Reason, room_reasons};
use everynode_store::{Key, KeyValue, Revision, Store, StoreError, Transaction, prefix_range};
use serde::Deserialize;
use serde_json::Value;

use self::objects::{StoredNode, StoredPod};
use super::kinds::pod::{is_terminal, pinned_node};
use super::{Registry, Target, store_failure};
use crate::catalogue::built_in;
use crate::object::{self, text};
use crate::{keys, stored};

/// Equal values that are kept once: pods of one template need the same, nodes of one kind have the
/// same.
const SHARED_MAX: usize = 64;

/// All nodes' rooms.
#[derive(Debug, Default)]
pub(crate) struct Rooms(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    nodes: BTreeMap<Box<str>, Room>,
    needs: Shared<Needs>,
    allocatable: Shared<Resources>,
    /// Counts claims: what is held otherwise than before has another number.
    claims: u64,
}

/// Values that were met lately, so that equal ones are in memory once.
#[derive(Debug, Default)]
struct Shared<T>(Vec<Arc<T>>);

impl<T: PartialEq> Shared<T> {
    fn of(&mut self, value: Cow<'_, T>) -> Arc<T>
    where
        T: Clone,
    {
        if let Some(known) = self.0.iter().find(|known| ***known == *value) {
            return known.clone();
        }
        if self.0.len() >= SHARED_MAX {
            self.0.remove(0);
        }
        let value = Arc::new(value.into_owned());
        self.0.push(value.clone());
        value
    }
}

/// One node. There is one for each of thousands of nodes, with few parts: the sum over them is made
/// when it is asked for.
#[derive(Debug, Default)]
struct Room {
    parts: Vec<Part>,
    /// Pods without a node that the scheduler has made room for here (`status.nominatedNodeName`).
    promised: Vec<(i64, Part)>,
    /// What the node has, as its object said at a revision.
    allocatable: (Revision, Arc<Resources>),
}

/// A pod's part of a node.
#[derive(Clone, Debug)]
struct Part {
    uid: Box<str>,
    /// The pod's key in the store.
    key: Key,
    needs: Arc<Needs>,
    /// Transactions under way that put the pod here.
    pending: u32,
    /// One of them happened, or may have.
    is_kept: bool,
    /// The number of the claim that touched it last.
    claim: u64,
}

impl Part {
    /// `namespace/name`
    fn holder(&self) -> &str {
        keys::split(&self.key).map_or("", |(_, rest)| rest)
    }
}

/// A pod that is to be put on a node, or is there.
#[derive(Clone, Debug)]
pub(crate) struct Occupant {
    pub(crate) node: Box<str>,
    uid: Box<str>,
    key: Key,
    priority: i64,
    needs: Needs,
}

/// How a part is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Claim {
    /// Only if it fits.
    Checked,
    /// In any case.
    Forced,
}

/// A part that was taken for a transaction. Dropped before [`Hold::committing`] it is given back;
/// dropped after that it stays until the next recount, because the transaction may have happened.
#[derive(Debug)]
pub(crate) struct Hold<'r> {
    rooms: &'r Rooms,
    node: Box<str>,
    uid: Box<str>,
    gives_back: bool,
}

impl Hold<'_> {
    /// The transaction is about to be sent.
    pub(crate) fn committing(&mut self) {
        self.gives_back = false;
    }

    /// What became of the transaction is known.
    pub(crate) fn decided(mut self, happened: bool) {
        self.gives_back = !happened;
    }
}

impl Drop for Hold<'_> {
    fn drop(&mut self) {
        self.rooms.lock().settle(&self.node, &self.uid, !self.gives_back);
    }
}

/// What one write changes about nodes' rooms, from before its transaction to after it.
#[derive(Debug, Default)]
pub(crate) struct Change<'r> {
    hold: Option<Hold<'r>>,
    after: Option<After<'r>>,
}

/// What is to be done when the transaction has happened.
#[derive(Debug)]
struct After<'r> {
    rooms: &'r Rooms,
    uid: Box<str>,
    /// The node that the pod has left, by going or by ending.
    left: Option<Box<str>>,
    /// The node that it was promised before.
    withdrawn: Option<Box<str>>,
    promised: Option<Occupant>,
}

impl Change<'_> {
    /// The transaction is about to be sent.
    pub(crate) fn committing(&mut self) {
        self.hold.iter_mut().for_each(Hold::committing);
    }

    /// What became of the transaction is known.
    pub(crate) fn decided(self, happened: bool) {
        if let Some(hold) = self.hold {
            hold.decided(happened);
        }
        let Some(after) = self.after.filter(|_| happened) else { return };
        let mut state = after.rooms.lock();
        after.left.iter().for_each(|node| state.free(node, &after.uid));
        after.withdrawn.iter().for_each(|node| state.withdraw(node, &after.uid));
        after.promised.iter().for_each(|occupant| state.promise(occupant));
    }
}

impl Rooms {
    /// Counts the pods that are stored.
    pub(crate) fn load(store: &dyn Store) -> Result<Rooms, StoreError> {
        let rooms = Rooms::default();
        let info = &built_in::POD;
        let page = store.range(&prefix_range(&keys::collection(info, None)), None, 0)?;
        let mut state = rooms.lock();
        for kv in page.items {
            let Some(pod) = StoredPod::read(&kv.value) else { continue };
            if let Some(occupant) = pod.place().map(|node| pod.occupant(node, &kv.key)) {
                state.put(&occupant, true);
            } else if let Some(occupant) = pod.promise().map(|node| pod.occupant(node, &kv.key)) {
                state.promise(&occupant);
            }
        }
        drop(state);
        Ok(rooms)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a part for a transaction. `node` is the node's object; where there is none, or it does
    /// not say what it has, everything fits, as on any Kubernetes server.
    fn take(&self, occupant: &Occupant, node: Option<&KeyValue>, claim: Claim) -> Result<Hold<'_>, Vec<Reason>> {
        let mut state = self.lock();
        let (name, uid) = (occupant.node.clone(), occupant.uid.clone());
        let is_new = !state.nodes.get(&name).is_some_and(|room| room.parts.iter().any(|part| part.uid == uid));
        if is_new {
            if let Some(node) = node.filter(|_| claim == Claim::Checked) {
                let reasons = state.reasons(&name, occupant, node);
                if !reasons.is_empty() {
                    state.tidy(&name);
                    return Err(reasons);
                }
            }
            state.put(occupant, false);
        }
        state.begin(&name, &uid);
        Ok(Hold { rooms: self, node: name, uid, gives_back: true })
    }

    /// The parts of a node that no transaction under way is about: uid, key, number of the claim.
    fn settled(&self, node: &str) -> Vec<(Box<str>, Key, u64)> {
        let state = self.lock();
        let parts = state.nodes.get(node).into_iter().flat_map(|room| &room.parts);
        let still = parts.filter(|part| part.pending == 0);
        still.map(|part| (part.uid.clone(), part.key.clone(), part.claim)).collect()
    }

    /// Gives back parts that were found to be of no pod, unless they were claimed again since.
    fn forget(&self, node: &str, gone: &[(Box<str>, Key, u64)]) {
        let mut state = self.lock();
        for (uid, _, claim) in gone {
            let part = state.nodes.get(node).and_then(|room| room.parts.iter().find(|part| part.uid == *uid));
            if part.is_some_and(|part| part.pending == 0 && part.claim == *claim) {
                state.free(node, uid);
            }
        }
    }
}

impl State {
    fn put(&mut self, occupant: &Occupant, is_kept: bool) {
        let (node, part) = (occupant.node.clone(), Part { is_kept, ..self.part(occupant) });
        let parts = &mut self.nodes.entry(node).or_default().parts;
        if parts.len() == parts.capacity() {
            parts.reserve_exact(2.max(parts.len() / 2));
        }
        parts.push(part);
    }

    fn part(&mut self, occupant: &Occupant) -> Part {
        let (uid, key) = (occupant.uid.clone(), occupant.key.clone());
        Part { uid, key, needs: self.needs.of(Cow::Borrowed(&occupant.needs)), pending: 0, is_kept: false, claim: 0 }
    }

    /// What speaks against one more pod on a node.
    fn reasons(&mut self, name: &str, occupant: &Occupant, node: &KeyValue) -> Vec<Reason> {
        let room = self.nodes.entry(name.into()).or_default();
        if room.allocatable.0 != node.modified {
            let allocatable = StoredNode::read(&node.value).allocatable();
            room.allocatable = (node.modified, self.allocatable.of(Cow::Owned(allocatable)));
        }
        room.reasons(occupant)
    }

    /// A transaction begins that puts the pod on the node.
    fn begin(&mut self, node: &str, uid: &str) {
        self.claims += 1;
        let claim = self.claims;
        if let Some(part) = self.find(node, uid) {
            (part.pending, part.claim) = (part.pending + 1, claim);
        }
    }

    /// A transaction has ended. The part stays as long as one has happened or is under way.
    fn settle(&mut self, node: &str, uid: &str, happened: bool) {
        let Some(part) = self.find(node, uid) else { return };
        part.pending = part.pending.saturating_sub(1);
        part.is_kept |= happened;
        if part.pending == 0 && !part.is_kept {
            self.free(node, uid);
        }
    }

    fn find(&mut self, node: &str, uid: &str) -> Option<&mut Part> {
        self.nodes.get_mut(node)?.parts.iter_mut().find(|part| &*part.uid == uid)
    }

    fn free(&mut self, node: &str, uid: &str) {
        let Some(room) = self.nodes.get_mut(node) else { return };
        if let Some(index) = room.parts.iter().position(|part| &*part.uid == uid) {
            room.parts.swap_remove(index);
        }
        self.tidy(node);
    }

    fn promise(&mut self, occupant: &Occupant) {
        let (node, priority) = (occupant.node.clone(), occupant.priority);
        let part = self.part(occupant);
        let room = self.nodes.entry(node).or_default();
        room.promised.retain(|(_, other)| other.uid != part.uid);
        room.promised.push((priority, part));
    }

    fn withdraw(&mut self, node: &str, uid: &str) {
        if let Some(room) = self.nodes.get_mut(node) {
            room.promised.retain(|(_, part)| &*part.uid != uid);
        }
        self.tidy(node);
    }

    /// Nodes with nothing on them are not remembered: nodes come and go.
    fn tidy(&mut self, node: &str) {
        if self.nodes.get(node).is_some_and(|room| room.parts.is_empty() && room.promised.is_empty()) {
            self.nodes.remove(node);
        }
    }
}

impl Room {
    /// What speaks against one more pod here. What was promised to pods of no lesser priority is
    /// taken, as the scheduler counts it.
    fn reasons(&self, occupant: &Occupant) -> Vec<Reason> {
        let allocatable = &self.allocatable.1;
        if allocatable.is_empty() {
            return Vec::new();
        }
        let counts = |(priority, part): &&(i64, Part)| *priority >= occupant.priority && part.uid != occupant.uid;
        let promised = self.promised.iter().filter(counts).map(|(_, part)| part);
        let mut taken = Occupancy::default();
        self.parts.iter().chain(promised).for_each(|part| taken.add_needs(&part.needs, part.holder()));
        room_reasons(&occupant.needs, allocatable, &taken)
    }
}

impl Registry {
    /// Takes a part of a node for a pod that is only to be there if it fits.
    ///
    /// # Errors
    /// The outer error is the store's; the inner one says what does not fit.
    pub(super) async fn claim_room(&self, occupant: &Occupant) -> Result<Result<Hold<'_>, Vec<Reason>>, Status> {
        let node = self.stored_node(&occupant.node)?;
        if let Ok(hold) = self.rooms.take(occupant, node.as_ref(), Claim::Checked) {
            return Ok(Ok(hold));
        }
        self.recount(&occupant.node).await?;
        Ok(self.rooms.take(occupant, node.as_ref(), Claim::Checked))
    }

    /// The new pod as it is to be stored, with its part of the node that it is for. A daemon pod
    /// that its controller has put on a node where it does not fit any more is stored without a
    /// node, pinned to it as it is: the scheduler then has it, and says what is missing. All other
    /// pods are stored where they say.
    pub(super) async fn room_for_new<'v>(
        &self,
        target: &Target,
        value: &'v Value,
    ) -> Result<(Cow<'v, Value>, Change<'_>), Status> {
        let place = if target.info.is(&POD) { place(value) } else { None };
        let occupant = place.filter(|_| self.settings.exclusive_places).and_then(|node| occupant(target, node, value));
        let Some(occupant) = occupant else { return Ok((Cow::Borrowed(value), Change::default())) };
        let hold = match self.claim_room(&occupant).await? {
            Ok(hold) => Some(hold),
            Err(_) if self.is_bound_by_its_set(value)? => {
                let mut unbound = value.clone();
                object::object_mut(&mut unbound, "spec").remove("nodeName");
                return Ok((Cow::Owned(unbound), Change::default()));
            }
            Err(_) => self.rooms.take(&occupant, None, Claim::Forced).ok(),
        };
        Ok((Cow::Borrowed(value), Change { hold, after: None }))
    }

    /// Whether a DaemonSet's controller has chosen the pod's node, because the pod fitted there. It
    /// has not where the set's template names a node (DS-B34).
    fn is_bound_by_its_set(&self, pod: &Value) -> Result<bool, Status> {
        let of_set = |owner: &&Value| owner["kind"] == "DaemonSet" && owner["apiVersion"] == "apps/v1";
        let Some(owner) = object::controller(pod).filter(of_set) else { return Ok(false) };
        let info = &built_in::DAEMON_SET;
        if pinned_node(pod) != place(pod) {
            return Ok(false);
        }
        let key = keys::object(info, object::meta(pod, "namespace"), text(owner, &["name"]));
        let Some(kv) = self.store.get(&key, None).map_err(|error| store_failure(&error))? else { return Ok(true) };
        let set = stored::decode(&kv.value, kv.modified)?;
        Ok(text(&set, &["spec", "template", "spec", "nodeName"]).is_empty())
    }

    /// What a write changes: `old` and `new` are the object before and after it. What is put on a
    /// node takes its part in any case; a caller that must not overcommit it has called
    /// [`Registry::claim_room`] before.
    pub(super) fn room_change(&self, target: &Target, old: Option<&Value>, new: Option<&Value>) -> Change<'_> {
        if !target.info.is(&POD) || !self.settings.exclusive_places {
            return Change::default();
        }
        let places = [old, new].map(|value| value.and_then(place));
        let promises = [old, new].map(|value| value.and_then(promise));
        let Some(either) = new.or(old).filter(|_| places[0] != places[1] || promises[0] != promises[1]) else {
            return Change::default();
        };
        let moved = |[from, to]: [Option<&str>; 2]| from.filter(|_| from != to).map(Box::from);
        let occupant = |node: &str| new.and_then(|value| occupant(target, node, value));
        let taken = places[1].filter(|_| places[0] != places[1]).and_then(occupant);
        // Forced claims are never refused.
        let hold = taken.and_then(|occupant| self.rooms.take(&occupant, None, Claim::Forced).ok());
        let after = After {
            rooms: &self.rooms,
            uid: object::meta(either, "uid").into(),
            left: moved(places),
            withdrawn: moved(promises),
            promised: promises[1].and_then(occupant),
        };
        Change { hold, after: Some(after) }
    }

    /// Compares the parts of a node with the store: parts of pods that are not there go.
    async fn recount(&self, node: &str) -> Result<(), Status> {
        // Behind everything that was sent before it: what was left in doubt is decided then.
        self.store.commit(Transaction::default()).await.map_err(|error| store_failure(&error))?;
        let mut gone = self.rooms.settled(node);
        let is_there = |(uid, key, _): &(Box<str>, Key, u64)| -> Result<bool, StoreError> {
            let pod = self.store.get(key, None)?.and_then(|kv| StoredPod::read(&kv.value));
            Ok(pod.is_some_and(|pod| pod.uid() == &**uid && pod.place() == Some(node)))
        };
        let mut failed = None;
        gone.retain(|part| !is_there(part).unwrap_or_else(|error| failed.replace(error).is_none()));
        if let Some(error) = failed {
            return Err(store_failure(&error));
        }
        self.rooms.forget(node, &gone);
        Ok(())
    }

    fn stored_node(&self, name: &str) -> Result<Option<KeyValue>, Status> {
        let info = &built_in::NODE;
        self.store.get(&keys::object(info, "", name), None).map_err(|error| store_failure(&error))
    }
}

/// The node that a pod which has not ended is bound to.
fn place(pod: &Value) -> Option<&str> {
    Some(text(pod, &["spec", "nodeName"])).filter(|node| !node.is_empty() && !is_terminal(pod))
}

/// The node that a pod without one is promised.
fn promise(pod: &Value) -> Option<&str> {
    let is_free = text(pod, &["spec", "nodeName"]).is_empty() && !is_terminal(pod);
    Some(text(pod, &["status", "nominatedNodeName"])).filter(|node| is_free && !node.is_empty())
}

/// The pod of a request as an occupant of `node`. What cannot be read, which validation keeps out,
/// occupies nothing.
pub(super) fn occupant(target: &Target, node: &str, pod: &Value) -> Option<Occupant> {
    let stored = StoredPod::deserialize(pod).ok()?;
    let key = keys::object(&target.info, object::meta(pod, "namespace"), object::meta(pod, "name"));
    Some(stored.occupant(node, &key))
}
