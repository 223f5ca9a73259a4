//! Applying a strategic merge patch.
//!
//! The same walk serves two purposes, told apart by [`Mode`]: the server merges a patch into an
//! object and obeys the directives; the differ merges the patch of changes into the patch of
//! deletions and keeps them.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::order::{self, Elements, Ranks};
use super::{
    DELETE_FROM_PRIMITIVE_LIST, FieldMerge, MergeSchema, PATCH, PatchError, RETAIN_KEYS, SET_ELEMENT_ORDER, Strategy,
    bad_order, bad_primitive_list, bad_retain_keys, directive_target, go_print,
};

type Members = Map<String, Value>;

/// What the patch is merged into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// An object: directives and nulls take effect and disappear.
    Object,
    /// Another patch: directives and nulls are kept for the server.
    Patch,
}

/// `document` with `patch` applied (DS-I14). Both must be JSON objects. No directive remains in the
/// result.
pub fn apply<S: MergeSchema>(document: Value, patch: Value, schema: S) -> Result<Value, PatchError> {
    match (document, patch) {
        (Value::Object(document), Value::Object(patch)) => {
            merge_maps(document, patch, schema, Mode::Object).map(Value::Object)
        }
        _ => Err(PatchError::malformed("invalid JSON document")),
    }
}

pub(super) fn merge_maps<S: MergeSchema>(
    mut target: Members,
    mut patch: Members,
    schema: S,
    mode: Mode,
) -> Result<Members, PatchError> {
    match patch.remove(PATCH) {
        None => {}
        Some(mark) if mark == "merge" => {}
        Some(mark) if mark == "delete" => return Ok(Members::new()),
        Some(mark) if mark == "replace" => target = Members::new(),
        Some(mark) => return Err(unknown_mark(&mark, patch)),
    }
    retain_keys(&mut target, &mut patch, mode)?;
    merge_ordered_lists(&mut target, &mut patch, schema, mode)?;
    for (key, change) in patch {
        merge_member(&mut target, key, change, schema, mode)?;
    }
    Ok(target)
}

/// `patch` lacks the mark already.
fn unknown_mark(mark: &Value, mut patch: Members) -> PatchError {
    let shown = match mark {
        Value::String(text) => text.clone(),
        // What Go makes of a number where it expects a text.
        Value::Number(number) if number.is_i64() => format!("%!s(int64={number})"),
        Value::Bool(flag) => format!("%!s(bool={flag})"),
        other => go_print(other),
    };
    patch.insert(PATCH.to_owned(), mark.clone());
    PatchError::not_understood(format!("unknown patch type: {shown} in map: {}", go_print(&Value::Object(patch))))
}

/// `$retainKeys`: removes the members of `target` that are not named; the patch may set only named
/// ones (DS-I17).
fn retain_keys(target: &mut Members, patch: &mut Members, mode: Mode) -> Result<(), PatchError> {
    let Some(directive) = patch.remove(RETAIN_KEYS) else {
        return Ok(());
    };
    if mode == Mode::Patch {
        return keep_directive(target, RETAIN_KEYS, directive, bad_retain_keys);
    }
    let names = directive.as_array().ok_or_else(bad_retain_keys)?;
    let names: BTreeSet<&str> = names.iter().filter_map(Value::as_str).collect();
    let sets_a_member = |(key, value): (&String, &Value)| {
        !value.is_null()
            && !key.starts_with(DELETE_FROM_PRIMITIVE_LIST)
            && !key.starts_with(SET_ELEMENT_ORDER)
            && !names.contains(key.as_str())
    };
    if patch.iter().any(sets_a_member) {
        return Err(bad_retain_keys());
    }
    target.retain(|key, _| names.contains(key.as_str()));
    Ok(())
}

/// Moves a directive from the second patch to the first; if both have it, they must agree.
fn keep_directive(
    target: &mut Members,
    key: &str,
    directive: Value,
    error: fn() -> PatchError,
) -> Result<(), PatchError> {
    match target.get(key) {
        Some(present) if *present != directive => Err(error()),
        Some(_) => Ok(()),
        None => {
            target.insert(key.to_owned(), directive);
            Ok(())
        }
    }
}

