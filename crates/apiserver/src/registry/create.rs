//! Create.

use everynode_api::kinds::{EVENT, POD};
use everynode_api::status::Status;
use everynode_managed::Managed;
use everynode_store::{Condition, Durability, KeyValue, Outcome, Transaction, Write};
use serde_json::Value;

use super::claims::{self, Claim};
use super::strategy::Strategy;
use super::{Body, Caller, Registry, Reply, Target, WRITE_ATTEMPTS, decode, managed_fields, store_failure};
use crate::catalogue::row::Form;
use crate::{object, schema, stored};

/// Attempts to find a free generated name (DS-C60).
const NAME_ATTEMPTS: usize = 8;
/// Generated names keep so much of `generateName` (DS-C60).
const GENERATED_BASE_MAX: usize = 58;

impl Registry {
    /// Creates an object.
    pub(crate) async fn create(&self, caller: &Caller<'_>, target: &Target, body: Body) -> Result<Reply, Status> {
        let value = decode(&*target.info, body, caller)?;
        self.create_owned(caller, target, value, None).await
    }

    /// Creates an object that was decoded. `applied` are the entries of managed fields that an
    /// apply made; `None`: those of a create are made.
    pub(super) async fn create_owned(
        &self,
        caller: &Caller<'_>,
        target: &Target,
        value: Value,
        applied: Option<Managed>,
    ) -> Result<Reply, Status> {
        let (mut value, generated) = self.name_and_place(target, value)?;
        schema::default(&target.info, &mut value);
        let entries = match applied {
            Some(entries) => Some(entries),
            None => self.entries_of_create(caller, target, &mut value)?,
        };
        if generated {
            // A name that admission and the kind's own beginnings can use; it changes if it is
            // taken.
            let name = self.generated_name(object::meta(&value, "generateName"));
            object::set_meta(&mut value, "name", name);
        }
        let target = &Target { name: object::meta(&value, "name").to_owned(), ..target.clone() };
        let mut namespace = self.admit_create(caller, target, &mut value)?;
        self.begin_life(target, &mut value)?;
        if let Some(entries) = entries {
            managed_fields::put(&mut value, &entries);
        }
        if caller.warnings.is_some() {
            caller.warn((target.info.rules.warn_prepared)(&value));
        }
        let strategy = target.info.strategy;
        let base = object::meta(&value, "generateName").to_owned();
        for attempt in 1.. {
            if generated && attempt > 1 {
                let name = self.generated_name(&base);
                object::set_meta(&mut value, "name", name);
                strategy.prepare_name(self, &mut value)?;
            }
            match self.try_create(caller, target, strategy, &value, &mut namespace).await {
                Err(status)
                    if generated && status.is_already_exists() && attempt < NAME_ATTEMPTS && !is_refusal(&status) => {}
                result => return result,
            }
        }
        Err(Status::internal("no name was tried"))
    }

    /// Checks name and namespace against the URL. Whether the name is to be generated comes along.
    fn name_and_place(&self, target: &Target, mut value: Value) -> Result<(Value, bool), Status> {
        place(target, &mut value)?;
        let name = object::meta(&value, "name");
        if !target.name.is_empty() {
            super::update::check_name(target, &value)?;
        }
        let generated = name.is_empty() && !object::meta(&value, "generateName").is_empty();
        if name.is_empty() && !generated {
            let path = everynode_api::field::Path::new("metadata").child("name");
            let error = everynode_api::field::FieldError::required(&path, "name or generateName is required");
            return Err(Status::invalid(&target.info.kind, "", &[error]));
        }
        Ok((value, generated))
    }

    fn generated_name(&self, base: &str) -> String {
        let mut end = base.len().min(GENERATED_BASE_MAX);
        while !base.is_char_boundary(end) {
            end -= 1;
        }
        format!("{}{}", &base[..end], self.env.name_suffix(5))
    }

    /// The metadata that only the server gives (DS-A10, DS-I10), and the kind's own beginnings.
    fn begin_life(&self, target: &Target, value: &mut Value) -> Result<(), Status> {
        if super::update::is_conditional(value) {
            return Err(Status::failure(500, "", "resourceVersion should not be set on objects to be created"));
        }
        for name in [
            "resourceVersion",
            "selfLink",
            "managedFields",
            "deletionTimestamp",
            "deletionGracePeriodSeconds",
            "generation",
        ] {
            object::remove_meta(value, name);
        }
        object::set_meta(value, "uid", self.env.uid());
        object::set_meta(value, "creationTimestamp", self.env.now_text());
        let strategy = target.info.strategy;
        if strategy.counts_generations() {
            object::set_meta(value, "generation", 1);
        }
        strategy.prepare_name(self, value)?;
        strategy.prepare_create(self, value)
    }

    async fn try_create(
        &self,
        caller: &Caller<'_>,
        target: &Target,
        strategy: &dyn Strategy,
        value: &Value,
        namespace: &mut Option<Condition>,
    ) -> Result<Reply, Status> {
        let name = object::meta(value, "name");
        let errors = schema::validate_create(&target.info, value);
        if !errors.is_empty() {
            // As in Kubernetes, events go by their older name there.
            let kind = if target.info.form == Form::EventsV1 { &EVENT } else { &target.info.kind };
            return Err(Status::invalid(kind, name, &errors));
        }
        if caller.warnings.is_some() {
            caller.warn(schema::warnings::on_create(&target.info, value));
        }
        let target = &Target { name: name.to_owned(), ..target.clone() };
        if caller.dry_run {
            self.charge_quotas(target, value).await?;
            return self.pretend_create(target, value);
        }
        for _ in 0..WRITE_ATTEMPTS {
            if let Some(reply) = self.commit_create(caller, target, strategy, value, namespace).await? {
                return Ok(reply);
            }
            *namespace = self.admit_namespace(target)?;
        }
        Err(Status::too_many_requests("the namespace changes too often, try again", 1))
    }

