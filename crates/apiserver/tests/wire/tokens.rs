//! Tokens of service accounts: what they are bound to, whom they are for, and how others check
//! them.

use everynode_common::base64::decode_url;
use http::Method;
use ring::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};
use serde_json::{Value, json};

use crate::support::*;

const ACCOUNTS: &str = "/api/v1/namespaces/default/serviceaccounts";
const NODES: &str = "/api/v1/nodes";
const SECRETS: &str = "/api/v1/namespaces/default/secrets";
const REVIEWS: &str = "/apis/authentication.k8s.io/v1/tokenreviews";
const ISSUER: &str = "https://kubernetes.default.svc.cluster.local";

async fn with_account() -> Server {
    let server = Server::start().await.with_default_account().await;
    server.post(ACCOUNTS, &json!({"metadata": {"name": "acc"}})).await.expect(201);
    server
}

async fn ask(server: &Server, account: &str, spec: Value) -> Answer {
    let body = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec});
    server.post(&format!("{ACCOUNTS}/{account}/token"), &body).await
}

async fn bound(server: &Server, account: &str, kind: &str, name: &str) -> String {
    let reference = json!({"apiVersion": "v1", "kind": kind, "name": name});
    let made = ask(server, account, json!({"boundObjectRef": reference})).await.expect(201);
    made["status"]["token"].as_str().unwrap().to_owned()
}

async fn review(server: &Server, token: &str, audiences: Value) -> Value {
    server.post(REVIEWS, &json!({"spec": {"token": token, "audiences": audiences}})).await.expect(201)["status"].clone()
}

fn claims(token: &str) -> Value {
    serde_json::from_slice(&decode_url(token.split('.').nth(1).unwrap()).unwrap()).unwrap()
}

/// What a reader does that knows nothing but the issuer's keys: RFC 7515, RFC 7518.
fn assert_signed(token: &str, keys: &Value) {
    let (message, signature) = token.rsplit_once('.').unwrap();
    let header: Value = serde_json::from_slice(&decode_url(message.split('.').next().unwrap()).unwrap()).unwrap();
    assert_eq!(header["alg"], "ES256");
    let mut all = keys["keys"].as_array().unwrap().iter();
    let key = all.find(|key| key["kid"] == header["kid"]).unwrap();
    assert_eq!((&key["kty"], &key["crv"]), (&json!("EC"), &json!("P-256")));
    let coordinate = |name: &str| decode_url(key[name].as_str().unwrap()).unwrap();
    let point = [&[4][..], &coordinate("x"), &coordinate("y")].concat();
    let public = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point);
    public.verify(message.as_bytes(), &decode_url(signature).unwrap()).unwrap();
}

#[tokio::test]
async fn a_review_tells_the_audiences_that_both_know() {
    let server = with_account().await;
    let made =
        ask(&server, "acc", json!({"audiences": ["a.test", "c.test"], "expirationSeconds": 700})).await.expect(201);
    let token = made["status"]["token"].as_str().unwrap();
    let good = review(&server, token, json!(["b.test", "a.test"])).await;
    assert_eq!((&good["authenticated"], &good["audiences"]), (&json!(true), &json!(["a.test"])));
    let credential = good["user"]["extra"]["authentication.kubernetes.io/credential-id"][0].as_str().unwrap();
    assert_eq!(credential, format!("JTI={}", claims(token)["jti"].as_str().unwrap()));
    let words = |wanted: &str| {
        format!(
            "[invalid bearer token, token audiences [\"a.test\" \"c.test\"] is invalid for the target audiences [\"{wanted}\"]]"
        )
    };
    let other = review(&server, token, json!(["b.test"])).await;
    assert_eq!(other, json!({"user": {}, "error": words("b.test")}));
    assert_eq!(review(&server, token, Value::Null).await["error"], words(ISSUER));
    assert_eq!(server.send(&Who::Token(token.to_owned()), Method::GET, "/apis", &[], "").await.code, 401);
    let own = ask(&server, "acc", json!({})).await.expect(201)["status"]["token"].as_str().unwrap().to_owned();
    assert_eq!(review(&server, &own, Value::Null).await["audiences"], json!([ISSUER]));
    assert_eq!(review(&server, "nonsense", Value::Null).await["error"], "invalid bearer token");
}

