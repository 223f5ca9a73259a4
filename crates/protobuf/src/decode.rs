//! A message to JSON, bounded in depth and size.
//!
//! The wire may have a message's fields in any order and more than once; JSON wants each member
//! once, and ours in order. So the fields of a message are noted first and sorted by name. What a
//! field without repetition says twice is merged as protobuf defines it: of values the last one
//! counts, messages are put one behind the other.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::de::IgnoredAny;

use crate::decode_error::DecodeError;
use crate::table::{Field, Form, Message, Numbered, table};
use crate::time;
use crate::wire::{Content, Reader};

/// How large what is read may become.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes of JSON. A field's name is longer than its number, so bytes on the wire say little.
    pub size_max: usize,
    /// How deeply objects and lists may be nested.
    pub depth_max: usize,
}

/// A field of a message as it was found.
struct Found<'a> {
    field: usize,
    content: Content<'a>,
}

/// JSON that is being written.
pub(crate) struct Writer {
    pub(crate) out: Vec<u8>,
    size_max: usize,
    /// What messages that came in pieces may still take, all levels together.
    pieces_left: usize,
}

impl Writer {
    pub(crate) fn new(limits: Limits) -> Writer {
        Writer { out: Vec::new(), size_max: limits.size_max, pieces_left: limits.size_max }
    }

    pub(crate) fn text(&mut self, text: &str) -> Result<(), DecodeError> {
        self.is_within(text.len())?;
        // Writing to a vector cannot fail.
        let _ = serde_json::to_writer(&mut self.out, text);
        Ok(())
    }

    fn raw(&mut self, bytes: &[u8]) -> Result<(), DecodeError> {
        self.is_within(bytes.len())?;
        self.out.extend_from_slice(bytes);
        Ok(())
    }

    fn is_within(&self, more: usize) -> Result<(), DecodeError> {
        match self.out.len() + more <= self.size_max {
            true => Ok(()),
            false => Err(DecodeError::Size(self.size_max)),
        }
    }

    /// Appends the members of a message, each with a comma before it unless it is the first one.
    pub(crate) fn members(
        &mut self,
        bytes: &[u8],
        message: &'static Message,
        mut is_first: bool,
        depth: usize,
    ) -> Result<(), DecodeError> {
        let mut found = Vec::new();
        collect(&mut found, bytes, message, 0)?;
        found.sort_by_key(|found| found.field);
        for same in found.chunk_by(|one, other| one.field == other.field) {
            let field = &message.fields[same[0].field];
            let before = self.out.len();
            self.raw(if is_first { b"" } else { b"," })?;
            self.text(&field.name)?;
            self.raw(b":")?;
            let written = self.member(same, field, depth);
            match written.map_err(|error| DecodeError::Member(&field.name, Box::new(error)))? {
                true => is_first = false,
                false => self.out.truncate(before),
            }
        }
        Ok(())
    }

    /// An object with the members of a message.
    fn message(&mut self, bytes: &[u8], message: &'static Message, depth: usize) -> Result<(), DecodeError> {
        let depth = depth.checked_sub(1).ok_or(DecodeError::Depth)?;
        self.raw(b"{")?;
        self.members(bytes, message, true, depth)?;
        self.raw(b"}")
    }

