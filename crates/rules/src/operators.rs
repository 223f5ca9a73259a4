//! Operators with two operands.

use std::cmp::Ordering;

use kube_cel::cel;

use crate::cost::traverse;
use crate::equality::{equal, numbers};
use crate::fault::Fault;
use crate::library;
use crate::node::Operator;
use crate::value::{Key, Value};

pub(crate) type Spend<'s> = &'s mut dyn FnMut(u64) -> Result<(), Fault>;

pub(crate) fn binary<'a>(operator: Operator, a: Value<'a>, b: Value<'a>, spend: Spend<'_>) -> Result<Value<'a>, Fault> {
    match operator {
        Operator::Equal => equal(&a, &b, spend).map(Value::Bool),
        Operator::NotEqual => equal(&a, &b, spend).map(|equal| Value::Bool(!equal)),
        Operator::Less => order(&a, &b, spend).map(|order| Value::Bool(order == Some(Ordering::Less))),
        Operator::Greater => order(&a, &b, spend).map(|order| Value::Bool(order == Some(Ordering::Greater))),
        Operator::LessEqual => order(&a, &b, spend).map(|order| Value::Bool(order.is_some_and(Ordering::is_le))),
        Operator::GreaterEqual => order(&a, &b, spend).map(|order| Value::Bool(order.is_some_and(Ordering::is_ge))),
        Operator::In => contains(&b, &a, spend).map(Value::Bool),
        arithmetic => calculate(arithmetic, a, b, spend),
    }
}

/// `None`: one of the numbers is none.
fn order(a: &Value<'_>, b: &Value<'_>, spend: Spend<'_>) -> Result<Option<Ordering>, Fault> {
    spend(1)?;
    match (a, b) {
        (Value::Bool(a), Value::Bool(b)) => Ok(Some(a.cmp(b))),
        (Value::Text(a), Value::Text(b)) => {
            spend(traverse(a.as_str().len().min(b.as_str().len()) as u64))?;
            Ok(Some(a.as_str().cmp(b.as_str())))
        }
        (Value::Library(cel::Value::Timestamp(a)), Value::Library(cel::Value::Timestamp(b))) => Ok(Some(a.cmp(b))),
        (Value::Library(cel::Value::Duration(a)), Value::Library(cel::Value::Duration(b))) => Ok(Some(a.cmp(b))),
        (Value::Library(cel::Value::Bytes(a)), Value::Library(cel::Value::Bytes(b))) => {
            spend(traverse(a.len().min(b.len()) as u64))?;
            Ok(Some(a.cmp(b)))
        }
        (Value::Int(_) | Value::Uint(_) | Value::Double(_), Value::Int(_) | Value::Uint(_) | Value::Double(_)) => {
            Ok(numbers(a, b))
        }
        _ => Err(Fault::NoOverload),
    }
}

fn contains(of: &Value<'_>, wanted: &Value<'_>, spend: Spend<'_>) -> Result<bool, Fault> {
    match of {
        Value::List(items) => {
            for item in items.iter() {
                if equal(&item?, wanted, spend)? {
                    return Ok(true);
                }
            }
            Ok(false)
        }
        Value::Map(members) => {
            spend(1)?;
            Ok(Key::of(wanted).is_ok_and(|key| members.get(&key).is_some()))
        }
        _ => Err(Fault::NoOverload),
    }
}

fn calculate<'a>(operator: Operator, a: Value<'a>, b: Value<'a>, spend: Spend<'_>) -> Result<Value<'a>, Fault> {
    spend(1)?;
    match (a, b) {
        (Value::Int(a), Value::Int(b)) => {
            within(whole(operator, a.into(), b.into())?, "integer overflow").map(Value::Int)
        }
        (Value::Uint(a), Value::Uint(b)) => {
            within(whole(operator, a.into(), b.into())?, "unsigned integer overflow").map(Value::Uint)
        }
        (Value::Double(a), Value::Double(b)) => double(operator, a, b).map(Value::Double),
        (Value::Text(a), Value::Text(b)) if operator == Operator::Add => {
            spend(traverse((a.as_str().len() + b.as_str().len()) as u64))?;
            Ok(Value::text(format!("{}{}", a.as_str(), b.as_str())))
        }
        (Value::List(a), Value::List(b)) if operator == Operator::Add => {
            spend((a.len() + b.len()) as u64)?;
            a.iter().chain(b.iter()).collect::<Result<Vec<_>, _>>().map(Value::list)
        }
        (a @ Value::Library(_), b @ Value::Library(_)) => {
            spend(traverse(a.size().saturating_add(b.size())))?;
            library::operator(operator, &a, &b)
        }
        _ => Err(Fault::NoOverload),
    }
}

/// Whole numbers of either kind, whose ends are the caller's. `None`: beyond any end.
fn whole(operator: Operator, a: i128, b: i128) -> Result<Option<i128>, Fault> {
    Ok(match operator {
        Operator::Divide | Operator::Modulo if b == 0 => {
            let words = if operator == Operator::Divide { "division by zero" } else { "modulus by zero" };
            return Err(Fault::Other(words.to_owned()));
        }
        Operator::Add => a.checked_add(b),
        Operator::Subtract => a.checked_sub(b),
        Operator::Multiply => a.checked_mul(b),
        Operator::Divide => a.checked_div(b),
        _ => a.checked_rem(b),
    })
}

/// The result in the type of its operands.
fn within<T: TryFrom<i128>>(result: Option<i128>, words: &str) -> Result<T, Fault> {
    result.and_then(|result| T::try_from(result).ok()).ok_or_else(|| Fault::Other(words.to_owned()))
}

fn double(operator: Operator, a: f64, b: f64) -> Result<f64, Fault> {
    match operator {
        Operator::Add => Ok(a + b),
        Operator::Subtract => Ok(a - b),
        Operator::Multiply => Ok(a * b),
        Operator::Divide => Ok(a / b),
        _ => Err(Fault::NoOverload),
    }
}
