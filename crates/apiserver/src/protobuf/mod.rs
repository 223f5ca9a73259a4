//! Requests in Kubernetes' protobuf encoding, as JSON.
//!
//! client-go's typed clients send protobuf since 1.32 and do not fall back: `kubectl create
//! configmap`, `auth can-i`, `create token` and evictions arrive so (DS-I06). Answers stay JSON,
//! which those clients accept. Reading order: here the envelope and the walk over a message, then
//! `messages`, the table of what the messages' numbers mean.
//!
//! Go writes fields that are not pointers even when they are zero; JSON leaves them out. The table
//! knows which are which.

mod messages;
mod pods;
mod wire;

use jiff::Timestamp;
use serde_json::{Map, Value};

use messages::{Field, Kind};
use wire::{Content, Reader};

/// What a body in this encoding begins with.
const MAGIC: &[u8] = b"k8s\0";
/// Deeper than any message in the table; a recursive message could go on otherwise.
const DEPTH_MAX: usize = 16;

/// An object in Kubernetes' protobuf envelope (`runtime.Unknown`: typeMeta 1, raw 2) as its JSON.
///
/// # Errors
/// What is wrong with the bytes, or which kind is not known in this encoding; for a 400.
pub(crate) fn to_json(bytes: &[u8]) -> Result<Value, String> {
    let body = bytes.strip_prefix(MAGIC).ok_or("the body does not begin as Kubernetes' protobuf does")?;
    let (mut version, mut kind, mut raw) = (String::new(), String::new(), &[][..]);
    for field in Reader::new(body) {
        match field? {
            (1, Content::Bytes(meta)) => (version, kind) = type_meta(meta)?,
            (2, Content::Bytes(object)) => raw = object,
            (3, Content::Bytes(encoding)) if !encoding.is_empty() => {
                return Err("an encoded object in protobuf".to_owned());
            }
            _ => {}
        }
    }
    let fields = messages::of(&version, &kind)
        .ok_or_else(|| format!("{version}, Kind={kind} is not served in the protobuf encoding; send JSON"))?;
    let mut object = message(raw, fields, DEPTH_MAX)?;
    object.insert("apiVersion".to_owned(), version.into());
    object.insert("kind".to_owned(), kind.into());
    Ok(Value::Object(object))
}

fn type_meta(bytes: &[u8]) -> Result<(String, String), String> {
    let (mut version, mut kind) = (String::new(), String::new());
    for field in Reader::new(bytes) {
        match field? {
            (1, Content::Bytes(text)) => version = utf8(text)?,
            (2, Content::Bytes(text)) => kind = utf8(text)?,
            _ => {}
        }
    }
    Ok((version, kind))
}

/// A field that the table does not have is refused unless it says nothing: dropping it could drop
/// what the caller relies on.
fn message(bytes: &[u8], fields: &[Field], depth: usize) -> Result<Map<String, Value>, String> {
    let depth = depth.checked_sub(1).ok_or("messages are nested too deeply")?;
    let mut object = Map::new();
    for found in Reader::new(bytes) {
        let (number, content) = found?;
        let Some(field) = fields.iter().find(|field| field.number == number) else {
            match content {
                Content::Number(0) | Content::Bytes(&[]) => continue,
                _ => return Err(format!("field {number} is not served in the protobuf encoding; send JSON")),
            }
        };
        add(&mut object, field, &content, depth).map_err(|error| format!("{}: {error}", field.name))?;
    }
    Ok(object)
}

fn add(object: &mut Map<String, Value>, field: &Field, content: &Content<'_>, depth: usize) -> Result<(), String> {
    match field.kind {
        Kind::Map(kind) => {
            let Content::Bytes(entry) = content else { return Err("a map's entry is a message".to_owned()) };
            let (key, value) = map_entry(entry, kind, depth)?;
            let held = object.entry(field.name).or_insert_with(|| Value::Object(Map::new()));
            held.as_object_mut().map(|held| held.insert(key, value));
        }
        Kind::List(kind) => {
            let held = object.entry(field.name).or_insert_with(|| Value::Array(Vec::new()));
            let value = value(*kind, content, depth)?;
            if let Some(held) = held.as_array_mut() {
                held.push(value);
            }
        }
        Kind::Ignored => {}
        Kind::Inline(fields) => {
            let Content::Bytes(bytes) = content else { return Err("an inlined field is a message".to_owned()) };
            object.extend(message(bytes, fields, depth)?);
        }
        Kind::Optional(kind) => {
            object.insert(field.name.to_owned(), value(*kind, content, depth)?);
        }
        kind => {
            let value = value(kind, content, depth)?;
            if !is_zero(&value) {
                object.insert(field.name.to_owned(), value);
            }
        }
    }
    Ok(())
}

