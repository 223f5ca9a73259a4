//! From text to syntax, in bounds that keep every walk through it off the end of the stack.

use std::thread;

use kube_cel::cel::common::ast::{EntryExpr, Expr, IdedExpr};
use kube_cel::cel::parser::{ParseErrors, Parser};

use crate::fault::CompileError;

/// The longest expression, in bytes.
const LENGTH_MAX: usize = 16 << 10;
/// The deepest, in nodes.
const DEPTH_MAX: usize = 64;
/// The parser descends a dozen functions for each level of brackets.
const PARSER_STACK_BYTES: usize = 32 << 20;

/// Parses on a thread with room for the parser, and for dropping what is too deep.
pub(crate) fn parse(text: &str) -> Result<IdedExpr, CompileError> {
    if text.len() > LENGTH_MAX {
        let detail = format!("rules of more than {LENGTH_MAX} bytes are not supported by this server");
        return Err(CompileError::TooLarge(detail));
    }
    let parse = || {
        let parser = Parser::new().enable_optional_syntax(true);
        let expression = parser.parse(text).map_err(|errors| CompileError::Syntax(drawn(text, &errors)))?;
        match is_too_deep(&expression) {
            true => {
                let detail = format!("rules nested deeper than {DEPTH_MAX} are not supported by this server");
                Err(CompileError::TooLarge(detail))
            }
            false => Ok(expression),
        }
    };
    let failed = || CompileError::Syntax("the parser stopped".to_owned());
    thread::scope(|scope| {
        let started = thread::Builder::new().stack_size(PARSER_STACK_BYTES).spawn_scoped(scope, parse);
        started.map_err(|_| failed())?.join().map_err(|_| failed())?
    })
}

/// Each error with the line that it is on and a mark below the place, as the original draws it.
fn drawn(text: &str, errors: &ParseErrors) -> String {
    let draw = |(line, column): (isize, isize), message: &str| {
        let start = format!("ERROR: <input>:{line}:{column}: {message}");
        let shown = usize::try_from(line - 1).ok().and_then(|line| text.lines().nth(line));
        let before = ".".repeat(usize::try_from(column - 1).unwrap_or_default());
        shown.map_or(start.clone(), |shown| format!("{start}\n | {shown}\n | {before}^"))
    };
    errors.errors.iter().map(|error| draw(error.pos, &error.msg)).collect::<Vec<_>>().join("\n")
}

fn is_too_deep(expression: &IdedExpr) -> bool {
    let mut left = vec![(expression, 1)];
    while let Some((expression, depth)) = left.pop() {
        if depth > DEPTH_MAX {
            return true;
        }
        left.extend(parts(&expression.expr).into_iter().map(|part| (part, depth + 1)));
    }
    false
}

fn parts(expression: &Expr) -> Vec<&IdedExpr> {
    match expression {
        Expr::Call(call) => call.target.as_deref().into_iter().chain(&call.args).collect(),
        Expr::Comprehension(of) => {
            vec![&of.iter_range, &of.accu_init, &of.loop_cond, &of.loop_step, &of.result]
        }
        Expr::List(list) => list.elements.iter().collect(),
        Expr::Map(map) => map.entries.iter().flat_map(|entry| entry_parts(&entry.expr)).collect(),
        Expr::Struct(of) => of.entries.iter().flat_map(|entry| entry_parts(&entry.expr)).collect(),
        Expr::Select(select) => vec![&select.operand],
        Expr::Ident(_) | Expr::Literal(_) | Expr::Unspecified => Vec::new(),
    }
}

fn entry_parts(entry: &EntryExpr) -> Vec<&IdedExpr> {
    match entry {
        EntryExpr::StructField(field) => vec![&field.value],
        EntryExpr::MapEntry(entry) => vec![&entry.key, &entry.value],
    }
}