#[tokio::test]
async fn a_token_ends_with_what_it_is_bound_to() {
    let server = with_account().await;
    let mut made = pod("p");
    made["spec"]["serviceAccountName"] = "acc".into();
    let paths = [
        ("Node", NODES, json!({"metadata": {"name": "p"}})),
        ("Secret", SECRETS, json!({"metadata": {"name": "p"}})),
        ("Pod", PODS, made),
    ];
    for (kind, path, object) in paths {
        let first = server.post(path, &object).await.expect(201);
        let token = bound(&server, "acc", kind, "p").await;
        assert_eq!(review(&server, &token, Value::Null).await["authenticated"], true, "{kind}");
        server.delete(&format!("{path}/p"), &json!({"gracePeriodSeconds": 0})).await.expect(200);
        let invalidated = "[invalid bearer token, service account token has been invalidated]";
        assert_eq!(review(&server, &token, Value::Null).await["error"], invalidated, "{kind}");
        // Made again it is another one.
        let second = server.post(path, &object).await.expect(201);
        assert_ne!(first["metadata"]["uid"], second["metadata"]["uid"]);
        assert_eq!(review(&server, &token, Value::Null).await["error"], invalidated, "{kind}");
        assert_eq!(server.send(&Who::Token(token), Method::GET, "/apis", &[], "").await.code, 401, "{kind}");
    }
}

#[tokio::test]
async fn a_pods_token_names_pod_and_node() {
    let server = with_account().await;
    let node = server.post(NODES, &json!({"metadata": {"name": "n1"}})).await.expect(201);
    let mut made = pod("p");
    (made["spec"]["serviceAccountName"], made["spec"]["nodeName"]) = ("acc".into(), "n1".into());
    let made = server.post(PODS, &made).await.expect(201);
    let token = bound(&server, "acc", "Pod", "p").await;
    let (pod, node) = (&made["metadata"]["uid"], &node["metadata"]["uid"]);
    let said = &claims(&token)["kubernetes.io"];
    assert_eq!(said["node"], json!({"name": "n1", "uid": node}));
    assert_eq!(said["pod"], json!({"name": "p", "uid": pod}));
    let extra = review(&server, &token, Value::Null).await["user"]["extra"].clone();
    for (what, value) in [("pod-name", &json!("p")), ("pod-uid", pod), ("node-name", &json!("n1")), ("node-uid", node)]
    {
        assert_eq!(extra[format!("authentication.kubernetes.io/{what}")], json!([value]), "{what}");
    }
}

#[tokio::test]
async fn requests_that_make_no_sense_are_refused_with_kubernetes_words() {
    let server = with_account().await;
    let mut made = pod("p");
    made["spec"]["serviceAccountName"] = "acc".into();
    server.post(PODS, &made).await.expect(201);
    let reference = |kind: &str, name: &str, uid: &str| json!({"boundObjectRef": {"apiVersion": "v1", "kind": kind, "name": name, "uid": uid}});
    let not_theirs =
        "cannot bind token for serviceaccount \"default\" to pod running with different serviceaccount name.";
    let no_number = |given: &str| {
        format!(
            "json: cannot unmarshal {given} into Go struct field TokenRequestSpec.spec.expirationSeconds of type int64"
        )
    };
    for (account, spec, code, words) in [
        ("default", reference("Pod", "p", ""), 400, not_theirs),
        (
            "acc",
            reference("Pod", "p", "x"),
            409,
            "the UID in the bound object reference (x) does not match the UID in record",
        ),
        ("acc", reference("Pod", "gone", ""), 404, "pods \"gone\" not found"),
        ("acc", reference("ConfigMap", "x", ""), 400, "cannot bind token to object of type /v1, Kind=ConfigMap"),
        (
            "acc",
            json!({"expirationSeconds": 599}),
            422,
            "TokenRequest.authentication.k8s.io \"\" is invalid: spec.expirationSeconds",
        ),
        ("acc", json!({"expirationSeconds": "x"}), 400, &no_number("string")),
        ("acc", json!({"expirationSeconds": 600.5}), 400, &no_number("number 600.5")),
        ("acc", json!({"audiences": "x"}), 400, "audiences"),
        ("none", json!({}), 404, "serviceaccounts \"none\" not found"),
    ] {
        let refused = ask(&server, account, spec).await.expect(code);
        assert!(refused["message"].as_str().unwrap().contains(words), "{refused}");
    }
    let named = json!({"metadata": {"name": "other"}, "spec": {}});
    server.post(&format!("{ACCOUNTS}/acc/token"), &named).await.expect(422);
    server.post(&format!("{ACCOUNTS}/acc/token"), &json!({"apiVersion": "v1", "kind": "Pod"})).await.expect(400);
}

