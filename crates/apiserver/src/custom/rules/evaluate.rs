//! What rules say of an object.

use std::collections::BTreeMap;

use everynode_api::field::{BadValue, ErrorKind, FieldError, Path};
use everynode_rules::{Budget, Expression, Fault, Outcome};
use serde_json::{Map, Value};

use super::{OLD, Reason, Rule, RuleTree, Step};
use crate::custom::schema::ListType;

/// A longer message that an expression made is not shown.
const MESSAGE_BYTES_MAX: usize = 5_120;

/// Whether rules are not evaluated because of a mistake of this kind.
pub(super) fn is_blocking(kind: ErrorKind) -> bool {
    use ErrorKind::{NotSupported, Required, TooLong, TooMany, TypeInvalid};
    matches!(kind, NotSupported | Required | TooLong | TooMany | TypeInvalid)
}

pub(super) fn evaluate(tree: &RuleTree, value: &Value, old: Option<&Value>, errors: &mut Vec<FieldError>) {
    let mut evaluation = Evaluation { budget: Budget::default(), is_spent: false, errors };
    evaluation.part(tree, value, old, None);
}

struct Evaluation<'e> {
    budget: Budget,
    /// That the budget is spent was told.
    is_spent: bool,
    errors: &'e mut Vec<FieldError>,
}

fn below(path: Option<&Path>, name: &str) -> Path {
    path.map_or_else(|| Path::new(name.to_owned()), |path| path.child(name.to_owned()))
}

/// The value as messages show it: maps and lists are not.
fn bad_value(value: &Value) -> BadValue {
    match value {
        Value::Object(_) | Value::Array(_) => BadValue::Omitted,
        value => value.clone().into(),
    }
}

impl Evaluation<'_> {
    /// The rules of a value and of what is in it.
    fn part(&mut self, tree: &RuleTree, value: &Value, old: Option<&Value>, path: Option<&Path>) {
        if value.is_null() {
            return;
        }
        if self.budget.is_spent() {
            self.spent(value, path);
            return;
        }
        // What was there before is no obstacle to other changes; rules about a change still count.
        let is_unchanged = old == Some(value);
        for rule in &tree.rules {
            let reads_old = rule.expression.reads(OLD);
            let counts = match (reads_old && !rule.has_optional_old, old) {
                (true, None) => false,
                (true, Some(_)) => true,
                (false, _) => !is_unchanged || reads_old,
            };
            if counts && !self.rule(rule, tree, value, old, path) {
                return;
            }
        }
        match value {
            Value::Object(members) => self.members(tree, members, old, path),
            Value::Array(items) => self.items(tree, items, old, path),
            _ => {}
        }
    }

    /// Rules that were not evaluated are a mistake, told once.
    fn spent(&mut self, value: &Value, path: Option<&Path>) {
        if !self.is_spent {
            let detail = "validation failed due to running out of cost budget, no further validation rules will be run";
            let at = path.cloned().unwrap_or_else(Path::nil);
            self.errors.push(FieldError::invalid(&at, bad_value(value), detail));
        }
        self.is_spent = true;
    }

    fn members(&mut self, tree: &RuleTree, members: &Map<String, Value>, old: Option<&Value>, path: Option<&Path>) {
        let old = |name: &String| old.and_then(|old| old.get(name)).filter(|old| !old.is_null());
        for (name, property) in &tree.properties {
            if let Some(value) = members.get(name) {
                self.part(property, value, old(name), Some(&below(path, name)));
            }
        }
        if let Some(additional) = &tree.additional {
            for (name, value) in members {
                let at = path.map_or_else(Path::nil, Clone::clone).key(name.as_str());
                self.part(additional, value, old(name), Some(&at));
            }
        }
    }

    fn items(&mut self, tree: &RuleTree, items: &[Value], old: Option<&Value>, path: Option<&Path>) {
        let Some(of_items) = &tree.items else { return };
        let before = old.and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        let before = Before::new(&tree.list, before);
        for (index, item) in items.iter().enumerate() {
            let at = path.map_or_else(Path::nil, Clone::clone).index(index);
            self.part(of_items, item, before.of(item), Some(&at));
        }
    }

    /// Whether the next rule may be evaluated.
    fn rule(&mut self, rule: &Rule, tree: &RuleTree, value: &Value, old: Option<&Value>, path: Option<&Path>) -> bool {
        let at = path.cloned().unwrap_or_else(Path::nil);
        let fault = match self.outcome(&rule.expression, rule, tree, value, old) {
            Ok(Outcome::Bool(true)) => return true,
            Ok(_) => {
                let detail = self.message(rule, tree, value, old);
                self.errors.push(mistake(rule, value, path, detail));
                return true;
            }
            Err(fault) => fault,
        };
        let said = if rule.message.is_empty() { &rule.text } else { &rule.message };
        let detail = match fault {
            Fault::NoOverload => format!(
                "'{fault}': call arguments did not match a supported operator, function or macro signature for rule: \
                 {said}"
            ),
            Fault::Budget if self.budget.is_spent() => {
                self.spent(value, path);
                return false;
            }
            Fault::Budget => format!(
                "'{fault}': no further validation rules will be run due to call cost exceeds limit for rule: {said}"
            ),
            Fault::Other(_) => format!("{fault} evaluating rule: {said}"),
        };
        self.errors.push(FieldError::invalid(&at, bad_value(value), detail));
        fault != Fault::Budget
    }

    fn outcome(
        &mut self,
        expression: &Expression,
        rule: &Rule,
        tree: &RuleTree,
        value: &Value,
        old: Option<&Value>,
    ) -> Result<Outcome, Fault> {
        expression.evaluate(&[(Some(value), &tree.of), (old, &rule.old_type)], &mut self.budget)
    }

    fn message(&mut self, rule: &Rule, tree: &RuleTree, value: &Value, old: Option<&Value>) -> String {
        if let Some(expression) = &rule.message_expression
            && let Ok(Outcome::Text(text)) = self.outcome(expression, rule, tree, value, old)
        {
            let text = text.trim();
            if !text.is_empty() && !text.contains(['\n', '\r']) && text.len() <= MESSAGE_BYTES_MAX {
                return text.to_owned();
            }
        }
        match rule.message.is_empty() {
            true => format!("failed rule: {}", rule.text),
            false => rule.message.clone(),
        }
    }
}

