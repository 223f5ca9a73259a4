//! Reading and writing the scale of a custom object, which is a form of the object's own.

use std::collections::BTreeMap;

use everynode_api::ports::PatchType;
use everynode_api::status::Status;
use everynode_managed::{Element, Managed, Part};
use serde_json::Value;

use super::scale::{NOT_SET, SCALE, Scale};
use crate::object;
use crate::patching;
use crate::registry::patch::{PATCHES_OF_CUSTOM, PatchBody};
use crate::registry::update::{Attempt, Read, check_name, check_uid};
use crate::registry::{Applied, Body, Caller, Registry, Reply, Target, WRITE_ATTEMPTS};
use crate::registry::{apply, create, decode, events, managed_fields};
use crate::schema;

/// A scale as it is, and the entries of its managed fields.
struct Live {
    scale: Value,
    managed: Managed,
}

/// A scale as it should be. Without entries, they follow from what is changed.
struct Wanted {
    scale: Value,
    managed: Option<Managed>,
}

impl From<Value> for Wanted {
    fn from(scale: Value) -> Wanted {
        Wanted { scale, managed: None }
    }
}

impl Registry {
    fn scale_of(target: &Target) -> Result<&Scale, Status> {
        let scale = target.info.custom.as_ref().and_then(|custom| custom.scale.as_ref());
        scale.ok_or_else(Status::method_not_allowed)
    }

    /// The scale of the target, as it is now.
    ///
    /// # Errors
    /// 500, as in the original, if the object does not say how many replicas it wants.
    pub(crate) fn get_scale(&self, target: &Target) -> Result<Reply, Status> {
        let (_, object) = self.current_value(target)?;
        let scale = Self::scale_of(target)?;
        match scale.of(&object).map_err(|why| Status::failure(500, "", why))? {
            (shown, true) => Ok(Reply::value(200, &shown)),
            (_, false) => {
                Err(Status::internal(format!("the spec replicas field {:?} does not exist", scale.wanted_path())))
            }
        }
    }

    /// Replaces the scale of the target.
    pub(crate) async fn update_scale(&self, caller: &Caller<'_>, target: &Target, body: Body) -> Result<Reply, Status> {
        let sent = decode(&SCALE, body, caller)?;
        self.write_scale(caller, target, |_| Ok(sent.clone().into())).await
    }

    /// Applies a patch to the scale of the target.
    pub(crate) async fn patch_scale(
        &self,
        caller: &Caller<'_>,
        target: &Target,
        body: PatchBody,
    ) -> Result<Reply, Status> {
        let form = body.form();
        if form == PatchType::Strategic {
            return Err(Status::unsupported_media_type(PATCHES_OF_CUSTOM));
        }
        let (patch, _) = body.read()?;
        let change = |live: &Live| {
            let patched = patching::apply(&target.info, form, patch.clone(), live.scale.clone())?;
            let shown = patched.to_string();
            let decoded = schema::decode_value(&SCALE, patched, caller.validation);
            let (scale, warnings) = decoded.map_err(|refusal| match patching::reason(&refusal) {
                Some(reason) => patching::unreadable(form, &patch, &shown, reason),
                None => refusal,
            })?;
            caller.warn(warnings);
            Ok(scale.into())
        };
        self.write_scale(caller, target, change).await
    }

    /// Applies a configuration to the scale of the target.
    pub(crate) async fn apply_scale(
        &self,
        caller: &Caller<'_>,
        target: &Target,
        body: Applied,
    ) -> Result<Reply, Status> {
        let object = apply::read(&body.text, caller)?;
        let way = self.way_of(target, &SCALE);
        let change = |live: &Live| {
            let configuration = way.configuration((&object, body.force), &SCALE, caller, target);
            let empty = schema::empty(&SCALE);
            let versions = way.versions_of(&SCALE);
            let applied = everynode_managed::apply(&versions, &empty, &live.scale, &live.managed, &configuration)
                .map_err(|error| apply::refused(target, &error))?;
            let merged = applied.object.unwrap_or_else(|| live.scale.clone());
            let (scale, warnings) = schema::decode_value(&SCALE, merged, caller.validation)?;
            caller.warn(warnings);
            Ok(Wanted { scale, managed: Some(applied.managed) })
        };
        self.write_scale(caller, target, change).await
    }

