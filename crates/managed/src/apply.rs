//! Server-side apply: a writer says everything that it wants of an object.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;
use thiserror::Error;

use crate::conflict::Conflicts;
use crate::entry::{Entry, EntryError, Managed, Operation};
use crate::field_set::{field_set, validate};
use crate::items::TypedError;
use crate::last_applied::{KUBECTL, owned_by_annotation, renew_annotation};
use crate::merge::merge;
use crate::remove::{with_named_fields, without};
use crate::set::FieldSet;
use crate::update::{Changes, Root, Versions, Writer, never_owned, update};
use crate::value::same;

/// Whose the fields are that an object had when the first writer applied to it.
const BEFORE: &str = "before-first-apply";

/// What is applied, and how.
#[derive(Clone, Copy, Debug)]
pub struct Configuration<'a> {
    pub object: &'a Value,
    pub kind: &'a str,
    pub writer: Writer<'a>,
    /// Fields of other writers are taken from them.
    pub force: bool,
}

/// What an apply makes of an object.
#[derive(Clone, Debug, PartialEq)]
pub struct Applied {
    /// `None`: the object is as it was, though its entries may differ.
    pub object: Option<Value>,
    pub managed: Managed,
}

/// Why nothing is applied.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ApplyError {
    #[error("invalid object type: {0}")]
    OtherKind(String),
    #[error("metadata.managedFields must be nil")]
    WithEntries,
    /// The object's own entries are broken.
    #[error("failed to decode managed fields: {0}")]
    Entries(#[from] EntryError),
    /// The configuration is not of its type.
    #[error("failed to create typed patch object ({object}): {fault}")]
    Type { object: String, fault: TypedError },
    #[error("failed to merge config: {0}")]
    Merge(TypedError),
    #[error("the server does not serve this version")]
    NoVersion,
    #[error("{0}")]
    Conflicts(Conflicts),
}

/// Applies a configuration to an object. `empty` is the empty object of the kind, and what `live`
/// is for an object that is not there.
pub fn apply(
    versions: &dyn Versions,
    empty: &Value,
    live: &Value,
    managed: &Managed,
    configuration: &Configuration<'_>,
) -> Result<Applied, ApplyError> {
    let writer = &configuration.writer;
    configuration.check_kind()?;
    if !configuration.object["metadata"]["managedFields"].is_null() {
        return Err(ApplyError::WithEntries);
    }
    let root = versions.root(writer.api_version).ok_or(ApplyError::NoVersion)?;
    let said = validate(root.schema, root.id, configuration.object)
        .map_err(|fault| ApplyError::Type { object: configuration.named(), fault })?;
    let begun = match managed.is_empty() {
        true => {
            let before = Writer { manager: BEFORE, ..*writer };
            update(versions, empty, live, managed, &before).map_err(ApplyError::Merge)?
        }
        false => managed.clone(),
    };
    let work = Work { versions, root, live, managed: &begun, configuration, said };
    let mut applied = match work.apply(configuration.force) {
        Err(ApplyError::Conflicts(conflicts)) if writer.manager == KUBECTL => {
            let allowed = owned_by_annotation(root, writer.api_version, live).unwrap_or_default();
            match conflicts.outside(&allowed) {
                Some(left) => return Err(ApplyError::Conflicts(left)),
                None => work.apply(true)?,
            }
        }
        other => other?,
    };
    if writer.manager == KUBECTL {
        let mut object = applied.object.unwrap_or_else(|| live.clone());
        renew_annotation(&mut object, configuration.object);
        applied.object = (!same(&object, live)).then_some(object);
    }
    Ok(applied)
}

impl Configuration<'_> {
    fn check_kind(&self) -> Result<(), ApplyError> {
        let text = |name: &str| self.object[name].as_str().unwrap_or_default();
        if text("apiVersion") == self.writer.api_version && text("kind") == self.kind {
            return Ok(());
        }
        Err(ApplyError::OtherKind(go_kind(text("apiVersion"), text("kind"))))
    }

    /// `namespace/name; apps/v1, Kind=DaemonSet`.
    fn named(&self) -> String {
        let text = |name: &str| self.object["metadata"][name].as_str().unwrap_or_default();
        format!("{}/{}; {}", text("namespace"), text("name"), go_kind(self.writer.api_version, self.kind))
    }
}

/// `apps/v1, Kind=DaemonSet`; the core group is empty: `/v1, Kind=Pod`.
fn go_kind(api_version: &str, kind: &str) -> String {
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    format!("{group}/{version}, Kind={kind}")
}

struct Work<'a> {
    versions: &'a dyn Versions,
    root: Root<'a>,
    live: &'a Value,
    managed: &'a Managed,
    configuration: &'a Configuration<'a>,
    /// The fields of the configuration.
    said: FieldSet,
}

