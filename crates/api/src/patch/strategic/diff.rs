//! Making strategic merge patches: from two versions of an object, or from three as `kubectl apply`
//! does (DS-I20).

use std::cmp::Ordering;

use serde_json::{Map, Value, json};

use super::apply::{Mode, merge_maps};
use super::order::{self, Elements, Ranks};
use super::{
    DELETE_FROM_PRIMITIVE_LIST, FieldMerge, MergeSchema, PATCH, PatchError, RETAIN_KEYS, SET_ELEMENT_ORDER, Strategy,
    no_merge_key,
};

type Members = Map<String, Value>;

/// Which differences go into the patch.
#[derive(Clone, Copy, Debug)]
struct Scope {
    /// Members and elements that are new or different.
    changes: bool,
    /// Members and elements that are gone.
    deletions: bool,
    /// Whether the map at hand says which of its members remain.
    retain_keys: bool,
}

/// The patch that makes `modified` out of `original`; `{}` when they are equal.
pub fn create_two_way<S: MergeSchema>(original: &Value, modified: &Value, schema: S) -> Result<Value, PatchError> {
    let scope = Scope { changes: true, deletions: true, retain_keys: false };
    diff_maps(members(original)?, members(modified)?, schema, scope).map(Value::Object)
}

/// The patch that `kubectl apply` sends: it brings `current` (live) to `modified` (the manifest),
/// and removes what `original` (the manifest applied last) had and `modified` has no more.
/// Everything else on `current` stays. The identity of the object must not change.
pub fn diff3<S: MergeSchema>(
    original: &Value,
    modified: &Value,
    current: &Value,
    schema: S,
) -> Result<Value, PatchError> {
    let changed = Scope { changes: true, deletions: false, retain_keys: false };
    let deleted = Scope { changes: false, deletions: true, retain_keys: false };
    let changes = diff_maps(members(current)?, members(modified)?, schema, changed)?;
    let deletions = diff_maps(members(original)?, members(modified)?, schema, deleted)?;
    let patch = merge_maps(deletions, changes, schema, Mode::Patch)?;
    keeps_identity(&patch)?;
    Ok(Value::Object(patch))
}

fn keeps_identity(patch: &Members) -> Result<(), PatchError> {
    let renames = patch.get("metadata").and_then(|metadata| metadata.get("name")).is_some();
    match patch.contains_key("apiVersion") || patch.contains_key("kind") || renames {
        true => {
            Err(PatchError::unprocessable("precondition failed: apiVersion, kind and metadata.name may not change"))
        }
        false => Ok(()),
    }
}

fn members(value: &Value) -> Result<&Members, PatchError> {
    value.as_object().ok_or_else(|| PatchError::malformed("invalid JSON document"))
}

fn diff_maps<S: MergeSchema>(
    original: &Members,
    modified: &Members,
    schema: S,
    scope: Scope,
) -> Result<Members, PatchError> {
    let mut patch = Members::new();
    for (key, new) in modified {
        match (original.get(key), new) {
            (Some(Value::Object(old)), Value::Object(new)) => {
                diff_map_field(&mut patch, key, (old, new), schema.lookup(key), scope)?;
            }
            (Some(Value::Array(old)), Value::Array(new)) => {
                diff_list_field(&mut patch, key, (old, new), schema.lookup(key), scope)?;
            }
            (old, new) if scope.changes && old != Some(new) => {
                patch.insert(key.clone(), new.clone());
            }
            _ => {}
        }
    }
    let gone = || original.iter().filter(|(key, _)| !modified.contains_key(*key));
    if scope.deletions {
        patch.extend(gone().map(|(key, _)| (key.clone(), Value::Null)));
    }
    let retained: Vec<&String> = modified.iter().filter(|(_, value)| !value.is_null()).map(|(key, _)| key).collect();
    let differs = !patch.is_empty() || gone().any(|(_, value)| !value.is_null());
    if scope.retain_keys && differs && !retained.is_empty() {
        patch.insert(RETAIN_KEYS.to_owned(), json!(retained));
    }
    Ok(patch)
}

fn diff_map_field<S: MergeSchema>(
    patch: &mut Members,
    key: &str,
    (old, new): (&Members, &Members),
    field: FieldMerge<S>,
    scope: Scope,
) -> Result<(), PatchError> {
    if field.strategy == Strategy::Replace {
        if scope.changes && old != new {
            patch.insert(key.to_owned(), new.clone().into());
        }
        return Ok(());
    }
    let nested = diff_maps(old, new, field.schema, Scope { retain_keys: field.retain_keys, ..scope })?;
    if !nested.is_empty() {
        patch.insert(key.to_owned(), nested.into());
    }
    Ok(())
}

fn diff_list_field<S: MergeSchema>(
    patch: &mut Members,
    key: &str,
    (old, new): (&[Value], &[Value]),
    field: FieldMerge<S>,
    scope: Scope,
) -> Result<(), PatchError> {
    if field.strategy != Strategy::Merge {
        if scope.changes && old != new {
            patch.insert(key.to_owned(), new.to_vec().into());
        }
        return Ok(());
    }
    let diff = diff_lists(old, new, field, Scope { retain_keys: field.retain_keys, ..scope })?;
    let mut put = |key: String, list: Vec<Value>| {
        if !list.is_empty() {
            patch.insert(key, list.into());
        }
    };
    put(key.to_owned(), diff.patch);
    put(format!("{DELETE_FROM_PRIMITIVE_LIST}/{key}"), diff.deleted_scalars);
    put(format!("{SET_ELEMENT_ORDER}/{key}"), diff.order);
    Ok(())
}

