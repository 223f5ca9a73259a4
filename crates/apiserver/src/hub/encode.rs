//! Watch frames: one JSON line per event (DS-I32), or the same in protobuf.

use std::ops::Range;

use bytes::Bytes;
use everynode_api::canonical;
use everynode_protobuf::EncodeError;
use everynode_store::Revision;

use super::event::EventKind;
use crate::tables::IncludeObject;

/// The form in which a watcher wants objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Form {
    pub(crate) shown: Shown,
    /// In Kubernetes' protobuf encoding, and else as JSON.
    pub(crate) is_protobuf: bool,
}

impl Form {
    /// Whole objects, as JSON.
    pub(crate) const JSON: Form = Form { shown: Shown::Whole, is_protobuf: false };
}

/// How a watcher wants to see objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shown {
    Whole,
    /// `PartialObjectMetadata`
    Metadata,
    /// `Table` without column definitions (only the first frame has them).
    Table(IncludeObject),
    /// An event in the shape of `events.k8s.io/v1`.
    EventsV1,
}

fn opening(kind: EventKind) -> &'static str {
    match kind {
        EventKind::Added => "{\"type\":\"ADDED\",\"object\":",
        EventKind::Modified => "{\"type\":\"MODIFIED\",\"object\":",
        EventKind::Deleted => "{\"type\":\"DELETED\",\"object\":",
    }
}

const CLOSING: &str = "}\n";

/// A frame around stored bytes.
pub(crate) fn json_frame(kind: EventKind, value: &[u8], revision: Revision) -> Bytes {
    let mut out = Vec::with_capacity(value.len() + 96);
    out.extend_from_slice(opening(kind).as_bytes());
    canonical::splice_resource_version_into(&mut out, value, revision.0);
    out.extend_from_slice(CLOSING.as_bytes());
    out.into()
}

/// A frame of any type (`ADDED`, `BOOKMARK`, `ERROR`) around an object's JSON.
pub(crate) fn frame_of_type(kind: &str, object: &[u8]) -> Bytes {
    let parts: [&[u8]; 5] = [b"{\"type\":\"", kind.as_bytes(), b"\",\"object\":", object, CLOSING.as_bytes()];
    parts.concat().into()
}

/// The same in protobuf.
///
/// # Errors
/// The object has no form in protobuf.
pub(crate) fn protobuf_frame(kind: &str, object: &[u8]) -> Result<Bytes, EncodeError> {
    Ok(everynode_protobuf::watch_frame(kind, &everynode_protobuf::object(object)?).into())
}

/// Where the object lies within a frame of `length` bytes.
pub(crate) fn object_range(kind: EventKind, length: usize) -> Range<usize> {
    opening(kind).len()..length - CLOSING.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_object_is_a_part_of_the_frame() {
        let frame = json_frame(EventKind::Modified, br#"{"metadata":{"name":"a"}}"#, Revision(7));
        let object = br#"{"metadata":{"resourceVersion":"7","name":"a"}}"#;
        assert_eq!(frame.slice(object_range(EventKind::Modified, frame.len())), &object[..]);
        assert_eq!(frame, frame_of_type("MODIFIED", object));
    }
}
