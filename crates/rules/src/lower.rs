//! From syntax to nodes: names, types, overloads and costs, in one walk.

use std::sync::Arc;

use kube_cel::cel::common::ast::{
    CallExpr, EntryExpr, Expr, IdedExpr, ListExpr, LiteralValue, MapExpr, SelectExpr, operators as signs,
};

use crate::cost::{pattern, traverse};
use crate::fault::CompileError;
use crate::functions::{self, Function};
use crate::native;
use crate::node::{Literal, Node, Operator};
use crate::types::Type;

mod loops;

/// A node, its type, and what its evaluation costs at most.
#[derive(Debug)]
pub(crate) struct Lowered {
    pub(crate) node: Node,
    pub(crate) of: Type,
    pub(crate) cost: u64,
}

pub(crate) struct Lowering {
    /// The variables in scope, outermost first, and whether they were read.
    scope: Vec<(String, Type, bool)>,
}

type LowerResult = Result<Lowered, CompileError>;

fn refused(text: impl Into<String>) -> CompileError {
    CompileError::Types(text.into())
}

/// No overload of `name` takes these operands.
fn no_overload(name: &str, is_method: bool, operands: &[Type]) -> CompileError {
    let list = |types: &[Type]| types.iter().map(Type::to_string).collect::<Vec<_>>().join(", ");
    let operands = match (is_method, operands.split_first()) {
        (true, Some((target, rest))) => format!("{target}.({})", list(rest)),
        _ => format!("({})", list(operands)),
    };
    refused(format!("found no matching overload for '{name}' applied to '{operands}'"))
}

impl Lowering {
    pub(crate) fn new(variables: &[(&str, &Type)]) -> Lowering {
        let variable = |(name, of): &(&str, &Type)| ((*name).to_owned(), (*of).clone(), false);
        Lowering { scope: variables.iter().map(variable).collect() }
    }

    /// Which of the first variables are read.
    pub(crate) fn used(&self, count: usize) -> Vec<bool> {
        self.scope.iter().take(count).map(|(_, _, is_used)| *is_used).collect()
    }

    pub(crate) fn lower(&mut self, syntax: &IdedExpr) -> LowerResult {
        match &syntax.expr {
            Expr::Literal(literal) => Ok(constant(literal)),
            Expr::Ident(name) => self.identifier(name),
            Expr::Select(select) => self.select(select),
            Expr::Call(call) => self.call(call),
            Expr::List(list) => self.list(list),
            Expr::Map(map) => self.map(map),
            Expr::Comprehension(comprehension) => self.comprehension(comprehension),
            Expr::Struct(of) => Err(refused(format!("undeclared reference to '{}' (in container '')", of.type_name))),
            Expr::Unspecified => Err(refused("unspecified expression")),
        }
    }

    fn variable(&mut self, name: &str) -> Option<usize> {
        let slot = self.scope.iter().rposition(|(known, ..)| known == name)?;
        self.scope[slot].2 = true;
        Some(slot)
    }

    fn identifier(&mut self, name: &str) -> LowerResult {
        if let Some(slot) = self.variable(name) {
            return Ok(Lowered { node: Node::Variable(slot), of: self.scope[slot].1.clone(), cost: 1 });
        }
        const TYPES: [&str; 9] = ["bool", "bytes", "double", "int", "list", "map", "null_type", "string", "uint"];
        match TYPES.into_iter().find(|known| *known == name) {
            Some(name) => Ok(Lowered { node: Node::Literal(Literal::TypeName(name)), of: Type::TypeName, cost: 1 }),
            None => Err(undeclared(name)),
        }
    }

    fn select(&mut self, select: &SelectExpr) -> LowerResult {
        let Lowered { node, of, cost } = self.lower(&select.operand)?;
        let part = part_of(&of, &select.field)?;
        let (from, name) = (Box::new(node), select.field.clone());
        Ok(match select.test {
            // Whether something is there costs nothing in the original's estimate, either.
            true => Lowered { node: Node::Has { from, name }, of: Type::Bool, cost },
            false => Lowered { node: Node::Select { from, name }, of: part, cost: cost.saturating_add(1) },
        })
    }

    fn all(&mut self, parts: &[IdedExpr]) -> Result<(Vec<Node>, Vec<Type>, u64), CompileError> {
        let (mut nodes, mut types, mut cost) = (Vec::new(), Vec::new(), 0_u64);
        for part in parts {
            let lowered = self.lower(part)?;
            nodes.push(lowered.node);
            types.push(lowered.of);
            cost = cost.saturating_add(lowered.cost);
        }
        Ok((nodes, types, cost))
    }

