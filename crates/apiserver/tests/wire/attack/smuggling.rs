//! Requests that mean one thing to who checks and another to who executes: paths, headers, framing,
//! upgrades.

use std::sync::Arc;

use http::Method;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::bodies::PLANTED;
use super::client::Client;
use super::world::World;
use crate::support::{JSON, Who, tls};

/// What the server says to bytes on a connection of their own, until it closes it.
async fn said(world: &World, bytes: &str) -> String {
    let stream = TcpStream::connect(world.server.address).await.unwrap();
    let connector = TlsConnector::from(Arc::new(tls(world.server.api.pki().ca_pem(), None)));
    let mut stream = connector.connect(ServerName::try_from("localhost").unwrap(), stream).await.unwrap();
    stream.write_all(bytes.as_bytes()).await.unwrap();
    let mut said = Vec::new();
    let _ = stream.read_to_end(&mut said).await;
    String::from_utf8_lossy(&said).into_owned()
}

fn token(world: &World, role: &str) -> String {
    match world.who(role) {
        Who::Token(token) => token,
        _ => panic!("{role} has no token"),
    }
}

fn code(said: &str) -> u16 {
    said.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or(0)
}

/// Nothing of a secret, in clear or in base64.
fn tells_nothing(said: &str) -> bool {
    !said.contains(PLANTED) && !said.contains("cGxhbnRlZC1zZWNyZXQ")
}

/// Each aims at a secret or at another namespace, by a path that a reader of `team` might get
/// through.
const PATHS: &[&str] = &[
    "/api/v1/namespaces/team%2F..%2Fother/pods/theirs",
    "/api/v1/namespaces/team/pods/..%2f..%2fother%2fpods%2ftheirs",
    "/api/v1/namespaces/team/pods/../../other/pods/theirs",
    "/api/v1/namespaces/team/pods/%2e%2e/secrets/mine",
    "/api/v1/namespaces/team/./secrets/mine",
    "/api/v1/namespaces/team/pods/../secrets/mine",
    "/api/v1/namespaces/team/pods/mine/log/../../../secrets/mine",
    "/api/v1/namespaces/team/pods/mine/exec%2Fother%2Ftheirs%2Fmain%3Fcommand%3Did",
    "/api/v1/namespaces/team/pods/mine/log%2F..%2F..%2F..%2Fsecrets%2Fmine",
    "/api/v1//namespaces/other/secrets",
    "//api/v1/namespaces/team/secrets",
    "/api/v1/namespaces//secrets",
    "/api/v1/namespaces/team//secrets/mine",
    "/api/v1/namespaces/team/secrets/",
    "/api/v1/namespaces/team/secrets%00",
    "/api/v1/namespaces/team/secrets%0d%0aX:%20y",
    "/api/v1/namespaces/team/%73ecrets",
    "/api/v1/namespaces/team/secrets/mine?watch=true",
    "/api/v1/namespaces/team/pods;x=1/../secrets",
    "/api/v1/namespaces/team/SECRETS",
    "/API/v1/namespaces/team/secrets",
    "/api/v1/namespaces/other%20/pods",
    "/api/v1/namespaces/%6fther/pods/theirs",
    "/api/v1/namespaces/team/pods/mine\\..\\..\\..\\other",
    "/api/v1/watch/namespaces/team/secrets",
    "/api/v1/proxy/namespaces/team/pods/mine",
    "/api/v1/secrets?fieldSelector=metadata.namespace%3Dteam",
    "/api/v1/pods?fieldSelector=metadata.namespace%3Dteam",
    "/api/v1/pods?namespace=team",
    "/api/v1/pods/team/mine",
    "/apis/v1/namespaces/team/secrets",
    "/apis//v1/namespaces/team/secrets",
    "/api/v2/namespaces/team/secrets",
    "/apis/apps/v1/namespaces/team/secrets",
    "/healthz/../api/v1/namespaces/team/secrets",
    "/healthz/%2e%2e/api/v1/namespaces/team/secrets",
    "/version/../metrics",
    "/livez/../metrics",
    "http://localhost/api/v1/namespaces/team/secrets",
    "http://admin@localhost/api/v1/namespaces/other/pods",
    "https://localhost:6443/metrics",
];

#[tokio::test]
async fn no_form_of_a_path_leads_around_the_authorisation() {
    let world = World::make().await;
    let token = token(&world, "reader");
    for path in PATHS {
        let head = format!("Host: localhost\r\nAuthorization: Bearer {token}\r\nConnection: close\r\n\r\n");
        for method in ["GET", "DELETE"] {
            let said = said(&world, &format!("{method} {path} HTTP/1.1\r\n{head}")).await;
            assert!(matches!(code(&said), 400 | 403 | 404 | 405), "{method} {path}: {said}");
            assert!(tells_nothing(&said), "{method} {path}: {said}");
        }
    }
    // The same over HTTP/2, whose pseudo-headers are the path; and with an authority that is not
    // ours.
    let client = Client::connect(&world.server, &world.who("reader")).await;
    for path in PATHS.iter().filter(|path| path.starts_with("/api") && !path.contains('\\')) {
        let code = client.code(Method::GET, path, JSON, String::new()).await;
        assert!(matches!(code, 400 | 403 | 404 | 405), "{path}: {code}");
    }
}

