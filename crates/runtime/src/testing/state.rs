//! The server's state, and what each verb does to it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use everynode_api::fence::{self, Fence};
use everynode_api::kinds::{self, Kind};
use everynode_api::meta::Key;
use everynode_api::ports::{ApiError, Preconditions, Request, Selection, Target};
use everynode_api::status::Status;
use everynode_api::time::rfc3339;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::select::Filter;
use super::served::Discovery;
use super::{Fault, patch};

/// One change.
pub(super) struct Record {
    pub revision: u64,
    pub kind: Kind,
    pub old: Option<Arc<Value>>,
    /// For deletions: the last state with the revision of the deletion.
    pub new: Arc<Value>,
    pub is_deletion: bool,
}

#[derive(Default)]
pub(super) struct ServerState {
    pub revision: u64,
    objects: BTreeMap<Kind, BTreeMap<Key, Arc<Value>>>,
    pub history: Vec<Record>,
    /// Changes up to this revision are forgotten.
    pub compacted: u64,
    pub bookmark: u64,
    /// Watches of an earlier generation are closed.
    pub generation: u64,
    pub held: BTreeSet<Kind>,
    pub faults: VecDeque<Fault>,
    pub requests: Vec<String>,
    pub latency: Duration,
    pub in_flight: usize,
    pub in_flight_max: usize,
    uids: u64,
    pub discovery: Discovery,
}

type Answer = Result<Value, ApiError>;

impl ServerState {
    pub fn get(&self, kind: &Kind, key: &Key) -> Option<&Value> {
        self.objects.get(kind)?.get(key).map(Arc::as_ref)
    }

    pub fn all(&self, kind: &Kind) -> impl Iterator<Item = &Value> {
        self.objects.get(kind).into_iter().flat_map(|objects| objects.values().map(Arc::as_ref))
    }

    pub fn compact(&mut self) {
        self.compacted = self.revision;
        self.history.clear();
    }

    pub fn put(&mut self, kind: &Kind, mut object: Value, now: Timestamp) -> Value {
        self.fill_in(kind, &mut object, now);
        self.store(kind, object)
    }

    pub fn remove(&mut self, kind: &Kind, key: &Key) -> bool {
        self.erase(kind, key).is_some()
    }

    pub fn carry_out(&mut self, request: Request, now: Timestamp) -> Answer {
        let (request, fence) = request.unfenced();
        if let Some(fence) = fence {
            self.check(&fence)?;
        }
        match request {
            Request::Fenced { .. } => Err(Status::bad_request("a fence within a fence").into()),
            Request::Get(target) => self.existing(&target).cloned(),
            Request::Raw { path } => self.discovery.document(&path),
            Request::List { kind, selection, limit, continue_token, .. } => {
                self.discovery.check(&kind)?;
                self.list(&kind, &selection, limit, continue_token)
            }
            Request::Create { target, body } => self.create(target, body, now),
            Request::Update { target, body } => self.update(&target, body),
            Request::Patch { target, patch, body, preconditions } => {
                let old = self.existing(&target)?.clone();
                self.update(&target, patch::apply(&target.kind, old, patch, body, &preconditions)?)
            }
            Request::Delete { target, preconditions, grace_period_seconds, .. } => {
                self.delete(&target, &preconditions, grace_period_seconds, now)
            }
        }
    }

    /// As our own server does.
    fn check(&self, fence: &Fence) -> Result<(), ApiError> {
        let lease = self.get(&kinds::LEASE, &Key::new(fence.namespace(), fence.name()));
        let spec = lease.map(|lease| &lease["spec"]);
        let holds = |spec: &Value| {
            fence.holds(spec["holderIdentity"].as_str().unwrap_or(""), spec["leaseTransitions"].as_u64().unwrap_or(0))
        };
        match spec.is_some_and(holds) {
            true => Ok(()),
            false => Err(Status::conflict(&kinds::LEASE, fence.name(), "lost").with_cause(fence::LOST, "", "").into()),
        }
    }

    fn existing(&self, target: &Target) -> Result<&Value, ApiError> {
        let found = self.get(&target.kind, &Key::new(&target.namespace, &target.name));
        found.ok_or_else(|| Status::not_found(&target.kind, &target.name).into())
    }

    fn list(&self, kind: &Kind, selection: &Selection, limit: u32, token: Option<String>) -> Answer {
        let filter = Filter::new(selection)?;
        let start: usize = token.and_then(|token| token.parse().ok()).unwrap_or(0);
        let matching: Vec<&Value> = self.all(kind).filter(|object| filter.matches(object)).collect();
        let end = if limit == 0 { matching.len() } else { (start + limit as usize).min(matching.len()) };
        let mut metadata = json!({"resourceVersion": self.revision.to_string()});
        if end < matching.len() {
            metadata["continue"] = end.to_string().into();
        }
        let items = matching.get(start..end).unwrap_or_default();
        Ok(
            json!({"kind": format!("{}List", kind.kind), "apiVersion": kind.api_version(), "metadata": metadata, "items": items}),
        )
    }

    fn create(&mut self, target: Target, mut body: Value, now: Timestamp) -> Answer {
        match target.subresource {
            None => {}
            Some("binding") => return self.bind(&target, &body),
            Some("eviction") => return self.delete(&target, &Preconditions::default(), None, now),
            Some(_) => return Err(Status::method_not_allowed().into()),
        }
        if !target.namespace.is_empty() {
            body["metadata"]["namespace"] = target.namespace.as_str().into();
        }
        self.name(&mut body);
        let key = key_of(&body);
        if self.get(&target.kind, &key).is_some() {
            return Err(Status::already_exists(&target.kind, &key.name).into());
        }
        self.fill_in(&target.kind, &mut body, now);
        Ok(self.store(&target.kind, body))
    }

