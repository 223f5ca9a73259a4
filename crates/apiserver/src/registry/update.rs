//! Update and patch: read, change, compare, write at the revision that was read.

use bytes::Bytes;
use everynode_api::field::{FieldError, Path};
use everynode_api::status::Status;
use everynode_store::{Condition, KeyValue, Outcome, Transaction, Write};
use serde_json::Value;

use super::claims::{self, Held};
use super::create::{durability, place};
use super::strategy::{self, Strategy};
use super::{Body, Caller, Registry, Reply, Target, WRITE_ATTEMPTS, decode, events};
use crate::{object, schema, stored};

/// Which part of an object an update is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    Main,
    Status,
    /// `pods/ephemeralcontainers`, `pods/resize`, `namespaces/finalize`: the strategy's subresource rules apply.
    Other,
}

impl Part {
    pub(crate) fn of(target: &Target) -> Part {
        match target.subresource {
            "" => Part::Main,
            "status" => Part::Status,
            _ => Part::Other,
        }
    }
}

/// What became of one attempt to write.
pub(crate) enum Attempt {
    Done(Reply),
    /// Somebody else wrote in between.
    Raced,
}

impl Registry {
    /// Replaces an object or a subresource of it (DS-A16, DS-I11).
    pub(crate) async fn update(&self, caller: &Caller<'_>, target: &Target, body: Body) -> Result<Reply, Status> {
        let (mut value, warnings) = decode(target.info, body, caller.validation)?;
        if events::is_converted(target.info) {
            schema::default(target.info, &mut value);
        }
        let mut value = events::to_stored(target.info, value);
        let name = object::meta(&value, "name");
        if name != target.name {
            let text = format!("the name of the object ({name}) does not match the name on the URL ({})", target.name);
            return Err(Status::bad_request(text));
        }
        let insists = !object::meta(&value, "resourceVersion").is_empty();
        let attempts = if insists { 1 } else { WRITE_ATTEMPTS };
        for attempt in 1..=attempts {
            let (kv, old) = self.current_value(target)?;
            // The last attempt, nearly always also the first, takes the object itself.
            let new = if attempt == attempts { std::mem::take(&mut value) } else { value.clone() };
            if let Attempt::Done(reply) = self.write_over(caller, target, new, &kv, old).await? {
                return Ok(reply.with_warnings(warnings));
            }
        }
        Err(Status::modified(&target.info.kind, &target.name))
    }

    /// Writes `new` over the state that was read, by the rules of the target's part of the object.
    pub(crate) async fn write_over(
        &self,
        caller: &Caller<'_>,
        target: &Target,
        mut new: Value,
        kv: &KeyValue,
        old: Value,
    ) -> Result<Attempt, Status> {
        check_preconditions(target, &new, &old)?;
        place(target, &mut new)?;
        let strategy = strategy::of(target.info);
        keep_server_metadata(&mut new, &old);
        let part = Part::of(target);
        match part {
            Part::Main => {
                if !events::is_converted(target.info) {
                    schema::default(target.info, &mut new);
                }
                keep_status(target, &mut new, &old);
                self.admit_update(caller, target, &mut new, &old)?;
                strategy.prepare_update(self, &mut new, &old)?;
                count_generation(strategy, &mut new, &old);
            }
            Part::Status => {
                // What was sent is judged, not what is left of it.
                self.admit_update(caller, target, &mut new, &old)?;
                strategy.prepare_status(&mut new, &old);
            }
            Part::Other => {
                self.admit_update(caller, target, &mut new, &old)?;
                super::subresource::prepare(target, &mut new, &old)?;
                schema::default(target.info, &mut new);
                count_generation(strategy, &mut new, &old);
            }
        }
        validate(target, part, &new, &old)?;
        self.write(caller, target, strategy, new, kv, old).await
    }

