//! What becomes of definitions: names are accepted, rows are served, and what is deleted ends with
//! all its objects.
//!
//! One task follows the definitions of the server. What it decides follows from the definitions
//! alone ([`decide`]); what it does is written through the registry like every other write, and
//! wakes it again.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use everynode_api::status::Status;
use everynode_store::{Key, Revision, Store, StoreError, prefix_range};
use serde_json::{Value, json};

use super::definition::{CLEANUP, condition_is_true};
use super::names::Taken;
use super::rows::{Defined, rows};
use crate::auth::User;
use crate::catalogue::{RowRef, Rows, built_in};
use crate::hub::{Delivery, Filter};
use crate::object::text;
use crate::registry::{Body, Caller, DeleteOptions, Registry, Target, WatchParameters, store_failure};
use crate::schema::FieldValidation;
use crate::{keys, object, stored};

/// How long the objects of a deleted definition may hold it before it is looked at again.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
const UNAVAILABLE: u16 = 503;
/// A watch that nothing else needs has no use for bookmarks.
const NEVER: Duration = Duration::from_secs(24 * 3600);

/// The definitions that are stored, each read once for each of its states.
#[derive(Default)]
pub(crate) struct Definitions {
    /// By key.
    read: BTreeMap<Key, (Revision, Arc<Value>)>,
}

impl Definitions {
    /// All that there are now, the oldest first.
    pub(crate) fn current(&mut self, store: &dyn Store) -> Result<Vec<Arc<Value>>, StoreError> {
        let range = prefix_range(&keys::collection(&built_in::CUSTOM_RESOURCE_DEFINITION, None));
        let page = store.range(&range, None, 0)?;
        let mut former = std::mem::take(&mut self.read);
        for kv in page.items {
            let entry = match former.remove(&kv.key) {
                Some(known) if known.0 == kv.modified => known,
                _ => match stored::decode(&kv.value, kv.modified) {
                    Ok(definition) => (kv.modified, Arc::new(definition)),
                    Err(_) => continue,
                },
            };
            self.read.insert(kv.key, entry);
        }
        let mut definitions: Vec<Arc<Value>> = self.read.values().map(|(_, definition)| definition.clone()).collect();
        definitions.sort_by(|one, two| age(one).cmp(&age(two)));
        Ok(definitions)
    }
}

fn age(definition: &Value) -> (&str, &str) {
    (object::meta(definition, "creationTimestamp"), object::meta(definition, "name"))
}

/// What is served of custom resources, and of which definitions it was made.
#[derive(Default)]
pub(crate) struct Known {
    /// By name of the definition; what its rows depend on, and the rows.
    defined: BTreeMap<String, (Basis, Defined)>,
}

impl Known {
    /// The rows of these definitions. What did not change keeps its rows, and so its watches.
    pub(crate) fn of(&self, definitions: &[Arc<Value>]) -> Known {
        let mut defined = BTreeMap::new();
        for definition in definitions {
            let name = object::meta(definition, "name").to_owned();
            let basis = Basis::of(definition);
            let entry = match self.defined.get(&name) {
                Some((before, rows)) if *before == basis => Some(rows.clone()),
                _ => rows(definition),
            };
            if let Some(rows) = entry {
                defined.insert(name, (basis, rows));
            }
        }
        Known { defined }
    }

    /// All rows, built-in ones first. A definition of a kind that is built in changes nothing of it.
    pub(crate) fn rows(&self) -> Rows {
        let built_in: Vec<RowRef> = built_in::all().into_iter().map(RowRef::BuiltIn).collect();
        let is_other = |row: &RowRef| {
            let same = |known: &RowRef| {
                known.is(&row.kind) || known.kind.group == row.kind.group && known.kind.kind == row.kind.kind
            };
            !built_in.iter().any(same)
        };
        let defined =
            self.defined.values().flat_map(|(_, defined)| &defined.served).filter(|row| is_other(row)).cloned();
        let defined: Vec<RowRef> = defined.collect();
        Rows::new(built_in.into_iter().chain(defined).collect())
    }

    /// The row of each stored version.
    pub(crate) fn stored(&self) -> Vec<RowRef> {
        self.defined.values().map(|(_, defined)| defined.stored.clone()).collect()
    }

    fn is_same(&self, other: &Known) -> bool {
        self.bases().eq(other.bases())
    }

    fn bases(&self) -> impl Iterator<Item = (&String, &Basis)> {
        self.defined.iter().map(|(name, (basis, _))| (name, basis))
    }
}

