//! One pass over a written object: what Kubernetes' own decode and encode would make of it.
//!
//! Unknown fields are pruned and reported, wrong types refused with Go's words, quantities and
//! times made canonical, zero values dropped or written as Go's field tags say. Everything is
//! driven by [`super::types`]; the depth is that of the schema, so the recursion is bounded.

use everynode_api::decode::unknown_field;
use everynode_api::field::go_quote;
use everynode_api::quantity;
use everynode_api::time::{rfc3339, rfc3339_micro};
use jiff::Timestamp;
use serde_json::{Map, Value};

use super::types::{Definition, Emission, Field, Type, Types};
use everynode_common::base64;

/// Most unknown fields that are reported, as in Kubernetes.
const FINDINGS_MAX: usize = 100;

/// The state of one pass.
pub(crate) struct Pass<'t> {
    types: &'t Types,
    /// Dotted path with list indexes, for findings.
    trail: String,
    /// Field names only, for errors, as Go keeps them.
    fields: Vec<&'t str>,
    /// Unknown fields, in the form `unknown field "spec.foo"`.
    pub(crate) findings: Vec<String>,
    /// The first wrong type; later ones are not looked at, as in Go.
    pub(crate) error: Option<String>,
}

impl<'t> Pass<'t> {
    pub(crate) fn new(types: &'t Types) -> Self {
        Pass { types, trail: String::new(), fields: Vec::new(), findings: Vec::new(), error: None }
    }

    /// A pass over what stands at a path.
    pub(crate) fn within(types: &'t Types, path: &str) -> Self {
        Pass { trail: path.to_owned(), ..Pass::new(types) }
    }

    /// Rewrites the members of a struct.
    pub(crate) fn object(&mut self, definition: &'t Definition, members: &mut Map<String, Value>) {
        // Nearly always nothing goes: a walk and no rebuilding.
        let mut gone = Vec::new();
        for (name, value) in members.iter_mut() {
            let stays = match definition.field(name) {
                Some(field) => self.member(definition, field, value),
                None => {
                    self.unknown(name);
                    false
                }
            };
            if !stays {
                gone.push(name.clone());
            }
        }
        for name in gone {
            members.remove(&name);
        }
        for field in definition.fields.iter().filter(|field| field.emission == Emission::Always) {
            if !members.contains_key(&field.name) {
                let mut zero = field.kind.zero();
                self.fill(field, &mut zero);
                members.insert(field.name.clone(), zero);
            }
        }
    }

    /// Gives an absent struct held by value its own always-written members.
    fn fill(&mut self, field: &'t Field, zero: &mut Value) {
        if let (Type::Object(index), Value::Object(members)) = (&field.kind, zero) {
            self.object(self.types.get(*index), members);
        }
    }

    fn unknown(&mut self, name: &str) {
        if self.findings.len() < FINDINGS_MAX {
            let path = match self.trail.is_empty() {
                true => name.to_owned(),
                false => format!("{}.{name}", self.trail),
            };
            self.findings.push(unknown_field(&path));
        }
    }

    /// Rewrites one field; whether it stays.
    fn member(&mut self, owner: &'t Definition, field: &'t Field, value: &mut Value) -> bool {
        if value.is_null() {
            *value = field.kind.zero();
            self.fill(field, value);
            return field.emission == Emission::Always;
        }
        let before = self.trail.len();
        if before > 0 {
            self.trail.push('.');
        }
        self.trail.push_str(&field.name);
        self.fields.push(&field.name);
        self.value(owner, Some(field), &field.kind, value);
        self.fields.pop();
        self.trail.truncate(before);
        field.emission != Emission::OmitEmpty || !is_zero(value)
    }

    fn value(&mut self, owner: &'t Definition, field: Option<&'t Field>, kind: &'t Type, value: &mut Value) {
        if value.is_null() {
            *value = kind.zero();
        }
        match (kind, &mut *value) {
            (Type::Object(index) | Type::ObjectOr(index), Value::Object(members)) => {
                self.object(self.types.get(*index), members)
            }
            (Type::List(item), Value::Array(items)) => self.items(owner, item, items),
            (Type::Map(item), Value::Object(members)) => {
                members.values_mut().for_each(|value| self.value(owner, None, item, value));
            }
            (Type::String, Value::String(_)) | (Type::Bool, Value::Bool(_)) | (Type::Any | Type::ObjectOr(_), _) => {}
            (Type::List(_) | Type::Map(_) | Type::Time | Type::MicroTime, Value::Null) => {}
            (Type::Double, Value::Number(_)) => {}
            _ => self.scalar(owner, field, kind, value),
        }
    }

    fn items(&mut self, owner: &'t Definition, item: &'t Type, items: &mut [Value]) {
        let before = self.trail.len();
        for (index, value) in items.iter_mut().enumerate() {
            self.trail.push_str(&format!("[{index}]"));
            self.value(owner, None, item, value);
            self.trail.truncate(before);
        }
    }