#[tokio::test]
async fn others_can_check_tokens_by_the_issuers_documents() {
    let server = with_account().await;
    let made = ask(&server, "acc", json!({"audiences": ["a.test"]})).await.expect(201);
    let token = made["status"]["token"].as_str().unwrap();
    // Who has a token of an account may read them, as in Kubernetes.
    let own = ask(&server, "acc", json!({})).await.expect(201)["status"]["token"].as_str().unwrap().to_owned();
    let who = Who::Token(own);
    let configuration = server.send(&who, Method::GET, "/.well-known/openid-configuration", &[], "").await.expect(200);
    assert_eq!(configuration["issuer"], ISSUER);
    assert_eq!(configuration["jwks_uri"], format!("https://{}/openid/v1/jwks", server.address));
    let keys = server.send(&who, Method::GET, "/openid/v1/jwks", &[], "").await;
    assert_eq!(keys.headers["content-type"], "application/jwk-set+json");
    let keys: Value = serde_json::from_slice(&keys.body).unwrap();
    assert_signed(token, &keys);
    let claims = claims(token);
    assert_eq!((&claims["aud"], &claims["iss"]), (&json!(["a.test"]), &json!(ISSUER)));
    for who in [Who::Nobody, crate::access::join(&server, "n1").await] {
        let code = server.send(&who, Method::GET, "/openid/v1/jwks", &[], "").await.code;
        assert!(matches!(code, 401 | 403), "{code}");
    }
}

#[tokio::test]
async fn a_token_secret_is_filled_and_its_token_ends_with_it() {
    let server = with_account().await;
    let secret = |name: Value, account: &str| {
        let annotations = json!({"kubernetes.io/service-account.name": account});
        let mut secret =
            json!({"metadata": {"annotations": annotations}, "type": "kubernetes.io/service-account-token"});
        for (member, value) in name.as_object().unwrap() {
            secret["metadata"][member] = value.clone();
        }
        secret
    };
    let refused = server.post(SECRETS, &secret(json!({"name": "x"}), "none")).await.expect(403);
    let words = "error looking up service account default/none: serviceaccounts \"none\" not found";
    assert!(refused["message"].as_str().unwrap().ends_with(words), "{refused}");
    for name in [json!({"name": "old"}), json!({"generateName": "old-"})] {
        let made = server.post(SECRETS, &secret(name, "acc")).await.expect(201);
        let name = made["metadata"]["name"].as_str().unwrap();
        let part = |key: &str| decoded(made["data"][key].as_str().unwrap());
        assert_eq!((part("namespace").as_str(), part("ca.crt").as_str()), ("default", server.api.pki().ca_pem()));
        let token = part("token");
        let status = review(&server, &token, Value::Null).await;
        assert_eq!(status["user"]["username"], "system:serviceaccount:default:acc", "{status}");
        server.delete(&format!("{SECRETS}/{name}"), &Value::Null).await.expect(200);
        assert_eq!(server.send(&Who::Token(token), Method::GET, "/apis", &[], "").await.code, 401);
    }
}

/// Base 64, as a PEM file holds it.
fn decoded(text: &str) -> String {
    let pem = format!("-----BEGIN X-----\n{text}\n-----END X-----\n");
    String::from_utf8(x509_parser::pem::parse_x509_pem(pem.as_bytes()).unwrap().1.contents).unwrap()
}
