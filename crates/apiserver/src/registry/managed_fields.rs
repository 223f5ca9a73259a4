//! `metadata.managedFields` of what is written (see [`everynode_managed`]).
//!
//! The entries of a create are made of what was sent and defaulted, before admission adds to it;
//! those of an update of what it changed. They are written with the object.
//!
//! What the system's own parts write is left out: it is nearly all that is written in a fleet, and
//! no user applies to it. An object without entries gets none by an update.

use everynode_api::field::{FieldError, Path};
use everynode_api::kinds::Kind;
use everynode_api::status::Status;
use everynode_managed::{Configuration, FieldSet, Managed, NoOtherVersion, Root, Versions, Writer, reset_requested};
use serde_json::Value;

use super::update::Part;
use super::{Caller, Registry, Target};
use crate::auth::NODES;
use crate::catalogue::Row;
use crate::catalogue::row::Form;
use crate::custom::apply_type::AllVersions;
use crate::{object, schema};

const MEMBER: &str = "managedFields";

/// Kubernetes' limits of the names in entries.
pub(crate) const MANAGER_BYTES_MAX: usize = 128;
const SUBRESOURCE_BYTES_MAX: usize = 256;

/// The manager of writes of this process.
const OWN: &str = "everynode";

impl Caller<'_> {
    /// Whether the fields that are written are taken note of.
    pub(crate) fn is_tracked(&self, info: &Row) -> bool {
        // What is stored in another form than that in which it is written is not compared.
        info.form != Form::EventsV1 && !self.is_part_of_us()
    }

    fn is_part_of_us(&self) -> bool {
        self.manager.is_none() || self.user.is_in(NODES)
    }

    pub(super) fn manager(&self) -> &str {
        self.manager.unwrap_or(OWN)
    }
}

/// A way of writing, in the words of [`everynode_managed`].
pub(crate) struct Way {
    pub(super) api_version: String,
    pub(super) now: String,
    pub(super) reset: FieldSet,
}

impl Registry {
    /// A way of writing a form of the object that is a kind of its own.
    pub(crate) fn way_of(&self, target: &Target, kind: &Kind) -> Way {
        Way { api_version: kind.api_version(), ..self.way(target) }
    }

    pub(super) fn way(&self, target: &Target) -> Way {
        let reset = match Part::of(target) {
            Part::Status => REPORTED_BY_STATUS,
            Part::Main | Part::Other if target.info.subresource("status").is_some() => &[&["status"] as &[&str]],
            Part::Main | Part::Other => &[],
        };
        Way { api_version: target.info.kind.api_version(), now: self.env.now_text(), reset: FieldSet::of_fields(reset) }
    }

    /// The entries of a new object, which was decoded and defaulted; `None`: they are not kept.
    pub(super) fn entries_of_create(
        &self,
        caller: &Caller<'_>,
        target: &Target,
        new: &mut Value,
    ) -> Result<Option<Managed>, Status> {
        let sent = object::meta_mut(new).remove(MEMBER);
        if !caller.is_tracked(&target.info) {
            return Ok(None);
        }
        for name in ["deletionTimestamp", "deletionGracePeriodSeconds"] {
            object::remove_meta(new, name);
        }
        target.info.strategy.repeat(new);
        let way = self.way(target);
        let managed = sent_entries(target, sent.as_ref())?.unwrap_or_default();
        let empty = schema::empty(&target.info.kind);
        let versions = way.versions(&target.info);
        // As in Kubernetes, what cannot be compared has no entries.
        let made = everynode_managed::update(&versions, &empty, new, &managed, &way.writer(caller, target));
        Ok(Some(made.unwrap_or_default()))
    }

    /// The list of entries of a request that is answered and not stored, of a kind of its own;
    /// `None`: there are none.
    pub(super) fn entries_of_request(
        &self,
        caller: &Caller<'_>,
        target: &Target,
        (kind, body): (&Kind, &Value),
    ) -> Option<Value> {
        if caller.is_part_of_us() {
            return None;
        }
        let reset = FieldSet::of_fields(&[&["status"]]);
        let way = Way { api_version: kind.api_version(), now: self.env.now_text(), reset };
        let made = everynode_managed::said(schema::apply_root(kind), body, &way.writer(caller, target)).ok()?;
        (!made.is_empty()).then(|| made.encode())
    }

