//! One HTTP/2 connection for a whole walk: thousands of requests, and watches that are dropped at
//! once.

use std::sync::Arc;

use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http2::SendRequest;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::ServerName;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::support::{JSON, Server, Who, tls};

/// The connection of one client.
pub(crate) struct Client {
    sender: SendRequest<Full<Bytes>>,
    token: Option<String>,
}

impl Client {
    pub(crate) async fn connect(server: &Server, who: &Who) -> Client {
        let (certificate, token) = match who {
            Who::Admin => (Some(server.api.pki().admin()), None),
            Who::Certificate(credentials) => (Some(credentials.clone()), None),
            Who::Token(token) => (None, Some(format!("Bearer {token}"))),
            Who::Nobody => (None, None),
        };
        let stream = TcpStream::connect(server.address).await.unwrap();
        // Otherwise each body waits for the acknowledgement of its head.
        stream.set_nodelay(true).unwrap();
        let connector = TlsConnector::from(Arc::new(tls(server.api.pki().ca_pem(), certificate)));
        let stream = connector.connect(ServerName::try_from("localhost").unwrap(), stream).await.unwrap();
        let (sender, connection) =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        Client { sender, token }
    }

    /// The answer's head; its body is still to be read, or to be dropped.
    pub(crate) async fn open(&self, method: Method, path: &str, media: &str, body: String) -> Response<Incoming> {
        let mut request = Request::builder().method(method).uri(format!("https://localhost{path}"));
        if !body.is_empty() {
            request = request.header("content-type", media);
        }
        if let Some(token) = &self.token {
            request = request.header("authorization", token);
        }
        let request = request.body(Full::new(Bytes::from(body))).unwrap();
        self.sender.clone().send_request(request).await.unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    pub(crate) async fn code(&self, method: Method, path: &str, media: &str, body: String) -> u16 {
        self.open(method, path, media, body).await.status().as_u16()
    }

    pub(crate) async fn get(&self, path: &str) -> Value {
        let answer = self.open(Method::GET, path, JSON, String::new()).await;
        let (code, body) = (answer.status(), answer.into_body().collect().await.unwrap().to_bytes());
        assert_eq!(code, 200, "{path}: {}", String::from_utf8_lossy(&body));
        serde_json::from_slice(&body).unwrap()
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Value {
        let answer = self.open(Method::POST, path, JSON, body.to_string()).await;
        let (code, text) = (answer.status(), answer.into_body().collect().await.unwrap().to_bytes());
        assert_eq!(code, 201, "{path}: {}", String::from_utf8_lossy(&text));
        serde_json::from_slice(&text).unwrap()
    }
}
