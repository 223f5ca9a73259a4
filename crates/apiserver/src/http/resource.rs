//! Verbs on stored objects, from request to answer.

use std::sync::Arc;

use everynode_api::fence::{self, Fence};
use everynode_api::kinds::Kind;
use everynode_api::status::Status;
use http::Method;
use http::header::USER_AGENT;
use serde_json::Value;

use super::answer::{self, Answer};
use super::body::InBody;
use super::handle::Head;
use super::negotiate::{PatchForm, Protobuf};
use super::serve::Shared;
use super::slot::Slot;
use super::{body, negotiate, options, watch};
use crate::auth::{User, reviews};
use crate::catalogue::Row;
use crate::operation::execute::{Authorized, Content, Outcome, Sender};
use crate::operation::options::WriteOptions;
use crate::registry::managed_fields::MANAGER_BYTES_MAX;
use crate::registry::{Applied, Body, Change, PatchBody, Target, Warnings};
use crate::schema;
use crate::server::ApiServer;

/// Carries out an authorised operation that ends.
pub(crate) async fn serve(
    server: &ApiServer,
    user: &User,
    head: &Head,
    operation: Authorized,
    body: Option<&InBody>,
) -> Result<Answer, Status> {
    let accepted = negotiate::accepted(&head.headers, Protobuf::of(operation.target()))?;
    let include = negotiate::include_object(head.query.get("includeObject"))?;
    let now = server.registry.env.now();
    let info = operation.target().info.clone();
    let warnings = warnings_of(&info);
    let manager = manager(head);
    let fence = fence(head);
    let outcome = match fence {
        Ok(fence) => {
            let manager = Some(&*manager);
            let sender = Sender { user, fence: fence.as_ref(), manager, warnings: Some(&warnings) };
            server.execute(sender, operation, Sent { head, body }).await
        }
        Err(status) => Err(status),
    };
    let answered = outcome.and_then(|outcome| match outcome {
        Outcome::One(reply) => answer::reply(&info, reply, accepted, include, now),
        Outcome::Page(page, share) => answer::list(&info, page, accepted, include, now, share),
    });
    Ok(warned(head, answered, warnings))
}

/// What could not be read of the query: of a kind that is deprecated it is said with that, too.
pub(crate) fn refused(head: &Head, target: &Target, status: Status) -> Answer {
    warned(head, Err(status), warnings_of(&target.info))
}

/// Serves an authorised watch.
pub(crate) async fn watch(
    shared: &Arc<Shared>,
    head: &Head,
    operation: Authorized,
    slot: Slot,
) -> Result<Answer, Status> {
    let accepted = negotiate::accepted(&head.headers, Protobuf::of(operation.target()))?;
    let include = negotiate::include_object(head.query.get("includeObject"))?;
    let warnings = warnings_of(&operation.target().info);
    Ok(warned(head, watch::serve(shared, operation, accepted, include, slot).await, warnings))
}

/// The warnings of every answer about a kind.
fn warnings_of(info: &Row) -> Warnings {
    let warnings = Warnings::default();
    if let Some(text) = &info.deprecated {
        warnings.add(text.to_string());
    }
    warnings
}

/// The content of a request: its form is in the headers.
struct Sent<'a> {
    head: &'a Head,
    body: Option<&'a InBody>,
}

impl Sent<'_> {
    fn body(&self) -> Result<&InBody, Status> {
        self.body.ok_or_else(Status::method_not_allowed)
    }
}

