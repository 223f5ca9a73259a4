//! Writes that depend on a leader lease (`Everynode-Lease`).

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use everynode_api::fence::Fence;
use everynode_api::kinds::CONFIG_MAP;
use everynode_api::ports::{PatchType, Preconditions, Request, Target};
use everynode_apiserver::User;
use everynode_store::{
    BoxFuture, Condition, KeyValue, MemoryStore, Outcome, Page, Range, Revision, Store, StoreError, Transaction, Watch,
    Write,
};
use http::Method;
use serde_json::{Value, json};

use crate::support::*;

const LEASES: &str = "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases";
const LEASE: &str = "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases/leader";
const HEADER: &str = "everynode-lease";
const A: &str = "kube-system/leader; transitions=0; holder=a";

fn spec(holder: &str, transitions: u64) -> Value {
    json!({"holderIdentity": holder, "leaseTransitions": transitions, "leaseDurationSeconds": 15,
           "acquireTime": "2026-01-01T00:00:00.000000Z"})
}

/// A server on which `a` leads.
async fn led() -> Server {
    let server = Server::start().await;
    server.post(LEASES, &json!({"metadata": {"name": "leader"}, "spec": spec("a", 0)})).await.expect(201);
    server
}

async fn take_over(server: &Server) {
    server.patch(LEASE, MERGE, &json!({"spec": spec("b", 1)})).await.expect(200);
}

impl Server {
    async fn fenced(&self, fence: &str, method: Method, path: &str, body: &Value) -> Answer {
        let form = if method == Method::PATCH { MERGE } else { JSON };
        self.send(&Who::Admin, method, path, &[(HEADER, fence), ("content-type", form)], body.to_string()).await
    }
}

#[tokio::test]
async fn a_leader_writes_until_another_takes_over() {
    // DS-F19, and beyond it: the original's writes are not fenced
    let server = led().await.with_default_account().await;
    let (path, pod_path) = (format!("{CONFIG_MAPS}/x"), format!("{PODS}/p"));
    server.fenced(A, Method::POST, CONFIG_MAPS, &config_map("x")).await.expect(201);
    server.fenced(A, Method::POST, PODS, &pod("p")).await.expect(201);
    server.fenced(A, Method::PATCH, &path, &json!({"data": {"a": "2"}})).await.expect(200);
    take_over(&server).await;
    let status = json!({"status": {"phase": "Running"}});
    let writes = [
        (Method::POST, CONFIG_MAPS.to_owned(), config_map("y")),
        (Method::PUT, path.clone(), config_map("x")),
        (Method::PATCH, path.clone(), json!({"data": {"a": "3"}})),
        (Method::DELETE, path.clone(), json!({})),
        (Method::DELETE, CONFIG_MAPS.to_owned(), json!({})),
        (Method::PATCH, format!("{pod_path}/status"), status),
        (Method::POST, format!("{pod_path}/binding"), json!({"target": {"kind": "Node", "name": "n"}})),
        (Method::POST, format!("{pod_path}/eviction"), json!({"metadata": {"name": "p"}})),
    ];
    for (method, path, body) in writes {
        let refused = server.fenced(A, method.clone(), &path, &body).await.expect(409);
        assert_eq!(refused["reason"], "Conflict", "{method} {path}");
        assert_eq!(refused["details"]["causes"][0]["reason"], "LeaseLost", "{method} {path}");
        let text = "its sender does not lead any more: the write depends on the lease kube-system/leader; transitions=0; \
                    holder=a, and it is held by b since 2026-01-01T00:00:00.000000Z (transition 1)";
        assert!(refused["message"].as_str().unwrap().ends_with(text), "{refused}");
    }
    let left = server.get(&path).await.expect(200);
    assert_eq!(left["data"]["a"], "2");
    server.get(&format!("{CONFIG_MAPS}/y")).await.expect(404);
    let pod = server.get(&pod_path).await.expect(200);
    assert!(pod["spec"]["nodeName"].is_null() && pod["metadata"]["deletionTimestamp"].is_null());
    // The new leader's writes, and those of other clients, are taken.
    let b = "kube-system/leader; transitions=1; holder=b";
    server.fenced(b, Method::PATCH, &path, &json!({"data": {"a": "4"}})).await.expect(200);
    server.patch(&path, MERGE, &json!({"data": {"a": "5"}})).await.expect(200);
}

