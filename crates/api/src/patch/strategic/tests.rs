//! Tests of strategic merge, by what they look at.

mod apply_cases;
mod diff_cases;
mod laws;

use serde_json::{Value, json};

use super::{BuiltIn, apply};

fn pod() -> BuiltIn {
    BuiltIn::for_kind("", "Pod")
}

fn patched(document: Value, patch: Value) -> Value {
    let text = format!("{document} + {patch}");
    apply(document, patch, pod()).unwrap_or_else(|error| panic!("{text}: {error}"))
}

/// Wraps the value of one pod spec field.
fn spec(field: &str, value: Value) -> Value {
    json!({"spec": {field: value}})
}

/// A list of named elements from a row of letters.
fn named(letters: &str) -> Value {
    letters.chars().map(|c| json!({"name": c.to_string()})).collect()
}
