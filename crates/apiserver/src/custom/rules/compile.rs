//! What is demanded of rules, in the original's words, and the tree of those that were accepted.

use std::sync::Arc;

use everynode_api::field::{BadValue, FieldError, Path};
use everynode_rules::{COST_MAX_ONE, COST_MAX_SCHEMA, CompileError, Expression, Type, excess};
use serde_json::{Value, json};

use super::super::schema::{self, ListType, members};
use super::declare::{Declared, declare, is_whole_object};
use super::{OLD, Reason, Rule, RuleTree, Step};

/// A rule that costs less is not named where all rules together cost too much.
const CONTRIBUTES: u64 = COST_MAX_SCHEMA / 100;
/// How many of the costliest rules are named there.
const CONTRIBUTORS_MAX: usize = 4;
/// More rules in one schema are refused: each is compiled.
const RULES_MAX: usize = 1_000;

/// Every mistake of the rules in a schema at `path`.
pub(crate) fn check_rules(schema: &Value, path: &Path) -> Vec<FieldError> {
    let count = count(schema);
    if count == 0 {
        return Vec::new();
    }
    if count > RULES_MAX {
        let detail = format!("more than {RULES_MAX} x-kubernetes-validations are not supported by this server");
        return vec![FieldError::forbidden(path, detail)];
    }
    let mut check = Check { errors: Vec::new(), total: 0, costly: Vec::new() };
    check.part(schema, true, Place { path: path.clone(), count: 1, atomic: None });
    check.finish(path);
    check.errors
}

/// How many rules there are.
fn count(schema: &Value) -> usize {
    let own = rules_of(schema).len();
    own + parts(schema).map(|(_, part)| count(part)).sum::<usize>()
}

fn rules_of(schema: &Value) -> &[Value] {
    schema["x-kubernetes-validations"].as_array().map_or(&[], Vec::as_slice)
}

enum Part<'s> {
    Property(&'s str),
    Additional,
    Items,
}

fn parts(schema: &Value) -> impl Iterator<Item = (Part<'_>, &Value)> {
    let properties = members(&schema["properties"]).map(|(name, part)| (Part::Property(name), part));
    let single = [(Part::Additional, "additionalProperties"), (Part::Items, "items")];
    let single = single.into_iter().map(|(part, name)| (part, &schema[name])).filter(|(_, part)| part.is_object());
    properties.chain(single)
}

/// Where in a schema a part of it stands.
#[derive(Clone)]
struct Place {
    path: Path,
    /// How many values there can be in one object.
    count: u64,
    /// The list above whose items have no identity: what was there before cannot be told.
    atomic: Option<Path>,
}

struct Check {
    errors: Vec<FieldError>,
    total: u64,
    /// What costs most, and where it stands.
    costly: Vec<(u64, Path)>,
}

impl Check {
    fn part(&mut self, schema: &Value, is_object: bool, place: Place) {
        let declared = declare(schema, is_object);
        let rules = rules_of(schema);
        let at = place.path.child("x-kubernetes-validations");
        for (index, rule) in rules.iter().enumerate() {
            match &declared {
                Some(declared) => self.rule(rule, schema, declared, &place, &at.index(index)),
                None => {
                    let detail = "rules need a schema whose type is known";
                    self.errors.push(FieldError::invalid(&at.index(index).child("rule"), shown(rule), detail));
                }
            }
        }
        let is_map = matches!(schema::list_type(schema), ListType::Map(_));
        for (part, schema) in parts(schema) {
            let place = below(&place, &part, declared.as_ref(), is_map);
            self.part(schema, is_whole_object(schema), place);
        }
    }

    fn rule(&mut self, rule: &Value, schema: &Value, declared: &Declared, place: &Place, path: &Path) {
        self.texts(rule, path);
        if let Some(reason) = rule["reason"].as_str().filter(|reason| reason_named(reason).is_none()) {
            let known = Reason::ALL.map(|(name, _)| name);
            self.errors.push(FieldError::not_supported(&path.child("reason"), reason, &known));
        }
        if let Some(given) = rule["fieldPath"].as_str().filter(|given| !given.is_empty())
            && let Err(why) = place_of(given, schema)
        {
            let detail = format!("fieldPath must be a valid path: {why}");
            self.errors.push(FieldError::invalid(&path.child("fieldPath"), given, detail));
        }
        let text = rule["rule"].as_str().unwrap_or_default();
        if text.trim().is_empty() {
            return;
        }
        let at = path.child("rule");
        match compiled(rule, "rule", &declared.of) {
            Ok(expression) => self.accepted(&expression, rule, (&at, "rule"), place),
            Err(error) => self.errors.push(FieldError::invalid(&at, shown(rule), error.to_string())),
        }
        if rule["messageExpression"].as_str().is_some_and(|text| !text.trim().is_empty()) {
            let at = path.child("messageExpression");
            match compiled(rule, "messageExpression", &declared.of) {
                Ok(expression) => self.accepted(&expression, rule, (&at, "messageExpression"), place),
                Err(error) => {
                    let detail = format!("messageExpression {error}");
                    self.errors.push(FieldError::invalid(&at, shown(rule), detail));
                }
            }
        }
    }