/// What the rows of a definition depend on. Its spec changes with its generation.
#[derive(Clone, Debug, PartialEq)]
struct Basis {
    uid: String,
    generation: i64,
    accepted: Value,
    is_terminating: bool,
    is_established: bool,
}

impl Basis {
    fn of(definition: &Value) -> Basis {
        Basis {
            uid: object::meta(definition, "uid").to_owned(),
            generation: object::generation(definition),
            accepted: definition["status"]["acceptedNames"].clone(),
            is_terminating: object::is_terminating(definition),
            is_established: condition_is_true(definition, "Established"),
        }
    }
}

/// The status that each definition should have, where it has another one: by place in the list.
fn decide(definitions: &[Arc<Value>], now: &str) -> Vec<(usize, Value)> {
    let mut taken: BTreeMap<&str, Taken> = BTreeMap::new();
    for definition in definitions {
        let group = text(definition, &["spec", "group"]);
        taken.entry(group).or_default().take(&definition["status"]["acceptedNames"]);
    }
    let mut changed = Vec::new();
    for (index, definition) in definitions.iter().enumerate() {
        let taken = taken.entry(text(definition, &["spec", "group"])).or_default();
        let held = &definition["status"]["acceptedNames"];
        // A name that it has itself is no obstacle.
        taken.release(held);
        let status = accept(definition, taken, now);
        taken.take(status.as_ref().map_or(held, |status| &status["acceptedNames"]));
        changed.extend(status.filter(|status| *status != definition["status"]).map(|status| (index, status)));
    }
    changed
}

/// The status of a definition once its names were looked at; `None`: they are not any more.
fn accept(definition: &Value, taken: &Taken, now: &str) -> Option<Value> {
    if object::is_terminating(definition) {
        return None;
    }
    let asked = &definition["spec"]["names"];
    let (accepted, refusal) = taken.accept(asked, &definition["status"]["acceptedNames"]);
    let mut slim = json!({"status": definition["status"].clone()});
    object::object_mut(&mut slim, "status").insert("acceptedNames".into(), accepted);
    let condition = |kind: &str, holds: bool, reason: &str, message: &str| {
        let status = if holds { "True" } else { "False" };
        json!({"type": kind, "status": status, "reason": reason, "message": message})
    };
    let was_established = condition_is_true(definition, "Established");
    match &refusal {
        None => set(&mut slim, condition("NamesAccepted", true, "NoConflicts", "no conflicts found"), now),
        Some((reason, message)) => set(&mut slim, condition("NamesAccepted", false, reason, message), now),
    }
    match (was_established, refusal) {
        (true, _) => {}
        (false, None) => {
            let message = "the initial names have been accepted";
            set(&mut slim, condition("Established", true, "InitialNamesAccepted", message), now);
        }
        (false, Some(_)) => {
            set(&mut slim, condition("Established", false, "NotAccepted", "not all names are accepted"), now);
        }
    }
    Some(slim["status"].take())
}

/// Sets a condition, unless it says so already.
fn set(definition: &mut Value, condition: Value, now: &str) {
    let held = object::condition(definition, condition["type"].as_str().unwrap_or_default());
    let same = |held: &Value| ["status", "reason", "message"].iter().all(|name| held[*name] == condition[*name]);
    if !held.is_some_and(same) {
        object::set_condition(definition, condition, now);
    }
}

/// Follows the definitions until the server's store is shut down.
pub(crate) async fn run(registry: Arc<Registry>, mut definitions: Definitions, mut known: Known) {
    while !registry.hub.is_closed() {
        let parameters = WatchParameters {
            filter: Filter::everything(),
            resource_version: None,
            send_initial_events: None,
            bookmarks: false,
            bookmark_every: Some(NEVER),
            timeout: None,
        };
        let row = RowRef::from(&built_in::CUSTOM_RESOURCE_DEFINITION);
        let mut watcher = match registry.watch(&row, parameters).await {
            Ok(watcher) => watcher,
            Err(status) => {
                tracing::warn!(%status, "custom resource definitions cannot be followed; this is tried again");
                tokio::time::sleep(LOOK_AGAIN).await;
                continue;
            }
        };
        loop {
            let waits = match reconcile(&registry, &mut definitions, &mut known).await {
                Ok(waits) => waits,
                // The server is shutting down.
                Err(status) if status.code == UNAVAILABLE => true,
                Err(status) => {
                    tracing::warn!(%status, "custom resource definitions are looked at again");
                    true
                }
            };
            let pause = if waits { LOOK_AGAIN } else { NEVER };
            match tokio::time::timeout(pause, watcher.next()).await {
                Err(_) | Ok(Some(Delivery::Event(..) | Delivery::Initial(_))) => {}
                Ok(Some(Delivery::InitialEnd(_) | Delivery::Bookmark(_))) => {}
                Ok(None | Some(Delivery::Expired(_))) => break,
            }
        }
    }
}

