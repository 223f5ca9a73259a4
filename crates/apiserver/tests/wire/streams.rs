//! Logs, exec and port-forward are passed on to the node's agent; here a small one that tells what
//! it was asked.

use std::convert::Infallible;
use std::sync::Arc;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use crate::support::*;

/// Serves as the agent of `node`, with a certificate for `certified`; returns its port.
async fn agent(server: &Server, certified: &str) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let acceptor = TlsAcceptor::from(Arc::new(tls(server, certified)));
    tokio::spawn(async move {
        loop {
            let Ok((stream, _)) = listener.accept().await else { return };
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let Ok(stream) = acceptor.accept(stream).await else { return };
                let service = service_fn(|request| async { Ok::<_, Infallible>(answer(request)) });
                let serving =
                    hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service);
                let _ = serving.with_upgrades().await;
            });
        }
    });
    port
}

/// Only clients with a certificate of the cluster are let in.
fn tls(server: &Server, node: &str) -> rustls::ServerConfig {
    let credentials = server.api.pki().node_certificate(node).unwrap().credentials();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(server.api.pki().ca_pem().as_bytes()).unwrap()).unwrap();
    let clients =
        rustls::server::WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone()).build().unwrap();
    let chain = CertificateDer::pem_slice_iter(credentials.certificate.as_bytes()).collect::<Result<_, _>>().unwrap();
    rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(clients)
        .with_single_cert(chain, PrivateKeyDer::from_pem_slice(credentials.key.as_bytes()).unwrap())
        .unwrap()
}

/// Tells the path; an upgraded stream begins with it and goes on as an echo in upper case.
fn answer(mut request: Request<Incoming>) -> Response<Full<Bytes>> {
    assert!(!request.headers().contains_key("authorization"), "credentials of the caller reached the agent");
    let path = request.uri().path_and_query().unwrap().to_string();
    if !request.headers().contains_key("upgrade") {
        return Response::new(Full::new(path.into()));
    }
    let protocol = request.headers()["upgrade"].clone();
    let channels = request.headers().get("x-stream-protocol-version").is_some_and(|name| name == "v4.channel.k8s.io");
    let upgraded = hyper::upgrade::on(&mut request);
    tokio::spawn(async move {
        let mut stream = TokioIo::new(upgraded.await.unwrap());
        if channels {
            return streaming_server(stream).await;
        }
        stream.write_all(path.as_bytes()).await.unwrap();
        let mut buffer = [0; 64];
        while let Ok(length @ 1..) = stream.read(&mut buffer).await {
            stream.write_all(&buffer[..length].to_ascii_uppercase()).await.unwrap();
        }
    });
    let answer = Response::builder().status(StatusCode::SWITCHING_PROTOCOLS).header("connection", "upgrade");
    answer.header("upgrade", protocol).body(Full::default()).unwrap()
}

/// As container runtimes have it, over SPDY: what comes on standard input goes back in upper case
/// until it ends.
async fn streaming_server(mut stream: TokioIo<hyper::upgrade::Upgraded>) {
    let data = |stream: u32, payload: &[u8], flags: u8| {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        [&stream.to_be_bytes()[..], &[flags], &length[1..], payload].concat()
    };
    let mut opened = std::collections::BTreeMap::new();
    let mut head = [0; 8];
    while stream.read_exact(&mut head).await.is_ok() {
        let number = |bytes: &[u8]| u32::from_be_bytes(bytes[..4].try_into().unwrap());
        let mut payload = vec![0; number(&head[4..]) as usize & 0xff_ffff];
        stream.read_exact(&mut payload).await.unwrap();
        if head[..4] == *b"\x80\x03\0\x01" {
            let text = String::from_utf8_lossy(&payload).into_owned();
            let kind = ["error", "stdin", "stdout", "stderr"].into_iter().find(|kind| text.contains(kind));
            opened.insert(kind.unwrap(), number(&payload));
            let reply = [&b"\x80\x03\0\x02\0\0\0\x04"[..], &payload[..4]].concat();
            stream.write_all(&reply).await.unwrap();
            continue;
        }
        assert_eq!(number(&head), opened["stdin"]);
        if !payload.is_empty() {
            stream.write_all(&data(opened["stdout"], &payload.to_ascii_uppercase(), 0)).await.unwrap();
        }
        if head[4] == 1 {
            stream.write_all(&data(opened["error"], b"{\"status\":\"Success\"}", 1)).await.unwrap();
            stream.write_all(&data(opened["stdout"], b"", 1)).await.unwrap();
        }
    }
}