    /// What is demanded of an expression with sound types: its result, what it reads, its cost.
    fn accepted(&mut self, expression: &Expression, rule: &Value, (at, name): (&Path, &str), place: &Place) {
        let is_rule = name == "rule";
        match expression.of() {
            Type::Bool if is_rule => {}
            Type::Text { .. } if !is_rule => {}
            _ if is_rule => {
                self.errors.push(FieldError::invalid(at, shown(rule), "cel expression must evaluate to a bool"));
            }
            _ => {
                let detail = "messageExpression must evaluate to a string";
                self.errors.push(FieldError::invalid(at, shown(rule), detail));
            }
        }
        if let Some(list) = place.atomic.as_ref().filter(|_| is_rule && expression.reads(OLD)) {
            let detail = format!("oldSelf cannot be used on the uncorrelatable portion of the schema within {list}");
            self.errors.push(FieldError::invalid(at, shown(rule), detail));
        }
        let cost = expression.cost().saturating_mul(place.count);
        if cost > COST_MAX_ONE {
            let what = format!("estimated {name} cost");
            self.errors.push(FieldError::forbidden(at, excess(&what, cost, COST_MAX_ONE)));
        }
        self.total = self.total.saturating_add(cost);
        if cost >= CONTRIBUTES {
            self.costly.push((cost, at.clone()));
        }
    }

    fn texts(&mut self, rule: &Value, path: &Path) {
        let text = |name: &str| rule[name].as_str().unwrap_or_default();
        let is_blank = |text: &str| !text.is_empty() && text.trim().is_empty();
        let has_break = |text: &str| text.trim().contains(['\n', '\r']);
        if text("rule").trim().is_empty() {
            self.errors.push(FieldError::required(&path.child("rule"), "rule is not specified"));
        }
        let message = path.child("message");
        if is_blank(text("message")) {
            let detail = "message must be non-empty if specified";
            self.errors.push(FieldError::invalid(&message, text("message"), detail));
        } else if has_break(text("message")) {
            let detail = "message must not contain line breaks";
            self.errors.push(FieldError::invalid(&message, text("message"), detail));
        } else if has_break(text("rule")) && text("message").is_empty() {
            let detail = "message must be specified if rule contains line breaks";
            self.errors.push(FieldError::required(&message, detail));
        }
        if is_blank(text("messageExpression")) {
            let detail = "messageExpression must be non-empty if specified";
            self.errors.push(FieldError::required(&path.child("messageExpression"), detail));
        }
    }

    /// What is said of all rules together.
    fn finish(&mut self, path: &Path) {
        if self.total <= COST_MAX_SCHEMA {
            return;
        }
        self.costly.sort_by_key(|(cost, _)| std::cmp::Reverse(*cost));
        for (_, at) in self.costly.drain(..).take(CONTRIBUTORS_MAX) {
            let detail = "contributed to estimated rule cost total exceeding cost limit for entire OpenAPIv3 schema";
            self.errors.push(FieldError::forbidden(&at, detail));
        }
        let what = "x-kubernetes-validations estimated rule cost total for entire OpenAPIv3 schema";
        self.errors.push(FieldError::forbidden(path, excess(what, self.total, COST_MAX_SCHEMA)));
    }
}

/// The place of a part; `is_map` tells whether the items of a list are told apart by keys.
fn below(place: &Place, part: &Part<'_>, declared: Option<&Declared>, is_map: bool) -> Place {
    let size = |declared: Option<&Declared>| declared.map_or(1, |declared| declared.of.size().max(1));
    match part {
        Part::Property(name) => Place { path: place.path.child("properties").key(*name), ..place.clone() },
        Part::Additional => Place {
            path: place.path.child("additionalProperties"),
            count: place.count.saturating_mul(size(declared)),
            atomic: place.atomic.clone(),
        },
        Part::Items => Place {
            path: place.path.child("items"),
            count: place.count.saturating_mul(size(declared)),
            atomic: place.atomic.clone().or_else(|| (!is_map).then(|| place.path.clone())),
        },
    }
}