    /// The entries of an object that is replaced. `sent` are those that came with it, and `new` has
    /// none. `None`: those of the old state are kept.
    pub(super) fn entries_of_update(
        &self,
        caller: &Caller<'_>,
        target: &Target,
        (new, sent): (&mut Value, Option<&Value>),
        old: &Value,
    ) -> Result<Option<Managed>, Status> {
        if !caller.is_tracked(&target.info) {
            return Ok(None);
        }
        target.info.strategy.repeat(new);
        let sent = sent.filter(|_| target.subresource.is_empty());
        let managed = match reset_requested(sent) {
            true => return Ok(Some(Managed::default())),
            false => sent_entries(target, sent)?.unwrap_or_else(|| entries_of(old)),
        };
        if managed.is_empty() {
            return Ok(Some(managed));
        }
        let way = self.way(target);
        let versions = way.versions(&target.info);
        let made = everynode_managed::update(&versions, old, new, &managed, &way.writer(caller, target));
        Ok(Some(made.unwrap_or_default()))
    }
}

/// Fields of an object that a write of its status leaves alone.
const REPORTED_BY_STATUS: &[&[&str]] =
    &[&["spec"], &["metadata", "deletionTimestamp"], &["metadata", "ownerReferences"]];

/// The versions of a kind.
pub(super) enum VersionsOf<'a> {
    BuiltIn(NoOtherVersion<'a>),
    Custom(AllVersions<'a>),
}

impl Versions for VersionsOf<'_> {
    fn root(&self, api_version: &str) -> Option<Root<'_>> {
        match self {
            VersionsOf::BuiltIn(versions) => versions.root(api_version),
            VersionsOf::Custom(versions) => versions.root(api_version),
        }
    }

    fn convert(&self, object: &Value, api_version: &str) -> Option<Value> {
        match self {
            VersionsOf::BuiltIn(versions) => versions.convert(object, api_version),
            VersionsOf::Custom(versions) => versions.convert(object, api_version),
        }
    }
}

impl Way {
    pub(super) fn versions<'a>(&'a self, info: &'a Row) -> VersionsOf<'a> {
        match &info.custom {
            Some(custom) => VersionsOf::Custom(AllVersions(&custom.apply_types)),
            None => VersionsOf::BuiltIn(self.versions_of(&info.kind)),
        }
    }

    /// The same for a built-in kind.
    pub(crate) fn versions_of<'a>(&'a self, kind: &Kind) -> NoOtherVersion<'a> {
        NoOtherVersion { api_version: &self.api_version, root: schema::apply_root(kind) }
    }

    /// An apply of an object of a kind.
    pub(crate) fn configuration<'a>(
        &'a self,
        (object, force): (&'a Value, bool),
        kind: &'a Kind,
        caller: &'a Caller<'_>,
        target: &Target,
    ) -> Configuration<'a> {
        Configuration { object, kind: &kind.kind, writer: self.writer(caller, target), force }
    }

    pub(crate) fn writer<'a>(&'a self, caller: &'a Caller<'_>, target: &Target) -> Writer<'a> {
        Writer {
            manager: caller.manager(),
            api_version: &self.api_version,
            subresource: target.subresource,
            now: &self.now,
            reset: &self.reset,
        }
    }
}

/// Entries that a client sends, if they are there and whole.
///
/// # Errors
/// 422: a name in them is none.
fn sent_entries(target: &Target, sent: Option<&Value>) -> Result<Option<Managed>, Status> {
    let Some(managed) = Managed::decode(sent).ok().filter(|managed| !managed.is_empty()) else { return Ok(None) };
    let path = Path::new("metadata").child(MEMBER);
    let mut errors = Vec::new();
    for (index, entry) in managed.entries().iter().enumerate() {
        let path = path.index(index);
        errors.extend(manager_error(&entry.manager, &path.child("manager")));
        if entry.subresource.len() > SUBRESOURCE_BYTES_MAX {
            errors.push(FieldError::too_long(&path.child("subresource"), SUBRESOURCE_BYTES_MAX));
        }
    }
    match errors.is_empty() {
        true => Ok(Some(managed)),
        false => Err(Status::invalid(&target.info.kind, &target.name, &errors)),
    }
}

