//! One request from end to end: which user, may it, do it, answer it, count it.

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use everynode_api::status::Status;
use everynode_listen::Entry;
use http::header::{ACCEPT, EXPECT, IF_NONE_MATCH, UPGRADE};
use http::{HeaderMap, Method, Request};
use hyper::body::Incoming;
use serde_json::Value;
use tokio::time::Instant;

use super::answer::{self, Answer};
use super::body::InBody;
use super::class::Class;
use super::metrics::Labels;
use super::progress::Progress;
use super::query::Query;
use super::route::{self, Asked, Route};
use super::serve::Shared;
use super::slot::{Asker, Held, Slots};
use super::{body, identify, resource, system};
use crate::auth::authorize::Attributes;
use crate::auth::{User, join};
use crate::operation::Verb;
use crate::operation::execute::Authorized;
use crate::operation::options::Options;
use crate::server::ApiServer;

/// How long an ordinary request may take, as in kube-apiserver.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(60);

/// What a connection says about its client.
pub(crate) struct Connection {
    pub(crate) peer: SocketAddr,
    /// From the client certificate.
    pub(crate) user: Option<Arc<User>>,
    pub(crate) entry: Entry,
    /// What it counts as, once its client is known: the first user that proves its identity.
    pub(crate) known: OnceLock<Held>,
    pub(crate) progress: Arc<Progress>,
}

impl Connection {
    /// Counts the connection as one of this user; 429: they have too many.
    pub(crate) fn known(&self, slots: &Arc<Slots>, user: &User) -> Result<(), Status> {
        if self.known.get().is_none() {
            let _ = self.known.set(slots.connection(user)?);
            self.entry.known();
        }
        Ok(())
    }
}

/// An answer, and what is to be known of it on its way.
pub(crate) struct Answered {
    pub(crate) answer: Answer,
    /// The client that asked, if that is known.
    pub(crate) asker: Option<Asker>,
    /// Watches, logs and streams run on.
    pub(crate) long_running: bool,
}

/// A request taken apart.
pub(crate) struct Head {
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) query_text: String,
    pub(crate) query: Query,
    pub(crate) headers: HeaderMap,
}

/// Answers a request, whatever it is; never fails.
pub(crate) async fn answer(
    shared: Arc<Shared>,
    connection: Arc<Connection>,
    mut request: Request<Incoming>,
) -> Answered {
    let started = Instant::now();
    let head = Head::take(&mut request);
    let mut coming = Coming(Some(request));
    let (query, route) = match understood(&shared, &head) {
        Ok(understood) => understood,
        Err(status) => {
            let answer = answer::failure_for(&head, &status);
            coming.drain(&shared, &head).await;
            return Answered { answer, asker: None, long_running: false };
        }
    };
    let head = Head { query, ..head };
    let labels = labels(&route, &head);
    let long_running = is_long_running(&route);
    let mut asker = None;
    let result = serve(&shared, &connection, &head, route, &mut coming, &mut asker).await;
    let answer = result.unwrap_or_else(|status| answer::failure_for(&head, &status));
    shared.server.metrics.finished(labels, answer.status().as_u16(), started.elapsed());
    tracing::debug!(method = %head.method, path = %head.path, code = answer.status().as_u16(), peer = %connection.peer, "request");
    if !(long_running && answer.status().is_success()) {
        coming.drain(&shared, &head).await;
    }
    Answered { answer, asker, long_running }
}

/// A request whose body is still to come; nothing once it was passed on.
struct Coming(Option<Request<Incoming>>);

impl Coming {
    fn body(&mut self) -> Result<&mut Incoming, Status> {
        let request = self.0.as_mut().ok_or_else(|| Status::internal("the request was passed on before"))?;
        Ok(request.body_mut())
    }

    fn take(&mut self) -> Result<Request<Incoming>, Status> {
        self.0.take().ok_or_else(|| Status::internal("the request was passed on before"))
    }