#[tokio::test]
async fn the_same_holder_at_another_transition_is_another_leader() {
    let server = led().await;
    server.patch(LEASE, MERGE, &json!({"spec": {"leaseTransitions": 2}})).await.expect(200);
    server.fenced(A, Method::POST, CONFIG_MAPS, &config_map("x")).await.expect(409);
    let now = "kube-system/leader; transitions=2; holder=a";
    server.fenced(now, Method::POST, CONFIG_MAPS, &config_map("x")).await.expect(201);
    server.patch(LEASE, MERGE, &json!({"spec": {"holderIdentity": ""}})).await.expect(200);
    let refused = server.fenced(now, Method::POST, CONFIG_MAPS, &config_map("y")).await.expect(409);
    assert!(refused["message"].as_str().unwrap().ends_with("and it was given up"), "{refused}");
    server.delete(LEASE, &json!({})).await.expect(200);
    let refused = server.fenced(now, Method::POST, CONFIG_MAPS, &config_map("y")).await.expect(409);
    assert!(refused["message"].as_str().unwrap().ends_with("and there is no such lease"), "{refused}");
}

/// A store in which the lease is always renewed just before a commit that depends on it, so many
/// times.
struct Renewing {
    store: MemoryStore,
    renewals: AtomicUsize,
    /// What the lease becomes by it.
    holder: &'static str,
}

impl Renewing {
    async fn renew(&self, transaction: &Transaction) -> Result<(), StoreError> {
        let depends =
            |condition: &Condition| matches!(condition, Condition::ModifiedAt(key, _) if key.ends_with("/leader"));
        let left = |left: usize| left.checked_sub(1);
        if !transaction.conditions.iter().any(depends)
            || self.renewals.fetch_update(Ordering::SeqCst, Ordering::SeqCst, left).is_err()
        {
            return Ok(());
        }
        let key = "/registry/leases/kube-system/leader";
        let lease = self.store.get(key, None)?.unwrap();
        let mut value: Value = serde_json::from_slice(&lease.value).unwrap();
        value["spec"]["holderIdentity"] = self.holder.into();
        let put = Write::Put { key: key.into(), value: value.to_string().into(), expires_in: None };
        self.store.commit(Transaction { writes: vec![put], ..Transaction::default() }).await.map(drop)
    }
}

impl Store for Renewing {
    fn commit(&self, transaction: Transaction) -> BoxFuture<'_, Result<Outcome, StoreError>> {
        Box::pin(async move {
            self.renew(&transaction).await?;
            self.store.commit(transaction).await
        })
    }
    fn get(&self, key: &str, at: Option<Revision>) -> Result<Option<KeyValue>, StoreError> {
        self.store.get(key, at)
    }
    fn range(&self, range: &Range, at: Option<Revision>, limit: usize) -> Result<Page, StoreError> {
        self.store.range(range, at, limit)
    }
    fn watch(&self, prefix: &str, after: Revision) -> Result<Box<dyn Watch>, StoreError> {
        self.store.watch(prefix, after)
    }
    fn current_revision(&self) -> BoxFuture<'_, Result<Revision, StoreError>> {
        self.store.current_revision()
    }
    fn compact(&self, revision: Revision) -> BoxFuture<'_, Result<(), StoreError>> {
        self.store.compact(revision)
    }
    fn shutdown(&self) -> BoxFuture<'_, Result<(), StoreError>> {
        self.store.shutdown()
    }
}

/// The answer to a fenced create where the lease changes between its reading and the commit.
async fn create_amid(renewals: usize, holder: &'static str) -> Answer {
    let store = Renewing { store: MemoryStore::new(), renewals: AtomicUsize::new(0), holder };
    let store = Arc::new(store);
    let server = Server::start_on(store.clone()).await;
    server.post(LEASES, &json!({"metadata": {"name": "leader"}, "spec": spec("a", 0)})).await.expect(201);
    store.renewals.store(renewals, Ordering::SeqCst);
    server.fenced(A, Method::POST, CONFIG_MAPS, &config_map("x")).await
}

