//! OpenAPI documents.

use crate::discovery::Answer;

pub(crate) fn respond(_path: &str, _query: &str, _accept: &str) -> Option<Answer> {
    None
}
