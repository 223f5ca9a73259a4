//! Verbs on stored objects, from request to answer.

use std::sync::Arc;
use std::time::Duration;

use everynode_api::fence::{self, Fence};
use everynode_api::status::Status;

use super::answer::{self, Answer};
use super::body::InBody;
use super::handle::{Head, parse, value};
use super::negotiate;
use super::query::Query;
use super::route::Verb;
use super::serve::Shared;
use super::slot::Slot;
use super::{body, watch};
use crate::auth::User;
use crate::hub::Filter;
use crate::registry::read::At;
use crate::registry::{Body, Caller, DeleteOptions, ListOptions, PatchBody, Registry, Reply, Target, WatchParameters};
use crate::schema::FieldValidation;

/// Serves an authorised request. What is large and rare is in boxes: the future of every request is moved around.
pub(crate) async fn serve(
    shared: &Arc<Shared>,
    user: &User,
    head: &Head,
    verb: Verb,
    target: Target,
    body: Option<&InBody>,
) -> Result<Answer, Status> {
    let registry = &shared.server.registry;
    let accepted = negotiate::accepted(&head.headers)?;
    let include = negotiate::include_object(head.query.get("includeObject"))?;
    let now = registry.env.now();
    if verb == Verb::List {
        let options = list_options(&target, &head.query)?;
        // Those who are sent away do not all come back at once.
        let retry_after_seconds = 1 + u32::try_from(registry.env.below(5)).unwrap_or(0);
        let share = shared.lists.share(registry.list_size(target.info, &options)?, retry_after_seconds).await?;
        let page = registry.list(target.info, &options).await?;
        return answer::list(target.info, page, accepted, include, now, share);
    }
    let reply = single(registry, user, head, verb, &target, body).await?;
    answer::reply(target.info, reply, accepted, include, now)
}

/// Serves an authorised watch.
pub(crate) async fn watch(shared: &Arc<Shared>, head: &Head, target: &Target, slot: Slot) -> Result<Answer, Status> {
    let accepted = negotiate::accepted(&head.headers)?;
    let include = negotiate::include_object(head.query.get("includeObject"))?;
    watch::serve(shared, head, target, accepted, include, slot).await
}

/// Verbs that are answered with one object (or a Status).
async fn single(
    registry: &Registry,
    user: &User,
    head: &Head,
    verb: Verb,
    target: &Target,
    body: Option<&InBody>,
) -> Result<Reply, Status> {
    let fence = fence(head)?;
    let caller = caller(user, &head.query, fence.as_ref())?;
    let body = body.ok_or_else(|| Status::method_not_allowed(&target.info.kind));
    match verb {
        Verb::Get if !matches!(target.subresource.as_str(), "" | "status" | "ephemeralcontainers" | "resize") => {
            Err(Status::method_not_allowed(&target.info.kind))
        }
        Verb::Get => registry.get(target),
        Verb::Create if !target.name.is_empty() && target.subresource.is_empty() => {
            Err(Status::method_not_allowed(&target.info.kind))
        }
        Verb::Create if target.subresource.is_empty() => {
            let (target, body) = (placed(target)?, object(head, body?)?);
            registry.create(&caller, target, body).await
        }
        Verb::Create => {
            let body = value(head, body?)?;
            Box::pin(registry.create_subresource(&caller, target, body)).await
        }
        Verb::Update | Verb::Delete | Verb::Patch if target.name.is_empty() => {
            Err(Status::method_not_allowed(&target.info.kind))
        }
        Verb::Update => registry.update(&caller, target, object(head, body?)?).await,
        Verb::Patch => {
            let form = negotiate::patch_type(&head.headers)?;
            registry.patch(&caller, target, PatchBody::Bytes(form, body?.bytes.clone())).await
        }
        Verb::Delete if !target.subresource.is_empty() => Err(Status::method_not_allowed(&target.info.kind)),
        Verb::Delete => {
            let options = delete_options(head, body?)?;
            registry.delete(&caller, target, &options).await
        }
        Verb::DeleteCollection => {
            let filter = filter(target, &head.query)?;
            let options = delete_options(head, body?)?;
            Box::pin(registry.delete_collection(&caller, target, filter, &options)).await
        }
        Verb::List | Verb::Watch => Err(Status::method_not_allowed(&target.info.kind)),
    }
}

/// Namespaced objects are created in a namespace.
fn placed(target: &Target) -> Result<&Target, Status> {
    match target.info.kind.namespaced && target.namespace.is_empty() {
        true => Err(Status::method_not_allowed(&target.info.kind)),
        false => Ok(target),
    }
}

fn object(head: &Head, body: &InBody) -> Result<Body, Status> {
    let (bytes, media) = body::object(&head.headers, body)?;
    Ok(Body::Bytes(bytes, media))
}

