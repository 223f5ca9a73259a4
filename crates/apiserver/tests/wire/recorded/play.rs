//! Plays a scenario against a server of its own, with the controllers that ours runs.

use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use everynode_apiserver::User;
use everynode_controllers::accounts::Accounts;
use everynode_controllers::cluster_roles::ClusterRoles;
use everynode_controllers::disruption::Disruption;
use everynode_controllers::garbage::Garbage;
use everynode_controllers::namespaces::Namespaces;
use everynode_controllers::node_lifecycle::NodeLifecycle;
use everynode_controllers::pod_gc::PodGc;
use everynode_controllers::protection::Protection;
use everynode_controllers::quotas::Quotas;
use everynode_controllers::scheduler::Scheduler;
use everynode_controllers::taint_eviction::TaintEviction;
use everynode_daemonset::DaemonSetController;
use everynode_runtime::{Env, Manager, Options, Shutdown, Trigger};
use http::Method;
use http_body_util::BodyExt;
use serde_json::{Map, Value, json};
use tokio::time::{Instant, sleep, timeout_at};

use super::canonical::{self, Canonical};
use super::scenario::{Names, Scenario, Step, fill_text, take};
use crate::support::*;

/// How long one answer is waited for.
const ANSWER_SECONDS: u64 = 30;

struct Player {
    server: Server,
    _stop: Trigger,
}

/// What came back of one request.
struct Reply {
    status: u16,
    headers: http::HeaderMap,
    /// The body, or the list of a watch's events.
    document: Value,
}

/// The answers to all steps, in the form of `tests/oracle/answers`.
pub(super) async fn play(scenario: &Scenario, number: usize) -> Vec<Value> {
    let mut names = Names::new();
    for (name, end) in [("ns", ""), ("ns2", "-b"), ("ns3", "-c")] {
        names.insert(name.into(), format!("o{number:03}-rply{end}"));
    }
    let player = Player::start().await;
    if scenario.namespace {
        for name in ["ns", "ns2"] {
            player.namespace(&names[name]).await;
        }
    }
    let mut answers = Vec::new();
    for step in &scenario.steps {
        answers.push(player.step(step, scenario, &mut names).await);
    }
    answers
}

impl Player {
    async fn start() -> Player {
        let server = Server::start().await;
        let client = server.api.client(User::new("system:kube-controller-manager", &["system:masters"]));
        let mut manager = Manager::new(client, Env::real());
        let options = || Options { workers: 1, ..Options::default() };
        manager.discover(|kind| kind.plural != "events");
        // What its status has beyond the original's is described in docs/deviations.md.
        manager.add(DaemonSetController::new(everynode_daemonset::Options::strict()), options());
        manager.add(NodeLifecycle::default(), options());
        manager.add(TaintEviction, options());
        manager.add(Disruption, options());
        manager.add(PodGc::default(), options());
        manager.add(Accounts { ca_pem: "none".into() }, options());
        manager.add(ClusterRoles, options());
        manager.add(Quotas, options());
        manager.add(Protection, options());
        manager.add(Namespaces, options());
        manager.add(Garbage, options());
        manager.add(Scheduler, options());
        let (stop, stopped) = Shutdown::new();
        tokio::spawn(manager.run(stopped));
        Player { server, _stop: stop }
    }

    /// A namespace, when the controllers have put into it what belongs there.
    async fn namespace(&self, name: &str) {
        self.server.post("/api/v1/namespaces", &json!({"metadata": {"name": name}})).await.expect(201);
        for object in ["serviceaccounts/default", "configmaps/kube-root-ca.crt"] {
            let path = format!("/api/v1/namespaces/{name}/{object}");
            let end = Instant::now() + Duration::from_secs(ANSWER_SECONDS);
            while self.server.get(&path).await.code != 200 {
                assert!(Instant::now() < end, "{path} was not made");
                sleep(Duration::from_millis(20)).await;
            }
        }
    }