/// `$setElementOrder/<list>`: merges that list and puts it in order, and takes both out of the
/// patch.
fn merge_ordered_lists<S: MergeSchema>(
    target: &mut Members,
    patch: &mut Members,
    schema: S,
    mode: Mode,
) -> Result<(), PatchError> {
    let directives: Vec<String> = patch.keys().filter(|key| key.starts_with(SET_ELEMENT_ORDER)).cloned().collect();
    for key in directives {
        let Some(order) = patch.remove(&key) else { continue };
        let name = directive_target(&key, SET_ELEMENT_ORDER).ok_or_else(bad_order)?;
        if mode == Mode::Patch {
            keep_directive(target, &key, order.clone(), bad_order)?;
        }
        let live = target.remove(name).map(order::list).transpose()?;
        let change = patch.remove(name).map(order::list).transpose()?;
        if let Some(list) = merge_ordered_list(live, change, order::list(order)?, schema.lookup(name), mode)? {
            target.insert(name.to_owned(), list.into());
        }
    }
    Ok(())
}

fn merge_ordered_list<S: MergeSchema>(
    live: Option<Vec<Value>>,
    change: Option<Vec<Value>>,
    order: Vec<Value>,
    field: FieldMerge<S>,
    mode: Mode,
) -> Result<Option<Vec<Value>>, PatchError> {
    let empty = Vec::new();
    let lists = (live.as_ref().unwrap_or(&empty), change.as_ref().unwrap_or(&empty));
    let key = matching_key(order::elements(lists.0, lists.1)?, field)?;
    order::check(lists.1, &order, key)?;
    let live_order = Ranks::of(lists.0, key)?;
    let merged = match (live, change) {
        (None, None) => return Ok(None),
        (Some(live), None) => live,
        (live, Some(change)) => merge_lists(live.unwrap_or_default(), change, field, mode)?,
    };
    order::arrange(merged, &Ranks::of(&order, key)?, &live_order, key).map(Some)
}

/// What matches the elements of a merging list: nothing for scalars, which match themselves.
fn matching_key<S>(elements: Elements, field: FieldMerge<S>) -> Result<Option<&'static str>, PatchError> {
    match (elements, field.merge_key) {
        (Elements::Scalars, _) => Ok(None),
        (Elements::Maps, Some(key)) => Ok(Some(key)),
        (Elements::Maps, None) => Err(PatchError::not_understood("cannot merge lists without merge key for type map")),
    }
}

fn merge_member<S: MergeSchema>(
    target: &mut Members,
    key: String,
    change: Value,
    schema: S,
    mode: Mode,
) -> Result<(), PatchError> {
    if key.starts_with(DELETE_FROM_PRIMITIVE_LIST) {
        return delete_from_primitive_list(target, key, change, mode);
    }
    if change.is_null() {
        target.remove(&key);
        if mode == Mode::Patch {
            target.insert(key, change);
        }
        return Ok(());
    }
    let field = schema.lookup(&key);
    let merged = match (target.remove(&key), change) {
        (Some(Value::Object(old)), Value::Object(new)) if field.strategy != Strategy::Replace => {
            merge_maps(old, new, field.schema, mode)?.into()
        }
        (Some(Value::Array(old)), Value::Array(new)) => merge_lists(old, new, field, mode)?.into(),
        (_, new) => added(new, field.schema, mode)?,
    };
    target.insert(key, merged);
    Ok(())
}

fn delete_from_primitive_list(target: &mut Members, key: String, gone: Value, mode: Mode) -> Result<(), PatchError> {
    if mode == Mode::Patch {
        target.insert(key, gone);
        return Ok(());
    }
    let name = directive_target(&key, DELETE_FROM_PRIMITIVE_LIST).ok_or_else(bad_primitive_list)?;
    let gone = gone.as_array().ok_or_else(bad_primitive_list)?;
    let gone: BTreeSet<String> = gone.iter().map(Value::to_string).collect();
    if let Some(Value::Array(items)) = target.get_mut(name) {
        items.retain(|item| !gone.contains(&item.to_string()));
    }
    Ok(())
}

