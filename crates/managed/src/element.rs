//! One step of a path: a field's name, an item's keys, a set's value, or an index.

use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

use everynode_api::field::go_quote;
use serde_json::Value;

/// A step from a value to one of its parts. The order is that in which entries are written.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Element {
    /// A field of an object, or an entry of a map: `f:`.
    Field(Arc<str>),
    /// The item of a list whose key fields have these values, sorted by name: `k:`.
    Key(Vec<(Arc<str>, Scalar)>),
    /// The item of a set that has this value: `v:`.
    Value(Scalar),
    /// The item at an index: `i:`.
    Index(i64),
}

/// Steps from an object to a field.
pub type Path = Vec<Element>;

/// A value without parts. Numbers are compared as numbers: `1` is `1.0`.
#[derive(Clone, Debug)]
pub enum Scalar {
    Int(i64),
    /// No integer of 64 bits, and never NaN.
    Float(f64),
    Text(Arc<str>),
    Bool(bool),
    Null,
}

impl Element {
    pub fn field(name: &str) -> Element {
        Element::Field(name.into())
    }
}

impl Scalar {
    /// The scalar that a JSON value is; `None`: it is a list or an object.
    pub fn of(value: &Value) -> Option<Scalar> {
        Some(match value {
            Value::Null => Scalar::Null,
            Value::Bool(value) => Scalar::Bool(*value),
            Value::String(text) => Scalar::Text(text.as_str().into()),
            Value::Number(number) => match (number.as_i64(), number.as_f64()) {
                (Some(number), _) => Scalar::Int(number),
                (None, Some(number)) => Scalar::float(number),
                (None, None) => return None,
            },
            Value::Array(_) | Value::Object(_) => return None,
        })
    }

    fn float(number: f64) -> Scalar {
        const BEYOND: f64 = 9_223_372_036_854_775_808.0;
        let integral = number.fract() == 0.0 && (-BEYOND..BEYOND).contains(&number);
        if integral { Scalar::Int(number as i64) } else { Scalar::Float(number) }
    }

    pub(crate) fn to_json(&self) -> Value {
        match self {
            Scalar::Int(number) => (*number).into(),
            Scalar::Float(number) => (*number).into(),
            Scalar::Text(text) => text.as_ref().into(),
            Scalar::Bool(value) => (*value).into(),
            Scalar::Null => Value::Null,
        }
    }

    /// Kinds of scalars in the order in which they are sorted.
    fn rank(&self) -> u8 {
        match self {
            Scalar::Int(_) | Scalar::Float(_) => 0,
            Scalar::Text(_) => 1,
            Scalar::Bool(_) => 2,
            Scalar::Null => 3,
        }
    }

    /// The number, for a comparison with one of the other form.
    fn number(&self) -> f64 {
        match self {
            Scalar::Int(number) => *number as f64,
            Scalar::Float(number) => *number,
            _ => 0.0,
        }
    }
}

impl Ord for Scalar {
    fn cmp(&self, other: &Scalar) -> Ordering {
        match (self, other) {
            (Scalar::Int(one), Scalar::Int(two)) => one.cmp(two),
            (Scalar::Text(one), Scalar::Text(two)) => one.cmp(two),
            (Scalar::Bool(one), Scalar::Bool(two)) => one.cmp(two),
            _ => self.rank().cmp(&other.rank()).then_with(|| self.number().total_cmp(&other.number())),
        }
    }
}

impl PartialOrd for Scalar {
    fn partial_cmp(&self, other: &Scalar) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Scalar {
    fn eq(&self, other: &Scalar) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Scalar {}

impl fmt::Display for Scalar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Scalar::Text(text) => f.write_str(&go_quote(text)),
            other => write!(f, "{}", other.to_json()),
        }
    }
}

/// `.name`, `[key="value"]`, `[=value]`, `[0]`: as messages print it.
impl fmt::Display for Element {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Element::Field(name) => write!(f, ".{name}"),
            Element::Key(fields) => {
                let pairs: Vec<String> = fields.iter().map(|(name, value)| format!("{name}={value}")).collect();
                write!(f, "[{}]", pairs.join(","))
            }
            Element::Value(value) => write!(f, "[={value}]"),
            Element::Index(index) => write!(f, "[{index}]"),
        }
    }
}

/// A path as messages print it: `.spec.containers[name="a"].image`.
pub(crate) fn printed(path: &[Element]) -> String {
    path.iter().map(Element::to_string).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn numbers_are_compared_as_numbers_and_kinds_have_an_order() {
        let scalar = |value: Value| Scalar::of(&value).unwrap();
        assert_eq!(scalar(json!(1)), scalar(json!(1.0)));
        assert_eq!(scalar(json!(1.0)).to_string(), "1");
        let mut mixed: Vec<Scalar> =
            [json!(null), json!(true), json!("a"), json!(2), json!(1.5), json!(u64::MAX)].map(scalar).into();
        mixed.sort();
        let printed: Vec<String> = mixed.iter().map(Scalar::to_string).collect();
        assert_eq!(printed, ["1.5", "2", "1.8446744073709552e+19", "\"a\"", "true", "null"]);
        assert!(Scalar::of(&json!([])).is_none() && Scalar::of(&json!({})).is_none());
    }

    #[test]
    fn paths_are_printed_as_messages_have_them() {
        let path = [
            Element::field("spec"),
            Element::Key(vec![("port".into(), Scalar::Int(80)), ("protocol".into(), Scalar::Text("TCP".into()))]),
            Element::Value(Scalar::Text("a\"b".into())),
            Element::Index(3),
        ];
        assert_eq!(printed(&path), r#".spec[port=80,protocol="TCP"][="a\"b"][3]"#);
    }
}
