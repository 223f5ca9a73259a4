//! A server on a free port of 127.0.0.1, and a small HTTP/1.1 client.

use std::sync::Arc;

use bytes::Bytes;
use everynode_apiserver::{ApiServer, Config, Credentials, Listener, ServeError, ServeOptions};
use everynode_store::{MemoryStore, Store};
use http::{Method, Request};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;

pub(crate) const JSON: &str = "application/json";
pub(crate) const MERGE: &str = "application/merge-patch+json";
pub(crate) const STRATEGIC: &str = "application/strategic-merge-patch+json";

/// A running server; stopped and removed when dropped.
pub(crate) struct Server {
    pub(crate) api: Arc<ApiServer>,
    pub(crate) address: std::net::SocketAddr,
    pub(crate) directory: TempDir,
    stop: Option<oneshot::Sender<()>>,
    task: Option<JoinHandle<Result<(), ServeError>>>,
}

/// Who speaks.
#[derive(Clone)]
pub(crate) enum Who {
    Admin,
    Nobody,
    Certificate(Credentials),
    Token(String),
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) code: u16,
    pub(crate) headers: http::HeaderMap,
    pub(crate) body: Bytes,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {:?}", self.body))
    }

    /// The body of an answer that must have this code.
    pub(crate) fn expect(self, code: u16) -> Value {
        assert_eq!(self.code, code, "{}", String::from_utf8_lossy(&self.body));
        self.json()
    }
}

impl Server {
    pub(crate) async fn start() -> Server {
        Server::start_on(Arc::new(MemoryStore::new())).await
    }

    pub(crate) async fn start_on(store: Arc<dyn Store>) -> Server {
        Server::start_with(store, |_| {}).await
    }

    pub(crate) async fn start_with(store: Arc<dyn Store>, set_up: impl FnOnce(&mut Config)) -> Server {
        let listener = Listener::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        Server::start_at(listener, store, set_up).await
    }

    pub(crate) async fn start_at(
        listener: Listener,
        store: Arc<dyn Store>,
        set_up: impl FnOnce(&mut Config),
    ) -> Server {
        let directory = TempDir::new().unwrap();
        let address = listener.address();
        let mut config = Config { advertised: Some(address), ..Config::new(directory.path().to_owned()) };
        set_up(&mut config);
        let api = ApiServer::new(store, config).await.unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let serving = api.clone();
        let task = tokio::spawn(async move {
            let stopped = async {
                let _ = stopped.await;
            };
            serving.serve(listener, ServeOptions::default(), stopped).await
        });
        Server { api, address, directory, stop: Some(stop), task: Some(task) }
    }

    /// Stops serving and waits until every connection has ended.
    pub(crate) async fn stop(&mut self) {
        drop(self.stop.take());
        self.task.take().unwrap().await.unwrap().unwrap();
    }

    /// What the service account admission needs.
    pub(crate) async fn with_default_account(self) -> Server {
        let account = json!({"metadata": {"name": "default"}});
        self.post("/api/v1/namespaces/default/serviceaccounts", &account).await.expect(201);
        self
    }