/// A value that stands nowhere yet. In an object its directives and nulls take effect, as if merged
/// into nothing.
fn added<S: MergeSchema>(value: Value, schema: S, mode: Mode) -> Result<Value, PatchError> {
    match (value, mode) {
        (value, Mode::Patch) => Ok(value),
        (Value::Object(members), Mode::Object) => merge_maps(Members::new(), members, schema, mode).map(Value::Object),
        (Value::Array(items), Mode::Object) => added_list(items, schema).map(Value::Array),
        (scalar, Mode::Object) => Ok(scalar),
    }
}

/// The elements without those that only carry a directive.
fn added_list<S: MergeSchema>(items: Vec<Value>, schema: S) -> Result<Vec<Value>, PatchError> {
    let is_directive = |item: &Value| match item.get(PATCH) {
        Some(mark) => mark == "delete" || item.as_object().is_some_and(|members| members.len() == 1),
        None => false,
    };
    items.into_iter().filter(|item| !is_directive(item)).map(|item| added(item, schema, Mode::Object)).collect()
}

fn merge_lists<S: MergeSchema>(
    live: Vec<Value>,
    change: Vec<Value>,
    field: FieldMerge<S>,
    mode: Mode,
) -> Result<Vec<Value>, PatchError> {
    if field.strategy != Strategy::Merge {
        return match mode {
            Mode::Object => added_list(change, field.schema),
            Mode::Patch => Ok(change),
        };
    }
    let elements = order::elements(&live, &change)?;
    match matching_key(elements, field)? {
        None => merge_scalars(live, change),
        Some(key) => merge_keyed(live, change, key, field.schema, mode),
    }
}

fn merge_scalars(live: Vec<Value>, change: Vec<Value>) -> Result<Vec<Value>, PatchError> {
    let (change_order, live_order) = (Ranks::of(&change, None)?, Ranks::of(&live, None)?);
    let mut seen = BTreeSet::new();
    let both = live.into_iter().chain(change).filter(|item| seen.insert(item.to_string())).collect();
    order::arrange(both, &change_order, &live_order, None)
}

/// Merges lists of maps by their merge key: marked elements first, then each of the others into its
/// counterpart.
fn merge_keyed<S: MergeSchema>(
    mut live: Vec<Value>,
    change: Vec<Value>,
    key: &'static str,
    schema: S,
    mode: Mode,
) -> Result<Vec<Value>, PatchError> {
    let mut ordinary = Vec::with_capacity(change.len());
    let mut gone = BTreeSet::new();
    let mut replace = false;
    for item in change {
        match item.get(PATCH) {
            None => ordinary.push(item),
            Some(mark) if mark == "delete" => gone.extend([order::identity(&item, Some(key))?]),
            Some(mark) if mark == "replace" => replace = true,
            Some(mark) if mark == "merge" => {
                return Err(PatchError::not_understood("merging lists cannot yet be specified in the patch"));
            }
            Some(mark) => {
                let members = item.as_object().cloned().unwrap_or_default();
                return Err(unknown_mark(mark, members));
            }
        }
    }
    live.retain(|item| !item.get(key).is_some_and(|value| gone.contains(&value.to_string())));
    if replace {
        live.clear();
    }
    let (change_order, live_order) = (Ranks::of(&ordinary, Some(key))?, Ranks::of(&live, Some(key))?);
    let merged = merge_elements(live, ordinary, key, schema, mode)?;
    order::arrange(merged, &change_order, &live_order, Some(key))
}

fn merge_elements<S: MergeSchema>(
    mut live: Vec<Value>,
    change: Vec<Value>,
    key: &'static str,
    schema: S,
    mode: Mode,
) -> Result<Vec<Value>, PatchError> {
    let mut positions = BTreeMap::new();
    for (position, item) in live.iter().enumerate() {
        positions.entry(order::identity(item, Some(key))?).or_insert(position);
    }
    for item in change {
        let position = *positions.entry(order::identity(&item, Some(key))?).or_insert(live.len());
        match live.get_mut(position) {
            Some(place) => *place = merge_element(place.take(), item, schema, mode)?,
            None => live.push(added(item, schema, mode)?),
        }
    }
    Ok(live)
}

fn merge_element<S: MergeSchema>(live: Value, change: Value, schema: S, mode: Mode) -> Result<Value, PatchError> {
    match (live, change) {
        (Value::Object(live), Value::Object(change)) => merge_maps(live, change, schema, mode).map(Value::Object),
        (_, change) => added(change, schema, mode),
    }
}
