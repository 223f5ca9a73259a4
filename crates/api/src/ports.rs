//! The port through which controllers and agents speak to an API server.
//!
//! Requests are values. `runtime` implements [`Api`] over HTTP against any Kubernetes API server;
//! `apiserver` implements it in process; tests and `sim` implement it in memory. Bodies are the
//! server's JSON bytes, so that each caller decodes just what it needs.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use serde_json::Value;

use crate::fence::Fence;
use crate::kinds::Kind;
use crate::status::Status;

/// A boxed future, so that ports can be used as `dyn`.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// An API server, with one identity.
pub trait Api: Send + Sync + 'static {
    /// Performs one request and returns the JSON body of the answer.
    fn call(&self, request: Request) -> BoxFuture<'_, Result<Bytes, ApiError>>;
    /// Opens a watch.
    fn watch(&self, request: WatchRequest) -> BoxFuture<'_, Result<Box<dyn EventStream>, ApiError>>;
}

/// The events of one watch, in order. Dropping it ends the watch.
pub trait EventStream: Send {
    /// The next event; `None` when the server closed the watch (start again from the last
    /// revision seen). Cancel-safe.
    fn next(&mut self) -> BoxFuture<'_, Option<Result<WatchEvent, ApiError>>>;
}

/// Which object, in the namespace where the kind has one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    pub kind: Kind,
    /// Empty for cluster-scoped kinds.
    pub namespace: String,
    pub name: String,
    /// `status`, `binding`, `eviction`, `token`, `finalize` …
    pub subresource: Option<&'static str>,
}

impl Target {
    pub fn new(kind: Kind, namespace: &str, name: &str) -> Self {
        Target { kind, namespace: namespace.into(), name: name.into(), subresource: None }
    }

    #[must_use]
    pub fn subresource(mut self, subresource: &'static str) -> Self {
        self.subresource = Some(subresource);
        self
    }

    /// The URL path.
    pub fn path(&self) -> String {
        let namespace = Some(self.namespace.as_str()).filter(|namespace| !namespace.is_empty());
        self.kind.path(namespace, Some(&self.name), self.subresource)
    }
}

/// What a list or watch selects.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    /// `None`: all namespaces (or a cluster-scoped kind).
    pub namespace: Option<String>,
    /// As in the `labelSelector` query parameter.
    pub label_selector: Option<String>,
    /// As in the `fieldSelector` query parameter.
    pub field_selector: Option<String>,
}

impl Selection {
    /// Pods that are bound to a node, in all namespaces.
    pub fn of_node(name: &str) -> Selection {
        Selection { field_selector: Some(format!("spec.nodeName={name}")), ..Selection::default() }
    }
}

/// The form of a patch body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PatchType {
    /// RFC 6902
    Json,
    /// RFC 7386
    Merge,
    /// Kubernetes' own, with merge keys.
    Strategic,
}

impl PatchType {
    /// The media type of the request.
    pub fn content_type(self) -> &'static str {
        match self {
            PatchType::Json => "application/json-patch+json",
            PatchType::Merge => "application/merge-patch+json",
            PatchType::Strategic => "application/strategic-merge-patch+json",
        }
    }
}

/// What must hold for a write; checked by the server in the same transaction.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Preconditions {
    pub uid: Option<String>,
    pub resource_version: Option<u64>,
}

/// What happens to the dependents of a deleted object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Propagation {
    Background,
    Foreground,
    Orphan,
}

impl Propagation {
    /// As in `DeleteOptions.propagationPolicy`.
    pub fn as_str(self) -> &'static str {
        match self {
            Propagation::Background => "Background",
            Propagation::Foreground => "Foreground",
            Propagation::Orphan => "Orphan",
        }
    }
}

