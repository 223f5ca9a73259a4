//! Bodies that no answer needs, and bodies that are not what they should be.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::ServerName;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::support::*;

/// More than what sockets and flow control take in by themselves.
const BODY_BYTES: usize = 1 << 20;
/// It is no measure, but far more than it takes.
const LIMIT: Duration = Duration::from_secs(20);

/// As the administrator, or without credentials.
async fn connect(server: &Server, known: bool, alpn: &[u8]) -> TlsStream<TcpStream> {
    let stream = TcpStream::connect(server.address).await.unwrap();
    let certificate = known.then(|| server.api.pki().admin());
    let mut config = tls(server.api.pki().ca_pem(), certificate);
    config.alpn_protocols = vec![alpn.to_vec()];
    TlsConnector::from(Arc::new(config)).connect(ServerName::try_from("localhost").unwrap(), stream).await.unwrap()
}

/// A request that is refused before its body is looked at: whether its sender is known, method,
/// path and query, one more header, code.
const REFUSED: [(bool, &str, &str, &str, u16); 7] = [
    (false, "POST", CONFIG_MAPS, "", 401),
    (true, "POST", CONFIG_MAPS, "impersonate-user: nobody-special", 403),
    (true, "POST", "/api/v1/namespaces/default/nope", "", 404),
    (true, "PUT", CONFIG_MAPS, "", 405),
    (true, "POST", "/apis/authorization.k8s.io/v1/subjectaccessreviews", "impersonate-user: nobody-special", 403),
    (true, "GET", CONFIG_MAPS, "", 200),
    (true, "POST", "/api/v1/namespaces/default/configmaps?x=%zz", "", 400),
];

