//! Delete and deletecollection: preconditions, finalizers, grace (DS-I23, DS-I24, DS-H24, DS-C80 to
//! DS-C82).

use everynode_api::field::{FieldError, Path};
use everynode_api::kinds::Kind;
use everynode_api::ports::{Preconditions, Propagation};
use everynode_api::status::Status;
use everynode_store::{Condition, KeyValue, Transaction};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::create::durability;
use super::read::ListOptions;
use super::strategy::Grace;
use super::update::{Attempt, Read};
use super::{Caller, Registry, Reply, Target, WRITE_ATTEMPTS};
use crate::hub::Filter;
use crate::stored::SpecAside;
use crate::{object, stored};

/// `DeleteOptions`, from body or query.
#[derive(Clone, Debug, Default)]
pub(crate) struct DeleteOptions {
    pub(crate) grace_period_seconds: Option<i64>,
    pub(crate) propagation: Option<Propagation>,
    pub(crate) orphan_dependents: Option<bool>,
    pub(crate) preconditions: Preconditions,
    /// Only pretend (DS-I21); kubectl says so in the body.
    pub(crate) dry_run: bool,
}

impl DeleteOptions {
    /// Reads the body of a DELETE over what the query said.
    pub(crate) fn read(mut self, body: &Value) -> Result<DeleteOptions, Status> {
        self.grace_period_seconds = body["gracePeriodSeconds"].as_i64().or(self.grace_period_seconds);
        self.orphan_dependents = body["orphanDependents"].as_bool().or(self.orphan_dependents);
        if let Some(text) = body["propagationPolicy"].as_str() {
            self.propagation = Some(propagation(text)?);
        }
        let dry_run = body["dryRun"].as_array().map(Vec::as_slice).unwrap_or_default();
        if dry_run.iter().any(|text| text != "All") {
            let path = Path::new("dryRun");
            return Err(invalid_options(FieldError::not_supported(&path, body["dryRun"].clone(), &["All"])));
        }
        self.dry_run |= !dry_run.is_empty();
        let wanted = &body["preconditions"];
        self.preconditions.uid = wanted["uid"].as_str().map(str::to_owned);
        if let Some(version) = wanted["resourceVersion"].as_str() {
            let number =
                version.parse().map_err(|_| Status::bad_request(format!("invalid resource version {version:?}")))?;
            self.preconditions.resource_version = Some(number);
        }
        if self.propagation.is_some() && self.orphan_dependents.is_some() {
            let detail = "orphanDependents and deletionPropagation cannot be both set";
            let given = body["propagationPolicy"].clone();
            return Err(invalid_options(FieldError::invalid(&Path::new("propagationPolicy"), given, detail)));
        }
        if self.grace_period_seconds.is_some_and(|seconds| seconds < 0) {
            self.grace_period_seconds = Some(1);
        }
        Ok(self)
    }

    fn orphans(&self, had: bool) -> bool {
        match (self.orphan_dependents, self.propagation) {
            (Some(orphan), _) => orphan,
            (None, Some(propagation)) => propagation == Propagation::Orphan,
            (None, None) => had,
        }
    }

    fn foreground(&self, had: bool) -> bool {
        match (self.orphan_dependents, self.propagation) {
            (Some(_), _) => false,
            (None, Some(propagation)) => propagation == Propagation::Foreground,
            (None, None) => had,
        }
    }
}

/// Reads `propagationPolicy`.
pub(crate) fn propagation(text: &str) -> Result<Propagation, Status> {
    match text {
        "Background" => Ok(Propagation::Background),
        "Foreground" => Ok(Propagation::Foreground),
        "Orphan" => Ok(Propagation::Orphan),
        _ => {
            let words = ["Foreground", "Background", "Orphan", "nil"];
            Err(invalid_options(FieldError::not_supported(&Path::new("propagationPolicy"), text, &words)))
        }
    }
}

fn invalid_options(error: FieldError) -> Status {
    Status::invalid(&Kind::built_in("meta.k8s.io", "v1", "DeleteOptions", "", false), "", &[error])
}

const ORPHAN: &str = "orphan";
const FOREGROUND: &str = "foregroundDeletion";