    async fn step(&self, step: &Step, scenario: &Scenario, names: &mut Names) -> Value {
        if let Some(seconds) = step.pause {
            sleep(Duration::from_secs_f64(seconds)).await;
        }
        let Some(call) = &step.call else { return json!({"pause": step.pause}) };
        let (method, path) = call.split_once(' ').expect("a method and a path");
        let path = fill_text(path, names) + &query(step, names);
        let body = step.content(&scenario.objects, names);
        let headers = headers(step, method, body.is_some(), names);
        let method: Method = method.parse().expect("a method");
        let canonical = Canonical::new(names, body.as_deref().unwrap_or_default());
        let end = Instant::now() + Duration::from_secs_f64(step.until.as_ref().map_or(0.0, |until| until.seconds));
        let mut reply;
        loop {
            reply = self.request(step, &method, &path, &headers, body.as_deref().unwrap_or_default()).await;
            if Instant::now() >= end || step.until.as_ref().is_none_or(|until| until.is_met(&reply, names)) {
                break;
            }
            sleep(Duration::from_millis(100)).await;
        }
        for (name, pointer) in &step.save {
            let saved = reply.document.pointer(pointer).filter(|value| !value.is_null());
            names.insert(name.clone(), saved.map_or_else(|| format!("<no {name}>"), plain));
        }
        recorded(step, reply, &canonical, names)
    }

    async fn request(
        &self,
        step: &Step,
        method: &Method,
        path: &str,
        headers: &[(String, String)],
        body: &str,
    ) -> Reply {
        let who = if step.anonymous { Who::Nobody } else { Who::Admin };
        let mut headers: Vec<(&str, &str)> =
            headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let length = body.len().to_string();
        if !body.is_empty() || matches!(method.as_str(), "POST" | "PUT" | "PATCH") {
            headers.push(("content-length", &length));
        }
        let end = Instant::now() + Duration::from_secs(ANSWER_SECONDS);
        let opened = self.server.open(&who, method.clone(), path, &headers, Bytes::copy_from_slice(body.as_bytes()));
        let Ok(response) = timeout_at(end, opened).await else { panic!("{method} {path}: no answer") };
        let (parts, mut body) = response.into_parts();
        let (status, headers) = (parts.status.as_u16(), parts.headers);
        if step.watch.is_some() && status == 200 {
            return Reply { status, headers, document: events(step, &mut body).await.into() };
        }
        let Ok(body) = timeout_at(end, body.collect()).await else { panic!("{method} {path}: no whole answer") };
        let document = document(&headers, &body.map(|body| body.to_bytes()).unwrap_or_default());
        Reply { status, headers, document }
    }
}

/// The events of a watch, until it ends or enough were seen.
async fn events(step: &Step, body: &mut hyper::body::Incoming) -> Vec<Value> {
    let limits = step.watch.as_ref().expect("a watch");
    let end = Instant::now() + Duration::from_secs_f64(limits.seconds);
    let (mut events, mut rest): (Vec<Value>, Vec<u8>) = (Vec::new(), Vec::new());
    while events.len() < limits.events {
        while let Some(length) = rest.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = rest.drain(..=length).collect();
            let event: Value = serde_json::from_slice(&line).expect("an event");
            let is_bookmark = event["type"] == "BOOKMARK";
            events.push(event);
            if limits.bookmark && is_bookmark || events.len() == limits.events {
                return events;
            }
        }
        match timeout_at(end, body.frame()).await {
            Ok(Some(Ok(frame))) => rest.extend_from_slice(&frame.into_data().unwrap_or_default()),
            _ => break,
        }
    }
    events
}

fn query(step: &Step, names: &Names) -> String {
    let mut query = String::new();
    for (name, value) in &step.query {
        query.push(if query.is_empty() { '?' } else { '&' });
        query.push_str(&form_encoded(name));
        query.push('=');
        query.push_str(&form_encoded(&fill_text(value, names)));
    }
    match step.call.as_deref().is_some_and(|call| call.contains('?')) {
        true => query.replacen('?', "&", 1),
        false => query,
    }
}

fn form_encoded(text: &str) -> String {
    let encode = |byte: u8| match byte {
        b' ' => "+".to_owned(),
        b'_' | b'.' | b'-' | b'~' => char::from(byte).to_string(),
        _ if byte.is_ascii_alphanumeric() => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    };
    text.bytes().map(encode).collect()
}

