//! Patches with their preconditions.

use everynode_api::kinds::Kind;
use everynode_api::patch::strategic::{self, BuiltIn};
use everynode_api::patch::{PatchError, json, merge};
use everynode_api::ports::{ApiError, PatchType, Preconditions};
use everynode_api::status::Status;
use serde_json::Value;

/// The object after the patch; preconditions become part of it, as they do in a merge patch.
pub(super) fn apply(
    kind: &Kind,
    object: Value,
    patch: PatchType,
    body: Value,
    preconditions: &Preconditions,
) -> Result<Value, ApiError> {
    let mut object = match patch {
        PatchType::Json => json::apply(&object, &body).map_err(refused)?,
        PatchType::Merge => merge::apply(object, body),
        PatchType::Strategic => {
            strategic::apply(object, body, BuiltIn::for_kind(&kind.group, &kind.kind)).map_err(refused)?
        }
    };
    if let Some(uid) = &preconditions.uid {
        object["metadata"]["uid"] = uid.as_str().into();
    }
    if let Some(revision) = preconditions.resource_version {
        object["metadata"]["resourceVersion"] = revision.to_string().into();
    }
    Ok(object)
}

fn refused(error: PatchError) -> ApiError {
    let status = match error {
        PatchError::Malformed(text) => Status::bad_request(text),
        PatchError::TooLarge(text) => Status::failure(413, "RequestEntityTooLarge", text),
        PatchError::Unprocessable(text) | PatchError::NotUnderstood(text) => Status::failure(422, "Invalid", text),
    };
    status.into()
}
