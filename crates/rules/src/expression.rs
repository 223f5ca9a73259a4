//! An expression that was accepted.

use std::sync::Arc;

use serde_json::Value as Json;

use crate::cost::Budget;
use crate::evaluate::Evaluation;
use crate::fault::{CompileError, Fault};
use crate::lower::Lowering;
use crate::node::Node;
use crate::syntax;
use crate::types::Type;
use crate::value::Value;

/// An expression over named variables, with its types checked.
#[derive(Debug)]
pub struct Expression {
    node: Node,
    of: Type,
    cost: u64,
    used: Vec<bool>,
}

/// What an evaluation gave.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    Bool(bool),
    Text(String),
    /// Of another type.
    Other,
}

impl Expression {
    /// Compiles `text`, in which `variables` (names and types) can be read.
    ///
    /// # Errors
    /// It is no expression, its types do not fit together, or it is too long or too deep.
    pub fn compile(text: &str, variables: &[(&str, &Type)]) -> Result<Expression, CompileError> {
        let syntax = syntax::parse(text)?;
        let mut lowering = Lowering::new(variables);
        let lowered = lowering.lower(&syntax)?;
        let used = lowering.used(variables.len());
        Ok(Expression { node: lowered.node, of: lowered.of, cost: lowered.cost, used })
    }

    /// The type of its value.
    pub fn of(&self) -> &Type {
        &self.of
    }

    /// What one evaluation costs at most, estimated from the sizes of its variables.
    pub fn cost(&self) -> u64 {
        self.cost
    }

    /// Whether it reads the variable of this number.
    pub fn reads(&self, variable: usize) -> bool {
        self.used.get(variable).copied().unwrap_or_default()
    }

    /// Evaluates it over `variables`: values and their types, in the order of [`Expression::compile`].
    /// The budget pays. What is absent is null, or an optional without a value where that is the type.
    ///
    /// # Errors
    /// The evaluation has no result, or the budget does not suffice.
    pub fn evaluate(&self, variables: &[(Option<&Json>, &Type)], budget: &mut Budget) -> Result<Outcome, Fault> {
        let given = budget.for_one();
        let values = variables.iter().map(|(json, of)| variable(*json, of)).collect::<Result<Vec<_>, _>>()?;
        let mut evaluation = Evaluation { variables: values, left: given };
        let result = evaluation.value(&self.node);
        budget.left -= given - evaluation.left;
        Ok(match result? {
            Value::Bool(value) => Outcome::Bool(value),
            Value::Text(text) => Outcome::Text(text.as_str().to_owned()),
            _ => Outcome::Other,
        })
    }
}

fn variable<'a>(json: Option<&'a Json>, of: &'a Type) -> Result<Value<'a>, Fault> {
    match of {
        Type::Optional(of) => Ok(Value::Optional(json.map(|json| Value::of(json, of)).transpose()?.map(Arc::new))),
        of => json.map_or(Ok(Value::Null), |json| Value::of(json, of)),
    }
}
