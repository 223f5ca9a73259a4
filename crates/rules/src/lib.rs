//! Rules in CEL, the expression language that schemas of custom resources and admission policies
//! are written in: types, cost and evaluation.
//!
//! The crates `cel` and `kube-cel` parse expressions and carry the functions. What they lack is
//! here, because a server runs the rules of strangers: types are checked before a rule is accepted
//! ([`Type`], [`Expression::compile`]), its worst cost is estimated from the bounds of the schema
//! ([`Expression::cost`]), and evaluation counts what it does and stops at a [`Budget`]. Values are
//! read in place from JSON; nothing is copied that a rule does not ask for.
//!
//! All of it is pure: no clock, no randomness, no I/O. Reading order: [`Type`], `functions.rs`
//! (what can be called), `lower.rs` (from syntax to a [`Node`](node::Node)), `value.rs`,
//! `evaluate.rs`, `library.rs` (calls of `kube-cel`).

mod cost;
mod equality;
mod evaluate;
mod expression;
mod fault;
mod functions;
mod library;
mod lower;
mod native;
mod node;
mod operators;
mod syntax;
mod types;
mod value;

pub use cost::{Budget, COST_MAX_ONE, COST_MAX_SCHEMA, excess};
pub use expression::{Expression, Outcome};
pub use fault::{CompileError, Fault};
pub use types::{Field, Object, REQUEST_BYTES_MAX, Type, escaped};

#[cfg(test)]
mod tests;
