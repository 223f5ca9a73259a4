//! The node-local way to the API server: `kubernetes.default.svc:443` in every pod ends here.
//!
//! A TCP forwarder on the service's address, which the agent puts on the loopback interface. It
//! holds a list of servers and tries them in turn, beginning with the one that answered last.
//! TLS passes through untouched: the server's certificate covers the names.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use everynode_listen::{Accepted, Entry, Listener, descriptors_max, keep_alive};
use tokio::net::TcpStream;

/// Connections at the same time: some per pod of a full node. Where there are more, those of the
/// address that has most go.
const CONNECTIONS_MAX: usize = 1024;
/// One in so many of the files that the process may open is such a connection at most; each has one
/// to the server, too.
const DESCRIPTORS_PART: usize = 16;
/// A client that connects sends its greeting at once: TLS lets the client speak first. The server
/// hears nothing of connections without one.
const FIRST_BYTE_MAX: Duration = Duration::from_secs(10);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// While another process has the address, it is tried again after this.
const TAKE_OVER_INTERVAL: Duration = Duration::from_secs(2);

/// Forwards connections to a list of servers.
pub struct Forwarder {
    address: SocketAddr,
    servers: Vec<SocketAddr>,
    /// The server that answered last.
    preferred: AtomicUsize,
    connections_max: usize,
}

impl Forwarder {
    pub fn new(address: SocketAddr, servers: Vec<SocketAddr>) -> Arc<Self> {
        Forwarder::limited(address, servers, CONNECTIONS_MAX.min(descriptors_max() / DESCRIPTORS_PART))
    }

    fn limited(address: SocketAddr, servers: Vec<SocketAddr>, connections_max: usize) -> Arc<Self> {
        Arc::new(Forwarder { address, servers, preferred: AtomicUsize::new(0), connections_max })
    }

    /// Serves until dropped. Where another agent of this machine has the address, waits for it to
    /// end and takes over: pods reach a forwarder all the while.
    pub async fn run(self: Arc<Self>) {
        let mut told = false;
        loop {
            match self.listen().await {
                Ok(listener) => self.serve(listener).await,
                Err(error) if !told => {
                    told = true;
                    tracing::info!(address = %self.address, "another process serves this address ({error}); waiting to take over");
                }
                Err(_) => {}
            }
            tokio::time::sleep(TAKE_OVER_INTERVAL).await;
        }
    }

    /// Puts the address on the loopback interface and listens on it.
    async fn listen(&self) -> std::io::Result<Listener> {
        if !self.address.ip().is_loopback() {
            assign(self.address.ip()).await?;
        }
        Listener::bind(self.address, self.connections_max)
    }

    async fn serve(self: &Arc<Self>, mut listener: Listener) {
        while let Some(Accepted { stream, entry, .. }) = listener.next().await {
            let forwarder = self.clone();
            tokio::spawn(async move {
                tokio::select! {
                    () = forwarder.pass(stream, &entry) => {}
                    () = entry.shed() => tracing::debug!("a connection made room for another one"),
                }
            });
        }
    }

    async fn pass(&self, mut client: TcpStream, entry: &Entry) {
        let greeting = tokio::time::timeout(FIRST_BYTE_MAX, client.peek(&mut [0])).await;
        if !matches!(greeting, Ok(Ok(1..))) {
            return;
        }
        entry.heard();
        let Some(mut server) = self.connect().await else { return };
        let _ = server.set_nodelay(true);
        keep_alive(&server);
        // An error here is one side's reset: the connection is over, and both ends know.
        let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
    }

    async fn connect(&self) -> Option<TcpStream> {
        let first = self.preferred.load(Ordering::Relaxed);
        for step in 0..self.servers.len() {
            let index = (first + step) % self.servers.len();
            let attempt = tokio::time::timeout(CONNECT_TIMEOUT, TcpStream::connect(self.servers[index])).await;
            if let Ok(Ok(stream)) = attempt {
                self.preferred.store(index, Ordering::Relaxed);
                return Some(stream);
            }
        }
        None
    }
}

/// `ip address replace ADDRESS dev lo`: idempotent, and kept when the agent stops.
async fn assign(address: std::net::IpAddr) -> std::io::Result<()> {
    let output = tokio::process::Command::new("ip")
        .args(["address", "replace", &address.to_string(), "dev", "lo"])
        .output()
        .await?;
    match output.status.success() {
        true => Ok(()),
        false => Err(std::io::Error::other(String::from_utf8_lossy(&output.stderr).trim().to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    async fn echo() -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let (mut read, mut write) = stream.split();
                let _ = tokio::io::copy(&mut read, &mut write).await;
            }
        });
        address
    }

    #[tokio::test]
    async fn a_dead_server_is_passed_over() {
        let dead = {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            listener.local_addr().unwrap()
        };
        let forwarder = Forwarder::new("127.0.0.1:0".parse().unwrap(), vec![dead, echo().await]);
        let listener = forwarder.listen().await.unwrap();
        let address = listener.address();
        let task = tokio::spawn(async move { forwarder.serve(listener).await });
        for _ in 0..2 {
            assert_eq!(ping(address).await, "ping");
        }
        task.abort();
    }

    async fn ping(address: SocketAddr) -> String {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(b"ping").await.unwrap();
        stream.shutdown().await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    #[tokio::test]
    async fn silent_connections_block_no_others_and_never_reach_the_server() {
        const MAX: usize = 8;
        let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let servers = vec![server.local_addr().unwrap()];
        let forwarder = Forwarder::limited("127.0.0.1:0".parse().unwrap(), servers, MAX);
        let listener = forwarder.listen().await.unwrap();
        let address = listener.address();
        let task = tokio::spawn(async move { forwarder.serve(listener).await });
        let mut silent = Vec::new();
        for _ in 0..3 * MAX {
            silent.push(TcpStream::connect(address).await.unwrap());
        }
        let mut client = TcpStream::connect(address).await.unwrap();
        client.write_all(b"x").await.unwrap();
        let (mut accepted, _) = server.accept().await.unwrap();
        let mut byte = [0];
        accepted.read_exact(&mut byte).await.unwrap();
        assert_eq!(&byte, b"x", "the first that the server sees is the one that speaks");
        accepted.write_all(b"y").await.unwrap();
        client.read_exact(&mut byte).await.unwrap();
        assert_eq!(&byte, b"y");
        task.abort();
    }

    #[tokio::test(start_paused = true)]
    async fn who_says_nothing_is_gone_after_seconds() {
        let forwarder = Forwarder::limited("127.0.0.1:0".parse().unwrap(), vec![], 8);
        let listener = forwarder.listen().await.unwrap();
        let address = listener.address();
        let task = tokio::spawn(async move { forwarder.serve(listener).await });
        let mut silent = TcpStream::connect(address).await.unwrap();
        assert_eq!(silent.read(&mut [0]).await.unwrap(), 0);
        task.abort();
    }
}
