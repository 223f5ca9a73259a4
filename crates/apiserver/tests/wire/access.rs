//! Who may do what.

use http::Method;
use serde_json::{Value, json};

use crate::support::*;

#[tokio::test]
async fn unauthenticated_clients_see_health_only() {
    let server = Server::start().await;
    for path in ["/healthz", "/livez", "/readyz", "/readyz?verbose", "/version"] {
        assert_eq!(server.send(&Who::Nobody, Method::GET, path, &[], "").await.code, 200, "{path}");
    }
    for path in ["/api", "/metrics", PODS, "/openapi/v2", "/nonsense"] {
        assert_eq!(server.send(&Who::Nobody, Method::GET, path, &[], "").await.code, 401, "{path}");
    }
    let bad = server.send(&Who::Token("nonsense".into()), Method::GET, "/healthz", &[], "").await;
    assert_eq!(bad.code, 401);
}

/// A token for a service account of the default namespace.
async fn token(server: &Server, account: &str) -> String {
    let accounts = "/api/v1/namespaces/default/serviceaccounts";
    server.post(accounts, &json!({"metadata": {"name": account}})).await.expect(201);
    let made = server
        .post(&format!("{accounts}/{account}/token"), &json!({"spec": {"expirationSeconds": 600}}))
        .await
        .expect(201);
    made["status"]["token"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn service_accounts_have_the_rights_they_are_given() {
    let server = Server::start().await;
    let who = Who::Token(token(&server, "reader").await);
    let refused = server.send(&who, Method::GET, PODS, &[], "").await.expect(403);
    let text = "pods is forbidden: User \"system:serviceaccount:default:reader\" cannot list resource \"pods\" in API group \"\" in the namespace \"default\"";
    assert_eq!(refused["message"], text);
    let rbac = "/apis/rbac.authorization.k8s.io/v1/namespaces/default";
    let role = json!({"metadata": {"name": "reader"}, "rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["list"]}]});
    server.post(&format!("{rbac}/roles"), &role).await.expect(201);
    let binding = json!({"metadata": {"name": "reader"}, "subjects": [{"kind": "ServiceAccount", "name": "reader", "namespace": "default"}],
                         "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "reader"}});
    let bound = server.post(&format!("{rbac}/rolebindings"), &binding).await.expect(201);
    // The policy follows the store; a watch from the binding's version says when it has arrived.
    let version = bound["metadata"]["resourceVersion"].as_str().unwrap();
    server.get(&format!("{rbac}/rolebindings?watch=1&timeoutSeconds=1&resourceVersion={version}")).await;
    server.send(&who, Method::GET, PODS, &[], "").await.expect(200);
    server.send(&who, Method::GET, "/api/v1/namespaces/kube-system/pods", &[], "").await.expect(403);
    server.send(&who, Method::GET, "/apis", &[], "").await.expect(200);
    let asked = json!({"spec": {"resourceAttributes": {"verb": "list", "resource": "pods", "namespace": "default"}}});
    let review = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
    let answer =
        server.send(&who, Method::POST, review, &[("content-type", JSON)], asked.to_string()).await.expect(201);
    assert_eq!(answer["status"]["allowed"], true);
    let me = "/apis/authentication.k8s.io/v1/selfsubjectreviews";
    let answer = server.send(&who, Method::POST, me, &[("content-type", JSON)], "{}").await.expect(201);
    assert_eq!(answer["status"]["userInfo"]["username"], "system:serviceaccount:default:reader");
}

#[tokio::test]
async fn a_token_dies_with_its_account() {
    let server = Server::start().await;
    let token = token(&server, "reader").await;
    let review = |token: &str| json!({"spec": {"token": token}});
    let path = "/apis/authentication.k8s.io/v1/tokenreviews";
    let good = server.post(path, &review(&token)).await.expect(201);
    assert_eq!(
        (&good["status"]["authenticated"], &good["status"]["user"]["groups"][0]),
        (&json!(true), &json!("system:serviceaccounts"))
    );
    server.delete("/api/v1/namespaces/default/serviceaccounts/reader", &Value::Null).await.expect(200);
    assert_eq!(server.post(path, &review(&token)).await.expect(201)["status"]["authenticated"], Value::Null);
    assert_eq!(server.send(&Who::Token(token), Method::GET, "/apis", &[], "").await.code, 401);
}

/// A key and a certificate request for it.
fn request() -> (String, String) {
    let key = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    (key.serialize_pem(), params.serialize_request(&key).unwrap().pem().unwrap())
}

pub(crate) async fn join(server: &Server, name: &str) -> Who {
    let (key, request) = request();
    let token = Who::Token(server.api.pki().join_token().to_owned());
    let body = json!({"nodeName": name, "csr": request}).to_string();
    let joined =
        server.send(&token, Method::POST, "/everynode.dev/v1/join", &[("content-type", JSON)], body).await.expect(200);
    let certificate = joined["certificate"].as_str().unwrap().to_owned();
    Who::Certificate(everynode_apiserver::Credentials { certificate, key })
}

#[tokio::test]
async fn a_machine_joins_and_sees_its_own_only() {
    let server = Server::start().await.with_default_account().await;
    let agent = join(&server, "n1").await;
    let json_type = [("content-type", JSON)];
    let node = |name: &str| json!({"metadata": {"name": name}}).to_string();
    server.send(&agent, Method::POST, "/api/v1/nodes", &json_type, node("n2")).await.expect(403);
    let made = server.send(&agent, Method::POST, "/api/v1/nodes", &json_type, node("n1")).await.expect(201);
    assert_eq!(made["spec"]["taints"][0]["key"], "node.kubernetes.io/not-ready"); // DS-G14
    for (name, on, secret) in [("mine", "n1", "a"), ("other", "n2", "b")] {
        let mut made = pod(name);
        made["spec"]["nodeName"] = on.into();
        made["spec"]["volumes"] = json!([{"name": "s", "secret": {"secretName": secret}}]);
        server.post(PODS, &made).await.expect(201);
        let secrets = "/api/v1/namespaces/default/secrets";
        server.post(secrets, &json!({"metadata": {"name": secret}, "stringData": {"k": "v"}})).await.expect(201);
    }
    let get = async |path: &str| server.send(&agent, Method::GET, path, &[], "").await.code;
    // Everything asked for before is in the hub once a watch from now has been opened.
    server.get("/api/v1/pods?watch=1&timeoutSeconds=1").await;
    assert_eq!(
        (get("/api/v1/nodes/n1").await, get("/api/v1/nodes/n2").await, get("/api/v1/nodes").await),
        (200, 403, 403)
    );
    assert_eq!(get("/api/v1/pods?fieldSelector=spec.nodeName%3Dn1").await, 200);
    assert_eq!((get("/api/v1/pods").await, get("/api/v1/pods?fieldSelector=spec.nodeName%3Dn2").await), (403, 403));
    assert_eq!(
        (get("/api/v1/namespaces/default/secrets/a").await, get("/api/v1/namespaces/default/secrets/b").await),
        (200, 403)
    );
    assert_eq!((get("/api/v1/namespaces/default/secrets").await, get(&format!("{PODS}/other")).await), (403, 403));
    let ready = json!({"status": {"phase": "Running"}}).to_string();
    let patch = async |name: &str| {
        let path = format!("{PODS}/{name}/status");
        server.send(&agent, Method::PATCH, &path, &[("content-type", MERGE)], ready.clone()).await.code
    };
    assert_eq!((patch("mine").await, patch("other").await), (200, 403));
    let lease = json!({"metadata": {"name": "n1"}, "spec": {"holderIdentity": "n1"}}).to_string();
    let leases = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases";
    server.send(&agent, Method::POST, leases, &json_type, lease).await.expect(201);
    let unbound = server
        .send(&agent, Method::POST, "/api/v1/namespaces/default/serviceaccounts/default/token", &json_type, "{}")
        .await;
    assert_eq!(unbound.code, 403);
    // Its token endpoint: only for accounts of its pods, bound to them.
    let mine = server.get(&format!("{PODS}/mine")).await.json();
    let reference = json!({"apiVersion": "v1", "kind": "Pod", "name": "mine", "uid": mine["metadata"]["uid"]});
    let bound = json!({"spec": {"boundObjectRef": reference}}).to_string();
    let token = "/api/v1/namespaces/default/serviceaccounts/default/token";
    server.send(&agent, Method::POST, token, &json_type, bound).await.expect(201);
}

#[tokio::test]
async fn joining_needs_the_token() {
    let server = Server::start().await;
    let (_, request) = request();
    let body = json!({"nodeName": "n1", "csr": request}).to_string();
    let post = async |who: Who, body: String| {
        server.send(&who, Method::POST, "/everynode.dev/v1/join", &[("content-type", JSON)], body).await.code
    };
    assert_eq!(post(Who::Nobody, body.clone()).await, 401);
    assert_eq!(post(Who::Token("everynode.bad".into()), body.clone()).await, 401);
    let token = Who::Token(server.api.pki().join_token().to_owned());
    assert_eq!(post(token.clone(), json!({"nodeName": "Not A Name", "csr": request}).to_string()).await, 400);
    assert_eq!(post(token.clone(), json!({"nodeName": "n1", "csr": "junk"}).to_string()).await, 400);
    assert_eq!(server.send(&token, Method::GET, "/api/v1/nodes", &[], "").await.code, 403);
    // A node renews its own certificate and no other's.
    let agent = join(&server, "n1").await;
    assert_eq!(post(agent.clone(), json!({"nodeName": "n2", "csr": request}).to_string()).await, 403);
    assert_eq!(post(agent, body).await, 200);
}

#[tokio::test]
async fn impersonation() {
    let server = Server::start().await;
    let headers = [("impersonate-user", "jane"), ("impersonate-group", "devs")];
    let refused = server.send(&Who::Admin, Method::GET, PODS, &headers, "").await.expect(403);
    assert!(refused["message"].as_str().unwrap().contains("User \"jane\" cannot list"));
    // Names are UTF-8; what is not understood is not passed over.
    let answer = async |who: &Who, headers: &[(&str, &str)]| server.send(who, Method::GET, PODS, headers, "").await;
    let utf8 = answer(&Who::Admin, &[("impersonate-user", "jürgen")]).await.expect(403);
    assert!(utf8["message"].as_str().unwrap().contains("User \"jürgen\" cannot list"));
    let refused: [&[(&str, &str)]; 5] = [
        &[("impersonate-uid", "1")],
        &[("impersonate-extra-scopes", "x")],
        &[("impersonate-group", "system:masters")],
        &[("impersonate-user", "jane"), ("impersonate-user", "joe")],
        &[("impersonate-user", "jane"), ("impersonate-color", "red")],
    ];
    for headers in refused {
        assert_eq!(answer(&Who::Admin, headers).await.code, 400, "{headers:?}");
    }
    let two = [("authorization", "Bearer a"), ("authorization", "Bearer b")];
    assert_eq!(answer(&Who::Admin, &two).await.code, 401);
    assert_eq!(answer(&Who::Admin, &[("authorization", "Basic dTpw")]).await.code, 401);
}

#[tokio::test]
async fn who_may_be_impersonated_may_not_be_given_more() {
    let server = Server::start().await;
    let who = Who::Token(token(&server, "actor").await);
    let rules =
        json!([{"apiGroups": [""], "resources": ["users"], "verbs": ["impersonate"], "resourceNames": ["jane"]}]);
    let rbac = "/apis/rbac.authorization.k8s.io/v1";
    server
        .post(&format!("{rbac}/clusterroles"), &json!({"metadata": {"name": "actor"}, "rules": rules}))
        .await
        .expect(201);
    let binding = json!({"metadata": {"name": "actor"}, "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "actor"},
        "subjects": [{"kind": "ServiceAccount", "name": "actor", "namespace": "default"}]});
    server.post(&format!("{rbac}/clusterrolebindings"), &binding).await.expect(201);
    let reviews = "/apis/authentication.k8s.io/v1/selfsubjectreviews";
    let ask = async |more: &[(&str, &str)]| {
        let headers = [&[("content-type", JSON), ("impersonate-user", "jane")], more].concat();
        server.send(&who, Method::POST, reviews, &headers, "{}").await
    };
    assert_eq!(ask(&[]).await.expect(201)["status"]["userInfo"]["username"], "jane");
    for (header, value, what) in [
        ("impersonate-uid", "7", "uids.authentication.k8s.io \"7\""),
        ("impersonate-extra-scopes", "view", "userextras.authentication.k8s.io \"view\""),
        ("impersonate-group", "system:masters", "groups \"system:masters\""),
    ] {
        let refused = ask(&[(header, value)]).await.expect(403);
        assert!(refused["message"].as_str().unwrap().starts_with(what), "{refused}");
    }
}

#[tokio::test]
async fn keys_survive_a_restart() {
    let server = Server::start().await;
    let (ca, token) = (server.api.pki().ca_pem().to_owned(), server.api.pki().join_token().to_owned());
    let config = everynode_apiserver::Config::new(server.directory.path().to_owned());
    let again = everynode_apiserver::ApiServer::new(std::sync::Arc::new(everynode_store::MemoryStore::new()), config)
        .await
        .unwrap();
    assert_eq!((again.pki().ca_pem(), again.pki().join_token()), (ca.as_str(), token.as_str()));
    use std::os::unix::fs::PermissionsExt;
    for name in ["ca.key", "sa.key", "admin.key", "apiserver.key", "join.token"] {
        let mode = std::fs::metadata(server.directory.path().join("pki").join(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
}

#[tokio::test]
async fn no_user_grants_what_it_does_not_have() {
    let server = Server::start().await;
    let who = Who::Token(token(&server, "deputy").await);
    let rbac = "/apis/rbac.authorization.k8s.io/v1/namespaces/default";
    let rules = json!([{"apiGroups": ["rbac.authorization.k8s.io"], "resources": ["roles", "rolebindings"], "verbs": ["create", "get"]},
                       {"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list"]}]);
    server.post(&format!("{rbac}/roles"), &json!({"metadata": {"name": "deputy"}, "rules": rules})).await.expect(201);
    let binding = |name: &str, role: &str| {
        json!({"metadata": {"name": name}, "subjects": [{"kind": "ServiceAccount", "name": "deputy", "namespace": "default"}],
               "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role}})
    };
    let mut own = binding("deputy", "deputy");
    own["roleRef"]["kind"] = "Role".into();
    server.post(&format!("{rbac}/rolebindings"), &own).await.expect(201);
    server.get(&format!("{rbac}/rolebindings?watch=1&timeoutSeconds=1")).await;
    let post = async |what: &str, body: Value| {
        server.send(&who, Method::POST, &format!("{rbac}/{what}"), &[("content-type", JSON)], body.to_string()).await
    };
    let role = |verb: &str| json!({"metadata": {"name": verb}, "rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": [verb]}]});
    assert_eq!(post("roles", role("list")).await.code, 201);
    let refused = post("roles", role("delete")).await.expect(403);
    assert!(
        refused["message"].as_str().unwrap().contains("is attempting to grant RBAC permissions not currently held")
    );
    assert_eq!(post("rolebindings", binding("more", "cluster-admin")).await.code, 403);
}
