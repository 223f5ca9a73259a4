//! The store, watched: every commit goes into the trace, and no write may make two live pods of one
//! set and revision on a node, or put a pod where there is no room, unless the server is a foreign
//! one. Also counts what went wrong, and how often.

use std::collections::BTreeMap;
use std::hash::Hasher;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use everynode_common::fnv::Fnv64;
use everynode_runtime::Env;
use everynode_store::{
    BoxFuture, KeyValue, MemoryStore, Outcome, Page, Range, Revision, Store, StoreError, Transaction, Watch, Write,
    prefix_range,
};
use serde_json::Value;

use crate::room::Rooms;

const PODS: &str = "/registry/pods/";
const NODES: &str = "/registry/minions/";

/// What is known of all writes, across crashes of the server.
pub(crate) struct Ledger {
    env: Env,
    /// The server does not keep a second live pod from a place.
    foreign: bool,
    state: Mutex<LedgerState>,
}

#[derive(Default)]
struct LedgerState {
    /// Over everything that was written, and when.
    trace: Fnv64,
    pods: BTreeMap<String, Option<PodPlace>>,
    rooms: Rooms,
    writes: u64,
    /// Of pods.
    changes: u64,
    failure: Option<String>,
    /// What users do, and every write to a pod; for the story of a failure.
    story: Vec<String>,
    counts: Counts,
}

/// How often each event was done and each fault hit.
pub type Counts = BTreeMap<&'static str, u64>;

/// What is counted beside events: faults that hit, and what came of errands.
pub const FAULTS: &[&str] = &[
    "answer lost",
    "crash after a request",
    "crash before a request",
    "drain given up",
    "eviction granted",
    "eviction refused by a budget",
    "namespace gone",
    "namespace made again",
    "node drained",
    "node drained that was empty",
    "request carried out after its client gave up",
    "request lost",
    "request refused",
    "request while cut off",
    "server error",
    "slow request",
    "too many requests",
    "watch ended",
    "watch event held back",
    "watch event lost",
    "watch event twice",
    "write conflict",
];

/// Where a live daemon pod is: its set's uid, its node, its revision.
#[derive(Clone, Debug, PartialEq, Eq)]
struct PodPlace {
    set: String,
    node: String,
    revision: String,
}

impl Ledger {
    pub(crate) fn new(env: Env, foreign: bool) -> Arc<Ledger> {
        Arc::new(Ledger { env, foreign, state: Mutex::default() })
    }

    fn state(&self) -> MutexGuard<'_, LedgerState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn trace(&self) -> u64 {
        self.state().trace.finish()
    }

    pub(crate) fn writes(&self) -> u64 {
        self.state().writes
    }

    /// How often a pod was written.
    pub(crate) fn pod_changes(&self) -> u64 {
        self.state().changes
    }

    pub(crate) fn failure(&self) -> Option<String> {
        self.state().failure.clone()
    }

    /// The first failure stays.
    pub(crate) fn fail(&self, failure: String) {
        let now = self.env.now();
        self.state().failure.get_or_insert(format!("{now}: {failure}"));
    }

    pub(crate) fn tell(&self, line: String) {
        let now = self.env.now();
        self.state().story.push(format!("{now} {line}"));
    }

    pub(crate) fn count(&self, what: &'static str) {
        *self.state().counts.entry(what).or_default() += 1;
    }

    pub(crate) fn counts(&self) -> Counts {
        self.state().counts.clone()
    }

    pub(crate) fn story(&self) -> Vec<String> {
        self.state().story.clone()
    }

    /// The store is what it was at an earlier moment.
    pub(crate) fn restored(&self, store: &MemoryStore) {
        let mut state = self.state();
        (state.pods, state.rooms) = (BTreeMap::new(), Rooms::default());
        for prefix in [NODES, PODS] {
            let found = store.range(&prefix_range(prefix), None, usize::MAX).map(|page| page.items).unwrap_or_default();
            for KeyValue { key, value, .. } in found {
                let name = &key[prefix.len()..];
                if prefix == NODES {
                    state.rooms.node(name, &value);
                    continue;
                }
                let pod: Value = serde_json::from_slice(&value).unwrap_or_default();
                state.pods.insert(name.to_owned(), place(&pod));
                // What was right at its commit was there together.
                let _ = state.rooms.pod(name, &value);
            }
        }
    }

    fn committed(&self, transaction: &Transaction, revision: Revision) {
        let now_ms = self.env.now().as_millisecond();
        let mut state = self.state();
        state.trace.write(&revision.0.to_le_bytes());
        state.trace.write(&now_ms.to_le_bytes());
        state.writes += 1;
        for write in &transaction.writes {
            let (key, value) = match write {
                Write::Put { key, value, .. } => (key, &value[..]),
                Write::Delete { key } => (key, &[][..]),
            };
            state.trace.write(key.as_bytes());
            state.trace.write(value);
            if let Some(node) = key.strip_prefix(NODES) {
                state.rooms.node(node, value);
            }
            if let Some(name) = key.strip_prefix(PODS) {
                let full = state.rooms.pod(name, value).err().filter(|_| !self.foreign);
                full.map(|full| state.failure.get_or_insert(format!("{}: {full}", self.env.now())));
                let now = self.env.now();
                let told = state.pod(name, value).unwrap_or_else(|failure| {
                    match self.foreign {
                        true => *state.counts.entry("second pod at a place").or_default() += 1,
                        false => drop(state.failure.get_or_insert(format!("{now}: {failure}"))),
                    }
                    failure
                });
                state.story.push(format!("{now} pod {name} {told}"));
            }
        }
    }
}

