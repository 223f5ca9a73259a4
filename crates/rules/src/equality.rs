//! Equality and order of values, across the kinds of numbers.

use std::cmp::Ordering;

use kube_cel::cel;

use crate::cost::traverse;
use crate::fault::Fault;
use crate::value::{Items, Members, Value};

/// Whether two values are equal. `spend` is asked to pay for what is compared.
pub(crate) fn equal<'a>(
    a: &Value<'a>,
    b: &Value<'a>,
    spend: &mut dyn FnMut(u64) -> Result<(), Fault>,
) -> Result<bool, Fault> {
    spend(1)?;
    Ok(match (a, b) {
        (Value::Null, Value::Null) => true,
        (Value::Bool(a), Value::Bool(b)) => a == b,
        (Value::Text(a), Value::Text(b)) => {
            spend(traverse(a.as_str().len().min(b.as_str().len()) as u64))?;
            a.as_str() == b.as_str()
        }
        (Value::List(a), Value::List(b)) => a.len() == b.len() && lists(a, b, spend)?,
        (Value::Map(a), Value::Map(b)) => a.len() == b.len() && maps(a, b, spend)?,
        (Value::Optional(a), Value::Optional(b)) => match (a, b) {
            (Some(a), Some(b)) => equal(a, b, spend)?,
            (a, b) => a.is_none() && b.is_none(),
        },
        (Value::TypeName(a), Value::TypeName(b)) => a == b,
        (Value::Library(cel::Value::Bytes(a)), Value::Library(cel::Value::Bytes(b))) => {
            spend(traverse(a.len().min(b.len()) as u64))?;
            a == b
        }
        (Value::Library(a), Value::Library(b)) => a == b,
        (a, b) => numbers(a, b) == Some(Ordering::Equal),
    })
}

fn lists<'a>(a: &Items<'a>, b: &Items<'a>, spend: &mut dyn FnMut(u64) -> Result<(), Fault>) -> Result<bool, Fault> {
    for (a, b) in a.iter().zip(b.iter()) {
        if !equal(&a?, &b?, spend)? {
            return Ok(false);
        }
    }
    Ok(true)
}

fn maps<'a>(a: &Members<'a>, b: &Members<'a>, spend: &mut dyn FnMut(u64) -> Result<(), Fault>) -> Result<bool, Fault> {
    for key in a.keys() {
        let (Some(a), Some(b)) = (a.get(&key), b.get(&key)) else { return Ok(false) };
        if !equal(&a?, &b?, spend)? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The order of two numbers of any kinds. `None`: one is not a number.
pub(crate) fn numbers(a: &Value<'_>, b: &Value<'_>) -> Option<Ordering> {
    match (a, b) {
        (Value::Int(a), Value::Int(b)) => Some(a.cmp(b)),
        (Value::Uint(a), Value::Uint(b)) => Some(a.cmp(b)),
        (Value::Double(a), Value::Double(b)) => a.partial_cmp(b),
        (Value::Int(a), Value::Uint(b)) => Some(i128::from(*a).cmp(&i128::from(*b))),
        (Value::Uint(a), Value::Int(b)) => Some(i128::from(*a).cmp(&i128::from(*b))),
        (Value::Int(a), Value::Double(b)) => with_double(i128::from(*a), *b),
        (Value::Uint(a), Value::Double(b)) => with_double(i128::from(*a), *b),
        (Value::Double(_), Value::Int(_) | Value::Uint(_)) => numbers(b, a).map(Ordering::reverse),
        _ => None,
    }
}

/// Exact, also where a double cannot say every whole number.
fn with_double(whole: i128, double: f64) -> Option<Ordering> {
    if double.is_nan() {
        return None;
    }
    // Casts of floats saturate, and both ends are beyond 64 bits.
    let floor = double.floor();
    let order = whole.cmp(&(floor as i128));
    Some(if order == Ordering::Equal && double > floor { Ordering::Less } else { order })
}