#[tokio::test]
async fn renewals_refuse_nothing() {
    create_amid(3, "a").await.expect(201);
    let busy = create_amid(usize::MAX, "a").await.expect(429);
    assert_eq!(busy["message"], "the leader lease changes too often, try again");
}

#[tokio::test]
async fn a_takeover_between_reading_and_writing_is_noticed() {
    let refused = create_amid(1, "b").await.expect(409);
    assert_eq!(refused["details"]["causes"][0]["reason"], "LeaseLost", "{refused}");
}

#[tokio::test]
async fn fences_hold_in_process_too() {
    let server = led().await;
    let client = server.api.client(User::internal("system:controller"));
    let fenced = |request| Request::Fenced { fence: Arc::new(Fence::parse(A).unwrap()), request: Box::new(request) };
    let target = Target::new(CONFIG_MAP, "default", "x");
    client.call(fenced(Request::Create { target: target.clone(), body: config_map("x") })).await.unwrap();
    take_over(&server).await;
    let (patch, preconditions) = (PatchType::Merge, Preconditions::default());
    let late = Request::Patch { target: target.clone(), patch, body: json!({"data": {"a": "2"}}), preconditions };
    assert!(client.call(fenced(late)).await.unwrap_err().is_lease_lost());
    let propagation = None;
    let preconditions = Preconditions::default();
    let late = Request::Delete { target, preconditions, grace_period_seconds: None, propagation };
    assert!(client.call(fenced(late)).await.unwrap_err().is_lease_lost());
}

#[tokio::test]
async fn what_is_no_fence_is_a_bad_request() {
    let server = led().await;
    for fence in ["", "leader", "kube-system/leader; transitions=-1; holder=a", &"x".repeat(1000)] {
        let refused = server.fenced(fence, Method::POST, CONFIG_MAPS, &config_map("x")).await.expect(400);
        assert!(refused["message"].as_str().unwrap().starts_with("Everynode-Lease: "), "{refused}");
    }
    let headers = [(HEADER, A), (HEADER, A), ("content-type", JSON)];
    let twice = server.send(&Who::Admin, Method::POST, CONFIG_MAPS, &headers, config_map("x").to_string()).await;
    assert_eq!(twice.expect(400)["message"], "Everynode-Lease was sent twice");
    // Their renewals may be lost in a crash.
    let node = "kube-node-lease/n; transitions=0; holder=n";
    server.fenced(node, Method::POST, CONFIG_MAPS, &config_map("x")).await.expect(400);
    server.get(&format!("{CONFIG_MAPS}/x")).await.expect(404);
}

#[tokio::test]
async fn the_leader_is_not_named_to_clients_that_may_not_read_it() {
    let server = led().await;
    let rules = json!([{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["create"]}]);
    let roles = "/apis/rbac.authorization.k8s.io/v1/namespaces/default/roles";
    server.post(roles, &json!({"metadata": {"name": "writer"}, "rules": rules})).await.expect(201);
    let binding = json!({"metadata": {"name": "writer"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "writer"},
        "subjects": [{"kind": "Group", "apiGroup": "rbac.authorization.k8s.io", "name": "system:authenticated"}]});
    server.post(&roles.replace("/roles", "/rolebindings"), &binding).await.expect(201);
    let writer = Who::Certificate(server.api.pki().node_certificate("n").unwrap().credentials());
    let guess = "kube-system/leader; transitions=0; holder=z";
    let headers = [(HEADER, guess), ("content-type", JSON)];
    let answer = server.send(&writer, Method::POST, CONFIG_MAPS, &headers, config_map("x").to_string()).await;
    let refused = answer.expect(409);
    assert!(refused["message"].as_str().unwrap().ends_with("and it is held otherwise now"), "{refused}");
}
