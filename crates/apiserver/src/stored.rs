//! The stored form of an object (see [`everynode_api::canonical`]) and the way back.

use bytes::Bytes;
use everynode_api::canonical;
use everynode_api::status::Status;
use everynode_store::Revision;
use serde_json::Value;

/// Encodes an object for the store. It is held for long, in many versions: in no more memory than it needs.
pub(crate) fn encode(value: &Value) -> Bytes {
    canonical::encode_stored(value).into_boxed_slice().into()
}

/// Parses stored bytes and puts the resourceVersion in.
pub(crate) fn decode(bytes: &[u8], revision: Revision) -> Result<Value, Status> {
    let mut value: Value = serde_json::from_slice(bytes).map_err(|error| corrupt(&error))?;
    crate::object::set_meta(&mut value, "resourceVersion", revision.0.to_string());
    Ok(value)
}

pub(crate) fn corrupt(error: &serde_json::Error) -> Status {
    Status::internal(format!("a stored object cannot be decoded: {error}"))
}

/// The stored bytes with the resourceVersion put in.
pub(crate) fn splice(stored: &[u8], revision: Revision) -> Bytes {
    canonical::splice_resource_version(stored, revision.0).into()
}
