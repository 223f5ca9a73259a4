//! Slow and silent clients beside honest ones: a health probe and a node's heartbeat are answered
//! meanwhile.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request};
use hyper::body::{Body, Frame};
use hyper::client::conn::http2::SendRequest;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::ServerName;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::support::*;

/// Honest requests are answered within this; it is no measure, but far more than they take.
const LIMIT: Duration = Duration::from_secs(8);
/// Each is a connection here, and few enough for the open files of a usual shell.
const SLOW: usize = 70;
/// More than all requests that are served at once.
const STREAMS: usize = 1_500;

/// A body that never comes.
struct Never;

impl Body for Never {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Pending
    }
}

/// A TLS connection.
pub(crate) async fn connect(server: &Server, alpn: &[u8]) -> TlsStream<TcpStream> {
    let stream = TcpStream::connect(server.address).await.unwrap();
    let mut config = tls(server.api.pki().ca_pem(), None);
    config.alpn_protocols = vec![alpn.to_vec()];
    let connector = TlsConnector::from(Arc::new(config));
    connector.connect(ServerName::try_from("localhost").unwrap(), stream).await.unwrap()
}

async fn http2(server: &Server) -> SendRequest<Never> {
    let stream = connect(server, b"h2").await;
    let (sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    sender
}

/// A token of an account that may write in its own namespace, as every pod's might.
pub(crate) async fn writer(server: &Server, namespace: &str) -> String {
    server.post("/api/v1/namespaces", &json!({"metadata": {"name": namespace}})).await.expect(201);
    let accounts = format!("/api/v1/namespaces/{namespace}/serviceaccounts");
    server.post(&accounts, &json!({"metadata": {"name": "w"}})).await.expect(201);
    let binding = json!({"metadata": {"name": "w"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "admin"},
        "subjects": [{"kind": "ServiceAccount", "name": "w", "namespace": namespace}]});
    let bindings = format!("/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}/rolebindings");
    server.post(&bindings, &binding).await.expect(201);
    let asked = json!({"spec": {"expirationSeconds": 600}});
    let made = server.post(&format!("{accounts}/w/token"), &asked).await.expect(201);
    made["status"]["token"].as_str().unwrap().to_owned()
}

/// A node that has joined.
pub(crate) async fn node(server: &Server, name: &str) -> Who {
    let key = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    let request = params.serialize_request(&key).unwrap().pem().unwrap();
    let token = Who::Token(server.api.pki().join_token().to_owned());
    let body = json!({"nodeName": name, "csr": request}).to_string();
    let path = "/everynode.dev/v1/join";
    let joined = server.send(&token, Method::POST, path, &[("content-type", JSON)], body).await.expect(200);
    let certificate = joined["certificate"].as_str().unwrap().to_owned();
    let who = Who::Certificate(everynode_apiserver::Credentials { certificate, key: key.serialize_pem() });
    let made = json!({"metadata": {"name": name}}).to_string();
    server.send(&who, Method::POST, "/api/v1/nodes", &[("content-type", JSON)], made).await.expect(201);
    who
}

/// What must go on: a probe, and a node's lease and status.
pub(crate) async fn honest(server: &Server, node: &Who, name: &str) {
    let answered = async {
        let probe = server.send(&Who::Nobody, Method::GET, "/readyz", &[], "").await;
        assert_eq!((probe.code, &probe.body[..]), (200, &b"ok"[..]));
        let leases = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases";
        let lease = json!({"metadata": {"name": name}, "spec": {"holderIdentity": name}}).to_string();
        let made = server.send(node, Method::POST, leases, &[("content-type", JSON)], lease.clone()).await;
        assert!(matches!(made.code, 201 | 409), "{made:?}");
        let renewed = json!({"spec": {"leaseDurationSeconds": 40}}).to_string();
        let path = format!("{leases}/{name}");
        server.send(node, Method::PATCH, &path, &[("content-type", MERGE)], renewed).await.expect(200);
        let status = json!({"status": {"phase": "Running"}}).to_string();
        let path = format!("/api/v1/nodes/{name}/status");
        server.send(node, Method::PATCH, &path, &[("content-type", MERGE)], status).await.expect(200);
    };
    tokio::time::timeout(LIMIT, answered).await.expect("probes and heartbeats are answered in time");
}

/// The sum of the lines of a metric that hold all these words.
pub(crate) async fn metric(server: &Server, words: &[&str]) -> u64 {
    let text = String::from_utf8(server.get("/metrics").await.body.to_vec()).unwrap();
    let lines = text.lines().filter(|line| !line.starts_with('#') && words.iter().all(|word| line.contains(word)));
    let values: Vec<u64> = lines.map(|line| line.rsplit(' ').next().unwrap().parse().unwrap()).collect();
    assert!(!values.is_empty(), "no {words:?} in {text}");
    values.iter().sum()
}

/// Waits until something is so.
pub(crate) async fn until<F: Future<Output = bool>>(what: &str, check: impl Fn() -> F) {
    let checked = async {
        while !check().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), checked).await.unwrap_or_else(|_| panic!("{what}"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bodies_that_never_come_over_one_connection_block_no_other_client() {
    let server = Server::start().await;
    let (node, token) = (node(&server, "n1").await, writer(&server, "x").await);
    let sender = http2(&server).await;
    let mut requests = JoinSet::new();
    for _ in 0..STREAMS {
        let request = Request::builder()
            .method(Method::POST)
            .uri("https://localhost/api/v1/namespaces/x/configmaps")
            .header("authorization", format!("Bearer {token}"))
            .header("content-type", JSON)
            .body(Never)
            .unwrap();
        let mut sender = sender.clone();
        requests.spawn(async move { sender.send_request(request).await });
    }
    // All that the connection lets through are being read.
    until("bodies are waited for", async || metric(&server, &["everynode_apiserver_body_bytes"]).await > 0).await;
    honest(&server, &node, "n1").await;
    // Another one of the same class, too.
    let other = Who::Token(writer(&server, "y").await);
    let body = config_map("a").to_string();
    let path = "/api/v1/namespaces/y/configmaps";
    let made = server.send(&other, Method::POST, path, &[("content-type", JSON)], body);
    tokio::time::timeout(LIMIT, made).await.expect("others are served").expect(201);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bodies_that_never_come_hold_no_place() {
    let server = Server::start().await;
    let (node, token) = (node(&server, "n1").await, writer(&server, "x").await);
    let head = format!(
        "POST /api/v1/namespaces/x/configmaps HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {token}\r\n\
         content-type: {JSON}\r\ncontent-length: 1000\r\n\r\n{{"
    );
    let mut held = Vec::new();
    for _ in 0..SLOW {
        let mut stream = connect(&server, b"http/1.1").await;
        stream.write_all(head.as_bytes()).await.unwrap();
        held.push(stream);
    }
    let coming = async || metric(&server, &["everynode_apiserver_body_bytes", "everybody"]).await;
    until("all bodies are waited for", async || coming().await >= SLOW as u64 * 16 * 1024).await;
    assert_eq!(metric(&server, &["apiserver_current_inflight_requests", "mutating"]).await, 0);
    honest(&server, &node, "n1").await;
    drop(held);
    until("what is gone holds nothing", async || coming().await == 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_comes_too_slowly_is_refused_in_words() {
    let limits = |config: &mut everynode_apiserver::Config| config.limits.body_grace = Duration::from_millis(50);
    let server = Server::start_with(Arc::new(everynode_store::MemoryStore::new()), limits).await;
    let mut stream = connect(&server, b"http/1.1").await;
    let token = writer(&server, "x").await;
    let head = format!(
        "POST /api/v1/namespaces/x/configmaps HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {token}\r\n\
         content-type: {JSON}\r\ncontent-length: 1000\r\n\r\n{{"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = String::new();
    let read = tokio::io::AsyncReadExt::read_to_string(&mut stream, &mut answer);
    // The connection ends, too: what still comes of the body cannot be told from a request.
    let _ = tokio::time::timeout(LIMIT, read).await.expect("it is answered");
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    let status: Value = serde_json::from_str(answer.split("\r\n\r\n").nth(1).unwrap()).unwrap();
    assert_eq!(status["message"], "Timeout: the body of the request did not come in time, please send it again");
    assert_eq!(metric(&server, &["rejected_requests_total", "slow-body", "everybody"]).await, 1);
}

async fn server_with(set_up: impl FnOnce(&mut everynode_apiserver::Limits)) -> Server {
    let store = Arc::new(everynode_store::MemoryStore::new());
    Server::start_with(store, |config| set_up(&mut config.limits)).await
}

/// Waits until the other side ends the connection.
async fn ended(stream: &mut TlsStream<TcpStream>) {
    let mut rest = Vec::new();
    let read = tokio::io::AsyncReadExt::read_to_end(stream, &mut rest);
    let _ = tokio::time::timeout(LIMIT, read).await.expect("the server ends the connection");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_through_with_tls_and_asks_nothing_is_closed() {
    let server = server_with(|limits| limits.first_request = Duration::from_millis(200)).await;
    let closed = async |reason: &str| metric(&server, &["connections_closed_total", reason]).await;
    ended(&mut connect(&server, b"http/1.1").await).await;
    assert_eq!(closed("silent").await, 1);
    // Half a head is no request.
    let mut half = connect(&server, b"http/1.1").await;
    half.write_all(b"GET /readyz HTTP/1.1\r\nhost: ").await.unwrap();
    ended(&mut half).await;
    // Nor are the frames that begin HTTP/2, however many.
    let mut frames = connect(&server, b"h2").await;
    frames.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await.unwrap();
    for _ in 0..50 {
        frames.write_all(b"\0\0\x08\x06\0\0\0\0\x0012345678").await.unwrap();
    }
    ended(&mut frames).await;
    assert_eq!(closed("silent").await, 3);
}

fn short(limits: &mut everynode_apiserver::Limits) {
    (limits.first_request, limits.interval) = (Duration::from_secs(2), Duration::from_millis(500));
}

/// Config maps that are too much for what lies between a server and a client that does not read.
async fn large(server: &Server) {
    for name in ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l", "m", "n", "o", "p"] {
        let large = json!({"metadata": {"name": name}, "data": {"a": "x".repeat(900_000)}});
        server.post(CONFIG_MAPS, &large).await.expect(201);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_is_not_read_ends_the_connection() {
    let server = server_with(short).await;
    large(&server).await;
    let node = node(&server, "n1").await;
    let waiting = async || metric(&server, &["everynode_apiserver_answer_bytes"]).await;
    let token = server.api.pki().admin();
    let stream = TcpStream::connect(server.address).await.unwrap();
    let connector = TlsConnector::from(Arc::new(tls(server.api.pki().ca_pem(), Some(token))));
    let mut stream = connector.connect(ServerName::try_from("localhost").unwrap(), stream).await.unwrap();
    stream.write_all(format!("GET {CONFIG_MAPS} HTTP/1.1\r\nhost: localhost\r\n\r\n").as_bytes()).await.unwrap();
    until("the answer waits for its client", async || waiting().await > 10_000_000).await;
    honest(&server, &node, "n1").await;
    let stalled = async || metric(&server, &["connections_closed_total", "stalled"]).await;
    let idle = async || metric(&server, &["connections_closed_total", "idle"]).await;
    until("the connection is closed", async || stalled().await + idle().await == 1).await;
    until("nothing is kept of the answer", async || waiting().await == 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_whose_stream_is_not_read_ends_the_connection() {
    let server = server_with(short).await;
    large(&server).await;
    let connector = {
        let mut config = tls(server.api.pki().ca_pem(), Some(server.api.pki().admin()));
        config.alpn_protocols = vec![b"h2".to_vec()];
        TlsConnector::from(Arc::new(config))
    };
    let stream = TcpStream::connect(server.address).await.unwrap();
    let stream = connector.connect(ServerName::try_from("localhost").unwrap(), stream).await.unwrap();
    // No byte of a body may be sent: the socket is read all the while.
    let mut builder = hyper::client::conn::http2::Builder::new(TokioExecutor::new());
    builder.initial_stream_window_size(0);
    let (mut sender, connection) = builder.handshake(TokioIo::new(stream)).await.unwrap();
    let connection = tokio::spawn(connection);
    let empty = || http_body_util::Empty::<Bytes>::new();
    let ask = |path: &str| Request::get(format!("https://localhost{path}")).body(empty()).unwrap();
    let answer = sender.send_request(ask(&format!("{CONFIG_MAPS}/a"))).await.unwrap();
    assert_eq!(answer.status(), 200);
    // Something else goes on beside it.
    let watch = sender.send_request(ask(&format!("{CONFIG_MAPS}?watch=1"))).await.unwrap();
    assert_eq!(watch.status(), 200);
    let ended = tokio::time::timeout(LIMIT, connection).await.expect("the server ends the connection");
    let _ = ended.unwrap();
    assert_eq!(metric(&server, &["connections_closed_total", "stalled"]).await, 1);
    until("nothing is kept of the answer", async || metric(&server, &["answer_bytes"]).await == 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn strangers_make_room_and_who_is_known_stays() {
    const MAX: usize = 20;
    let listener = everynode_apiserver::Listener::limited("127.0.0.1:0".parse().unwrap(), MAX).unwrap();
    let store = Arc::new(everynode_store::MemoryStore::new());
    let server = Server::start_at(listener, store, |_| {}).await.with_default_account().await;
    let node = node(&server, "n1").await;
    let mut watch = server.watch(&format!("{CONFIG_MAPS}?watch=1")).await;
    let mut held = Vec::new();
    for _ in 0..5 * MAX {
        held.push(TcpStream::connect(server.address).await.unwrap());
    }
    honest(&server, &node, "n1").await;
    server.post(CONFIG_MAPS, &config_map("seen")).await.expect(201);
    assert_eq!(watch.summary().await, "ADDED seen");
    assert!(metric(&server, &["connections_closed_total", "shed"]).await >= 4 * MAX as u64);
    assert!(metric(&server, &["everynode_apiserver_connections "]).await <= MAX as u64);
}
