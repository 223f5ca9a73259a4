//! Help for tests: scratch directories, a mount namespace, an API server of a few objects.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use everynode_api::ports::{Api, ApiError, BoxFuture, EventStream, Request, WatchRequest};
use everynode_api::status::Status;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::ports::{Clock, Event, EventSink};

/// A directory that goes with the test.
pub(crate) struct Scratch(PathBuf);

impl Scratch {
    pub(crate) fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("everynode-volumes-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Scratch(path.canonicalize().unwrap())
    }

    pub(crate) fn path(&self, below: &str) -> PathBuf {
        self.0.join(below)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // Only if nothing is mounted there any more: never delete through a mount.
        if super::system::unmount_below(&self.0).is_ok() {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }
}

const INSIDE: &str = "EVERYNODE_TEST_MOUNT_NAMESPACE";

/// Runs a test that mounts things in a mount namespace of its own, by running the test binary
/// again inside of one. `module` is `module_path!()`. Needs root, as the agent does.
pub(crate) fn in_mount_namespace(module: &str, test: &str, body: impl FnOnce()) {
    if std::env::var_os(INSIDE).is_some() {
        return body();
    }
    let name = module.split_once("::").map_or(module, |(_, path)| path);
    let status = Command::new("unshare")
        .args(["--mount", "--propagation", "private"])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", &format!("{name}::{test}"), "--nocapture"])
        .env(INSIDE, "1")
        .status()
        .expect("unshare is part of util-linux");
    assert!(status.success(), "the test failed in its mount namespace");
}

/// Time as the test says.
pub(crate) struct TestClock(Mutex<Timestamp>);

impl TestClock {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(TestClock(Mutex::new("2026-11-21T00:00:00Z".parse().unwrap())))
    }

    pub(crate) fn advance(&self, seconds: i64) {
        let mut now = self.0.lock().unwrap();
        *now += SignedDuration::from_secs(seconds);
    }
}

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        *self.0.lock().unwrap()
    }
}

/// Objects by path; every token request is answered with the next number.
#[derive(Default)]
pub(crate) struct FakeApi {
    objects: Mutex<BTreeMap<String, Value>>,
    calls: Mutex<Vec<(String, Value)>>,
    /// Token requests fail while it is set.
    pub(crate) no_tokens: Mutex<bool>,
}

impl FakeApi {
    pub(crate) fn put(&self, path: &str, object: Value) {
        self.objects.lock().unwrap().insert(path.to_owned(), object);
    }

    /// Paths and bodies of everything that was asked.
    pub(crate) fn calls(&self) -> Vec<(String, Value)> {
        self.calls.lock().unwrap().clone()
    }

    fn answer(&self, request: Request) -> Result<Bytes, ApiError> {
        let (target, body) = match request {
            Request::Get(target) => (target, Value::Null),
            Request::Create { target, body } => (target, body),
            other => panic!("volumes do not ask this: {other:?}"),
        };
        let path = target.path();
        self.calls.lock().unwrap().push((path.clone(), body.clone()));
        if target.subresource == Some("token") {
            return self.token(&body);
        }
        match self.objects.lock().unwrap().get(&path) {
            Some(object) => Ok(Bytes::from(object.to_string())),
            None => Err(Status::failure(404, "NotFound", "not found").into()),
        }
    }

    fn token(&self, body: &Value) -> Result<Bytes, ApiError> {
        if *self.no_tokens.lock().unwrap() {
            return Err(ApiError::Unreachable("down".into()));
        }
        let number = self.calls().iter().filter(|(path, _)| path.ends_with("/token")).count();
        let mut answer = body.clone();
        answer["status"] = json!({"token": format!("token-{number}"), "expirationTimestamp": "2026-11-21T01:00:00Z"});
        Ok(Bytes::from(answer.to_string()))
    }
}

impl Api for FakeApi {
    fn call(&self, request: Request) -> BoxFuture<'_, Result<Bytes, ApiError>> {
        Box::pin(std::future::ready(self.answer(request)))
    }

    fn watch(&self, _: WatchRequest) -> BoxFuture<'_, Result<Box<dyn EventStream>, ApiError>> {
        Box::pin(std::future::ready(Err(ApiError::Unreachable("no watches here".into()))))
    }
}

/// Keeps events.
#[derive(Default)]
pub(crate) struct Events(pub(crate) Mutex<Vec<Event>>);

impl EventSink for Events {
    fn emit(&self, event: Event) {
        self.0.lock().unwrap().push(event);
    }
}

pub(crate) fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}
