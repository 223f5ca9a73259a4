//! What an agent may write: every row of node restriction, what it lets through and what it
//! refuses, in Kubernetes' words.

use http::Method;
use serde_json::{Value, json};

use crate::access::join;
use crate::support::*;

const NODES: &str = "/api/v1/nodes";
const LEASES: &str = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases";
const ACCOUNTS: &str = "/api/v1/namespaces/default/serviceaccounts";

/// A server with an agent that has registered as `n1`.
struct Machine {
    server: Server,
    agent: Who,
    uid: String,
}

impl Machine {
    async fn start() -> Machine {
        let server = Server::start().await.with_default_account().await;
        let agent = join(&server, "n1").await;
        let made = json!({"metadata": {"name": "n1", "labels": {"kubernetes.io/hostname": "n1", "rack": "a"}}});
        let node =
            server.send(&agent, Method::POST, NODES, &[("content-type", JSON)], made.to_string()).await.expect(201);
        let uid = node["metadata"]["uid"].as_str().unwrap().to_owned();
        Machine { server, agent, uid }
    }

    async fn post(&self, path: &str, body: &Value) -> Answer {
        self.server.send(&self.agent, Method::POST, path, &[("content-type", JSON)], body.to_string()).await
    }

    async fn merge(&self, path: &str, body: &Value) -> Answer {
        self.server.send(&self.agent, Method::PATCH, path, &[("content-type", MERGE)], body.to_string()).await
    }

    async fn delete(&self, path: &str, body: &Value) -> Answer {
        self.server.send(&self.agent, Method::DELETE, path, &[("content-type", JSON)], body.to_string()).await
    }

    /// A pod on a node, made by the administrator, as the agents see it.
    async fn pod(&self, name: &str, node: &str, change: impl FnOnce(&mut Value)) -> Value {
        let mut made = pod(name);
        made["spec"]["nodeName"] = node.into();
        change(&mut made);
        let made = self.server.post(PODS, &made).await.expect(201);
        self.server.get("/api/v1/pods?watch=1&timeoutSeconds=1").await;
        made
    }

    fn mirror(&self) -> Value {
        let owner = json!({"apiVersion": "v1", "kind": "Node", "name": "n1", "uid": self.uid, "controller": true});
        json!({"metadata": {"name": "m", "annotations": {"kubernetes.io/config.mirror": "x"}, "ownerReferences": [owner]},
               "spec": {"nodeName": "n1", "containers": [{"name": "c", "image": "i"}]}})
    }
}

fn refused(answer: Answer, words: &str) {
    let status = answer.expect(403);
    let message = status["message"].as_str().unwrap();
    assert!(message.ends_with(words), "{message}\nshould end with\n{words}");
}

#[tokio::test]
async fn its_own_node_and_only_what_it_knows_of_it() {
    let machine = Machine::start().await;
    machine.server.post(NODES, &json!({"metadata": {"name": "n2"}})).await.expect(201);
    let labels = |labels: Value| json!({"metadata": {"labels": labels}});
    let (own, own_status) = (format!("{NODES}/n1"), format!("{NODES}/n1/status"));
    for path in [&own, &own_status] {
        let allowed = labels(json!({"node.kubernetes.io/instance-type": "big", "example.com/x": "y", "rack": null}));
        machine.merge(path, &allowed).await.expect(200);
        for key in [
            "node-role.kubernetes.io/control-plane",
            "kubernetes.io/x",
            "x.k8s.io/y",
            "node-restriction.kubernetes.io/x",
            "a.node-restriction.kubernetes.io/x",
        ] {
            let words = format!("is forbidden: is not allowed to modify labels: {key}");
            refused(machine.merge(path, &labels(json!({key: "x"}))).await, &words);
        }
        let taints = json!({"spec": {"taints": [{"key": "a", "effect": "NoSchedule"}]}});
        refused(machine.merge(path, &taints).await, "node \"n1\" is not allowed to modify taints");
        refused(
            machine.merge(path, &json!({"spec": {"taints": null}})).await,
            "node \"n1\" is not allowed to modify taints",
        );
        let owner = json!([{"apiVersion": "v1", "kind": "Namespace", "name": "x", "uid": "u"}]);
        refused(
            machine.merge(path, &json!({"metadata": {"ownerReferences": owner}})).await,
            "node \"n1\" is not allowed to modify ownerReferences",
        );
    }
    for path in [format!("{NODES}/n2"), format!("{NODES}/n2/status")] {
        refused(machine.merge(&path, &labels(json!({}))).await, "node \"n1\" is not allowed to modify node \"n2\"");
    }
    machine.delete(&own, &json!({})).await.expect(403);
}

