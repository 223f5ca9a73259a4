//! Discovery: which groups, versions and resources are served.

use bytes::Bytes;

/// A finished answer to a GET. `etag` is without quotes' interpretation: compare it with `If-None-Match` as it is.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) content_type: &'static str,
    pub(crate) etag: Option<String>,
    pub(crate) body: Bytes,
}

pub(crate) fn respond(_path: &str, _accept: &str) -> Option<Answer> {
    None
}