fn caller<'a>(user: &'a User, query: &Query, fence: Option<&'a Fence>) -> Result<Caller<'a>, Status> {
    let validation = match query.get("fieldValidation") {
        "" | "Warn" => FieldValidation::Warn,
        "Strict" => FieldValidation::Strict,
        "Ignore" => FieldValidation::Ignore,
        other => {
            let text = format!(
                "fieldValidation: Unsupported value: {other:?}: supported values: \"Ignore\", \"Warn\", \"Strict\""
            );
            return Err(Status::failure(422, "Invalid", text));
        }
    };
    // DS-I21
    let dry_run = match query.get("dryRun") {
        "" => false,
        "All" => true,
        other => {
            return Err(Status::failure(
                422,
                "Invalid",
                format!("dryRun: Unsupported value: {other:?}: supported values: \"All\""),
            ));
        }
    };
    Ok(Caller { user, dry_run, validation, fence })
}

/// The lease that a leader's write depends on. What cannot be read is refused: to go on without would be to lose it.
fn fence(head: &Head) -> Result<Option<Fence>, Status> {
    let mut values = head.headers.get_all(fence::HEADER).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(Status::bad_request(format!("{} was sent twice", fence::HEADER)));
    }
    let text = value.to_str().map_err(|_| Status::bad_request(format!("{} is no text", fence::HEADER)))?;
    Fence::parse(text).map(Some).map_err(|error| Status::bad_request(error.to_string()))
}

fn delete_options(head: &Head, body: &InBody) -> Result<DeleteOptions, Status> {
    let query = &head.query;
    let propagation = match query.get("propagationPolicy") {
        "" => None,
        text => Some(crate::registry::propagation(text)?),
    };
    let from_query = DeleteOptions {
        grace_period_seconds: query.number("gracePeriodSeconds")?,
        propagation,
        orphan_dependents: query.flag("orphanDependents"),
        ..DeleteOptions::default()
    };
    let (bytes, media) = body::object(&head.headers, body)?;
    from_query.read(&parse(&bytes, media)?)
}

pub(super) fn filter(target: &Target, query: &Query) -> Result<Filter, Status> {
    let namespace = Some(target.namespace.clone()).filter(|namespace| !namespace.is_empty());
    let fields = crate::registry::stored_field_selector(target.info, query.get("fieldSelector"));
    Filter::parse(target.info, namespace, query.get("labelSelector"), &fields)
}

/// DS-I30, DS-I31
fn list_options(target: &Target, query: &Query) -> Result<ListOptions, Status> {
    let version = resource_version(query)?;
    let continued = Some(query.get("continue").to_owned()).filter(|token| !token.is_empty());
    let at = match (query.get("resourceVersionMatch"), version) {
        ("", None | Some(0)) => At::Newest,
        ("", Some(revision)) | ("NotOlderThan", Some(revision)) => At::NotOlderThan(revision),
        ("Exact", Some(revision)) if revision > 0 => At::Exactly(revision),
        ("Exact" | "NotOlderThan", _) => {
            return Err(invalid_list_options(
                "resourceVersionMatch: Forbidden: resourceVersionMatch is forbidden unless resourceVersion is provided",
            ));
        }
        (other, _) => return Err(invalid_list_options(&format!("resourceVersionMatch: Unsupported value: {other:?}"))),
    };
    if continued.is_some() && version.is_some_and(|version| version > 0) {
        return Err(Status::bad_request("specifying resource version is not allowed when using continue"));
    }
    let limit: usize = query.number::<i64>("limit")?.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(0);
    Ok(ListOptions { filter: filter(target, query)?, at, limit, continue_token: continued })
}

fn invalid_list_options(text: &str) -> Status {
    Status::failure(422, "Invalid", format!("ListOptions.meta.k8s.io \"\" is invalid: {text}"))
}

fn resource_version(query: &Query) -> Result<Option<u64>, Status> {
    match query.get("resourceVersion") {
        "" => Ok(None),
        text => text
            .parse()
            .map(Some)
            .map_err(|_| invalid_list_options(&format!("resourceVersion: Invalid value: {text:?}"))),
    }
}

/// DS-I32 to DS-I35
pub(super) fn watch_parameters(registry: &Registry, target: &Target, query: &Query) -> Result<WatchParameters, Status> {
    let send_initial_events = query.flag("sendInitialEvents");
    let matching = query.get("resourceVersionMatch");
    if send_initial_events.is_some() && matching != "NotOlderThan" {
        return Err(invalid_list_options(
            "resourceVersionMatch: Forbidden: sendInitialEvents requires setting resourceVersionMatch to NotOlderThan",
        ));
    }
    if send_initial_events.is_none() && !matching.is_empty() {
        return Err(invalid_list_options(
            "resourceVersionMatch: Forbidden: resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided",
        ));
    }
    // Between half an hour and an hour, so that clients do not all come back at once.
    let own = 1800 + registry.env.below(1800);
    let timeout = query.number::<u64>("timeoutSeconds")?.filter(|seconds| *seconds > 0).unwrap_or(own);
    Ok(WatchParameters {
        filter: filter(target, query)?,
        resource_version: resource_version(query)?,
        send_initial_events,
        bookmarks: query.flag("allowWatchBookmarks") == Some(true),
        bookmark_every: None,
        timeout: Some(Duration::from_secs(timeout)),
    })
}
