//! What goes wrong: when a rule is compiled, and when it is evaluated.

use std::fmt;

/// Why an expression is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CompileError {
    /// It is no expression; the text draws the place.
    #[error("compilation failed: {0}")]
    Syntax(String),
    /// Its parts do not fit together.
    #[error("compilation failed: ERROR: <input>: {0}")]
    Types(String),
    /// It is longer, or nested deeper, than anything that this server evaluates.
    #[error("{0}")]
    TooLarge(String),
}

/// Why an evaluation has no result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The budget is spent.
    Budget,
    /// Operands have types that no operator or function takes.
    NoOverload,
    /// Anything else, in the original's words as far as they are known.
    Other(String),
}

impl fmt::Display for Fault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Budget => formatter.write_str("operation cancelled: actual cost limit exceeded"),
            Fault::NoOverload => formatter.write_str("no such overload"),
            Fault::Other(text) => formatter.write_str(text),
        }
    }
}

impl Fault {
    pub(crate) fn no_such_key(key: &str) -> Fault {
        Fault::Other(format!("no such key: {key}"))
    }

    pub(crate) fn no_such_index(index: i64) -> Fault {
        Fault::Other(format!("index out of bounds: {index}"))
    }
}