fn map_entry(bytes: &[u8], kind: &Kind, depth: usize) -> Result<(String, Value), String> {
    let empty = Content::Bytes(&[]);
    let (mut key, mut held) = (String::new(), value(*kind, &empty, depth)?);
    for field in Reader::new(bytes) {
        match field? {
            (1, Content::Bytes(text)) => key = utf8(text)?,
            (2, content) => held = value(*kind, &content, depth)?,
            _ => {}
        }
    }
    Ok((key, held))
}

fn value(kind: Kind, content: &Content<'_>, depth: usize) -> Result<Value, String> {
    match (kind, content) {
        (Kind::Text, Content::Bytes(bytes)) => Ok(utf8(bytes)?.into()),
        (Kind::Bytes, Content::Bytes(bytes)) => Ok(everynode_common::base64::encode(bytes).into()),
        (Kind::Number, Content::Number(number)) => Ok(number.cast_signed().into()),
        (Kind::Flag, Content::Number(number)) => Ok((*number != 0).into()),
        (Kind::Message(fields), Content::Bytes(bytes)) => Ok(Value::Object(message(bytes, fields, depth)?)),
        (Kind::Time, Content::Bytes(bytes)) => time(bytes),
        (Kind::NumberOrText, Content::Bytes(bytes)) => number_or_text(bytes),
        (Kind::Quantity, Content::Bytes(bytes)) => quantity(bytes),
        // Lists of lists, and maps in them, exist in no message.
        _ => Err("a field of another type than it has".to_owned()),
    }
}

/// What `omitempty` leaves out. A message that is there says something, if only that it is there.
fn is_zero(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::Number(number) => number.as_i64() == Some(0),
        Value::String(text) => text.is_empty(),
        _ => false,
    }
}

/// `Time` and `MicroTime`: seconds 1, nanoseconds 2; empty is no time.
fn time(bytes: &[u8]) -> Result<Value, String> {
    let (mut seconds, mut nanoseconds) = (0, 0);
    for field in Reader::new(bytes) {
        match field? {
            (1, Content::Number(number)) => seconds = number.cast_signed(),
            (2, Content::Number(number)) => nanoseconds = i32::try_from(number).map_err(|_| "a time out of range")?,
            _ => {}
        }
    }
    if bytes.is_empty() {
        return Ok(Value::Null);
    }
    let time = Timestamp::new(seconds, nanoseconds).map_err(|_| "a time out of range")?;
    Ok(if nanoseconds == 0 { format!("{time:.0}") } else { format!("{time:.6}") }.into())
}

/// `IntOrString`: type 1 (0 is a number), number 2, text 3.
fn number_or_text(bytes: &[u8]) -> Result<Value, String> {
    let (mut is_text, mut number, mut text) = (false, 0, String::new());
    for field in Reader::new(bytes) {
        match field? {
            (1, Content::Number(kind)) => is_text = kind != 0,
            (2, Content::Number(found)) => number = found.cast_signed(),
            (3, Content::Bytes(found)) => text = utf8(found)?,
            _ => {}
        }
    }
    Ok(if is_text { text.into() } else { number.into() })
}

fn quantity(bytes: &[u8]) -> Result<Value, String> {
    let mut text = String::new();
    for field in Reader::new(bytes) {
        if let (1, Content::Bytes(found)) = field? {
            text = utf8(found)?;
        }
    }
    Ok(if text.is_empty() { "0".into() } else { text.into() })
}

fn utf8(bytes: &[u8]) -> Result<String, String> {
    String::from_utf8(bytes.to_vec()).map_err(|_| "a text that is not UTF-8".to_owned())
}

#[cfg(test)]
mod tests;
