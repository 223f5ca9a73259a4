//! Kubernetes' protobuf encoding of its built-in kinds, from their JSON and back.
//!
//! Pure: no I/O, no clock. The messages are data (`messages.txt`, written by
//! `cargo run -p xtask --bin messages` from the Go types' field tags), so there is one encoder and
//! one decoder for all kinds. Reading order: [`table`] (what the data says), [`encode`](mod@encode)
//! (JSON to a message, in one pass over the text), [`decode`](mod@decode) (a message to JSON,
//! bounded), [`envelope`] (`k8s\0`, lists in pieces, watch frames); below them `scan` (JSON),
//! `wire` (protobuf) and `time`.
//!
//! A member that JSON has is written, and one that it lacks is not: Go writes many zeros and empty
//! texts, which mean the same to every reader. On the way back a zero is kept where Go keeps it: in
//! a pointer, or in a field that is always written. Lists and maps that are empty do not survive;
//! the wire has no form for them.

#![warn(missing_docs)]

mod decode;
mod decode_error;
mod encode;
mod envelope;
mod scan;
mod table;
mod time;
mod wire;

pub use decode::Limits;
pub use decode_error::DecodeError;
pub use encode::EncodeError;
pub use envelope::{
    MAGIC, MEDIA_TYPE, Object, from_json, list_head, list_metadata, object, push_item, to_json, watch_event,
    watch_frame,
};
pub use table::{Kind, MemberType, kind, kinds};