    /// A member's value; whether there is one to show.
    fn member(&mut self, same: &[Found<'_>], field: &'static Field, depth: usize) -> Result<bool, DecodeError> {
        match &field.form {
            Form::List(item) => self.list(same, item, depth),
            Form::Map(value) => self.map(same, value, depth),
            form => {
                let Some(last) = same.last() else { return Ok(false) };
                if is_zero(form, last.content) && !field.keeps_zero {
                    return Ok(false);
                }
                match last.content {
                    Content::Bytes(_) if same.len() > 1 && is_merged(form) => {
                        let whole = self.merged(same.iter().map(|found| found.content))?;
                        self.value(form, Content::Bytes(&whole), depth)
                    }
                    content => self.value(form, content, depth),
                }
            }
        }
    }

    fn list(&mut self, same: &[Found<'_>], item: &'static Form, depth: usize) -> Result<bool, DecodeError> {
        let depth = depth.checked_sub(1).ok_or(DecodeError::Depth)?;
        let mut separator: &[u8] = b"[";
        for found in same {
            if let (Form::Integer | Form::Flag, Content::Bytes(packed)) = (item, found.content) {
                let mut reader = Reader::new(packed);
                while !reader.is_at_end() {
                    self.raw(std::mem::replace(&mut separator, b","))?;
                    self.value(item, Content::Number(reader.varint()?), depth)?;
                }
                continue;
            }
            self.raw(std::mem::replace(&mut separator, b","))?;
            if !self.value(item, found.content, depth)? {
                self.raw(b"null")?;
            }
        }
        if separator == b"[" {
            return Ok(false);
        }
        self.raw(b"]").map(|()| true)
    }

    fn map(&mut self, same: &[Found<'_>], value: &'static Form, depth: usize) -> Result<bool, DecodeError> {
        let depth = depth.checked_sub(1).ok_or(DecodeError::Depth)?;
        let mut entries = BTreeMap::new();
        for found in same {
            let Content::Bytes(entry) = found.content else { return Err(DecodeError::Type) };
            let (mut key, mut held) = ("", empty(value));
            for part in Reader::new(entry) {
                match part? {
                    (1, Content::Bytes(text)) => key = utf8(text)?,
                    (2, content) => held = content,
                    _ => {}
                }
            }
            entries.insert(key, held);
        }
        let mut separator: &[u8] = b"{";
        for (key, held) in entries {
            self.raw(std::mem::replace(&mut separator, b","))?;
            self.text(key)?;
            self.raw(b":")?;
            if !self.value(value, held, depth)? {
                self.raw(b"null")?;
            }
        }
        self.raw(b"}").map(|()| true)
    }

    /// A value; false if there is none, and nothing was written.
    fn value(&mut self, form: &'static Form, content: Content<'_>, depth: usize) -> Result<bool, DecodeError> {
        match (form, content) {
            (Form::Text, Content::Bytes(bytes)) => self.text(utf8(bytes)?)?,
            (Form::Bytes, Content::Bytes(bytes)) => {
                self.is_within(bytes.len() / 3 * 4)?;
                self.text(&everynode_common::base64::encode(bytes))?;
            }
            (Form::Integer, Content::Number(number)) => self.raw(number.cast_signed().to_string().as_bytes())?,
            (Form::Flag, Content::Number(number)) => self.raw(if number == 0 { b"false" } else { b"true" })?,
            (Form::Double, Content::Eight(bits)) => {
                let Some(number) = serde_json::Number::from_f64(f64::from_bits(bits)) else { return Ok(false) };
                self.raw(number.to_string().as_bytes())?;
            }
            (_, Content::Bytes(bytes)) => return self.nested(form, bytes, depth),
            _ => return Err(DecodeError::Type),
        }
        Ok(true)
    }

    /// A value that is a message on the wire.
    fn nested(&mut self, form: &'static Form, bytes: &[u8], depth: usize) -> Result<bool, DecodeError> {
        match form {
            Form::Message(index) => self.message(bytes, table().get(*index), depth)?,
            Form::Time | Form::MicroTime => {
                let (seconds, nanoseconds) = (number_at(bytes, 1)?, number_at(bytes, 2)?);
                if bytes.is_empty() {
                    return Ok(false);
                }
                let text = time::format(seconds, nanoseconds, matches!(form, Form::MicroTime));
                self.text(&text.ok_or(DecodeError::Time)?)?;
            }
            Form::Quantity => {
                let text = utf8(bytes_at(bytes, 1)?)?;
                self.text(if text.is_empty() { "0" } else { text })?;
            }
            Form::NumberOrText if number_at(bytes, 1)? != 0 => self.text(utf8(bytes_at(bytes, 3)?)?)?,
            Form::NumberOrText => self.raw(number_at(bytes, 2)?.to_string().as_bytes())?,
            Form::Any => return self.any(bytes_at(bytes, 1)?),
            Form::Texts => self.texts(bytes, 1)?,
            Form::OrList(index) => return self.message_or(bytes, *index, 1, Or::List, depth),
            Form::OrFlag(index) => return self.message_or(bytes, *index, 2, Or::Flag, depth),
            Form::OrTexts(index) => return self.message_or(bytes, *index, 1, Or::Texts, depth),
            _ => return Err(DecodeError::Type),
        }
        Ok(true)
    }

    /// The messages of a field that was given several times, one behind the other.
    fn merged<'a>(&mut self, several: impl Iterator<Item = Content<'a>>) -> Result<Cow<'a, [u8]>, DecodeError> {
        let parts = several.map(|content| match content {
            Content::Bytes(bytes) => bytes,
            _ => &[],
        });
        let parts: Vec<&[u8]> = parts.collect();
        if let [one] = parts.as_slice() {
            return Ok(Cow::Borrowed(one));
        }
        let length = parts.iter().map(|part| part.len()).sum();
        self.pieces_left = self.pieces_left.checked_sub(length).ok_or(DecodeError::Size(self.size_max))?;
        Ok(Cow::Owned(parts.concat()))
    }

    /// JSON as it is; that it is some is checked, as it becomes a part of ours.
    fn any(&mut self, raw: &[u8]) -> Result<bool, DecodeError> {
        if matches!(raw.trim_ascii(), b"" | b"null") {
            return Ok(false);
        }
        serde_json::from_slice::<IgnoredAny>(raw).map_err(|_| DecodeError::Raw)?;
        self.raw(raw).map(|()| true)
    }

    fn texts(&mut self, bytes: &[u8], number: u64) -> Result<(), DecodeError> {
        let mut separator: &[u8] = b"";
        self.raw(b"[")?;
        for field in Reader::new(bytes) {
            let (found, Content::Bytes(text)) = field? else { continue };
            if found == number {
                self.raw(std::mem::replace(&mut separator, b","))?;
                self.text(utf8(text)?)?;
            }
        }
        self.raw(b"]")
    }

    /// A schema, or what else may stand in its place.
    fn message_or(
        &mut self,
        bytes: &[u8],
        index: usize,
        schema: u64,
        or: Or,
        depth: usize,
    ) -> Result<bool, DecodeError> {
        let has = |number: u64| Reader::new(bytes).any(|field| field.is_ok_and(|(found, _)| found == number));
        let message = table().get(index);
        match or {
            Or::List if has(2) => {
                let depth = depth.checked_sub(1).ok_or(DecodeError::Depth)?;
                let mut separator: &[u8] = b"[";
                for field in Reader::new(bytes) {
                    if let (2, Content::Bytes(item)) = field? {
                        self.raw(std::mem::replace(&mut separator, b","))?;
                        self.message(item, message, depth)?;
                    }
                }
                self.raw(if separator == b"[" { b"[]" } else { b"]" })?;
            }
            Or::Texts if has(2) => self.texts(bytes, 2)?,
            _ if has(schema) => {
                let fields = Reader::new(bytes).collect::<Result<Vec<_>, _>>()?;
                let schemas = fields.into_iter().filter(|(number, _)| *number == schema);
                let whole = self.merged(schemas.map(|(_, content)| content))?;
                self.message(&whole, message, depth)?;
            }
            Or::Flag => self.raw(if number_at(bytes, 1)? == 0 { b"false" } else { b"true" })?,
            _ => return Ok(false),
        }
        Ok(true)
    }
}

/// What stands in place of a schema.
#[derive(Clone, Copy)]
enum Or {
    List,
    Flag,
    Texts,
}

/// Notes the fields of a message and of those whose members are shown in their place. Fields that
/// are not known are left out, as by the original.
fn collect<'a>(
    found: &mut Vec<Found<'a>>,
    bytes: &'a [u8],
    message: &'static Message,
    path: u32,
) -> Result<(), DecodeError> {
    for field in Reader::new(bytes) {
        let (number, content) = field?;
        match (message.numbered(path, number), content) {
            (Some(Numbered::Field(field)), content) => found.push(Found { field, content }),
            // As deep as the table: two levels at most.
            (Some(Numbered::Outer(path)), Content::Bytes(inner)) => collect(found, inner, message, path)?,
            (Some(Numbered::Outer(_)), _) => return Err(DecodeError::Type),
            (None, _) => {}
        }
    }
    Ok(())
}

