//! Values: which form of a type they have, and when two are the same.

use serde_json::Value;

use crate::element::Scalar;
use crate::schema::{Atom, List, Map, ScalarType, Schema, TypeId};

/// The form of a type that a value has.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Form<'a> {
    Map(&'a Map),
    Scalar(ScalarType),
    List(&'a List),
}

/// The form in which values are handled; `None`: the type has none, which no schema of ours says.
pub(crate) fn form<'a>(schema: &'a Schema, id: TypeId, value: Option<&Value>) -> Option<Form<'a>> {
    let atom = schema.get(id);
    let fitting = match value {
        Some(Value::Object(_)) => atom.map.as_ref().map(Form::Map),
        Some(Value::Array(_)) => atom.list.as_ref().map(Form::List),
        Some(Value::Null) | None => None,
        Some(_) => atom.scalar.map(Form::Scalar),
    };
    fitting.or_else(|| first(atom))
}

fn first(atom: &Atom) -> Option<Form<'_>> {
    let map = atom.map.as_ref().map(Form::Map);
    map.or_else(|| atom.scalar.map(Form::Scalar)).or_else(|| atom.list.as_ref().map(Form::List))
}

/// The entries of a map; `None`: the value is another one, or absent.
pub(crate) fn entries(value: Option<&Value>) -> Option<&serde_json::Map<String, Value>> {
    value.and_then(Value::as_object)
}

/// The items of a list; `None`: the value is another one, or absent.
pub(crate) fn items(value: Option<&Value>) -> Option<&Vec<Value>> {
    value.and_then(Value::as_array)
}

/// Equality in which `1` is `1.0`.
pub(crate) fn same(one: &Value, two: &Value) -> bool {
    match (one, two) {
        (Value::Object(one), Value::Object(two)) => {
            one.len() == two.len()
                && one.iter().all(|(name, value)| two.get(name).is_some_and(|other| same(value, other)))
        }
        (Value::Array(one), Value::Array(two)) => {
            one.len() == two.len() && one.iter().zip(two).all(|(value, other)| same(value, other))
        }
        (Value::Number(_), Value::Number(_)) => Scalar::of(one) == Scalar::of(two),
        _ => one == two,
    }
}