/// A server with node `n1` (its agent certified as `certified`) and pod `a` on it.
async fn cluster(certified: &str) -> Server {
    let server = Server::start().await.with_default_account().await;
    let port = agent(&server, certified).await;
    let status = json!({"addresses": [{"type": "InternalIP", "address": "127.0.0.1"}],
                        "daemonEndpoints": {"kubeletEndpoint": {"Port": port}}});
    server.post("/api/v1/nodes", &json!({"metadata": {"name": "n1"}, "status": status})).await.expect(201);
    let mut bound = pod("a");
    bound["spec"]["nodeName"] = "n1".into();
    server.post(PODS, &bound).await.expect(201);
    server
}

#[tokio::test]
async fn logs_come_from_the_agent() {
    let server = cluster("n1").await;
    let uid = uid(&server).await;
    let log = server.get(&format!("{PODS}/a/log?follow=true&tailLines=5")).await;
    assert_eq!(log.body, format!("/containerLogs/default/a/main?uid={uid}&follow=true&tailLines=5"));
    let plain = server.get(&format!("{PODS}/a/log?follow=False&previous=false&x=1&container=main")).await;
    assert_eq!(plain.body, format!("/containerLogs/default/a/main?uid={uid}"));
    let refused = server.get(&format!("{PODS}/a/log?tailLines=-1")).await.expect(422);
    let words = "PodLogOptions \"a\" is invalid: tailLines: Invalid value: -1: must be greater than or equal to 0";
    assert_eq!(refused["message"], words);
    let wrong = server.get(&format!("{PODS}/a/log?container=nope")).await.expect(400);
    assert_eq!(wrong["message"], "container nope is not valid for pod a");
    server.get(&format!("{PODS}/none/log")).await.expect(404);
    let waiting = json!({"status": {"containerStatuses": [{"name": "main", "image": "x:1", "imageID": "", "ready": false,
        "restartCount": 0, "state": {"waiting": {"reason": "ContainerCreating"}}}]}});
    server.patch(&format!("{PODS}/a/status"), MERGE, &waiting).await.expect(200);
    let early = server.get(&format!("{PODS}/a/log")).await.expect(400);
    assert_eq!(early["message"], "container \"main\" in pod \"a\" is waiting to start: ContainerCreating"); // DS-H52
    let node = server.get("/api/v1/nodes/n1/proxy/metrics/cadvisor?x=1").await;
    assert_eq!(node.body, "/metrics/cadvisor?x=1");
    let port =
        server.get("/api/v1/nodes/n1").await.json()["status"]["daemonEndpoints"]["kubeletEndpoint"]["Port"].clone();
    let node = server.get(&format!("/api/v1/nodes/n1:{port}/proxy/pods/")).await;
    assert_eq!(node.body, "/pods/");
    let other = server.get("/api/v1/nodes/n1:1/proxy/pods").await.expect(400);
    assert!(other["message"].as_str().unwrap().starts_with("only the agent of node n1 is reached"));
}

async fn uid(server: &Server) -> String {
    let pod = server.get(&format!("{PODS}/a")).await.expect(200);
    pod["metadata"]["uid"].as_str().unwrap().to_owned()
}

