//! Reading YAML as kubectl and the API server read it: YAML 1.1 scalars (`0755` is octal, `yes` is
//! true), keys that become text, merge keys, and numbers in the form that JSON from Go has (`30.0`
//! is `30`).
//!
//! Go's library turns YAML into JSON first; everything later sees JSON only. So does this module.

mod build;
mod number;
mod scalar;

#[cfg(test)]
mod tests;

use granit_parser::{Event, Parser, ScanError};
use serde_json::Value;

pub use self::number::shorten;

/// Deepest nesting of lists and maps, as for JSON.
const DEPTH_MAX: usize = 128;
/// Values that all aliases of a text may be replaced by. The rest of a text is bounded by its own
/// length.
const ALIASED_VALUES_MAX: usize = 100_000;

/// A document of a YAML text.
#[derive(Debug, PartialEq)]
pub struct Document {
    /// `Null` for one without content.
    pub value: Value,
    /// One text per key given more than once in a map, in the form `line 4: key "x" already set in
    /// map`. The last one counts.
    pub duplicates: Vec<String>,
}

/// Why a text is no YAML, in the words of Go's library where they matter: `line 4: …`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum YamlError {
    #[error("line {line}: {message}")]
    Syntax { line: usize, message: String },
    /// A value that JSON has not, or that does not fit its tag.
    #[error("line {line}: {message}")]
    Value { line: usize, message: String },
    #[error("line {line}: nested deeper than {DEPTH_MAX} levels")]
    TooDeep { line: usize },
    #[error("line {line}: aliases stand for more than {ALIASED_VALUES_MAX} values")]
    TooManyAliases { line: usize },
}

impl YamlError {
    fn syntax(error: &ScanError) -> YamlError {
        YamlError::Syntax { line: error.marker().line(), message: error.info() }
    }
}

/// Reads every document of a text, in order. The caller bounds the text's length.
pub fn decode_all(text: &str) -> Result<Vec<Document>, YamlError> {
    let limits = granit_parser::options! { flow_nesting_limit: DEPTH_MAX, block_nesting_limit: DEPTH_MAX };
    let mut documents = Vec::new();
    let mut builder = build::Builder::default();
    for next in Parser::new_from_str_with_options(text, limits) {
        let (event, span) = next.map_err(|error| YamlError::syntax(&error))?;
        match event {
            Event::DocumentEnd => documents.push(std::mem::take(&mut builder).finish()),
            event => builder.add(event, span.start.line())?,
        }
    }
    Ok(documents)
}

/// Reads the first document, as the API server does with a body; `Null` if there is none.
pub fn decode(text: &str) -> Result<Document, YamlError> {
    let first = decode_all(text)?.into_iter().next();
    Ok(first.unwrap_or(Document { value: Value::Null, duplicates: Vec::new() }))
}
