//! What Kubernetes knows of each kind's shape: decoding, defaults, validation.
//!
//! Everything here is pure. A write goes through [`decode`] (bytes to a canonical object),
//! [`default`], and after admission through one of the `validate_*` functions, which expect a
//! decoded and defaulted object. Reading order: [`types`] (the data), [`decode`](mod@decode) (the
//! pass), [`read`] (its frame), `defaults`, `validate`.

mod apply_types;
mod convert;
mod decode;
mod defaults;
mod read;
#[cfg(test)]
mod read_tests;
#[cfg(test)]
mod robustness_tests;
mod rules;
pub(crate) mod types;
mod validate;
pub(crate) mod warnings;

use everynode_api::quantity::Quantity;
use serde_json::Value;

pub(crate) use apply_types::{empty, root as apply_root};
pub(crate) use defaults::default;
pub(crate) use read::{Shape, decode, decode_delete_options, decode_value};
pub(crate) use rules::Rules;
pub(crate) use validate::{validate_create, validate_status_update, validate_update};

/// What to do with unknown and duplicate fields (DS-I40).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum FieldValidation {
    Ignore,
    Warn,
    Strict,
}

/// The encoding of a request body.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Media {
    Json,
    Yaml,
}

/// Members that hold quantities, themselves or in their entries.
const QUANTITIES: [&str; 7] = ["limits", "requests", "overhead", "capacity", "allocatable", "sizeLimit", "divisor"];

/// Equality of two decoded values as apimachinery's `equality.Semantic.DeepEqual` (DS-A15): absent,
/// null and empty are the same, and quantities are compared by value (`1Gi` and `1073741824` have
/// different canonical texts).
pub(crate) fn semantic_eq(a: &Value, b: &Value) -> bool {
    equal(a, b, false)
}

fn equal(a: &Value, b: &Value, quantities: bool) -> bool {
    match (a, b) {
        (Value::Object(a), Value::Object(b)) => {
            let same = |(key, value): (&String, &Value)| {
                let quantities = quantities || QUANTITIES.contains(&key.as_str());
                equal(value, b.get(key).unwrap_or(&Value::Null), quantities)
            };
            a.iter().all(same) && b.iter().all(|(key, value)| a.contains_key(key) || is_empty(value))
        }
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| equal(a, b, quantities))
        }
        _ if a == b || is_empty(a) && is_empty(b) => true,
        (Value::String(_), Value::String(_)) if quantities => {
            matches!((Quantity::from_json(a), Quantity::from_json(b)), (Ok(a), Ok(b)) if a == b)
        }
        _ => false,
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(items) => items.is_empty(),
        Value::Object(members) => members.is_empty(),
        _ => false,
    }
}