/// Row 1 of the attack: rights in one namespace, a coded path into another one.
#[tokio::test]
async fn what_was_authorised_is_what_the_agent_is_asked_for() {
    let server = cluster("n1").await;
    for namespace in ["team-a", "team-b"] {
        server.post("/api/v1/namespaces", &json!({"metadata": {"name": namespace}})).await.expect(201);
        let account = json!({"metadata": {"name": "default"}});
        server.post(&format!("/api/v1/namespaces/{namespace}/serviceaccounts"), &account).await.expect(201);
        let mut bound = pod("p");
        (bound["metadata"]["namespace"], bound["spec"]["nodeName"]) = (namespace.into(), "n1".into());
        server.post(&format!("/api/v1/namespaces/{namespace}/pods"), &bound).await.expect(201);
    }
    let rules = json!([{"apiGroups": [""], "resources": ["pods/exec", "pods/log"], "verbs": ["get", "create"]}]);
    let role = json!({"metadata": {"name": "r"}, "rules": rules});
    server.post("/apis/rbac.authorization.k8s.io/v1/namespaces/team-a/roles", &role).await.expect(201);
    let binding = json!({"metadata": {"name": "r"}, "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "r"},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "mallory"}]});
    server.post("/apis/rbac.authorization.k8s.io/v1/namespaces/team-a/rolebindings", &binding).await.expect(201);
    let own = server.ask("mallory", Method::GET, "/api/v1/namespaces/team-a/pods/p/exec?command=id&stdout=1").await;
    assert!(own.body.starts_with(b"/exec/team-a/p/"), "{own:?}");
    for (code, rest) in [
        (404, "team-a/pods/p/exec%2Fteam-b%2Fp%2Fmain%3Fcommand%3Did"),
        (404, "team-a/pods/p/exec/team-b/p/main?command=id&output=1"),
        (404, "team-a/pods/p%2Fexec?command=id"),
        (404, "team-a/pods/p/log%2F..%2F..%2Fexec"),
        (404, "team-a/pods/p/exec/..%2F..%2Fteam-b/p?command=id"),
        (400, "team-a/pods/..%2F..%2Fteam-b%2Fp%00/exec?command=id"),
        (403, "team-a%2F..%2Fteam-b/pods/p/exec?command=id"),
        (400, "team-a/pods/../exec?command=id"),
        (403, "team-b/pods/p/exec?command=id"),
    ] {
        let answer = server.ask("mallory", Method::GET, &format!("/api/v1/namespaces/{rest}")).await;
        assert_eq!(answer.code, code, "{rest}: {answer:?}");
    }
    // What the options say cannot leave the query, nor become the agent's own words.
    let options = "container=main&command=a%26uid%3Dx%23%2F..&stdout=1&input=1&output=0&uid=1";
    let path = format!("/api/v1/namespaces/team-a/pods/p/exec?{options}");
    let answer = server.ask("mallory", Method::POST, &path).await;
    let text = String::from_utf8(answer.body.to_vec()).unwrap();
    assert!(text.ends_with("/main?command=a%26uid%3Dx%23%2F..&output=1"), "{text}");
}

#[tokio::test]
async fn upgraded_streams_are_tunnelled() {
    let server = cluster("n1").await;
    let uid = uid(&server).await;
    let path = format!("{PODS}/a/exec?command=ls&command=-l&container=main&stdin=True&stdout=true&stderr=False");
    for (method, protocol) in [(Method::POST, "SPDY/3.1"), (Method::GET, "websocket")] {
        let headers = [("connection", "Upgrade"), ("upgrade", protocol)];
        let response = server.open(&Who::Admin, method, &path, &headers, Bytes::new()).await;
        assert_eq!(response.status(), 101);
        let asked = format!("/exec/default/a/{uid}/main?command=ls&command=-l&input=1&output=1");
        let mut stream = TokioIo::new(hyper::upgrade::on(response).await.unwrap());
        let mut path = vec![0; asked.len()];
        stream.read_exact(&mut path).await.unwrap();
        assert_eq!(String::from_utf8(path).unwrap(), asked);
        stream.write_all(b"hello").await.unwrap();
        let mut echo = [0; 5];
        stream.read_exact(&mut echo).await.unwrap();
        assert_eq!(&echo, b"HELLO");
    }
}

const NONCE: &str = "dGhlIHNhbXBsZSBub25jZQ==";

/// A WebSocket to a path, once the server has agreed.
async fn websocket(server: &Server, path: &str, protocol: &str) -> TokioIo<hyper::upgrade::Upgraded> {
    let mut headers = vec![("connection", "Upgrade"), ("upgrade", "websocket")];
    headers.extend([("sec-websocket-version", "13"), ("sec-websocket-key", NONCE)]);
    headers.extend((!protocol.is_empty()).then_some(("sec-websocket-protocol", protocol)));
    let response = server.open(&Who::Admin, Method::GET, path, &headers, Bytes::new()).await;
    assert_eq!(response.status(), 101, "{path}");
    assert_eq!(response.headers()["sec-websocket-accept"], "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    let chosen = response.headers().get("sec-websocket-protocol").map_or("", |value| value.to_str().unwrap());
    assert_eq!(chosen, protocol.split(',').next().unwrap());
    TokioIo::new(hyper::upgrade::on(response).await.unwrap())
}

/// A client's message, with a mask that changes nothing.
async fn say(stream: &mut TokioIo<hyper::upgrade::Upgraded>, kind: u8, message: &[u8]) {
    let head = [0x80 | kind, 0x80 | u8::try_from(message.len()).unwrap(), 0, 0, 0, 0];
    stream.write_all(&[&head[..], message].concat()).await.unwrap();
}

/// The server's next message, with its kind.
async fn hear(stream: &mut TokioIo<hyper::upgrade::Upgraded>) -> (u8, Vec<u8>) {
    let mut head = [0; 2];
    stream.read_exact(&mut head).await.unwrap();
    let mut length = usize::from(head[1]);
    if length == 126 {
        length = usize::from(stream.read_u16().await.unwrap());
    }
    let mut message = vec![0; length];
    stream.read_exact(&mut message).await.unwrap();
    (head[0] & 0x0f, message)
}

/// kubectl since 1.31: SPDY's bytes in messages.
#[tokio::test]
async fn a_port_forward_in_a_websocket_reaches_the_agent_as_spdy() {
    let server = cluster("n1").await;
    let uid = uid(&server).await;
    let mut stream = websocket(&server, &format!("{PODS}/a/portforward"), "SPDY/3.1+portforward.k8s.io").await;
    assert_eq!(hear(&mut stream).await, (2, format!("/portForward/default/a/{uid}").into_bytes()));
    say(&mut stream, 2, b"hello").await;
    assert_eq!(hear(&mut stream).await, (2, b"HELLO".to_vec()));
    say(&mut stream, 9, b"there?").await;
    assert_eq!(hear(&mut stream).await, (10, b"there?".to_vec()));
    say(&mut stream, 8, b"").await;
    assert_eq!(hear(&mut stream).await.0, 8);
}

/// Logs as messages: whole pieces, or base64 of them.
#[tokio::test]
async fn a_log_comes_through_a_websocket() {
    let server = cluster("n1").await;
    let uid = uid(&server).await;
    let asked = format!("/containerLogs/default/a/main?uid={uid}&tailLines=5");
    let path = format!("{PODS}/a/log?tailLines=5");
    for protocol in ["", "binary.k8s.io"] {
        let mut stream = websocket(&server, &path, protocol).await;
        assert_eq!(hear(&mut stream).await, (2, asked.clone().into_bytes()), "{protocol}");
        assert_eq!(hear(&mut stream).await, (8, 1000_u16.to_be_bytes().to_vec()));
    }
    let mut stream = websocket(&server, &path, "base64.binary.k8s.io").await;
    let (kind, text) = hear(&mut stream).await;
    assert!(kind == 1 && text.starts_with(b"L2NvbnRhaW5lckxvZ3Mv"), "{}", String::from_utf8_lossy(&text));
    // What is refused is refused as without a WebSocket.
    let headers = [("connection", "Upgrade"), ("upgrade", "websocket"), ("sec-websocket-version", "13")];
    let headers = [&headers[..], &[("sec-websocket-key", NONCE)]].concat();
    let refused = server.send(&Who::Admin, Method::GET, &format!("{PODS}/none/log"), &headers, "").await;
    assert_eq!(refused.code, 404);
}

/// What the agent's streaming server gets of a `v5.channel.k8s.io` is SPDY: streams that are
/// opened, bytes, an end.
#[tokio::test]
async fn channels_of_a_websocket_are_streams_at_the_agent() {
    let server = cluster("n1").await;
    let path = format!("{PODS}/a/exec?command=cat&container=main&stdin=true&stdout=true");
    let mut stream = websocket(&server, &path, "v5.channel.k8s.io,v4.channel.k8s.io").await;
    say(&mut stream, 2, b"\0hello").await;
    assert_eq!(hear(&mut stream).await, (2, b"\x01HELLO".to_vec()));
    // Standard input ends; what was said before has all been heard.
    say(&mut stream, 2, b"\xff\0").await;
    assert_eq!(hear(&mut stream).await, (2, b"\x03{\"status\":\"Success\"}".to_vec()));
    assert_eq!(hear(&mut stream).await, (8, 1000_u16.to_be_bytes().to_vec()));
}

#[tokio::test]
async fn another_nodes_certificate_is_not_believed() {
    let server = cluster("n2").await;
    let refused = server.get(&format!("{PODS}/a/log")).await.expect(502);
    assert!(refused["message"].as_str().unwrap().contains("error dialing the agent of node n1"));
}

#[tokio::test]
async fn pods_without_a_node_have_no_streams() {
    let server = Server::start().await.with_default_account().await;
    server.post(PODS, &pod("a")).await.expect(201);
    let log = server.get(&format!("{PODS}/a/log")).await;
    assert_eq!((log.code, log.body.len()), (204, 0));
    let upgrade = [
        ("connection", "upgrade"),
        ("upgrade", "websocket"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ];
    let socket = server.send(&Who::Admin, Method::GET, &format!("{PODS}/a/log"), &upgrade, "").await;
    assert_eq!(socket.code, 204, "refused before the protocol changes");
    let refused: Value = server.get(&format!("{PODS}/a/exec?command=ls&stdout=1")).await.expect(400);
    assert_eq!(refused["message"], "pod a does not have a host assigned");
}
