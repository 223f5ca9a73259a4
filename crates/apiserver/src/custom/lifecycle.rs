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
use everynode_store::{Store, StoreError, prefix_range};
use serde_json::{Value, json};

use super::definition::{CLEANUP, condition_is_true};
use super::names::Taken;
use super::rows::{Defined, rows};
use crate::auth::User;
use crate::catalogue::{RowRef, Rows, built_in};
use crate::hub::{Delivery, Filter};
use crate::registry::{Body, Caller, DeleteOptions, Registry, Target, WatchParameters, store_failure};
use crate::schema::FieldValidation;
use crate::{keys, object, stored};

/// How long the objects of a deleted definition may hold it before it is looked at again.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// A watch that nothing else needs has no use for bookmarks.
const NEVER: Duration = Duration::from_secs(24 * 3600);

/// The definitions that are stored, the oldest first.
pub(crate) fn stored_definitions(store: &dyn Store) -> Result<Vec<Value>, StoreError> {
    let page = store.range(&prefix_range(&keys::collection(&built_in::CUSTOM_RESOURCE_DEFINITION, None)), None, 0)?;
    let read = |kv: everynode_store::KeyValue| stored::decode(&kv.value, kv.modified).ok();
    let mut definitions: Vec<Value> = page.items.into_iter().filter_map(read).collect();
    definitions.sort_by_key(|definition| {
        (object::meta(definition, "creationTimestamp").to_owned(), object::meta(definition, "name").to_owned())
    });
    Ok(definitions)
}

/// What is served of custom resources, and of which definitions it was made.
#[derive(Default)]
pub(crate) struct Known {
    /// By name of the definition; what its rows depend on, and the rows.
    defined: BTreeMap<String, (Value, Defined)>,
}