fn mistake(rule: &Rule, value: &Value, path: Option<&Path>, detail: String) -> FieldError {
    let mut at = path.cloned();
    for step in &rule.place {
        at = Some(match step {
            Step::Member(name) => below(at.as_ref(), name),
            Step::Key(key) => at.unwrap_or_else(Path::nil).key(key.as_str()),
        });
    }
    let at = at.unwrap_or_else(Path::nil);
    match rule.reason {
        Reason::Invalid => FieldError::invalid(&at, bad_value(value), detail),
        Reason::Required => FieldError::required(&at, detail),
        Reason::Forbidden => FieldError::forbidden(&at, detail),
        Reason::Duplicate => FieldError { detail, ..FieldError::duplicate(&at, bad_value(value)) },
    }
}

/// Items as they were before, by the keys that tell them apart. Of other lists than maps, none can
/// be told.
struct Before<'v> {
    keys: &'v [String],
    items: BTreeMap<String, &'v Value>,
}

impl<'v> Before<'v> {
    fn new(list: &'v ListType, items: &'v [Value]) -> Before<'v> {
        let keys: &[String] = match list {
            ListType::Map(keys) => keys,
            ListType::Atomic | ListType::Set => &[],
        };
        let named = items.iter().filter(|_| !keys.is_empty()).map(|item| (identity(keys, item), item));
        Before { keys, items: named.collect() }
    }

    fn of(&self, item: &Value) -> Option<&'v Value> {
        self.items.get(&identity(self.keys, item)).copied().filter(|_| !self.keys.is_empty())
    }
}

fn identity(keys: &[String], item: &Value) -> String {
    let values: Vec<&Value> = keys.iter().map(|key| &item[key]).collect();
    Value::from(values.into_iter().cloned().collect::<Vec<_>>()).to_string()
}
