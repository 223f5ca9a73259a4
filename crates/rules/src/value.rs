//! Values of expressions. Those that come from an object stay where they are, in its JSON.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use kube_cel::cel;
use serde_json::{Map, Number, Value as Json};

use crate::fault::Fault;
use crate::library;
use crate::node::Literal;
use crate::types::{Object, Type};

/// A value; `'a` is the life of the object and of its type.
#[derive(Clone, Debug)]
pub(crate) enum Value<'a> {
    Null,
    Bool(bool),
    Int(i64),
    Uint(u64),
    Double(f64),
    Text(Text<'a>),
    List(Items<'a>),
    Map(Members<'a>),
    Optional(Option<Arc<Value<'a>>>),
    TypeName(&'static str),
    /// What only the library's functions understand: times, bytes, URLs, quantities.
    Library(cel::Value),
}

#[derive(Clone, Debug)]
pub(crate) enum Text<'a> {
    Borrowed(&'a str),
    Shared(Arc<str>),
}

#[derive(Clone, Debug)]
pub(crate) enum Items<'a> {
    Json(&'a [Json], &'a Type),
    Made(Arc<Vec<Value<'a>>>),
}

#[derive(Clone, Debug)]
pub(crate) enum Members<'a> {
    Object(&'a Map<String, Json>, &'a Object),
    Json(&'a Map<String, Json>, &'a Type),
    Made(Arc<BTreeMap<Key, Value<'a>>>),
}

/// A key of a map that an expression made.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Key {
    Bool(bool),
    Int(i64),
    Uint(u64),
    Text(Arc<str>),
}

impl Text<'_> {
    pub(crate) fn as_str(&self) -> &str {
        match self {
            Text::Borrowed(text) => text,
            Text::Shared(text) => text,
        }
    }
}

impl<'a> Value<'a> {
    pub(crate) fn text(text: impl Into<Arc<str>>) -> Value<'a> {
        Value::Text(Text::Shared(text.into()))
    }

    pub(crate) fn list(items: Vec<Value<'a>>) -> Value<'a> {
        Value::List(Items::Made(Arc::new(items)))
    }

    pub(crate) fn map(members: BTreeMap<Key, Value<'a>>) -> Value<'a> {
        Value::Map(Members::Made(Arc::new(members)))
    }

    pub(crate) fn literal(literal: &'a Literal) -> Value<'a> {
        match literal {
            Literal::Null => Value::Null,
            Literal::Bool(value) => Value::Bool(*value),
            Literal::Int(value) => Value::Int(*value),
            Literal::Uint(value) => Value::Uint(*value),
            Literal::Double(value) => Value::Double(*value),
            Literal::Text(text) => Value::Text(Text::Borrowed(text)),
            Literal::Bytes(bytes) => Value::Library(cel::Value::Bytes(Arc::new(bytes.to_vec()))),
            Literal::TypeName(name) => Value::TypeName(name),
        }
    }

    /// A value of an object, of the type that its schema gives it.
    ///
    /// # Errors
    /// A text is not of the format that the type stands for.
    pub(crate) fn of(json: &'a Json, of: &'a Type) -> Result<Value<'a>, Fault> {
        Ok(match (json, of) {
            (Json::Null, _) => Value::Null,
            (Json::Bool(value), _) => Value::Bool(*value),
            (Json::Number(number), Type::Double) => Value::Double(number.as_f64().unwrap_or_default()),
            (Json::Number(number), of) => integer(number, matches!(of, Type::Int)),
            (Json::String(text), Type::Timestamp) => library::timestamp(text)?,
            (Json::String(text), Type::Duration) => library::call("duration", false, &[borrowed(text)])?,
            (Json::String(text), Type::Bytes { .. }) => library::call("base64.decode", false, &[borrowed(text)])?,
            (Json::String(text), _) => borrowed(text),
            (Json::Array(items), Type::List { item, .. }) => Value::List(Items::Json(items, item)),
            (Json::Array(items), _) => Value::List(Items::Json(items, &Type::Any)),
            (Json::Object(members), Type::Object(object)) => Value::Map(Members::Object(members, object)),
            (Json::Object(members), Type::Map { value, .. }) => Value::Map(Members::Json(members, value)),
            (Json::Object(members), _) => Value::Map(Members::Json(members, &Type::Any)),
        })
    }

    pub(crate) fn as_bool(&self) -> Result<bool, Fault> {
        match self {
            Value::Bool(value) => Ok(*value),
            _ => Err(Fault::NoOverload),
        }
    }

    /// Its size as functions count it: bytes of a text, items, members; 1 otherwise.
    pub(crate) fn size(&self) -> u64 {
        let size = match self {
            Value::Text(text) => text.as_str().len(),
            Value::List(items) => items.len(),
            Value::Map(members) => members.len(),
            Value::Library(cel::Value::Bytes(bytes)) => bytes.len(),
            Value::Optional(Some(value)) => return value.size(),
            _ => 1,
        };
        size as u64
    }

    /// Bytes of all texts in it, and one for each other part.
    pub(crate) fn weight(&self) -> u64 {
        let sum = |sum: u64, part: u64| sum.saturating_add(part);
        match self {
            Value::List(Items::Json(items, _)) => items.iter().map(json_weight).fold(1, sum),
            Value::List(Items::Made(items)) => items.iter().map(Value::weight).fold(1, sum),
            Value::Map(Members::Object(members, _) | Members::Json(members, _)) => {
                members.values().map(json_weight).fold(1, sum)
            }
            Value::Map(Members::Made(members)) => members.values().map(Value::weight).fold(1, sum),
            other => other.size().saturating_add(1),
        }
    }

    pub(crate) fn type_name(&self) -> &'static str {
        match self {
            Value::Null => "null_type",
            Value::Bool(_) => "bool",
            Value::Int(_) => "int",
            Value::Uint(_) => "uint",
            Value::Double(_) => "double",
            Value::Text(_) => "string",
            Value::List(_) => "list",
            Value::Map(_) => "map",
            Value::Optional(_) => "optional_type",
            Value::TypeName(_) => "type",
            Value::Library(cel::Value::Bytes(_)) => "bytes",
            Value::Library(cel::Value::Timestamp(_)) => "google.protobuf.Timestamp",
            Value::Library(cel::Value::Duration(_)) => "google.protobuf.Duration",
            Value::Library(_) => "opaque",
        }
    }
}

fn json_weight(json: &Json) -> u64 {
    match json {
        Json::String(text) => text.len() as u64 + 1,
        Json::Array(items) => items.iter().map(json_weight).fold(1, u64::saturating_add),
        Json::Object(members) => members.values().map(json_weight).fold(1, u64::saturating_add),
        _ => 1,
    }
}

fn borrowed(text: &str) -> Value<'_> {
    Value::Text(Text::Borrowed(text))
}

/// Whole numbers are int; others are double, unless the schema says that they are whole.
fn integer<'a>(number: &Number, is_int: bool) -> Value<'a> {
    match (number.as_i64(), number.as_f64()) {
        (Some(whole), _) => Value::Int(whole),
        (None, Some(float)) if is_int => Value::Int(float as i64),
        (None, float) => Value::Double(float.unwrap_or_default()),
    }
}

impl<'a> Items<'a> {
    pub(crate) fn len(&self) -> usize {
        match self {
            Items::Json(items, _) => items.len(),
            Items::Made(items) => items.len(),
        }
    }

    pub(crate) fn get(&self, index: usize) -> Option<Result<Value<'a>, Fault>> {
        match self {
            Items::Json(items, of) => items.get(index).map(|item| Value::of(item, of)),
            Items::Made(items) => items.get(index).cloned().map(Ok),
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = Result<Value<'a>, Fault>> {
        (0..self.len()).filter_map(|index| self.get(index))
    }
}

impl<'a> Members<'a> {
    pub(crate) fn len(&self) -> usize {
        match self {
            Members::Object(members, object) => named(members, object).count(),
            Members::Json(members, _) => members.len(),
            Members::Made(members) => members.len(),
        }
    }

    pub(crate) fn get(&self, key: &Key) -> Option<Result<Value<'a>, Fault>> {
        match (self, key) {
            (Members::Made(members), key) => members.get(key).cloned().map(Ok),
            (Members::Object(members, object), Key::Text(name)) => {
                let field = object.fields.get(&**name)?;
                members.get(&field.name).map(|value| Value::of(value, &field.of))
            }
            (Members::Json(members, of), Key::Text(name)) => members.get(&**name).map(|value| Value::of(value, of)),
            _ => None,
        }
    }

    /// By the name that stands in an expression.
    pub(crate) fn named(&self, name: &str) -> Option<Result<Value<'a>, Fault>> {
        match self {
            Members::Object(members, object) => {
                let field = object.fields.get(name)?;
                members.get(&field.name).map(|value| Value::of(value, &field.of))
            }
            Members::Json(members, of) => members.get(name).map(|value| Value::of(value, of)),
            Members::Made(members) => members.get(&Key::Text(name.into())).cloned().map(Ok),
        }
    }

    pub(crate) fn keys(&self) -> Vec<Key> {
        match self {
            Members::Object(members, object) => named(members, object).map(|name| Key::Text(name.into())).collect(),
            Members::Json(members, _) => members.keys().map(|name| Key::Text(name.as_str().into())).collect(),
            Members::Made(members) => members.keys().cloned().collect(),
        }
    }
}

