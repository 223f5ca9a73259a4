//! Objects with every field that there is, and with things in the wrong places: nothing may panic,
//! and what was decoded once must not change when it is decoded again.

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::types::{Definition, Type, types};
use super::{FieldValidation, decode_value, default, validate_create, validate_status_update, validate_update};
use crate::catalogue::{Row, built_in};
use crate::tables::{IncludeObject, table};

/// Mutations tried for each kind; the seed is fixed, so a failure repeats.
const MUTATIONS: usize = 150;

/// `within`: the definitions around it; one that contains itself ends there.
fn sample(kind: &Type, within: &[usize]) -> Value {
    match kind {
        Type::String => "a".into(),
        Type::Bool => true.into(),
        Type::Int32 | Type::Int64 | Type::IntOrString => 3.into(),
        Type::Double => 1.5.into(),
        Type::Bytes => "YQ==".into(),
        Type::Time => "2026-01-02T03:04:05Z".into(),
        Type::MicroTime => "2026-01-02T03:04:05.000006Z".into(),
        Type::Quantity => "1500m".into(),
        Type::Any => json!({"a": [1, null]}),
        Type::Object(index) | Type::ObjectOr(index) if within.contains(index) => json!({}),
        Type::Object(index) | Type::ObjectOr(index) => full(types().get(*index), &[within, &[*index]].concat()),
        Type::List(item) => json!([sample(item, within)]),
        Type::Map(item) => json!({ "a": sample(item, within) }),
    }
}

/// An object with every field set.
fn full(definition: &Definition, within: &[usize]) -> Value {
    let members: Map<String, Value> =
        definition.fields.iter().map(|field| (field.name.clone(), sample(&field.kind, within))).collect();
    members.into()
}

fn whole(info: &Row) -> Value {
    let mut value = full(types().of(&info.kind).unwrap(), &[]);
    value["apiVersion"] = info.kind.api_version().into();
    value["kind"] = info.kind.kind.as_ref().into();
    value["metadata"]["annotations"] = json!({});
    value
}

/// Everything that is done with a written object.
fn exercise(info: &Row, value: Value, old: &Value) {
    let Ok((mut value, _)) = decode_value(info, value, FieldValidation::Warn) else { return };
    let (again, findings) = decode_value(info, value.clone(), FieldValidation::Warn).unwrap();
    assert_eq!((&again, findings), (&value, Vec::new()), "{:?}", info.kind);
    default(info, &mut value);
    let mut twice = value.clone();
    default(info, &mut twice);
    assert_eq!(twice, value, "{:?}", info.kind);
    validate_create(info, &value);
    validate_update(info, &value, old);
    validate_status_update(info, &value, old);
    table(info, vec![value], json!({}), IncludeObject::Metadata, true, Timestamp::UNIX_EPOCH);
}

#[test]
fn every_field_is_known() {
    for info in built_in::all() {
        let (value, findings) = decode_value(info, whole(info), FieldValidation::Warn).unwrap();
        assert_eq!(findings, Vec::<String>::new(), "{:?}", info.kind);
        exercise(info, value.clone(), &value);
    }
}

/// A small generator of repeatable randomness (a linear congruence).
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % sides
    }
}

/// Replaces a random node of the tree.
fn mutate(value: &mut Value, dice: &mut Dice) {
    let stop = dice.roll(6) == 0;
    match value {
        Value::Object(members) if !stop && !members.is_empty() => {
            let position = dice.roll(members.len());
            if let Some(member) = members.values_mut().nth(position) {
                mutate(member, dice);
            }
        }
        Value::Array(items) if !stop && !items.is_empty() => {
            let position = dice.roll(items.len());
            mutate(&mut items[position], dice);
        }
        _ => {
            let odd = [
                Value::Null,
                json!(true),
                json!(-7),
                json!(1e300),
                json!("x"),
                json!(""),
                json!("\u{fc}/../"),
                json!([]),
                json!({}),
                json!([null]),
                json!({"a": null, "": 1}),
            ];
            *value = odd[dice.roll(odd.len())].clone();
        }
    }
}

#[test]
fn odd_objects_do_no_harm() {
    let mut dice = Dice(36);
    for info in built_in::all() {
        let good = whole(info);
        for _ in 0..MUTATIONS {
            let mut value = good.clone();
            for _ in 0..=dice.roll(3) {
                mutate(&mut value, &mut dice);
            }
            exercise(info, value, &good);
        }
    }
}
