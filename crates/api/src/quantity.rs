//! Amounts of resources: `500m`, `0.5Gi`, `2`, `1e3`.
//!
//! A [`Quantity`] is an exact number of nano-units and the family of suffixes it was written in.
//! Reading rounds anything finer than nano away from zero, arithmetic saturates, and printing gives
//! the one canonical form that Kubernetes gives (`0.5Gi` is `512Mi`, `1.5` is `1500m`): no
//! fraction, the largest suffix that loses nothing.
//!
//! Magnitudes above about 1.7·10^29 saturate, where Kubernetes keeps any number of digits; binary
//! amounts are capped at 2^63 − 1 on reading, as there.

mod format;
mod parse;
#[cfg(test)]
mod tests;

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

pub use parse::canonical_text;

/// Nano-units in one unit.
const NANO: i128 = 1_000_000_000;
/// Nano-units in a milli-unit.
const NANOS_PER_MILLI: i128 = 1_000_000;

/// The family of suffixes a quantity is printed in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// `n u m k M G T P E`
    #[default]
    DecimalSi,
    /// `Ki Mi Gi Ti Pi Ei`
    BinarySi,
    /// `e3`
    DecimalExponent,
}

/// Why a text is no quantity; the texts are Kubernetes'.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QuantityError {
    #[error("quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'")]
    Format,
    #[error("unable to parse numeric part of quantity")]
    Number,
    #[error("unable to parse quantity's suffix")]
    Suffix,
}

/// An amount. Compared by value: `1` equals `1000m`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Quantity {
    nanos: i128,
    format: Format,
}

impl Quantity {
    pub const ZERO: Quantity = Quantity { nanos: 0, format: Format::DecimalSi };

    /// `units` whole units.
    pub fn from_units(units: i64, format: Format) -> Quantity {
        Quantity { nanos: i128::from(units) * NANO, format }
    }

    /// `millis` thousandths, printed in decimal suffixes.
    pub fn from_millis(millis: i64) -> Quantity {
        Quantity { nanos: i128::from(millis) * NANOS_PER_MILLI, format: Format::DecimalSi }
    }

    /// Reads `text`; see [`QuantityError`] for what is refused.
    pub fn parse(text: &str) -> Result<Quantity, QuantityError> {
        parse::quantity(text)
    }

    /// Reads what stands in an object: a string, a number, or null for zero.
    pub fn from_json(value: &Value) -> Result<Quantity, QuantityError> {
        match value {
            Value::Null => Ok(Quantity::ZERO),
            Value::String(text) => Quantity::parse(text.trim()),
            Value::Number(number) => Quantity::parse(&number.to_string()),
            _ => Err(QuantityError::Format),
        }
    }

    pub fn format(self) -> Format {
        self.format
    }

    pub fn is_zero(self) -> bool {
        self.nanos == 0
    }

    pub fn is_negative(self) -> bool {
        self.nanos < 0
    }

    /// Whole units, rounded away from zero, saturating.
    pub fn value(self) -> i64 {
        self.scaled(NANO)
    }

    /// Thousandths, rounded away from zero, saturating.
    pub fn milli_value(self) -> i64 {
        self.scaled(NANOS_PER_MILLI)
    }

    /// The amount as a float, for metrics only.
    pub fn as_f64(self) -> f64 {
        self.nanos as f64 / NANO as f64
    }

    /// Whether nothing finer than a whole unit is in it (extended resources must be whole).
    pub fn is_whole(self) -> bool {
        self.nanos % NANO == 0
    }

    /// Whether nothing finer than a thousandth is in it.
    pub fn is_whole_millis(self) -> bool {
        self.nanos % NANOS_PER_MILLI == 0
    }

    /// The sum. Adding to zero takes the other's format, as in Kubernetes.
    #[must_use]
    pub fn saturating_add(self, other: Quantity) -> Quantity {
        Quantity { nanos: self.nanos.saturating_add(other.nanos), format: self.result_format(other) }
    }

    /// The difference. Subtracting from zero takes the other's format, as in Kubernetes.
    #[must_use]
    pub fn saturating_sub(self, other: Quantity) -> Quantity {
        Quantity { nanos: self.nanos.saturating_sub(other.nanos), format: self.result_format(other) }
    }

    fn result_format(self, other: Quantity) -> Format {
        if self.is_zero() { other.format } else { self.format }
    }

    fn scaled(self, nanos_per_unit: i128) -> i64 {
        let away_from_zero = i128::from(self.nanos % nanos_per_unit != 0) * self.nanos.signum();
        let rounded = self.nanos / nanos_per_unit + away_from_zero;
        rounded.clamp(i64::MIN.into(), i64::MAX.into()) as i64
    }
}

impl FromStr for Quantity {
    type Err = QuantityError;

    fn from_str(text: &str) -> Result<Quantity, QuantityError> {
        Quantity::parse(text)
    }
}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        format::write(f, self.nanos, self.format)
    }
}

impl PartialEq for Quantity {
    fn eq(&self, other: &Quantity) -> bool {
        self.nanos == other.nanos
    }
}

impl Eq for Quantity {}

impl Hash for Quantity {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.nanos.hash(state);
    }
}

impl PartialOrd for Quantity {
    fn partial_cmp(&self, other: &Quantity) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Quantity {
    fn cmp(&self, other: &Quantity) -> Ordering {
        self.nanos.cmp(&other.nanos)
    }
}

impl Serialize for Quantity {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Quantity {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Quantity, D::Error> {
        let value = Value::deserialize(deserializer)?;
        Quantity::from_json(&value).map_err(serde::de::Error::custom)
    }
}
