//! From a query to the options of an operation. What is not understood is refused in Kubernetes'
//! words, never passed over.

use std::time::Duration;

use everynode_api::field::{FieldError, Path};
use everynode_api::kinds::Kind;
use everynode_api::status::Status;

use super::query::Query;
use crate::hub::Filter;
use crate::operation::Verb;
use crate::operation::options::{Options, WriteOptions};
use crate::registry::managed_fields::manager_error;
use crate::registry::read::At;
use crate::registry::{DeleteOptions, ListOptions, Target, WatchParameters};
use crate::schema::FieldValidation;

/// Reads what a query says for this verb.
pub(crate) fn read(verb: Verb, target: &Target, query: &Query) -> Result<Options, Status> {
    Ok(match verb {
        Verb::Get => Options::Get { not_older_than: exact_version(query)? },
        Verb::List => Options::List(list(target, query)?),
        Verb::Watch => Options::Watch(watch(target, query)?),
        Verb::Create => Options::Write(write("CreateOptions", query)?),
        Verb::Update => Options::Write(write("UpdateOptions", query)?),
        Verb::Patch => Options::Write(write("PatchOptions", query)?),
        Verb::Delete | Verb::DeleteCollection => {
            let filter = match verb {
                Verb::DeleteCollection => filter(target, query)?,
                _ => Filter::everything(),
            };
            Options::Delete { write: write("DeleteOptions", query)?, delete: delete(query)?, filter }
        }
    })
}

/// Refuses options of this kind.
fn invalid(kind: &'static str, error: FieldError) -> Status {
    let kind = Kind {
        group: "meta.k8s.io".into(),
        version: "v1".into(),
        kind: kind.into(),
        plural: "".into(),
        namespaced: false,
    };
    Status::invalid(&kind, "", &[error])
}

/// What a query says of a write; `kind` is how the options are called when they are refused.
pub(crate) fn write(kind: &'static str, query: &Query) -> Result<WriteOptions, Status> {
    let refuse = |error| Err(invalid(kind, error));
    let dry_run: Vec<&str> = query.all("dryRun").collect();
    if dry_run.iter().any(|value| *value != "All") {
        let given = serde_json::json!(dry_run);
        return refuse(FieldError::not_supported(&Path::new("dryRun"), given, &["All"]));
    }
    let validation = match query.get("fieldValidation") {
        "" | "Warn" => FieldValidation::Warn,
        "Strict" => FieldValidation::Strict,
        "Ignore" => FieldValidation::Ignore,
        other => {
            let known = ["", "Ignore", "Strict", "Warn"];
            return refuse(FieldError::not_supported(&Path::new("fieldValidation"), other, &known));
        }
    };
    if let Some(error) = manager_error(query.get("fieldManager"), &Path::new("fieldManager")) {
        return refuse(error);
    }
    Ok(WriteOptions { dry_run: !dry_run.is_empty(), validation, force: query.flag("force") == Some(true) })
}

/// Server-side apply names its manager.
pub(crate) fn require_manager(query: &Query) -> Result<(), Status> {
    match query.get("fieldManager").is_empty() {
        true => {
            let error = FieldError::required(&Path::new("fieldManager"), "is required for apply patch");
            Err(invalid("PatchOptions", error))
        }
        false => Ok(()),
    }
}

/// Only server-side apply may be forced.
pub(crate) fn refuse_force(options: WriteOptions) -> Result<(), Status> {
    match options.force {
        true => {
            let detail = "may not be specified for non-apply patch";
            Err(invalid("PatchOptions", FieldError::forbidden(&Path::new("force"), detail)))
        }
        false => Ok(()),
    }
}

fn delete(query: &Query) -> Result<DeleteOptions, Status> {
    let propagation = match query.get("propagationPolicy") {
        "" => None,
        text => Some(crate::registry::propagation(text)?),
    };
    Ok(DeleteOptions {
        grace_period_seconds: query.number("gracePeriodSeconds")?,
        propagation,
        orphan_dependents: query.flag("orphanDependents"),
        ..DeleteOptions::default()
    })
}

fn filter(target: &Target, query: &Query) -> Result<Filter, Status> {
    let namespace = Some(target.namespace.clone()).filter(|namespace| !namespace.is_empty());
    let fields = crate::registry::stored_field_selector(&target.info, query.get("fieldSelector"))?;
    Filter::parse(&target.info, namespace, query.get("labelSelector"), &fields)
}

