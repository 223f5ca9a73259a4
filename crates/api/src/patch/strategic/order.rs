//! The order of merged lists: `$setElementOrder` before the patch's own order before the live
//! order.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{PATCH, PatchError, bad_order, go_print, go_print_list, is_marked, no_merge_key};

/// What a list consists of. Lists of lists cannot be merged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Elements {
    Maps,
    Scalars,
}

/// The kind of the elements of both lists, which must agree. Empty lists count as scalars.
pub(super) fn elements(a: &[Value], b: &[Value]) -> Result<Elements, PatchError> {
    let mut items = a.iter().chain(b).map(kind);
    let first = items.next().unwrap_or(Ok(Elements::Scalars))?;
    for item in items {
        if item? != first {
            let text = format!("list element types are not identical: [{} {}]", go_print_list(a), go_print_list(b));
            return Err(PatchError::not_understood(text));
        }
    }
    Ok(first)
}

fn kind(item: &Value) -> Result<Elements, PatchError> {
    match item {
        Value::Object(_) => Ok(Elements::Maps),
        Value::Array(_) => Err(PatchError::not_understood("lists of lists are not supported")),
        _ => Ok(Elements::Scalars),
    }
}

/// By what an element is recognised: the text of its merge key's value, or of the scalar itself.
pub(super) fn identity(item: &Value, merge_key: Option<&str>) -> Result<String, PatchError> {
    match merge_key {
        None => Ok(item.to_string()),
        Some(key) => item.get(key).map(Value::to_string).ok_or_else(|| no_merge_key(item, key)),
    }
}

/// The position of each element's first occurrence, by identity.
pub(super) struct Ranks(BTreeMap<String, usize>);

impl Ranks {
    pub(super) fn of(list: &[Value], merge_key: Option<&str>) -> Result<Ranks, PatchError> {
        let mut ranks = BTreeMap::new();
        for (position, item) in list.iter().enumerate() {
            ranks.entry(identity(item, merge_key)?).or_insert(position);
        }
        Ok(Ranks(ranks))
    }

    pub(super) fn get(&self, identity: &str) -> Option<usize> {
        self.0.get(identity).copied()
    }
}

/// An element with its identity.
type Named = (String, Value);

/// Puts `merged` in order. Elements known to `patch_order` take that order, the others keep
/// `live_order`; the two rows are then interleaved so that an element stays before one that it
/// preceded in `live_order`, where possible.
pub(super) fn arrange(
    merged: Vec<Value>,
    patch_order: &Ranks,
    live_order: &Ranks,
    merge_key: Option<&str>,
) -> Result<Vec<Value>, PatchError> {
    let mut known = Vec::new();
    let mut others = Vec::new();
    for item in merged {
        let identity = identity(&item, merge_key)?;
        let row = if patch_order.get(&identity).is_some() { &mut known } else { &mut others };
        row.push((identity, item));
    }
    sort(&mut known, patch_order);
    sort(&mut others, live_order);
    Ok(interleave(others, known, live_order))
}

/// Deletion marks, which occur only while two patches are merged, go last.
fn sort(row: &mut [Named], order: &Ranks) {
    row.sort_by_key(|(identity, item)| (is_marked(item, "delete"), order.get(identity).unwrap_or(usize::MAX)));
}

fn interleave(others: Vec<Named>, known: Vec<Named>, live_order: &Ranks) -> Vec<Value> {
    let mut row = Vec::with_capacity(others.len() + known.len());
    let mut others = others.into_iter().peekable();
    for (identity, item) in known {
        let rank = live_order.get(&identity);
        let precedes = |other: &Named| live_order.get(&other.0).zip(rank).is_some_and(|(other, rank)| other < rank);
        while let Some((_, other)) = others.next_if(precedes) {
            row.push(other);
        }
        row.push(item);
    }
    row.extend(others.map(|(_, other)| other));
    row
}

/// Checks that the patch's elements occur in the `$setElementOrder` list in the same order.
/// Deletions need not.
pub(super) fn check(patch: &[Value], order: &[Value], merge_key: Option<&str>) -> Result<(), PatchError> {
    if patch.is_empty() || order.is_empty() {
        return Ok(());
    }
    let mut expected = order.iter();
    for item in patch.iter().filter(|item| item.get(PATCH).is_none()) {
        let wanted = identity(item, merge_key)?;
        let mut found = false;
        for candidate in expected.by_ref() {
            if identity(candidate, merge_key)? == wanted {
                found = true;
                break;
            }
        }
        if !found {
            let (patch, order) = (Value::from(patch.to_vec()), Value::from(order.to_vec()));
            let (patch, order) = (go_print(&patch), go_print(&order));
            let text = format!("The order in patch list:\n{patch}\n doesn't match $setElementOrder list:\n{order}\n");
            return Err(PatchError::not_understood(text));
        }
    }
    Ok(())
}

/// The list under a directive or a field that must be one.
pub(super) fn list(value: Value) -> Result<Vec<Value>, PatchError> {
    match value {
        Value::Array(items) => Ok(items),
        _ => Err(bad_order()),
    }
}
