//! The query-string syntax of label selectors (DS-I37):
//!
//! ```text
//! selector    = [ requirement { "," requirement } ]
//! requirement = [ "!" ] key  |  key comparison value  |  key ("in" | "notin") "(" values ")"
//! comparison  = "=" | "==" | "!=" | ">" | "<"
//! ```
//!
//! `in` and `notin` are words of the grammar only where an operator is expected. Values may be
//! empty.

use super::{Operator, Requirement};
use crate::field::{FieldError, Path, aggregate};
use crate::names;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Token<'a> {
    End,
    Comma,
    Open,
    Close,
    Not,
    Comparison(Operator, &'a str),
    /// A key, a value, or the operators `in` and `notin`.
    Word(&'a str),
}

impl<'a> Token<'a> {
    /// How error messages quote it.
    fn literal(self) -> &'a str {
        match self {
            Token::End => "",
            Token::Comma => ",",
            Token::Open => "(",
            Token::Close => ")",
            Token::Not => "!",
            Token::Comparison(_, text) | Token::Word(text) => text,
        }
    }
}

const SPECIAL: [char; 7] = ['=', '!', '(', ')', ',', '>', '<'];
const SPACE: [char; 4] = [' ', '\t', '\r', '\n'];

/// Cuts the next token off `rest`.
fn next_token<'a>(rest: &mut &'a str) -> Token<'a> {
    *rest = rest.trim_start_matches(SPACE);
    let Some(first) = rest.chars().next() else {
        return Token::End;
    };
    let length = match SPECIAL.contains(&first) {
        true => special_length(rest),
        false => rest.find(|c| SPECIAL.contains(&c) || SPACE.contains(&c)).unwrap_or(rest.len()),
    };
    let (text, tail) = rest.split_at(length);
    *rest = tail;
    token(text)
}

/// The longest operator at the start of `text`; each special character alone is one.
fn special_length(text: &str) -> usize {
    match text.get(..2) {
        Some("==" | "!=") => 2,
        _ => 1,
    }
}

fn token(text: &str) -> Token<'_> {
    match text {
        "," => Token::Comma,
        "(" => Token::Open,
        ")" => Token::Close,
        "!" => Token::Not,
        "=" => Token::Comparison(Operator::Equals, text),
        "==" => Token::Comparison(Operator::DoubleEquals, text),
        "!=" => Token::Comparison(Operator::NotEquals, text),
        ">" => Token::Comparison(Operator::GreaterThan, text),
        "<" => Token::Comparison(Operator::LessThan, text),
        _ => Token::Word(text),
    }
}

struct Parser<'a> {
    rest: &'a str,
    next: Token<'a>,
}

impl<'a> Parser<'a> {
    fn new(text: &'a str) -> Parser<'a> {
        let mut rest = text;
        let next = next_token(&mut rest);
        Parser { rest, next }
    }

    fn take(&mut self) -> Token<'a> {
        let next = next_token(&mut self.rest);
        std::mem::replace(&mut self.next, next)
    }

    fn requirement(&mut self) -> Result<Requirement, String> {
        let negated = self.next == Token::Not;
        if negated {
            self.take();
        }
        let key = self.word("identifier")?;
        let complaints = names::qualified_name(key);
        if !complaints.is_empty() {
            return Err(FieldError::invalid(&Path::nil(), key, complaints.join("; ")).to_string());
        }
        let (operator, values) = match self.next {
            _ if negated => (Operator::DoesNotExist, Vec::new()),
            Token::End | Token::Comma => (Operator::Exists, Vec::new()),
            _ => self.comparison()?,
        };
        Requirement::new(key, operator, &values, &Path::nil()).map_err(|errors| aggregate(&errors))
    }

    fn comparison(&mut self) -> Result<(Operator, Vec<&'a str>), String> {
        match self.take() {
            Token::Comparison(operator, _) => Ok((operator, vec![self.exact_value()?])),
            Token::Word("in") => Ok((Operator::In, self.values()?)),
            Token::Word("notin") => Ok((Operator::NotIn, self.values()?)),
            other => Err(format!("found '{}', expected: in, notin, =, ==, !=, gt, lt", other.literal())),
        }
    }

    fn exact_value(&mut self) -> Result<&'a str, String> {
        match self.next {
            Token::End | Token::Comma => Ok(""),
            _ => self.word("identifier"),
        }
    }

    fn word(&mut self, expected: &str) -> Result<&'a str, String> {
        match self.take() {
            Token::Word(word) => Ok(word),
            other => Err(format!("found '{}', expected: {expected}", other.literal())),
        }
    }

    fn values(&mut self) -> Result<Vec<&'a str>, String> {
        match self.take() {
            Token::Open => self.value_list(),
            other => Err(format!("found '{}' expected: '('", other.literal())),
        }
    }

    /// Values up to and with the closing parenthesis; between two separators stands the empty
    /// value.
    fn value_list(&mut self) -> Result<Vec<&'a str>, String> {
        let mut values = Vec::new();
        loop {
            match self.next {
                Token::Word(word) => {
                    self.take();
                    values.push(word);
                }
                Token::Comma | Token::Close => values.push(""),
                other => return Err(format!("found '{}', expected: ',', ')' or identifier", other.literal())),
            }
            match self.take() {
                Token::Comma => {}
                Token::Close => return Ok(values),
                other => return Err(format!("found '{}', expected: ',' or ')'", other.literal())),
            }
        }
    }
}

/// The requirements of `text`, in the order written.
pub(super) fn requirements(text: &str) -> Result<Vec<Requirement>, String> {
    let mut parser = Parser::new(text);
    let mut requirements = Vec::new();
    match parser.next {
        Token::End => return Ok(requirements),
        Token::Word(_) | Token::Not => {}
        other => {
            return Err(format!("found '{}', expected: !, identifier, or 'end of string'", other.literal()));
        }
    }
    loop {
        let requirement = parser.requirement().map_err(|error| format!("unable to parse requirement: {error}"))?;
        requirements.push(requirement);
        match parser.take() {
            Token::End => return Ok(requirements),
            Token::Comma => {}
            other => return Err(format!("found '{}', expected: ',' or 'end of string'", other.literal())),
        }
        if !matches!(parser.next, Token::Word(_) | Token::Not) {
            return Err(format!("found '{}', expected: identifier after ','", parser.next.literal()));
        }
    }
}
