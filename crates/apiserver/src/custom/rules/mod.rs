//! Rules in CEL of a schema (`x-kubernetes-validations`): which there are, what is demanded of
//! them, and what they say of an object.
//!
//! [`check_rules`] judges the rules of a definition; [`RuleTree`] is the part of a schema that has
//! rules, with the rules compiled, and [`RuleTree::check`] walks an object along it.

mod compile;
mod declare;
mod evaluate;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use everynode_api::field::{FieldError, Path};
use everynode_rules::{Expression, Type};
use serde_json::Value;

pub(crate) use self::compile::check_rules;
use super::schema::ListType;

/// The rules of a schema and of the schemas in it.
#[derive(Debug)]
pub(crate) struct RuleTree {
    of: Type,
    rules: Vec<Rule>,
    properties: BTreeMap<String, RuleTree>,
    /// Of members that no property names.
    additional: Option<Box<RuleTree>>,
    items: Option<Box<RuleTree>>,
    list: ListType,
}

/// A rule that was accepted.
#[derive(Debug)]
struct Rule {
    text: String,
    expression: Expression,
    message: String,
    message_expression: Option<Expression>,
    reason: Reason,
    /// Where the mistake is, below the value that the rule stands at.
    place: Vec<Step>,
    /// `oldSelf` is an optional: the rule counts for new values too.
    has_optional_old: bool,
    old_type: Type,
}

/// A part of a path below a value.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    Member(String),
    Key(String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reason {
    Invalid,
    Required,
    Forbidden,
    Duplicate,
}

impl Reason {
    const ALL: [(&str, Reason); 4] = [
        ("FieldValueDuplicate", Reason::Duplicate),
        ("FieldValueForbidden", Reason::Forbidden),
        ("FieldValueInvalid", Reason::Invalid),
        ("FieldValueRequired", Reason::Required),
    ];
}

/// The number of `oldSelf` among the variables of a rule; `self` is the first.
const OLD: usize = 1;

impl RuleTree {
    /// The rules of a schema that was accepted. `None`: it has none.
    pub(crate) fn parse(schema: &Value) -> Option<RuleTree> {
        compile::tree(schema, true)
    }

    /// What the rules say of an object, that was `old` before. `errors` is what its schema says:
    /// what is not of the right shape is not read by rules.
    pub(crate) fn check(&self, value: &Value, old: Option<&Value>, errors: &mut Vec<FieldError>) {
        if errors.iter().any(|error| evaluate::is_blocking(error.kind)) {
            let detail = "some validation rules were not checked because the object was invalid; correct the existing \
                          errors to complete validation";
            errors.push(FieldError::invalid(&Path::nil(), Value::Null, detail));
            return;
        }
        evaluate::evaluate(self, value, old, errors);
    }
}
