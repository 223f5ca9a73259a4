//! The HTTP client against a server that says what the test wants, on 127.0.0.1.

use std::sync::{Arc, Mutex};

use everynode_api::kinds;
use everynode_api::ports::{
    Api, ApiError, PatchType, Preconditions, Request, Selection, Target, WatchEvent, WatchRequest,
};
use everynode_runtime::http_api::ServerConfig;
use everynode_runtime::{Env, HttpApi};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// A server that gives one scripted answer per connection and remembers what it was asked.
struct Server {
    url: String,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Server {
    async fn start(answers: Vec<String>) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let asked = Arc::new(Mutex::new(Vec::new()));
        let log = asked.clone();
        tokio::spawn(async move {
            for answer in answers {
                let (mut stream, _) = listener.accept().await.unwrap();
                let request = read_request(&mut stream).await;
                log.lock().unwrap().push(request);
                stream.write_all(answer.as_bytes()).await.unwrap();
                stream.shutdown().await.unwrap();
            }
        });
        Server { url, asked }
    }

    async fn client(&self) -> HttpApi {
        let config = ServerConfig { server: self.url.clone(), token: Some("secret".into()), ..ServerConfig::default() };
        HttpApi::connect(&config, Env::real()).await.unwrap()
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

/// Head and body as text.
async fn read_request(stream: &mut TcpStream) -> String {
    let mut text = String::new();
    let mut buffer = [0; 4096];
    loop {
        let read = stream.read(&mut buffer).await.unwrap();
        text.push_str(std::str::from_utf8(&buffer[..read]).unwrap());
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            if read == 0 || body.len() >= length.map_or(0, |length| length.parse().unwrap()) {
                return text;
            }
        }
    }
}

fn answer(head: &str, body: &str) -> String {
    format!("HTTP/1.1 {head}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len())
}

fn pod() -> Target {
    Target::new(kinds::POD, "x", "a")
}

fn create() -> Request {
    Request::Create { target: pod(), body: json!({"metadata": {"name": "a"}}) }
}

#[tokio::test]
async fn requests_carry_identity_and_media_type() {
    let server = Server::start(vec![answer("200 OK", "{\"a\":1}")]).await;
    let preconditions = Preconditions { uid: Some("u".into()), resource_version: None };
    let (patch, body) = (PatchType::Merge, json!({"spec": 1}));
    let patch = Request::Patch { target: pod(), patch, body, preconditions };
    assert_eq!(server.client().await.call(patch).await.unwrap(), "{\"a\":1}");
    let asked = server.asked().remove(0);
    let version = concat!("user-agent: everynode/", env!("CARGO_PKG_VERSION"));
    for part in [
        "PATCH /api/v1/namespaces/x/pods/a HTTP/1.1",
        "authorization: Bearer secret",
        "content-type: application/merge-patch+json",
        "accept: application/json",
        version,
        "{\"metadata\":{\"uid\":\"u\"},\"spec\":1}",
    ] {
        assert!(asked.contains(part), "{part} is not in\n{asked}");
    }
}

#[tokio::test]
async fn a_busy_server_is_asked_again_only_where_that_is_harmless() {
    let busy = |code: &str| answer(&format!("{code}\r\nretry-after: 0"), "");
    let rejected = busy("429 Too Many Requests");
    let answers = vec![rejected.clone(), busy("503 No"), answer("200 OK", "{}"), rejected, busy("503 No")];
    let server = Server::start(answers).await;
    let client = server.client().await;
    client.call(Request::Get(pod())).await.unwrap();
    assert_eq!(server.asked().len(), 3);
    // A create may be repeated after a 429, which says that nothing happened, and not after a 503.
    let error = client.call(create()).await.unwrap_err();
    assert_eq!(error.status().map(|status| status.reason.as_str()), Some("ServiceUnavailable"));
    assert_eq!(server.asked().len(), 5);
}

#[tokio::test]
async fn a_refused_connection_is_distinguished_from_a_lost_answer() {
    let server = Server::start(vec![String::new()]).await;
    let client = server.client().await;
    let lost = client.call(create()).await.unwrap_err();
    assert!(matches!(lost, ApiError::UnknownOutcome(_)), "{lost:?}");
    // The script is over: the listener is closed.
    let refused = loop {
        match client.call(create()).await.unwrap_err() {
            ApiError::UnknownOutcome(_) => tokio::task::yield_now().await,
            other => break other,
        }
    };
    assert!(matches!(refused, ApiError::Unreachable(_)), "{refused:?}");
    assert!(refused.to_string().contains("refused"), "{refused}");
}

#[tokio::test]
async fn watches_stream_until_the_server_closes() {
    // DS-I32, DS-I33, DS-I34
    let lines = "{\"type\":\"ADDED\",\"object\":{\"metadata\":{\"name\":\"a\"}}}\n\
        {\"type\":\"BOOKMARK\",\"object\":{\"metadata\":{\"resourceVersion\":\"9\"}}}\n";
    let gone = "{\"kind\":\"Status\",\"code\":410,\"reason\":\"Expired\",\"message\":\"too old\"}";
    let server = Server::start(vec![answer("200 OK", lines), answer("410 Gone", gone)]).await;
    let client = server.client().await;
    let request = WatchRequest {
        kind: kinds::POD,
        selection: Selection { field_selector: Some("spec.nodeName=n".into()), ..Selection::default() },
        resource_version: Some(5),
        bookmarks: true,
    };
    let mut events = client.watch(request.clone()).await.unwrap();
    assert_eq!(events.next().await.unwrap().unwrap(), WatchEvent::Added("{\"metadata\":{\"name\":\"a\"}}".into()));
    assert_eq!(events.next().await.unwrap().unwrap(), WatchEvent::Bookmark { resource_version: 9 });
    assert!(events.next().await.is_none());
    assert!(client.watch(request).await.err().unwrap().is_expired());
    let asked = server.asked().remove(0);
    let query = "/api/v1/pods?fieldSelector=spec.nodeName%3Dn&watch=true&resourceVersion=5&allowWatchBookmarks=true&timeoutSeconds=";
    assert!(asked.contains(query), "{asked}");
}
