//! From a patch request to the patched value, with Kubernetes' answers to what does not fit.

use everynode_api::kinds::KindInfo;
use everynode_api::patch::strategic::BuiltIn;
use everynode_api::patch::{self, PatchError};
use everynode_api::ports::PatchType;
use everynode_api::status::Status;
use serde_json::Value;

/// Applies a patch to an object in the form of the kind asked for.
pub(crate) fn apply(info: &KindInfo, form: PatchType, body: &Value, value: Value) -> Result<Value, Status> {
    let patched = match form {
        PatchType::Json => patch::json::apply(&value, body),
        PatchType::Merge if body.is_object() => Ok(patch::merge::apply(value, body.clone())),
        PatchType::Strategic if body.is_object() => {
            patch::strategic::apply(value, body.clone(), BuiltIn::for_kind(&info.kind.group, &info.kind.kind))
        }
        PatchType::Merge | PatchType::Strategic => {
            Err(PatchError::Malformed("the patch must be a JSON object".to_owned()))
        }
    };
    patched.map_err(|error| refused(&error))
}

fn refused(error: &PatchError) -> Status {
    match error {
        PatchError::Malformed(text) => Status::bad_request(text.clone()),
        PatchError::TooLarge(text) => Status::failure(413, "RequestEntityTooLarge", text.clone()),
        PatchError::Unprocessable(text) => Status::failure(
            422,
            "Invalid",
            format!("the server rejected our request due to an error in our request: {text}"),
        ),
    }
}
