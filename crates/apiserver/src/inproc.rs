//! The API for parts of this process: no sockets, no HTTP, no serialisation detours.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use everynode_api::fence::Fence;
use everynode_api::kinds::Kind;
use everynode_api::ports::{
    self, Api, ApiError, BoxFuture, EventStream, PatchType, Preconditions, Request, Selection, WatchEvent, WatchRequest,
};
use everynode_api::status::Status;
use serde_json::{Value, json};

use crate::auth::User;
use crate::catalogue::{Row, RowRef};
use crate::hub::{Delivery, Filter, Watcher};
use crate::operation::{Operation, Selected, Verb};
use crate::registry::read::{At, list_body};
use crate::registry::{Body, Caller, DeleteOptions, ListOptions, PatchBody, Target, WatchParameters};
use crate::schema::FieldValidation;
use crate::server::ApiServer;

/// Controllers of this process decide by how far their view is (is an owner absent, or not seen
/// yet?): they hear of it within this time. In process, a bookmark costs no more than a message.
const BOOKMARK_EVERY: Duration = Duration::from_secs(1);

/// One identity's access to the server.
pub(crate) struct InProcess {
    pub(crate) server: Arc<ApiServer>,
    pub(crate) user: User,
}

fn filter(info: &Row, selection: &Selection) -> Result<Filter, Status> {
    let text = |selector: &Option<String>| selector.clone().unwrap_or_default();
    Filter::parse(info, selection.namespace.clone(), &text(&selection.label_selector), &text(&selection.field_selector))
}

impl Api for InProcess {
    fn call(&self, request: Request) -> BoxFuture<'_, Result<Bytes, ApiError>> {
        Box::pin(async move { self.carry_out(request).await.map_err(ApiError::from) })
    }

    fn watch(&self, request: WatchRequest) -> BoxFuture<'_, Result<Box<dyn EventStream>, ApiError>> {
        Box::pin(async move {
            let watcher = self.open_watch(request).await.map_err(ApiError::from)?;
            Ok(Box::new(Stream(watcher)) as Box<dyn EventStream>)
        })
    }
}

impl InProcess {
    fn caller<'a>(&'a self, fence: Option<&'a Fence>) -> Caller<'a> {
        Caller { user: &self.user, dry_run: false, validation: FieldValidation::Ignore, fence, warnings: None }
    }

    fn row(&self, kind: &Kind) -> Result<RowRef, Status> {
        self.server.registry.catalogue.rows().of(kind).cloned().ok_or_else(Status::no_such_path)
    }

    fn target(&self, target: ports::Target) -> Result<Target, Status> {
        let info = self.row(&target.kind)?;
        let subresource = match target.subresource {
            None => "",
            Some(name) => info.subresource(name).ok_or_else(Status::no_such_path)?.name,
        };
        Ok(Target { info, namespace: target.namespace, name: target.name, subresource })
    }

    /// What is authorised is what is carried out: the target of the operation, given back.
    fn authorized(&self, verb: Verb, target: Target) -> Result<Target, Status> {
        let operation = Operation::internal(verb, target, Selected::default());
        self.authorize(&operation)?;
        Ok(operation.target)
    }

    fn authorize_selection(&self, verb: Verb, info: &RowRef, filter: &Filter) -> Result<(), Status> {
        let namespace = filter.namespace.clone().unwrap_or_default();
        let target = Target::of(info, &namespace, "");
        self.authorize(&Operation::internal(verb, target, Selected::by(filter)))
    }

    fn authorize(&self, operation: &Operation) -> Result<(), Status> {
        match self.user.is_in(crate::auth::MASTERS) {
            true => Ok(()),
            false => self.server.authorize(&self.user, &operation.attributes()),
        }
    }

