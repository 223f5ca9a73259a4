//! Field selectors: `metadata.name=a,spec.nodeName!=b` (DS-I36).
//!
//! In values `\`, `,` and `=` are escaped with a backslash. An absent field counts as the empty
//! string.

use std::fmt;

use crate::field::go_quote;

/// One comparison of one field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldTerm {
    pub field: String,
    pub value: String,
    /// `false` for `!=`.
    pub equal: bool,
}

/// A conjunction of comparisons; empty selects everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FieldSelector {
    pub terms: Vec<FieldTerm>,
}

impl FieldSelector {
    /// Parses the query-string syntax. The error is Kubernetes' text.
    pub fn parse(text: &str) -> Result<FieldSelector, String> {
        let terms = split_terms(text)
            .filter(|term| !term.is_empty())
            .map(|term| parse_term(term, text))
            .collect::<Result<_, _>>()?;
        Ok(FieldSelector { terms })
    }

    /// Refuses fields that the resource does not index: the 400 of DS-I36. Kinds that are selected
    /// by their own fields say so in other words than those that are selected by metadata only.
    pub fn check_supported(&self, supported: &[&str], of_its_own: bool) -> Result<(), String> {
        match self.terms.iter().find(|term| !supported.contains(&term.field.as_str())) {
            Some(term) if of_its_own => Err(format!("field label not supported: {}", term.field)),
            Some(term) => Err(format!(
                "{} is not a known field selector: only \"metadata.name\", \"metadata.namespace\"",
                go_quote(&term.field)
            )),
            None => Ok(()),
        }
    }

    /// Whether an object whose field `name` reads `field(name)` is selected.
    pub fn matches<'a>(&self, field: impl Fn(&str) -> Option<&'a str>) -> bool {
        self.terms.iter().all(|term| (field(&term.field).unwrap_or("") == term.value) == term.equal)
    }

    pub fn is_everything(&self) -> bool {
        self.terms.is_empty()
    }

    /// The one value that `field` must have, if the selector says so: what an index can use.
    pub fn exact(&self, field: &str) -> Option<&str> {
        self.terms.iter().find(|term| term.equal && term.field == field).map(|term| term.value.as_str())
    }
}

/// Splits at commas that are not escaped.
fn split_terms(text: &str) -> impl Iterator<Item = &str> {
    let mut escaped = false;
    text.split(move |c: char| {
        let separates = c == ',' && !escaped;
        escaped = c == '\\' && !escaped;
        separates
    })
}

fn parse_term(term: &str, whole: &str) -> Result<FieldTerm, String> {
    let operator = term.find("!=").into_iter().chain(term.find('=')).min();
    let Some(at) = operator else {
        return Err(format!("invalid selector: '{whole}'; can't understand '{term}'"));
    };
    let (field, rest) = term.split_at(at);
    let (equal, value) = match rest.strip_prefix("!=") {
        Some(value) => (false, value),
        None => (true, rest.strip_prefix("==").unwrap_or(&rest[1..])),
    };
    Ok(FieldTerm { field: field.to_owned(), value: unescape(value)?, equal })
}

fn unescape(value: &str) -> Result<String, String> {
    let mut plain = String::with_capacity(value.len());
    let mut chars = value.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => plain.push(escaped(chars.next())?),
            // Go prints the rune as a number.
            ',' | '=' => {
                return Err(format!("invalid field selector: unescaped character in value: {}", u32::from(c)));
            }
            _ => plain.push(c),
        }
    }
    Ok(plain)
}

fn escaped(next: Option<char>) -> Result<char, String> {
    match next {
        Some(c @ ('\\' | ',' | '=')) => Ok(c),
        Some(c) => Err(format!("invalid field selector: invalid escape sequence: \\{c}")),
        None => Err("invalid field selector: invalid escape sequence: \\".to_owned()),
    }
}

fn escape(value: &str) -> String {
    let mut text = String::with_capacity(value.len());
    for c in value.chars() {
        if matches!(c, '\\' | ',' | '=') {
            text.push('\\');
        }
        text.push(c);
    }
    text
}

impl fmt::Display for FieldSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, term) in self.terms.iter().enumerate() {
            let comma = if position > 0 { "," } else { "" };
            let operator = if term.equal { "=" } else { "!=" };
            write!(f, "{comma}{}{operator}{}", term.field, escape(&term.value))?;
        }
        Ok(())
    }
}
