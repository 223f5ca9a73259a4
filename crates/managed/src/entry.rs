//! `metadata.managedFields`: an entry for each writer.

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::{Value, json};
use thiserror::Error;

use crate::fields_v1::FieldsV1Error;
use crate::set::FieldSet;

/// How a writer wrote.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Operation {
    /// It said all that it wants.
    Apply,
    /// It changed something: a create, an update or a patch.
    Update,
}

/// The fields of one writer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub manager: String,
    pub operation: Operation,
    /// The API version in which it wrote, and in which its fields are.
    pub api_version: String,
    /// The subresource through which it wrote; empty: none.
    pub subresource: String,
    /// When its fields or their values changed last, as RFC 3339 in UTC.
    pub time: Option<String>,
    pub fields: Arc<FieldSet>,
}

/// All entries of an object. Two entries never belong to the same writer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Managed {
    pub(crate) entries: Vec<Entry>,
}

/// Why an entry is none.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum EntryError {
    #[error("managed fields are a list of objects")]
    NoList,
    #[error("operation must be `Apply` or `Update`")]
    Operation,
    #[error("apiVersion must not be empty")]
    NoVersion,
    #[error("missing fieldsType in managed fields entry {0}")]
    NoFieldsType(usize),
    #[error("invalid fieldsType {1:?} in managed fields entry {0}")]
    FieldsType(usize, String),
    #[error("managed fields entry {0}: {1}")]
    Fields(usize, #[source] FieldsV1Error),
}

/// Whether a writer asks by its `metadata.managedFields` that they begin anew: `[]` or `[{}]`.
pub fn reset_requested(managed_fields: Option<&Value>) -> bool {
    match managed_fields.and_then(Value::as_array).map(Vec::as_slice) {
        Some([]) => true,
        Some([only]) => only.is_null() || only.as_object().is_some_and(serde_json::Map::is_empty),
        _ => false,
    }
}

impl Managed {
    /// Reads `metadata.managedFields`.
    pub fn decode(managed_fields: Option<&Value>) -> Result<Managed, EntryError> {
        let list = match managed_fields {
            None | Some(Value::Null) => &[][..],
            Some(Value::Array(list)) => list,
            Some(_) => return Err(EntryError::NoList),
        };
        let entries: Result<Vec<Entry>, EntryError> =
            list.iter().enumerate().map(|(index, value)| Entry::decode(index, value)).collect();
        let mut entries = entries?;
        // The last entry of a writer counts, at the place of its first one.
        let places = Places::of(&entries);
        let first: Vec<usize> =
            entries.iter().map(|entry| places.find(&entries, entry)).map(Option::unwrap_or_default).collect();
        for (index, place) in first.iter().enumerate().filter(|(index, place)| *place < index) {
            entries.swap(*place, index);
        }
        let mut index = 0;
        entries.retain(|_| {
            index += 1;
            first[index - 1] == index - 1
        });
        Ok(Managed { entries })
    }

    /// The list for `metadata.managedFields`, in the order in which it is always written.
    pub fn encode(&self) -> Value {
        let mut sorted: Vec<&Entry> = self.entries.iter().collect();
        sorted.sort_by(|one, two| one.order().cmp(&two.order()));
        sorted.into_iter().map(Entry::encode).collect()
    }

    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Whether these are the same entries whatever their times are.
    pub fn same_but_for_times(&self, other: &Managed) -> bool {
        let places = Places::of(&other.entries);
        self.entries.len() == other.entries.len()
            && self.entries.iter().all(|entry| {
                places.find(&other.entries, entry).is_some_and(|place| {
                    let other = &other.entries[place];
                    entry.api_version == other.api_version && entry.fields == other.fields
                })
            })
    }

    /// Where the entry of the same writer is.
    pub(crate) fn position(&self, entry: &Entry) -> Option<usize> {
        self.entries.iter().position(|other| other.is_of(entry))
    }

    pub(crate) fn remove(&mut self, entry: &Entry) -> Option<Entry> {
        self.position(entry).map(|place| self.entries.remove(place))
    }
}

/// Whose an entry is. Who applies has one entry for all versions.
pub(crate) type WriterKey = (Operation, String, String, Option<String>);

/// An object seldom has more writers than a hand has fingers; those are looked through.
const LOOKED_THROUGH_MAX: usize = 16;

/// Where the entry of each writer is first.
struct Places {
    /// `None`: there are few.
    by_writer: Option<HashMap<WriterKey, usize>>,
}

impl Places {
    fn of(entries: &[Entry]) -> Places {
        let by_writer = (entries.len() > LOOKED_THROUGH_MAX).then(|| {
            // Of several, the first one is put in last.
            entries.iter().enumerate().rev().map(|(place, entry)| (entry.writer(), place)).collect()
        });
        Places { by_writer }
    }

    fn find(&self, entries: &[Entry], entry: &Entry) -> Option<usize> {
        match &self.by_writer {
            Some(places) => places.get(&entry.writer()).copied(),
            None => entries.iter().position(|other| other.is_of(entry)),
        }
    }
}

impl Entry {
    pub(crate) fn writer(&self) -> WriterKey {
        let version = (self.operation == Operation::Update).then(|| self.api_version.clone());
        (self.operation, self.manager.clone(), self.subresource.clone(), version)
    }