impl Registry {
    /// Deletes one object, or marks it for deletion.
    pub(crate) async fn delete(
        &self,
        caller: &Caller<'_>,
        target: &Target,
        options: &DeleteOptions,
    ) -> Result<Reply, Status> {
        let caller = &Caller { dry_run: caller.dry_run || options.dry_run, ..*caller };
        for _ in 0..WRITE_ATTEMPTS {
            let kv = self.current(target)?;
            let read = read_for_delete(target, &kv)?;
            // First: a failed precondition tells about the object.
            self.admit_delete(caller, target, &read.old)?;
            check_preconditions(target, options, &read.old, &kv)?;
            match self.try_delete(caller, target, options, read).await? {
                Attempt::Done(reply) => return Ok(reply),
                Attempt::Raced => {}
            }
        }
        Err(Status::modified(&target.info.kind, &target.name))
    }

    async fn try_delete(
        &self,
        caller: &Caller<'_>,
        target: &Target,
        options: &DeleteOptions,
        Read { kv, old, spec, .. }: Read<'_>,
    ) -> Result<Attempt, Status> {
        let strategy = target.info.strategy;
        let grace = strategy.grace(&old, options.grace_period_seconds);
        // The way of most: no copy of the object is needed to see that nothing holds it.
        let at_once = matches!(grace, Grace::Immediate | Grace::Seconds(0)) && !is_held(&old, options);
        let mut new = if at_once { Value::Null } else { old.clone() };
        let stays = !at_once && {
            object::remove_meta(&mut new, "resourceVersion");
            set_finalizers(&mut new, options);
            let held = !object::finalizers(&new).is_empty();
            match grace {
                Grace::Immediate | Grace::Seconds(0) => held,
                Grace::Seconds(_) => true,
                Grace::UntilEmpty => held || !strategy.may_go(&new),
            }
        };
        if !stays {
            let mut last = old;
            let bytes = match strategy.marks_the_removed() {
                true => {
                    object::remove_meta(&mut last, "resourceVersion");
                    mark(&mut last, grace, self.env.now());
                    stored::encode_whole(&last, spec.as_ref())
                }
                false => kv.value.clone(),
            };
            let transaction = Transaction {
                conditions: vec![Condition::ModifiedAt(kv.key.clone(), kv.modified)],
                writes: Vec::new(),
                durability: durability(target),
            };
            let attempt = self.remove(caller, target, strategy, transaction, kv, (&last, bytes)).await?;
            return Ok(answer(target, attempt, &last, strategy.returns_deleted()));
        }
        mark(&mut new, grace, self.env.now());
        strategy.mark_deleted(&mut new);
        self.write(caller, target, strategy, new, Read { kv, old, spec, entries: None }).await
    }

    /// Deletes every object that the filter matches; each by the rules of a single deletion.
    pub(crate) async fn delete_collection(
        &self,
        caller: &Caller<'_>,
        target: &Target,
        filter: Filter,
        options: &DeleteOptions,
    ) -> Result<Reply, Status> {
        if !is_deletable_collection(target) {
            return Err(Status::method_not_allowed());
        }
        let page = self.list(&target.info, &ListOptions { filter, ..ListOptions::everything() }).await?;
        for item in &page.items {
            let (namespace, name) = item.namespace_and_name();
            let one = Target { namespace: namespace.into(), name: name.into(), ..target.clone() };
            match self.delete(caller, &one, options).await {
                Ok(_) => {}
                Err(status) if status.is_not_found() => {}
                Err(status) => return Err(status),
            }
        }
        let json = super::read::list_body(&target.info, &page)?;
        Ok(Reply { code: 200, json, is_object: false })
    }
}

/// What a deletion is decided by. Nothing of it looks at the spec of a pod that is bound, which
/// stays text.
fn read_for_delete<'a>(target: &Target, kv: &'a KeyValue) -> Result<Read<'a>, Status> {
    let aside = match &*target.info.storage {
        "pods" => stored::decode_spec_aside(&kv.value, kv.modified)?,
        _ => None,
    };
    match aside {
        Some(SpecAside { value, spec }) => Ok(Read { kv, old: value, spec: Some(spec), entries: None }),
        None => Ok(Read::whole(kv, stored::decode(&kv.value, kv.modified)?)),
    }
}

