//! Update and patch: read, change, compare, write at the revision that was read.

use bytes::Bytes;
use everynode_api::field::{FieldError, Path};
use everynode_api::kinds::NAMESPACE;
use everynode_api::status::Status;
use everynode_managed::Managed;
use everynode_store::{Condition, KeyValue, Outcome, Transaction, Write};
use serde_json::Value;

use super::claims::{self, Held};
use super::create::{durability, place};
use super::strategy::Strategy;
use super::{Body, Caller, Registry, Reply, Target, WRITE_ATTEMPTS, decode, events, managed_fields};
use crate::auth::authorize::{self, Attributes};
use crate::catalogue::Action;
use crate::{object, schema, stored};

/// Which part of an object an update is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    Main,
    Status,
    /// `pods/ephemeralcontainers`, `pods/resize`, `namespaces/finalize`: the strategy's subresource
    /// rules apply.
    Other,
}

impl Part {
    pub(crate) fn of(target: &Target) -> Part {
        match target.subresource {
            "" => Part::Main,
            "status" | "approval" => Part::Status,
            _ => Part::Other,
        }
    }
}

/// The state that a write is based on.
pub(crate) struct Read<'a> {
    pub(crate) kv: &'a KeyValue,
    pub(crate) old: Value,
    /// The spec as text, if the write leaves it alone; of the spec's members, `old` then has only
    /// those that [`stored::SpecAside`] names.
    pub(crate) spec: Option<Bytes>,
    /// The entries of managed fields that an apply made; `None`: those of an update are made.
    pub(crate) entries: Option<Managed>,
}

impl<'a> Read<'a> {
    pub(crate) fn whole(kv: &'a KeyValue, old: Value) -> Read<'a> {
        Read { kv, old, spec: None, entries: None }
    }
}

/// What became of one attempt to write.
pub(crate) enum Attempt {
    Done(Reply),
    /// Another client wrote in between.
    Raced,
}

impl Registry {
    /// Replaces an object or a subresource of it (DS-A16, DS-I11).
    pub(crate) async fn update(&self, caller: &Caller<'_>, target: &Target, body: Body) -> Result<Reply, Status> {
        if target.info.action(target.subresource) == Some(Action::Scale) {
            return Box::pin(self.update_scale(caller, target, body)).await;
        }
        let mut value = decode(&*target.info, body, caller)?;
        check_name(target, &value)?;
        if !target.info.is_stored_form() {
            schema::default(&target.info, &mut value);
        }
        let mut value = events::to_stored(&target.info, value);
        let attempts = if is_conditional(&value) { 1 } else { WRITE_ATTEMPTS };
        for attempt in 1..=attempts {
            let (kv, old) = match self.current_value(target) {
                Err(status) if status.is_not_found() && creates(target) => {
                    match self.create_by_update(caller, target, value.clone()).await {
                        Err(status) if status.is_already_exists() && attempt < attempts => continue,
                        result => return result,
                    }
                }
                current => current?,
            };
            check_uid(target, &value, object::meta(&old, "uid"))?;
            // The last attempt, nearly always also the first, takes the object itself.
            let new = if attempt == attempts { std::mem::take(&mut value) } else { value.clone() };
            let read = Read::whole(&kv, old);
            if let Attempt::Done(reply) = self.write_over(caller, target, new, read).await? {
                return Ok(reply);
            }
        }
        Err(Status::modified(&target.info.kind, &target.name))
    }

    /// A user that may only update may not make an object by it.
    pub(super) fn check_may_create(&self, caller: &Caller<'_>, target: &Target) -> Result<(), Status> {
        let kind = &target.info.kind;
        let attributes = Attributes {
            verb: "create".into(),
            resource: kind.plural.to_string(),
            group: kind.group.to_string(),
            version: kind.version.to_string(),
            namespace: target.namespace.clone(),
            name: target.name.clone(),
            ..Attributes::default()
        };
        authorize::check(self, caller.user, &attributes)
    }

