//! JSON to a message, in one pass over the text.
//!
//! A message's length stands before it and is known after it: a byte is left for it, and what was
//! written moves when it needs more. Each byte moves at most once a level, by a block copy.

use std::borrow::Cow;

use crate::scan::Scanner;
use crate::table::{Form, Message, table};
use crate::time;
use crate::wire::{close, open, push_bytes, push_eight, push_number};

/// Deeper than any object that the API server stores.
const DEPTH_MAX: usize = 200;

/// Why an object has no form in protobuf.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EncodeError {
    /// The text is no JSON.
    #[error("no JSON at byte {offset}")]
    Malformed {
        /// Where it stops making sense.
        offset: usize,
    },
    /// A member is of another type than the kind's.
    #[error("{member} is of another type than it has in protobuf")]
    Type {
        /// Its name.
        member: String,
    },
    /// Objects and lists are nested too deeply.
    #[error("objects are nested too deeply")]
    Depth,
    /// No message is known for this kind.
    #[error("{kind} of {version} cannot be encoded to a protobuf message")]
    UnknownKind {
        /// The API version.
        version: String,
        /// The kind's name.
        kind: String,
    },
}

/// Appends the message of a JSON object. Members that the message does not have are left out.
pub(crate) fn message(
    out: &mut Vec<u8>,
    scanner: &mut Scanner<'_>,
    message: &Message,
    depth: usize,
) -> Result<(), EncodeError> {
    let depth = depth.checked_sub(1).ok_or(EncodeError::Depth)?;
    scanner.enter(b'{')?;
    let (mut is_first, mut near) = (true, 0);
    while scanner.has_next(b'}', &mut is_first)? {
        let name = scanner.name()?;
        let Some(found) = message.find(&name, near) else {
            scanner.value()?;
            continue;
        };
        near = found + 1;
        let field = &message.fields[found];
        if scanner.takes_null()? {
            continue;
        }
        let written = member(out, scanner, &field.numbers, &field.form, depth);
        written.map_err(|error| error.of(&field.name))?;
    }
    Ok(())
}

/// As [`message`], for a whole text.
pub(crate) fn whole(out: &mut Vec<u8>, json: &[u8], target: &Message) -> Result<(), EncodeError> {
    let mut scanner = Scanner::new(json);
    message(out, &mut scanner, target, DEPTH_MAX)?;
    match scanner.peek() {
        None => Ok(()),
        Some(_) => Err(scanner.error()),
    }
}

impl EncodeError {
    /// A value was not what its type wants; which one is said by [`EncodeError::of`].
    fn of_type() -> EncodeError {
        EncodeError::Type { member: String::new() }
    }

    fn of(self, name: &str) -> EncodeError {
        match self {
            EncodeError::Type { member } if member.is_empty() => EncodeError::Type { member: name.to_owned() },
            error => error,
        }
    }
}

fn member(
    out: &mut Vec<u8>,
    scanner: &mut Scanner<'_>,
    numbers: &[u32],
    form: &Form,
    depth: usize,
) -> Result<(), EncodeError> {
    match numbers {
        [] => Ok(()),
        [number] => many(out, scanner, *number, form, depth),
        [outer, inner @ ..] => {
            let start = open(out, *outer);
            member(out, scanner, inner, form, depth)?;
            close(out, start);
            Ok(())
        }
    }
}

fn many(
    out: &mut Vec<u8>,
    scanner: &mut Scanner<'_>,
    number: u32,
    form: &Form,
    depth: usize,
) -> Result<(), EncodeError> {
    let mut is_first = true;
    match form {
        Form::List(item) => {
            enter(scanner, b'[')?;
            while scanner.has_next(b']', &mut is_first)? {
                one(out, scanner, number, item, depth)?;
            }
            Ok(())
        }
        Form::Map(value) => {
            enter(scanner, b'{')?;
            while scanner.has_next(b'}', &mut is_first)? {
                let key = scanner.name()?;
                let start = open(out, number);
                push_bytes(out, 1, &key);
                one(out, scanner, 2, value, depth)?;
                close(out, start);
            }
            Ok(())
        }
        form => one(out, scanner, number, form, depth),
    }
}

fn enter(scanner: &mut Scanner<'_>, bracket: u8) -> Result<(), EncodeError> {
    match scanner.peek() == Some(bracket) {
        true => scanner.enter(bracket),
        false => Err(EncodeError::of_type()),
    }
}

