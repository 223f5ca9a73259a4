//! An API server in memory, for tests: objects, revisions, watches, conflicts, and faults on
//! demand. It knows the rules that clients depend on (uids, preconditions, finalizers, graceful
//! deletion of bound pods, the status subresource, 410) and no schema, defaults or validation.

mod patch;
mod select;
mod served;
mod spread;
mod state;
mod watch;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use everynode_api::kinds::Kind;
use everynode_api::meta::Key;
use everynode_api::ports::{Api, ApiError, BoxFuture, EventStream, Request, Target, WatchRequest};
use everynode_api::status::Status;
use serde_json::Value;
use tokio::sync::watch as channel;

pub use self::spread::Spread;
use self::state::ServerState;
use self::watch::MemoryEvents;
use crate::clock::Env;

/// The server. Clones share it.
#[derive(Clone)]
pub struct MemoryApi {
    inner: Arc<Inner>,
}

struct Inner {
    env: Env,
    state: Mutex<ServerState>,
    /// Changes whenever a watcher should look again.
    changed: channel::Sender<()>,
}

/// What goes wrong with a request.
#[derive(Clone, Debug)]
pub enum RequestFault {
    /// Refused with this failure; nothing happens.
    Refuse(Box<Status>),
    /// Never sent.
    Unreachable,
    /// Lost on the way: nothing happens, no answer comes.
    LoseRequest,
    /// Carried out, but the answer is lost.
    LoseAnswer,
    /// No answer comes, and it is carried out this much later.
    Late(Duration),
    /// Carried out and answered after this long.
    Delay(Duration),
}

/// What goes wrong with the next requests that match.
#[derive(Clone, Debug)]
pub struct Fault {
    /// `get`, `list`, `create`, `update`, `patch`, `delete`, `watch`; empty: any.
    pub verb: &'static str,
    /// `None`: any.
    pub kind: Option<Kind>,
    /// How many requests it hits.
    pub times: usize,
    pub trouble: RequestFault,
}

impl MemoryApi {
    pub fn new(env: Env) -> MemoryApi {
        let (changed, _) = channel::channel(());
        MemoryApi { inner: Arc::new(Inner { env, state: Mutex::default(), changed }) }
    }

    fn state(&self) -> MutexGuard<'_, ServerState> {
        self.inner.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change<T>(&self, change: impl FnOnce(&mut ServerState) -> T) -> T {
        let result = change(&mut self.state());
        self.inner.changed.send_replace(());
        result
    }

    /// Creates or replaces an object as another client would, without faults and preconditions.
    /// The metadata that servers fill in is filled in. Returns what is stored.
    pub fn put(&self, kind: &Kind, object: Value) -> Value {
        let now = self.inner.env.now();
        self.change(|state| state.put(kind, object, now))
    }

    /// Removes an object at once, finalizers or not. Whether it was there.
    pub fn remove(&self, kind: &Kind, key: &Key) -> bool {
        self.change(|state| state.remove(kind, key))
    }

    pub fn get(&self, kind: &Kind, key: &Key) -> Option<Value> {
        self.state().get(kind, key).cloned()
    }

    /// All objects of a kind in key order.
    pub fn list(&self, kind: &Kind) -> Vec<Value> {
        self.state().all(kind).cloned().collect()
    }

    /// The newest revision.
    pub fn revision(&self) -> u64 {
        self.state().revision
    }

    /// Every request so far as `VERB PLURAL[/SUBRESOURCE] KEY`, in order of arrival.
    pub fn requests(&self) -> Vec<String> {
        self.state().requests.clone()
    }

    /// The largest number of requests that were in flight at the same time.
    pub fn in_flight_max(&self) -> usize {
        self.state().in_flight_max
    }

    /// How long every request takes from now on.
    pub fn set_latency(&self, latency: Duration) {
        self.state().latency = latency;
    }

    pub fn fault(&self, fault: Fault) {
        self.state().faults.push_back(fault);
    }

    /// The server serves these kinds from now on, beside those that it serves already, and says so
    /// in discovery.
    pub fn serve(&self, kinds: &[Kind]) {
        self.change(|state| kinds.iter().for_each(|kind| state.discovery.serve(kind)));
    }

    /// The kind is not served any more; no event tells what becomes of its objects. Its watches
    /// end.
    pub fn drop_kind(&self, kind: &Kind) {
        self.change(|state| {
            state.discovery.drop_kind(kind);
            state.generation += 1;
        });
    }

    /// What is below a path of discovery (`/apis/apps/v1`) can not be had, or can be again. Watches
    /// end.
    pub fn set_broken(&self, path: &str, broken: bool) {
        self.change(|state| {
            state.discovery.set_broken(path, broken);
            state.generation += 1;
        });
    }

    /// Ends all trouble: faults, and watches that are held.
    pub fn heal(&self) {
        self.change(|state| {
            state.faults.clear();
            state.held.clear();
        });
    }

    /// From now on watches of `kind` deliver nothing: their caches become stale.
    pub fn hold_watches(&self, kind: &Kind) {
        self.change(|state| state.held.insert(kind.clone()));
    }

    /// Watches of `kind` deliver again, what was held first.
    pub fn release_watches(&self, kind: &Kind) {
        self.change(|state| state.held.remove(kind));
    }

