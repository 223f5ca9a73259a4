//! Evaluation: a walk over the nodes that pays for every step.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::cost::{pattern, traverse};
use crate::fault::Fault;
use crate::native;
use crate::node::{Loop, Node};
use crate::operators::binary;
use crate::value::{Key, Members, Value};

pub(crate) struct Evaluation<'a> {
    /// The variables in scope, outermost first.
    pub(crate) variables: Vec<Value<'a>>,
    /// What may still be spent.
    pub(crate) left: u64,
}

impl<'a> Evaluation<'a> {
    pub(crate) fn spend(&mut self, cost: u64) -> Result<(), Fault> {
        match self.left.checked_sub(cost) {
            Some(left) => {
                self.left = left;
                Ok(())
            }
            None => {
                self.left = 0;
                Err(Fault::Budget)
            }
        }
    }

    pub(crate) fn value(&mut self, node: &'a Node) -> Result<Value<'a>, Fault> {
        match node {
            Node::Literal(literal) => Ok(Value::literal(literal)),
            Node::Variable(slot) => {
                self.spend(1)?;
                self.variables.get(*slot).cloned().ok_or(Fault::NoOverload)
            }
            Node::Select { from, name } => self.select(from, name),
            Node::Has { from, name } => self.has(from, name),
            Node::OptionalSelect { from, name } => {
                let from = self.value(from)?;
                self.spend(1)?;
                optional_part(from, |members| members.named(name))
            }
            Node::Index { from, at } => self.index(from, at),
            Node::OptionalIndex { from, at } => self.optional_index(from, at),
            Node::Not(of) => Ok(Value::Bool(!self.value(of)?.as_bool()?)),
            Node::Negate(of) => negated(self.value(of)?),
            Node::And(of) => self.absorbing(of, false),
            Node::Or(of) => self.absorbing(of, true),
            Node::Conditional(parts) => {
                let [condition, then, other] = &**parts;
                if self.value(condition)?.as_bool()? { self.value(then) } else { self.value(other) }
            }
            Node::Binary(operator, operands) => {
                let (a, b) = (self.value(&operands[0])?, self.value(&operands[1])?);
                binary(*operator, a, b, &mut |cost| self.spend(cost))
            }
            Node::List(items) => self.list(items),
            Node::Map(members) => self.map(members),
            Node::Loop { kind, range, slot, has_two, filter, body } => {
                let range = self.value(range)?;
                let part = LoopBody { kind: *kind, slot: *slot, has_two: *has_two, filter: filter.as_deref(), body };
                self.each(range, &part)
            }
            Node::OptionalMap { from, slot, is_flat, body } => match self.value(from)? {
                Value::Optional(None) => Ok(Value::Optional(None)),
                Value::Optional(Some(value)) => {
                    let made = self.with((*value).clone(), *slot, body)?;
                    Ok(if *is_flat { made } else { Value::Optional(Some(Arc::new(made))) })
                }
                _ => Err(Fault::NoOverload),
            },
            Node::Matches(of, regex, length) => {
                let Value::Text(text) = self.value(of)? else { return Err(Fault::NoOverload) };
                let walk = traverse(text.as_str().len() as u64 + 1);
                self.spend(walk.saturating_mul(pattern(*length)).max(1))?;
                Ok(Value::Bool(regex.is_match(text.as_str())))
            }
            Node::Call { function, operands } => {
                let operands = operands.iter().map(|operand| self.value(operand)).collect::<Result<Vec<_>, _>>()?;
                self.spend(
                    function
                        .cost(|operand| operands[operand].size())
                        .saturating_add(native::extra(function, &operands)),
                )?;
                native::call(function, operands)
            }
        }
    }

    fn select(&mut self, from: &'a Node, name: &str) -> Result<Value<'a>, Fault> {
        let from = self.value(from)?;
        self.spend(1)?;
        match from {
            Value::Map(members) => members.named(name).unwrap_or_else(|| Err(Fault::no_such_key(name))),
            from @ Value::Optional(_) => optional_part(from, |members| members.named(name)),
            _ => Err(Fault::NoOverload),
        }
    }

    fn has(&mut self, from: &'a Node, name: &str) -> Result<Value<'a>, Fault> {
        match self.value(from)? {
            Value::Map(members) => Ok(Value::Bool(members.named(name).is_some())),
            from @ Value::Optional(_) => {
                let part = optional_part(from, |members| members.named(name))?;
                Ok(Value::Bool(matches!(part, Value::Optional(Some(_)))))
            }
            _ => Err(Fault::NoOverload),
        }
    }

    fn index(&mut self, from: &'a Node, at: &'a Node) -> Result<Value<'a>, Fault> {
        let (from, at) = (self.value(from)?, self.value(at)?);
        self.spend(1)?;
        match (from, Key::of(&at)?) {
            (Value::List(items), Key::Int(index)) => {
                let item = usize::try_from(index).ok().and_then(|index| items.get(index));
                item.unwrap_or_else(|| Err(Fault::no_such_index(index)))
            }
            (Value::Map(members), key) => members.get(&key).unwrap_or_else(|| Err(Fault::no_such_key(&key.shown()))),
            (from @ Value::Optional(_), key) => optional_index(from, &key),
            _ => Err(Fault::NoOverload),
        }
    }

    fn optional_index(&mut self, from: &'a Node, at: &'a Node) -> Result<Value<'a>, Fault> {
        let (from, at) = (self.value(from)?, self.value(at)?);
        self.spend(1)?;
        optional_index(from, &Key::of(&at)?)
    }

    /// `&&` and `||`: one side that decides makes up for a fault of the other.
    fn absorbing(&mut self, of: &'a [Node; 2], decides: bool) -> Result<Value<'a>, Fault> {
        let first = self.value(&of[0]).and_then(|value| value.as_bool());
        match first {
            Ok(first) if first == decides => return Ok(Value::Bool(decides)),
            Err(Fault::Budget) => return Err(Fault::Budget),
            _ => {}
        }
        match (first, self.value(&of[1]).and_then(|value| value.as_bool())) {
            (_, Ok(second)) if second == decides => Ok(Value::Bool(decides)),
            (Err(fault), Ok(_)) => Err(fault),
            (Err(_), Err(Fault::Budget)) => Err(Fault::Budget),
            (Err(fault), Err(_)) | (Ok(_), Err(fault)) => Err(fault),
            (Ok(_), Ok(_)) => Ok(Value::Bool(!decides)),
        }
    }

    fn list(&mut self, items: &'a [(Node, bool)]) -> Result<Value<'a>, Fault> {
        self.spend(10)?;
        let mut made = Vec::with_capacity(items.len());
        for (item, is_optional) in items {
            match (self.value(item)?, is_optional) {
                (Value::Optional(None), true) => {}
                (Value::Optional(Some(value)), true) => made.push((*value).clone()),
                (value, _) => made.push(value),
            }
        }
        Ok(Value::list(made))
    }

    fn map(&mut self, members: &'a [(Node, Node, bool)]) -> Result<Value<'a>, Fault> {
        self.spend(30)?;
        let mut made = BTreeMap::new();
        for (key, value, is_optional) in members {
            let key = Key::of(&self.value(key)?)?;
            match (self.value(value)?, is_optional) {
                (Value::Optional(None), true) => {}
                (Value::Optional(Some(value)), true) => drop(made.insert(key, (*value).clone())),
                (value, _) => drop(made.insert(key, value)),
            }
        }
        Ok(Value::map(made))
    }

    /// Evaluates with one more variable.
    fn with(&mut self, value: Value<'a>, slot: usize, body: &'a Node) -> Result<Value<'a>, Fault> {
        self.variables.truncate(slot);
        self.variables.push(value);
        let made = self.value(body);
        self.variables.truncate(slot);
        made
    }

    fn each(&mut self, range: Value<'a>, part: &LoopBody<'a>) -> Result<Value<'a>, Fault> {
        let mut made = Made::default();
        match range {
            Value::List(items) => {
                for (index, item) in items.iter().enumerate() {
                    let key = Key::Int(index as i64);
                    if self.step(part, &mut made, key, item?, false)? {
                        break;
                    }
                }
            }
            Value::Map(members) => {
                for key in members.keys() {
                    let value = member(&members, &key, part.has_two)?;
                    if self.step(part, &mut made, key, value, true)? {
                        break;
                    }
                }
            }
            _ => return Err(Fault::NoOverload),
        }
        made.result(part.kind)
    }

    /// One round of a loop. Whether the result is certain.
    fn step(
        &mut self,
        part: &LoopBody<'a>,
        made: &mut Made<'a>,
        key: Key,
        value: Value<'a>,
        is_map: bool,
    ) -> Result<bool, Fault> {
        self.spend(2)?;
        self.variables.truncate(part.slot);
        match (part.has_two, is_map) {
            (true, _) => self.variables.extend([key.value(), value]),
            (false, true) => self.variables.push(key.value()),
            (false, false) => self.variables.push(value),
        }
        let is_certain = self.round(part, made, key);
        self.variables.truncate(part.slot);
        is_certain
    }

    fn round(&mut self, part: &LoopBody<'a>, made: &mut Made<'a>, key: Key) -> Result<bool, Fault> {
        if let Some(filter) = part.filter
            && !self.value(filter)?.as_bool()?
        {
            return Ok(false);
        }
        let body = self.value(part.body);
        match part.kind {
            Loop::All | Loop::Exists => match body.and_then(|body| body.as_bool()) {
                Ok(value) if value == (part.kind == Loop::Exists) => made.is_decided = true,
                Ok(_) => {}
                Err(Fault::Budget) => return Err(Fault::Budget),
                // A later item may decide in spite of it.
                Err(fault) => made.fault = Some(fault),
            },
            Loop::ExistsOne => made.count += u64::from(body?.as_bool()?),
            Loop::Map => made.items.push(body?),
            Loop::TransformMap => drop(made.members.insert(key, body?)),
        }
        Ok(made.is_decided)
    }
}

struct LoopBody<'a> {
    kind: Loop,
    slot: usize,
    has_two: bool,
    filter: Option<&'a Node>,
    body: &'a Node,
}

/// What a loop has made so far.
#[derive(Default)]
struct Made<'a> {
    /// An item was found that decides.
    is_decided: bool,
    fault: Option<Fault>,
    count: u64,
    items: Vec<Value<'a>>,
    members: BTreeMap<Key, Value<'a>>,
}

