//! The API for parts of this process: no sockets, no HTTP, no serialisation detours.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use everynode_api::kinds::Kind;
use everynode_api::ports::{
    self, Api, ApiError, BoxFuture, EventStream, PatchType, Preconditions, Request, Selection, WatchEvent, WatchRequest,
};
use everynode_api::status::Status;
use serde_json::{Value, json};

use crate::auth::User;
use crate::catalogue::{Row, RowRef};
use crate::hub::{Delivery, Filter, Watcher};
use crate::operation::execute::{Content, Outcome, Sender};
use crate::operation::options::{Options, WriteOptions};
use crate::operation::{Operation, Verb};
use crate::registry::read::{At, list_body};
use crate::registry::{Body, Change, DeleteOptions, ListOptions, PatchBody, Target, WatchParameters};
use crate::schema::FieldValidation;
use crate::server::ApiServer;

/// Controllers of this process decide by how far their view is (is an owner absent, or not seen
/// yet?): they hear of it within this time. In process, a bookmark costs no more than a message.
const BOOKMARK_EVERY: Duration = Duration::from_secs(1);

/// One identity's access to the server.
pub(crate) struct InProcess {
    pub(crate) server: Arc<ApiServer>,
    pub(crate) user: User,
    /// Nothing is kept of what is written.
    pub(crate) dry_run: bool,
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

    fn write_options(&self) -> WriteOptions {
        WriteOptions { dry_run: self.dry_run, validation: FieldValidation::Ignore, force: false }
    }

    /// The operation that a request is, and what it carries.
    fn operation(&self, request: Request) -> Result<(Operation, Carried), Status> {
        let write = Options::Write(self.write_options());
        Ok(match request {
            Request::Get(wanted) => {
                let target = self.target(wanted)?;
                (Operation::internal(Verb::Get, target, Options::Get { not_older_than: None }), Carried::Nothing)
            }
            Request::List { kind, selection, limit, continue_token, resource_version } => {
                let info = self.row(&kind)?;
                let at = match resource_version {
                    None | Some(0) => At::Newest,
                    Some(revision) => At::NotOlderThan(revision),
                };
                let filter = filter(&info, &selection)?;
                let options = ListOptions { filter, at, limit: limit as usize, continue_token };
                let target = collection(info, &selection);
                (Operation::internal(Verb::List, target, Options::List(options)), Carried::Nothing)
            }
            Request::Create { target, body } => {
                let mut target = self.target(target)?;
                if target.subresource.is_empty() {
                    // A create is about a collection; the body has the name.
                    target.name.clear();
                }
                (Operation::internal(Verb::Create, target, write), Carried::Object(body))
            }
            Request::Update { target, body } => {
                (Operation::internal(Verb::Update, self.target(target)?, write), Carried::Object(body))
            }
            Request::Patch { target, patch, body, preconditions } => {
                let body = with_preconditions(patch, body, &preconditions);
                (Operation::internal(Verb::Patch, self.target(target)?, write), Carried::Patch(patch, body))
            }
            Request::Delete { target, preconditions, grace_period_seconds, propagation } => {
                let delete =
                    DeleteOptions { grace_period_seconds, propagation, preconditions, ..DeleteOptions::default() };
                let options = Options::Delete { write: self.write_options(), delete, filter: Filter::everything() };
                (Operation::internal(Verb::Delete, self.target(target)?, options), Carried::Nothing)
            }
            Request::Raw { .. } => return Err(Status::method_not_allowed()),
            Request::Fenced { .. } => return Err(Status::bad_request("a fence within a fence")),
        })
    }

    async fn carry_out(&self, request: Request) -> Result<Bytes, Status> {
        let (request, fence) = request.unfenced();
        if let Request::Raw { path } = request {
            return self.server.raw(&self.user, &path);
        }
        let (operation, carried) = self.operation(request)?;
        let operation = self.server.allow(&self.user, operation)?;
        let listed = operation.target().info.clone();
        let sender = Sender { user: &self.user, fence: fence.as_deref(), manager: None, warnings: None };
        match self.server.execute(sender, operation, carried).await? {
            Outcome::One(reply) => Ok(reply.json),
            Outcome::Page(page, _share) => list_body(&listed, &page),
        }
    }

