//! What a create, an update or a patch does to the entries of an object.

use std::collections::btree_map::Entry as Slot;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, OnceLock};

use serde_json::Value;

use crate::compare::{Comparison, compare};
use crate::entry::{Entry, Managed, Operation, WriterKey};
use crate::field_set::field_set;
use crate::items::TypedError;
use crate::schema::{Schema, TypeId};
use crate::set::FieldSet;

/// How many entries of updates an object has at most. The oldest are merged.
pub const UPDATERS_MAX: usize = 10;

/// Whose the fields are that merged entries had.
const MERGED: &str = "ancient-changes";

/// The manager of a write that names none.
const UNNAMED: &str = "unknown";

/// The type of an object in a schema.
#[derive(Clone, Copy, Debug)]
pub struct Root<'a> {
    pub schema: &'a Schema,
    pub id: TypeId,
}

/// The API versions in which objects of a kind are served.
pub trait Versions {
    /// The type in an API version; `None`: the kind is not served in it.
    fn root(&self, api_version: &str) -> Option<Root<'_>>;

    /// An object in another API version; `None`: the kind is not served in it.
    fn convert(&self, object: &Value, api_version: &str) -> Option<Value>;
}

/// A kind that is served in one version.
#[derive(Clone, Copy, Debug)]
pub struct NoOtherVersion<'a> {
    pub api_version: &'a str,
    pub root: Root<'a>,
}

impl Versions for NoOtherVersion<'_> {
    fn root(&self, api_version: &str) -> Option<Root<'_>> {
        (api_version == self.api_version).then_some(self.root)
    }

    fn convert(&self, object: &Value, api_version: &str) -> Option<Value> {
        (api_version == self.api_version).then(|| object.clone())
    }
}

/// A write: who makes it, and how.
#[derive(Clone, Copy, Debug)]
pub struct Writer<'a> {
    /// Empty: not named.
    pub manager: &'a str,
    pub api_version: &'a str,
    /// Empty: the object itself.
    pub subresource: &'a str,
    /// The time of the write, as RFC 3339 in UTC with seconds.
    pub now: &'a str,
    /// What this way of writing leaves as it is whatever is sent, such as `status`.
    pub reset: &'a FieldSet,
}

/// The entries of an object after a write that changed `live` to `new`. For a create, `live` is the
/// empty object of the kind. An object without entries gets none by an update.
///
/// Errors: what changed cannot be found out, because an item of a list has no keys. The original
/// then leaves the object without entries.
pub fn update(
    versions: &dyn Versions,
    live: &Value,
    new: &Value,
    managed: &Managed,
    writer: &Writer<'_>,
) -> Result<Managed, TypedError> {
    let creates = live["metadata"]["uid"].as_str().is_none_or(str::is_empty);
    if managed.is_empty() && !creates {
        return Ok(managed.clone());
    }
    let mut changes = Changes::new(versions, live, new, writer)?;
    let mut left = Managed::default();
    for entry in &managed.entries {
        let Some(change) = changes.in_version(&entry.api_version)? else { continue };
        left.entries.extend(entry.without_changes(change));
    }
    let change = changes.own();
    let fields = change.added.clone().union(&change.modified).difference(&change.removed);
    let fields = fields.recursive_difference(writer.reset).difference(never_owned());
    if !fields.is_empty() {
        let entry = writer.entry(Operation::Update, fields);
        let previous = left.remove(&entry).map(|previous| previous.fields);
        let fields = match previous {
            Some(previous) => Arc::new(Arc::unwrap_or_clone(entry.fields).union(&previous)),
            None => entry.fields,
        };
        left.entries.push(Entry { fields, ..entry });
    }
    Ok(with_few_updaters(left))
}

/// The entries of a request that is answered and not stored: its writer owns what it says.
///
/// Errors: an item of a list has no keys.
pub fn said(root: Root<'_>, object: &Value, writer: &Writer<'_>) -> Result<Managed, TypedError> {
    let fields = field_set(root.schema, root.id, object)?;
    let fields = fields.recursive_difference(writer.reset).difference(never_owned());
    let entries = if fields.is_empty() { Vec::new() } else { vec![writer.entry(Operation::Update, fields)] };
    Ok(Managed { entries })
}