impl LedgerState {
    /// Takes in a write to a pod; tells it, or what is wrong with it.
    fn pod(&mut self, name: &str, value: &[u8]) -> Result<String, String> {
        self.changes += 1;
        if value.is_empty() {
            self.pods.remove(name);
            return Ok("is gone".into());
        }
        let pod: Value = serde_json::from_slice(value).map_err(|error| format!("pod {name}: {error}"))?;
        let place = place(&pod);
        let is_new = self.pods.insert(name.to_owned(), place.clone()).is_none();
        let told = described(&pod, is_new);
        let Some(place) = place.filter(|_| is_new) else { return Ok(told) };
        let same = |(other, at): &(&String, &Option<PodPlace>)| *other != name && at.as_ref() == Some(&place);
        match self.pods.iter().find(same) {
            Some((other, _)) => Err(format!("two live pods at one place: {name} beside {other}: {place:?}")),
            None => Ok(told),
        }
    }
}

fn described(pod: &Value, is_new: bool) -> String {
    let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    let ready = pod["status"]["conditions"].as_array().into_iter().flatten();
    let mut ready = ready.filter(|condition| condition["type"] == "Ready").map(|condition| text(&condition["status"]));
    format!(
        "{}on {} rev {} phase {} ready {}{}",
        if is_new { "is new, " } else { "" },
        target_node(pod).unwrap_or_else(|| "-".into()),
        text(&pod["metadata"]["labels"]["controller-revision-hash"]),
        text(&pod["status"]["phase"]),
        ready.next_back().unwrap_or_else(|| "-".into()),
        if pod["metadata"]["deletionTimestamp"].is_null() { "" } else { " terminating" },
    )
}

/// The place of a daemon pod that is neither ended nor ending.
fn place(pod: &Value) -> Option<PodPlace> {
    let is_over = matches!(pod["status"]["phase"].as_str(), Some("Failed" | "Succeeded"));
    if is_over || !pod["metadata"]["deletionTimestamp"].is_null() {
        return None;
    }
    let owners = pod["metadata"]["ownerReferences"].as_array().into_iter().flatten();
    let owner = owners.into_iter().find(|owner| owner["controller"] == true && owner["kind"] == "DaemonSet")?;
    let revision = pod["metadata"]["labels"]["controller-revision-hash"].as_str()?;
    Some(PodPlace { set: owner["uid"].as_str()?.to_owned(), node: target_node(pod)?, revision: revision.to_owned() })
}

/// The node that a pod is bound or pinned to.
pub(crate) fn target_node(pod: &Value) -> Option<String> {
    if let Some(node) = pod["spec"]["nodeName"].as_str().filter(|node| !node.is_empty()) {
        return Some(node.to_owned());
    }
    let required = &pod["spec"]["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"];
    let term = &required["nodeSelectorTerms"][0]["matchFields"][0];
    (term["key"] == "metadata.name").then(|| term["values"][0].as_str().map(str::to_owned))?
}

/// A memory store whose commits are watched.
pub(crate) struct WatchedStore {
    pub(crate) inner: Arc<MemoryStore>,
    pub(crate) ledger: Arc<Ledger>,
}

impl Store for WatchedStore {
    fn commit(&self, transaction: Transaction) -> BoxFuture<'_, Result<Outcome, StoreError>> {
        Box::pin(async move {
            let outcome = self.inner.commit(transaction.clone()).await?;
            if let Outcome::Committed(revision) = outcome {
                self.ledger.committed(&transaction, revision);
            }
            Ok(outcome)
        })
    }

    fn get(&self, key: &str, at: Option<Revision>) -> Result<Option<KeyValue>, StoreError> {
        self.inner.get(key, at)
    }

    fn range(&self, range: &Range, at: Option<Revision>, limit: usize) -> Result<Page, StoreError> {
        self.inner.range(range, at, limit)
    }

    fn watch(&self, prefix: &str, after: Revision) -> Result<Box<dyn Watch>, StoreError> {
        self.inner.watch(prefix, after)
    }

    fn current_revision(&self) -> BoxFuture<'_, Result<Revision, StoreError>> {
        self.inner.current_revision()
    }

    fn compact(&self, revision: Revision) -> BoxFuture<'_, Result<(), StoreError>> {
        self.inner.compact(revision)
    }

    fn shutdown(&self) -> BoxFuture<'_, Result<(), StoreError>> {
        self.inner.shutdown()
    }
}
