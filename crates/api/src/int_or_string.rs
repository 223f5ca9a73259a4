//! A field that is a number or a percentage: `maxUnavailable: 1`, `maxSurge: 25%` (DS-A31, DS-A32),
//! or a number or a name: a probe's port.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

use crate::field::{FieldError, Path};
use crate::names;

/// `intstr.IntOrString`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IntOrString {
    Int(i32),
    String(String),
}

/// Which way a share of a whole is rounded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Round {
    Up,
    Down,
}

impl IntOrString {
    /// Reads what stands in an object; `None` if it is neither a 32-bit integer nor a string.
    pub fn from_json(value: &Value) -> Option<IntOrString> {
        match value {
            Value::String(text) => Some(IntOrString::String(text.clone())),
            Value::Number(number) => Some(IntOrString::Int(number.as_i64()?.try_into().ok()?)),
            _ => None,
        }
    }

    pub fn to_json(&self) -> Value {
        match self {
            IntOrString::Int(number) => (*number).into(),
            IntOrString::String(text) => text.as_str().into(),
        }
    }

    /// The number before the sign of a well-formed percentage, saturating (DS-A31).
    pub fn percent(&self) -> Option<i64> {
        match self {
            IntOrString::String(text) if names::percent(text).is_empty() => {
                Some(text.trim_end_matches('%').parse().unwrap_or(i64::MAX))
            }
            _ => None,
        }
    }

    /// The absolute number this stands for when the whole is `total`. A string that is no
    /// percentage is an error.
    pub fn scaled(&self, total: i64, round: Round) -> Result<i64, String> {
        match self {
            IntOrString::Int(number) => Ok((*number).into()),
            IntOrString::String(text) => share(percentage(text)?, total, round),
        }
    }

    /// DS-A31: a string must be a percentage, a number must not be negative.
    pub fn validate_non_negative_or_percent(&self, path: &Path) -> Vec<FieldError> {
        let complaints = match self {
            IntOrString::String(text) => names::percent(text),
            IntOrString::Int(number) if *number < 0 => vec!["must be greater than or equal to 0".to_owned()],
            IntOrString::Int(_) => Vec::new(),
        };
        complaints.into_iter().map(|text| FieldError::invalid(path, self, text)).collect()
    }

    /// DS-A32: no percentage above 100.
    pub fn validate_percent_max(&self, path: &Path) -> Option<FieldError> {
        let above = self.percent().is_some_and(|percent| percent > 100);
        above.then(|| FieldError::invalid(path, self, "must not be greater than 100%"))
    }

    /// Whether this is `0` or a percentage of zero (DS-A33, DS-A34).
    pub fn is_zero(&self) -> bool {
        *self == IntOrString::Int(0) || self.percent() == Some(0)
    }
}

fn percentage(text: &str) -> Result<i64, String> {
    let Some(digits) = text.strip_suffix('%') else {
        return Err("invalid value for IntOrString: invalid type: string is not a percentage".to_owned());
    };
    digits.parse().map_err(|_| {
        let parsing = format!("strconv.Atoi: parsing {}: invalid syntax", crate::field::go_quote(digits));
        format!("invalid value for IntOrString: invalid value {}: {parsing}", crate::field::go_quote(text))
    })
}

fn share(percent: i64, total: i64, round: Round) -> Result<i64, String> {
    let product = i128::from(percent) * i128::from(total);
    let floor = product.div_euclid(100);
    let up = i128::from(round == Round::Up && product.rem_euclid(100) != 0);
    Ok((floor + up).clamp(i64::MIN.into(), i64::MAX.into()) as i64)
}

impl From<&IntOrString> for Value {
    fn from(value: &IntOrString) -> Value {
        value.to_json()
    }
}

impl fmt::Display for IntOrString {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            IntOrString::Int(number) => write!(f, "{number}"),
            IntOrString::String(text) => f.write_str(text),
        }
    }
}

impl Serialize for IntOrString {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            IntOrString::Int(number) => serializer.serialize_i32(*number),
            IntOrString::String(text) => serializer.serialize_str(text),
        }
    }
}

impl<'de> Deserialize<'de> for IntOrString {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<IntOrString, D::Error> {
        let value = Value::deserialize(deserializer)?;
        IntOrString::from_json(&value).ok_or_else(|| serde::de::Error::custom("expected an integer or a string"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn parse(value: Value) -> IntOrString {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn scales() {
        // (value, total, up, down)
        let cases = [
            (json!(5), 3, 5, 5),
            (json!(0), 3, 0, 0),
            (json!("0%"), 10, 0, 0),
            (json!("10%"), 10, 1, 1),
            (json!("10%"), 11, 2, 1),
            (json!("1%"), 1, 1, 0),
            (json!("50%"), 0, 0, 0),
            (json!("100%"), 7, 7, 7),
            (json!("200%"), 7, 14, 14),
            (json!("9223372036854775807%"), i64::MAX, i64::MAX, i64::MAX),
        ];
        for (value, total, up, down) in cases {
            let value = parse(value);
            assert_eq!(value.scaled(total, Round::Up), Ok(up), "{value} of {total}");
            assert_eq!(value.scaled(total, Round::Down), Ok(down), "{value} of {total}");
        }
    }

    #[test]
    fn refuses_to_scale_what_is_no_percentage() {
        let not = "invalid value for IntOrString: invalid type: string is not a percentage";
        assert_eq!(parse(json!("5")).scaled(1, Round::Up).unwrap_err(), not);
        let error = parse(json!("x%")).scaled(1, Round::Up).unwrap_err();
        assert!(error.ends_with("invalid value \"x%\": strconv.Atoi: parsing \"x\": invalid syntax"), "{error}");
    }

    #[test]
    fn validates() {
        // DS-A31, DS-A32
        let path = Path::new("maxSurge");
        let texts = |value: Value| {
            let value = parse(value);
            let mut errors = value.validate_non_negative_or_percent(&path);
            errors.extend(value.validate_percent_max(&path));
            errors.iter().map(FieldError::to_string).collect::<Vec<_>>()
        };
        for fine in [json!(0), json!(7), json!(i32::MAX), json!("0%"), json!("100%")] {
            assert!(texts(fine).is_empty());
        }
        assert_eq!(texts(json!(-1)), ["maxSurge: Invalid value: -1: must be greater than or equal to 0"]);
        assert_eq!(texts(json!("101%")), ["maxSurge: Invalid value: \"101%\": must not be greater than 100%"]);
        for bad in ["", "%", "1", "-1%", "1.5%", "1%%"] {
            let text = &texts(json!(bad))[0];
            assert!(
                text.contains("a valid percent string must be a numeric string followed by an ending '%'"),
                "{text}"
            );
        }
    }

    #[test]
    fn zero_in_either_form() {
        // DS-A33, DS-A34
        assert!(parse(json!(0)).is_zero() && parse(json!("0%")).is_zero() && parse(json!("00%")).is_zero());
        assert!(!parse(json!("0")).is_zero() && !parse(json!(1)).is_zero() && !parse(json!("1%")).is_zero());
    }

    #[test]
    fn json_form() {
        for value in [json!(1), json!(-1), json!("50%"), json!("http")] {
            assert_eq!(parse(value.clone()).to_json(), value);
            assert_eq!(serde_json::to_value(parse(value.clone())).unwrap(), value);
        }
        for bad in [json!(1.5), json!(3_000_000_000_i64), json!(null), json!([])] {
            assert!(serde_json::from_value::<IntOrString>(bad).is_err());
        }
    }
}
