//! TLS handshakes with a budget.
//!
//! A handshake costs as much as dozens of small requests. After a restart every client comes back
//! at once; if all their handshakes ran side by side, each would end when the last one does, and so
//! would a health probe. So the costly part has a few permits ([`FairSemaphore`]), and the rest
//! waits, its greeting read. A handshake that is given a permit goes to the end of the scheduler's
//! queue with it, so that of all that is to be done no more than these few handshakes are in
//! between.
//!
//! A permit is never held while waiting for a client: one that connects and says nothing has not
//! asked for a permit yet, and one that stops after the greeting has given it back.

use std::io;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::time::Duration;

use rustls::HandshakeKind;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::server::TlsStream;

use super::fair_semaphore::{FairSemaphore, Lane};
use super::histogram::Histogram;
use super::metrics::head;

/// Permits for each core. That many handshakes (a quarter of a millisecond each) are in front of
/// anything else to be done.
const TURNS_PER_CORE: usize = 4;
/// A client that has sent no greeting by then is gone, and so is one that has not answered ours.
const CLIENT_TIMEOUT: Duration = Duration::from_secs(10);
/// A client that has waited this long for a permit has given up: clients wait half a minute at
/// most.
const PERMIT_TIMEOUT: Duration = Duration::from_secs(30);
/// Upper bounds of the waits for a permit, seconds.
const WAITS: [f64; 10] = [0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 2.5, 10.0, 30.0];

pub(crate) struct Handshakes {
    semaphore: FairSemaphore,
    waits: Mutex<Histogram>,
    full: AtomicU64,
    resumed: AtomicU64,
    failed: AtomicU64,
    timed_out: AtomicU64,
}

impl Default for Handshakes {
    fn default() -> Handshakes {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Handshakes::new(cores * TURNS_PER_CORE)
    }
}

impl Handshakes {
    fn new(permits: usize) -> Handshakes {
        Handshakes {
            semaphore: FairSemaphore::new(permits),
            waits: Mutex::new(Histogram::new(&WAITS)),
            full: AtomicU64::default(),
            resumed: AtomicU64::default(),
            failed: AtomicU64::default(),
            timed_out: AtomicU64::default(),
        }
    }

    /// Makes a connection a TLS connection; `heard`: the client has greeted.
    pub(crate) async fn accept(
        &self,
        config: Arc<rustls::ServerConfig>,
        stream: TcpStream,
        lane: Lane,
        heard: impl FnOnce(),
    ) -> io::Result<TlsStream<TcpStream>> {
        let result = self.handshake(config, stream, lane, heard).await;
        let counter = match &result {
            Ok(stream) if stream.get_ref().1.handshake_kind() == Some(HandshakeKind::Resumed) => &self.resumed,
            Ok(_) => &self.full,
            Err(error) if error.kind() == io::ErrorKind::TimedOut => &self.timed_out,
            Err(_) => &self.failed,
        };
        counter.fetch_add(1, Ordering::Relaxed);
        result
    }

    async fn handshake(
        &self,
        config: Arc<rustls::ServerConfig>,
        stream: TcpStream,
        lane: Lane,
        heard: impl FnOnce(),
    ) -> io::Result<TlsStream<TcpStream>> {
        let greeting = LazyConfigAcceptor::new(rustls::server::Acceptor::default(), stream);
        let start = timeout(CLIENT_TIMEOUT, greeting).await??;
        heard();
        let began = Instant::now();
        let permit = timeout(PERMIT_TIMEOUT, self.semaphore.take(lane)).await?;
        // Behind everything that can run now: without this, whoever runs would find a free permit.
        tokio::task::yield_now().await;
        self.waits.lock().unwrap_or_else(PoisonError::into_inner).observe(began.elapsed().as_secs_f64());
        if has_hung_up(&start.io).await {
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        // The costly part: keys are agreed upon and our answer is signed.
        let mut rest = start.into_stream(config);
        let first = once(&mut rest).await;
        drop(permit);
        // What follows comes no faster than permits are given: it needs none of its own.
        match first {
            Poll::Ready(result) => result,
            Poll::Pending => timeout(CLIENT_TIMEOUT, rest).await?,
        }
    }

    /// How handshakes ended and how long they waited, in Prometheus' text form.
    pub(crate) fn write(&self, out: &mut String) {
        use std::fmt::Write;
        let name = "everynode_apiserver_tls_handshakes_total";
        head(out, name, "counter", "TLS handshakes by how they ended.");
        let results =
            [("full", &self.full), ("resumed", &self.resumed), ("failed", &self.failed), ("timeout", &self.timed_out)];
        for (result, count) in results {
            let _ = writeln!(out, "{name}{{result=\"{result}\"}} {}", count.load(Ordering::Relaxed));
        }
        let name = "everynode_apiserver_tls_handshakes_waiting";
        head(out, name, "gauge", "Connections whose TLS handshake waits for its permit now.");
        let _ = writeln!(out, "{name} {}", self.semaphore.waiting());
        let name = "everynode_apiserver_tls_handshake_wait_seconds";
        head(out, name, "histogram", "How long TLS handshakes waited for their permit.");
        self.waits.lock().unwrap_or_else(PoisonError::into_inner).write(out, name, "");
    }
}

/// Where a client waits.
pub(crate) fn lane(client: IpAddr, server: IpAddr) -> Lane {
    let (client, server) = (client.to_canonical(), server.to_canonical());
    if client.is_loopback() || client == server { Lane::Local } else { Lane::Remote }
}

/// Whether the client has ended the connection, as far as is known without waiting.
async fn has_hung_up(stream: &TcpStream) -> bool {
    let mut byte = [0];
    let mut peeked = std::pin::pin!(stream.peek(&mut byte));
    matches!(once(&mut peeked).await, Poll::Ready(Ok(0) | Err(_)))
}

/// Polls a future once.
async fn once<F: Future + Unpin>(future: &mut F) -> Poll<F::Output> {
    std::future::poll_fn(|context| Poll::Ready(std::pin::Pin::new(&mut *future).poll(context))).await
}

#[cfg(test)]
mod tests {
    use rustls::pki_types::ServerName;
    use tokio::io::AsyncWriteExt;
    use tokio::net::TcpListener;
    use tokio::task::JoinSet;
    use tokio_rustls::TlsConnector;