    /// Writes a finished object, or removes it if nothing holds it any more (DS-I24).
    pub(crate) async fn write(
        &self,
        caller: &Caller<'_>,
        target: &Target,
        strategy: &dyn Strategy,
        new: Value,
        kv: &KeyValue,
        old: Value,
    ) -> Result<Attempt, Status> {
        let bytes = stored::encode(&new);
        let goes = object::is_terminating(&new) && object::finalizers(&new).is_empty() && strategy.may_go(&new);
        // Marked objects that nothing holds are removed at once: one that is there was held until now.
        let mut transaction = Transaction {
            conditions: vec![Condition::ModifiedAt(kv.key.clone(), kv.modified)],
            writes: Vec::new(),
            durability: durability(target),
        };
        if goes {
            strategy.check_removal(self, &new)?;
            return self.remove(caller, target, strategy, transaction, kv, (&new, bytes)).await;
        }
        if caller.dry_run || bytes == kv.value {
            // DS-I12: a write that changes nothing writes nothing.
            let shown = KeyValue { value: bytes, ..kv.clone() };
            return Reply::stored(200, target.info, &shown).map(Attempt::Done);
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
        // Nobody looks at them any more, and what waits for the disk should be small.
        drop((old, new));
        match self.commit(caller, target, transaction).await? {
            Outcome::Committed(revision) => {
                let kv = KeyValue { value: bytes, modified: revision, ..kv.clone() };
                Reply::stored(200, target.info, &kv).map(Attempt::Done)
            }
            Outcome::Refused { .. } => Ok(Attempt::Raced),
        }
    }

    /// Removes an object whose last state is `last` (`bytes`, encoded), together with what it claims.
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
            return Reply::stored(200, target.info, &shown).map(Attempt::Done);
        }
        transaction.writes.push(Write::Delete { key: kv.key.clone() });
        transaction.writes.extend(super::node_keys::freed(target));
        let held = strategy.claims(&self.settings, last);
        match claims::exchange(&*self.store, &mut transaction, &held, &[], &claims::holder(last)) {
            Err(Held::Failed(status)) => return Err(*status),
            Err(Held::By(_)) | Ok(()) => {}
        }
        match self.commit(caller, target, transaction).await? {
            Outcome::Committed(revision) => {
                Reply::stored(200, target.info, &KeyValue { modified: revision, ..shown }).map(Attempt::Done)
            }
            Outcome::Refused { .. } => Ok(Attempt::Raced),
        }
    }
}

/// uid and resourceVersion in the body are preconditions (DS-I11).
fn check_preconditions(target: &Target, new: &Value, old: &Value) -> Result<(), Status> {
    let (kind, name) = (&target.info.kind, target.name.as_str());
    let (uid, held) = (object::meta(new, "uid"), object::meta(old, "uid"));
    if !uid.is_empty() && uid != held {
        let text = format!("Precondition failed: UID in precondition: {uid}, UID in object meta: {held}");
        return Err(Status::conflict(kind, name, &text));
    }
    let version = object::meta(new, "resourceVersion");
    if !version.is_empty() && version.parse::<u64>().is_err() {
        let path = Path::new("metadata").child("resourceVersion");
        let error = FieldError::invalid(&path, version, "must be a decimal number");
        return Err(Status::invalid(kind, name, &[error]));
    }
    match version.is_empty() || version == object::meta(old, "resourceVersion") {
        true => Ok(()),
        false => Err(Status::modified(kind, name)),
    }
}

/// Clients cannot change what the server owns.
fn keep_server_metadata(new: &mut Value, old: &Value) {
    for name in
        ["uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds", "generation", "generateName"]
    {
        object::copy_meta(new, old, name);
    }
    for name in ["resourceVersion", "selfLink", "managedFields"] {
        object::remove_meta(new, name);
    }
}

/// DS-A13: an update of the main resource leaves status alone, where status is a subresource.
fn keep_status(target: &Target, new: &mut Value, old: &Value) {
    if target.info.subresources.contains(&"status") {
        object::copy_member(new, old, "status");
    }
}

/// DS-A14, DS-A15.
fn count_generation(strategy: &dyn Strategy, new: &mut Value, old: &Value) {
    if strategy.counts_generations() && !schema::semantic_eq(&new["spec"], &old["spec"]) {
        object::set_meta(new, "generation", object::generation(old) + 1);
    }
}

fn validate(target: &Target, part: Part, new: &Value, old: &Value) -> Result<(), Status> {
    let mut errors = match part {
        // Rules are those of the form asked for.
        Part::Main if events::is_converted(target.info) => {
            let shown = |value: &Value| events::to_external(target.info, value.clone());
            schema::validate_update(target.info, &shown(new), &shown(old))
        }
        Part::Main => schema::validate_update(target.info, new, old),
        Part::Status => schema::validate_status_update(target.info, new, old),
        Part::Other => Vec::new(),
    };
    errors.extend(new_finalizers(new, old));
    match errors.is_empty() {
        true => Ok(()),
        false => Err(Status::invalid(&target.info.kind, &target.name, &errors)),
    }
}

/// DS-I24: a terminating object takes no new finalizers.
fn new_finalizers(new: &Value, old: &Value) -> Option<FieldError> {
    if !object::is_terminating(old) {
        return None;
    }
    let before = object::finalizers(old);
    let added: Vec<&str> = object::finalizers(new).into_iter().filter(|name| !before.contains(name)).collect();
    if added.is_empty() {
        return None;
    }
    let list = added.iter().map(|name| format!("\"{name}\"")).collect::<Vec<_>>().join(", ");
    let text = format!(
        "no new finalizers can be added if the object is being deleted, found new finalizers []string{{{list}}}"
    );
    Some(FieldError::forbidden(&Path::new("metadata").child("finalizers"), text))
}