/// Headers by which proxies and frameworks change what a request is: here they are nothing.
const HEADERS: &[&str] = &[
    "X-HTTP-Method-Override: DELETE",
    "X-HTTP-Method: DELETE",
    "X-Method-Override: DELETE",
    "X-Original-URL: /api/v1/namespaces/team/secrets",
    "X-Rewrite-URL: /api/v1/namespaces/team/secrets",
    "X-Forwarded-Uri: /api/v1/namespaces/team/secrets",
    "X-Forwarded-For: 127.0.0.1",
    "X-Remote-User: kubernetes-admin\r\nX-Remote-Group: system:masters",
    "Upgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\nConnection: Upgrade, HTTP2-Settings",
    "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    "Upgrade: SPDY/3.1\r\nConnection: Upgrade",
];

#[tokio::test]
async fn no_header_makes_another_request_of_one() {
    let world = World::make().await;
    let token = token(&world, "reader");
    for header in HEADERS {
        let path = "/api/v1/namespaces/team/pods/mine";
        let close = if header.contains("Connection") { "" } else { "Connection: close\r\n" };
        let head = format!(
            "GET {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n{header}\r\n{close}\r\n"
        );
        // A second request ends a connection that the first one keeps.
        let end = format!(
            "GET {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\nConnection: close\r\n\r\n"
        );
        let said = said(&world, &(head + if close.is_empty() { &end } else { "" })).await;
        assert!(said.starts_with("HTTP/1.1 200") && !said.contains(" 101 "), "{header}: {said}");
        assert!(said.contains("\"name\":\"mine\"") && tells_nothing(&said), "{header}: {said}");
        let anonymous = format!(
            "GET {path} HTTP/1.1\r\nHost: localhost\r\n{header}\r\n{close}\r\nGET {path} HTTP/1.1\r\nConnection: close\r\nHost: a\r\n\r\n"
        );
        let said = self::said(&world, &anonymous).await;
        assert_eq!(code(&said), 401, "{header}: {said}");
    }
    world.admin.get("/api/v1/namespaces/team/pods/mine").await;
}

/// Framing that two readers could understand differently: the request behind it is never answered
/// with more than its own credentials give, which are none.
const FRAMES: &[&str] = &[
    "Content-Length: 4\r\nContent-Length: 5",
    "Content-Length: 4, 5",
    "Content-Length: +4",
    "Content-Length: -1",
    "Content-Length: 0x4",
    "Content-Length: 4\r\nTransfer-Encoding: chunked",
    "Transfer-Encoding: xchunked",
    "Transfer-Encoding: chunked, identity",
    "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity",
    "Transfer-Encoding : chunked",
    "Transfer-Encoding:\u{b}chunked",
    "X: y\r\n Content-Length: 4",
];

#[tokio::test]
async fn no_framing_hides_a_request_in_a_body() {
    let world = World::make().await;
    let token = token(&world, "owner");
    for frame in FRAMES {
        let hidden = "GET /api/v1/namespaces/team/secrets HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
        let path = "/apis/authentication.k8s.io/v1/selfsubjectreviews";
        let head = format!("POST {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n");
        let said =
            said(&world, &format!("{head}Content-Type: application/json\r\n{frame}\r\n\r\n0\r\n\r\n{hidden}")).await;
        assert!(tells_nothing(&said), "{frame}: {said}");
        assert!(said.matches("HTTP/1.1 2").count() <= 1, "{frame}: {said}");
    }
    for line in [
        "CONNECT localhost:6443 HTTP/1.1",
        "TRACE /api HTTP/1.1",
        "PRI * HTTP/1.1",
        "GET  /api HTTP/1.1",
        "GET /api HTTP/9.9",
    ] {
        let said = said(&world, &format!("{line}\r\nHost: localhost\r\nConnection: close\r\n\r\n")).await;
        assert!(!said.contains("HTTP/1.1 2"), "{line}: {said}");
    }
}

/// A user that may not impersonate does not, whatever part of an identity is named; and no user
/// gets more rights by a header that is not understood.
#[tokio::test]
async fn no_part_of_an_identity_is_taken_on_without_the_right() {
    let world = World::make().await;
    let parts = [
        "Impersonate-User: kubernetes-admin",
        "Impersonate-User: system:serviceaccount:kube-system:daemon-set-controller",
        "Impersonate-Group: system:masters",
        "Impersonate-Uid: 1",
        "Impersonate-Extra-Scopes: all",
        "Impersonate-User: kubernetes-admin\r\nImpersonate-Group: system:masters",
        "Impersonate-User: \u{fc}",
        "impersonate-user:",
        "Impersonate-User: a\r\nImpersonate-User: b",
        "Impersonate-Unknown: x",
    ];
    for role in ["account", "reader", "editor", "owner", "controller", "join"] {
        let token = token(&world, role);
        for part in parts {
            let head =
                format!("Host: localhost\r\nAuthorization: Bearer {token}\r\n{part}\r\nConnection: close\r\n\r\n");
            let said = said(&world, &format!("GET /api/v1/namespaces/other/secrets HTTP/1.1\r\n{head}")).await;
            assert!(matches!(code(&said), 400 | 403) && tells_nothing(&said), "{role}: {part}: {said}");
        }
    }
    // An editor may take on the accounts of its namespace, and has no more as one of them.
    let token = token(&world, "editor");
    let as_owner = "Impersonate-User: system:serviceaccount:team:reader";
    let head = format!("Host: localhost\r\nAuthorization: Bearer {token}\r\n{as_owner}\r\nConnection: close\r\n\r\n");
    let pods = said(&world, &format!("GET /api/v1/namespaces/team/pods HTTP/1.1\r\n{head}")).await;
    let secrets = said(&world, &format!("GET /api/v1/namespaces/team/secrets HTTP/1.1\r\n{head}")).await;
    assert_eq!((code(&pods), code(&secrets)), (200, 403));
}
