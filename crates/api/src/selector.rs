//! Label and field selectors: which objects a request or a controller speaks of.
//!
//! [`Selector`] is the working form: a conjunction of [`Requirement`]s. It is parsed from the
//! query-string syntax (DS-I37) or made from the structured [`LabelSelector`] of a spec (DS-A21 to
//! DS-A24), and prints as kubectl prints it. [`FieldSelector`] is the other, smaller language of
//! `fieldSelector=` (DS-I36).

mod fields;
mod parse;
mod structured;
#[cfg(test)]
mod tests;

use std::borrow::Borrow;
use std::collections::BTreeMap;
use std::fmt;

pub use fields::{FieldSelector, FieldTerm};
pub use structured::{LabelSelector, LabelSelectorRequirement};

use crate::field::{FieldError, Path};
use crate::names;

/// How a requirement compares a label. `Equals`, `DoubleEquals` and `In` differ in spelling only,
/// as do `NotEquals` and `NotIn`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operator {
    Equals,
    DoubleEquals,
    NotEquals,
    In,
    NotIn,
    Exists,
    DoesNotExist,
    GreaterThan,
    LessThan,
}

impl Operator {
    /// The operator of a structured requirement: label selectors know the first four, node
    /// selectors all six.
    pub fn from_word(word: &str) -> Option<Operator> {
        match word {
            "In" => Some(Operator::In),
            "NotIn" => Some(Operator::NotIn),
            "Exists" => Some(Operator::Exists),
            "DoesNotExist" => Some(Operator::DoesNotExist),
            "Gt" => Some(Operator::GreaterThan),
            "Lt" => Some(Operator::LessThan),
            _ => None,
        }
    }
}

/// One condition on one label.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Requirement {
    key: Box<str>,
    operator: Operator,
    /// Sorted, without repetitions.
    values: Box<[Box<str>]>,
}

impl Requirement {
    /// A checked requirement; `path` is where its errors are reported.
    pub fn new(key: &str, operator: Operator, values: &[&str], path: &Path) -> Result<Requirement, Vec<FieldError>> {
        let errors = check(key, operator, values, path);
        match errors.is_empty() {
            true => Ok(Requirement::unchecked(key, operator, values)),
            false => Err(errors),
        }
    }

    fn unchecked(key: &str, operator: Operator, values: &[&str]) -> Requirement {
        let mut sorted: Vec<Box<str>> = values.iter().map(|&v| v.into()).collect();
        sorted.sort_unstable();
        sorted.dedup();
        Requirement { key: key.into(), operator, values: sorted.into() }
    }

    pub fn key(&self) -> &str {
        &self.key
    }

    pub fn operator(&self) -> Operator {
        self.operator
    }

    pub fn values(&self) -> impl Iterator<Item = &str> {
        self.values.iter().map(|v| &**v)
    }

    /// Whether a label of value `label` (`None`: absent) fulfils this. Absence fulfils the negative
    /// operators only (DS-I37, DS-B13); a label or operand that is no int64 never fulfils Gt or Lt
    /// (DS-B14).
    pub fn matches(&self, label: Option<&str>) -> bool {
        use Operator::*;
        match (self.operator, label) {
            (Exists, label) => label.is_some(),
            (DoesNotExist, label) => label.is_none(),
            (Equals | DoubleEquals | In, label) => label.is_some_and(|value| self.has(value)),
            (NotEquals | NotIn, label) => !label.is_some_and(|value| self.has(value)),
            (GreaterThan, label) => self.compares(label, |label, operand| label > operand),
            (LessThan, label) => self.compares(label, |label, operand| label < operand),
        }
    }

    fn has(&self, value: &str) -> bool {
        self.values.iter().any(|v| &**v == value)
    }

    fn compares(&self, label: Option<&str>, holds: fn(i64, i64) -> bool) -> bool {
        let label = label.and_then(|label| label.parse().ok());
        let operand = self.only_value().and_then(|value| value.parse().ok());
        label.zip(operand).is_some_and(|(label, operand)| holds(label, operand))
    }

    fn only_value(&self) -> Option<&str> {
        match &*self.values {
            [value] => Some(value),
            _ => None,
        }
    }
}