fn one(
    out: &mut Vec<u8>,
    scanner: &mut Scanner<'_>,
    number: u32,
    form: &Form,
    depth: usize,
) -> Result<(), EncodeError> {
    match form {
        Form::Text => push_bytes(out, number, &text(scanner)?),
        Form::Integer => push_number(out, number, integer(scanner)?.cast_unsigned()),
        Form::Flag => push_number(out, number, flag(scanner)?.into()),
        Form::Double => {
            let word = std::str::from_utf8(scanner.word()?).map_err(|_| EncodeError::of_type())?;
            let value = word.parse().ok().filter(|value: &f64| value.is_finite());
            push_eight(out, number, value.ok_or_else(EncodeError::of_type)?.to_bits());
        }
        Form::Bytes => {
            let text = text(scanner)?;
            let text = std::str::from_utf8(&text).map_err(|_| EncodeError::of_type())?;
            let bytes = everynode_common::base64::decode(text).map_err(|_| EncodeError::of_type())?;
            push_bytes(out, number, &bytes);
        }
        form => {
            let start = open(out, number);
            nested(out, scanner, form, depth)?;
            close(out, start);
        }
    }
    Ok(())
}

/// The content of a value that is a message on the wire.
fn nested(out: &mut Vec<u8>, scanner: &mut Scanner<'_>, form: &Form, depth: usize) -> Result<(), EncodeError> {
    let is_object = scanner.peek() == Some(b'{');
    match form {
        // A null among items: a message without content.
        _ if scanner.takes_null()? => Ok(()),
        Form::Message(index) if is_object => message(out, scanner, table().get(*index), depth),
        Form::OrList(index) if is_object => member(out, scanner, &[1], &Form::Message(*index), depth),
        Form::OrList(index) => many(out, scanner, 2, &Form::List(Box::new(Form::Message(*index))), depth),
        Form::OrFlag(index) if is_object => {
            push_number(out, 1, 1);
            member(out, scanner, &[2], &Form::Message(*index), depth)
        }
        Form::OrFlag(_) => one(out, scanner, 1, &Form::Flag, depth),
        Form::OrTexts(index) if is_object => member(out, scanner, &[1], &Form::Message(*index), depth),
        Form::OrTexts(_) => texts(out, scanner, 2),
        Form::Texts => texts(out, scanner, 1),
        Form::Any => {
            push_bytes(out, 1, scanner.value()?);
            Ok(())
        }
        Form::Time | Form::MicroTime => push_time(out, scanner),
        Form::Quantity => {
            let value = if scanner.peek() == Some(b'"') { text(scanner)? } else { Cow::Borrowed(scanner.word()?) };
            push_bytes(out, 1, &value);
            Ok(())
        }
        Form::NumberOrText => number_or_text(out, scanner),
        _ => Err(EncodeError::of_type()),
    }
}

fn texts(out: &mut Vec<u8>, scanner: &mut Scanner<'_>, number: u32) -> Result<(), EncodeError> {
    let mut is_first = true;
    enter(scanner, b'[')?;
    while scanner.has_next(b']', &mut is_first)? {
        push_bytes(out, number, &text(scanner)?);
    }
    Ok(())
}

fn push_time(out: &mut Vec<u8>, scanner: &mut Scanner<'_>) -> Result<(), EncodeError> {
    let (seconds, nanoseconds) = time::parse(&text(scanner)?).ok_or_else(EncodeError::of_type)?;
    push_number(out, 1, seconds.cast_unsigned());
    // Written although it is zero mostly: an empty message is no time.
    push_number(out, 2, i64::from(nanoseconds).cast_unsigned());
    Ok(())
}

/// Type (1: a text) at 1, number at 2, text at 3.
fn number_or_text(out: &mut Vec<u8>, scanner: &mut Scanner<'_>) -> Result<(), EncodeError> {
    if scanner.peek() == Some(b'"') {
        let text = text(scanner)?;
        push_number(out, 1, 1);
        push_bytes(out, 3, &text);
    } else {
        let number = integer(scanner)?;
        push_number(out, 1, 0);
        push_number(out, 2, number.cast_unsigned());
    }
    Ok(())
}

fn text<'a>(scanner: &mut Scanner<'a>) -> Result<Cow<'a, [u8]>, EncodeError> {
    match scanner.peek() {
        Some(b'"') => scanner.text(),
        _ => Err(EncodeError::of_type()),
    }
}

fn integer(scanner: &mut Scanner<'_>) -> Result<i64, EncodeError> {
    let word = std::str::from_utf8(scanner.word()?).map_err(|_| EncodeError::of_type())?;
    word.parse().map_err(|_| EncodeError::of_type())
}

fn flag(scanner: &mut Scanner<'_>) -> Result<bool, EncodeError> {
    match scanner.word()? {
        b"true" => Ok(true),
        b"false" => Ok(false),
        _ => Err(EncodeError::of_type()),
    }
}
