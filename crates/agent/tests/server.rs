//! The agent's server, with pods on a real containerd: logs, exec, port-forward, and who may ask.

mod support;

use std::net::SocketAddr;
use std::sync::Arc;

use everynode_agent::cri::{CriRuntime, FakeRuntime};
use everynode_agent::ports::SystemClock;
use everynode_agent::server::{Server, ServerTls};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::json;
use support::fakes::{Workers, config, deleted, pod};
use support::{BUSYBOX, Containerd};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

const API_SERVER: &str = "kube-apiserver-kubelet-client";

/// An authority, and what it has signed.
struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new() -> Authority {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Authority(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    fn roots(&self) -> Arc<rustls::RootCertStore> {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(self.0.der().clone()).unwrap();
        Arc::new(roots)
    }

    fn sign(&self, name: &str) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
        let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.0).unwrap();
        (vec![certificate.der().clone()], PrivateKeyDer::Pkcs8(key.serialize_der().into()))
    }

    fn server(&self) -> ServerTls {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let verifier = rustls::server::WebPkiClientVerifier::builder_with_provider(self.roots(), provider.clone());
        let (certificate, key) = self.sign("node");
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_client_cert_verifier(verifier.allow_unauthenticated().build().unwrap())
            .with_single_cert(certificate, key)
            .unwrap();
        ServerTls { config: Arc::new(config), allowed_client: API_SERVER.into() }
    }

    /// A connection with a certificate of this name, or without one.
    async fn connect(&self, address: SocketAddr, name: Option<&str>) -> TlsStream<TcpStream> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder =
            rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let builder = builder.with_root_certificates(self.roots());
        let config = match name.map(|name| self.sign(name)) {
            Some((certificate, key)) => builder.with_client_auth_cert(certificate, key).unwrap(),
            None => builder.with_no_client_auth(),
        };
        let stream = TcpStream::connect(address).await.unwrap();
        let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
        connector.connect("localhost".try_into().unwrap(), stream).await.unwrap()
    }

    /// One GET on a connection of its own: status line and body.
    async fn get(&self, address: SocketAddr, name: Option<&str>, path: &str) -> (String, String) {
        let mut stream = self.connect(address, name).await;
        let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        let answer = String::from_utf8_lossy(&answer).into_owned();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let chunked = head.to_ascii_lowercase().contains("transfer-encoding: chunked");
        let status = head.lines().next().unwrap().split_once(' ').unwrap().1.to_owned();
        (status, if chunked { unchunk(body) } else { body.to_owned() })
    }
}

fn unchunk(mut body: &str) -> String {
    let mut text = String::new();
    while let Some((size, rest)) = body.split_once("\r\n") {
        let size = usize::from_str_radix(size, 16).unwrap();
        text.push_str(&rest[..size]);
        body = rest[size..].trim_start_matches("\r\n");
    }
    text
}

/// Reads until `text` has come; answers everything that came.
async fn read_until(stream: &mut TlsStream<TcpStream>, text: &str) -> Vec<u8> {
    let mut all = Vec::new();
    let mut buffer = [0; 4096];
    let read = async {
        while !String::from_utf8_lossy(&all).contains(text) {
            let count = stream.read(&mut buffer).await.unwrap();
            assert!(count > 0, "the stream ended: {}", String::from_utf8_lossy(&all));
            all.extend_from_slice(&buffer[..count]);
        }
    };
    let waited = tokio::time::timeout(std::time::Duration::from_secs(30), read).await;
    assert!(waited.is_ok(), "waited too long for {text:?}");
    all
}

/// Answers come within this; it is no measure.
const LIMIT: std::time::Duration = std::time::Duration::from_secs(8);

/// Whoever reaches a node's port may connect and say nothing, as often as they like.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn silent_connections_keep_the_api_server_out_of_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let workers = Workers::start(config(dir.path(), "one"), Arc::new(FakeRuntime::new(Arc::new(SystemClock))));
    let authority = Authority::new();
    let any = "127.0.0.1:0".parse().unwrap();
    let (context, inspector) = (workers.context.clone(), workers.inspector.clone());
    let server = Server::bind(any, authority.server(), context, inspector).await.unwrap();
    let address = server.address().unwrap();
    let server = tokio::spawn(server.run());
    // One that was there before: a follower of a log, say.
    let mut old = authority.connect(address, Some(API_SERVER)).await;
    let mut held = Vec::new();
    for number in 0..2 * Server::connections_max() {
        let mut stream = TcpStream::connect(address).await.unwrap();
        // Some begin a greeting.
        let _ = stream.write_all(&[0x16, 3, 1][..number % 4]).await;
        held.push(stream);
    }
    let answered = tokio::time::timeout(LIMIT, authority.get(address, Some(API_SERVER), "/pods")).await;
    assert_eq!(answered.expect("the API server is answered").0, "200 OK");
    old.write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    read_until(&mut old, "ok").await;
    server.abort();
}