    /// A PUT of an object that is not there, of a kind that is made by it.
    async fn create_by_update(&self, caller: &Caller<'_>, target: &Target, value: Value) -> Result<Reply, Status> {
        self.check_may_create(caller, target)?;
        check_uid(target, &value, "")?;
        let mut value = events::to_external(&target.info, value);
        object::remove_meta(&mut value, "resourceVersion");
        self.create(caller, target, Body::Value(value)).await
    }

    /// One attempt of a writer that made `new`, in the form asked for, of the state that was read.
    /// `None`: another write came in between, and the caller makes it again. An object that names a
    /// resourceVersion of its own is not made again.
    pub(super) async fn write_made(
        &self,
        caller: &Caller<'_>,
        target: &Target,
        new: Value,
        read: Read<'_>,
    ) -> Result<Option<Reply>, Status> {
        check_name(target, &new)?;
        let names_another = object::meta(&new, "resourceVersion") != object::meta(&read.old, "resourceVersion");
        let new = events::to_stored(&target.info, new);
        match self.write_over(caller, target, new, read).await? {
            Attempt::Done(reply) => Ok(Some(reply)),
            Attempt::Raced if names_another => Err(Status::modified(&target.info.kind, &target.name)),
            Attempt::Raced => Ok(None),
        }
    }

    /// Writes `new` over the state that was read, by the rules of the target's part of the object.
    pub(crate) async fn write_over(
        &self,
        caller: &Caller<'_>,
        target: &Target,
        mut new: Value,
        mut read: Read<'_>,
    ) -> Result<Attempt, Status> {
        let applied = read.entries.take();
        let (strategy, old) = (target.info.strategy, &read.old);
        check_version(target, strategy, &new, old)?;
        place(target, &mut new)?;
        let sent = managed_fields::take(&mut new);
        keep_server_metadata(&mut new, old);
        let part = Part::of(target);
        if part == Part::Main && target.info.is_stored_form() {
            schema::default(&target.info, &mut new);
        }
        let entries = match applied {
            Some(entries) => Some(entries),
            None => self.entries_of_update(caller, target, (&mut new, sent.as_ref()), old)?,
        };
        match part {
            Part::Main => {
                keep_status(target, &mut new, old);
                self.admit_update(caller, target, &mut new, old)?;
                strategy.prepare_update(self, &mut new, old)?;
                count_generation(strategy, &mut new, old);
            }
            Part::Status => {
                // What was sent is judged, not what is left of it.
                self.admit_update(caller, target, &mut new, old)?;
                strategy.prepare_status(&mut new, old);
            }
            Part::Other => {
                self.admit_update(caller, target, &mut new, old)?;
                super::subresource::prepare(target, &mut new, old)?;
                schema::default(&target.info, &mut new);
                count_generation(strategy, &mut new, old);
            }
        }
        validate(target, part, &new, old)?;
        if part == Part::Main && caller.warnings.is_some() {
            caller.warn(schema::warnings::on_update(&target.info, &new, old));
        }
        managed_fields::settle(&mut new, old, entries.as_ref());
        self.write(caller, target, strategy, new, read).await
    }

