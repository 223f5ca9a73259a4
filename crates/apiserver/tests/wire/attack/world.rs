//! Two namespaces, two nodes, an object of every kind in each place, and every role's credential.

use std::collections::{BTreeSet, HashMap};
use std::sync::Mutex;

use everynode_api::kinds::{KINDS, Kind};
use everynode_apiserver::Credentials;
use http::Method;
use serde_json::{Value, json};

use super::bodies;
use super::client::Client;
use crate::support::{JSON, Server, Who};

pub(crate) struct World {
    pub(crate) server: Server,
    pub(crate) admin: Client,
    /// n1, and n9 as it was before it was deleted.
    pub(crate) node: Value,
    pub(crate) former: Value,
    tokens: Vec<(&'static str, String)>,
    /// Objects as they were at first: an attack that got through must not hide the next.
    first_seen: Mutex<HashMap<String, Value>>,
}

/// Where something is, as the table says it.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) scope: &'static str,
    pub(crate) namespace: &'static str,
    /// Empty for a collection.
    pub(crate) name: &'static str,
}

const BINDINGS: &str = "/apis/rbac.authorization.k8s.io/v1/namespaces/team/rolebindings";

impl World {
    pub(crate) async fn make() -> World {
        let server = Server::start().await;
        let admin = Client::connect(&server, &Who::Admin).await;
        for name in ["team", "other"] {
            admin.post("/api/v1/namespaces", &bodies::object("namespaces", name)).await;
            let accounts = format!("/api/v1/namespaces/{name}/serviceaccounts");
            admin.post(&accounts, &json!({"metadata": {"name": "default"}})).await;
        }
        let node = admin.post("/api/v1/nodes", &bodies::object("nodes", "n1")).await;
        admin.post("/api/v1/nodes", &bodies::object("nodes", "n2")).await;
        let former = admin.post("/api/v1/nodes", &bodies::object("nodes", "n9")).await;
        admin.open(Method::DELETE, "/api/v1/nodes/n9", JSON, String::new()).await;
        let mut world = World { server, admin, node, former, tokens: Vec::new(), first_seen: Mutex::default() };
        world.objects().await;
        world.accounts().await;
        world.settle().await;
        world
    }

    /// An object of every kind in each place; accounts first, because pods need them.
    async fn objects(&self) {
        let mut kinds: Vec<_> =
            KINDS.iter().filter(|info| !["namespaces", "minions"].contains(&info.storage)).collect();
        kinds.sort_by_key(|info| info.storage != "serviceaccounts");
        let mut stored = BTreeSet::new();
        for info in kinds.into_iter().filter(|info| stored.insert(info.storage)) {
            let resource = info.kind.qualified_resource();
            let places: &[_] = match info.kind.namespaced {
                true => &[("team", "mine", "n1"), ("team", "stray", "n2"), ("other", "theirs", "n2")],
                false => &[("", "theirs", "")],
            };
            for (namespace, name, node) in places {
                let mut object = bodies::object(&resource, name);
                if resource == "pods" {
                    object["spec"]["nodeName"] = (*node).into();
                }
                if resource == "events" {
                    object["involvedObject"]["namespace"] = (*namespace).into();
                }
                self.admin.post(&info.kind.path(Some(namespace), None, None), &object).await;
            }
        }
        let csi_node = bodies::object("csinodes.storage.k8s.io", "n1");
        self.admin.post("/apis/storage.k8s.io/v1/csinodes", &csi_node).await;
        for name in ["n1", "n2"] {
            let leases = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases";
            self.admin.post(leases, &bodies::object("leases.coordination.k8s.io", name)).await;
        }
    }

