//! What Kubernetes knows of each kind's shape: decoding, defaults, validation.
//!
//! Everything here is pure. A write goes through [`decode`] (bytes to a canonical object), [`default`], and after
//! admission through one of the `validate_*` functions, which expect a decoded and defaulted object. Reading order:
//! [`types`] (the data), [`decode`](mod@decode) (the pass), [`read`] (its frame), `defaults`, `validate`.

pub(crate) mod base64;
mod convert;
mod decode;
mod defaults;
mod read;
#[cfg(test)]
mod read_tests;
#[cfg(test)]
mod robustness_tests;
pub(crate) mod types;
mod validate;

use serde_json::Value;

pub(crate) use defaults::default;
pub(crate) use read::{decode, decode_value};
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

/// Equality of two decoded values as apimachinery's `equality.Semantic.DeepEqual` (DS-A15): absent, null and empty
/// are the same, quantities are canonical already.
pub(crate) fn semantic_eq(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Object(a), Value::Object(b)) => {
            let covered = a.iter().all(|(key, value)| semantic_eq(value, b.get(key).unwrap_or(&Value::Null)));
            covered && b.iter().all(|(key, value)| a.contains_key(key) || is_empty(value))
        }
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| semantic_eq(a, b)),
        _ => a == b || is_empty(a) && is_empty(b),
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