/// One request.
#[derive(Clone, Debug, PartialEq)]
pub enum Request {
    /// Always answered from the newest state.
    Get(Target),
    /// One page. The answer is the `…List` object.
    List {
        kind: Kind,
        selection: Selection,
        /// 0: everything in one page.
        limit: u32,
        continue_token: Option<String>,
        /// `Some(0)`: any cached state will do; `None`: the newest.
        resource_version: Option<u64>,
    },
    /// `target.name` may be empty for the object itself (the body has name or generateName); it
    /// is the parent's name for subresources that are created (`binding`, `eviction`, `token`).
    Create { target: Target, body: Value },
    /// Replaces the object or its subresource. The body carries uid and resourceVersion if they
    /// are preconditions.
    Update { target: Target, body: Value },
    /// Preconditions travel as `metadata.uid` and `metadata.resourceVersion` of a merge or
    /// strategic patch body; the implementation adds them.
    Patch { target: Target, patch: PatchType, body: Value, preconditions: Preconditions },
    Delete {
        target: Target,
        preconditions: Preconditions,
        grace_period_seconds: Option<i64>,
        propagation: Option<Propagation>,
    },
    /// Any GET by absolute path (`/version`, `/apis/apps/v1`, `/openapi/v2` …).
    Raw { path: String },
    /// A write that counts only while its sender leads. Servers other than ours carry it out in any
    /// case.
    Fenced { fence: Arc<Fence>, request: Box<Request> },
}

impl Request {
    /// Whether it may change something.
    pub fn is_write(&self) -> bool {
        match self {
            Request::Get(_) | Request::List { .. } | Request::Raw { .. } => false,
            Request::Create { .. } | Request::Update { .. } | Request::Patch { .. } | Request::Delete { .. } => true,
            Request::Fenced { request, .. } => request.is_write(),
        }
    }

    /// The request itself, and the fence around it.
    pub fn unfenced(self) -> (Request, Option<Arc<Fence>>) {
        match self {
            Request::Fenced { fence, request } => (request.unfenced().0, Some(fence)),
            request => (request, None),
        }
    }
}

/// A watch to open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WatchRequest {
    pub kind: Kind,
    pub selection: Selection,
    /// Events after this revision; `None`: begin with synthetic `Added` of everything.
    pub resource_version: Option<u64>,
    /// Ask for bookmarks.
    pub bookmarks: bool,
}

/// One event of a watch; the bytes are the object's JSON.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WatchEvent {
    Added(Bytes),
    Modified(Bytes),
    /// The last state, with the revision of the deletion.
    Deleted(Bytes),
    /// Everything up to this revision has been delivered.
    Bookmark {
        resource_version: u64,
    },
}

/// Why a request has no answer.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ApiError {
    /// The server answered with a failure. Nothing was changed.
    #[error("{0}")]
    Status(Box<Status>),
    /// The request was surely not carried out (no connection, refused before it was sent).
    #[error("cannot reach the API server: {0}")]
    Unreachable(String),
    /// No answer came: a write may or may not have happened.
    #[error("no answer from the API server: {0}")]
    UnknownOutcome(String),
    /// The answer could not be understood.
    #[error("unexpected answer from the API server: {0}")]
    Garbled(String),
}

impl From<Status> for ApiError {
    fn from(status: Status) -> Self {
        ApiError::Status(Box::new(status))
    }
}

impl ApiError {
    /// The server's failure, if it answered with one.
    pub fn status(&self) -> Option<&Status> {
        match self {
            ApiError::Status(status) => Some(status),
            _ => None,
        }
    }

    pub fn is_not_found(&self) -> bool {
        self.status().is_some_and(Status::is_not_found)
    }

    pub fn is_conflict(&self) -> bool {
        self.status().is_some_and(Status::is_conflict)
    }

    pub fn is_already_exists(&self) -> bool {
        self.status().is_some_and(Status::is_already_exists)
    }

    pub fn is_expired(&self) -> bool {
        self.status().is_some_and(Status::is_expired)
    }

    /// Whether a fenced write was refused because its sender leads no longer.
    pub fn is_lease_lost(&self) -> bool {
        self.status().is_some_and(Status::is_lease_lost)
    }
}