/// Set in the agent's process, where descriptors run out.
const SERVES: &str = "EVERYNODE_TEST_AGENT_WITH_FEW_DESCRIPTORS";
/// What the agent may open besides what it has.
const DESCRIPTORS_LEFT: u64 = 24;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn silent_connections_that_take_all_descriptors_do_not_block_the_api_server() {
    if let Some(folder) = std::env::var_os(SERVES) {
        return serve_with_few_descriptors(std::path::Path::new(&folder)).await;
    }
    let folder = tempfile::tempdir().unwrap();
    let mut command = std::process::Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "silent_connections_that_take_all_descriptors_do_not_block_the_api_server"]);
    let mut child = command.env(SERVES, folder.path()).stdin(std::process::Stdio::piped()).spawn().unwrap();
    let place = folder.path().join("place");
    while !place.exists() {
        assert_eq!(child.try_wait().unwrap(), None, "the agent runs");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    let address: SocketAddr = std::fs::read_to_string(&place).unwrap().parse().unwrap();
    // Its table has room for twice as many.
    let count = 2 * DESCRIPTORS_LEFT as usize;
    assert!(count < Server::connections_max());
    let mut held = Vec::new();
    for _ in 0..count {
        held.push(TcpStream::connect(address).await.unwrap());
    }
    let ca = std::fs::read(folder.path().join("ca")).unwrap();
    let asked = tokio::time::timeout(LIMIT, async { while healthz(address, &ca).await.is_err() {} }).await;
    asked.expect("health is answered beside them");
    // The one that was answered came after them: others had been closed for it and for those before
    // it.
    let closed = held.iter().filter(|stream| matches!(stream.try_read(&mut [0; 1]), Ok(0))).count();
    assert!(closed >= count - DESCRIPTORS_LEFT as usize, "{closed} of {count} were closed");
    drop(child.stdin.take());
    let ended = tokio::task::spawn_blocking(move || child.wait()).await.unwrap();
    assert!(ended.unwrap().success());
}

/// The agent until standard input ends.
async fn serve_with_few_descriptors(folder: &std::path::Path) {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let workers = Workers::start(config(folder, "one"), Arc::new(FakeRuntime::new(Arc::new(SystemClock))));
    let authority = Authority::new();
    let any = "127.0.0.1:0".parse().unwrap();
    let (context, inspector) = (workers.context.clone(), workers.inspector.clone());
    let server = Server::bind(any, authority.server(), context, inspector).await.unwrap();
    let address = server.address().unwrap();
    let server = tokio::spawn(server.run());
    std::fs::write(folder.join("ca"), authority.0.der()).unwrap();
    let place = folder.join("place.new");
    std::fs::write(&place, address.to_string()).unwrap();
    let before = getrlimit(Resource::Nofile);
    let open = std::fs::read_dir("/proc/self/fd").unwrap().count() as u64;
    let few = open + DESCRIPTORS_LEFT;
    setrlimit(Resource::Nofile, Rlimit { current: Some(few), ..before }).unwrap();
    std::fs::rename(&place, folder.join("place")).unwrap();
    let ended = tokio::task::spawn_blocking(|| std::io::Read::read(&mut std::io::stdin(), &mut [0; 1]));
    let _ = ended.await.unwrap();
    setrlimit(Resource::Nofile, before).unwrap();
    server.abort();
}

/// Asks once, without a certificate.
async fn healthz(address: SocketAddr, ca: &[u8]) -> std::io::Result<()> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from(ca.to_vec())).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let connector =
        tokio_rustls::TlsConnector::from(Arc::new(builder.with_root_certificates(roots).with_no_client_auth()));
    let mut stream = connector.connect("localhost".try_into().unwrap(), TcpStream::connect(address).await?).await?;
    stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    if answer.ends_with("ok") { Ok(()) } else { Err(std::io::Error::other(answer)) }
}