    async fn open_watch(&self, request: WatchRequest) -> Result<Watcher, Status> {
        let info = self.row(&request.kind)?;
        let parameters = WatchParameters {
            filter: filter(&info, &request.selection)?,
            resource_version: request.resource_version,
            send_initial_events: None,
            bookmarks: request.bookmarks,
            bookmark_every: Some(BOOKMARK_EVERY),
            timeout: None,
        };
        let target = collection(info, &request.selection);
        let operation = Operation::internal(Verb::Watch, target, Options::Watch(parameters));
        self.server.open_watch(self.server.allow(&self.user, operation)?).await
    }
}

/// What is listed or watched.
fn collection(info: RowRef, selection: &Selection) -> Target {
    Target::of(&info, selection.namespace.as_deref().unwrap_or_default(), "")
}

/// What a request of this process carries: values, which are not copied.
enum Carried {
    Nothing,
    Object(Value),
    Patch(PatchType, Value),
}

impl Content for Carried {
    fn object(self, _: &Target) -> Result<Body, Status> {
        match self {
            Carried::Object(value) => Ok(Body::Value(value)),
            Carried::Nothing | Carried::Patch(..) => Err(Status::method_not_allowed()),
        }
    }

    fn patch(self, _: WriteOptions) -> Result<Change, Status> {
        match self {
            Carried::Patch(form, value) => Ok(Change::Patch(PatchBody::Value(form, value))),
            Carried::Nothing | Carried::Object(_) => Err(Status::method_not_allowed()),
        }
    }

    fn delete_options(self) -> Result<Option<Value>, Status> {
        Ok(None)
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

#[cfg(test)]
mod tests {
    use everynode_api::kinds::CONFIG_MAP;
    use everynode_store::MemoryStore;
    use tokio::time::Instant;

    use super::*;
    use crate::Config;

    const LIST_OBJECTS: usize = 1_000;

    #[tokio::test(start_paused = true)]
    async fn a_large_list_in_process_takes_its_share_of_the_budget() {
        let directory = tempfile::tempdir().unwrap();
        let server = ApiServer::new(Arc::new(MemoryStore::new()), Config::new(directory.path().into())).await.unwrap();
        let client = server.client(User::internal("system:tester"));
        for index in 0..LIST_OBJECTS {
            let target = ports::Target::new(CONFIG_MAP, "default", "");
            let body = json!({"metadata": {"name": format!("m{index}")}});
            client.call(Request::Create { target, body }).await.unwrap();
        }
        let list = |limit| {
            let selection = Selection { namespace: Some("default".into()), ..Selection::default() };
            let (kind, continue_token, resource_version) = (CONFIG_MAP, None, None);
            client.call(Request::List { kind, selection, limit, continue_token, resource_version })
        };
        // Paused time goes on when every task waits: then the hub has heard of all of them.
        tokio::time::sleep(Duration::from_millis(1)).await;
        let others = server.lists.share(usize::MAX, || 1).await.unwrap();
        let begin = Instant::now();
        assert!(list(10).await.is_ok());
        assert_eq!(begin.elapsed(), Duration::ZERO, "small lists never wait");
        let refused = list(0).await.unwrap_err();
        assert_eq!(refused.status().unwrap().code, 429);
        assert!(begin.elapsed() >= Duration::from_secs(10), "it waits for its turn first");
        drop(others);
        let all: Value = serde_json::from_slice(&list(0).await.unwrap()).unwrap();
        assert_eq!(all["items"].as_array().unwrap().len(), LIST_OBJECTS);
        // Its own share is given back with the answer.
        assert!(server.lists.share(usize::MAX, || 1).await.is_ok());
    }
}