impl<'a> Made<'a> {
    fn result(self, kind: Loop) -> Result<Value<'a>, Fault> {
        match (kind, self.is_decided, self.fault) {
            (Loop::All | Loop::Exists, true, _) => Ok(Value::Bool(kind == Loop::Exists)),
            (_, _, Some(fault)) => Err(fault),
            (Loop::All | Loop::Exists, false, None) => Ok(Value::Bool(kind == Loop::All)),
            (Loop::ExistsOne, ..) => Ok(Value::Bool(self.count == 1)),
            (Loop::Map, ..) => Ok(Value::list(self.items)),
            (Loop::TransformMap, ..) => Ok(Value::map(self.members)),
        }
    }
}

/// The value of a key, which only a loop with two variables reads.
fn member<'a>(members: &Members<'a>, key: &Key, is_read: bool) -> Result<Value<'a>, Fault> {
    match is_read {
        true => members.get(key).unwrap_or_else(|| Err(Fault::no_such_key(&key.shown()))),
        false => Ok(Value::Null),
    }
}

fn negated(value: Value<'_>) -> Result<Value<'_>, Fault> {
    match value {
        Value::Int(value) => {
            value.checked_neg().map(Value::Int).ok_or_else(|| Fault::Other("integer overflow".to_owned()))
        }
        Value::Double(value) => Ok(Value::Double(-value)),
        _ => Err(Fault::NoOverload),
    }
}

/// A part of a map, or of a map in an optional, that may be absent.
fn optional_part<'a>(
    from: Value<'a>,
    part: impl FnOnce(&Members<'a>) -> Option<Result<Value<'a>, Fault>>,
) -> Result<Value<'a>, Fault> {
    let found = match &from {
        Value::Map(members) => part(members),
        Value::Optional(None) => None,
        Value::Optional(Some(value)) => match &**value {
            Value::Map(members) => part(members),
            _ => return Err(Fault::NoOverload),
        },
        _ => return Err(Fault::NoOverload),
    };
    Ok(Value::Optional(found.transpose()?.map(Arc::new)))
}

fn optional_index<'a>(from: Value<'a>, key: &Key) -> Result<Value<'a>, Fault> {
    let items = match (&from, key) {
        (Value::List(items), Key::Int(_)) => Some(items.clone()),
        (Value::Optional(Some(value)), Key::Int(_)) => match &**value {
            Value::List(items) => Some(items.clone()),
            _ => None,
        },
        _ => None,
    };
    match (items, key) {
        (Some(items), Key::Int(index)) => {
            let item = usize::try_from(*index).ok().and_then(|index| items.get(index));
            Ok(Value::Optional(item.transpose()?.map(Arc::new)))
        }
        _ => optional_part(from, |members| members.get(key)),
    }
}