    /// Closes all open watches.
    pub fn drop_watches(&self) {
        self.change(|state| state.generation += 1);
    }

    /// Forgets the history: watches that are behind get 410 (DS-I33).
    pub fn compact(&self) {
        self.change(ServerState::compact);
    }

    /// Sends a bookmark to every watch that asked for them.
    pub fn bookmark(&self) {
        self.change(|state| state.bookmark = state.revision);
    }

    async fn perform(&self, request: Request) -> Result<Bytes, ApiError> {
        let (verb, target) = (verb_of(&request), target_of(&request));
        let trouble = self.state().begin(verb, &target);
        let result = self.with_trouble(request, trouble).await;
        self.state().in_flight -= 1;
        result
    }

    async fn with_trouble(&self, request: Request, trouble: Option<RequestFault>) -> Result<Bytes, ApiError> {
        let latency = self.state().latency;
        match latency {
            // Every real request takes a while; others get a turn.
            Duration::ZERO => tokio::task::yield_now().await,
            latency => self.inner.env.sleep(latency).await,
        }
        let lost = || ApiError::UnknownOutcome("the connection was reset".into());
        match trouble {
            None => self.carry_out(request),
            Some(RequestFault::Refuse(status)) => Err(ApiError::Status(status)),
            Some(RequestFault::Unreachable) => Err(ApiError::Unreachable("connection refused".into())),
            Some(RequestFault::LoseRequest) => Err(lost()),
            Some(RequestFault::LoseAnswer) => {
                let _lost = self.carry_out(request);
                Err(lost())
            }
            Some(RequestFault::Late(time)) => {
                let late = self.clone();
                tokio::spawn(async move {
                    late.inner.env.sleep(time).await;
                    late.carry_out(request)
                });
                Err(lost())
            }
            Some(RequestFault::Delay(time)) => {
                self.inner.env.sleep(time).await;
                self.carry_out(request)
            }
        }
    }

    fn carry_out(&self, request: Request) -> Result<Bytes, ApiError> {
        let now = self.inner.env.now();
        let answer = self.change(|state| state.carry_out(request, now))?;
        Ok(answer.to_string().into())
    }

    async fn open(&self, request: WatchRequest) -> Result<Box<dyn EventStream>, ApiError> {
        tokio::task::yield_now().await;
        let target = Target::new(request.kind.clone(), "", "");
        let trouble = self.state().begin("watch", &target);
        self.state().in_flight -= 1;
        match trouble {
            None if self.state().discovery.check(&target.kind).is_err() => Err(Status::no_such_path().into()),
            None => Ok(Box::new(MemoryEvents::open(self.clone(), request)?)),
            Some(RequestFault::Refuse(status)) => Err(ApiError::Status(status)),
            Some(_) => Err(ApiError::Unreachable("connection refused".into())),
        }
    }
}

impl Api for MemoryApi {
    fn call(&self, request: Request) -> BoxFuture<'_, Result<Bytes, ApiError>> {
        Box::pin(self.perform(request))
    }

    fn watch(&self, request: WatchRequest) -> BoxFuture<'_, Result<Box<dyn EventStream>, ApiError>> {
        Box::pin(self.open(request))
    }
}

impl ServerState {
    /// Logs a request and finds the fault that hits it.
    fn begin(&mut self, verb: &'static str, target: &Target) -> Option<RequestFault> {
        let subresource = target.subresource.map(|name| format!("/{name}")).unwrap_or_default();
        let key = Key::new(&target.namespace, &target.name);
        self.requests.push(format!("{verb} {}{subresource} {key}", target.kind.plural));
        self.in_flight += 1;
        self.in_flight_max = self.in_flight_max.max(self.in_flight);
        take_fault(&mut self.faults, verb, &target.kind)
    }
}

fn take_fault(faults: &mut VecDeque<Fault>, verb: &str, kind: &Kind) -> Option<RequestFault> {
    let hits = |fault: &Fault| {
        (fault.verb.is_empty() || fault.verb == verb) && fault.kind.as_ref().is_none_or(|of| of == kind)
    };
    let index = faults.iter().position(hits)?;
    let fault = &mut faults[index];
    let trouble = fault.trouble.clone();
    fault.times = fault.times.saturating_sub(1);
    if fault.times == 0 {
        faults.remove(index);
    }
    Some(trouble)
}

fn verb_of(request: &Request) -> &'static str {
    match request {
        Request::Fenced { request, .. } => verb_of(request),
        Request::Get(_) | Request::Raw { .. } => "get",
        Request::List { .. } => "list",
        Request::Create { .. } => "create",
        Request::Update { .. } => "update",
        Request::Patch { .. } => "patch",
        Request::Delete { .. } => "delete",
    }
}

fn target_of(request: &Request) -> Target {
    match request {
        Request::Fenced { request, .. } => target_of(request),
        Request::Get(target) | Request::Update { target, .. } | Request::Patch { target, .. } => target.clone(),
        Request::Create { target, .. } | Request::Delete { target, .. } => target.clone(),
        Request::List { kind, .. } => Target::new(kind.clone(), "", ""),
        Request::Raw { path } => Target::new(everynode_api::kinds::NAMESPACE, "", path),
    }
}