impl Work<'_> {
    fn apply(&self, force: bool) -> Result<Applied, ApplyError> {
        let writer = &self.configuration.writer;
        let Root { schema, id } = self.root;
        let merged = merge(schema, id, self.live, self.configuration.object).map_err(ApplyError::Merge)?;
        let fields = self.said.clone().recursive_difference(writer.reset);
        let mut entry = writer.entry(Operation::Apply, fields);
        let mut others = self.managed.clone();
        let last = others.remove(&entry);
        let new = match &last {
            Some(last) => self.pruned(merged, last, &others, &entry).map_err(ApplyError::Merge)?,
            None => merged,
        };
        let mut managed = self.ownership(others, &new, force)?;
        let changed = !same(self.live, &new);
        if !changed {
            entry.time = last.and_then(|last| last.time);
        }
        let fields = FieldSet::clone(&entry.fields).difference(never_owned());
        if !fields.is_empty() {
            managed.entries.push(Entry { fields: Arc::new(fields), ..entry });
        }
        Ok(Applied { object: changed.then_some(new), managed })
    }

    /// What others keep. Errors: a field of theirs is changed without force.
    fn ownership(&self, others: Managed, new: &Value, force: bool) -> Result<Managed, ApplyError> {
        let writer = &self.configuration.writer;
        let mut changes = Changes::new(self.versions, self.live, new, writer).map_err(ApplyError::Merge)?;
        let mut taken = Vec::new();
        let mut left = Managed::default();
        for entry in &others.entries {
            let Some(change) = changes.in_version(&entry.api_version).map_err(ApplyError::Merge)? else { continue };
            let touched = change.modified.clone().union(&change.added);
            taken.push((entry, entry.fields.intersection(&touched)));
            left.entries.extend(entry.without_changes(change));
        }
        match Conflicts::of(&taken) {
            Some(conflicts) if !force => Err(ApplyError::Conflicts(conflicts)),
            _ => Ok(left),
        }
    }

    /// Without what the writer applied last time, does not apply now, and no other writer owns.
    fn pruned(&self, merged: Value, last: &Entry, others: &Managed, entry: &Entry) -> Result<Value, TypedError> {
        let version = &*last.api_version;
        let (Some(root), Some(converted)) = (self.versions.root(version), self.at(&merged, version)) else {
            return Ok(merged);
        };
        let Root { schema, id } = root;
        let gone = with_named_fields(schema, id, &last.fields);
        let pruned = without(schema, id, &converted, &gone);
        let pruned = self.with_owned(&converted, pruned, version, others, entry)?;
        let kept = with_named_fields(schema, id, &field_set(schema, id, &pruned)?);
        let there = with_named_fields(schema, id, &field_set(schema, id, &converted)?);
        let object = without(schema, id, &converted, &there.difference(&kept).intersection(&gone));
        Ok(self.at(&object, self.configuration.writer.api_version).unwrap_or(object))
    }

    /// With what others own, or the configuration says.
    fn with_owned(
        &self,
        merged: &Value,
        mut pruned: Value,
        first: &str,
        others: &Managed,
        entry: &Entry,
    ) -> Result<Value, TypedError> {
        let mut owned: BTreeMap<&str, FieldSet> = BTreeMap::new();
        for entry in others.entries.iter().chain([entry]) {
            let set = owned.entry(&entry.api_version).or_default();
            *set = std::mem::take(set).union(&entry.fields);
        }
        // The version of what was pruned is first: what a conversion needs may have been pruned.
        let rest: Vec<&str> = owned.keys().copied().filter(|version| *version != first).collect();
        for version in [first].into_iter().chain(rest) {
            let (Some(set), Some(Root { schema, id })) = (owned.get(version), self.versions.root(version)) else {
                continue;
            };
            let (Some(whole), Some(part)) = (self.at(merged, version), self.at(&pruned, version)) else { continue };
            let whole_fields = with_named_fields(schema, id, &field_set(schema, id, &whole)?);
            let part_fields = with_named_fields(schema, id, &field_set(schema, id, &part)?);
            let kept = part_fields.union(&with_named_fields(schema, id, set));
            pruned = without(schema, id, &whole, &whole_fields.difference(&kept));
            pruned = self.at(&pruned, first).unwrap_or(pruned);
        }
        Ok(pruned)
    }

    /// The object in a version.
    fn at(&self, object: &Value, version: &str) -> Option<Value> {
        match object["apiVersion"] == version {
            true => Some(object.clone()),
            false => self.versions.convert(object, version),
        }
    }
}

#[cfg(test)]
#[path = "apply_tests.rs"]
mod tests;
