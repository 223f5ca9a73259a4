//! The three patch languages of the API (DS-I13), as pure functions on JSON values.
//!
//! [`json`] is RFC 6902, [`merge`] RFC 7386, [`strategic`] Kubernetes' own, which knows from a
//! schema how each list merges and whose differ computes what `kubectl apply` sends. Server-side
//! apply is not here.

pub mod json;
pub mod merge;
pub mod strategic;

use serde_json::Value;

/// Deepest nesting that a patched object may reach, counted in maps and lists; the reader's own
/// bound. Every recursion over values relies on it.
pub const DEPTH_MAX: usize = 128;

/// Why a patch was not applied. The variants say which answer the client gets.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PatchError {
    /// The patch itself is not well-formed: 400.
    #[error("{0}")]
    Malformed(String),
    /// The patch asks for more work than is allowed: 413.
    #[error("{0}")]
    TooLarge(String),
    /// The patch is well-formed and does not fit the object: 422.
    #[error("{0}")]
    Unprocessable(String),
    /// A strategic merge patch that Kubernetes does not understand; it takes that for a failure of
    /// its own: 500.
    #[error("{0}")]
    NotUnderstood(String),
}

impl PatchError {
    fn malformed(text: impl Into<String>) -> PatchError {
        PatchError::Malformed(text.into())
    }

    fn not_understood(text: impl Into<String>) -> PatchError {
        PatchError::NotUnderstood(text.into())
    }

    fn unprocessable(text: impl Into<String>) -> PatchError {
        PatchError::Unprocessable(text.into())
    }
}

/// A value as Go prints maps and lists: `map[a:1 b:[x <nil>]]`.
pub fn go_print(value: &Value) -> String {
    match value {
        Value::Null => "<nil>".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(items) => go_print_list(items),
        Value::Object(members) => {
            let members: Vec<String> =
                members.iter().map(|(name, value)| format!("{name}:{}", go_print(value))).collect();
            format!("map[{}]", members.join(" "))
        }
        other => other.to_string(),
    }
}

fn go_print_list(items: &[Value]) -> String {
    format!("[{}]", items.iter().map(go_print).collect::<Vec<_>>().join(" "))
}

/// How many maps and lists are nested in `value`: 0 for a scalar.
fn depth(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        Value::Object(members) => 1 + members.values().map(depth).max().unwrap_or(0),
        _ => 0,
    }
}
