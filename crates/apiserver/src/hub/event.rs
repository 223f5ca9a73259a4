//! One object at one revision, one change of it, and the frames that tell watchers.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use bytes::Bytes;
use everynode_api::ports::WatchEvent;
use everynode_store::{KeyValue, Revision};

use super::encode::Form;
use super::selectable_fields::SelectableFields;
use crate::catalogue::RowRef;
use crate::{keys, stored};

/// A stored object, with what selectors ask of it read at most once.
#[derive(Debug)]
pub(crate) struct Item {
    pub(crate) kv: KeyValue,
    row: RowRef,
    selectable: OnceLock<SelectableFields>,
}

impl Item {
    pub(crate) fn new(row: &RowRef, kv: KeyValue) -> Item {
        Item { kv, row: row.clone(), selectable: OnceLock::new() }
    }

    pub(crate) fn selectable(&self) -> &SelectableFields {
        self.selectable.get_or_init(|| SelectableFields::read(&self.row.fields, &self.kv.value))
    }

    /// The namespace (empty for cluster-scoped kinds) and the name, from the key.
    pub(crate) fn namespace_and_name(&self) -> (&str, &str) {
        keys::namespace_and_name(&self.kv.key[keys::REGISTRY.len() + self.row.storage.len() + 1..])
    }

    /// The node that a pod is bound to; empty for others.
    pub(crate) fn node(&self) -> &str {
        self.field("spec.nodeName").unwrap_or("")
    }

    /// The value of a selectable field.
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        self.selectable().field(&self.row.fields, name)
    }

    /// The object as a reader sees it.
    pub(crate) fn json(&self) -> Bytes {
        stored::splice(&self.kv.value, self.kv.modified)
    }
}

/// The `type` of a watch event that carries an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EventKind {
    Added,
    Modified,
    Deleted,
}

impl EventKind {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            EventKind::Added => "ADDED",
            EventKind::Modified => "MODIFIED",
            EventKind::Deleted => "DELETED",
        }
    }
}

/// One change of one object; shared by all watchers of it.
#[derive(Debug)]
pub(crate) struct Event {
    pub(crate) revision: u64,
    /// The object now; `None`: deleted.
    pub(crate) current: Option<Arc<Item>>,
    pub(crate) previous: Option<Arc<Item>>,
    /// Frames made so far. Few: one per form that a client watches in.
    frames: Mutex<Vec<((Form, EventKind), Bytes)>>,
}

impl Event {
    pub(crate) fn new(revision: u64, current: Option<Arc<Item>>, previous: Option<Arc<Item>>) -> Event {
        Event { revision, current, previous, frames: Mutex::default() }
    }

    /// What the event means to a watcher that sees only what `matches` (DS-I33).
    pub(crate) fn seen_through(&self, matches: impl Fn(&Item) -> bool) -> Option<EventKind> {
        let now = self.current.as_deref().is_some_and(&matches);
        let before = self.previous.as_deref().is_some_and(&matches);
        match (before, now) {
            (false, true) => Some(EventKind::Added),
            (true, true) => Some(EventKind::Modified),
            (true, false) => Some(EventKind::Deleted),
            (false, false) => None,
        }
    }

    /// The object that an event of this kind shows: for a deletion the last (matching) state.
    fn item(&self, kind: EventKind) -> Option<&Arc<Item>> {
        match kind {
            EventKind::Deleted => self.previous.as_ref(),
            _ => self.current.as_ref(),
        }
    }

    /// The object's stored bytes and the resourceVersion to show with them.
    pub(crate) fn object(&self, kind: EventKind) -> Option<(&[u8], Revision)> {
        self.item(kind).map(|item| (&*item.kv.value, Revision(self.revision)))
    }

    /// The encoded frame for this event in a form, made once and shared.
    pub(crate) fn frame(&self, form: Form, kind: EventKind, make: impl FnOnce() -> Bytes) -> Bytes {
        let find = |frames: &Vec<((Form, EventKind), Bytes)>| {
            frames.iter().find(|(key, _)| *key == (form, kind)).map(|(_, bytes)| bytes.clone())
        };
        if let Some(bytes) = find(&self.lock()) {
            return bytes;
        }
        // Encoded outside the lock: two watchers may at worst do the same work once each.
        let made = make();
        let mut frames = self.lock();
        find(&frames).unwrap_or_else(|| {
            frames.push(((form, kind), made.clone()));
            made
        })
    }

    /// Drops the frames of an event that nearly all watchers have seen; the ring then holds only
    /// objects.
    pub(crate) fn forget_frames(&self) {
        self.lock().clear();
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<((Form, EventKind), Bytes)>> {
        self.frames.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The event for a watcher in this process: the object's part of the shared JSON frame.
    pub(crate) fn port(&self, kind: EventKind) -> Option<WatchEvent> {
        let (value, revision) = self.object(kind)?;
        let frame = self.frame(Form::JSON, kind, || super::encode::json_frame(kind, value, revision));
        let object = frame.slice(super::encode::object_range(kind, frame.len()));
        Some(match kind {
            EventKind::Added => WatchEvent::Added(object),
            EventKind::Modified => WatchEvent::Modified(object),
            EventKind::Deleted => WatchEvent::Deleted(object),
        })
    }
}