/// What no writer owns, because the server sets it or it says which object it is.
pub(crate) fn never_owned() -> &'static FieldSet {
    static SET: OnceLock<FieldSet> = OnceLock::new();
    SET.get_or_init(|| {
        FieldSet::of_fields(&[
            &["apiVersion"],
            &["kind"],
            &["metadata"],
            &["metadata", "name"],
            &["metadata", "namespace"],
            &["metadata", "creationTimestamp"],
            &["metadata", "selfLink"],
            &["metadata", "uid"],
            &["metadata", "clusterName"],
            &["metadata", "generation"],
            &["metadata", "managedFields"],
            &["metadata", "resourceVersion"],
        ])
    })
}

impl Writer<'_> {
    pub(crate) fn entry(&self, operation: Operation, fields: FieldSet) -> Entry {
        Entry {
            manager: if self.manager.is_empty() { UNNAMED } else { self.manager }.into(),
            operation,
            api_version: self.api_version.into(),
            subresource: self.subresource.into(),
            time: Some(self.now.into()),
            fields: Arc::new(fields),
        }
    }
}

impl Entry {
    /// Without the fields that changed; `None`: it has no others.
    pub(crate) fn without_changes(&self, change: &Comparison) -> Option<Entry> {
        let touched = [&change.added, &change.modified, &change.removed]
            .into_iter()
            .any(|set| !set.is_empty() && !self.fields.intersection(set).is_empty());
        if !touched {
            return Some(self.clone());
        }
        let fields = FieldSet::clone(&self.fields);
        let fields = fields.difference(&change.added).difference(&change.modified).difference(&change.removed);
        (!fields.is_empty()).then(|| Entry { fields: Arc::new(fields), ..self.clone() })
    }
}

/// What changed, in each version that entries have.
pub(crate) struct Changes<'a> {
    versions: &'a dyn Versions,
    live: &'a Value,
    new: &'a Value,
    reset: &'a FieldSet,
    own_version: &'a str,
    /// By version; `None`: not served.
    found: BTreeMap<String, Option<Comparison>>,
}

impl<'a> Changes<'a> {
    pub(crate) fn new(
        versions: &'a dyn Versions,
        live: &'a Value,
        new: &'a Value,
        writer: &Writer<'a>,
    ) -> Result<Changes<'a>, TypedError> {
        let own_version = writer.api_version;
        let mut changes = Changes { versions, live, new, reset: writer.reset, own_version, found: BTreeMap::new() };
        let own = match versions.root(own_version) {
            Some(root) => Some(changes.compared(root, live, new)?),
            None => Some(Comparison::default()),
        };
        changes.found.insert(own_version.into(), own);
        Ok(changes)
    }

    fn compared(&self, root: Root<'_>, live: &Value, new: &Value) -> Result<Comparison, TypedError> {
        Ok(compare(root.schema, root.id, live, new)?.without(self.reset))
    }

    pub(crate) fn own(&self) -> &Comparison {
        static NONE: OnceLock<Comparison> = OnceLock::new();
        self.found
            .get(self.own_version)
            .and_then(Option::as_ref)
            .unwrap_or_else(|| NONE.get_or_init(Comparison::default))
    }

    /// `None`: the kind is not served in this version any longer.
    pub(crate) fn in_version(&mut self, version: &str) -> Result<Option<&Comparison>, TypedError> {
        if !self.found.contains_key(version) {
            let found = match self.converted(version) {
                Some((root, live, new)) => Some(self.compared(root, &live, &new)?),
                None => None,
            };
            self.found.insert(version.into(), found);
        }
        Ok(self.found.get(version).and_then(Option::as_ref))
    }

    fn converted(&self, version: &str) -> Option<(Root<'a>, Value, Value)> {
        let root = self.versions.root(version)?;
        Some((root, self.versions.convert(self.live, version)?, self.versions.convert(self.new, version)?))
    }
}