    /// Sends a request and returns the answer with its body still to be read.
    pub(crate) async fn open(
        &self,
        who: &Who,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Bytes,
    ) -> http::Response<Incoming> {
        let (certificate, token) = match who {
            Who::Admin => (Some(self.api.pki().admin()), None),
            Who::Certificate(credentials) => (Some(credentials.clone()), None),
            Who::Token(token) => (None, Some(token.clone())),
            Who::Nobody => (None, None),
        };
        let stream = TcpStream::connect(self.address).await.unwrap();
        let connector = TlsConnector::from(Arc::new(tls(self.api.pki().ca_pem(), certificate)));
        let stream = connector.connect(ServerName::try_from("localhost").unwrap(), stream).await.unwrap();
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection.with_upgrades());
        let mut request = Request::builder().method(method).uri(path).header("host", "localhost");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(token) = token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        sender.send_request(request.body(Full::new(body)).unwrap()).await.unwrap()
    }

    pub(crate) async fn send(
        &self,
        who: &Who,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> Answer {
        let (parts, body) = self.open(who, method, path, headers, body.into()).await.into_parts();
        Answer { code: parts.status.as_u16(), headers: parts.headers, body: body.collect().await.unwrap().to_bytes() }
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send(&Who::Admin, Method::GET, path, &[], "").await
    }

    /// As another user.
    pub(crate) async fn ask(&self, user: &str, method: Method, path: &str) -> Answer {
        self.send(&Who::Admin, method, path, &[("impersonate-user", user)], "").await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Answer {
        self.send(&Who::Admin, Method::POST, path, &[("content-type", JSON)], body.to_string()).await
    }

    pub(crate) async fn put(&self, path: &str, body: &Value) -> Answer {
        self.send(&Who::Admin, Method::PUT, path, &[("content-type", JSON)], body.to_string()).await
    }

    pub(crate) async fn patch(&self, path: &str, form: &str, body: &Value) -> Answer {
        self.send(&Who::Admin, Method::PATCH, path, &[("content-type", form)], body.to_string()).await
    }

    pub(crate) async fn delete(&self, path: &str, body: &Value) -> Answer {
        self.send(&Who::Admin, Method::DELETE, path, &[("content-type", JSON)], body.to_string()).await
    }

    pub(crate) async fn watch(&self, path: &str) -> Lines {
        self.watch_as(&Who::Admin, path, &[]).await
    }

    pub(crate) async fn watch_as(&self, who: &Who, path: &str, headers: &[(&str, &str)]) -> Lines {
        let response = self.open(who, Method::GET, path, headers, Bytes::new()).await;
        assert_eq!(response.status(), 200);
        Lines { body: response.into_body(), rest: Vec::new() }
    }
}

/// The lines of a watch.
pub(crate) struct Lines {
    body: Incoming,
    rest: Vec<u8>,
}

impl Lines {
    /// The next event; `None` at the end of the stream.
    pub(crate) async fn next(&mut self) -> Option<Value> {
        loop {
            if let Some(end) = self.rest.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.rest.drain(..=end).collect();
                return Some(serde_json::from_slice(&line).unwrap());
            }
            match self.body.frame().await {
                Some(frame) => self.rest.extend_from_slice(&frame.unwrap().into_data().unwrap_or_default()),
                None => return None,
            }
        }
    }

    /// `TYPE name` of the next event.
    pub(crate) async fn summary(&mut self) -> String {
        let event = self.next().await.expect("the watch ended");
        let name = event["object"]["metadata"]["name"].as_str().unwrap_or("-");
        format!("{} {name}", event["type"].as_str().unwrap_or("?"))
    }
}

pub(crate) fn tls(ca: &str, client: Option<Credentials>) -> rustls::ClientConfig {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(ca.as_bytes()).unwrap()).unwrap();
    let builder = rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots);
    match client {
        None => builder.with_no_client_auth(),
        Some(client) => {
            let chain =
                CertificateDer::pem_slice_iter(client.certificate.as_bytes()).collect::<Result<_, _>>().unwrap();
            builder.with_client_auth_cert(chain, PrivateKeyDer::from_pem_slice(client.key.as_bytes()).unwrap()).unwrap()
        }
    }
}

/// A DaemonSet as users write it.
pub(crate) fn daemon_set(name: &str) -> Value {
    json!({"apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": {"name": name},
           "spec": {"selector": {"matchLabels": {"app": name}},
                    "template": {"metadata": {"labels": {"app": name}},
                                 "spec": {"containers": [{"name": "main", "image": "x:1"}]}}}})
}

pub(crate) fn config_map(name: &str) -> Value {
    json!({"metadata": {"name": name}, "data": {"a": "1"}})
}

pub(crate) fn pod(name: &str) -> Value {
    json!({"metadata": {"name": name, "labels": {"app": "web"}}, "spec": {"containers": [{"name": "main", "image": "x:1"}]}})
}

pub(crate) const CONFIG_MAPS: &str = "/api/v1/namespaces/default/configmaps";
pub(crate) const PODS: &str = "/api/v1/namespaces/default/pods";
pub(crate) const DAEMON_SETS: &str = "/apis/apps/v1/namespaces/default/daemonsets";