/// Sends all of its body before it reads a byte, as simple clients do.
async fn sends_before_it_reads(server: &Server, refused: (bool, &str, &str, &str, u16)) -> String {
    let (known, method, path, header, _) = refused;
    let mut stream = connect(server, known, b"http/1.1").await;
    let more = if header.is_empty() { String::new() } else { format!("{header}\r\n") };
    let head = format!(
        "{method} {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: {JSON}\r\ncontent-length: {BODY_BYTES}\r\n{more}\r\n"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    for part in vec![b'x'; BODY_BYTES].chunks(16 << 10) {
        stream.write_all(part).await.unwrap();
    }
    stream.flush().await.unwrap();
    // The connection goes on: there is another answer behind the first.
    stream.write_all(b"GET /readyz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").await.unwrap();
    let mut answers = Vec::new();
    stream.read_to_end(&mut answers).await.unwrap();
    String::from_utf8_lossy(&answers).into_owned()
}

#[tokio::test]
async fn a_client_that_sends_all_before_it_listens_sees_the_answer() {
    let server = Server::start().await.with_default_account().await;
    for refused in REFUSED {
        let answers = tokio::time::timeout(LIMIT, sends_before_it_reads(&server, refused)).await.unwrap();
        let first = format!("HTTP/1.1 {}", refused.4);
        assert!(answers.starts_with(&first), "{refused:?}: {answers}");
        assert!(answers.ends_with("\r\n\r\nok"), "{refused:?}: {answers}");
    }
}

#[tokio::test]
async fn over_http2_too() {
    let server = Server::start().await.with_default_account().await;
    for refused in REFUSED {
        let (known, method, path, header, code) = refused;
        let stream = connect(&server, known, b"h2").await;
        let (mut sender, connection) =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        let uri = format!("https://localhost{path}");
        let mut request = Request::builder().method(method).uri(uri).header("content-type", JSON);
        if let Some((name, value)) = header.split_once(": ") {
            request = request.header(name, value);
        }
        let body = Full::new(Bytes::from(vec![b'x'; BODY_BYTES]));
        let answer = sender.send_request(request.body(body).unwrap());
        let answer = tokio::time::timeout(LIMIT, answer).await.unwrap().unwrap();
        assert_eq!(answer.status(), code, "{refused:?}");
        // All of it comes, and the stream ends without an error.
        answer.into_body().collect().await.unwrap();
    }
}

#[tokio::test]
async fn a_body_that_does_not_come_holds_no_answer_back() {
    let server = Server::start_with(Arc::new(everynode_store::MemoryStore::new()), |config| {
        config.limits.drain_pause = Duration::from_millis(50);
    })
    .await;
    let mut stream = connect(&server, false, b"http/1.1").await;
    let head = format!("POST {CONFIG_MAPS} HTTP/1.1\r\nhost: localhost\r\ncontent-length: 1000\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = vec![0; 12];
    tokio::time::timeout(LIMIT, stream.read_exact(&mut answer)).await.unwrap().unwrap();
    assert_eq!(answer, b"HTTP/1.1 401");
    // Who asks whether to send it is told, without a word to go on.
    let mut stream = connect(&server, false, b"http/1.1").await;
    let head = head.replace("\r\n\r\n", "\r\nexpect: 100-continue\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    tokio::time::timeout(LIMIT, stream.read_exact(&mut answer)).await.unwrap().unwrap();
    assert_eq!(answer, b"HTTP/1.1 401");
}

const EVICTION: &str = "/api/v1/namespaces/default/pods/p/eviction";
const BINDING: &str = "/api/v1/namespaces/default/pods/p/binding";
const TOKEN: &str = "/api/v1/namespaces/default/serviceaccounts/default/token";
const ACCESS: &str = "/apis/authorization.k8s.io/v1";
const IDENTITY: &str = "/apis/authentication.k8s.io/v1";

#[tokio::test]
async fn bodies_of_the_wrong_type_are_refused_everywhere() {
    let server = Server::start().await.with_default_account().await;
    server.post(PODS, &pod("p")).await.expect(201);
    let review = |name: &str| format!("{ACCESS}/{name}");
    let cases: [(String, Value, &str); 9] = [
        (
            TOKEN.into(),
            json!({"spec": {"expirationSeconds": "x"}}),
            "string into Go struct field TokenRequestSpec.spec",
        ),
        (TOKEN.into(), json!({"spec": {"expirationSeconds": 1e300}}), "number 1e+300 into Go struct field"),
        (TOKEN.into(), json!({"spec": {"audiences": "a"}}), "of type []string"),
        (EVICTION.into(), json!({"deleteOptions": {"gracePeriodSeconds": "1"}}), "DeleteOptions.deleteOptions"),
        (BINDING.into(), json!({"target": {"name": 5}}), "ObjectReference.target.name of type string"),
        (review("subjectaccessreviews"), json!({"spec": {"groups": "a"}}), "SubjectAccessReviewSpec.spec.groups"),
        (review("selfsubjectaccessreviews"), json!({"spec": []}), "v1.SelfSubjectAccessReviewSpec"),
        (
            format!("{ACCESS}/namespaces/default/localsubjectaccessreviews"),
            json!({"spec": {"user": 1}}),
            "SubjectAccessReviewSpec.spec.user of type string",
        ),
        (
            format!("{IDENTITY}/tokenreviews"),
            json!({"spec": {"token": 7}}),
            "TokenReviewSpec.spec.token of type string",
        ),
    ];
    for (path, body, words) in cases {
        let status = server.post(&path, &body).await.expect(400);
        let message = status["message"].as_str().unwrap();
        assert!(message.contains("cannot be handled as a") && message.contains(words), "{path} {body}: {message}");
    }
    let path = format!("{PODS}/p");
    let status = server.delete(&path, &json!({"gracePeriodSeconds": "0"})).await.expect(400);
    assert_eq!(
        status["message"],
        "json: cannot unmarshal string into Go struct field DeleteOptions.gracePeriodSeconds of type int64"
    );
    server.get(&path).await.expect(200);
}

#[tokio::test]
async fn unknown_fields_are_reported_as_asked() {
    let server = Server::start().await.with_default_account().await;
    let body = json!({"spec": {"expirationSeconds": 600, "audience": "a"}});
    let warned = server.post(TOKEN, &body).await;
    assert_eq!(warned.headers["warning"], "299 - \"unknown field \\\"spec.audience\\\"\"");
    warned.expect(201);
    let strict = server.post(&format!("{TOKEN}?fieldValidation=Strict"), &body).await.expect(400);
    assert!(strict["message"].as_str().unwrap().ends_with("strict decoding error: unknown field \"spec.audience\""));
    // A refusal warns, too.
    let refused = server.post(CONFIG_MAPS, &json!({"metadata": {"name": "A B"}, "foo": 1})).await;
    assert_eq!(
        (refused.code, &refused.headers["warning"]),
        (422, &"299 - \"unknown field \\\"foo\\\"\"".parse().unwrap())
    );
}

#[tokio::test]
async fn answers_without_a_table_are_not_shown_as_one() {
    let server = Server::start().await.with_default_account().await;
    server.post(PODS, &pod("p")).await.expect(201);
    let table = "application/json;as=Table;v=v1;g=meta.k8s.io";
    let review = format!("{IDENTITY}/selfsubjectreviews");
    for path in [TOKEN, EVICTION, BINDING, &review] {
        let asked = |accept: &'static str| {
            let body = if path == BINDING { json!({"target": {"name": "n"}}) } else { json!({}) };
            let headers = [("content-type", JSON), ("accept", accept)];
            let server = &server;
            async move { server.send(&Who::Admin, Method::POST, path, &headers, body.to_string()).await }
        };
        assert_eq!(asked(table).await.code, 406, "{path}");
    }
    server.get(&format!("{PODS}/p")).await.expect(200);
}

#[tokio::test]
async fn questions_that_are_none_are_refused() {
    let server = Server::start().await;
    let ask = |name: &str, body: Value| {
        let (server, path) = (&server, format!("{ACCESS}/{name}"));
        async move { server.post(&path, &body).await }
    };
    let pods = json!({"verb": "get", "resource": "pods"});
    let both = json!({"spec": {"resourceAttributes": pods, "nonResourceAttributes": {"path": "/x", "verb": "get"}}});
    for (name, body) in [("selfsubjectaccessreviews", both), ("selfsubjectaccessreviews", json!({}))] {
        let status = ask(name, body).await.expect(422);
        let message = status["message"].as_str().unwrap();
        assert!(message.starts_with(".authorization.k8s.io \"\" is invalid: spec."), "{message}");
    }
    let nobody = ask("subjectaccessreviews", json!({"spec": {"resourceAttributes": pods}})).await.expect(422);
    assert!(nobody["message"].as_str().unwrap().contains("at least one of user or group must be specified"));
    let rules = ask("selfsubjectrulesreviews", json!({"spec": {}})).await.expect(400);
    assert_eq!(rules["message"], "no namespace on request");
    let local =
        json!({"spec": {"user": "u", "resourceAttributes": {"verb": "get", "resource": "pods", "namespace": "a"}}});
    ask("namespaces/a/localsubjectaccessreviews", local.clone()).await.expect(201);
    ask("namespaces/b/localsubjectaccessreviews", local).await.expect(422);
    let empty = server.post(&format!("{IDENTITY}/tokenreviews"), &json!({})).await.expect(400);
    assert_eq!(empty["message"], "token is required for TokenReview in authentication");
    let me = server.post(&format!("{IDENTITY}/selfsubjectreviews"), &json!({})).await.expect(201);
    assert!(me["metadata"]["creationTimestamp"].is_string());
}