    async fn accounts(&mut self) {
        for (role, granted) in [("reader", "view"), ("editor", "edit"), ("owner", "admin")] {
            let token = self.account("team", role, &json!({})).await;
            self.tokens.push((role, token));
            let subject = json!({"kind": "ServiceAccount", "name": role, "namespace": "team"});
            let bound = json!({"metadata": {"name": role}, "subjects": [subject],
                "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": granted}});
            self.admin.post(BINDINGS, &bound).await;
        }
        let token = self.account("kube-system", "daemon-set-controller", &json!({})).await;
        self.tokens.push(("controller", token));
        for (role, pod) in [("account", "idle"), ("gone", "ended")] {
            let body = json!({"metadata": {"name": pod}, "spec": {"nodeName": "n2", "containers": [{"name": "main", "image": "x:1"}]}});
            let pod = self.admin.post("/api/v1/namespaces/team/pods", &body).await;
            let token = self.token("team", "default", &bodies::token_request(&pod)).await;
            self.tokens.push((role, token));
        }
        let gone = json!({"gracePeriodSeconds": 0}).to_string();
        self.admin.open(Method::DELETE, "/api/v1/namespaces/team/pods/ended", JSON, gone).await;
    }

    async fn account(&self, namespace: &str, name: &str, request: &Value) -> String {
        let path = format!("/api/v1/namespaces/{namespace}/serviceaccounts");
        self.admin.post(&path, &json!({"metadata": {"name": name}})).await;
        self.token(namespace, name, request).await
    }

    pub(crate) async fn token(&self, namespace: &str, name: &str, request: &Value) -> String {
        let path = format!("/api/v1/namespaces/{namespace}/serviceaccounts/{name}/token");
        self.admin.post(&path, request).await["status"]["token"].as_str().unwrap().to_owned()
    }

    /// Waits until what was written is what requests are judged by: the watch's first event is of
    /// the last binding.
    async fn settle(&self) {
        for kind in ["/api/v1/pods", "/api/v1/nodes", BINDINGS] {
            let list = self.admin.get(kind).await;
            let version = list["metadata"]["resourceVersion"].as_str().unwrap();
            let path = format!("{kind}?watch=1&resourceVersion={version}");
            assert_eq!(self.admin.code(Method::GET, &path, JSON, String::new()).await, 200);
        }
    }

    /// An object as it was when it was asked for the first time.
    pub(crate) async fn first_seen(&self, path: &str) -> Value {
        if let Some(seen) = self.first_seen.lock().unwrap().get(path) {
            return seen.clone();
        }
        let seen = self.admin.get(path).await;
        self.first_seen.lock().unwrap().insert(path.to_owned(), seen.clone());
        seen
    }

    pub(crate) fn who(&self, role: &str) -> Who {
        let certificate =
            |node: &str| Who::Certificate(self.server.api.pki().node_certificate(node).unwrap().credentials());
        match role {
            "anonymous" => Who::Nobody,
            "node" => certificate("n1"),
            "former" => certificate("n9"),
            "server" => Who::Certificate(self.stolen("apiserver-kubelet-client")),
            "join" => Who::Token(self.server.api.pki().join_token().to_owned()),
            role => Who::Token(self.tokens.iter().find(|(known, _)| *known == role).unwrap().1.clone()),
        }
    }

    /// A key and certificate from the server's disk.
    pub(crate) fn stolen(&self, name: &str) -> Credentials {
        let read = |ending: &str| {
            std::fs::read_to_string(self.server.directory.path().join(format!("pki/{name}.{ending}"))).unwrap()
        };
        Credentials { certificate: read("crt"), key: read("key") }
    }

    /// All objects that no role owns, with their versions: nothing of a walk may change them.
    pub(crate) async fn foreign(&self) -> Vec<String> {
        let mut found = Vec::new();
        for info in KINDS {
            let list = self.admin.get(&info.kind.path(info.kind.namespaced.then_some("other"), None, None)).await;
            for item in list["items"].as_array().unwrap() {
                let meta = &item["metadata"];
                found.push(format!("{} {} {}", info.kind.plural, meta["name"], meta["resourceVersion"]));
            }
        }
        found
    }
}

/// The objects of a kind that a role tries, as the table names them.
pub(crate) fn named(role: &str, kind: &Kind) -> Vec<Place> {
    let place = |scope, namespace, name| Place { scope, namespace, name };
    let node = if role == "former" { "n9" } else { "n1" };
    let is_node = matches!(role, "node" | "former");
    match kind.plural.as_ref() {
        "leases" if is_node => vec![
            place("own", "kube-node-lease", node),
            place("near", "kube-node-lease", "n2"),
            place("far", "other", "theirs"),
        ],
        "nodes" if is_node => vec![place("own", "", node), place("far", "", "n2")],
        "csinodes" if is_node => vec![place("own", "", node), place("far", "", "theirs")],
        "nodes" => vec![place("far", "", "n2")],
        "namespaces" => vec![place("own", "", "team"), place("far", "", "other")],
        "customresourcedefinitions" => vec![place("far", "", "theirs.attack.test")],
        _ if !kind.namespaced => vec![place("far", "", "theirs")],
        _ if role == "former" => vec![place("near", "team", "stray"), place("far", "other", "theirs")],
        _ => vec![place("own", "team", "mine"), place("near", "team", "stray"), place("far", "other", "theirs")],
    }
}

/// The collections of a kind.
pub(crate) fn collections(role: &str, kind: &Kind) -> Vec<Place> {
    let place = |scope, namespace| Place { scope, namespace, name: "" };
    let here = match kind.plural == "leases" && matches!(role, "node" | "former") {
        true => "kube-node-lease",
        false => "team",
    };
    let inside = [place("here", here), place("there", "other")].into_iter().filter(|_| kind.namespaced);
    inside.chain([place("everywhere", "")]).collect()
}