/// Neither all namespaces at once nor the objects of all of them.
fn is_deletable_collection(target: &Target) -> bool {
    match target.info.kind.namespaced {
        true => !target.namespace.is_empty(),
        false => target.info.verbs.contains(&"deletecollection"),
    }
}

/// DELETE of something that is gone at once answers with a Status for most kinds (DS-I10).
fn answer(target: &Target, attempt: Attempt, last: &Value, returns_object: bool) -> Attempt {
    match attempt {
        Attempt::Done(_) if !returns_object => {
            let kind = &target.info.kind;
            let mut details = json!({"name": target.name, "kind": kind.plural, "uid": object::meta(last, "uid")});
            if !kind.group.is_empty() {
                details["group"] = kind.group.as_ref().into();
            }
            let status =
                json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details});
            Attempt::Done(Reply::value(200, &status))
        }
        attempt => attempt,
    }
}

fn check_preconditions(target: &Target, options: &DeleteOptions, old: &Value, kv: &KeyValue) -> Result<(), Status> {
    // Here the kind stands for the resource, in Kubernetes as well.
    let kind = Kind { plural: target.info.kind.kind.clone(), ..target.info.kind.clone() };
    let conflict = |text: String| Err(Status::conflict(&kind, &target.name, &text));
    let held = object::meta(old, "uid");
    match (&options.preconditions.uid, options.preconditions.resource_version) {
        (Some(uid), _) if uid != held => conflict(format!(
            "the UID in the precondition ({uid}) does not match the UID in record ({held}). The object might have \
                 been deleted and then recreated"
        )),
        (_, Some(version)) if version != kv.modified.0 => conflict(format!(
            "the ResourceVersion in the precondition ({version}) does not match the ResourceVersion in record ({}). The \
             object might have been modified",
            kv.modified.0
        )),
        _ => Ok(()),
    }
}

/// Whether finalizers hold the object once the propagation policy is among them.
fn is_held(old: &Value, options: &DeleteOptions) -> bool {
    let mut held = json!({"metadata": {"finalizers": old["metadata"]["finalizers"]}});
    set_finalizers(&mut held, options);
    !object::finalizers(&held).is_empty()
}

/// The propagation policy becomes finalizers (DS-C81, DS-C82).
fn set_finalizers(value: &mut Value, options: &DeleteOptions) {
    let names: Vec<String> = object::finalizers(value).into_iter().map(str::to_owned).collect();
    let had = |name: &str| names.iter().any(|held| held == name);
    let (orphan, foreground) = (options.orphans(had(ORPHAN)), options.foreground(had(FOREGROUND)));
    let mut kept: Vec<Value> = names
        .iter()
        .filter(|name| !matches!(name.as_str(), ORPHAN | FOREGROUND))
        .map(|name| name.as_str().into())
        .collect();
    if orphan {
        kept.push(ORPHAN.into());
    }
    if foreground && !orphan {
        kept.push(FOREGROUND.into());
    }
    match kept.is_empty() {
        true => object::remove_meta(value, "finalizers"),
        false => object::set_meta(value, "finalizers", kept),
    }
}

/// Sets deletionTimestamp and, but for namespaces, grace; a grace period that runs is only ever
/// shortened (DS-H24).
fn mark(value: &mut Value, grace: Grace, now: Timestamp) {
    let seconds = match grace {
        Grace::Seconds(seconds) => seconds,
        Grace::Immediate | Grace::UntilEmpty => 0,
    };
    let marked = object::meta_time(value, "deletionTimestamp");
    let running = value["metadata"]["deletionGracePeriodSeconds"].as_i64().unwrap_or(0);
    let deadline = match marked {
        Some(_) if running <= seconds || grace == Grace::UntilEmpty => return,
        // From when the deletion was asked for, not from now.
        Some(deadline) => deadline - SignedDuration::from_secs(running) + SignedDuration::from_secs(seconds),
        None => now + SignedDuration::from_secs(seconds),
    };
    object::set_meta(value, "deletionTimestamp", everynode_api::time::rfc3339(deadline));
    if grace != Grace::UntilEmpty {
        object::set_meta(value, "deletionGracePeriodSeconds", seconds);
    }
    if marked.is_none() && object::generation(value) > 0 {
        let generation = object::generation(value) + 1;
        object::set_meta(value, "generation", generation);
    }
}