    fn decode(index: usize, value: &Value) -> Result<Entry, EntryError> {
        let text = |name: &str| value[name].as_str().unwrap_or_default().to_owned();
        let operation = match value["operation"].as_str() {
            Some("Apply") => Operation::Apply,
            Some("Update") => Operation::Update,
            _ => return Err(EntryError::Operation),
        };
        let api_version = text("apiVersion");
        if api_version.is_empty() {
            return Err(EntryError::NoVersion);
        }
        match value["fieldsType"].as_str().unwrap_or_default() {
            "FieldsV1" => {}
            "" => return Err(EntryError::NoFieldsType(index)),
            other => return Err(EntryError::FieldsType(index, other.into())),
        }
        let fields = FieldSet::from_json(&value["fieldsV1"]).map_err(|error| EntryError::Fields(index, error))?;
        Ok(Entry {
            manager: text("manager"),
            operation,
            api_version,
            subresource: text("subresource"),
            time: value["time"].as_str().map(str::to_owned),
            fields: Arc::new(fields),
        })
    }

    fn encode(&self) -> Value {
        let mut entry = json!({
            "apiVersion": self.api_version,
            "fieldsType": "FieldsV1",
            "fieldsV1": self.fields.to_json(),
            "operation": self.operation.name(),
        });
        if !self.manager.is_empty() {
            entry["manager"] = self.manager.as_str().into();
        }
        if !self.subresource.is_empty() {
            entry["subresource"] = self.subresource.as_str().into();
        }
        if let Some(time) = &self.time {
            entry["time"] = time.as_str().into();
        }
        entry
    }

    /// Whether an entry is of the same writer. Who applies has one entry for all versions.
    fn is_of(&self, other: &Entry) -> bool {
        self.operation == other.operation
            && self.manager == other.manager
            && self.subresource == other.subresource
            && (self.operation == Operation::Apply || self.api_version == other.api_version)
    }

    fn order(&self) -> (Operation, &str, &str, &str, &str) {
        let time = self.time.as_deref().unwrap_or_default();
        (self.operation, time, &self.manager, &self.api_version, &self.subresource)
    }
}

impl Operation {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Operation::Apply => "Apply",
            Operation::Update => "Update",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(manager: &str, operation: &str, time: &str) -> Value {
        json!({"manager": manager, "operation": operation, "apiVersion": "v1", "time": time,
            "fieldsType": "FieldsV1", "fieldsV1": {"f:a": {}}})
    }

    #[test]
    fn entries_are_written_by_operation_time_and_name() {
        let list = json!([
            raw("b", "Update", "2026-01-01T00:00:01Z"),
            raw("z", "Update", "2026-01-01T00:00:00Z"),
            raw("a", "Update", "2026-01-01T00:00:01Z"),
            raw("y", "Apply", "2026-01-01T00:00:09Z"),
        ]);
        let managed = Managed::decode(Some(&list)).unwrap();
        let written = managed.encode();
        let names: Vec<&str> =
            written.as_array().unwrap().iter().filter_map(|entry| entry["manager"].as_str()).collect();
        assert_eq!(names, ["y", "z", "a", "b"]);
        assert_eq!(Managed::decode(Some(&written)).unwrap().encode(), written);
    }

    #[test]
    fn the_last_entry_of_a_writer_counts() {
        let mut other = raw("a", "Apply", "2026-01-01T00:00:01Z");
        other["apiVersion"] = "v2".into();
        let managed = Managed::decode(Some(&json!([raw("a", "Apply", "2026-01-01T00:00:00Z"), other]))).unwrap();
        assert_eq!(managed.entries.iter().map(|entry| &*entry.api_version).collect::<Vec<_>>(), ["v2"]);
    }

    #[test]
    fn many_entries_are_read_as_few_are() {
        let list: Vec<Value> =
            (0..400).map(|number| raw(&format!("m{}", number % 100), "Update", &number.to_string())).collect();
        let managed = Managed::decode(Some(&list.into())).unwrap();
        let seen: Vec<(&str, &str)> =
            managed.entries.iter().map(|entry| (&*entry.manager, entry.time.as_deref().unwrap())).collect();
        assert_eq!((seen.len(), seen[0], seen[99]), (100, ("m0", "300"), ("m99", "399")));
        assert!(managed.same_but_for_times(&managed));
    }

    #[test]
    fn what_is_no_entry_is_refused() {
        let refused = |name: &str, value: Value| {
            let mut entry = raw("a", "Update", "");
            entry[name] = value;
            Managed::decode(Some(&json!([entry]))).unwrap_err()
        };
        assert_eq!(refused("operation", json!("X")), EntryError::Operation);
        assert_eq!(refused("apiVersion", json!("")), EntryError::NoVersion);
        assert_eq!(refused("fieldsType", json!("")), EntryError::NoFieldsType(0));
        assert_eq!(refused("fieldsType", json!("V2")), EntryError::FieldsType(0, "V2".into()));
        assert_eq!(refused("fieldsV1", json!([])), EntryError::Fields(0, FieldsV1Error::NoObject));
        assert_eq!(Managed::decode(Some(&json!({}))), Err(EntryError::NoList));
    }

    #[test]
    fn an_empty_list_and_one_empty_entry_ask_for_a_reset() {
        let asks = |value: Value| reset_requested(Some(&value));
        assert!(asks(json!([])) && asks(json!([{}])));
        assert!(!asks(json!(null)) && !asks(json!([{}, {}])) && !asks(json!([raw("a", "Apply", "")])));
        assert!(!reset_requested(None));
    }

    #[test]
    fn times_may_differ() {
        let decode = |time: &str| Managed::decode(Some(&json!([raw("a", "Update", time)]))).unwrap();
        let (one, two) = (decode("2026-01-01T00:00:00Z"), decode("2027-01-01T00:00:00Z"));
        assert!(one.same_but_for_times(&two) && one != two);
        assert!(!one.same_but_for_times(&Managed::default()));
    }
}
