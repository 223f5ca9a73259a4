//! The scale of a custom object: how many replicas are wanted and there, in one form for all kinds.

use everynode_api::decode::{BODY_BYTES_MAX, DecodeError, decode};
use everynode_api::field::{FieldError, Path};
use everynode_api::kinds::Kind;
use everynode_api::status::Status;
use serde_json::{Value, json};

use super::path::JsonPath;
use crate::object;
use crate::patching;
use crate::registry::update::{Attempt, Read};
use crate::registry::{Body, Caller, PatchBody, Registry, Reply, Target, WRITE_ATTEMPTS};

/// The kind of its bodies.
pub(crate) const SCALE: Kind = Kind::built_in("autoscaling", "v1", "Scale", "scales", true);

/// Where a kind has what a scale shows.
#[derive(Clone, Debug)]
pub(crate) struct Scale {
    wanted: JsonPath,
    present: JsonPath,
    selector: Option<JsonPath>,
}

impl Scale {
    /// Reads the scale of a version's subresources.
    pub(crate) fn parse(scale: &Value) -> Option<Scale> {
        let path = |name: &str| scale[name].as_str().and_then(JsonPath::parse);
        Some(Scale {
            wanted: path("specReplicasPath")?,
            present: path("statusReplicasPath")?,
            selector: path("labelSelectorPath"),
        })
    }

    /// The scale of an object.
    fn of(&self, object: &Value) -> Value {
        let number = |path: &JsonPath| path.first(object).and_then(Value::as_i64).unwrap_or(0);
        let mut metadata = json!({});
        for name in ["name", "namespace", "uid", "resourceVersion", "creationTimestamp"] {
            if let Some(member) = object["metadata"].get(name) {
                metadata[name] = member.clone();
            }
        }
        let mut scale = json!({"kind": "Scale", "apiVersion": "autoscaling/v1", "metadata": metadata,
            "spec": {"replicas": number(&self.wanted)}, "status": {"replicas": number(&self.present)}});
        if let Some(selector) = self.selector.as_ref().and_then(|path| path.first(object)).filter(|it| it.is_string()) {
            scale["status"]["selector"] = selector.clone();
        }
        scale
    }

    /// Sets how many are wanted.
    fn set(&self, object: &mut Value, replicas: i64) {
        let Some(names) = self.wanted.members() else { return };
        let Some((last, before)) = names.split_last() else { return };
        let mut place = object;
        for name in before {
            object::object_mut(place, name);
            place = &mut place[*name];
        }
        object::object_mut(place, last);
        place[*last] = replicas.into();
    }
}

/// The number in the body of an update.
///
/// # Errors
/// 422 if it is none.
fn replicas(target: &Target, scale: &Value) -> Result<i64, Status> {
    let path = Path::new("spec").child("replicas");
    let given = &scale["spec"]["replicas"];
    match given {
        Value::Null => Ok(0),
        given => match given.as_i64().filter(|number| *number >= 0) {
            Some(number) => Ok(number),
            None => {
                let error = FieldError::invalid(&path, given.clone(), "should be a non-negative integer");
                Err(Status::invalid(&SCALE, &target.name, &[error]))
            }
        },
    }
}

impl Registry {
    fn scale_of(target: &Target) -> Result<&Scale, Status> {
        let scale = target.info.custom.as_ref().and_then(|custom| custom.scale.as_ref());
        scale.ok_or_else(Status::method_not_allowed)
    }

    /// The scale of the target, as it is now.
    pub(crate) fn get_scale(&self, target: &Target) -> Result<Reply, Status> {
        let (_, object) = self.current_value(target)?;
        Ok(Reply::value(200, &Self::scale_of(target)?.of(&object)))
    }

    /// Replaces the scale of the target.
    pub(crate) async fn update_scale(&self, caller: &Caller<'_>, target: &Target, body: Body) -> Result<Reply, Status> {
        let sent = match body {
            Body::Value(value) => value,
            Body::Bytes(bytes, _) => match decode(&bytes, BODY_BYTES_MAX) {
                Ok(decoded) => decoded.value,
                Err(DecodeError::TooLarge { bytes_max }) => return Err(Status::too_large(bytes_max)),
                Err(malformed) => return Err(Status::bad_request(malformed.to_string())),
            },
        };
        self.write_scale(caller, target, |_| Ok(sent.clone())).await
    }

    /// Applies a patch to the scale of the target.
    pub(crate) async fn patch_scale(
        &self,
        caller: &Caller<'_>,
        target: &Target,
        body: PatchBody,
    ) -> Result<Reply, Status> {
        let (form, (patch, _)) = (body.form(), body.read()?);
        self.write_scale(caller, target, |scale| patching::apply(&target.info, form, patch.clone(), scale)).await
    }

    /// Writes what `change` makes of the scale into the object; its other rules are those of every
    /// update.
    async fn write_scale(
        &self,
        caller: &Caller<'_>,
        target: &Target,
        change: impl Fn(Value) -> Result<Value, Status>,
    ) -> Result<Reply, Status> {
        let scale = Self::scale_of(target)?;
        let whole = &Target { subresource: "", ..target.clone() };
        for _ in 0..WRITE_ATTEMPTS {
            let (kv, old) = self.current_value(whole)?;
            let changed = change(scale.of(&old))?;
            let mut new = old.clone();
            scale.set(&mut new, replicas(target, &changed)?);
            let version = object::meta(&changed, "resourceVersion");
            let demands = !version.is_empty() && version != object::meta(&old, "resourceVersion");
            if demands {
                return Err(Status::modified(&target.info.kind, &target.name));
            }
            let shown = scale.of(&new);
            if let Attempt::Done(reply) = self.write_over(caller, whole, new, Read::whole(&kv, old)).await? {
                let stored: Value = serde_json::from_slice(&reply.json).unwrap_or(shown);
                return Ok(Reply::value(200, &scale.of(&stored)));
            }
        }
        Err(Status::modified(&target.info.kind, &target.name))
    }
}
