//! Certificate requests: who asks, who approves, who signs.

use http::Method;
use serde_json::{Value, json};

use crate::attack::bodies;
use crate::support::*;

const REQUESTS: &str = "/apis/certificates.k8s.io/v1/certificatesigningrequests";
/// A request of a certificate for a member of `system:masters`.
const OF_MASTERS: &str = "LS0tLS1CRUdJTiBDRVJUSUZJQ0FURSBSRVFVRVNULS0tLS0KTUlHa01GZ0NBUUF3SlRFWE1CVUdBMVVFQ2d3T2MzbH\
    pkR1Z0T20xaGMzUmxjbk14Q2pBSUJnTlZCQU1NQVhndwpLakFGQmdNclpYQURJUUNySHFTazh6TUswKys5M3VnVmU3\
    MUhEVzFHOW4vQWJwTVQ3RjZFNUI2N3RLQUFNQVVHCkF5dGxjQU5CQUp5SFoxSGtPTFpkeXMrNHprQmk5MWhtcnBYS3\
    Q0VXArM3NPdjFUc2s3dGlBcllhZGp1aGdwejMKb3lZYTczUE1ZTzZSZ2d3YkRvcngyTHVoUGl5N2FBbz0KLS0tLS1F\
    TkQgQ0VSVElGSUNBVEUgUkVRVUVTVC0tLS0tCg==";

async fn patched_as(server: &Server, user: &str, path: &str, body: &Value) -> Answer {
    let headers = [("impersonate-user", user), ("content-type", MERGE)];
    server.send(&Who::Admin, Method::PATCH, path, &headers, body.to_string()).await
}

/// A user with a role of these rules, once requests are judged by them.
async fn grant(server: &Server, user: &str, rules: Value) {
    let roles = "/apis/rbac.authorization.k8s.io/v1";
    let role = json!({"metadata": {"name": user}, "rules": rules});
    server.post(&format!("{roles}/clusterroles"), &role).await.expect(201);
    let binding = json!({"metadata": {"name": user}, "roleRef": {"kind": "ClusterRole", "name": user},
        "subjects": [{"kind": "User", "name": user}]});
    let bindings = format!("{roles}/clusterrolebindings");
    let made = server.post(&bindings, &binding).await.expect(201);
    let version = made["metadata"]["resourceVersion"].as_str().unwrap();
    // A watch from there begins when the server has followed that far.
    drop(server.watch(&format!("{bindings}?watch=1&resourceVersion={version}")).await);
}

#[tokio::test]
async fn a_request_is_approved_and_signed_by_those_who_may() {
    let server = Server::start().await;
    let (below, verbs) = (["certificatesigningrequests/approval", "certificatesigningrequests/status"], ["patch"]);
    let parts = json!({"apiGroups": ["certificates.k8s.io"], "resources": below, "verbs": verbs});
    let signer = |verb: &str| json!({"apiGroups": ["certificates.k8s.io"], "resources": ["signers"], "resourceNames": ["x.test/*"], "verbs": [verb]});
    grant(&server, "anyone", json!([parts])).await;
    grant(&server, "approver", json!([parts, signer("approve")])).await;
    grant(&server, "signer", json!([parts, signer("sign")])).await;
    let mut body = bodies::object("certificatesigningrequests.certificates.k8s.io", "r");
    body["spec"]["username"] = "another".into();
    let made = server.post(REQUESTS, &body).await.expect(201);
    assert_ne!(made["spec"]["username"], "another");
    assert!(made["spec"]["groups"].as_array().unwrap().contains(&json!("system:masters")), "{made}");

    let approval = format!("{REQUESTS}/r/approval");
    let approve =
        json!({"status": {"conditions": [{"type": "Approved", "status": "True", "reason": "R", "message": "m"}]}});
    let refused = patched_as(&server, "anyone", &approval, &approve).await.expect(403);
    let words = "user not permitted to approve requests with signerName \"x.test/s\"";
    assert!(refused["message"].as_str().unwrap().ends_with(words), "{refused}");
    let approved = patched_as(&server, "approver", &approval, &approve).await.expect(200);
    assert_eq!(approved["status"]["conditions"][0]["type"], "Approved");
    assert!(approved["status"]["conditions"][0]["lastUpdateTime"].is_string(), "{approved}");

    let status = format!("{REQUESTS}/r/status");
    let sign = json!({"status": {"certificate": "eA==", "conditions": []}});
    let refused = patched_as(&server, "approver", &status, &sign).await.expect(403);
    let words = "user not permitted to sign requests with signerName \"x.test/s\"";
    assert!(refused["message"].as_str().unwrap().ends_with(words), "{refused}");
    let signed = patched_as(&server, "signer", &status, &sign).await.expect(200);
    assert_eq!(signed["status"]["certificate"], "eA==");
    assert_eq!(signed["status"]["conditions"][0]["type"], "Approved", "a signer takes no decision back");
    let changed = json!({"spec": {"signerName": "y.test/s"}});
    let kept = server.patch(&format!("{REQUESTS}/r"), MERGE, &changed).await.expect(200);
    assert_eq!(kept["spec"]["signerName"], "x.test/s");
}

#[tokio::test]
async fn no_request_makes_an_administrator() {
    let server = Server::start().await;
    let mut body = bodies::object("certificatesigningrequests.certificates.k8s.io", "r");
    body["spec"]["signerName"] = "kubernetes.io/kube-apiserver-client".into();
    server.post(&format!("{REQUESTS}?dryRun=All"), &body).await.expect(201);
    body["spec"]["request"] = OF_MASTERS.into();
    let refused = server.post(REQUESTS, &body).await.expect(403);
    let words = "use of kubernetes.io/kube-apiserver-client signer with system:masters group is not allowed";
    assert!(refused["message"].as_str().unwrap().ends_with(words), "{refused}");
}