    fn list(&mut self, list: &ListExpr) -> LowerResult {
        let (nodes, types, cost) = self.all(&list.elements)?;
        let is_optional = |index: usize| list.optional_indices.contains(&index);
        let of = |(index, of): (usize, &Type)| match of {
            Type::Optional(of) if is_optional(index) => (**of).clone(),
            of => of.clone(),
        };
        let item = types.iter().enumerate().map(of).reduce(|a, b| a.or(&b)).unwrap_or(Type::Any);
        let size_max = nodes.len() as u64;
        let nodes = nodes.into_iter().enumerate().map(|(index, node)| (node, is_optional(index))).collect();
        let of = Type::List { item: Arc::new(item), size_max };
        Ok(Lowered { node: Node::List(nodes), of, cost: cost.saturating_add(10) })
    }

    fn map(&mut self, map: &MapExpr) -> LowerResult {
        let (mut members, mut cost) = (Vec::new(), 30_u64);
        let mut types: Option<(Type, Type)> = None;
        for entry in &map.entries {
            let EntryExpr::MapEntry(entry) = &entry.expr else { return Err(refused("not an entry of a map")) };
            let (key, value) = (self.lower(&entry.key)?, self.lower(&entry.value)?);
            cost = cost.saturating_add(key.cost).saturating_add(value.cost);
            let of = match value.of {
                Type::Optional(of) if entry.optional => (*of).clone(),
                of => of,
            };
            types = Some(types.map_or((key.of.clone(), of.clone()), |(k, v)| (k.or(&key.of), v.or(&of))));
            members.push((key.node, value.node, entry.optional));
        }
        let (key, value) = types.unwrap_or((Type::Any, Type::Any));
        let of = Type::Map { key: Arc::new(key), value: Arc::new(value), size_max: members.len() as u64 };
        Ok(Lowered { node: Node::Map(members), of, cost })
    }

    /// One of two is evaluated: the costlier one, at the worst.
    fn conditional(&mut self, condition: &IdedExpr, then: &IdedExpr, other: &IdedExpr) -> LowerResult {
        let [condition, then, other] = [self.lower(condition)?, self.lower(then)?, self.lower(other)?];
        let of = then.of.or(&other.of);
        let cost = condition.cost.saturating_add(then.cost.max(other.cost));
        match condition.of.fits(&Type::Bool) {
            true => {
                Ok(Lowered { node: Node::Conditional(Box::new([condition.node, then.node, other.node])), of, cost })
            }
            false => Err(no_overload(signs::CONDITIONAL, false, &[condition.of, then.of, other.of])),
        }
    }

    fn call(&mut self, call: &CallExpr) -> LowerResult {
        if let Some(lowered) = self.macro_call(call)? {
            return Ok(lowered);
        }
        if let Some(target) = &call.target {
            if let Expr::Ident(before) = &target.expr
                && !self.scope.iter().any(|(known, ..)| known == before)
                && let Some(name) = functions::in_namespace(before, &call.func_name)
            {
                let (nodes, types, cost) = self.all(&call.args)?;
                return function(&name, false, nodes, types, cost);
            }
            let target = self.lower(target)?;
            let (mut nodes, mut types, cost) = self.all(&call.args)?;
            nodes.insert(0, target.node);
            types.insert(0, target.of);
            return function(&call.func_name, true, nodes, types, cost.saturating_add(target.cost));
        }
        if let (signs::CONDITIONAL, [condition, then, other]) = (call.func_name.as_str(), call.args.as_slice()) {
            return self.conditional(condition, then, other);
        }
        let (nodes, types, cost) = self.all(&call.args)?;
        match (call.func_name.as_str(), <[Node; 2]>::try_from(nodes)) {
            (sign, Ok(operands)) if let Some(operator) = operator(sign) => {
                binary(operator, sign, operands, &types, cost)
            }
            (sign @ (signs::LOGICAL_AND | signs::LOGICAL_OR), Ok(operands)) => {
                let is_bool = types.iter().all(|of| of.fits(&Type::Bool));
                let operands = Box::new(operands);
                let node = if sign == signs::LOGICAL_AND { Node::And(operands) } else { Node::Or(operands) };
                is_bool
                    .then_some(Lowered { node, of: Type::Bool, cost })
                    .ok_or_else(|| no_overload(sign, false, &types))
            }
            (signs::INDEX, Ok([from, at])) => {
                let of = item_of(&types[0], &types[1]).ok_or_else(|| no_overload(signs::INDEX, false, &types))?;
                let node = Node::Index { from: Box::new(from), at: Box::new(at) };
                Ok(Lowered { node, of, cost: cost.saturating_add(1) })
            }
            (signs::OPT_INDEX, Ok([from, at])) => {
                let of = item_of(&types[0], &types[1]).ok_or_else(|| no_overload(signs::OPT_INDEX, false, &types))?;
                let node = Node::OptionalIndex { from: Box::new(from), at: Box::new(at) };
                Ok(Lowered { node, of: optional(of), cost: cost.saturating_add(1) })
            }
            (signs::OPT_SELECT, Ok([from, Node::Literal(Literal::Text(name))])) => {
                let of = part_of(&types[0], &name)?;
                let node = Node::OptionalSelect { from: Box::new(from), name: name.to_string() };
                Ok(Lowered { node, of: optional(of), cost: cost.saturating_add(1) })
            }
            (name, Ok(operands)) => function(name, false, operands.into(), types, cost),
            (name, Err(operands)) => other_arity(name, operands, types, cost),
        }
    }
}