/// The three lists that patch one merging list.
#[derive(Default)]
struct ListDiff {
    patch: Vec<Value>,
    deleted_scalars: Vec<Value>,
    order: Vec<Value>,
}

fn diff_lists<S: MergeSchema>(
    old: &[Value],
    new: &[Value],
    field: FieldMerge<S>,
    scope: Scope,
) -> Result<ListDiff, PatchError> {
    if old.is_empty() {
        let patch = if scope.changes { new.to_vec() } else { Vec::new() };
        return Ok(ListDiff { patch, ..ListDiff::default() });
    }
    match (order::elements(old, new)?, field.merge_key) {
        (Elements::Scalars, _) => diff_scalars(old, new, scope),
        (Elements::Maps, Some(key)) => diff_keyed(old, new, key, field.schema, scope),
        (Elements::Maps, None) => Err(PatchError::unprocessable("cannot merge lists without merge key for type map")),
    }
}

fn diff_scalars(old: &[Value], new: &[Value], scope: Scope) -> Result<ListDiff, PatchError> {
    let (old_ranks, new_ranks) = (Ranks::of(old, None)?, Ranks::of(new, None)?);
    let not_in = |ranks: &Ranks, list: &[Value]| -> Vec<Value> {
        list.iter().filter(|item| ranks.get(&item.to_string()).is_none()).cloned().collect()
    };
    let patch = if scope.changes { not_in(&old_ranks, new) } else { Vec::new() };
    let deleted_scalars = if scope.deletions { not_in(&new_ranks, old) } else { Vec::new() };
    let ordered = !deleted_scalars.is_empty() || (scope.changes && old != new);
    Ok(ListDiff { patch, deleted_scalars, order: if ordered { new.to_vec() } else { Vec::new() } })
}

fn diff_keyed<S: MergeSchema>(
    old: &[Value],
    new: &[Value],
    key: &'static str,
    schema: S,
    scope: Scope,
) -> Result<ListDiff, PatchError> {
    let (mut patch, deletions) = diff_elements(old, new, key, schema, scope)?;
    let new_ranks = Ranks::of(new, Some(key))?;
    let rank = |item: &Value| item.get(key).and_then(|value| new_ranks.get(&value.to_string()));
    patch.sort_by_key(rank);
    patch.extend(deletions);
    let keys = |list: &[Value]| -> Vec<Value> { list.iter().filter_map(|item| item.get(key).cloned()).collect() };
    let ordered = !patch.is_empty() || (scope.changes && keys(old) != keys(new));
    let order = match ordered {
        true => keys(new).into_iter().map(|value| json!({ key: value })).collect(),
        false => Vec::new(),
    };
    Ok(ListDiff { patch, deleted_scalars: Vec::new(), order })
}

/// Walks both lists sorted by merge key: what is changed or new, and marks for what is gone.
fn diff_elements<S: MergeSchema>(
    old: &[Value],
    new: &[Value],
    key: &'static str,
    schema: S,
    scope: Scope,
) -> Result<(Vec<Value>, Vec<Value>), PatchError> {
    let (old, new) = (sorted(old, key)?, sorted(new, key)?);
    let (mut olds, mut news) = (old.into_iter().peekable(), new.into_iter().peekable());
    let (mut patch, mut deletions) = (Vec::new(), Vec::new());
    loop {
        let next = match (olds.peek(), news.peek()) {
            (None, None) => return Ok((patch, deletions)),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some(old), Some(new)) => old.0.cmp(&new.0),
        };
        let old = olds.next_if(|_| next.is_le());
        let new = news.next_if(|_| next.is_ge());
        match (old, new) {
            (Some((_, old)), Some((_, new))) => patch.extend(diff_element(old, new, key, schema, scope)?),
            (None, Some((_, new))) if scope.changes => patch.push(new.clone().into()),
            (Some((_, old)), None) if scope.deletions => deletions.push(json!({ PATCH: "delete", key: old[key] })),
            _ => {}
        }
    }
}

fn diff_element<S: MergeSchema>(
    old: &Members,
    new: &Members,
    key: &'static str,
    schema: S,
    scope: Scope,
) -> Result<Option<Value>, PatchError> {
    let mut patch = diff_maps(old, new, schema, scope)?;
    if patch.is_empty() {
        return Ok(None);
    }
    patch.insert(key.to_owned(), new[key].clone());
    Ok(Some(patch.into()))
}

/// The elements with the text of their merge key, sorted by it.
fn sorted<'v>(list: &'v [Value], key: &str) -> Result<Vec<(String, &'v Members)>, PatchError> {
    let named = |item: &'v Value| {
        let identity = order::identity(item, Some(key))?;
        item.as_object().map(|members| (identity, members)).ok_or_else(|| no_merge_key(item, key))
    };
    let mut named = list.iter().map(named).collect::<Result<Vec<_>, _>>()?;
    named.sort_by(|a, b| a.0.cmp(&b.0));
    Ok(named)
}