/// Merges the oldest entries of updates, so that there are no more than [`UPDATERS_MAX`].
fn with_few_updaters(managed: Managed) -> Managed {
    let is_update = |entry: &&Entry| entry.operation == Operation::Update;
    let mut surplus = managed.entries.iter().filter(is_update).count().saturating_sub(UPDATERS_MAX);
    if surplus == 0 {
        return managed;
    }
    let mut updaters: Vec<Entry> = managed.entries.iter().filter(is_update).cloned().collect();
    updaters.sort_by(|one, two| (&one.time, &one.manager).cmp(&(&two.time, &two.manager)));
    let mut left = Left::new(managed);
    let mut first_of_version: BTreeMap<String, Entry> = BTreeMap::new();
    for entry in updaters {
        if surplus == 0 {
            break;
        }
        let first = match first_of_version.entry(entry.api_version.clone()) {
            Slot::Vacant(slot) => {
                slot.insert(entry);
                continue;
            }
            Slot::Occupied(slot) => slot.into_mut(),
        };
        let bucket = Entry { manager: MERGED.into(), subresource: String::new(), ..entry.clone() };
        // What was first in this version is the bucket's beginning, unless there is a bucket.
        let begun = left.remove(&bucket).or_else(|| left.remove(first));
        left.remove(&entry);
        let begun = begun.map(|begun| Arc::unwrap_or_clone(begun.fields)).unwrap_or_default();
        left.push(Entry { fields: Arc::new(begun.union(&entry.fields)), ..bucket });
        surplus -= 1;
    }
    left.managed()
}

/// Entries of which many are removed.
struct Left {
    /// `None`: removed.
    entries: Vec<Option<Entry>>,
    places: HashMap<WriterKey, usize>,
}

impl Left {
    fn new(managed: Managed) -> Left {
        let mut left = Left { entries: Vec::new(), places: HashMap::new() };
        managed.entries.into_iter().for_each(|entry| left.push(entry));
        left
    }

    fn push(&mut self, entry: Entry) {
        self.places.insert(entry.writer(), self.entries.len());
        self.entries.push(Some(entry));
    }

    /// Removes the entry of a writer.
    fn remove(&mut self, entry: &Entry) -> Option<Entry> {
        let place = self.places.remove(&entry.writer())?;
        self.entries[place].take()
    }

    fn managed(self) -> Managed {
        Managed { entries: self.entries.into_iter().flatten().collect() }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Entries of updaters that have a field each; equal ones are of one writer.
    fn updaters(count: usize) -> Managed {
        let entry = |number: usize| {
            json!({"manager": format!("m{number:05}"), "operation": "Update", "apiVersion": "v1",
                "time": "2026-01-01T00:00:00Z", "fieldsType": "FieldsV1",
                "fieldsV1": {"f:data": {format!("f:k{number}"): {}}}})
        };
        Managed::decode(Some(&(0..count).map(entry).collect())).unwrap()
    }

    #[test]
    fn the_oldest_updaters_become_one() {
        let merged = with_few_updaters(updaters(UPDATERS_MAX + 5));
        let managers: Vec<&str> = merged.entries.iter().map(|entry| &*entry.manager).collect();
        assert_eq!((managers.len(), managers[0], managers[9]), (UPDATERS_MAX, "m00006", MERGED));
        assert_eq!(merged.entries[9].fields.len(), 6);
        assert_eq!(with_few_updaters(merged.clone()), merged, "few are left alone");
    }

    #[test]
    fn many_updaters_are_merged_in_about_as_many_steps() {
        // Quadratic, this is more than 10^8 steps.
        let merged = with_few_updaters(updaters(10_000));
        assert_eq!(merged.entries.len(), UPDATERS_MAX);
        assert_eq!(merged.entries.iter().map(|entry| entry.fields.len()).sum::<usize>(), 10_000);
    }
}