/// Calls of one, three or more operands.
fn other_arity(name: &str, mut operands: Vec<Node>, types: Vec<Type>, cost: u64) -> LowerResult {
    let is_right = match name {
        signs::LOGICAL_NOT => matches!(types.as_slice(), [of] if of.fits(&Type::Bool)),
        signs::NEGATE => matches!(types.as_slice(), [Type::Int | Type::Double | Type::Any]),
        name => return function(name, false, operands, types, cost),
    };
    let (Some(operand), true) = (operands.pop().map(Box::new), is_right) else {
        return Err(no_overload(name, false, &types));
    };
    let (node, of) = match name {
        signs::NEGATE => (Node::Negate(operand), types[0].clone()),
        _ => (Node::Not(operand), Type::Bool),
    };
    Ok(Lowered { node, of, cost: cost.saturating_add(1) })
}

fn undeclared(name: &str) -> CompileError {
    refused(format!("undeclared reference to '{name}' (in container '')"))
}

fn optional(of: Type) -> Type {
    match of {
        Type::Optional(_) => of,
        of => Type::Optional(Arc::new(of)),
    }
}

fn constant(literal: &LiteralValue) -> Lowered {
    let (literal, of) = match literal {
        LiteralValue::Boolean(value) => (Literal::Bool(*value.inner()), Type::Bool),
        LiteralValue::Int(value) => (Literal::Int(*value.inner()), Type::Int),
        LiteralValue::UInt(value) => (Literal::Uint(*value.inner()), Type::Uint),
        LiteralValue::Double(value) => (Literal::Double(*value.inner()), Type::Double),
        LiteralValue::Null => (Literal::Null, Type::Null),
        LiteralValue::String(text) => {
            let text: &str = text.inner();
            (Literal::Text(text.into()), Type::Text { size_max: text.len() as u64 })
        }
        LiteralValue::Bytes(bytes) => {
            let bytes: &[u8] = bytes.inner();
            (Literal::Bytes(bytes.into()), Type::Bytes { size_max: bytes.len() as u64 })
        }
    };
    Lowered { node: Node::Literal(literal), of, cost: 0 }
}

/// The type of a member of a value.
fn part_of(of: &Type, name: &str) -> Result<Type, CompileError> {
    match of {
        Type::Any => Ok(Type::Any),
        Type::Object(object) => match object.fields.get(name) {
            Some(field) => Ok(field.of.clone()),
            None => Err(refused(format!("undefined field '{name}'"))),
        },
        Type::Map { value, .. } => Ok((**value).clone()),
        Type::Optional(of) => part_of(of, name).map(optional),
        of => Err(refused(format!("type '{of}' does not support field selection"))),
    }
}

/// The type of an item of a list, or of a value of a map.
fn item_of(of: &Type, at: &Type) -> Option<Type> {
    match of {
        Type::Any => Some(Type::Any),
        Type::List { item, .. } if at.fits(&Type::Int) => Some((**item).clone()),
        Type::Map { key, value, .. } if at.fits(key) => Some((**value).clone()),
        Type::Optional(of) => item_of(of, at).map(optional),
        _ => None,
    }
}

fn operator(sign: &str) -> Option<Operator> {
    Some(match sign {
        signs::ADD => Operator::Add,
        signs::SUBSTRACT => Operator::Subtract,
        signs::MULTIPLY => Operator::Multiply,
        signs::DIVIDE => Operator::Divide,
        signs::MODULO => Operator::Modulo,
        signs::EQUALS => Operator::Equal,
        signs::NOT_EQUALS => Operator::NotEqual,
        signs::LESS => Operator::Less,
        signs::LESS_EQUALS => Operator::LessEqual,
        signs::GREATER => Operator::Greater,
        signs::GREATER_EQUALS => Operator::GreaterEqual,
        signs::IN => Operator::In,
        _ => return None,
    })
}

fn binary(operator: Operator, sign: &str, operands: [Node; 2], types: &[Type], cost: u64) -> LowerResult {
    let [a, b] = types else { return Err(no_overload(sign, false, types)) };
    let of = result(operator, a, b).ok_or_else(|| no_overload(sign, false, types))?;
    let smaller = a.size().min(b.size());
    let work = match operator {
        Operator::In if matches!(b, Type::Map { .. } | Type::Object(_)) => 1,
        Operator::In => b.size(),
        Operator::Add if matches!(of, Type::Text { .. } | Type::Bytes { .. }) => traverse(of.size()),
        Operator::Add if matches!(of, Type::List { .. }) => of.size(),
        _ => traverse(smaller),
    };
    let node = Node::Binary(operator, Box::new(operands));
    Ok(Lowered { node, of, cost: cost.saturating_add(work.max(1)) })
}