/// Brings names, rows and deletions to where the definitions want them. Whether something is left
/// that no change of a definition will tell of.
async fn reconcile(registry: &Arc<Registry>, definitions: &mut Definitions, known: &mut Known) -> Result<bool, Status> {
    let mut stored = || definitions.current(&*registry.store).map_err(|error| store_failure(&error));
    let mut current = stored()?;
    let decided = decide(&current, &registry.env.now_text());
    if !decided.is_empty() {
        for (index, status) in decided {
            let mut definition = Value::clone(&current[index]);
            definition["status"] = status;
            write(registry, definition, "status").await?;
        }
        current = stored()?;
    }
    publish(registry, known, &current)?;
    let mut waits = false;
    for definition in current.iter().filter(|definition| object::is_terminating(definition)) {
        waits |= !end(registry, known, definition).await?;
    }
    Ok(waits)
}

/// Serves the rows of these definitions: topics before rows come, and after they are gone.
fn publish(registry: &Registry, known: &mut Known, definitions: &[Arc<Value>]) -> Result<(), Status> {
    let new = known.of(definitions);
    if new.is_same(known) {
        return Ok(());
    }
    registry.hub.define(&registry.store, &new.stored()).map_err(|error| store_failure(&error))?;
    registry.catalogue.replace(new.rows());
    registry.hub.forget_all_but(&new.stored());
    *known = new;
    Ok(())
}

/// Deletes what is left of a deleted definition; whether nothing is left.
async fn end(registry: &Arc<Registry>, known: &Known, definition: &Value) -> Result<bool, Status> {
    let name = object::meta(definition, "name");
    if let Some((_, defined)) = known.defined.get(name)
        && !delete_all(registry, &defined.stored).await?
    {
        return Ok(false);
    }
    if object::finalizers(definition).contains(&CLEANUP) {
        let mut released = definition.clone();
        let rest: Vec<Value> =
            object::finalizers(definition).into_iter().filter(|held| *held != CLEANUP).map(Value::from).collect();
        object::set_meta(&mut released, "finalizers", rest);
        write(registry, released, "").await?;
    }
    Ok(true)
}

/// Deletes the objects of a kind; whether none is left.
async fn delete_all(registry: &Arc<Registry>, row: &RowRef) -> Result<bool, Status> {
    let range = prefix_range(&keys::collection(row, None));
    let held = registry.store.range(&range, None, 0).map_err(|error| store_failure(&error))?;
    let user = User::internal("system:apiserver");
    for kv in &held.items {
        let Some((_, rest)) = keys::split(&kv.key) else { continue };
        let (namespace, name) = keys::namespace_and_name(rest);
        let target = Target::of(row, namespace, name);
        match registry.delete(&caller(&user), &target, &DeleteOptions::default()).await {
            Err(status) if !status.is_not_found() && !status.is_conflict() => return Err(status),
            _ => {}
        }
    }
    let left = registry.store.range(&range, None, 1).map_err(|error| store_failure(&error))?;
    Ok(left.items.is_empty())
}

/// Writes a definition, or its status. A conflict is no failure: the newer state wakes the task.
async fn write(registry: &Arc<Registry>, definition: Value, subresource: &'static str) -> Result<(), Status> {
    let user = User::internal("system:apiserver");
    let name = object::meta(&definition, "name").to_owned();
    let target = Target { subresource, ..Target::of(&built_in::CUSTOM_RESOURCE_DEFINITION, "", &name) };
    match registry.update(&caller(&user), &target, Body::Value(definition)).await {
        Err(status) if !status.is_conflict() && !status.is_not_found() => Err(status),
        _ => Ok(()),
    }
}

