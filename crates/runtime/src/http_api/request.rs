//! From a request to HTTP.

use bytes::Bytes;
use everynode_api::fence;
use everynode_api::go_json;
use everynode_api::percent;
use everynode_api::ports::{PatchType, Preconditions, Request, Selection, Target, WatchRequest};
use http::Method;
use http::header::{ACCEPT, CONTENT_TYPE, USER_AGENT};
use kube::client::Body;
use serde_json::{Map, Value, json};

use crate::clock::Env;

/// Watches are closed by the server after this long, up to twice as long, so that load spreads
/// over servers that come and go (client-go's numbers).
const WATCH_SECONDS_MIN: u64 = 300;
const USER_AGENT_TEXT: &str = concat!("everynode/", env!("CARGO_PKG_VERSION"));
const JSON: &str = "application/json";

/// An HTTP request that can be sent more than once.
#[derive(Debug, PartialEq)]
pub(super) struct Prepared {
    pub method: Method,
    pub path: String,
    pub content_type: &'static str,
    pub body: Bytes,
    pub repeat: Repeat,
    /// The header that names the lease that a leader's write depends on.
    pub fence: Option<String>,
}

/// When a request may be sent again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Repeat {
    /// Its refusals are answers (an eviction that a budget forbids).
    Never,
    /// Once a 429 says that it was not carried out.
    IfRejected,
    /// Carrying it out twice does what carrying it out once does.
    Always,
}

impl Prepared {
    pub fn new(request: Request) -> Prepared {
        let (request, fence) = request.unfenced();
        Prepared { fence: fence.map(|fence| fence.to_string()), ..Prepared::unfenced(request) }
    }

    fn unfenced(request: Request) -> Prepared {
        match request {
            Request::Fenced { request, .. } => Prepared::unfenced(*request),
            Request::Get(target) => Prepared::get(target.path()),
            Request::Raw { path } => Prepared::get(path),
            Request::List { kind, selection, limit, continue_token, resource_version } => {
                let mut query = Query::of(&selection);
                query.add("limit", Some(limit).filter(|limit| *limit > 0));
                query.add("continue", continue_token);
                query.add("resourceVersion", resource_version);
                Prepared::get(query.path(kind.path(selection.namespace.as_deref(), None, None)))
            }
            Request::Create { target, body } => {
                let content = go_json::to_string(&body).into();
                let path = create_path(&target);
                let repeat = match target.subresource {
                    Some("eviction") => Repeat::Never,
                    _ => Repeat::IfRejected,
                };
                Prepared { method: Method::POST, path, content_type: JSON, body: content, repeat, fence: None }
            }
            Request::Update { target, body } => {
                let content = go_json::to_string(&body).into();
                Prepared {
                    method: Method::PUT,
                    path: target.path(),
                    content_type: JSON,
                    body: content,
                    repeat: Repeat::Always,
                    fence: None,
                }
            }
            Request::Patch { target, patch, body, preconditions } => Prepared {
                method: Method::PATCH,
                path: target.path(),
                content_type: patch.content_type(),
                body: go_json::to_string(&guarded(patch, body, &preconditions)).into(),
                repeat: Repeat::Always,
                fence: None,
            },
            Request::Delete { target, preconditions, grace_period_seconds, propagation } => {
                let propagation = propagation.map(|propagation| propagation.as_str());
                let options = delete_options(&preconditions, grace_period_seconds, propagation);
                let content = options.to_string().into();
                Prepared {
                    method: Method::DELETE,
                    path: target.path(),
                    content_type: JSON,
                    body: content,
                    repeat: Repeat::Always,
                    fence: None,
                }
            }
        }
    }

    fn get(path: String) -> Prepared {
        let (method, body, repeat) = (Method::GET, Bytes::new(), Repeat::Always);
        Prepared { method, path, content_type: "", body, repeat, fence: None }
    }

    /// Asks for `fieldValidation=Strict` where a body is sent that has fields.
    pub fn refuse_unknown_fields(&mut self) {
        if matches!(self.method, Method::POST | Method::PUT | Method::PATCH) {
            self.add_parameter("fieldValidation=Strict");
        }
    }

