//! Validation with Kubernetes' own paths, reasons and words (docs/requirements.md, A; DS-A37,
//! DS-I42, DS-I43).
//!
//! Every function expects decoded and defaulted objects: types are right, canonical forms are in
//! place. One function per kind and occasion; the shared checks are in [`check`], pods and
//! templates in [`pod`].

pub(super) mod certificates;
mod check;
pub(super) mod core;
pub(super) mod daemon_set;
pub(super) mod devices;
pub(super) mod endpoints;
pub(super) mod event;
pub(super) mod limits;
mod metadata;
pub(super) mod network;
pub(super) mod node;
pub(super) mod pod;
pub(super) mod policy;
pub(super) mod service;
pub(super) mod storage;
#[cfg(test)]
mod tests;
pub(super) mod volumes;

use everynode_api::field::FieldError;
use serde_json::Value;

use crate::catalogue::Row;

/// Every mistake of a new object, metadata included.
pub(crate) fn validate_create(info: &Row, value: &Value) -> Vec<FieldError> {
    let mut errors = metadata::metadata(&info.kind, value);
    errors.extend((info.rules.check_new)(value));
    if let Some(custom) = &info.custom {
        let mut found = custom.check(&info.kind, value);
        custom.check_rules(value, None, &mut found);
        errors.extend(found);
    }
    errors
}

/// Every mistake of an update of the main resource, what may not change included (DS-A25, DS-D40,
/// DS-H22).
pub(crate) fn validate_update(info: &Row, new: &Value, old: &Value) -> Vec<FieldError> {
    let mut errors = metadata::update(new, old);
    let given = metadata::metadata(&info.kind, new);
    if !(errors.is_empty() && given.is_empty()) {
        // Kubernetes looks at metadata twice in an update, and once more in the object.
        errors.extend(metadata::common(new));
        errors.extend_from_within(..);
        errors.extend(given);
    }
    errors.extend((info.rules.check_update)(new, old));
    errors.extend(new_mistakes(info, new, old));
    errors
}

/// Every mistake of an update of `status` (DS-A39).
pub(crate) fn validate_status_update(info: &Row, new: &Value, old: &Value) -> Vec<FieldError> {
    let mut errors = metadata::update(new, old);
    errors.extend((info.rules.check_status)(new, old));
    errors.extend(new_mistakes(info, new, old));
    errors
}

/// The mistakes of a changed custom object. What was there before is no obstacle to other changes.
fn new_mistakes(info: &Row, new: &Value, old: &Value) -> Vec<FieldError> {
    let Some(custom) = &info.custom else { return Vec::new() };
    let mut errors = custom.check(&info.kind, new);
    if !errors.is_empty() {
        let before = custom.check(&info.kind, old);
        errors.retain(|error| !before.contains(error));
    }
    custom.check_rules(new, Some(old), &mut errors);
    errors
}