fn headers(step: &Step, method: &str, has_body: bool, names: &Names) -> Vec<(String, String)> {
    let mut headers = Vec::new();
    if let Some(user) = &step.user {
        headers.push(("impersonate-user".into(), fill_text(user, names)));
    }
    let groups = step.groups.iter().flatten().map(|group| ("impersonate-group".into(), fill_text(group, names)));
    headers.extend(groups);
    let given = |name: &str| step.headers.keys().any(|given| given.eq_ignore_ascii_case(name));
    if !given("user-agent") {
        headers.push(("user-agent".into(), "oracle".into()));
    }
    if has_body && !given("content-type") {
        headers.push(("content-type".into(), if method == "PATCH" { STRATEGIC } else { JSON }.into()));
    }
    let further = step.headers.iter().filter_map(|(name, value)| Some((name, value.as_ref()?)));
    headers.extend(further.map(|(name, value)| (name.to_lowercase(), fill_text(value, names))));
    headers
}

/// A body as a value: JSON, YAML, or a text.
fn document(headers: &http::HeaderMap, body: &[u8]) -> Value {
    let form = headers.get("content-type").and_then(|form| form.to_str().ok()).unwrap_or_default();
    let text = String::from_utf8_lossy(body);
    let parsed = match form {
        _ if form.contains("json") || text.starts_with(['{', '[']) => serde_json::from_slice(body).ok(),
        _ if form.contains("yaml") => serde_saphyr::from_str(&text).ok(),
        _ if body.starts_with(b"k8s\0") => Some("<protobuf>".into()),
        _ if form.contains("cbor") => Some("<cbor>".into()),
        _ => None,
    };
    parsed.unwrap_or_else(|| text.chars().take(4000).collect::<String>().into())
}

/// A value as a text without quotes.
fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

impl super::scenario::Until {
    fn is_met(&self, reply: &Reply, names: &Names) -> bool {
        let status = self.status.is_some_and(|status| status == reply.status);
        let found = self.path.as_ref().and_then(|path| reply.document.pointer(path));
        status || reply.status == 200 && found.is_some_and(|found| *found == super::scenario::fill(&self.value, names))
    }
}

/// The answer as it is recorded.
fn recorded(step: &Step, reply: Reply, canonical: &Canonical, names: &Names) -> Value {
    let Reply { status, headers, mut document } = reply;
    let mut answer = Map::from_iter([("status".to_owned(), json!(status))]);
    let headers = canonical.headers(&headers);
    let is_text = headers["content-type"].as_str().is_some_and(|form| form.contains("text/plain"));
    if headers != json!({}) {
        answer.insert("headers".into(), headers);
    }
    let checked = step.check.iter().map(|(name, (pointer, operator, value))| {
        let same = document.pointer(pointer).map(plain).unwrap_or_default() == fill_text(value, names);
        (name.clone(), Value::Bool(if operator == "is" { same } else { !same }))
    });
    let checks: Map<String, Value> = checked.collect();
    if !checks.is_empty() {
        answer.insert("checks".into(), checks.into());
    }
    if let Some(pick) = &step.pick
        && let Some(Value::Array(items)) = document.pointer_mut(&pick.list)
    {
        let key = |item: &Value| item.pointer(&pick.key).and_then(Value::as_str).unwrap_or_default().to_owned();
        items.retain(|item| pick.only.contains(&key(item)));
        items.sort_by_key(key);
    }
    if let Some(pointers) = &step.keep {
        let kept = |pointer: &String| document.pointer(pointer).cloned().unwrap_or("<absent>".into());
        document = pointers.iter().map(|pointer| (pointer.clone(), kept(pointer))).collect::<Map<_, _>>().into();
    }
    step.drop.iter().for_each(|pointer| take(&mut document, pointer));
    if step.any_order {
        canonical::sort_causes(&mut document);
    }
    match &document {
        Value::Array(events) if step.watch.is_some() => {
            let name = |event: &Value| event.pointer("/object/metadata/name").map(plain).unwrap_or_default();
            let events = events.iter().filter(|event| !canonical::is_published(&name(event)));
            answer.insert("events".into(), events.map(|event| canonical.value(event, &[])).collect());
        }
        Value::String(text) if text.is_empty() && !is_text => {}
        document => {
            answer.insert("body".into(), canonical.value(document, &[]));
        }
    }
    Value::Object(answer)
}

/// Where the folder with scenarios, answers and the list is.
pub(super) fn folder() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/oracle"))
}
