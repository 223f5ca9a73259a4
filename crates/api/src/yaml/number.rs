//! Numbers in the form that Go's JSON has.

use serde_json::{Number, Value};

/// From here on Go writes an exponent, and no integer type has room anyway.
const EXPONENT_FROM: f64 = 1e21;

/// A floating-point number as JSON from Go: without a fraction where there is none. `None`: JSON
/// has no such number.
pub(super) fn float(number: f64) -> Option<Number> {
    if number.fract() != 0.0 || number.abs() >= EXPONENT_FROM {
        return Number::from_f64(number);
    }
    // An integer with the same value, if one holds it exactly.
    let integer = number as i128;
    let exact = i64::try_from(integer).map(Number::from).or_else(|_| u64::try_from(integer).map(Number::from));
    exact.ok().or_else(|| Number::from_f64(number))
}

/// Writes whole numbers as kubectl does before it sends them: `30.0` becomes `30`, everywhere in a
/// value.
pub fn shorten(value: &mut Value) {
    match value {
        Value::Number(number) if number.is_f64() => {
            if let Some(short) = number.as_f64().and_then(float) {
                *number = short;
            }
        }
        Value::Array(items) => items.iter_mut().for_each(shorten),
        Value::Object(members) => members.values_mut().for_each(shorten),
        _ => {}
    }
}
