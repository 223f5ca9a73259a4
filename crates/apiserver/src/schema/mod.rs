//! What Kubernetes knows of each kind's shape.

use everynode_api::field::FieldError;
use everynode_api::kinds::KindInfo;
use everynode_api::status::Status;
use serde_json::Value;

/// What to do with unknown and duplicate fields (DS-I40).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum FieldValidation {
    Ignore,
    Warn,
    Strict,
}

/// The encoding of a request body.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Media {
    Json,
    Yaml,
}

pub(crate) fn decode(
    _kind: &KindInfo,
    body: &[u8],
    _media: Media,
    _mode: FieldValidation,
) -> Result<(Value, Vec<String>), Status> {
    let value = serde_json::from_slice(body).map_err(|error| Status::bad_request(error.to_string()))?;
    Ok((value, Vec::new()))
}

pub(crate) fn decode_value(
    _kind: &KindInfo,
    value: Value,
    _mode: FieldValidation,
) -> Result<(Value, Vec<String>), Status> {
    Ok((value, Vec::new()))
}

pub(crate) fn default(_kind: &KindInfo, _value: &mut Value) {}

pub(crate) fn validate_create(_kind: &KindInfo, _value: &Value) -> Vec<FieldError> {
    Vec::new()
}

pub(crate) fn validate_update(_kind: &KindInfo, _new: &Value, _old: &Value) -> Vec<FieldError> {
    Vec::new()
}

pub(crate) fn validate_status_update(_kind: &KindInfo, _new: &Value, _old: &Value) -> Vec<FieldError> {
    Vec::new()
}

pub(crate) fn semantic_eq(a: &Value, b: &Value) -> bool {
    a == b
}
