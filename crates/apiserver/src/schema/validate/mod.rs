use everynode_api::field::FieldError;
use everynode_api::kinds::KindInfo;
use serde_json::Value;
pub(crate) fn validate_create(_kind: &KindInfo, _value: &Value) -> Vec<FieldError> {
    Vec::new()
}
pub(crate) fn validate_update(_kind: &KindInfo, _new: &Value, _old: &Value) -> Vec<FieldError> {
    Vec::new()
}
pub(crate) fn validate_status_update(_kind: &KindInfo, _new: &Value, _old: &Value) -> Vec<FieldError> {
    Vec::new()
}
