//! Server-side apply: a writer says all that it wants of an object, which need not be there.

use bytes::Bytes;
use everynode_api::decode::{BODY_BYTES_MAX, decode};
use everynode_api::status::Status;
use everynode_api::yaml;
use everynode_managed::{ApplyError, Managed, apply};
use serde_json::Value;

use super::update::Read;
use super::{Caller, Registry, Reply, Target, WRITE_ATTEMPTS, events, managed_fields};
use crate::catalogue::Action;
use crate::schema::{self, FieldValidation};

/// What is applied.
pub(crate) struct Applied {
    /// YAML, which JSON is.
    pub(crate) text: Bytes,
    /// Fields of other writers are taken from them.
    pub(crate) force: bool,
}

/// An object and its entries.
type Owned = (Value, Managed);

impl Registry {
    /// Applies a configuration to an object or a subresource of it.
    pub(crate) async fn apply(&self, caller: &Caller<'_>, target: &Target, body: Applied) -> Result<Reply, Status> {
        if target.info.action(target.subresource) == Some(Action::Scale) {
            return Box::pin(self.apply_scale(caller, target, body)).await;
        }
        let object = read(&body.text, caller)?;
        for _ in 0..WRITE_ATTEMPTS {
            let (kv, old) = match self.current_value(target) {
                Err(status) if status.is_not_found() && target.subresource.is_empty() => {
                    match self.apply_to_none(caller, target, &object, body.force).await {
                        Err(status) if status.is_already_exists() => continue,
                        result => return result,
                    }
                }
                current => current?,
            };
            let shown = events::to_external(&target.info, old.clone());
            let (new, entries) = self.applied(caller, target, (&object, body.force), shown)?;
            let read = Read { entries: Some(entries), ..Read::whole(&kv, old) };
            if let Some(reply) = self.write_made(caller, target, new, read).await? {
                return Ok(reply);
            }
        }
        Err(Status::modified(&target.info.kind, &target.name))
    }

    /// An apply to an object that is not there makes it, if that is allowed.
    async fn apply_to_none(
        &self,
        caller: &Caller<'_>,
        target: &Target,
        object: &Value,
        force: bool,
    ) -> Result<Reply, Status> {
        let (value, entries) = self.applied(caller, target, (object, force), schema::empty(&target.info.kind))?;
        self.check_may_create(caller, target)?;
        super::update::check_uid(target, &value, "")?;
        if super::update::is_conditional(&value) {
            return Err(Status::modified(&target.info.kind, &target.name));
        }
        self.create_owned(caller, target, value, Some(entries)).await
    }

    /// What a configuration makes of a live object.
    fn applied(
        &self,
        caller: &Caller<'_>,
        target: &Target,
        (object, force): (&Value, bool),
        mut live: Value,
    ) -> Result<Owned, Status> {
        let listed = managed_fields::take(&mut live);
        let managed = Managed::decode(listed.as_ref()).map_err(|error| refused(target, &error.into()))?;
        let way = self.way(target);
        let configuration = way.configuration((object, force), &target.info.kind, caller, target);
        let empty = schema::empty(&target.info.kind);
        let applied = apply(&way.versions(&target.info), &empty, &live, &managed, &configuration)
            .map_err(|error| refused(target, &error))?;
        let merged = applied.object.unwrap_or(live);
        let (value, warnings) = schema::decode_value(&*target.info, merged, caller.validation)?;
        caller.warn(warnings);
        Ok((value, applied.managed))
    }
}

/// Reads a configuration, and warns of keys that it has twice. What is no object is refused; an
/// empty one is of no kind.
pub(crate) fn read(text: &Bytes, caller: &Caller<'_>) -> Result<Value, Status> {
    if text.len() > BODY_BYTES_MAX {
        return Err(Status::too_large(BODY_BYTES_MAX));
    }
    // Most clients send JSON, which is read faster as such.
    let is_json = text.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'{');
    if is_json
        && let Ok(decoded) = decode(text, BODY_BYTES_MAX)
        && decoded.duplicates.is_empty()
    {
        return Ok(decoded.value);
    }
    let malformed = |why: String| Status::bad_request(format!("error decoding YAML: {why}"));
    let text = std::str::from_utf8(text)
        .map_err(|_| malformed("error converting YAML to JSON: yaml: invalid leading UTF-8 octet".into()))?;
    let document =
        yaml::decode(text).map_err(|error| malformed(format!("error converting YAML to JSON: yaml: {error}")))?;
    if !document.duplicates.is_empty() && caller.validation == FieldValidation::Strict {
        let lines = document.duplicates.join("\n  ");
        let text = "error strict decoding YAML: error converting YAML to JSON: yaml: unmarshal errors:\n  ";
        return Err(Status::bad_request(format!("{text}{lines}")));
    }
    if caller.validation == FieldValidation::Warn {
        caller.warn(document.duplicates);
    }
    let what = match &document.value {
        Value::Object(_) | Value::Null => return Ok(document.value),
        Value::Array(_) => "array",
        Value::String(_) => "string",
        Value::Number(_) => "number",
        Value::Bool(_) => "bool",
    };
    let text = "error unmarshaling JSON: while decoding JSON: json: cannot unmarshal";
    Err(malformed(format!("{text} {what} into Go value of type map[string]interface {{}}")))
}

pub(crate) fn refused(target: &Target, error: &ApplyError) -> Status {
    match error {
        ApplyError::OtherKind(_) | ApplyError::WithEntries => Status::bad_request(error.to_string()),
        ApplyError::Conflicts(conflicts) => {
            let status = Status::failure(409, "Conflict", conflicts.to_string());
            conflicts.iter().fold(status, |status, conflict| {
                status.with_cause("FieldManagerConflict", &conflict.message(), &conflict.field())
            })
        }
        ApplyError::NoVersion => {
            tracing::error!(kind = %target.info.kind.kind, "a kind is applied to in a version that it has not");
            Status::internal(error)
        }
        ApplyError::Entries(_) | ApplyError::Type { .. } | ApplyError::Merge(_) => {
            Status::failure(500, "", error.to_string())
        }
    }
}