/// What is wrong with the name of a manager.
pub(crate) fn manager_error(manager: &str, path: &Path) -> Option<FieldError> {
    if manager.len() > MANAGER_BYTES_MAX {
        return Some(FieldError::too_long(path, MANAGER_BYTES_MAX));
    }
    let (at, found) = manager.char_indices().find(|(_, found)| found.is_control())?;
    let detail = format!("invalid character U+{:04X} (at position {at})", u32::from(found));
    Some(FieldError::invalid(path, manager, detail))
}

/// The entries of a stored object.
pub(crate) fn entries_of(stored: &Value) -> Managed {
    Managed::decode(stored["metadata"].get(MEMBER)).unwrap_or_default()
}

/// Takes the entries out of an object.
pub(super) fn take(value: &mut Value) -> Option<Value> {
    object::meta_mut(value).remove(MEMBER)
}

/// Puts entries into an object.
pub(super) fn put(new: &mut Value, entries: &Managed) {
    if !entries.is_empty() {
        object::set_meta(new, MEMBER, entries.encode());
    }
}

/// Puts entries into an object that is finished. Where nothing but their times would change, the
/// old ones stay: a write that changes nothing writes nothing.
pub(super) fn settle(new: &mut Value, old: &Value, entries: Option<&Managed>) {
    let Some(entries) = entries else { return object::copy_meta(new, old, MEMBER) };
    match entries.same_but_for_times(&entries_of(old)) && same_apart_from_entries(new, old) {
        true => object::copy_meta(new, old, MEMBER),
        false => put(new, entries),
    }
}

/// Whether two states are the same but for entries and resourceVersion.
fn same_apart_from_entries(new: &Value, old: &Value) -> bool {
    let (Some(new), Some(old)) = (new.as_object(), old.as_object()) else { return false };
    let metadata = |members: &serde_json::Map<String, Value>| {
        let metadata = members.get("metadata").and_then(Value::as_object).into_iter().flatten();
        metadata
            .filter(|(name, _)| !matches!(name.as_str(), MEMBER | "resourceVersion"))
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect::<Vec<_>>()
    };
    new.len() == old.len()
        && new.iter().all(|(name, value)| name == "metadata" || old.get(name) == Some(value))
        && metadata(new) == metadata(old)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn entries(time: &str) -> Managed {
        let list = json!([{"manager": "a", "operation": "Update", "apiVersion": "v1", "time": time,
            "fieldsType": "FieldsV1", "fieldsV1": {"f:data": {"f:x": {}}}}]);
        Managed::decode(Some(&list)).unwrap()
    }

    #[test]
    fn times_alone_are_no_change() {
        let mut old = json!({"metadata": {"name": "a", "resourceVersion": "7"}, "data": {"x": "1"}});
        put(&mut old, &entries("2026-01-01T00:00:00Z"));
        let mut same = json!({"metadata": {"name": "a"}, "data": {"x": "1"}});
        settle(&mut same, &old, Some(&entries("2026-01-01T00:00:09Z")));
        assert_eq!(same["metadata"][MEMBER][0]["time"], "2026-01-01T00:00:00Z");
        let mut other = json!({"metadata": {"name": "a"}, "data": {"x": "2"}});
        settle(&mut other, &old, Some(&entries("2026-01-01T00:00:09Z")));
        assert_eq!(other["metadata"][MEMBER][0]["time"], "2026-01-01T00:00:09Z");
    }

    #[test]
    fn entries_that_are_not_tracked_are_kept() {
        let mut old = json!({"metadata": {"name": "a"}});
        put(&mut old, &entries("2026-01-01T00:00:00Z"));
        let mut new = json!({"metadata": {"name": "a"}, "data": {}});
        settle(&mut new, &old, None);
        assert_eq!(new["metadata"][MEMBER], old["metadata"][MEMBER]);
        settle(&mut new, &json!({"metadata": {}}), None);
        assert!(new["metadata"].get(MEMBER).is_none());
    }
}
