//! Patch: the change is applied to the newest state, again if somebody else wrote in between (DS-I13).

use bytes::Bytes;
use everynode_api::ports::PatchType;
use everynode_api::status::Status;
use serde_json::Value;

use super::update::{Attempt, check_name};
use super::{Caller, Registry, Reply, Target, WRITE_ATTEMPTS, events};
use crate::{object, patching, schema};

/// A patch as it came.
pub(crate) enum PatchBody {
    Bytes(PatchType, Bytes),
    Value(PatchType, Value),
}

impl PatchBody {
    fn parse(self) -> Result<(PatchType, Value), Status> {
        match self {
            PatchBody::Value(form, value) => Ok((form, value)),
            PatchBody::Bytes(form, bytes) => match serde_json::from_slice(&bytes) {
                Ok(value) => Ok((form, value)),
                Err(error) if error.is_eof() => {
                    Err(Status::bad_request("error decoding patch: unexpected end of JSON input"))
                }
                Err(error) => Err(Status::bad_request(format!("error decoding patch: {error}"))),
            },
        }
    }
}

impl Registry {
    /// Applies a patch to an object or a subresource of it.
    pub(crate) async fn patch(&self, caller: &Caller<'_>, target: &Target, body: PatchBody) -> Result<Reply, Status> {
        let (form, patch) = body.parse()?;
        for _ in 0..WRITE_ATTEMPTS {
            let (kv, old) = self.current_value(target)?;
            let shown = events::to_external(target.info, old.clone());
            let before = object::meta(&shown, "resourceVersion").to_owned();
            let patched = patching::apply(target.info, form, &patch, shown)?;
            // A patch that names a resourceVersion insists on it; otherwise it carries the one that was read.
            let insists = object::meta(&patched, "resourceVersion") != before;
            let (new, warnings) = match schema::decode_value(target.info, patched, caller.validation) {
                Ok(decoded) => decoded,
                Err(refusal) => return Err(self.unreadable(target, form, &patch, refusal)),
            };
            check_name(target, &new)?;
            let new = events::to_stored(target.info, new);
            match self.write_over(caller, target, new, &kv, old).await {
                Ok(Attempt::Done(reply)) => return Ok(reply.with_warnings(warnings)),
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
    fn unreadable(&self, target: &Target, form: PatchType, patch: &Value, refusal: Status) -> Status {
        let patched = self
            .current_value(target)
            .and_then(|(_, old)| patching::apply(target.info, form, patch, events::to_external(target.info, old)));
        let shown = patched.map(|patched| patched.to_string()).unwrap_or_default();
        patching::unreadable(form, patch, &shown, refusal)
    }
}
