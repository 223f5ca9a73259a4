//! Verbs on stored objects, from request to answer.

use std::sync::Arc;

use everynode_api::fence::{self, Fence};
use everynode_api::kinds::Kind;
use everynode_api::status::Status;

use super::answer::{self, Answer};
use super::body::InBody;
use super::handle::Head;
use super::serve::Shared;
use super::slot::Slot;
use super::{body, negotiate, options, watch};
use crate::auth::{User, reviews};
use crate::catalogue::RowRef;
use crate::operation::Verb;
use crate::operation::options::{Options, WriteOptions};
use crate::registry::{Body, Caller, DeleteOptions, PatchBody, Registry, Reply, Target, Warnings, WatchParameters};
use crate::schema;
use crate::server::ApiServer;

/// Carries out an authorised operation. What is large and rare is in boxes: the future of every request is moved around.
pub(crate) async fn serve(
    shared: &Arc<Shared>,
    user: &User,
    head: &Head,
    asked: (Verb, Options),
    target: &Target,
    body: Option<&InBody>,
) -> Result<Answer, Status> {
    let registry = &shared.server.registry;
    let accepted = negotiate::accepted(&head.headers)?;
    let include = negotiate::include_object(head.query.get("includeObject"))?;
    let now = registry.env.now();
    let warnings = Warnings::default();
    if let Some(text) = target.info.rules.deprecated {
        warnings.add(text.to_owned());
    }
    if let (_, Options::List(options)) = asked {
        // Those who are sent away do not all come back at once.
        let retry_after_seconds = 1 + u32::try_from(registry.env.below(5)).unwrap_or(0);
        let share = shared.lists.share(registry.list_size(&target.info, &options)?, retry_after_seconds).await?;
        let page = registry.list(&target.info, &options).await?;
        return Ok(warned(answer::list(&target.info, page, accepted, include, now, share), warnings));
    }
    let reply = single(registry, user, head, asked, (target, body), &warnings).await;
    Ok(warned(reply.and_then(|reply| answer::reply(&target.info, reply, accepted, include, now)), warnings))
}

/// Serves an authorised watch.
pub(crate) async fn watch(
    shared: &Arc<Shared>,
    head: &Head,
    info: RowRef,
    parameters: WatchParameters,
    slot: Slot,
) -> Result<Answer, Status> {
    let accepted = negotiate::accepted(&head.headers)?;
    let include = negotiate::include_object(head.query.get("includeObject"))?;
    let warnings = Warnings::default();
    if let Some(text) = info.rules.deprecated {
        warnings.add(text.to_owned());
    }
    Ok(warned(watch::serve(shared, info, parameters, accepted, include, slot).await, warnings))
}

/// Verbs that are answered with one object (or a Status).
async fn single(
    registry: &Registry,
    user: &User,
    head: &Head,
    asked: (Verb, Options),
    (target, body): (&Target, Option<&InBody>),
    warnings: &Warnings,
) -> Result<Reply, Status> {
    let not_allowed = || Err(Status::method_not_allowed());
    let fence = fence(head)?;
    let body = body.ok_or_else(Status::method_not_allowed);
    match asked {
        (Verb::Get, _) if !target.is_readable() => not_allowed(),
        (Verb::Get, Options::Get { not_older_than }) => {
            registry.check_reached(not_older_than.unwrap_or(0)).await?;
            registry.get(target)
        }
        (Verb::Get, _) => registry.get(target),
        (verb, Options::Write(options)) => {
            let caller = caller(user, options, (fence.as_ref(), warnings));
            write(registry, &caller, head, (verb, options), target, body?).await
        }
        (_, Options::Delete { .. }) if !target.subresource.is_empty() => not_allowed(),
        (Verb::Delete, Options::Delete { write, delete, .. }) => {
            let options = delete_options(head, delete, body?)?;
            registry.delete(&caller(user, write, (fence.as_ref(), warnings)), target, &options).await
        }
        (_, Options::Delete { write, delete, filter }) => {
            let options = delete_options(head, delete, body?)?;
            let caller = &caller(user, write, (fence.as_ref(), warnings));
            Box::pin(registry.delete_collection(caller, target, filter, &options)).await
        }
        _ => not_allowed(),
    }
}

async fn write(
    registry: &Registry,
    caller: &Caller<'_>,
    head: &Head,
    (verb, options): (Verb, WriteOptions),
    target: &Target,
    body: &InBody,
) -> Result<Reply, Status> {
    match verb {
        Verb::Create if target.name.is_empty() != target.subresource.is_empty() => Err(Status::method_not_allowed()),
        Verb::Create if target.subresource.is_empty() => {
            let (target, body) = (placed(target)?, object(head, body)?);
            registry.create(caller, target, body).await
        }
        Verb::Create => {
            negotiate::refuse_table(&head.headers)?;
            let body = object(head, body)?;
            Box::pin(registry.create_subresource(caller, target, body)).await
        }
        _ if target.name.is_empty() => Err(Status::method_not_allowed()),
        Verb::Update => registry.update(caller, target, object(head, body)?).await,
        _ => {
            let form = negotiate::patch_type(&head.headers)?;
            options::refuse_force(options)?;
            registry.patch(caller, target, PatchBody::Bytes(form, body.bytes.clone())).await
        }
    }
}

/// Namespaced objects are created in a namespace.
fn placed(target: &Target) -> Result<&Target, Status> {
    match target.info.kind.namespaced && target.namespace.is_empty() {
        true => Err(Status::method_not_allowed()),
        false => Ok(target),
    }
}

fn object(head: &Head, body: &InBody) -> Result<Body, Status> {
    let (bytes, media) = body::object(&head.headers, body)?;
    Ok(Body::Bytes(bytes, media))
}

/// Answers a review of a kind, in a namespace if it is of one.
pub(crate) fn review(
    server: &ApiServer,
    user: &User,
    head: &Head,
    (kind, namespace): (&Kind, &str),
    body: &InBody,
) -> Result<Answer, Status> {
    negotiate::refuse_table(&head.headers)?;
    let encoding = negotiate::accepted(&head.headers)?.encoding;
    let warnings = Warnings::default();
    let options = options::write("CreateOptions", &head.query)?;
    let caller = caller(user, options, (None, &warnings));
    let answered = object(head, body)
        .and_then(|body| crate::registry::decode(kind, body, &caller))
        .and_then(|review| reviews::answer(&server.registry, user, kind, namespace, review))
        .and_then(|review| answer::encoded(201, encoding, answer::to_bytes(&review)?));
    Ok(warned(answered, warnings))
}

/// An answer with what its client is to be warned of: failures, too.
fn warned(answered: Result<Answer, Status>, warnings: Warnings) -> Answer {
    let mut answer = answered.unwrap_or_else(|status| answer::failure(&status));
    answer::add_warnings(&mut answer, &warnings.into_texts());
    answer
}

fn caller<'a>(
    user: &'a User,
    options: WriteOptions,
    (fence, warnings): (Option<&'a Fence>, &'a Warnings),
) -> Caller<'a> {
    Caller { user, dry_run: options.dry_run, validation: options.validation, fence, warnings: Some(warnings) }
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

/// The body's options over those of the query.
fn delete_options(head: &Head, asked: DeleteOptions, body: &InBody) -> Result<DeleteOptions, Status> {
    let (bytes, media) = body::object(&head.headers, body)?;
    asked.read(&schema::decode_delete_options(&bytes, media)?)
}
