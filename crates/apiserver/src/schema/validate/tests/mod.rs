//! Each case changes one good object in a few places and lists what is wrong then.

mod certificates;
mod daemon_set;
mod devices;
mod limits;
mod network;
mod nodes;
mod others;
mod pod;
mod services;
mod storage;
mod volumes;

use serde_json::{Value, json};

use super::{validate_create, validate_status_update, validate_update};
use crate::catalogue::{Row, built_in};
use crate::schema::{FieldValidation, decode_value, default};

pub(super) fn info(kind: &str) -> &'static Row {
    let found = built_in::all().into_iter().find(|info| info.kind.kind == kind);
    found.unwrap()
}

pub(super) fn ready(kind: &str, value: Value) -> Value {
    let (mut value, _) = decode_value(info(kind), value, FieldValidation::Strict).unwrap();
    default(info(kind), &mut value);
    value
}

pub(super) fn texts(errors: Vec<everynode_api::field::FieldError>) -> Vec<String> {
    errors.iter().map(ToString::to_string).collect()
}

/// Sets the value at a JSON pointer; `Value::Null` removes it. Missing objects on the way are made.
pub(super) fn set(target: &mut Value, pointer: &str, value: Value) {
    let (parent, last) = pointer.rsplit_once('/').unwrap();
    if target.pointer(parent).is_none() {
        set(target, parent, json!({}));
    }
    match target.pointer_mut(parent).unwrap() {
        Value::Array(items) if last == "-" => items.push(value),
        Value::Array(items) => items[last.parse::<usize>().unwrap()] = value,
        parent => {
            let members = parent.as_object_mut().unwrap();
            match value {
                Value::Null => drop(members.remove(last)),
                value => drop(members.insert(last.into(), value)),
            }
        }
    }
}

pub(super) type Change = (&'static str, Value);

pub(super) fn changed(base: &Value, changes: &[Change]) -> Value {
    let mut value = base.clone();
    for (pointer, change) in changes {
        set(&mut value, pointer, change.clone());
    }
    value
}

pub(super) fn check(kind: &str, base: &Value, changes: &[Change], expected: &[&str]) {
    let value = ready(kind, changed(base, changes));
    assert_eq!(texts(validate_create(info(kind), &value)), expected, "{changes:?}");
}

pub(super) fn check_update(kind: &str, base: &Value, changes: &[Change], expected: &[&str]) {
    let old = ready(kind, base.clone());
    let new = ready(kind, changed(base, changes));
    assert_eq!(texts(validate_update(info(kind), &new, &old)), expected, "{changes:?}");
}
