//! Macros: loops over lists and maps, and the one that looks into an optional.

use std::sync::Arc;

use kube_cel::cel::common::ast::{CallExpr, ComprehensionExpr, Expr, IdedExpr, LiteralValue, operators as signs};

use super::{LowerResult, Lowered, Lowering, no_overload, optional, refused};
use crate::fault::CompileError;
use crate::node::{Loop, Node};
use crate::types::Type;

/// What a round costs besides its parts: the condition and the variables.
const ROUND: u64 = 3;

/// A loop, in whatever form it is written.
struct Written<'s> {
    kind: Loop,
    range: &'s IdedExpr,
    variables: Vec<&'s str>,
    filter: Option<&'s IdedExpr>,
    body: &'s IdedExpr,
}

impl Lowering {
    /// A macro that the parser has expanded, seen by its form.
    pub(super) fn comprehension(&mut self, of: &ComprehensionExpr) -> LowerResult {
        let written = written(of).ok_or_else(|| refused("a comprehension that no macro makes"))?;
        self.each(&written)
    }

    /// A macro that the parser leaves as a call: those with two variables, and of optionals.
    pub(super) fn macro_call(&mut self, call: &CallExpr) -> Result<Option<Lowered>, CompileError> {
        let Some(range) = call.target.as_deref() else { return Ok(None) };
        let name = call.func_name.as_str();
        let variable = |argument: &'_ IdedExpr| match &argument.expr {
            Expr::Ident(name) => Some(name.clone()),
            _ => None,
        };
        if let ("optMap" | "optFlatMap", [argument, body]) = (name, call.args.as_slice())
            && let Some(variable) = variable(argument)
        {
            return self.optional_map(range, variable, name == "optFlatMap", body).map(Some);
        }
        let kind = match name {
            "all" => Loop::All,
            "exists" => Loop::Exists,
            "existsOne" | "exists_one" => Loop::ExistsOne,
            "transformList" => Loop::Map,
            "transformMap" => Loop::TransformMap,
            _ => return Ok(None),
        };
        let (first, second, filter, body) = match call.args.as_slice() {
            [first, second, body] => (first, second, None, body),
            [first, second, filter, body] if matches!(kind, Loop::Map | Loop::TransformMap) => {
                (first, second, Some(filter), body)
            }
            _ => return Ok(None),
        };
        let (Expr::Ident(first), Expr::Ident(second)) = (&first.expr, &second.expr) else { return Ok(None) };
        self.each(&Written { kind, range, variables: vec![first, second], filter, body }).map(Some)
    }

    fn optional_map(&mut self, from: &IdedExpr, variable: String, is_flat: bool, body: &IdedExpr) -> LowerResult {
        let from = self.lower(from)?;
        let of = match &from.of {
            Type::Optional(of) => (**of).clone(),
            Type::Any => Type::Any,
            other => return Err(no_overload("optMap", true, std::slice::from_ref(other))),
        };
        let slot = self.scope.len();
        self.scope.push((variable, of, false));
        let body = self.lower(body);
        self.scope.truncate(slot);
        let body = body?;
        let of = if is_flat { body.of } else { Type::Optional(Arc::new(body.of)) };
        let cost = from.cost.saturating_add(body.cost).saturating_add(1);
        let node = Node::OptionalMap { from: Box::new(from.node), slot, is_flat, body: Box::new(body.node) };
        Ok(Lowered { node, of: optional(of), cost })
    }

    fn each(&mut self, written: &Written<'_>) -> LowerResult {
        let range = self.lower(written.range)?;
        let slot = self.scope.len();
        let has_two = written.variables.len() == 2;
        let (key, value) = match &range.of {
            Type::Any => (Type::Any, Type::Any),
            Type::List { item, .. } => (Type::Int, (**item).clone()),
            Type::Map { key, value, .. } => ((**key).clone(), (**value).clone()),
            of => {
                let detail = format!(
                    "expression of type '{of}' cannot be range of a comprehension (must be list, map, or dynamic)"
                );
                return Err(refused(detail));
            }
        };
        let is_list = matches!(range.of, Type::List { .. });
        let types = match (has_two, is_list) {
            (true, _) => vec![key.clone(), value],
            (false, true) => vec![value],
            (false, false) => vec![key.clone()],
        };
        for (name, of) in written.variables.iter().zip(types) {
            self.scope.push(((*name).to_owned(), of, false));
        }
        let parts = self.parts(written);
        self.scope.truncate(slot);
        let (filter, body) = parts?;
        let round = body.cost.saturating_add(filter.as_ref().map_or(0, |filter| filter.cost)).saturating_add(ROUND);
        let size_max = range.of.size();
        let of = match written.kind {
            Loop::All | Loop::Exists | Loop::ExistsOne => Type::Bool,
            Loop::Map => Type::List { item: Arc::new(body.of.clone()), size_max },
            Loop::TransformMap => Type::Map { key: Arc::new(key), value: Arc::new(body.of.clone()), size_max },
        };
        let node = Node::Loop {
            kind: written.kind,
            range: Box::new(range.node),
            slot,
            has_two,
            filter: filter.map(|filter| Box::new(filter.node)),
            body: Box::new(body.node),
        };
        Ok(Lowered { node, of, cost: range.cost.saturating_add(size_max.saturating_mul(round)).saturating_add(1) })
    }

    fn parts(&mut self, written: &Written<'_>) -> Result<(Option<Lowered>, Lowered), CompileError> {
        let filter = written.filter.map(|filter| self.condition(filter)).transpose()?;
        let body = match written.kind {
            Loop::All | Loop::Exists | Loop::ExistsOne => self.condition(written.body)?,
            Loop::Map | Loop::TransformMap => self.lower(written.body)?,
        };
        Ok((filter, body))
    }

    fn condition(&mut self, syntax: &IdedExpr) -> LowerResult {
        let lowered = self.lower(syntax)?;
        match lowered.of.fits(&Type::Bool) {
            true => Ok(lowered),
            false => Err(refused(format!("expected type 'bool' but found '{}'", lowered.of))),
        }
    }
}

/// Which macro was expanded, by what its rounds do.
fn written(of: &ComprehensionExpr) -> Option<Written<'_>> {
    let Expr::Call(step) = &of.loop_step.expr else { return None };
    let loop_of = |kind, filter, body| {
        let variables = vec![of.iter_var.as_str()];
        Some(Written { kind, range: &of.iter_range, variables, filter, body })
    };
    match (step.func_name.as_str(), step.args.as_slice()) {
        (signs::LOGICAL_AND, [_, body]) => loop_of(Loop::All, None, body),
        (signs::LOGICAL_OR, [_, body]) => loop_of(Loop::Exists, None, body),
        (signs::ADD, [_, made]) => loop_of(Loop::Map, None, only_item(made)?),
        (signs::CONDITIONAL, [filter, made, _]) => {
            let Expr::Call(added) = &made.expr else { return None };
            match (&of.accu_init.expr, added.args.as_slice()) {
                (Expr::Literal(LiteralValue::Int(_)), _) => loop_of(Loop::ExistsOne, None, filter),
                (_, [_, made]) => loop_of(Loop::Map, Some(filter), only_item(made)?),
                _ => None,
            }
        }
        _ => None,
    }
}

fn only_item(made: &IdedExpr) -> Option<&IdedExpr> {
    match &made.expr {
        Expr::List(list) => list.elements.first(),
        _ => None,
    }
}