    fn pretend_create(&self, target: &Target, value: &Value) -> Result<Reply, Status> {
        let existing = self.store.get(&target.key(), None).map_err(|error| store_failure(&error))?;
        super::check_size(&stored::encode(value))?;
        match existing {
            Some(_) => Err(Status::already_exists(&target.info.kind, &target.name)),
            None => Ok(Reply { is_object: true, ..Reply::value(201, value) }),
        }
    }

    /// One attempt; `None`: the namespace or a quota of it changed in between.
    async fn commit_create(
        &self,
        caller: &Caller<'_>,
        target: &Target,
        strategy: &dyn Strategy,
        value: &Value,
        namespace: &Option<Condition>,
    ) -> Result<Option<Reply>, Status> {
        let key = target.key();
        let charges = self.charge_quotas(target, value).await?;
        let (value, mut room) = self.room_for_new(target, value).await?;
        let value = &*value;
        let bytes = match target.info.is_stored_form() {
            false => stored::encode(&super::events::to_stored(&target.info, value.clone())),
            true => stored::encode(value),
        };
        let mut transaction = Transaction {
            conditions: vec![Condition::Absent(key.clone())],
            writes: vec![Write::Put { key: key.clone(), value: bytes.clone(), expires_in: strategy.expires_in() }],
            durability: durability(target),
        };
        transaction.conditions.extend(namespace.clone());
        charges.write_into(&mut transaction);
        let first_claim = transaction.conditions.len();
        let wanted = strategy.claims(&self.settings, value);
        claims::take_all(&mut transaction, &wanted, &claims::holder(value));
        room.committing();
        let outcome = self.commit(caller, target, transaction).await?;
        room.decided(matches!(outcome, Outcome::Committed(_)));
        match outcome {
            Outcome::Committed(revision) => {
                let kv = KeyValue { key, value: bytes, created: revision, modified: revision };
                Reply::stored(201, &target.info, &kv).map(Some)
            }
            Outcome::Refused { condition: 0, .. } => Err(Status::already_exists(&target.info.kind, &target.name)),
            Outcome::Refused { condition, current } if condition >= first_claim => self
                .claim_refused(caller, target, value, &wanted[condition - first_claim], current)
                .await
                .map(|()| None),
            Outcome::Refused { .. } => Ok(None),
        }
    }

    /// A claim is held by another. `Ok`: it was freed, try again.
    async fn claim_refused(
        &self,
        caller: &Caller<'_>,
        target: &Target,
        value: &Value,
        claim: &Claim,
        held: Option<KeyValue>,
    ) -> Result<(), Status> {
        let Some(held) = held else { return Ok(()) };
        if self.free_if_orphaned(caller, target, value, &held).await? {
            return Ok(());
        }
        Err(refused(target, claim, &held))
    }

    /// Frees a claim whose holder may be overtaken. A terminating pod of a set that surges does not
    /// block its successor (DS-C29).
    async fn free_if_orphaned(
        &self,
        caller: &Caller<'_>,
        target: &Target,
        value: &Value,
        held: &KeyValue,
    ) -> Result<bool, Status> {
        if !target.info.is(&POD) || !super::kinds::pod::may_overtake(self, value, held)? {
            return Ok(false);
        }
        let transaction = Transaction {
            conditions: vec![Condition::ModifiedAt(held.key.clone(), held.modified)],
            writes: vec![Write::Delete { key: held.key.clone() }],
            durability: Durability::Fsync,
        };
        self.commit(caller, target, transaction).await.map(|_| true)
    }
}

/// The cause of a create that was refused because of a claim.
const CLAIM_HELD: &str = "ClaimHeld";

/// 409 with the holder in the cause (design "At most one").
pub(crate) fn refused(target: &Target, claim: &Claim, held: &KeyValue) -> Status {
    let holder = String::from_utf8_lossy(&held.value).into_owned();
    let what = match claim.path.split('/').next() {
        Some("daemonpods") => "a live pod of the same daemon set, node and revision exists",
        _ => "what it asks for is already allocated",
    };
    let message = format!(
        "{} \"{}\" already exists in effect: {what}: {holder}",
        target.info.kind.qualified_resource(),
        target.name
    );
    let mut status = Status::already_exists(&target.info.kind, &target.name).with_cause(
        CLAIM_HELD,
        &holder,
        "metadata.ownerReferences",
    );
    status.message = message;
    status
}

fn is_refusal(status: &Status) -> bool {
    status.has_cause(CLAIM_HELD)
}

/// Puts the URL's namespace into the object, or refuses a different one.
pub(crate) fn place(target: &Target, value: &mut Value) -> Result<(), Status> {
    let given = object::meta(value, "namespace");
    if target.namespace.is_empty() {
        object::remove_meta(value, "namespace");
        return Ok(());
    }
    if !given.is_empty() && given != target.namespace {
        return Err(Status::bad_request(
            "the namespace of the provided object does not match the namespace sent on the request",
        ));
    }
    object::set_meta(value, "namespace", target.namespace.as_str());
    Ok(())
}

/// When a write of this object is acknowledged.
pub(crate) fn durability(target: &Target) -> Durability {
    (target.info.durability)(&target.namespace)
}
