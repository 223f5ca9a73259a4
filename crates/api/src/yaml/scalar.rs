//! What a scalar means, by the rules of YAML 1.1 as Go's library has them.

use granit_parser::Tag;
use serde_json::{Number, Value};

use super::number;

/// A scalar's meaning. Kept apart from JSON's values because a key and a value differ in how they
/// become JSON.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Scalar {
    Null,
    Bool(bool),
    Integer(i64),
    /// Above `i64::MAX`: no key, and a value.
    Unsigned(u64),
    Float(f64),
    Text(String),
    /// `<<`: the map's members are those of another one.
    Merge,
}

impl Scalar {
    /// Reads a scalar. `plain`: written without quotes, so that its text decides what it is.
    pub(super) fn read(text: &str, plain: bool, tag: Option<&Tag>) -> Result<Scalar, String> {
        let suffix = match tag {
            None => return Ok(if plain { Scalar::resolve(text) } else { Scalar::Text(text.to_owned()) }),
            // `!` alone: text, as in quotes.
            Some(tag) if tag.handle().is_empty() && tag.suffix() == "!" => return Ok(Scalar::Text(text.to_owned())),
            Some(tag) => tag.suffix_in_namespace("tag:yaml.org,2002:"),
        };
        let Some(suffix) = suffix else {
            return Ok(if plain { Scalar::resolve(text) } else { Scalar::Text(text.to_owned()) });
        };
        let meant = Scalar::resolve(text);
        let kind = meant.kind();
        match (suffix.as_ref(), meant) {
            ("str" | "timestamp", _) => Ok(Scalar::Text(text.to_owned())),
            ("binary", _) => {
                Err("!!binary is not supported; write the text, or base64 where the field wants it".into())
            }
            ("float", Scalar::Integer(number)) => Ok(Scalar::Float(number as f64)),
            ("float", Scalar::Unsigned(number)) => Ok(Scalar::Float(number as f64)),
            (wanted @ ("null" | "bool" | "int" | "float" | "merge"), meant) if wanted == kind => Ok(meant),
            (wanted @ ("null" | "bool" | "int" | "float" | "merge"), _) => {
                Err(format!("cannot decode !!{kind} `{text}` as a !!{wanted}"))
            }
            (_, meant) => Ok(if plain { meant } else { Scalar::Text(text.to_owned()) }),
        }
    }

    fn kind(&self) -> &'static str {
        match self {
            Scalar::Null => "null",
            Scalar::Bool(_) => "bool",
            Scalar::Integer(_) | Scalar::Unsigned(_) => "int",
            Scalar::Float(_) => "float",
            Scalar::Text(_) => "str",
            Scalar::Merge => "merge",
        }
    }

    fn resolve(text: &str) -> Scalar {
        match text {
            "" | "~" | "null" | "Null" | "NULL" => return Scalar::Null,
            "y" | "Y" | "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => {
                return Scalar::Bool(true);
            }
            "n" | "N" | "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => {
                return Scalar::Bool(false);
            }
            ".nan" | ".NaN" | ".NAN" => return Scalar::Float(f64::NAN),
            ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" => return Scalar::Float(f64::INFINITY),
            "-.inf" | "-.Inf" | "-.INF" => return Scalar::Float(f64::NEG_INFINITY),
            "<<" => return Scalar::Merge,
            _ => {}
        }
        if !text.starts_with(|first: char| first.is_ascii_digit() || matches!(first, '+' | '-' | '.')) {
            return Scalar::Text(text.to_owned());
        }
        let digits = text.replace('_', "");
        integer(&digits).or_else(|| float(&digits)).unwrap_or_else(|| Scalar::Text(text.to_owned()))
    }

    /// As a value of JSON.
    pub(super) fn value(self) -> Result<Value, String> {
        Ok(match self {
            Scalar::Null => Value::Null,
            Scalar::Bool(value) => Value::Bool(value),
            Scalar::Integer(number) => number.into(),
            Scalar::Unsigned(number) => number.into(),
            Scalar::Float(number) => {
                Value::Number(number::float(number).ok_or_else(|| format!("unsupported value: {}", odd(number)))?)
            }
            Scalar::Text(text) => Value::String(text),
            Scalar::Merge => Value::String("<<".into()),
        })
    }

    /// As a key of JSON, which is always text.
    pub(super) fn key(self) -> Result<String, String> {
        Ok(match self {
            Scalar::Null => return Err("unsupported map key of type null".into()),
            Scalar::Unsigned(number) => return Err(format!("unsupported map key {number}: the number is too large")),
            Scalar::Bool(value) => value.to_string(),
            Scalar::Integer(number) => number.to_string(),
            Scalar::Float(number) if number.is_nan() => ".nan".into(),
            Scalar::Float(f64::INFINITY) => ".inf".into(),
            Scalar::Float(f64::NEG_INFINITY) => "-.inf".into(),
            Scalar::Float(number) => number::float(number).map_or_else(String::new, |number| number_key(&number)),
            Scalar::Text(text) => text,
            Scalar::Merge => "<<".into(),
        })
    }
}

/// Go writes whole numbers of 21 digits and more with an exponent.
fn number_key(number: &Number) -> String {
    match number.as_f64() {
        Some(float) if number.is_f64() && float.fract() == 0.0 => go_exponent(float),
        _ => number.to_string(),
    }
}

/// `1e+20`.
fn go_exponent(number: f64) -> String {
    let text = format!("{number:e}");
    match text.split_once('e') {
        Some((digits, exponent)) => format!("{digits}e+{exponent:0>2}"),
        None => text,
    }
}

fn odd(number: f64) -> &'static str {
    match number {
        _ if number.is_nan() => "NaN",
        _ if number > 0.0 => "+Inf",
        _ => "-Inf",
    }
}

/// Decimal, `0x`, `0o`, `0b`, and octal by a leading zero.
fn integer(text: &str) -> Option<Scalar> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let (radix, digits) = match digits.as_bytes() {
        [b'0', b'x' | b'X', ..] => (16, &digits[2..]),
        [b'0', b'o' | b'O', ..] => (8, &digits[2..]),
        [b'0', b'b' | b'B', ..] => (2, &digits[2..]),
        [b'0', _, ..] => (8, &digits[1..]),
        _ => (10, digits),
    };
    // The sign has been taken; another one is none.
    if !digits.starts_with(|first: char| first.is_digit(radix)) {
        return None;
    }
    let number = u64::from_str_radix(digits, radix).ok()?;
    match (negative, i64::try_from(number)) {
        (false, Ok(number)) => Some(Scalar::Integer(number)),
        (false, Err(_)) => Some(Scalar::Unsigned(number)),
        (true, _) => 0_i64.checked_sub_unsigned(number).map(Scalar::Integer),
    }
}

/// `1`, `1.`, `.5`, `1.5e-3`, with a sign or without; nothing that Rust takes besides (`inf`,
/// `NaN`).
fn float(text: &str) -> Option<Scalar> {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    if unsigned.starts_with(['+', '-']) || !unsigned.contains(|c: char| c.is_ascii_digit()) {
        return None;
    }
    let known = |c: char| c.is_ascii_digit() || matches!(c, '.' | 'e' | 'E' | '+' | '-');
    let number: f64 = unsigned.chars().all(known).then(|| text.parse().ok()).flatten()?;
    // One that is too large for the type stays text, as in Go.
    number.is_finite().then_some(Scalar::Float(number))
}