impl Content for Sent<'_> {
    fn object(self, target: &Target) -> Result<Body, Status> {
        let body = self.body()?;
        if !target.subresource.is_empty() && self.head.method == Method::POST {
            negotiate::refuse_table(&self.head.headers)?;
        }
        if Protobuf::of(target) == Protobuf::Metadata && negotiate::is_protobuf(&self.head.headers) {
            return Err(Status::unsupported_media_type("application/json, application/yaml"));
        }
        object(self.head, body)
    }

    fn patch(self, options: WriteOptions) -> Result<Change, Status> {
        let body = self.body()?;
        match negotiate::patch_form(&self.head.headers)? {
            PatchForm::Apply => {
                options::require_manager(&self.head.query)?;
                Ok(Change::Apply(Applied { text: body.bytes.clone(), force: options.force }))
            }
            PatchForm::Patch(form) => {
                options::refuse_force(options)?;
                Ok(Change::Patch(PatchBody::Bytes(form, body.bytes.clone())))
            }
        }
    }

    fn delete_options(self) -> Result<Option<Value>, Status> {
        let (bytes, media) = body::object(&self.head.headers, self.body()?)?;
        schema::decode_delete_options(&bytes, media).map(Some)
    }
}

fn object(head: &Head, body: &InBody) -> Result<Body, Status> {
    let (bytes, media) = body::object(&head.headers, body)?;
    Ok(Body::Bytes(bytes, media))
}

/// Answers a review of a kind, in a namespace if it is of one.
pub(crate) async fn review(
    server: &ApiServer,
    user: &User,
    head: &Head,
    (kind, namespace): (&Kind, &str),
    body: &InBody,
) -> Result<Answer, Status> {
    negotiate::refuse_table(&head.headers)?;
    let encoding = negotiate::accepted(&head.headers, Protobuf::Whole)?.encoding;
    let warnings = Warnings::default();
    let options = options::write("CreateOptions", &head.query)?;
    let fence = fence(head)?;
    let caller = Sender { user, fence: fence.as_ref(), manager: None, warnings: Some(&warnings) }.caller(options);
    let decoded = object(head, body).and_then(|body| crate::registry::decode(kind, body, &caller));
    let answered = match decoded {
        Ok(binding) if *kind == reviews::BINDINGS => {
            let reply = Box::pin(server.registry.bind_named(&caller, namespace, binding)).await;
            reply.and_then(|reply| answer::encoded(reply.code, encoding, reply.json))
        }
        decoded => decoded
            .and_then(|review| reviews::answer(&server.registry, user, kind, namespace, review))
            .and_then(|review| answer::encoded(201, encoding, answer::to_bytes(&review)?)),
    };
    Ok(warned(head, answered, warnings))
}

/// An answer with what its client is to be warned of: failures, too.
fn warned(head: &Head, answered: Result<Answer, Status>, warnings: Warnings) -> Answer {
    let mut answer = answered.unwrap_or_else(|status| answer::failure_for(head, &status));
    answer::add_warnings(&mut answer, &warnings.into_texts());
    answer
}

/// The name under which fields are owned that a request writes: the one that it gives, or the first
/// part of its client's.
fn manager(head: &Head) -> String {
    let given = head.query.get("fieldManager");
    if !given.is_empty() {
        return given.to_owned();
    }
    let agent = head.headers.get(USER_AGENT).map(|agent| String::from_utf8_lossy(agent.as_bytes()));
    let name = agent.as_deref().and_then(|agent| agent.split('/').next()).unwrap_or_default();
    let mut manager = String::new();
    for letter in name.chars().filter(|letter| !letter.is_control()) {
        if manager.len() + letter.len_utf8() > MANAGER_BYTES_MAX {
            break;
        }
        manager.push(letter);
    }
    manager
}

/// The lease that a leader's write depends on. What cannot be read is refused: to go on without
/// would be to lose it.
fn fence(head: &Head) -> Result<Option<Fence>, Status> {
    let mut values = head.headers.get_all(fence::HEADER).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(Status::bad_request(format!("{} was sent twice", fence::HEADER)));
    }
    let text = value.to_str().map_err(|_| Status::bad_request(format!("{} is no text", fence::HEADER)))?;
    Fence::parse(text).map(Some).map_err(|error| Status::bad_request(error.to_string()))
}