fn caller(user: &User) -> Caller<'_> {
    Caller { user, dry_run: false, validation: FieldValidation::Ignore, fence: None, warnings: None, manager: None }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn definition(plural: &str, kind: &str) -> Value {
        json!({"metadata": {"name": format!("{plural}.x.test"), "uid": plural, "generation": 1}, "spec": {"group": "x.test", "scope": "Cluster",
            "names": {"plural": plural, "singular": kind.to_lowercase(), "kind": kind, "listKind": format!("{kind}List")},
            "versions": [{"name": "v1", "served": true, "storage": true,
                          "schema": {"openAPIV3Schema": {"type": "object"}}}]},
            "status": {"acceptedNames": {"kind": "", "plural": ""}, "conditions": null, "storedVersions": ["v1"]}})
    }

    fn shared(definitions: &[Value]) -> Vec<Arc<Value>> {
        definitions.iter().cloned().map(Arc::new).collect()
    }

    /// The definitions with the status that was decided.
    fn decided(definitions: &[Value]) -> Vec<Value> {
        let mut all = definitions.to_vec();
        for (index, status) in decide(&shared(definitions), "now") {
            all[index]["status"] = status;
        }
        all
    }

    #[test]
    fn of_two_with_the_same_kind_the_older_one_is_established() {
        let all = decided(&[definition("as", "A"), definition("bs", "A")]);
        let holds = |index: usize, kind: &str| condition_is_true(&all[index], kind);
        assert!(holds(0, "NamesAccepted") && holds(0, "Established"));
        assert!(!holds(1, "NamesAccepted") && !holds(1, "Established"));
        let condition = object::condition(&all[1], "NamesAccepted").unwrap();
        assert_eq!(
            (&condition["reason"], &condition["message"]),
            (&json!("SingularConflict"), &json!("\"a\" is already in use"))
        );
        assert!(decide(&shared(&all), "later").is_empty(), "what is decided stays");
        let mut repaired = all;
        repaired[1]["spec"]["names"] = definition("bs", "B")["spec"]["names"].clone();
        assert!(condition_is_true(&decided(&repaired)[1], "Established"));
    }

    #[test]
    fn what_did_not_change_keeps_its_rows() {
        let accepted = decided(&[definition("as", "A")]).remove(0);
        let known = Known::default().of(&shared(std::slice::from_ref(&accepted)));
        let mut labelled = accepted.clone();
        labelled["metadata"]["labels"] = json!({"a": "b"});
        let mut changed = accepted.clone();
        changed["metadata"]["generation"] = 2.into();
        let row = |known: &Known| match &known.stored()[0] {
            RowRef::Defined(row) => Arc::as_ptr(row),
            RowRef::BuiltIn(row) => *row,
        };
        assert_eq!(row(&known), row(&known.of(&shared(&[labelled]))));
        assert_ne!(row(&known), row(&known.of(&shared(&[changed]))));
        assert!(known.rows().find("x.test", "v1", "as").is_some());
        assert!(Known::default().of(&shared(&[definition("as", "A")])).stored().is_empty(), "not established yet");
    }

    #[test]
    fn a_definition_of_a_built_in_kind_is_not_listed_again() {
        let mut shadow = definition("leases", "Lease");
        shadow["spec"]["group"] = "coordination.k8s.io".into();
        shadow["spec"]["versions"][0]["name"] = "v9".into();
        let known = Known::default().of(&shared(&decided(&[shadow, definition("as", "A")])));
        assert!(known.rows().find("coordination.k8s.io", "v9", "leases").is_none());
        assert_eq!(known.rows().iter().count(), built_in::all().len() + 1);
    }

    #[tokio::test]
    async fn a_definition_is_read_once_for_each_state() {
        use everynode_store::{MemoryStore, Transaction, Write};
        let store = MemoryStore::new();
        let key = |name: &str| keys::object(&RowRef::from(&built_in::CUSTOM_RESOURCE_DEFINITION), "", name);
        let put = async |plural: &str, kind: &str| {
            let value = stored::encode(&definition(plural, kind));
            let write = Write::Put { key: key(plural), value, expires_in: None };
            store.commit(Transaction { writes: vec![write], ..Transaction::default() }).await.unwrap();
        };
        put("as", "A").await;
        put("bs", "B").await;
        let mut definitions = Definitions::default();
        let first = definitions.current(&store).unwrap();
        put("bs", "C").await;
        let second = definitions.current(&store).unwrap();
        assert!(Arc::ptr_eq(&first[0], &second[0]) && !Arc::ptr_eq(&first[1], &second[1]));
        assert_eq!(second[1]["spec"]["names"]["kind"], "C");
    }
}