    use super::*;
    use crate::pki::{Credentials, RotatingCertificate};

    const STORM: usize = 100;

    /// Both sides of TLS.
    fn configs() -> (Arc<rustls::ServerConfig>, Arc<rustls::ClientConfig>) {
        let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        let ca = made.cert.pem();
        let credentials = Credentials { certificate: ca.clone(), key: made.signing_key.serialize_pem() };
        let certificate = RotatingCertificate::new(credentials).unwrap();
        (Arc::new(certificate.server_config(&ca).unwrap()), Arc::new(certificate.client_config(&ca).unwrap()))
    }

    fn localhost() -> ServerName<'static> {
        ServerName::try_from("localhost").unwrap()
    }

    async fn pair(listener: &TcpListener) -> (TcpStream, TcpStream) {
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        (client, listener.accept().await.unwrap().0)
    }

    /// How many handshakes have had their permit.
    fn permits_taken(handshakes: &Handshakes) -> usize {
        let mut text = String::new();
        handshakes.waits.lock().unwrap().write(&mut text, "waits", "");
        text.trim().rsplit(' ').next().unwrap().parse().unwrap()
    }

    /// How many of a storm's handshakes are worked on before one is done that comes after all of
    /// them.
    async fn overtaken(permits: usize) -> usize {
        let (server, client) = configs();
        let handshakes = Arc::new(Handshakes::new(permits));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut greeting = Vec::new();
        rustls::ClientConnection::new(client.clone(), localhost()).unwrap().write_tls(&mut greeting).unwrap();
        let mut connections = Vec::new();
        for _ in 0..STORM {
            let (mut theirs, ours) = pair(&listener).await;
            theirs.write_all(&greeting).await.unwrap();
            connections.push((theirs, ours));
        }
        let (theirs, ours) = pair(&listener).await;
        let (mut storm, mut held) = (JoinSet::new(), Vec::new());
        for (theirs, ours) in connections {
            held.push(theirs);
            let (handshakes, server) = (handshakes.clone(), server.clone());
            storm.spawn(async move { handshakes.accept(server, ours, Lane::Remote, || ()).await });
        }
        // All greetings have been read.
        while permits_taken(&handshakes) == 0 {
            tokio::task::yield_now().await;
        }
        let connector = TlsConnector::from(client);
        let accepted = handshakes.accept(server, ours, Lane::Remote, || ());
        let (accepted, connected) = tokio::join!(accepted, connector.connect(localhost(), theirs));
        assert!(accepted.is_ok() && connected.is_ok());
        permits_taken(&handshakes) - 1
    }

    #[tokio::test]
    async fn the_last_one_does_not_wait_for_a_storm() {
        let few = overtaken(2).await;
        assert!(few < STORM / 4, "{few} of {STORM} came first");
        let all = overtaken(2 * STORM).await;
        assert!(all > STORM / 2, "with a permit for each it would wait for most of them, and not for {all}");
    }

    #[test]
    fn who_is_local() {
        let lane = |client: &str, server: &str| lane(client.parse().unwrap(), server.parse().unwrap());
        assert_eq!(lane("127.0.0.1", "127.0.0.1"), Lane::Local);
        assert_eq!(lane("::ffff:127.0.0.1", "::ffff:127.0.0.1"), Lane::Local);
        assert_eq!(lane("10.0.0.1", "10.0.0.1"), Lane::Local);
        assert_eq!(lane("10.0.0.2", "10.0.0.1"), Lane::Remote);
    }
}
