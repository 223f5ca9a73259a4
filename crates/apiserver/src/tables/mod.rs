//! Server-side tables.

use everynode_api::kinds::KindInfo;
use serde_json::Value;

/// What each row carries of its object (`includeObject`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum IncludeObject {
    None,
    Metadata,
    Object,
}

pub(crate) fn table(
    _kind: &KindInfo,
    _items: Vec<Value>,
    list_meta: Value,
    _include: IncludeObject,
    _with_columns: bool,
    _now: jiff::Timestamp,
) -> Value {
    list_meta
}