/// What JSON leaves out. A message that is there says something, if only that it is there.
fn is_zero(form: &Form, content: Content<'_>) -> bool {
    match (form, content) {
        (_, Content::Number(number)) | (Form::Double, Content::Eight(number)) => number == 0,
        (Form::Text | Form::Bytes | Form::Texts, Content::Bytes(bytes)) => bytes.is_empty(),
        (Form::NumberOrText, Content::Bytes(bytes)) => {
            let (number, text) = (number_at(bytes, 2), bytes_at(bytes, 3));
            number == Ok(0) && text.is_ok_and(<[u8]>::is_empty)
        }
        _ => false,
    }
}

/// Whether two of it are one: messages are, of texts the last one counts.
fn is_merged(form: &Form) -> bool {
    !matches!(form, Form::Text | Form::Bytes)
}

fn empty(form: &Form) -> Content<'static> {
    match form {
        Form::Integer | Form::Flag => Content::Number(0),
        _ => Content::Bytes(&[]),
    }
}

/// The last number in a field of a message; 0 if there is none.
fn number_at(bytes: &[u8], number: u64) -> Result<i64, DecodeError> {
    let mut last = 0;
    for field in Reader::new(bytes) {
        if let (found, Content::Number(value)) = field?
            && found == number
        {
            last = value.cast_signed();
        }
    }
    Ok(last)
}

/// The last bytes in a field of a message; empty if there are none.
pub(crate) fn bytes_at(bytes: &[u8], number: u64) -> Result<&[u8], DecodeError> {
    let mut last: &[u8] = &[];
    for field in Reader::new(bytes) {
        if let (found, Content::Bytes(value)) = field?
            && found == number
        {
            last = value;
        }
    }
    Ok(last)
}

pub(crate) fn utf8(bytes: &[u8]) -> Result<&str, DecodeError> {
    std::str::from_utf8(bytes).map_err(|_| DecodeError::Utf8)
}
