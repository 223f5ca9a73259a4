//! Patch: the change is applied to the newest state, again if somebody else wrote in between (DS-I13).

use bytes::Bytes;
use everynode_api::decode::{BODY_BYTES_MAX, DecodeError, Decoded, decode, strict_error};
use everynode_api::ports::PatchType;
use everynode_api::status::Status;
use serde_json::Value;

use super::update::{Attempt, check_name};
use super::{Caller, Registry, Reply, Target, WRITE_ATTEMPTS, events};
use crate::schema::FieldValidation;
use crate::{object, patching, schema};

/// A patch as it came.
pub(crate) enum PatchBody {
    Bytes(PatchType, Bytes),
    Value(PatchType, Value),
}

impl PatchBody {
    /// Its form, what it says, and which members it has twice.
    fn parse(self) -> Result<(PatchType, Value, Vec<String>), Status> {
        match self {
            PatchBody::Value(form, value) => Ok((form, value, Vec::new())),
            PatchBody::Bytes(form, bytes) => match decode(&bytes, BODY_BYTES_MAX) {
                Ok(Decoded { value, duplicates }) => Ok((form, value, duplicates)),
                Err(DecodeError::TooLarge { bytes_max }) => Err(Status::too_large(bytes_max)),
                Err(DecodeError::Malformed(why)) => Err(Status::bad_request(format!("error decoding patch: {why}"))),
            },
        }
    }
}

impl Registry {
    /// Applies a patch to an object or a subresource of it.
    pub(crate) async fn patch(&self, caller: &Caller<'_>, target: &Target, body: PatchBody) -> Result<Reply, Status> {
        let (form, patch, duplicates) = body.parse()?;
        if caller.validation == FieldValidation::Strict && !duplicates.is_empty() {
            return Err(self.unreadable(target, form, &patch, strict_error(&duplicates)));
        }
        if caller.validation == FieldValidation::Warn {
            caller.warn(duplicates);
        }
        for _ in 0..WRITE_ATTEMPTS {
            let (kv, old) = self.current_value(target)?;
            let shown = events::to_external(target.info, old.clone());
            let before = object::meta(&shown, "resourceVersion").to_owned();
            let patched = patching::apply(target.info, form, &patch, shown)?;
            // A patch that names a resourceVersion insists on it; otherwise it carries the one that was read.
            let insists = object::meta(&patched, "resourceVersion") != before;
            let decoded = schema::decode_value(&target.info.kind, patched, caller.validation);
            let (new, warnings) = decoded.map_err(|refusal| match patching::reason(&refusal) {
                Some(reason) => self.unreadable(target, form, &patch, reason.to_owned()),
                None => refusal,
            })?;
            caller.warn(warnings);
            check_name(target, &new)?;
            let new = events::to_stored(target.info, new);
            match self.write_over(caller, target, new, &kv, old).await {
                Ok(Attempt::Done(reply)) => return Ok(reply),
                Ok(Attempt::Raced) if insists => break,
                Ok(Attempt::Raced) => {}
                Err(status) => return Err(status),
            }
        }
        Err(Status::modified(&target.info.kind, &target.name))
    }
}

impl Registry {
    /// The refusal shows the patched object, which is made once more for it: the way of most has no copy.
    fn unreadable(&self, target: &Target, form: PatchType, patch: &Value, reason: String) -> Status {
        let patched = self
            .current_value(target)
            .and_then(|(_, old)| patching::apply(target.info, form, patch, events::to_external(target.info, old)));
        let shown = patched.map(|patched| patched.to_string()).unwrap_or_default();
        patching::unreadable(form, patch, &shown, &reason)
    }
}
