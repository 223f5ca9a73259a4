//! Many TLS handshakes at once, and clients that stop in the middle: a health probe gets through.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use http::Method;
use rustls::HandshakeKind;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;

use crate::support::*;

/// More than there are turns, and few enough for the open files of a usual shell.
const MANY: usize = 70;
const STORM: usize = 200;
const LIMIT: Duration = Duration::from_secs(5);

fn localhost() -> ServerName<'static> {
    ServerName::try_from("localhost").unwrap()
}

async fn probe(server: &Server) {
    let answer = server.send(&Who::Nobody, Method::GET, "/readyz", &[], "");
    let answer = tokio::time::timeout(LIMIT, answer).await.expect("/readyz answers in time");
    assert_eq!(answer.body, "ok");
}

async fn metric(server: &Server, name: &str) -> usize {
    let text = String::from_utf8(server.get("/metrics").await.body.to_vec()).unwrap();
    let line = text.lines().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("no {name} in {text}"));
    line.rsplit(' ').next().unwrap().parse().unwrap()
}

/// What a client says first.
fn greeting(config: rustls::ClientConfig) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut client = rustls::ClientConnection::new(Arc::new(config), localhost()).unwrap();
    client.write_tls(&mut bytes).unwrap();
    bytes
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn silent_or_stalled_clients_do_not_block_others() {
    let server = Server::start().await;
    let greeting = greeting(tls(server.api.pki().ca_pem(), None));
    let mut held = Vec::new();
    for number in 0..3 * MANY {
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        // Nothing; the first half of a greeting; a greeting, and never an answer to the server's.
        let said = [0, greeting.len() / 2, greeting.len()][number % 3];
        stream.write_all(&greeting[..said]).await.unwrap();
        held.push(stream);
    }
    probe(&server).await;
    // All that could be done for them is done: no permit is taken.
    tokio::time::timeout(LIMIT, async {
        while metric(&server, "everynode_apiserver_tls_handshake_wait_seconds_count").await < MANY
            || metric(&server, "everynode_apiserver_tls_handshakes_waiting").await > 0
        {
            probe(&server).await;
        }
    })
    .await
    .expect("nobody waits for a turn");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_storm_keeps_no_probe_out_and_all_clients_get_through() {
    let server = Server::start().await;
    let through = Arc::new(AtomicUsize::new(0));
    let (address, ca, counted) = (server.address, server.api.pki().ca_pem().to_owned(), through.clone());
    let (connected, ready) = tokio::sync::oneshot::channel();
    let storm = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(storm(address, &ca, connected, &counted));
    });
    ready.await.unwrap();
    probe(&server).await;
    tokio::task::spawn_blocking(|| storm.join().unwrap()).await.unwrap();
    assert_eq!(through.load(Ordering::Relaxed), STORM, "nobody starves");
    assert!(metric(&server, "everynode_apiserver_tls_handshakes_total{result=\"full\"}").await > STORM);
    assert_eq!(metric(&server, "everynode_apiserver_tls_handshakes_total{result=\"timeout\"}").await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_comes_back_resumes_its_session_and_is_who_it_was() {
    let server = Server::start().await;
    let connector = TlsConnector::from(Arc::new(tls(server.api.pki().ca_pem(), Some(server.api.pki().admin()))));
    let kind = async || {
        let stream = TcpStream::connect(server.address).await.unwrap();
        let mut stream = connector.connect(localhost(), stream).await.unwrap();
        // Only the administrator may see metrics. Tickets come with the answer.
        stream.write_all(b"GET /metrics HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").await.unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.unwrap();
        assert!(answer.starts_with(b"HTTP/1.1 200 OK"), "{}", String::from_utf8_lossy(&answer));
        stream.get_ref().1.handshake_kind().unwrap()
    };
    assert_eq!((kind().await, kind().await), (HandshakeKind::Full, HandshakeKind::Resumed));
    assert_eq!(metric(&server, "everynode_apiserver_tls_handshakes_total{result=\"resumed\"}").await, 1);
}

/// All connect and greet first, then all go on at once.
async fn storm(address: SocketAddr, ca: &str, connected: tokio::sync::oneshot::Sender<()>, through: &Arc<AtomicUsize>) {
    let mut streams = Vec::new();
    for _ in 0..STORM {
        streams.push(TcpStream::connect(address).await.unwrap());
    }
    let connector = TlsConnector::from(Arc::new(tls(ca, None)));
    let mut clients = JoinSet::new();
    for stream in streams {
        let (connector, through) = (connector.clone(), through.clone());
        clients.spawn(async move {
            let stream = connector.connect(localhost(), stream).await.unwrap();
            through.fetch_add(1, Ordering::Relaxed);
            stream
        });
    }
    // Every task has run once: all greetings are on their way.
    tokio::task::yield_now().await;
    let _ = connected.send(());
    let _held = clients.join_all().await;
}