fn check(key: &str, operator: Operator, values: &[&str], path: &Path) -> Vec<FieldError> {
    use Operator::*;
    let mut errors = Vec::from_iter(invalid(&path.child("key"), key, names::qualified_name(key)));
    let at = path.child("values");
    let count_error = match operator {
        In | NotIn if values.is_empty() => Some("for 'in', 'notin' operators, values set can't be empty"),
        Equals | DoubleEquals | NotEquals if values.len() != 1 => {
            Some("exact-match compatibility requires one single value")
        }
        Exists | DoesNotExist if !values.is_empty() => Some("values set must be empty for exists and does not exist"),
        GreaterThan | LessThan if values.len() != 1 => Some("for 'Gt', 'Lt' operators, exactly one value is required"),
        _ => None,
    };
    errors.extend(count_error.map(|text| FieldError::invalid(&at, values.to_vec(), text)));
    for (index, value) in values.iter().enumerate() {
        let at = at.index(index);
        if matches!(operator, GreaterThan | LessThan) && value.parse::<i64>().is_err() {
            errors.push(FieldError::invalid(&at, *value, "for 'Gt', 'Lt' operators, the value must be an integer"));
        }
        errors.extend(invalid(&at.key(key), value, names::label_value(value)));
    }
    errors
}

fn invalid(path: &Path, value: &str, complaints: Vec<String>) -> Option<FieldError> {
    (!complaints.is_empty()).then(|| FieldError::invalid(path, value, complaints.join("; ")))
}

impl fmt::Display for Requirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use Operator::*;
        let values = self.values.join(",");
        let key = &self.key;
        match self.operator {
            Equals => write!(f, "{key}={values}"),
            DoubleEquals => write!(f, "{key}=={values}"),
            NotEquals => write!(f, "{key}!={values}"),
            In => write!(f, "{key} in ({values})"),
            NotIn => write!(f, "{key} notin ({values})"),
            Exists => write!(f, "{key}"),
            DoesNotExist => write!(f, "!{key}"),
            GreaterThan => write!(f, "{key}>{values}"),
            LessThan => write!(f, "{key}<{values}"),
        }
    }
}

/// A conjunction of requirements, sorted by key; or the selector that matches nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selector(Option<Vec<Requirement>>);

impl Selector {
    /// Matches every object.
    pub const fn everything() -> Selector {
        Selector(Some(Vec::new()))
    }

    /// Matches no object: what an absent structured selector means (DS-A21).
    pub const fn nothing() -> Selector {
        Selector(None)
    }

    /// All of `requirements`.
    pub fn all(mut requirements: Vec<Requirement>) -> Selector {
        requirements.sort_by(|a, b| a.key.cmp(&b.key));
        Selector(Some(requirements))
    }

    /// Parses the query-string syntax (DS-I37). The error is Kubernetes' text.
    pub fn parse(text: &str) -> Result<Selector, String> {
        parse::requirements(text).map(Selector::all)
    }

    /// Matches exactly the given labels (a Service's selector, a node selector). Nothing is
    /// checked.
    pub fn from_labels<'a>(labels: impl IntoIterator<Item = (&'a str, &'a str)>) -> Selector {
        let equals = |(key, value)| Requirement::unchecked(key, Operator::Equals, &[value]);
        Selector::all(labels.into_iter().map(equals).collect())
    }

    /// Whether an object whose label `key` is `label(key)` is selected.
    pub fn matches<'a>(&self, label: impl Fn(&str) -> Option<&'a str>) -> bool {
        match &self.0 {
            Some(all) => all.iter().all(|requirement| requirement.matches(label(&requirement.key))),
            None => false,
        }
    }

    /// As [`Selector::matches`], for a map of labels.
    pub fn matches_map<K, V>(&self, labels: &BTreeMap<K, V>) -> bool
    where
        K: Borrow<str> + Ord,
        V: AsRef<str>,
    {
        self.matches(|key| labels.get(key).map(AsRef::as_ref))
    }

    /// Whether every object is selected.
    pub fn is_everything(&self) -> bool {
        self.0.as_ref().is_some_and(Vec::is_empty)
    }

    /// Whether no object can be selected because the selector was absent.
    pub fn is_nothing(&self) -> bool {
        self.0.is_none()
    }

    pub fn requirements(&self) -> &[Requirement] {
        self.0.as_deref().unwrap_or_default()
    }

    /// The one value that label `key` must have, if the selector says so: what an index can use.
    pub fn exact(&self, key: &str) -> Option<&str> {
        use Operator::*;
        let exact = |r: &&Requirement| &*r.key == key && matches!(r.operator, Equals | DoubleEquals | In);
        self.requirements().iter().filter(exact).find_map(Requirement::only_value)
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, requirement) in self.requirements().iter().enumerate() {
            if position > 0 {
                f.write_str(",")?;
            }
            write!(f, "{requirement}")?;
        }
        Ok(())
    }
}
