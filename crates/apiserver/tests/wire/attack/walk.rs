//! Every operation of the catalogue, as every role, against the table.

use std::collections::{BTreeMap, BTreeSet};

use everynode_api::kinds::{KINDS, Kind};
use http::Method;
use serde_json::Value;

use super::bodies;
use super::client::Client;
use super::rights::{Right, Table};
use super::world::{Place, World, collections, named};
use crate::support::{JSON, MERGE};

/// A resource or subresource as it is served.
struct Served {
    kind: Kind,
    subresource: String,
    verbs: BTreeSet<String>,
}

/// What is served: by discovery, and by the table of kinds (what discovery leaves out is tried with
/// every verb).
pub(crate) struct Catalogue(BTreeMap<String, Served>);

/// One request, and what it is in the table's words.
struct Operation {
    resource: String,
    scope: &'static str,
    path: String,
    sent: Sent,
    /// Whether the server offers this at all: what it does not offer may be 404 or 405 for every
    /// client.
    offered: bool,
}

/// How something is asked for.
struct Sent {
    /// The verb that it stands for.
    verb: &'static str,
    method: Method,
    media: &'static str,
    body: String,
}

impl Sent {
    fn new(verb: &'static str, method: Method, body: &str) -> Sent {
        let media = if method == Method::PATCH { MERGE } else { JSON };
        Sent { verb, method, media, body: body.to_owned() }
    }
}

impl Catalogue {
    pub(crate) async fn read(admin: &Client) -> Catalogue {
        let mut all = BTreeMap::new();
        for info in KINDS {
            for subresource in [""].iter().chain(info.subresources) {
                let served =
                    Served { kind: info.kind.clone(), subresource: (*subresource).into(), verbs: every_verb() };
                all.insert(served.name(), served);
            }
        }
        let groups = admin.get("/apis").await;
        let groups = groups["groups"].as_array().unwrap().iter();
        let versions =
            groups.map(|group| format!("/apis/{}", group["preferredVersion"]["groupVersion"].as_str().unwrap()));
        for path in versions.chain(["/api/v1".to_owned()]) {
            for resource in admin.get(&path).await["resources"].as_array().unwrap() {
                let served = Served::discovered(&path, resource);
                all.insert(served.name(), served);
            }
        }
        Catalogue(all)
    }

    pub(crate) fn names(&self) -> BTreeSet<&str> {
        self.0.keys().map(String::as_str).collect()
    }
}

fn every_verb() -> BTreeSet<String> {
    ["get", "list", "watch", "create", "update", "patch", "delete", "deletecollection"].map(str::to_owned).into()
}

impl Served {
    fn discovered(path: &str, resource: &Value) -> Served {
        let text = |name: &str| resource[name].as_str().unwrap().to_owned();
        let mut parts = path.trim_start_matches("/apis/").trim_start_matches("/api/").rsplit('/');
        let (version, group) = (parts.next().unwrap().to_owned(), parts.next().unwrap_or("").to_owned());
        let name = text("name");
        let (plural, subresource) = name.split_once('/').unwrap_or((&name, ""));
        let kind = Kind {
            group: group.into(),
            version: version.into(),
            kind: text("kind").into(),
            plural: plural.to_owned().into(),
            namespaced: resource["namespaced"] == true,
        };
        let verbs = resource["verbs"].as_array().unwrap().iter().map(|verb| verb.as_str().unwrap().to_owned());
        Served { kind, subresource: subresource.to_owned(), verbs: verbs.collect() }
    }

    /// `pods/log`, `daemonsets.apps`
    fn name(&self) -> String {
        let resource = self.kind.qualified_resource();
        if self.subresource.is_empty() { resource } else { format!("{resource}/{}", self.subresource) }
    }

    fn path(&self, place: &Place, name: bool) -> String {
        let namespace = Some(place.namespace).filter(|namespace| !namespace.is_empty());
        let subresource = Some(self.subresource.as_str()).filter(|subresource| !subresource.is_empty());
        self.kind.path(namespace, name.then_some(place.name), subresource)
    }
}

impl Served {
    fn operation(&self, place: &Place, path: String, sent: Sent, offered: bool) -> Operation {
        Operation { resource: self.name(), scope: place.scope, path, sent, offered }
    }

