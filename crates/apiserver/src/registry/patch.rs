//! Patch: the change is applied to the newest state, again if another client wrote in between
//! (DS-I13).

use bytes::Bytes;
use everynode_api::decode::{BODY_BYTES_MAX, DecodeError, Decoded, decode, strict_error};
use everynode_api::kinds::POD;
use everynode_api::ports::PatchType;
use everynode_api::status::Status;
use everynode_store::KeyValue;
use serde_json::Value;

use super::kinds::pod::is_terminal;
use super::update::Read;
use super::{Applied, Caller, Registry, Reply, Target, WRITE_ATTEMPTS, events};
use crate::catalogue::Action;
use crate::schema::FieldValidation;
use crate::{object, patching, schema, stored};

/// Custom resources have no Go types, whose tags say how a strategic merge is to be done.
pub(crate) const PATCHES_OF_CUSTOM: &str =
    "application/json-patch+json, application/merge-patch+json, application/apply-patch+yaml";

/// A patch as it came.
pub(crate) enum PatchBody {
    Bytes(PatchType, Bytes),
    Value(PatchType, Value),
}

/// What a PATCH is.
pub(crate) enum Change {
    Patch(PatchBody),
    Apply(Applied),
}

impl PatchBody {
    pub(crate) fn form(&self) -> PatchType {
        match self {
            PatchBody::Bytes(form, _) | PatchBody::Value(form, _) => *form,
        }
    }

    /// What it says, and which members it has twice.
    pub(crate) fn read(&self) -> Result<(Value, Vec<String>), Status> {
        match self {
            PatchBody::Value(_, value) => Ok((value.clone(), Vec::new())),
            PatchBody::Bytes(_, bytes) => match decode(bytes, BODY_BYTES_MAX) {
                Ok(Decoded { value, duplicates }) => Ok((value, duplicates)),
                Err(DecodeError::TooLarge { bytes_max }) => Err(Status::too_large(bytes_max)),
                Err(DecodeError::Malformed(why)) => Err(Status::bad_request(format!("error decoding patch: {why}"))),
            },
        }
    }
}

impl Registry {
    /// Applies a patch to an object or a subresource of it.
    pub(crate) async fn patch(&self, caller: &Caller<'_>, target: &Target, body: PatchBody) -> Result<Reply, Status> {
        if target.info.action(target.subresource) == Some(Action::Scale) {
            return Box::pin(self.patch_scale(caller, target, body)).await;
        }
        if body.form() == PatchType::Strategic && target.info.custom.is_some() {
            return Err(Status::unsupported_media_type(PATCHES_OF_CUSTOM));
        }
        let (patch, duplicates) = body.read()?;
        if caller.validation == FieldValidation::Strict && !duplicates.is_empty() {
            return Err(self.unreadable(target, body.form(), &patch, strict_error(&duplicates)));
        }
        if caller.validation == FieldValidation::Warn {
            caller.warn(duplicates);
        }
        let mut patch = Some(patch);
        for _ in 0..WRITE_ATTEMPTS {
            // The first attempt, nearly always the only one, takes the patch itself.
            let patch = patch.take().map_or_else(|| body.read().map(|(patch, _)| patch), Ok)?;
            let (kv, old, spec) = self.read_for(target, body.form(), &patch)?;
            let shown = events::to_external(&target.info, old.clone());
            let patched = patching::apply(&target.info, body.form(), patch, shown)?;
            let decoded = schema::decode_value(&*target.info, patched, caller.validation);
            let (new, warnings) = decoded.map_err(|refusal| match patching::reason(&refusal) {
                Some(reason) => match body.read() {
                    Ok((patch, _)) => self.unreadable(target, body.form(), &patch, reason.to_owned()),
                    Err(status) => status,
                },
                None => refusal,
            })?;
            caller.warn(warnings);
            let read = Read { kv: &kv, old, spec, entries: None };
            if let Some(reply) = self.write_made(caller, target, new, read).await? {
                return Ok(reply);
            }
        }
        Err(Status::modified(&target.info.kind, &target.name))
    }

    /// The state that is patched. The spec of a pod stays text where the patch is about its status
    /// only.
    fn read_for(
        &self,
        target: &Target,
        form: PatchType,
        patch: &Value,
    ) -> Result<(KeyValue, Value, Option<Bytes>), Status> {
        let kv = self.current(target)?;
        if reports_only(target, form, patch)
            && let Some(aside) = stored::decode_spec_aside(&kv.value, kv.modified)?
            && stays_as_it_is(&aside.value, patch)
        {
            return Ok((kv, aside.value, Some(aside.spec)));
        }
        let old = stored::decode(&kv.value, kv.modified)?;
        Ok((kv, old, None))
    }

    /// The refusal shows the patched object, which is made once more for it: the way of most has no
    /// copy.
    fn unreadable(&self, target: &Target, form: PatchType, patch: &Value, reason: String) -> Status {
        let patched = self.current_value(target).and_then(|(_, old)| {
            patching::apply(&target.info, form, patch.clone(), events::to_external(&target.info, old))
        });
        let shown = patched.map(|patched| patched.to_string()).unwrap_or_default();
        patching::unreadable(form, patch, &shown, &reason)
    }
}

/// Whether a patch can change nothing but metadata and status, of a pod.
fn reports_only(target: &Target, form: PatchType, patch: &Value) -> bool {
    let of_status = target.info.is(&POD) && target.subresource == "status";
    let form = matches!(form, PatchType::Strategic | PatchType::Merge);
    let members = patch.as_object().map(|patch| patch.keys().all(|key| key == "status" || key == "metadata"));
    of_status && form && members.unwrap_or(false)
}

/// Whether a pod neither ends nor goes by a report: what it holds (see [`super::claims`] and
/// [`super::rooms`]) is read from its spec.
fn stays_as_it_is(pod: &Value, patch: &Value) -> bool {
    let phase = &patch["status"]["phase"];
    let ends = !matches!(phase.as_str(), None | Some("Pending" | "Running" | "Unknown"));
    !ends && !is_terminal(pod) && !object::is_terminating(pod) && (phase.is_string() || patch["status"].is_object())
}