fn reason_named(name: &str) -> Option<Reason> {
    Reason::ALL.into_iter().find(|(known, _)| *known == name).map(|(_, reason)| reason)
}

/// A rule as the original prints the struct that it keeps it in.
fn shown(rule: &Value) -> BadValue {
    let text = |name: &str| rule[name].as_str().unwrap_or_default();
    let whole = format!(
        "{{\"Rule\":{},\"Message\":{},\"MessageExpression\":{},\"Reason\":{},\"FieldPath\":{},\"OptionalOldSelf\":{}}}",
        json!(text("rule")),
        json!(text("message")),
        json!(text("messageExpression")),
        rule["reason"],
        json!(text("fieldPath")),
        rule["optionalOldSelf"],
    );
    // Go's JSON keeps these out of the way of HTML.
    BadValue::Raw(whole.replace('<', "\\u003c").replace('>', "\\u003e").replace('&', "\\u0026"))
}

/// The type of `oldSelf`.
fn old_type(rule: &Value, of: &Type) -> Type {
    match rule["optionalOldSelf"] == Value::Bool(true) {
        true => Type::Optional(Arc::new(of.clone())),
        false => of.clone(),
    }
}

fn compiled(rule: &Value, name: &str, of: &Type) -> Result<Expression, CompileError> {
    let text = rule[name].as_str().unwrap_or_default();
    Expression::compile(text, &[("self", of), ("oldSelf", &old_type(rule, of))])
}

/// The steps of a `fieldPath`: members by `.name` or `['name']`, which the schema must have.
fn place_of(given: &str, schema: &Value) -> Result<Vec<Step>, String> {
    let (mut rest, mut schema, mut steps) = (given, schema, Vec::new());
    while !rest.is_empty() {
        let (name, after) = match (rest.strip_prefix("['"), rest.strip_prefix('.')) {
            (Some(quoted), _) => quoted.split_once("']").ok_or("unclosed brackets")?,
            (None, Some(plain)) => plain.split_at(plain.find(['.', '[']).unwrap_or(plain.len())),
            (None, None) => return Err(format!("expected [ or . but got: {rest}")),
        };
        let step = match (&schema["properties"][name], &schema["additionalProperties"]) {
            (property @ Value::Object(_), _) => {
                schema = property;
                Step::Member(name.to_owned())
            }
            (_, additional @ Value::Object(_)) => {
                schema = additional;
                Step::Key(name.to_owned())
            }
            _ => return Err(format!("does not refer to a valid field: {name}")),
        };
        steps.push(step);
        rest = after;
    }
    Ok(steps)
}

/// The tree of a schema that was accepted. What cannot be compiled is left out.
pub(super) fn tree(schema: &Value, is_object: bool) -> Option<RuleTree> {
    if count(schema) == 0 {
        return None;
    }
    let declared = declare(schema, is_object);
    let of = declared.map_or(Type::Any, |declared| declared.of);
    let rules = rules_of(schema).iter().filter_map(|rule| accepted(rule, schema, &of)).collect();
    let mut tree = RuleTree {
        of,
        rules,
        properties: Default::default(),
        additional: None,
        items: None,
        list: schema::list_type(schema),
    };
    for (part, schema) in parts(schema) {
        let Some(below) = self::tree(schema, is_whole_object(schema)) else { continue };
        match part {
            Part::Property(name) => drop(tree.properties.insert(name.to_owned(), below)),
            Part::Additional => tree.additional = Some(Box::new(below)),
            Part::Items => tree.items = Some(Box::new(below)),
        }
    }
    Some(tree)
}

fn accepted(rule: &Value, schema: &Value, of: &Type) -> Option<Rule> {
    let text = |name: &str| rule[name].as_str().unwrap_or_default();
    let has_message = !text("messageExpression").trim().is_empty();
    Some(Rule {
        text: text("rule").trim().to_owned(),
        expression: compiled(rule, "rule", of).ok()?,
        message: text("message").trim().to_owned(),
        message_expression: has_message.then(|| compiled(rule, "messageExpression", of).ok()).flatten(),
        reason: rule["reason"].as_str().and_then(reason_named).unwrap_or(Reason::Invalid),
        place: place_of(text("fieldPath"), schema).unwrap_or_default(),
        has_optional_old: rule["optionalOldSelf"] == Value::Bool(true),
        old_type: old_type(rule, of),
    })
}