    /// Writes what `change` makes of the scale into the object; its other rules are those of every
    /// update.
    async fn write_scale(
        &self,
        caller: &Caller<'_>,
        target: &Target,
        change: impl Fn(&Live) -> Result<Wanted, Status>,
    ) -> Result<Reply, Status> {
        let scale = Self::scale_of(target)?;
        let whole = &Target { subresource: "", ..target.clone() };
        for _ in 0..WRITE_ATTEMPTS {
            let (kv, old) = self.current_value(whole)?;
            let mut object = events::to_external(&target.info, old.clone());
            let (mut shown, says_wanted) = scale.of(&object).map_err(|why| Status::failure(500, "", why))?;
            if !says_wanted {
                shown["spec"]["replicas"] = NOT_SET.into();
            }
            let listed = managed_fields::entries_of(&old);
            let part = part(target, scale);
            let live = Live { scale: shown, managed: part.of_whole(&listed) };
            let mut wanted = change(&live)?;
            check_name(target, &wanted.scale)?;
            create::place(target, &mut wanted.scale)?;
            check_uid(target, &wanted.scale, object::meta(&old, "uid"))?;
            let names_another = take_over(scale, &wanted.scale, &mut object)?;
            let entries = self.entries_of_scale(caller, target, &live, wanted);
            let entries = entries.map(|entries| part.into_whole(&listed, entries));
            let new = events::to_stored(&target.info, object);
            let read = Read { entries, ..Read::whole(&kv, old) };
            match self.write_over(caller, whole, new, read).await? {
                Attempt::Done(reply) => {
                    let stored: Value = serde_json::from_slice(&reply.json).map_err(Status::internal)?;
                    let (shown, _) = scale.of(&stored).map_err(Status::bad_request)?;
                    return Ok(Reply::value(200, &shown));
                }
                Attempt::Raced if names_another => break,
                Attempt::Raced => {}
            }
        }
        Err(Status::modified(&target.info.kind, &target.name))
    }

    /// The entries of a scale that is written; `None`: they are not kept.
    fn entries_of_scale(&self, caller: &Caller<'_>, target: &Target, live: &Live, wanted: Wanted) -> Option<Managed> {
        if wanted.managed.is_some() || !caller.is_tracked(&target.info) {
            return wanted.managed;
        }
        let way = self.way_of(target, &SCALE);
        let (versions, writer) = (way.versions_of(&SCALE), way.writer(caller, target));
        let made = everynode_managed::update(&versions, &live.scale, &wanted.scale, &live.managed, &writer);
        Some(made.unwrap_or_default())
    }
}

/// Puts what a scale says into the object; whether it names another version of the object.
fn take_over(scale: &Scale, wanted: &Value, object: &mut Value) -> Result<bool, Status> {
    let replicas = wanted["spec"]["replicas"].as_i64().unwrap_or(0);
    if replicas == NOT_SET {
        let text = format!("the spec replicas field {:?} cannot be empty", scale.wanted_path());
        return Err(Status::bad_request(text));
    }
    scale.set(object, replicas).map_err(|why| Status::failure(500, "", why))?;
    let version = object::meta(wanted, "resourceVersion").to_owned();
    let names_another = !version.is_empty() && version != object::meta(object, "resourceVersion");
    if names_another {
        object::set_meta(object, "resourceVersion", version);
    }
    Ok(names_another)
}

/// The replicas as a field of the object and of its scale.
fn part(target: &Target, scale: &Scale) -> Part {
    let version = target.info.kind.api_version();
    Part {
        in_whole: BTreeMap::from([(version.clone(), Some(scale.wanted_field()))]),
        whole_version: version,
        in_part: ["spec", "replicas"].map(Element::field).to_vec(),
        part_version: SCALE.api_version(),
    }
}
