//! Discovery: which kinds the server says that it serves. Before a test says so, there is none, and
//! every kind has a list.

use std::collections::{BTreeMap, BTreeSet};

use everynode_api::kinds::Kind;
use everynode_api::ports::ApiError;
use everynode_api::status::Status;
use serde_json::{Value, json};

#[derive(Default)]
pub(super) struct Discovery {
    served: Option<BTreeSet<Kind>>,
    /// Documents, and what they tell of, that cannot be had.
    broken: BTreeSet<String>,
}

impl Discovery {
    pub fn serve(&mut self, kind: &Kind) {
        self.served.get_or_insert_default().insert(kind.clone());
    }

    pub fn drop_kind(&mut self, kind: &Kind) {
        self.served.get_or_insert_default().remove(kind);
    }

    pub fn set_broken(&mut self, path: &str, broken: bool) {
        match broken {
            true => self.broken.insert(path.to_owned()),
            false => self.broken.remove(path),
        };
    }

    /// Whether objects of the kind can be had at all.
    pub fn check(&self, kind: &Kind) -> Result<(), ApiError> {
        self.check_path(&path_of(kind))?;
        match self.served.as_ref().is_none_or(|served| served.contains(kind)) {
            true => Ok(()),
            false => Err(Status::no_such_path().into()),
        }
    }

    fn check_path(&self, path: &str) -> Result<(), ApiError> {
        match self.broken.contains(path) {
            true => Err(Status::unavailable("the backend is down").into()),
            false => Ok(()),
        }
    }

    pub fn document(&self, path: &str) -> Result<Value, ApiError> {
        self.check_path(path)?;
        let none = || ApiError::from(Status::no_such_path());
        let served = self.served.as_ref().ok_or_else(none)?;
        match path {
            "/api" => Ok(json!({"kind": "APIVersions", "versions": ["v1"]})),
            "/apis" => Ok(json!({"kind": "APIGroupList", "groups": groups(served)})),
            path => {
                let resources: Vec<Value> = served.iter().filter(|kind| path_of(kind) == path).map(resource).collect();
                Ok(json!({"kind": "APIResourceList", "resources": resources}))
            }
        }
    }
}

fn groups(served: &BTreeSet<Kind>) -> Vec<Value> {
    let mut groups: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for kind in served.iter().filter(|kind| !kind.group.is_empty()) {
        groups.entry(&kind.group).or_default().insert(kind.api_version());
    }
    let version = |name: &String| json!({"groupVersion": name});
    let group = |(name, versions): (&str, BTreeSet<String>)| {
        let preferred = versions.first().map(version);
        json!({"name": name, "versions": versions.iter().map(version).collect::<Vec<_>>(), "preferredVersion": preferred})
    };
    groups.into_iter().map(group).collect()
}

fn resource(kind: &Kind) -> Value {
    let verbs = ["create", "delete", "get", "list", "patch", "update", "watch"];
    json!({"name": kind.plural, "kind": kind.kind, "namespaced": kind.namespaced, "verbs": verbs})
}

fn path_of(kind: &Kind) -> String {
    match kind.group.as_ref() {
        "" => format!("/api/{}", kind.version),
        group => format!("/apis/{group}/{}", kind.version),
    }
}