/// The members that are there of those that the type has, by their names in expressions.
fn named<'o>(members: &'o Map<String, Json>, object: &'o Object) -> impl Iterator<Item = &'o str> {
    let there = object.fields.iter().filter(|(_, field)| members.contains_key(&field.name));
    there.map(|(name, _)| name.as_str())
}

impl Key {
    /// The key that a value is; doubles that are whole numbers are int.
    pub(crate) fn of(value: &Value<'_>) -> Result<Key, Fault> {
        match value {
            Value::Bool(value) => Ok(Key::Bool(*value)),
            Value::Int(value) => Ok(Key::Int(*value)),
            Value::Uint(value) => Ok(i64::try_from(*value).map_or(Key::Uint(*value), Key::Int)),
            Value::Double(value) if value.fract() == 0.0 => Ok(Key::Int(*value as i64)),
            Value::Text(text) => Ok(Key::Text(text.as_str().into())),
            _ => Err(Fault::Other("unsupported key type".to_owned())),
        }
    }

    pub(crate) fn value<'a>(&self) -> Value<'a> {
        match self {
            Key::Bool(value) => Value::Bool(*value),
            Key::Int(value) => Value::Int(*value),
            Key::Uint(value) => Value::Uint(*value),
            Key::Text(text) => Value::Text(Text::Shared(Arc::clone(text))),
        }
    }

    pub(crate) fn shown(&self) -> Cow<'_, str> {
        match self {
            Key::Bool(value) => value.to_string().into(),
            Key::Int(value) => value.to_string().into(),
            Key::Uint(value) => value.to_string().into(),
            Key::Text(text) => Cow::Borrowed(text),
        }
    }
}