/// The type of what an operator makes. `None`: it does not take these.
fn result(operator: Operator, a: &Type, b: &Type) -> Option<Type> {
    let is_number = |of: &Type| matches!(of, Type::Int | Type::Uint | Type::Double | Type::Any);
    match operator {
        Operator::Equal | Operator::NotEqual => (a.fits(b) || is_number(a) && is_number(b)).then_some(Type::Bool),
        Operator::Less | Operator::LessEqual | Operator::Greater | Operator::GreaterEqual => {
            let is_ordered = |of: &Type| {
                is_number(of)
                    || matches!(
                        of,
                        Type::Bool | Type::Text { .. } | Type::Bytes { .. } | Type::Timestamp | Type::Duration
                    )
            };
            let fits = is_ordered(a) && is_ordered(b) && (a.fits(b) || is_number(a) && is_number(b));
            fits.then_some(Type::Bool)
        }
        Operator::In => match b {
            Type::Any | Type::Object(_) => Some(Type::Bool),
            Type::List { item, .. } => (a.fits(item) || is_number(a) && is_number(item)).then_some(Type::Bool),
            Type::Map { key, .. } => a.fits(key).then_some(Type::Bool),
            _ => None,
        },
        arithmetic => calculated(arithmetic, a, b),
    }
}

fn calculated(operator: Operator, a: &Type, b: &Type) -> Option<Type> {
    let sum = a.size().saturating_add(b.size());
    match (operator, a, b) {
        (_, Type::Any, Type::Any) => Some(Type::Any.with_size(sum)),
        (Operator::Add, Type::Text { .. } | Type::Bytes { .. }, b) if a.fits(b) => Some(a.clone().with_size(sum)),
        (Operator::Add, Type::Any, Type::Text { .. } | Type::Bytes { .. }) => Some(b.clone().with_size(sum)),
        (Operator::Add, Type::List { .. }, Type::List { .. }) => Some(a.or(b).with_size(sum)),
        (Operator::Add, Type::List { .. }, Type::Any) => Some(a.clone().with_size(sum)),
        (Operator::Add, Type::Any, Type::List { .. }) => Some(b.clone().with_size(sum)),
        (Operator::Add, Type::Timestamp, Type::Duration)
        | (Operator::Add, Type::Duration, Type::Timestamp)
        | (Operator::Subtract, Type::Timestamp, Type::Duration) => Some(Type::Timestamp),
        (Operator::Add | Operator::Subtract, Type::Duration, Type::Duration)
        | (Operator::Subtract, Type::Timestamp, Type::Timestamp) => Some(Type::Duration),
        (Operator::Modulo, Type::Double, _) | (Operator::Modulo, _, Type::Double) => None,
        (_, Type::Int | Type::Uint | Type::Double, b) if a.fits(b) => Some(a.clone()),
        (_, Type::Any, Type::Int | Type::Uint | Type::Double) => Some(b.clone()),
        (_, Type::Any, _) | (_, _, Type::Any) => Some(Type::Any),
        _ => None,
    }
}

fn function(name: &str, is_method: bool, operands: Vec<Node>, types: Vec<Type>, cost: u64) -> LowerResult {
    let all = functions::named(name);
    if all.is_empty() {
        return Err(undeclared(name));
    }
    let matching: Vec<&'static Function> = all.iter().filter(|function| function.takes(is_method, &types)).collect();
    let first = *matching.first().ok_or_else(|| no_overload(name, is_method, &types))?;
    let size = |operand: usize| types[operand].size();
    if name == "matches"
        && let [_, Node::Literal(Literal::Text(text))] = operands.as_slice()
    {
        let regex = native::regex(text).map_err(refused)?;
        let length = text.len() as u64;
        let work = traverse(size(0).saturating_add(1)).saturating_mul(pattern(length)).max(1);
        let of = operands.into_iter().next().map(Box::new).ok_or_else(|| undeclared(name))?;
        return Ok(Lowered { node: Node::Matches(of, regex, length), of: Type::Bool, cost: cost.saturating_add(work) });
    }
    let result = matching.iter().map(|function| function.result(&types)).reduce(|a, b| a.or(&b)).unwrap_or(Type::Any);
    let work = matching.iter().map(|function| function.cost(size)).max().unwrap_or(1);
    Ok(Lowered { node: Node::Call { function: first, operands }, of: result, cost: cost.saturating_add(work) })
}