    async fn carry_out(&self, request: Request) -> Result<Bytes, Status> {
        let registry = &self.server.registry;
        let (request, fence) = request.unfenced();
        let caller = &self.caller(fence.as_deref());
        let reply = match request {
            Request::Get(wanted) => {
                let target = self.authorized(Verb::Get, self.target(wanted)?)?;
                registry.get(&target)?
            }
            Request::List { kind, selection, limit, continue_token, resource_version } => {
                let info = &self.row(&kind)?;
                let filter = filter(info, &selection)?;
                self.authorize_selection(Verb::List, info, &filter)?;
                let at = match resource_version {
                    None | Some(0) => At::Newest,
                    Some(revision) => At::NotOlderThan(revision),
                };
                let options = ListOptions { filter, at, limit: limit as usize, continue_token };
                return list_body(info, &registry.list(info, &options).await?);
            }
            Request::Create { target: wanted, body } => {
                let target = self.authorized(Verb::Create, self.target(wanted)?)?;
                match target.subresource.is_empty() {
                    true => registry.create(caller, &target, Body::Value(body)).await?,
                    false => registry.create_subresource(caller, &target, Body::Value(body)).await?,
                }
            }
            Request::Update { target: wanted, body } => {
                let target = self.authorized(Verb::Update, self.target(wanted)?)?;
                registry.update(caller, &target, Body::Value(body)).await?
            }
            Request::Patch { target: wanted, patch, body, preconditions } => {
                let target = self.authorized(Verb::Patch, self.target(wanted)?)?;
                let body = with_preconditions(patch, body, &preconditions);
                registry.patch(caller, &target, PatchBody::Value(patch, body)).await?
            }
            Request::Delete { target: wanted, preconditions, grace_period_seconds, propagation } => {
                let target = self.authorized(Verb::Delete, self.target(wanted)?)?;
                let options = DeleteOptions {
                    grace_period_seconds,
                    propagation,
                    orphan_dependents: None,
                    preconditions,
                    dry_run: false,
                };
                registry.delete(caller, &target, &options).await?
            }
            Request::Raw { path } => return self.server.raw(&self.user, &path),
            Request::Fenced { .. } => return Err(Status::bad_request("a fence within a fence")),
        };
        Ok(reply.json)
    }

    async fn open_watch(&self, request: WatchRequest) -> Result<Watcher, Status> {
        let info = &self.row(&request.kind)?;
        let filter = filter(info, &request.selection)?;
        self.authorize_selection(Verb::Watch, info, &filter)?;
        let parameters = WatchParameters {
            filter,
            resource_version: request.resource_version,
            send_initial_events: None,
            bookmarks: request.bookmarks,
            bookmark_every: Some(BOOKMARK_EVERY),
            timeout: None,
        };
        self.server.registry.watch(info, parameters).await
    }
}

/// Preconditions of a patch travel in its metadata; a JSON patch tests for them.
fn with_preconditions(form: PatchType, mut body: Value, preconditions: &Preconditions) -> Value {
    let version = preconditions.resource_version.map(|version| version.to_string());
    let pairs = [("uid", preconditions.uid.clone()), ("resourceVersion", version)];
    for (name, value) in pairs.into_iter().filter_map(|(name, value)| Some((name, value?))) {
        match (form, &mut body) {
            (PatchType::Json, Value::Array(operations)) => {
                operations.insert(0, json!({"op": "test", "path": format!("/metadata/{name}"), "value": value}));
            }
            (PatchType::Json, _) => {}
            _ => crate::object::set_meta(&mut body, name, value),
        }
    }
    body
}

/// A watch of this process.
struct Stream(Watcher);

impl EventStream for Stream {
    fn next(&mut self) -> BoxFuture<'_, Option<Result<WatchEvent, ApiError>>> {
        Box::pin(async move {
            loop {
                let event = match self.0.next().await? {
                    Delivery::Initial(item) => WatchEvent::Added(item.json()),
                    Delivery::InitialEnd(revision) | Delivery::Bookmark(revision) => {
                        WatchEvent::Bookmark { resource_version: revision }
                    }
                    Delivery::Event(kind, event) => match event.port(kind) {
                        Some(event) => event,
                        None => continue,
                    },
                    Delivery::Expired(status) => return Some(Err(ApiError::Status(status))),
                };
                return Some(Ok(event));
            }
        })
    }
}