#[tokio::test]
async fn it_registers_without_owner_and_foreign_labels() {
    let machine = Machine::start().await;
    let node = |name: &str, metadata: Value| {
        let mut node = json!({"metadata": metadata});
        node["metadata"]["name"] = name.into();
        node
    };
    refused(
        machine.post(NODES, &node("n2", json!({}))).await,
        "nodes \"n2\" is forbidden: node \"n1\" is not allowed to modify node \"n2\"",
    );
    machine.server.delete(&format!("{NODES}/n1"), &Value::Null).await.expect(200);
    let labels =
        json!({"labels": {"kubernetes.io/os": "linux", "kubernetes.io/role": "x", "node-role.kubernetes.io/y": ""}});
    refused(
        machine.post(NODES, &node("n1", labels)).await,
        "node \"n1\" is not allowed to set the following labels: kubernetes.io/role, node-role.kubernetes.io/y",
    );
    let owned = json!({"ownerReferences": [{"apiVersion": "v1", "kind": "Namespace", "name": "x", "uid": "u"}]});
    refused(machine.post(NODES, &node("n1", owned)).await, "node \"n1\" is not allowed to modify ownerReferences");
    machine.post(NODES, &node("n1", json!({"labels": {"kubernetes.io/os": "linux"}}))).await.expect(201);
}

