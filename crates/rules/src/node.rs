//! An expression that was checked: names are resolved, macros are loops, patterns are compiled.

use std::sync::Arc;

use regex::Regex;

#[derive(Clone, Debug)]
pub(crate) enum Literal {
    Null,
    Bool(bool),
    Int(i64),
    Uint(u64),
    Double(f64),
    Text(Arc<str>),
    Bytes(Arc<[u8]>),
    TypeName(&'static str),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operator {
    Add,
    Subtract,
    Multiply,
    Divide,
    Modulo,
    Equal,
    NotEqual,
    Less,
    LessEqual,
    Greater,
    GreaterEqual,
    In,
}

/// What a loop over a list or the keys of a map makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Loop {
    All,
    Exists,
    ExistsOne,
    /// The body's value of each item that passes the filter.
    Map,
    /// A map with the old keys and the body's values.
    TransformMap,
}

#[derive(Debug)]
pub(crate) enum Node {
    Literal(Literal),
    /// By its place among the variables in scope.
    Variable(usize),
    Select {
        from: Box<Node>,
        name: String,
    },
    Has {
        from: Box<Node>,
        name: String,
    },
    OptionalSelect {
        from: Box<Node>,
        name: String,
    },
    Index {
        from: Box<Node>,
        at: Box<Node>,
    },
    OptionalIndex {
        from: Box<Node>,
        at: Box<Node>,
    },
    Not(Box<Node>),
    Negate(Box<Node>),
    And(Box<[Node; 2]>),
    Or(Box<[Node; 2]>),
    Conditional(Box<[Node; 3]>),
    Binary(Operator, Box<[Node; 2]>),
    /// Items, and whether each is an optional that is left out if it is empty.
    List(Vec<(Node, bool)>),
    Map(Vec<(Node, Node, bool)>),
    /// The place of the first variable is `slot`; with two, the second follows.
    Loop {
        kind: Loop,
        range: Box<Node>,
        slot: usize,
        has_two: bool,
        filter: Option<Box<Node>>,
        body: Box<Node>,
    },
    /// `optMap` and `optFlatMap`.
    OptionalMap {
        from: Box<Node>,
        slot: usize,
        is_flat: bool,
        body: Box<Node>,
    },
    /// `matches` by a pattern that stands in the rule.
    Matches(Box<Node>, Regex, u64),
    /// The operands begin with what a method is called on.
    Call {
        function: &'static crate::functions::Function,
        operands: Vec<Node>,
    },
}