    /// Asks for `dryRun=All` where something would be written.
    pub fn keep_nothing(&mut self) {
        if self.method != Method::GET {
            self.add_parameter("dryRun=All");
        }
    }

    fn add_parameter(&mut self, parameter: &str) {
        let separator = if self.path.contains('?') { '&' } else { '?' };
        self.path.push(separator);
        self.path += parameter;
    }

    pub fn watch(request: &WatchRequest, env: &Env) -> Prepared {
        let mut query = Query::of(&request.selection);
        query.add("watch", Some(true));
        query.add("resourceVersion", request.resource_version);
        query.add("allowWatchBookmarks", Some(true).filter(|_| request.bookmarks));
        query.add("timeoutSeconds", Some(WATCH_SECONDS_MIN + env.random() % WATCH_SECONDS_MIN));
        Prepared::get(query.path(request.kind.path(request.selection.namespace.as_deref(), None, None)))
    }

    pub fn http(&self) -> Result<http::Request<Body>, http::Error> {
        let mut builder = http::Request::builder().method(self.method.clone()).uri(&self.path);
        builder = builder.header(USER_AGENT, USER_AGENT_TEXT).header(ACCEPT, JSON);
        if !self.content_type.is_empty() {
            builder = builder.header(CONTENT_TYPE, self.content_type);
        }
        if let Some(fence) = &self.fence {
            builder = builder.header(fence::HEADER, fence);
        }
        builder.body(Body::from(self.body.clone()))
    }
}

/// Objects are posted to their collection, subresources to themselves.
fn create_path(target: &Target) -> String {
    match target.subresource {
        Some(_) => target.path(),
        None => {
            let namespace = Some(target.namespace.as_str()).filter(|namespace| !namespace.is_empty());
            target.kind.path(namespace, None, None)
        }
    }
}

/// The patch with its preconditions in it.
fn guarded(patch: PatchType, body: Value, preconditions: &Preconditions) -> Value {
    let guards = [
        ("uid", preconditions.uid.clone()),
        ("resourceVersion", preconditions.resource_version.map(|revision| revision.to_string())),
    ];
    let guards = guards.into_iter().filter_map(|(name, value)| Some((name, value?)));
    match (patch, body) {
        (PatchType::Json, Value::Array(operations)) => {
            let test = |(name, value)| json!({"op": "test", "path": format!("/metadata/{name}"), "value": value});
            guards.map(test).chain(operations).collect()
        }
        (_, mut body) => {
            for (name, value) in guards {
                body["metadata"][name] = value.into();
            }
            body
        }
    }
}

fn delete_options(
    preconditions: &Preconditions,
    grace_period_seconds: Option<i64>,
    propagation: Option<&str>,
) -> Value {
    let mut options = json!({"kind": "DeleteOptions", "apiVersion": "v1"});
    let mut guards = Map::new();
    if let Some(uid) = &preconditions.uid {
        guards.insert("uid".into(), uid.as_str().into());
    }
    if let Some(revision) = preconditions.resource_version {
        guards.insert("resourceVersion".into(), revision.to_string().into());
    }
    if !guards.is_empty() {
        options["preconditions"] = guards.into();
    }
    if let Some(seconds) = grace_period_seconds {
        options["gracePeriodSeconds"] = seconds.into();
    }
    if let Some(propagation) = propagation {
        options["propagationPolicy"] = propagation.into();
    }
    options
}

/// The query of a URL.
#[derive(Default)]
struct Query(String);

impl Query {
    fn of(selection: &Selection) -> Query {
        let mut query = Query::default();
        query.add("labelSelector", selection.label_selector.as_deref());
        query.add("fieldSelector", selection.field_selector.as_deref());
        query
    }

    fn add(&mut self, name: &str, value: Option<impl ToString>) {
        if let Some(value) = value {
            self.0.push(if self.0.is_empty() { '?' } else { '&' });
            self.0.push_str(name);
            self.0.push('=');
            self.0.push_str(&percent::encode(&value.to_string()));
        }
    }