    fn name(&mut self, body: &mut Value) {
        if let Some(prefix) = body["metadata"]["generateName"].as_str().filter(|_| body["metadata"]["name"].is_null()) {
            self.uids += 1;
            body["metadata"]["name"] = format!("{prefix}{:05}", self.uids).into();
        }
    }

    fn bind(&mut self, target: &Target, body: &Value) -> Answer {
        let mut pod = self.existing(target)?.clone();
        if pod["spec"]["nodeName"].is_string() {
            return Err(Status::conflict(&target.kind, &target.name, "it is bound already").into());
        }
        pod["spec"]["nodeName"] = body["target"]["name"].clone();
        self.store(&target.kind, pod);
        Ok(json!({"kind": "Status", "apiVersion": "v1", "status": "Success"}))
    }

    fn update(&mut self, target: &Target, mut body: Value) -> Answer {
        let old = self.existing(target)?.clone();
        let known = |field: &str, body: &Value| {
            body["metadata"][field].as_str().is_none_or(|text| text.is_empty() || old["metadata"][field] == text)
        };
        if !known("uid", &body) {
            let status = Status::failure(422, "Invalid", "metadata.uid: field is immutable");
            return Err(status.with_cause("FieldValueInvalid", "field is immutable", "metadata.uid").into());
        }
        if !known("resourceVersion", &body) {
            return Err(Status::modified(&target.kind, &target.name).into());
        }
        let mut new = old.clone();
        match target.subresource {
            Some("status") => new["status"] = body["status"].take(),
            _ => {
                let status = old.get("status").cloned();
                new = body;
                new["metadata"]["uid"] = old["metadata"]["uid"].clone();
                if let Some(status) = status {
                    new["status"] = status;
                }
                if new["spec"] != old["spec"] {
                    new["metadata"]["generation"] = (old["metadata"]["generation"].as_i64().unwrap_or(0) + 1).into();
                }
            }
        }
        if new == old {
            return Ok(old);
        }
        let is_over = new["metadata"]["deletionTimestamp"].is_string() && !has_finalizers(&new) && has_finalizers(&old);
        let stored = self.store(&target.kind, new);
        if is_over {
            self.erase(&target.kind, &key_of(&stored));
        }
        Ok(stored)
    }

    fn delete(&mut self, target: &Target, guards: &Preconditions, grace: Option<i64>, now: Timestamp) -> Answer {
        let mut object = self.existing(target)?.clone();
        let metadata = &object["metadata"];
        let revision = guards.resource_version.map(|revision| revision.to_string());
        let holds = |field: &str, wanted: Option<&str>| wanted.is_none_or(|wanted| metadata[field] == wanted);
        if !holds("uid", guards.uid.as_deref()) || !holds("resourceVersion", revision.as_deref()) {
            return Err(Status::conflict(&target.kind, &target.name, "Precondition failed").into());
        }
        let is_graceful = target.kind == kinds::POD && object["spec"]["nodeName"].is_string() && grace != Some(0);
        if !is_graceful && !has_finalizers(&object) {
            return Ok(self.erase(&target.kind, &key_of(&object)).unwrap_or_default());
        }
        if metadata["deletionTimestamp"].is_string() {
            return Ok(object);
        }
        object["metadata"]["deletionTimestamp"] = rfc3339(now).into();
        object["metadata"]["deletionGracePeriodSeconds"] = grace.unwrap_or(30).into();
        Ok(self.store(&target.kind, object))
    }

    fn fill_in(&mut self, kind: &Kind, object: &mut Value, now: Timestamp) {
        object["kind"] = kind.kind.as_ref().into();
        object["apiVersion"] = kind.api_version().into();
        let known = self.get(kind, &key_of(object)).map(|known| known["metadata"]["uid"].clone());
        let metadata = &mut object["metadata"];
        if metadata["uid"].is_null() {
            self.uids += 1;
            metadata["uid"] = known.unwrap_or_else(|| format!("uid-{}", self.uids).into());
        }
        if metadata["creationTimestamp"].is_null() {
            metadata["creationTimestamp"] = rfc3339(now).into();
        }
        if metadata["generation"].is_null() {
            metadata["generation"] = 1.into();
        }
    }

    /// Stores an object at a new revision.
    fn store(&mut self, kind: &Kind, mut object: Value) -> Value {
        self.revision += 1;
        object["metadata"]["resourceVersion"] = self.revision.to_string().into();
        let new = Arc::new(object);
        let old = self.objects.entry(kind.clone()).or_default().insert(key_of(&new), new.clone());
        self.history.push(Record {
            revision: self.revision,
            kind: kind.clone(),
            old,
            new: new.clone(),
            is_deletion: false,
        });
        Value::clone(&new)
    }

    fn erase(&mut self, kind: &Kind, key: &Key) -> Option<Value> {
        let old = self.objects.get_mut(kind)?.remove(key)?;
        self.revision += 1;
        let mut last = Value::clone(&old);
        last["metadata"]["resourceVersion"] = self.revision.to_string().into();
        let new = Arc::new(last.clone());
        self.history.push(Record {
            revision: self.revision,
            kind: kind.clone(),
            old: Some(old),
            new,
            is_deletion: true,
        });
        Some(last)
    }
}

fn key_of(object: &Value) -> Key {
    let text = |name: &str| object["metadata"][name].as_str().unwrap_or_default();
    Key::new(text("namespace"), text("name"))
}

fn has_finalizers(object: &Value) -> bool {
    object["metadata"]["finalizers"].as_array().is_some_and(|list| !list.is_empty())
}