impl Known {
    /// The rows of these definitions. What did not change keeps its rows, and so its watches.
    pub(crate) fn of(&self, definitions: &[Value]) -> Known {
        let mut defined = BTreeMap::new();
        for definition in definitions {
            let name = object::meta(definition, "name").to_owned();
            let basis = basis(definition);
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

    /// All rows, built-in ones first.
    pub(crate) fn rows(&self) -> Rows {
        let built_in = built_in::all().into_iter().map(RowRef::BuiltIn);
        let defined = self.defined.values().flat_map(|(_, defined)| defined.served.iter().cloned());
        Rows::new(built_in.chain(defined).collect())
    }

    /// The row of each stored version.
    pub(crate) fn stored(&self) -> Vec<RowRef> {
        self.defined.values().map(|(_, defined)| defined.stored.clone()).collect()
    }

    fn is_same(&self, other: &Known) -> bool {
        self.bases().eq(other.bases())
    }

    fn bases(&self) -> impl Iterator<Item = (&String, &Value)> {
        self.defined.iter().map(|(name, (basis, _))| (name, basis))
    }
}

/// What the rows of a definition depend on.
fn basis(definition: &Value) -> Value {
    json!([
        definition["spec"],
        definition["status"]["acceptedNames"],
        definition["metadata"]["uid"],
        object::is_terminating(definition),
        condition_is_true(definition, "Established"),
    ])
}

/// The status that each definition should have, where it has another one: by place in the list.
fn decide(definitions: &[Value], now: &str) -> Vec<(usize, Value)> {
    let mut states: Vec<Value> = definitions.to_vec();
    let mut changed = Vec::new();
    for index in 0..states.len() {
        let group = states[index]["spec"]["group"].clone();
        let mut taken = Taken::default();
        for (other, state) in states.iter().enumerate() {
            if other != index && state["spec"]["group"] == group {
                taken.take(&state["status"]["acceptedNames"]);
            }
        }
        let before = states[index].clone();
        accept(&mut states[index], &taken, now);
        if states[index]["status"] != before["status"] {
            changed.push((index, states[index].clone()));
        }
    }
    changed
}

fn accept(definition: &mut Value, taken: &Taken, now: &str) {
    if object::is_terminating(definition) {
        return;
    }
    let asked = definition["spec"]["names"].clone();
    let (accepted, refusal) = taken.accept(&asked, &definition["status"]["acceptedNames"]);
    object::object_mut(definition, "status").insert("acceptedNames".into(), accepted);
    let condition = |kind: &str, holds: bool, reason: &str, message: &str| {
        let status = if holds { "True" } else { "False" };
        json!({"type": kind, "status": status, "reason": reason, "message": message})
    };
    let was_established = condition_is_true(definition, "Established");
    match &refusal {
        None => set(definition, condition("NamesAccepted", true, "NoConflicts", "no conflicts found"), now),
        Some((reason, message)) => set(definition, condition("NamesAccepted", false, reason, message), now),
    }
    match (was_established, refusal) {
        (true, _) => {}
        (false, None) => {
            let message = "the initial names have been accepted";
            set(definition, condition("Established", true, "InitialNamesAccepted", message), now);
        }
        (false, Some(_)) => {
            set(definition, condition("Established", false, "NotAccepted", "not all names are accepted"), now);
        }
    }
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
pub(crate) async fn run(registry: Arc<Registry>, mut known: Known) {
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
            let waits = match reconcile(&registry, &mut known).await {
                Ok(waits) => waits,
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
async fn reconcile(registry: &Arc<Registry>, known: &mut Known) -> Result<bool, Status> {
    let stored = || stored_definitions(&*registry.store).map_err(|error| store_failure(&error));
    let mut definitions = stored()?;
    let decided = decide(&definitions, &registry.env.now_text());
    if !decided.is_empty() {
        for (_, definition) in decided {
            write(registry, definition, "status").await?;
        }
        definitions = stored()?;
    }
    publish(registry, known, &definitions)?;
    let mut waits = false;
    for definition in definitions.iter().filter(|definition| object::is_terminating(definition)) {
        waits |= !end(registry, known, definition).await?;
    }
    Ok(waits)
}

/// Serves the rows of these definitions: topics before rows come, and after they are gone.
fn publish(registry: &Registry, known: &mut Known, definitions: &[Value]) -> Result<(), Status> {
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
        json!({"metadata": {"name": format!("{plural}.x.test")}, "spec": {"group": "x.test", "scope": "Cluster",
            "names": {"plural": plural, "singular": kind.to_lowercase(), "kind": kind, "listKind": format!("{kind}List")},
            "versions": [{"name": "v1", "served": true, "storage": true,
                          "schema": {"openAPIV3Schema": {"type": "object"}}}]},
            "status": {"acceptedNames": {"kind": "", "plural": ""}, "conditions": null, "storedVersions": ["v1"]}})
    }

    #[test]
    fn of_two_with_the_same_kind_the_older_one_is_established() {
        let decided = decide(&[definition("as", "A"), definition("bs", "A")], "now");
        let holds = |index: usize, kind: &str| condition_is_true(&decided[index].1, kind);
        assert!(holds(0, "NamesAccepted") && holds(0, "Established"));
        assert!(!holds(1, "NamesAccepted") && !holds(1, "Established"));
        let condition = object::condition(&decided[1].1, "NamesAccepted").unwrap();
        assert_eq!(
            (&condition["reason"], &condition["message"]),
            (&json!("SingularConflict"), &json!("\"a\" is already in use"))
        );
        let again: Vec<Value> = decided.into_iter().map(|(_, definition)| definition).collect();
        assert!(decide(&again, "later").is_empty(), "what is decided stays");
    }

    #[test]
    fn what_did_not_change_keeps_its_rows() {
        let (_, accepted) = decide(&[definition("as", "A")], "now").remove(0);
        let known = Known::default().of(std::slice::from_ref(&accepted));
        let mut labelled = accepted.clone();
        labelled["metadata"]["labels"] = json!({"a": "b"});
        let row = |known: &Known| match &known.stored()[0] {
            RowRef::Defined(row) => Arc::as_ptr(row),
            RowRef::BuiltIn(row) => *row,
        };
        assert_eq!(row(&known), row(&known.of(&[labelled])));
        assert!(known.rows().find("x.test", "v1", "as").is_some());
        assert!(Known::default().of(&[definition("as", "A")]).stored().is_empty(), "not established yet");
    }
}
