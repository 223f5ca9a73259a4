//! What Kubernetes puts around a message: the envelope of an object, a list in pieces, the frame of
//! a watch event.
//!
//! An object is `k8s\0` and a message (`runtime.Unknown`) with apiVersion and kind at 1 and the
//! object's own message at 2. A watch event's frame is its length in four bytes, most significant
//! first, and a message without that envelope: the event's type at 1, and at 2 a message with the
//! object, in its envelope, at 1.

use crate::decode::{Limits, Writer, bytes_at, utf8};
use crate::decode_error::DecodeError;
use crate::encode::{self, EncodeError};
use crate::scan::Scanner;
use crate::table::{Kind, kind};
use crate::wire::{Content, Reader, close, open, push_bytes, push_length};

/// What an object begins with.
pub const MAGIC: &[u8] = b"k8s\0";

/// The media type.
pub const MEDIA_TYPE: &str = "application/vnd.kubernetes.protobuf";

/// Space for the envelope and what else stands before an object's message.
const ENVELOPE_BYTES: usize = 128;

/// An object that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Object {
    /// `apps/v1`
    pub api_version: String,
    /// `DaemonSet`
    pub kind: String,
    /// Its JSON, with both.
    pub json: Vec<u8>,
}

fn head(api_version: &str, kind: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(ENVELOPE_BYTES);
    out.extend_from_slice(MAGIC);
    let start = open(&mut out, 1);
    push_bytes(&mut out, 1, api_version.as_bytes());
    push_bytes(&mut out, 2, kind.as_bytes());
    close(&mut out, start);
    out
}

/// The JSON of a built-in object or list in its envelope.
///
/// # Errors
/// It is no JSON, or not that of an object of this kind.
pub fn from_json(api_version: &str, name: &str, kind: Kind, json: &[u8]) -> Result<Vec<u8>, EncodeError> {
    let mut out = head(api_version, name);
    out.reserve(json.len() / 2 + ENVELOPE_BYTES);
    let start = open(&mut out, 2);
    encode::whole(&mut out, json, kind.0)?;
    close(&mut out, start);
    Ok(out)
}

/// As [`from_json`], for an object that says of which kind it is.
///
/// # Errors
/// It is no JSON, or not that of an object of a built-in kind.
pub fn object(json: &[u8]) -> Result<Vec<u8>, EncodeError> {
    let (api_version, name) = type_of(json)?;
    let unknown = || EncodeError::UnknownKind { version: api_version.clone(), kind: name.clone() };
    from_json(&api_version, &name, kind(&api_version, &name).ok_or_else(unknown)?, json)
}

/// `apiVersion` and `kind`: mostly the first two members, so the rest is not looked at.
fn type_of(json: &[u8]) -> Result<(String, String), EncodeError> {
    let mut scanner = Scanner::new(json);
    let (mut version, mut name, mut is_first) = (None, None, true);
    scanner.enter(b'{')?;
    while (version.is_none() || name.is_none()) && scanner.has_next(b'}', &mut is_first)? {
        let found = match &*scanner.name()? {
            b"apiVersion" => &mut version,
            b"kind" => &mut name,
            _ => {
                scanner.value()?;
                continue;
            }
        };
        *found = Some(String::from_utf8_lossy(&scanner.text()?).into_owned());
    }
    Ok((version.unwrap_or_default(), name.unwrap_or_default()))
}

/// The metadata of a list as [`list_head`] wants it.
///
/// # Errors
/// It is no JSON, or not that of a list's metadata.
pub fn list_metadata(list: Kind, json: &[u8]) -> Result<Vec<u8>, EncodeError> {
    let mut out = Vec::new();
    encode::whole(&mut out, &[b"{\"metadata\":", json, b"}"].concat(), list.0)?;
    Ok(out)
}

/// What stands before the items of a list, all of which take `item_bytes` as [`push_item`] writes
/// them.
pub fn list_head(api_version: &str, name: &str, metadata: &[u8], item_bytes: usize) -> Vec<u8> {
    let mut out = head(api_version, name);
    push_length(&mut out, 2, metadata.len() + item_bytes);
    out.extend_from_slice(metadata);
    out
}

/// Appends an item of a list.
///
/// # Errors
/// It is no JSON, or not that of an object of the kind; `out` is then as before.
pub fn push_item(out: &mut Vec<u8>, item: Kind, json: &[u8]) -> Result<(), EncodeError> {
    // Every list has its items there.
    const ITEMS: u32 = 2;
    let before = out.len();
    let start = open(out, ITEMS);
    let written = encode::whole(out, json, item.0);
    match &written {
        Ok(()) => close(out, start),
        Err(_) => out.truncate(before),
    }
    written
}

/// The frame of a watch event of a type with an object in its envelope.
pub fn watch_frame(event_type: &str, object: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(object.len() + ENVELOPE_BYTES);
    out.extend_from_slice(&[0; 4]);
    push_bytes(&mut out, 1, event_type.as_bytes());
    let start = open(&mut out, 2);
    push_bytes(&mut out, 1, object);
    close(&mut out, start);
    let length = u32::try_from(out.len() - 4).unwrap_or(u32::MAX);
    out[..4].copy_from_slice(&length.to_be_bytes());
    out
}

/// Type and object (in its envelope) of a watch event's message: what follows a frame's length.
///
/// # Errors
/// The bytes are no such message.
pub fn watch_event(message: &[u8]) -> Result<(&str, &[u8]), DecodeError> {
    Ok((utf8(bytes_at(message, 1)?)?, bytes_at(bytes_at(message, 2)?, 1)?))
}

/// The object in an envelope.
///
/// # Errors
/// What is wrong with the bytes, or which kind is not known in this encoding.
pub fn to_json(bytes: &[u8], limits: Limits) -> Result<Object, DecodeError> {
    let body = bytes.strip_prefix(MAGIC).ok_or(DecodeError::NoEnvelope)?;
    let (mut meta, mut raw): (&[u8], &[u8]) = (&[], &[]);
    for field in Reader::new(body) {
        match field? {
            (1, Content::Bytes(found)) => meta = found,
            (2, Content::Bytes(found)) => raw = found,
            (3, Content::Bytes(encoding)) if !encoding.is_empty() => return Err(DecodeError::Encoded),
            _ => {}
        }
    }
    let (api_version, name) = (utf8(bytes_at(meta, 1)?)?, utf8(bytes_at(meta, 2)?)?);
    let unknown = || DecodeError::UnknownKind { version: api_version.to_owned(), kind: name.to_owned() };
    let kind = kind(api_version, name).ok_or_else(unknown)?;
    let mut writer = Writer::new(limits);
    writer.out.reserve(raw.len().min(limits.size_max) + ENVELOPE_BYTES);
    writer.out.extend_from_slice(b"{\"apiVersion\":");
    writer.text(api_version)?;
    writer.out.extend_from_slice(b",\"kind\":");
    writer.text(name)?;
    writer.members(raw, kind.0, false, limits.depth_max)?;
    writer.out.push(b'}');
    Ok(Object { api_version: api_version.to_owned(), kind: name.to_owned(), json: writer.out })
}