/// A change of a mirror pod, and what is said to it.
type Case = (fn(&mut Value), &'static str);

const MIRRORS: &[Case] = &[
    (
        |pod| drop(pod["metadata"]["annotations"].take()),
        "pod does not have \"kubernetes.io/config.mirror\" annotation, node \"n1\" can only create mirror pods",
    ),
    (|pod| pod["spec"]["nodeName"] = "n2".into(), "node \"n1\" can only create pods with spec.nodeName set to itself"),
    (|pod| drop(pod["spec"]["nodeName"].take()), "node \"n1\" can only create pods with spec.nodeName set to itself"),
    (
        |pod| drop(pod["metadata"]["ownerReferences"].take()),
        "node \"n1\" can only create pods with an owner reference set to itself",
    ),
    (
        |pod| {
            let mut more = pod["metadata"]["ownerReferences"][0].clone();
            more["controller"] = false.into();
            pod["metadata"]["ownerReferences"].as_array_mut().unwrap().push(more);
        },
        "node \"n1\" can only create pods with a single owner reference set to itself",
    ),
    (
        |pod| pod["metadata"]["ownerReferences"][0]["name"] = "n2".into(),
        "node \"n1\" can only create pods with an owner reference set to itself",
    ),
    (
        |pod| {
            pod["metadata"]["ownerReferences"][0]["apiVersion"] = "apps/v1".into();
            pod["metadata"]["ownerReferences"][0]["kind"] = "DaemonSet".into();
        },
        "node \"n1\" can only create pods with an owner reference set to itself",
    ),
    (
        |pod| drop(pod["metadata"]["ownerReferences"][0]["controller"].take()),
        "node \"n1\" can only create pods with a controller owner reference set to itself",
    ),
    (
        |pod| pod["metadata"]["ownerReferences"][0]["blockOwnerDeletion"] = true.into(),
        "node \"n1\" must not set blockOwnerDeletion on an owner reference",
    ),
    (
        |pod| pod["spec"]["serviceAccountName"] = "default".into(),
        "node \"n1\" can not create pods that reference serviceaccounts",
    ),
    (
        |pod| pod["spec"]["imagePullSecrets"] = json!([{"name": "s"}]),
        "node \"n1\" can not create pods that reference secrets",
    ),
    (
        |pod| pod["spec"]["containers"][0]["envFrom"] = json!([{"secretRef": {"name": "s"}}]),
        "node \"n1\" can not create pods that reference secrets",
    ),
    (
        |pod| pod["spec"]["volumes"] = json!([{"name": "v", "configMap": {"name": "s"}}]),
        "node \"n1\" can not create pods that reference configmaps",
    ),
    (
        |pod| pod["spec"]["volumes"] = json!([{"name": "v", "persistentVolumeClaim": {"claimName": "s"}}]),
        "node \"n1\" can not create pods that reference persistentvolumeclaims",
    ),
    (
        |pod| {
            let token = json!([{"serviceAccountToken": {"path": "t"}}]);
            pod["spec"]["volumes"] = json!([{"name": "v", "projected": {"sources": token}}]);
        },
        "node \"n1\" can not create pods that reference serviceaccounts (via projected volumes)",
    ),
    (
        |pod| pod["spec"]["resourceClaims"] = json!([{"name": "c", "resourceClaimName": "s"}]),
        "node \"n1\" can not create pods that reference resourceclaims",
    ),
];

#[tokio::test]
async fn mirror_pods_own_nothing_and_are_their_nodes() {
    let machine = Machine::start().await;
    for (change, words) in MIRRORS {
        let mut mirror = machine.mirror();
        change(&mut mirror);
        refused(machine.post(PODS, &mirror).await, words);
    }
    let mut stale = machine.mirror();
    stale["metadata"]["ownerReferences"][0]["uid"] = "other".into();
    let words = format!("node n1 UID mismatch: expected other got {}", machine.uid);
    refused(machine.post(PODS, &stale).await, &words);
    machine.post(PODS, &machine.mirror()).await.expect(201);
    // What a mirror pod may not have, an administrator cannot give it either.
    let mut made = machine.mirror();
    made["metadata"]["name"] = "m2".into();
    made["spec"]["serviceAccountName"] = "default".into();
    refused_to_admin(&machine, &made, "a mirror pod may not reference service accounts").await;
    // Without its node it has no owner.
    machine.server.delete(&format!("{NODES}/n1"), &Value::Null).await.expect(200);
    machine.post(PODS, &made_by(&machine)).await.expect(404);
}

fn made_by(machine: &Machine) -> Value {
    let mut mirror = machine.mirror();
    mirror["metadata"]["name"] = "m3".into();
    mirror
}

async fn refused_to_admin(machine: &Machine, pod: &Value, words: &str) {
    refused(machine.server.post(PODS, pod).await, words);
}

#[tokio::test]
async fn it_reports_about_its_own_pods_and_ends_them() {
    let machine = Machine::start().await;
    for (name, node) in [("mine", "n1"), ("other", "n2")] {
        machine.pod(name, node, |_| {}).await;
    }
    let running = json!({"status": {"phase": "Running"}});
    machine.merge(&format!("{PODS}/mine/status"), &running).await.expect(200);
    refused(
        machine.merge(&format!("{PODS}/other/status"), &running).await,
        "node \"n1\" can only update pod status for pods with spec.nodeName set to itself",
    );
    let labels = json!({"metadata": {"labels": {"app": "stolen"}}, "status": {"phase": "Running"}});
    refused(
        machine.merge(&format!("{PODS}/mine/status"), &labels).await,
        "node \"n1\" cannot update labels through pod status",
    );
    let claims = json!({"status": {"resourceClaimStatuses": [{"name": "a", "resourceClaimName": "b"}]}});
    refused(
        machine.merge(&format!("{PODS}/mine/status"), &claims).await,
        "node \"n1\" cannot update resource claim statues",
    );
    machine.merge(&format!("{PODS}/mine"), &json!({"metadata": {"labels": {"a": "b"}}})).await.expect(403);
    let evict = |name: &str| json!({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name}});
    refused(
        machine.post(&format!("{PODS}/other/eviction"), &evict("other")).await,
        "node n1 can only evict pods with spec.nodeName set to itself",
    );
    // A precondition that fails would tell the pod's uid.
    let guess = json!({"preconditions": {"uid": "guess"}});
    refused(
        machine.delete(&format!("{PODS}/other"), &guess).await,
        "node \"n1\" can only delete pods with spec.nodeName set to itself",
    );
    machine.post(&format!("{PODS}/mine/eviction"), &evict("mine")).await.expect(201);
    machine.delete(&format!("{PODS}/mine"), &json!({"gracePeriodSeconds": 0})).await.expect(200);
    // Neither theirs nor gone ones tell whether they were there.
    for name in ["other", "mine", "never"] {
        let answer = machine.server.send(&machine.agent, Method::GET, &format!("{PODS}/{name}"), &[], "").await;
        refused(answer, "no relationship found between node 'n1' and this object");
    }
}