    /// Writes a finished object, or removes it if nothing holds it any more (DS-I24).
    pub(crate) async fn write(
        &self,
        caller: &Caller<'_>,
        target: &Target,
        strategy: &dyn Strategy,
        new: Value,
        Read { kv, old, spec, .. }: Read<'_>,
    ) -> Result<Attempt, Status> {
        let bytes = stored::encode_whole(&new, spec.as_ref());
        let goes = object::is_terminating(&new) && object::finalizers(&new).is_empty() && strategy.may_go(&new);
        // Marked objects that nothing holds are removed at once: one that is there was held until
        // now.
        let mut transaction = Transaction {
            conditions: vec![Condition::ModifiedAt(kv.key.clone(), kv.modified)],
            writes: Vec::new(),
            durability: durability(target),
        };
        if goes {
            strategy.check_removal(self, &new)?;
            if target.info.is(&NAMESPACE) && !caller.dry_run {
                self.remove_events(caller, target).await?;
            }
            return self.remove(caller, target, strategy, transaction, kv, (&new, bytes)).await;
        }
        if caller.dry_run || bytes == kv.value {
            super::check_size(&bytes)?;
            // DS-I12: a write that changes nothing writes nothing.
            let shown = KeyValue { value: bytes, ..kv.clone() };
            return Reply::stored(200, &target.info, &shown).map(Attempt::Done);
        }
        transaction.writes.push(Write::Put {
            key: kv.key.clone(),
            value: bytes.clone(),
            expires_in: strategy.expires_in(),
        });
        let (before, after) = (strategy.claims(&self.settings, &old), strategy.claims(&self.settings, &new));
        if before != after {
            claims::exchange(&*self.store, &mut transaction, &before, &after, &claims::holder(&old)).map_err(
                |held| match held {
                    Held::Failed(status) => *status,
                    Held::By(claim) => super::create::refused(
                        target,
                        &claim,
                        &KeyValue { value: claim.path.clone().into(), ..kv.clone() },
                    ),
                },
            )?;
        }
        let mut room = self.room_change(target, Some(&old), Some(&new));
        // Nothing looks at them any more, and what waits for the disk should be small.
        drop((old, new));
        room.committing();
        let outcome = self.commit(caller, target, transaction).await?;
        room.decided(matches!(outcome, Outcome::Committed(_)));
        match outcome {
            Outcome::Committed(revision) => {
                let kv = KeyValue { value: bytes, modified: revision, ..kv.clone() };
                Reply::stored(200, &target.info, &kv).map(Attempt::Done)
            }
            Outcome::Refused { .. } => Ok(Attempt::Raced),
        }
    }