/// DS-H52, DS-H53
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn logs_exec_and_port_forward() {
    let containerd = Containerd::start();
    let runtime = Arc::new(CriRuntime::new(&containerd.endpoint()).unwrap());
    let workers = Workers::start(config(containerd.dir.path(), "one"), runtime);
    let authority = Authority::new();
    let any = "127.0.0.1:0".parse().unwrap();
    let server =
        Server::bind(any, authority.server(), workers.context.clone(), workers.inspector.clone()).await.unwrap();
    let address = server.address().unwrap();
    let server = tokio::spawn(server.run());

    let script = |say: &str| format!("{say}; trap 'exit 0' TERM; while :; do sleep 0.1; done");
    // Two containers: the order of lines of different streams is not promised.
    let errors = json!({"name": "errors", "image": BUSYBOX, "command": ["/bin/sh", "-c", script("echo bad >&2")]});
    let missing = json!({"name": "missing", "image": "127.0.0.1:9/missing:1"});
    let web = pod(
        "web",
        json!({"hostNetwork": true, "containers": [
            {"name": "main", "image": BUSYBOX, "command": ["/bin/sh", "-c", script("echo one; echo two; echo three")]}, errors, missing]}),
    );
    workers.replace(std::slice::from_ref(&web)).await;
    let both_run = |status: &k8s_openapi::api::core::v1::PodStatus| {
        status.container_statuses.iter().flatten().filter(|found| found.started == Some(true)).count() == 2
    };
    workers.wait_status("web-uid", "it runs", both_run).await;

    // Who may ask.
    let log = "/containerLogs/default/web/main";
    assert_eq!(authority.get(address, None, "/healthz").await, ("200 OK".into(), "ok".into()));
    assert_eq!(authority.get(address, None, log).await.0, "401 Unauthorized");
    assert_eq!(authority.get(address, Some("somebody"), log).await.0, "401 Unauthorized");

    // Logs: followed until the last line has come, then whole.
    for (container, last) in [("main", "three\n"), ("errors", "bad\n")] {
        let mut stream = authority.connect(address, Some(API_SERVER)).await;
        let path = format!("/containerLogs/default/web/{container}?follow=true");
        let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        read_until(&mut stream, last).await;
    }
    let ask = async |path: &str| authority.get(address, Some(API_SERVER), path).await;
    assert_eq!(ask(&format!("{log}?tailLines=2")).await, ("200 OK".into(), "two\nthree\n".into()));
    assert_eq!(ask(&format!("{log}?limitBytes=5")).await.1, "one\nt");
    assert_eq!(ask(&format!("{log}?stream=Stderr")).await.1, "");
    assert_eq!(ask("/containerLogs/default/web/errors?stream=Stderr").await.1, "bad\n");
    let (status, body) = ask(&format!("{log}?previous=true")).await;
    assert_eq!(status, "400 Bad Request");
    assert_eq!(body, "previous terminated container \"main\" in pod \"web\" not found");
    let (status, body) = ask("/containerLogs/default/web/missing").await;
    assert_eq!(status, "400 Bad Request");
    assert!(body.starts_with("container \"missing\" in pod \"web\" is waiting to start: "), "{body}");
    assert_eq!(ask("/containerLogs/default/gone/main").await.0, "404 Not Found");
    let (_, pods) = ask("/pods").await;
    assert!(pods.contains("\"uid\":\"web-uid\""), "{pods}");

    // Exec: a WebSocket through to the runtime.
    let path = "/exec/default/web/main?command=/bin/sh&command=-c&command=echo+from+$0;exit+3&output=1&error=1";
    let mut stream = upgrade(
        &authority,
        address,
        path,
        "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
        Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: v4.channel.k8s.io\r\n",
    )
    .await;
    let heard = read_until(&mut stream, "ExitCode").await;
    let heard = String::from_utf8_lossy(&heard);
    assert!(heard.contains("101 Switching Protocols") && heard.contains("\u{1}from /bin/sh\n"), "{heard:?}");
    assert!(heard.contains("\"message\":\"3\""), "the exit code: {heard:?}");

    // SPDY passes as well; what is not running is refused.
    let spdy = "Upgrade: SPDY/3.1\r\nX-Stream-Protocol-Version: portforward.k8s.io\r\n";
    let mut stream = upgrade(&authority, address, "/portForward/default/web", spdy).await;
    let head = read_until(&mut stream, "\r\n\r\n").await;
    assert!(String::from_utf8_lossy(&head).starts_with("HTTP/1.1 101"), "{}", String::from_utf8_lossy(&head));
    assert_eq!(ask("/exec/default/web/missing?command=a&output=1").await.0, "404 Not Found");

    workers.set(&deleted(&web, 1)).await;
    workers.wait_gone("web-uid").await;
    server.abort();
    workers.stop().await;
}

async fn upgrade(authority: &Authority, address: SocketAddr, path: &str, headers: &str) -> TlsStream<TcpStream> {
    let mut stream = authority.connect(address, Some(API_SERVER)).await;
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\n{headers}\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    stream
}