    /// Lets a client that sends all before it listens come to an end. One that waits to be told to
    /// go on sends nothing.
    async fn drain(&mut self, shared: &Shared, head: &Head) {
        if head.headers.contains_key(EXPECT) {
            return;
        }
        if let Ok(body) = self.body() {
            body::drain(body, &shared.server.metrics.slots.limits).await;
        }
    }
}

fn is_long_running(route: &Route) -> bool {
    let Route::Operation(operation) = route else { return false };
    matches!(operation.options, Ok(Options::Connect(_) | Options::Watch(_)))
}

/// Query and route; what is malformed is refused, whoever asks.
fn understood(shared: &Shared, head: &Head) -> Result<(Query, Route), Status> {
    let query = Query::parse(&head.query_text)?;
    let upgrades = head.headers.contains_key(UPGRADE);
    let rows = shared.server.registry.catalogue.rows();
    let route = route::read(&rows, Asked { method: &head.method, path: &head.path, query: &query, upgrades })?;
    Ok((query, route))
}

/// An ordinary request, all of which is there, has a minute; what it writes is written whole or not
/// at all.
async fn limited(served: impl Future<Output = Result<Answer, Status>>) -> Result<Answer, Status> {
    match tokio::time::timeout(REQUEST_TIMEOUT, served).await {
        Ok(result) => result,
        Err(_) => Err(Status::failure(504, "Timeout", "Timeout: request did not complete within the allotted timeout")),
    }
}

impl Head {
    /// Takes the headers out of the request.
    fn take(request: &mut Request<Incoming>) -> Head {
        let headers = std::mem::take(request.headers_mut());
        let uri = request.uri();
        let query_text = uri.query().unwrap_or("").to_owned();
        Head {
            method: request.method().clone(),
            path: uri.path().to_owned(),
            query: Query::default(),
            query_text,
            headers,
        }
    }

    pub(crate) fn header(&self, name: &http::HeaderName) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or("")
    }
}

/// Finds out which user asks and whether it may, reads the body, and only then takes a place: no
/// client holds one by being slow.
async fn serve(
    shared: &Arc<Shared>,
    connection: &Connection,
    head: &Head,
    route: Route,
    coming: &mut Coming,
    asked_by: &mut Option<Asker>,
) -> Result<Answer, Status> {
    let server = &shared.server;
    let slots = &server.metrics.slots;
    let user = identify::identify(server, connection, head)?;
    let asker = Asker { class: Class::of(&user, &route), client: slots.clients.of(&user) };
    *asked_by = Some(asker);
    match route {
        Route::Operation(operation) => {
            let operation = server.allow(&user, *operation)?;
            execute(shared, asker, &user, head, operation, coming).await
        }
        Route::Review { kind, namespace } => {
            let attributes = Attributes {
                verb: "create".into(),
                resource: kind.plural.to_string(),
                group: kind.group.to_string(),
                version: kind.version.to_string(),
                namespace: namespace.clone(),
                ..Attributes::default()
            };
            server.authorize(&user, &attributes)?;
            let body = body::read(coming.body()?, slots.body(asker)).await?;
            let _slot = slots.take(asker, &head.method).await?;
            resource::review(server, &user, head, (kind, &namespace), &body).await
        }
        Route::Path if head.path == join::PATH && head.method == Method::POST => {
            let body = body::read(coming.body()?, slots.body(asker)).await?;
            let _slot = slots.take(asker, &head.method).await?;
            let joined = join::answer(server, &user, &value(head, &body)?).await?;
            tracing::info!(node = %joined["nodeName"], peer = %connection.peer, "a node was given a certificate");
            Ok(answer::bytes(200, "application/json", answer::to_bytes(&joined)?))
        }
        // Probes are answered at once, whatever else is going on.
        Route::Path if system::is_public(&head.path) => path(server, &user, head),
        Route::Path => {
            let _slot = slots.take(asker, &head.method).await?;
            path(server, &user, head)
        }
        Route::Refused(attributes, status) => {
            server.authorize(&user, &attributes)?;
            match status.is_not_found() {
                true => system::nothing(&server.registry.catalogue.rows(), &head.path),
                false => Err(*status),
            }
        }
    }
}