    /// Scalars with rules of their own, and everything of the wrong type.
    fn scalar(&mut self, owner: &'t Definition, field: Option<&'t Field>, kind: &'t Type, value: &mut Value) {
        let result = match kind {
            Type::Int32 | Type::Int64 => integer(kind, value),
            Type::Bytes => bytes(value),
            Type::Time => time(value, rfc3339),
            Type::MicroTime => micro_time(value),
            Type::Quantity => canonical_quantity(value),
            Type::IntOrString => int_or_string(value),
            _ => Err(Wrong::Type(word(value).to_owned())),
        };
        let text = match result {
            Ok(()) => return,
            Err(Wrong::Text(text)) => text,
            Err(Wrong::Type(what)) => self.wrong_type(owner, field, kind, &what),
        };
        self.error.get_or_insert(text);
    }

    fn wrong_type(&self, owner: &Definition, field: Option<&Field>, kind: &Type, what: &str) -> String {
        let go_type = match field {
            Some(field) => field.go_type(self.types),
            None => kind.go_type(self.types),
        };
        let path = self.fields.join(".");
        format!("json: cannot unmarshal {what} into Go struct field {}.{path} of type {go_type}", owner.short_name())
    }
}

/// Why a scalar is refused.
enum Wrong {
    /// A JSON type that Go cannot put there, in Go's words.
    Type(String),
    /// A complete message.
    Text(String),
}

/// Go's word for a JSON value.
fn word(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

/// Whether `omitempty` drops the value.
fn is_zero(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(value) => !value,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(members) => members.is_empty(),
    }
}

fn integer(kind: &Type, value: &Value) -> Result<(), Wrong> {
    let Value::Number(number) = value else {
        return Err(Wrong::Type(word(value).to_owned()));
    };
    let fits = |number: i64| *kind == Type::Int64 || i32::try_from(number).is_ok();
    match number.as_i64().is_some_and(fits) {
        true => Ok(()),
        false => Err(Wrong::Type(format!("number {number}"))),
    }
}

fn bytes(value: &mut Value) -> Result<(), Wrong> {
    let Value::String(text) = value else {
        return Err(Wrong::Type(word(value).to_owned()));
    };
    match base64::decode(text) {
        Ok(bytes) => *text = base64::encode(&bytes),
        Err(offset) => return Err(Wrong::Text(format!("illegal base64 data at input byte {offset}"))),
    }
    Ok(())
}

fn time(value: &mut Value, print: fn(Timestamp) -> String) -> Result<(), Wrong> {
    let Value::String(text) = value else {
        let what = word(value);
        return Err(Wrong::Text(format!("json: cannot unmarshal {what} into Go value of type string")));
    };
    match parse_time(text) {
        Some(time) => *text = print(time),
        None => return Err(Wrong::Text(time_error(text))),
    }
    Ok(())
}

/// A time with exactly six digits of a fraction, as Go demands where it is to be that exact.
fn micro_time(value: &mut Value) -> Result<(), Wrong> {
    if let Some(text) = value.as_str().filter(|text| parse_time(text).is_some()) {
        let rest = text.get(SECONDS_BYTES..).unwrap_or_default();
        let digits = rest.strip_prefix('.').map_or(0, |rest| rest.bytes().take_while(u8::is_ascii_digit).count());
        if digits != MICRO_DIGITS {
            let (quoted, rest) = (go_quote(text), go_quote(rest));
            let layout = "\"2006-01-02T15:04:05.000000Z07:00\"";
            let wanted = "\".000000\"";
            return Err(Wrong::Text(format!("parsing time {quoted} as {layout}: cannot parse {rest} as {wanted}")));
        }
    }
    time(value, rfc3339_micro)
}

/// `2026-01-02T03:04:05`
const SECONDS_BYTES: usize = 19;
const MICRO_DIGITS: usize = 6;

/// RFC 3339 and nothing laxer: `2026-01-02T03:04:05[.fraction](Z|±hh:mm)`.
fn parse_time(text: &str) -> Option<Timestamp> {
    let bytes = text.as_bytes();
    let shape = bytes.len() >= 20 && bytes[4] == b'-' && bytes[10] == b'T' && bytes[13] == b':';
    let zone = text.ends_with('Z') || bytes.len() >= 25 && bytes[bytes.len() - 3] == b':';
    (shape && zone).then(|| text.parse().ok()).flatten()
}

fn time_error(text: &str) -> String {
    let quoted = go_quote(text);
    format!("parsing time {quoted} as \"2006-01-02T15:04:05Z07:00\": cannot parse {quoted} as \"2006\"")
}

fn canonical_quantity(value: &mut Value) -> Result<(), Wrong> {
    let canonical = match &*value {
        Value::String(text) => quantity::canonical_text(text),
        other => quantity::canonical_text(&other.to_string()),
    };
    *value = canonical.map_err(|error| Wrong::Text(error.to_string()))?.into();
    Ok(())
}

fn int_or_string(value: &Value) -> Result<(), Wrong> {
    let number_fits = |number: &serde_json::Number| number.as_i64().is_some_and(|n| i32::try_from(n).is_ok());
    match value {
        Value::String(_) => Ok(()),
        Value::Number(number) if number_fits(number) => Ok(()),
        Value::Number(number) => {
            Err(Wrong::Text(format!("json: cannot unmarshal number {number} into Go value of type int32")))
        }
        other => Err(Wrong::Text(format!("json: cannot unmarshal {} into Go value of type int32", word(other)))),
    }
}
