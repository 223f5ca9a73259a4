//! What the join token gets, and what it does not.

use everynode_apiserver::Credentials;
use http::Method;
use rcgen::{CertificateParams, DistinguishedName, KeyPair};
use serde_json::{Value, json};
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

use crate::support::*;

const JOIN: &str = "/everynode.dev/v1/join";
const NODES: &str = "/api/v1/nodes";

/// A machine with its key.
struct Machine {
    key: KeyPair,
}

impl Machine {
    fn new() -> Machine {
        Machine { key: KeyPair::generate().unwrap() }
    }

    /// A request for these names, without a subject.
    fn request(&self, names: &[&str]) -> String {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        params.distinguished_name = DistinguishedName::new();
        params.serialize_request(&self.key).unwrap().pem().unwrap()
    }

    async fn join(&self, server: &Server, who: &Who, node: &str) -> Answer {
        let body = json!({"nodeName": node, "csr": self.request(&[])}).to_string();
        server.send(who, Method::POST, JOIN, &[("content-type", JSON)], body).await
    }

    /// What it is once it has joined.
    fn agent(&self, joined: &Value) -> Who {
        let certificate = joined["certificate"].as_str().unwrap().to_owned();
        Who::Certificate(Credentials { certificate, key: self.key.serialize_pem() })
    }
}

fn token(server: &Server) -> Who {
    Who::Token(server.api.pki().join_token().to_owned())
}

async fn register(server: &Server, who: &Who, node: &str) -> u16 {
    let body = json!({"metadata": {"name": node}}).to_string();
    server.send(who, Method::POST, NODES, &[("content-type", JSON)], body).await.code
}

#[tokio::test]
async fn names_of_the_server_are_no_nodes_names() {
    let store = std::sync::Arc::new(everynode_store::MemoryStore::new());
    let names = ["fleet.example.com", "192.0.2.7", "*.api.example.com"].map(str::to_owned).to_vec();
    let server = Server::start_with(store, |config| config.server_names = names).await;
    server.api.pki().node_certificate("mine").unwrap();
    for name in [
        "127.0.0.1",
        "10.96.0.1",
        "192.0.2.7",
        "198.51.100.1",
        "localhost",
        "kubernetes",
        "kubernetes.default.svc",
        "kubernetes.default.svc.cluster.local",
        "fleet.example.com",
        "a.api.example.com",
        "mine",
    ] {
        for who in [token(&server), Who::Admin] {
            let refused = Machine::new().join(&server, &who, name).await.expect(403);
            let message = refused["message"].as_str().unwrap();
            assert!(message.contains("a name or an address of the API server"), "{name}: {message}");
        }
    }
    Machine::new().join(&server, &token(&server), "fleet-1").await.expect(200);
}

#[tokio::test]
async fn a_certificate_is_for_the_nodes_name_and_no_address() {
    let server = Server::start().await;
    let joined = Machine::new().join(&server, &token(&server), "n1").await.expect(200);
    let pem = x509_parser::pem::parse_x509_pem(joined["certificate"].as_str().unwrap().as_bytes()).unwrap().1;
    let (_, certificate) = X509Certificate::from_der(&pem.contents).unwrap();
    let names = certificate.subject_alternative_name().unwrap().unwrap().value.general_names.clone();
    assert_eq!(names, [GeneralName::DNSName("n1")]);
    assert_eq!(certificate.subject().to_string(), "O=system:nodes, CN=system:node:n1");
    assert!(!certificate.is_ca());
    // Who asks for more is told that there is no more.
    for names in [&["n1", "127.0.0.1"][..], &["localhost"], &["n1", "n2"]] {
        let body = json!({"nodeName": "n9", "csr": Machine::new().request(names)}).to_string();
        server.send(&token(&server), Method::POST, JOIN, &[("content-type", JSON)], body).await.expect(400);
    }
}

#[tokio::test]
async fn one_node_has_one_key() {
    let server = Server::start().await;
    let (first, second) = (Machine::new(), Machine::new());
    let joined = first.join(&server, &token(&server), "n1").await.expect(200);
    // Before the node exists, and when it does; the same machine may always.
    second.join(&server, &token(&server), "n1").await.expect(403);
    first.join(&server, &token(&server), "n1").await.expect(200);
    let agent = first.agent(&joined);
    assert_eq!(register(&server, &agent, "n1").await, 201);
    let refused = second.join(&server, &token(&server), "n1").await.expect(403);
    assert!(refused["message"].as_str().unwrap().contains("kubectl delete node n1"), "{refused}");
    second.join(&server, &Who::Admin, "n1").await.expect(403);
    first.join(&server, &token(&server), "n1").await.expect(200);
    // Its node made again is still its node.
    server.delete(&format!("{NODES}/n1"), &Value::Null).await.expect(200);
    assert_eq!(register(&server, &agent, "n1").await, 201);
    // After its end another machine may be it, and the former one has no identity.
    server.delete(&format!("{NODES}/n1"), &Value::Null).await.expect(200);
    let joined = second.join(&server, &token(&server), "n1").await.expect(200);
    assert_eq!(register(&server, &agent, "n1").await, 401);
    assert_eq!(first.join(&server, &agent, "n1").await.code, 401);
    assert_eq!(register(&server, &second.agent(&joined), "n1").await, 201);
}

#[tokio::test]
async fn a_node_that_is_there_is_not_joined_over() {
    let server = Server::start().await;
    server.post(NODES, &json!({"metadata": {"name": "old"}})).await.expect(201);
    Machine::new().join(&server, &token(&server), "old").await.expect(403);
    server.delete(&format!("{NODES}/old"), &Value::Null).await.expect(200);
    Machine::new().join(&server, &token(&server), "old").await.expect(200);
}

#[tokio::test]
async fn a_renewal_is_the_nodes_own_and_may_bring_another_key() {
    let server = Server::start().await;
    let (first, second) = (Machine::new(), Machine::new());
    let agent = first.agent(&first.join(&server, &token(&server), "n1").await.expect(200));
    assert_eq!(register(&server, &agent, "n1").await, 201);
    first.join(&server, &agent, "n2").await.expect(403);
    let renewed = second.agent(&second.join(&server, &agent, "n1").await.expect(200));
    assert_eq!(register(&server, &renewed, "n1").await, 409);
    assert_eq!(register(&server, &agent, "n1").await, 401);
    // To act as a node is not to be one.
    let acting =
        [("content-type", JSON), ("impersonate-user", "system:node:n1"), ("impersonate-group", "system:nodes")];
    let body = json!({"nodeName": "n1", "csr": first.request(&[])}).to_string();
    server.send(&Who::Admin, Method::POST, JOIN, &acting, body).await.expect(403);
}