    /// A list and a watch; `joint` is what stands before one more parameter.
    fn lists(&self, place: &Place, path: &str, joint: &str) -> [Operation; 2] {
        ["list", "watch"].map(|verb| {
            let watch = if verb == "watch" { format!("{joint}watch=true") } else { String::new() };
            let offered = self.verbs.contains(verb);
            self.operation(place, format!("{path}{watch}"), Sent::new(verb, Method::GET, ""), offered)
        })
    }
}

/// What one role sends.
pub(crate) struct Walk<'a> {
    pub(crate) world: &'a World,
    pub(crate) table: &'a Table,
    pub(crate) role: &'static str,
    pub(crate) client: Client,
}

impl Walk<'_> {
    /// Sends everything; returns a line for each answer that is not as the table says, and how many
    /// were sent.
    pub(crate) async fn all(&self, catalogue: &Catalogue) -> (Vec<String>, usize) {
        let mut operations = Vec::new();
        for served in catalogue.0.values() {
            operations.extend(self.on_objects(served).await);
            if served.subresource.is_empty() {
                operations.extend(self.on_collections(served));
            }
        }
        // What ends objects comes last: it would hide what is refused.
        operations.sort_by_key(|operation| operation.sent.verb.starts_with("delete"));
        let mut wrong = Vec::new();
        for operation in &operations {
            wrong.extend(self.judged(operation).await);
        }
        let paths = self.paths().await;
        (wrong.into_iter().chain(paths.0).collect(), operations.len() + paths.1)
    }

    async fn on_objects(&self, served: &Served) -> Vec<Operation> {
        let mut all = Vec::new();
        let stored = KINDS.iter().any(|info| info.kind == served.kind);
        for place in named(self.role, &served.kind).into_iter().filter(|_| stored) {
            let object = self.stored(&served.kind, &place).await;
            let path = served.path(&place, true);
            let patch = if served.subresource.is_empty() { r#"{"metadata":{"annotations":{"a":"b"}}}"# } else { "{}" };
            let posted = self.posted(served, &object).await;
            let sent = [
                Sent::new("get", Method::GET, ""),
                Sent::new("get", Method::HEAD, ""),
                Sent::new("update", Method::PUT, &object.to_string()),
                Sent::new("patch", Method::PATCH, patch),
                Sent::new("create", Method::POST, &posted),
                Sent::new("delete", Method::DELETE, ""),
            ];
            for sent in sent {
                let offered = sent.method != Method::HEAD
                    && served.verbs.contains(sent.verb)
                    && (sent.verb != "create" || !served.subresource.is_empty());
                all.push(served.operation(&place, path.clone(), sent, offered));
            }
            if served.subresource.is_empty() {
                let path = format!("{}?fieldSelector=metadata.name%3D{}", served.path(&place, false), place.name);
                all.extend(served.lists(&place, &path, "&"));
            }
        }
        all
    }

    fn on_collections(&self, served: &Served) -> Vec<Operation> {
        let mut all = Vec::new();
        for place in collections(self.role, &served.kind) {
            let path = served.path(&place, false);
            let created = self.created(served).to_string();
            let sent = [
                Sent::new("list", Method::HEAD, ""),
                Sent::new("create", Method::POST, &created),
                Sent::new("update", Method::PUT, &created),
                Sent::new("patch", Method::PATCH, "{}"),
                Sent::new("deletecollection", Method::DELETE, ""),
            ];
            for sent in sent {
                let inside = sent.verb == "list" || !served.kind.namespaced || place.scope != "everywhere";
                let has = !matches!(sent.verb, "update" | "patch") && sent.method != Method::HEAD;
                let offered = served.verbs.contains(sent.verb) && has && inside;
                all.push(served.operation(&place, path.clone(), sent, offered));
            }
            all.extend(served.lists(&place, &path, "?"));
        }
        if served.kind.plural == "pods" {
            let own = if self.role == "former" { "n9" } else { "n1" };
            for (scope, node) in [("selected", own), ("unselected", "n2")] {
                let place = Place { scope, namespace: "", name: "" };
                let path = format!("/api/v1/pods?fieldSelector=spec.nodeName%3D{node}");
                all.extend(served.lists(&place, &path, "&"));
            }
        }
        all
    }

    async fn stored(&self, kind: &Kind, place: &Place) -> Value {
        match (self.role, kind.plural.as_ref(), place.name) {
            ("former", "nodes", "n9") => self.world.former.clone(),
            (_, "csinodes", "n9") => bodies::object("csinodes.storage.k8s.io", "n9"),
            (_, "leases", "n9") => bodies::object("leases.coordination.k8s.io", "n9"),
            _ => self.world.first_seen(&kind.path(Some(place.namespace), Some(place.name), None)).await,
        }
    }

    async fn posted(&self, served: &Served, object: &Value) -> String {
        if served.subresource != "token" {
            return bodies::posted(&served.subresource, object).to_string();
        }
        // The pod of the same name has the account.
        let meta = |name: &str| object["metadata"][name].as_str().unwrap();
        let pod = format!("/api/v1/namespaces/{}/pods/{}", meta("namespace"), meta("name"));
        bodies::token_request(&self.world.first_seen(&pod).await).to_string()
    }

    /// A new object; for nodes what a node may create.
    fn created(&self, served: &Served) -> Value {
        let node = match self.role {
            "node" => &self.world.node,
            "former" => &self.world.former,
            _ => return bodies::object(&served.name(), bodies::NEW),
        };
        let name = node["metadata"]["name"].as_str().unwrap();
        match served.name().as_str() {
            "pods" => bodies::mirror_pod(bodies::NEW, node),
            resource @ ("nodes" | "leases.coordination.k8s.io" | "csinodes.storage.k8s.io") => {
                bodies::object(resource, name)
            }
            resource => bodies::object(resource, bodies::NEW),
        }
    }

    /// Sends an operation and holds the answer against the table.
    async fn judged(&self, operation: &Operation) -> Option<String> {
        let Operation { resource, scope, path, sent, offered } = operation;
        let Sent { verb, method, media, body } = sent;
        let Some(right) = self.table.right(resource, self.role, verb, scope) else {
            return Some(format!("{resource} has no block in rights.txt"));
        };
        // What is refused is sent in earnest.
        let in_earnest = right == Right::Refused || matches!(*verb, "get" | "list" | "watch");
        let query = if in_earnest { "" } else { "?dryRun=All" };
        let code = self.client.code(method.clone(), &format!("{path}{query}"), media, body.clone()).await;
        let sane = code < 500 || code == 502;
        let as_said = match right {
            Right::Allowed if *offered => !matches!(code, 401 | 403),
            Right::Allowed => code >= 400,
            Right::Refused if *offered || self.role == "gone" => matches!(code, 401 | 403),
            Right::Refused => matches!(code, 401 | 403 | 404 | 405),
            Right::Either => true,
        };
        let told = format!("{}: {verb} {resource} {scope}: {right:?}, but {method} {path} is {code}", self.role);
        (!as_said || !sane).then_some(told)
    }

    /// What is sent to a path: a machine asks for its own certificate, every other client for that
    /// of n1.
    fn sent_to(&self, path: &str) -> String {
        let node = if self.role == "former" { "n9" } else { "n1" };
        let asked = serde_json::json!({"nodeName": node, "csr": "no request"}).to_string();
        if path == "/everynode.dev/v1/join" { asked } else { String::new() }
    }

    /// The paths that are no resources.
    async fn paths(&self) -> (Vec<String>, usize) {
        let methods = ["get", "head", "post", "put", "patch", "delete", "options"];
        let (mut wrong, mut sent) = (Vec::new(), 0);
        for path in self.table.paths() {
            for method in methods {
                let right = self.table.right(path, self.role, method, "").unwrap();
                let sending = Method::from_bytes(method.to_uppercase().as_bytes()).unwrap();
                let code = self.client.code(sending, path, JSON, self.sent_to(path)).await;
                let as_said = match right {
                    Right::Allowed => !matches!(code, 401 | 403),
                    Right::Refused => matches!(code, 401 | 403 | 404 | 405),
                    Right::Either => true,
                };
                if !as_said || code >= 500 {
                    wrong.push(format!("{}: {method} {path}: {right:?}, but {code}", self.role));
                }
                sent += 1;
            }
        }
        (wrong, sent)
    }
}