/// Carries out what may be done: streams take a place of their own, everything else one when all of
/// it is there.
async fn execute(
    shared: &Arc<Shared>,
    asker: Asker,
    user: &User,
    head: &Head,
    operation: Authorized,
    coming: &mut Coming,
) -> Result<Answer, Status> {
    let slots = &shared.server.metrics.slots;
    let options = match operation.options() {
        Ok(options) => options,
        Err(status) => return Ok(resource::refused(head, operation.target(), status)),
    };
    match options {
        Options::Connect(connect) => {
            let slot = slots.take_long_running(asker)?;
            Box::pin(super::proxy::serve(shared, head, operation.target(), connect, coming.take()?, slot)).await
        }
        Options::Watch(_) => {
            let slot = slots.take_long_running(asker)?;
            Box::pin(resource::watch(shared, head, operation, slot)).await
        }
        _ => {
            let reads = matches!(operation.verb(), Verb::Get | Verb::List);
            let body = if reads { None } else { Some(body::read(coming.body()?, slots.body(asker)).await?) };
            let _slot = slots.take(asker, &head.method).await?;
            limited(resource::serve(&shared.server, user, head, operation, body.as_ref())).await
        }
    }
}

fn path(server: &ApiServer, user: &User, head: &Head) -> Result<Answer, Status> {
    let reads = head.method == Method::GET || head.method == Method::HEAD;
    if !(reads && system::is_public(&head.path)) {
        let verb = head.method.as_str().to_lowercase();
        let attributes = Attributes { verb, path: head.path.clone(), ..Attributes::default() };
        server.authorize(user, &attributes)?;
    }
    let (accept, if_none_match) = (head.header(&ACCEPT), head.header(&IF_NONE_MATCH));
    let found = system::get(server, &head.path, &head.query, accept, if_none_match);
    match found {
        None => system::nothing(&server.registry.catalogue.rows(), &head.path),
        Some(_) if !reads && !system::takes_any_method(&head.path) => Err(Status::failure(
            405,
            "MethodNotAllowed",
            "the server does not allow this method on the requested resource",
        )),
        Some(answer) => Ok(answer),
    }
}

/// The body of a machine that joins, which is of no kind.
fn value(head: &Head, body: &InBody) -> Result<Value, Status> {
    let (bytes, media) = body::object(&head.headers, body)?;
    parse(&bytes, media)
}

fn parse(bytes: &[u8], media: crate::schema::Media) -> Result<Value, Status> {
    if bytes.is_empty() {
        return Ok(Value::Null);
    }
    match media {
        crate::schema::Media::Json => {
            serde_json::from_slice(bytes).map_err(|error| Status::bad_request(error.to_string()))
        }
        crate::schema::Media::Yaml => {
            let text = std::str::from_utf8(bytes).map_err(|error| Status::bad_request(error.to_string()))?;
            serde_saphyr::from_str(text).map_err(|error| Status::bad_request(error.to_string()))
        }
    }
}

fn labels(route: &Route, head: &Head) -> Labels {
    let write_verb = match head.method {
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        _ => "GET",
    };
    let Route::Operation(operation) = route else {
        return Labels { verb: write_verb, ..Labels::default() };
    };
    let verb = match operation.verb {
        Verb::List => "LIST",
        Verb::Watch => "WATCH",
        Verb::DeleteCollection => "DELETECOLLECTION",
        _ if operation.is_connect() => "CONNECT",
        _ => write_verb,
    };
    let target = &operation.target;
    let kind = &target.info.kind;
    let scope = match (target.name.is_empty(), target.namespace.is_empty()) {
        (false, _) => "resource",
        (true, false) => "namespace",
        (true, true) => "cluster",
    };
    Labels {
        verb,
        group: kind.group.clone(),
        version: kind.version.clone(),
        resource: kind.plural.clone(),
        subresource: target.subresource,
        scope,
        dry_run: head.query.has("dryRun"),
    }
}