    fn path(self, path: String) -> String {
        path + &self.0
    }
}

#[cfg(test)]
mod tests {
    use everynode_api::kinds;
    use everynode_api::ports::Propagation;

    use super::*;

    fn preconditions() -> Preconditions {
        Preconditions { uid: Some("u".into()), resource_version: Some(7) }
    }

    fn patch(patch: PatchType, body: Value) -> Value {
        let target = Target::new(kinds::POD, "x", "a");
        let prepared = Prepared::new(Request::Patch { target, patch, body, preconditions: preconditions() });
        assert_eq!((prepared.method, prepared.content_type), (Method::PATCH, patch.content_type()));
        serde_json::from_slice(&prepared.body).unwrap()
    }

    #[test]
    fn lists_select_and_page() {
        // DS-I31, DS-I37
        let selection = Selection {
            namespace: Some("x".into()),
            label_selector: Some("app in (a,b)".into()),
            field_selector: Some("spec.nodeName=n".into()),
        };
        let (kind, continue_token) = (kinds::POD, Some("t=".into()));
        let prepared =
            Prepared::new(Request::List { kind, selection, limit: 500, continue_token, resource_version: None });
        let expected = "/api/v1/namespaces/x/pods?labelSelector=app%20in%20%28a%2Cb%29&fieldSelector=spec.nodeName%3Dn\
            &limit=500&continue=t%3D";
        assert_eq!(prepared.path, expected);
    }

    #[test]
    fn a_leaders_write_names_its_lease() {
        let text = "kube-system/leader; transitions=3; holder=a";
        let fence = fence::Fence::parse(text).unwrap().into();
        let request = Box::new(Request::Update { target: Target::new(kinds::POD, "x", "a"), body: json!({}) });
        let sent = Prepared::new(Request::Fenced { fence, request }).http().unwrap();
        assert_eq!((sent.method(), sent.headers()["everynode-lease"].to_str().unwrap()), (&Method::PUT, text));
        let plain = Prepared::new(Request::Get(Target::new(kinds::POD, "x", "a"))).http().unwrap();
        assert!(!plain.headers().contains_key("everynode-lease"));
    }

    #[test]
    fn preconditions_travel_in_the_patch() {
        let merge = patch(PatchType::Merge, json!({"spec": {}}));
        assert_eq!(merge, json!({"metadata": {"uid": "u", "resourceVersion": "7"}, "spec": {}}));
        let operations = patch(PatchType::Json, json!([{"op": "remove", "path": "/spec"}]));
        assert_eq!(operations.as_array().unwrap().len(), 3);
        assert_eq!(operations[1], json!({"op": "test", "path": "/metadata/resourceVersion", "value": "7"}));
    }

    #[test]
    fn deletes_carry_options_and_creates_go_to_the_collection() {
        let target = Target::new(kinds::POD, "x", "a");
        let (grace_period_seconds, propagation) = (Some(0), Some(Propagation::Background));
        let request = Request::Delete { target, preconditions: preconditions(), grace_period_seconds, propagation };
        let options: Value = serde_json::from_slice(&Prepared::new(request).body).unwrap();
        let expected = json!({"kind": "DeleteOptions", "apiVersion": "v1", "gracePeriodSeconds": 0,
            "propagationPolicy": "Background", "preconditions": {"uid": "u", "resourceVersion": "7"}});
        assert_eq!(options, expected);
        let create = |target| Prepared::new(Request::Create { target, body: json!({}) });
        assert_eq!(create(Target::new(kinds::POD, "x", "a")).path, "/api/v1/namespaces/x/pods");
        let binding = create(Target::new(kinds::POD, "x", "a").subresource("binding"));
        assert_eq!(
            (binding.path.as_str(), binding.repeat),
            ("/api/v1/namespaces/x/pods/a/binding", Repeat::IfRejected)
        );
    }
}
