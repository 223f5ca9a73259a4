//! The structured selector of specs: `matchLabels` and `matchExpressions`.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Operator, Requirement, Selector};
use crate::field::{FieldError, Path};
use crate::names;

/// `metav1.LabelSelector`. Empty matches everything; an absent one matches nothing (DS-A21).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct LabelSelector {
    #[serde(skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "null_is_default")]
    pub match_labels: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "null_is_default")]
    pub match_expressions: Vec<LabelSelectorRequirement>,
}

/// One entry of `matchExpressions`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct LabelSelectorRequirement {
    pub key: String,
    pub operator: String,
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "null_is_default")]
    pub values: Vec<String>,
}

/// Reads `null` as Go does: as if the field were absent.
fn null_is_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: serde::Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

impl LabelSelector {
    pub fn is_empty(&self) -> bool {
        self.match_labels.is_empty() && self.match_expressions.is_empty()
    }

    /// The working form. An operator or value that validation would refuse is the error.
    pub fn to_selector(&self) -> Result<Selector, String> {
        let equals = |(key, value): (&String, &String)| requirement(key, Operator::Equals, &[value]);
        let mut requirements = self.match_labels.iter().map(equals).collect::<Result<Vec<_>, _>>()?;
        for expression in &self.match_expressions {
            requirements.push(expression.to_requirement()?);
        }
        Ok(Selector::all(requirements))
    }

    /// Every mistake, reported below `path` (DS-A24).
    pub fn validate(&self, path: &Path) -> Vec<FieldError> {
        let mut errors = validate_labels(&self.match_labels, &path.child("matchLabels"));
        for (index, expression) in self.match_expressions.iter().enumerate() {
            errors.extend(expression.validate(&path.child("matchExpressions").index(index)));
        }
        errors
    }
}

impl LabelSelectorRequirement {
    fn label_operator(&self) -> Option<Operator> {
        use Operator::{DoesNotExist, Exists, In, NotIn};
        Operator::from_word(&self.operator).filter(|o| matches!(o, In | NotIn | Exists | DoesNotExist))
    }

    fn to_requirement(&self) -> Result<Requirement, String> {
        let operator = self.label_operator().ok_or_else(|| {
            format!("{} is not a valid label selector operator", crate::field::go_quote(&self.operator))
        })?;
        let values: Vec<&str> = self.values.iter().map(String::as_str).collect();
        requirement(&self.key, operator, &values)
    }

    fn validate(&self, path: &Path) -> Vec<FieldError> {
        let mut errors = Vec::from_iter(self.operator_error(path));
        errors.extend(invalid_each(&path.child("key"), &self.key, names::qualified_name(&self.key)));
        for (index, value) in self.values.iter().enumerate() {
            errors.extend(invalid_each(&path.child("values").index(index), value, names::label_value(value)));
        }
        errors
    }

    fn operator_error(&self, path: &Path) -> Option<FieldError> {
        use Operator::{In, NotIn};
        let values = path.child("values");
        match self.label_operator() {
            None => Some(FieldError::invalid(
                &path.child("operator"),
                self.operator.as_str(),
                "not a valid selector operator",
            )),
            Some(In | NotIn) if self.values.is_empty() => {
                Some(FieldError::required(&values, "must be specified when `operator` is 'In' or 'NotIn'"))
            }
            Some(In | NotIn) => None,
            Some(_) if !self.values.is_empty() => Some(FieldError::forbidden(
                &values,
                "may not be specified when `operator` is 'Exists' or 'DoesNotExist'",
            )),
            Some(_) => None,
        }
    }
}

/// Every mistake in a map of labels.
fn validate_labels(labels: &BTreeMap<String, String>, path: &Path) -> Vec<FieldError> {
    let mut errors = Vec::new();
    for (key, value) in labels {
        errors.extend(invalid_each(path, key, names::qualified_name(key)));
        errors.extend(invalid_each(path, value, names::label_value(value)));
    }
    errors
}

fn invalid_each(path: &Path, value: &str, complaints: Vec<String>) -> Vec<FieldError> {
    complaints.into_iter().map(|complaint| FieldError::invalid(path, value, complaint)).collect()
}

fn requirement(key: &str, operator: Operator, values: &[&str]) -> Result<Requirement, String> {
    Requirement::new(key, operator, values, &Path::nil()).map_err(|errors| crate::field::aggregate(&errors))
}

/// As kubectl prints a selector column: `<none>` for the empty one, `<error>` for one that makes no
/// sense.
impl fmt::Display for LabelSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.to_selector() {
            Ok(selector) if selector.is_everything() => f.write_str("<none>"),
            Ok(selector) => write!(f, "{selector}"),
            Err(_) => f.write_str("<error>"),
        }
    }
}
