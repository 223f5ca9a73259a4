//! What a create, an update or a patch does to the entries of an object.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry as Slot;
use std::sync::{Arc, OnceLock};

use serde_json::Value;

use crate::compare::{Comparison, compare};
use crate::entry::{Entry, Managed, Operation};
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
fn with_few_updaters(mut managed: Managed) -> Managed {
    let mut updaters: Vec<Entry> =
        managed.entries.iter().filter(|entry| entry.operation == Operation::Update).cloned().collect();
    let mut surplus = updaters.len().saturating_sub(UPDATERS_MAX);
    if surplus == 0 {
        return managed;
    }
    updaters.sort_by(|one, two| (&one.time, &one.manager).cmp(&(&two.time, &two.manager)));
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
            Slot::Occupied(slot) => slot.get().clone(),
        };
        let bucket = Entry { manager: MERGED.into(), subresource: String::new(), ..entry.clone() };
        // What was first in this version is the bucket's beginning, unless there is a bucket.
        let begun = managed.remove(&bucket).or_else(|| managed.remove(&first));
        managed.remove(&entry);
        let fields = FieldSet::clone(&entry.fields).union(&begun.map(|begun| begun.fields).unwrap_or_default());
        managed.entries.push(Entry { fields: Arc::new(fields), ..bucket });
        surplus -= 1;
    }
    managed
}