/// DS-I30, DS-I31
fn list(target: &Target, query: &Query) -> Result<ListOptions, Status> {
    check(list_errors(query))?;
    let version = resource_version(query)?;
    let continued = Some(query.get("continue").to_owned()).filter(|token| !token.is_empty());
    let at = match (query.get("resourceVersionMatch"), version) {
        ("Exact", Some(revision)) => At::Exactly(revision),
        (_, Some(revision)) if revision > 0 => At::NotOlderThan(revision),
        _ => At::Newest,
    };
    if continued.is_some() && version.is_some_and(|version| version > 0) {
        return Err(Status::bad_request("specifying resource version is not allowed when using continue"));
    }
    timeout(query)?;
    let limit: usize = query.number("limit")?.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(0);
    Ok(ListOptions { filter: filter(target, query)?, at, limit, continue_token: continued })
}

fn check(errors: Vec<FieldError>) -> Result<(), Status> {
    match errors.is_empty() {
        true => Ok(()),
        false => {
            let kind = Kind::built_in("meta.k8s.io", "v1", "ListOptions", "", false);
            Err(Status::invalid(&kind, "", &errors))
        }
    }
}

const WITH_CONTINUE: &str = "resourceVersionMatch is forbidden when continue is provided";

/// What does not fit together in the options of a list.
fn list_errors(query: &Query) -> Vec<FieldError> {
    let (matching, path) = (query.get("resourceVersionMatch"), Path::new("resourceVersionMatch"));
    let version = query.get("resourceVersion");
    let mut errors = Vec::new();
    if !matching.is_empty() && version.is_empty() {
        let detail = "resourceVersionMatch is forbidden unless resourceVersion is provided";
        errors.push(FieldError::forbidden(&path, detail));
    }
    if !matching.is_empty() && !query.get("continue").is_empty() {
        errors.push(FieldError::forbidden(&path, WITH_CONTINUE));
    }
    if !matches!(matching, "" | "Exact" | "NotOlderThan") {
        errors.push(FieldError::not_supported(&path, matching, &["Exact", "NotOlderThan", ""]));
    }
    if matching == "Exact" && version == "0" {
        let detail = "resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\"";
        errors.push(FieldError::forbidden(&path, detail));
    }
    if query.flag("sendInitialEvents").is_some() {
        let detail = "sendInitialEvents is forbidden for list";
        errors.push(FieldError::forbidden(&Path::new("sendInitialEvents"), detail));
    }
    errors
}

/// What does not fit together in the options of a watch.
fn watch_errors(query: &Query) -> Vec<FieldError> {
    let (matching, path) = (query.get("resourceVersionMatch"), Path::new("resourceVersionMatch"));
    let initial = query.flag("sendInitialEvents").is_some();
    let mut errors = Vec::new();
    if initial && matching != "NotOlderThan" {
        let detail = "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan";
        errors.push(FieldError::forbidden(&path, detail));
    }
    if !matching.is_empty() && !initial {
        let detail = "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided";
        errors.push(FieldError::forbidden(&path, detail));
    }
    if !matches!(matching, "" | "NotOlderThan") {
        errors.push(FieldError::not_supported(&path, matching, &["NotOlderThan"]));
    }
    if !query.get("continue").is_empty() {
        errors.push(FieldError::forbidden(&path, WITH_CONTINUE));
    }
    errors
}

/// What is no revision, in Go's words.
fn version_error(text: &str) -> String {
    let why = match text.bytes().all(|byte| byte.is_ascii_digit()) {
        true => "value out of range",
        false => "invalid syntax",
    };
    format!("resourceVersion: Invalid value: {text:?}: strconv.ParseUint: parsing {text:?}: {why}")
}

/// The revision that a list names.
fn resource_version(query: &Query) -> Result<Option<u64>, Status> {
    let refuse = |text: &str| Status::bad_request(format!("invalid resource version: {}", version_error(text)));
    version(query, refuse)
}

/// The same of a GET or a watch, where Kubernetes fails instead of refusing.
fn exact_version(query: &Query) -> Result<Option<u64>, Status> {
    version(query, |text| Status::failure(500, "", version_error(text)))
}

fn version(query: &Query, refuse: impl Fn(&str) -> Status) -> Result<Option<u64>, Status> {
    match query.get("resourceVersion") {
        "" => Ok(None),
        text => text.parse().map(Some).map_err(|_| refuse(text)),
    }
}

fn timeout(query: &Query) -> Result<Option<Duration>, Status> {
    let seconds = query.number("timeoutSeconds")?.and_then(|seconds| u64::try_from(seconds).ok());
    Ok(seconds.filter(|seconds| *seconds > 0).map(Duration::from_secs))
}

/// DS-I32 to DS-I35
fn watch(target: &Target, query: &Query) -> Result<WatchParameters, Status> {
    check(watch_errors(query))?;
    Ok(WatchParameters {
        filter: filter(target, query)?,
        resource_version: exact_version(query)?,
        send_initial_events: query.flag("sendInitialEvents"),
        bookmarks: query.flag("allowWatchBookmarks") == Some(true),
        bookmark_every: None,
        timeout: timeout(query)?,
    })
}