#[tokio::test]
async fn its_own_lease_among_those_of_nodes() {
    let machine = Machine::start().await;
    let lease = |name: &str| json!({"metadata": {"name": name}, "spec": {"holderIdentity": "n1"}});
    machine.post(LEASES, &lease("n1")).await.expect(201);
    let own = "can only access node lease with the same name as the requesting node";
    refused(machine.post(LEASES, &lease("n2")).await, own);
    machine.server.post(LEASES, &lease("n2")).await.expect(201);
    refused(machine.merge(&format!("{LEASES}/n2"), &lease("n2")).await, own);
    refused(machine.delete(&format!("{LEASES}/n2"), &json!({})).await, own);
    let elsewhere = "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases";
    let place = "can only access leases in the \"kube-node-lease\" system namespace";
    refused(machine.post(elsewhere, &lease("n1")).await, place);
    refused(machine.merge(&format!("{elsewhere}/everynode-controller"), &lease("n1")).await, place);
    machine.merge(&format!("{LEASES}/n1"), &json!({"spec": {"leaseDurationSeconds": 40}})).await.expect(200);
    machine.delete(&format!("{LEASES}/n1"), &json!({})).await.expect(200);
}

#[tokio::test]
async fn tokens_of_accounts_of_its_pods_bound_to_them_for_their_audiences() {
    let machine = Machine::start().await;
    let vault = json!([{"name": "t", "projected": {"sources":
        [{"serviceAccountToken": {"path": "t", "audience": "vault", "expirationSeconds": 7200}}]}}]);
    let mine = machine.pod("mine", "n1", |pod| pod["spec"]["volumes"] = vault).await;
    let other = machine.pod("other", "n2", |_| {}).await;
    machine.server.post(ACCOUNTS, &json!({"metadata": {"name": "rich"}})).await.expect(201);
    let uid = |pod: &Value| pod["metadata"]["uid"].clone();
    let bound = |pod: &str, uid: &Value, audiences: Value, seconds: i64| {
        json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {
            "audiences": audiences, "expirationSeconds": seconds,
            "boundObjectRef": {"apiVersion": "v1", "kind": "Pod", "name": pod, "uid": uid}}})
    };
    let token = format!("{ACCOUNTS}/default/token");
    let refuse = async |body: &Value, words: &str| refused(machine.post(&token, body).await, words);
    refuse(&json!({"spec": {}}), "node requested token not bound to a pod").await;
    let mut to_node = bound("n1", &json!(machine.uid), json!([]), 600);
    to_node["spec"]["boundObjectRef"]["kind"] = "Node".into();
    refuse(&to_node, "node requested token not bound to a pod").await;
    refuse(&bound("mine", &json!(""), json!([]), 600), "node requested token with a pod binding without a uid").await;
    let words = "the UID in the bound object reference (x) does not match the UID in record. The object might have been deleted \
                 and then recreated";
    refuse(&bound("mine", &json!("x"), json!([]), 600), words).await;
    let words = "node requested token bound to a pod scheduled on a different node";
    refuse(&bound("other", &uid(&other), json!([]), 600), words).await;
    let two = json!(["vault", "x"]);
    refuse(&bound("mine", &uid(&mine), two, 600), "node may only request 0 or 1 audiences").await;
    let words = "audience \"x\" not found in pod spec volume, system:node:n1 is not authorized to request tokens for this audience";
    refuse(&bound("mine", &uid(&mine), json!(["x"]), 600), words).await;
    machine.post(&token, &bound("gone", &json!("x"), json!([]), 600)).await.expect(404);
    let rich = format!("{ACCOUNTS}/rich/token");
    let words = "no relationship found between node 'n1' and this object";
    refused(machine.post(&rich, &bound("mine", &uid(&mine), json!([]), 600)).await, words);
    // As long as the pod says, and no longer.
    let made = machine.post(&token, &bound("mine", &uid(&mine), json!(["vault"]), 1 << 30)).await.expect(201);
    assert_eq!(made["spec"]["expirationSeconds"], 7200);
    let made = machine.post(&token, &bound("mine", &uid(&mine), json!([]), 1 << 30)).await.expect(201);
    assert_eq!(made["spec"]["expirationSeconds"], 3607);
}
