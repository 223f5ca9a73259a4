//! Logs, exec and port-forward are passed on to the node's agent; here a small one that tells what it was asked.

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

/// Tells the path, or echoes an upgraded stream in upper case.
fn answer(mut request: Request<Incoming>) -> Response<Full<Bytes>> {
    assert!(!request.headers().contains_key("authorization"), "credentials of the caller reached the agent");
    let path = request.uri().path_and_query().unwrap().to_string();
    if !request.headers().contains_key("upgrade") {
        return Response::new(Full::new(path.into()));
    }
    let protocol = request.headers()["upgrade"].clone();
    let upgraded = hyper::upgrade::on(&mut request);
    tokio::spawn(async move {
        let mut stream = TokioIo::new(upgraded.await.unwrap());
        let mut buffer = [0; 64];
        while let Ok(length @ 1..) = stream.read(&mut buffer).await {
            stream.write_all(&buffer[..length].to_ascii_uppercase()).await.unwrap();
        }
    });
    let answer = Response::builder().status(StatusCode::SWITCHING_PROTOCOLS).header("connection", "upgrade");
    answer.header("upgrade", protocol).header("x-path", path).body(Full::default()).unwrap()
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
    let log = server.get(&format!("{PODS}/a/log?follow=true&tailLines=5")).await;
    assert_eq!(log.body, "/containerLogs/default/a/main?follow=true&tailLines=5");
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
}

#[tokio::test]
async fn upgraded_streams_are_tunnelled() {
    let server = cluster("n1").await;
    let path = format!("{PODS}/a/exec?command=ls&command=-l&container=main&stdin=true&stdout=true");
    for (method, protocol) in [(Method::POST, "SPDY/3.1"), (Method::GET, "websocket")] {
        let headers = [("connection", "Upgrade"), ("upgrade", protocol)];
        let response = server.open(&Who::Admin, method, &path, &headers, Bytes::new()).await;
        assert_eq!(response.status(), 101);
        assert_eq!(response.headers()["x-path"], "/exec/default/a/main?command=ls&command=-l&input=1&output=1");
        let mut stream = TokioIo::new(hyper::upgrade::on(response).await.unwrap());
        stream.write_all(b"hello").await.unwrap();
        let mut echo = [0; 5];
        stream.read_exact(&mut echo).await.unwrap();
        assert_eq!(&echo, b"HELLO");
    }
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
    let refused: Value = server.get(&format!("{PODS}/a/log")).await.expect(400);
    assert_eq!(refused["message"], "pod a does not have a host assigned");
}
