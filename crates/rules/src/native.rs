//! Functions that are evaluated here: those that most rules call, and those of optional values.

use std::sync::Arc;

use regex::RegexBuilder;

use crate::cost::traverse;
use crate::fault::Fault;
use crate::functions::Function;
use crate::library;
use crate::value::Value;

/// A compiled pattern takes no more memory, in bytes.
const PATTERN_BYTES_MAX: usize = 1 << 18;

/// Compiles a pattern.
///
/// # Errors
/// What is wrong with it.
pub(crate) fn regex(pattern: &str) -> Result<regex::Regex, String> {
    let compiled = RegexBuilder::new(pattern).size_limit(PATTERN_BYTES_MAX).build();
    compiled.map_err(|error| format!("error parsing regexp: {}", error.to_string().lines().last().unwrap_or_default()))
}

/// What compiling a pattern costs that does not stand in the rule.
const COMPILING: u64 = 1_000;

/// What a call costs beyond its row of the table, by what it makes of these operands: the row knows
/// sizes, not what lists contain. Functions of the library get copies, which are paid for; those
/// that are evaluated here look at no more than they say.
pub(crate) fn extra(function: &Function, operands: &[Value<'_>]) -> u64 {
    let size = |index: usize| operands.get(index).map_or(0, Value::size);
    let weight = || weight_of(operands);
    match function.name.as_str() {
        "size" | "dyn" | "type" | "hasValue" | "value" | "or" | "orValue" | "first" | "last" => 0,
        name if name.starts_with("optional.") => 0,
        // As many pieces as there are characters.
        "split" => size(0),
        "findAll" => size(0).saturating_add(COMPILING),
        "find" | "matches" => COMPILING,
        "replace" => traverse(replaced_size(operands)),
        "join" => traverse(weight().saturating_add(size(0).saturating_mul(size(1)))),
        "format" => {
            let places = operands.first().map_or(0, |text| characters(text, '%'));
            traverse(weight().saturating_mul(places.saturating_add(1)))
        }
        name if name.starts_with("sets.") => size(0).saturating_mul(traverse(weight())),
        _ => traverse(weight()),
    }
}

/// How much lists and maps among the operands contain: they are copied for the library.
fn weight_of(operands: &[Value<'_>]) -> u64 {
    let is_compound = |operand: &&Value<'_>| matches!(operand, Value::List(_) | Value::Map(_));
    operands.iter().filter(is_compound).fold(0, |sum: u64, operand| sum.saturating_add(operand.weight()))
}

fn characters(text: &Value<'_>, wanted: char) -> u64 {
    match text {
        Value::Text(text) => text.as_str().matches(wanted).count() as u64,
        _ => 0,
    }
}

fn replaced_size(operands: &[Value<'_>]) -> u64 {
    match operands {
        [Value::Text(text), Value::Text(old), Value::Text(new), ..] => {
            let found = text.as_str().matches(old.as_str()).count() as u64;
            found.saturating_mul(new.as_str().len() as u64).saturating_add(text.as_str().len() as u64)
        }
        _ => 0,
    }
}

/// Calls a function; its cost is paid already.
pub(crate) fn call<'a>(function: &Function, operands: Vec<Value<'a>>) -> Result<Value<'a>, Fault> {
    match (function.name.as_str(), operands.as_slice()) {
        ("size", [Value::Text(text)]) => Ok(Value::Int(text.as_str().chars().count() as i64)),
        ("size", [value @ (Value::List(_) | Value::Map(_) | Value::Library(_))]) => Ok(Value::Int(value.size() as i64)),
        ("contains", [Value::Text(text), Value::Text(part)]) => Ok(Value::Bool(text.as_str().contains(part.as_str()))),
        ("startsWith", [Value::Text(text), Value::Text(part)]) => {
            Ok(Value::Bool(text.as_str().starts_with(part.as_str())))
        }
        ("endsWith", [Value::Text(text), Value::Text(part)]) => Ok(Value::Bool(text.as_str().ends_with(part.as_str()))),
        ("matches", [Value::Text(text), Value::Text(pattern)]) => {
            let pattern = regex(pattern.as_str()).map_err(Fault::Other)?;
            Ok(Value::Bool(pattern.is_match(text.as_str())))
        }
        ("find", [Value::Text(text), Value::Text(pattern)]) => {
            let pattern = regex(pattern.as_str()).map_err(Fault::Other)?;
            Ok(Value::text(pattern.find(text.as_str()).map_or("", |found| found.as_str())))
        }
        ("findAll", [Value::Text(text), Value::Text(pattern), limit @ ..]) => {
            let pattern = regex(pattern.as_str()).map_err(Fault::Other)?;
            let limit = match limit {
                [Value::Int(limit)] => usize::try_from(*limit).unwrap_or(usize::MAX),
                _ => usize::MAX,
            };
            let found = pattern.find_iter(text.as_str()).take(limit);
            Ok(Value::list(found.map(|found| Value::text(found.as_str())).collect()))
        }
        ("string", [Value::Text(_)]) | ("dyn", [_]) | ("bool", [Value::Bool(_)]) => first(operands),
        ("bool", [Value::Text(text)]) => match text.as_str() {
            "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(Value::Bool(true)),
            "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(Value::Bool(false)),
            _ => Err(Fault::Other("type conversion error from 'string' to 'bool'".to_owned())),
        },
        ("string", [Value::Bool(value)]) => Ok(Value::text(value.to_string())),
        ("type", [value]) => Ok(Value::TypeName(value.type_name())),
        ("timestamp", [Value::Text(_)]) => library::call("timestamp", false, &operands),
        ("timestamp" | "duration", [Value::Library(_)]) => first(operands),
        ("optional.none" | "hasValue" | "value" | "or" | "orValue" | "first" | "last", _) => {
            optional(function, operands)
        }
        ("optional.of", [_]) => Ok(some(first(operands)?)),
        ("optional.ofNonZeroValue", [value]) => match is_zero(value) {
            true => Ok(Value::Optional(None)),
            false => Ok(some(first(operands)?)),
        },
        (name, _) => library::call(name, function.is_method, &operands),
    }
}

fn first(operands: Vec<Value<'_>>) -> Result<Value<'_>, Fault> {
    operands.into_iter().next().ok_or(Fault::NoOverload)
}

fn some(value: Value<'_>) -> Value<'_> {
    Value::Optional(Some(Arc::new(value)))
}

fn optional<'a>(function: &Function, operands: Vec<Value<'a>>) -> Result<Value<'a>, Fault> {
    let mut operands = operands.into_iter();
    match (function.name.as_str(), operands.next(), operands.next()) {
        ("optional.none", _, _) => Ok(Value::Optional(None)),
        ("hasValue", Some(Value::Optional(value)), _) => Ok(Value::Bool(value.is_some())),
        ("value", Some(Value::Optional(Some(value))), _) | ("orValue", Some(Value::Optional(Some(value))), _) => {
            Ok((*value).clone())
        }
        ("value", Some(Value::Optional(None)), _) => Err(Fault::Other("optional.none() dereference".to_owned())),
        ("orValue", Some(Value::Optional(None)), Some(other)) => Ok(other),
        ("or", Some(Value::Optional(None)), Some(other @ Value::Optional(_))) => Ok(other),
        ("or", Some(value @ Value::Optional(Some(_))), _) => Ok(value),
        ("first", Some(Value::List(items)), _) => item(items.get(0)),
        ("last", Some(Value::List(items)), _) => item(items.len().checked_sub(1).and_then(|last| items.get(last))),
        _ => Err(Fault::NoOverload),
    }
}

fn item(item: Option<Result<Value<'_>, Fault>>) -> Result<Value<'_>, Fault> {
    Ok(Value::Optional(item.transpose()?.map(Arc::new)))
}

fn is_zero(value: &Value<'_>) -> bool {
    match value {
        Value::Null | Value::Bool(false) | Value::Int(0) | Value::Uint(0) | Value::Optional(None) => true,
        Value::Double(value) => *value == 0.0,
        Value::Text(_) | Value::List(_) | Value::Map(_) => value.size() == 0,
        _ => false,
    }
}