    /// Removes an object whose last state is `last` (`bytes`, encoded), together with what it
    /// claims.
    pub(crate) async fn remove(
        &self,
        caller: &Caller<'_>,
        target: &Target,
        strategy: &dyn Strategy,
        mut transaction: Transaction,
        kv: &KeyValue,
        (last, bytes): (&Value, Bytes),
    ) -> Result<Attempt, Status> {
        let shown = KeyValue { value: bytes, ..kv.clone() };
        if caller.dry_run {
            return Reply::stored(200, &target.info, &shown).map(Attempt::Done);
        }
        transaction.writes.push(Write::Delete { key: kv.key.clone() });
        transaction.writes.extend(super::node_keys::freed(target));
        let held = strategy.claims(&self.settings, last);
        match claims::exchange(&*self.store, &mut transaction, &held, &[], &claims::holder(last)) {
            Err(Held::Failed(status)) => return Err(*status),
            Err(Held::By(_)) | Ok(()) => {}
        }
        let mut room = self.room_change(target, Some(last), None);
        room.committing();
        let outcome = self.commit(caller, target, transaction).await?;
        room.decided(matches!(outcome, Outcome::Committed(_)));
        match outcome {
            Outcome::Committed(revision) => {
                Reply::stored(200, &target.info, &KeyValue { modified: revision, ..shown }).map(Attempt::Done)
            }
            Outcome::Refused { .. } => Ok(Attempt::Raced),
        }
    }
}

/// The body is about the object that the URL names.
pub(crate) fn check_name(target: &Target, value: &Value) -> Result<(), Status> {
    match object::meta(value, "name") {
        name if name == target.name => Ok(()),
        "" => Err(Status::bad_request(format!(
            "the name of the object ({} based on URL) was undeterminable: name must be provided",
            target.name
        ))),
        name => Err(Status::bad_request(format!(
            "the name of the object ({name}) does not match the name on the URL ({})",
            target.name
        ))),
    }
}

/// Whether a PUT of this target makes an object that is not there.
fn creates(target: &Target) -> bool {
    target.subresource.is_empty() && target.info.strategy.creates_on_update()
}

/// Whether an object insists on the version that it names.
pub(super) fn is_conditional(value: &Value) -> bool {
    !matches!(object::meta(value, "resourceVersion"), "" | "0")
}

/// A uid in a body is a precondition (DS-I11); `held` is empty for an absent object.
pub(crate) fn check_uid(target: &Target, value: &Value, held: &str) -> Result<(), Status> {
    let uid = object::meta(value, "uid");
    if uid.is_empty() || uid == held {
        return Ok(());
    }
    let text = format!(
        "StorageError: invalid object, Code: 4, Key: {}, ResourceVersion: 0, AdditionalErrorMsg: Precondition failed: \
         UID in precondition: {uid}, UID in object meta: {held}",
        target.key()
    );
    Err(Status::conflict(&target.info.kind, &target.name, &text))
}

/// So is a resourceVersion, which some kinds demand.
fn check_version(target: &Target, strategy: &dyn Strategy, new: &Value, old: &Value) -> Result<(), Status> {
    let (kind, name) = (&target.info.kind, target.name.as_str());
    let version = object::meta(new, "resourceVersion");
    if !version.is_empty() && version.parse::<u64>().is_err() {
        return Err(Status::failure(500, "", format!("strconv.ParseUint: parsing {version:?}: invalid syntax")));
    }
    if is_conditional(new) {
        return match version == object::meta(old, "resourceVersion") {
            true => Ok(()),
            false => Err(Status::modified(kind, name)),
        };
    }
    if strategy.updates_unconditionally() {
        return Ok(());
    }
    let path = Path::new("metadata").child("resourceVersion");
    let error = FieldError::invalid(&path, 0, "must be specified for an update");
    Err(Status::invalid_resource(kind, name, &[error]))
}

/// Clients cannot change what the server owns: it is kept, or validation refuses the change.
fn keep_server_metadata(new: &mut Value, old: &Value) {
    for name in ["creationTimestamp", "generation"] {
        object::copy_meta(new, old, name);
    }
    if object::meta(new, "uid").is_empty() || object::meta(new, "uid") == object::meta(old, "uid") {
        object::copy_meta(new, old, "uid");
    }
    if object::is_terminating(old) {
        object::copy_meta(new, old, "deletionTimestamp");
    }
    if new["metadata"].get("deletionGracePeriodSeconds").is_none() {
        object::copy_meta(new, old, "deletionGracePeriodSeconds");
    }
    for name in ["resourceVersion", "selfLink"] {
        object::remove_meta(new, name);
    }
}

/// DS-A13: an update of the main resource leaves status alone, where status is a subresource.
fn keep_status(target: &Target, new: &mut Value, old: &Value) {
    if target.info.subresource("status").is_some() {
        object::copy_member(new, old, "status");
    }
}

/// DS-A14, DS-A15.
fn count_generation(strategy: &dyn Strategy, new: &mut Value, old: &Value) {
    if strategy.counts_generations() && strategy.is_new_generation(new, old) {
        object::set_meta(new, "generation", object::generation(old) + 1);
    }
}

fn validate(target: &Target, part: Part, new: &Value, old: &Value) -> Result<(), Status> {
    let errors = match part {
        // Rules are those of the form asked for.
        Part::Main if !target.info.is_stored_form() => {
            let shown = |value: &Value| events::to_external(&target.info, value.clone());
            schema::validate_update(&target.info, &shown(new), &shown(old))
        }
        Part::Main => schema::validate_update(&target.info, new, old),
        Part::Status => schema::validate_status_update(&target.info, new, old),
        Part::Other => Vec::new(),
    };
    match errors.is_empty() {
        true => Ok(()),
        false => Err(Status::invalid(&target.info.kind, &target.name, &errors)),
    }
}
