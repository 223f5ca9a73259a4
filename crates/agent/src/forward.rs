//! The node-local way to the API server: `kubernetes.default.svc:443` in every pod ends here.
//!
//! A TCP forwarder on the service's address, which the agent puts on the loopback interface. It
//! holds a list of servers and tries them in turn, beginning with the one that answered last.
//! TLS passes through untouched: the server's certificate covers the names.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::Semaphore;

/// Connections at the same time: some per pod of a full node.
const CONNECTIONS_MAX: usize = 1024;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// While another process has the address, it is tried again after this.
const TAKE_OVER_INTERVAL: Duration = Duration::from_secs(2);

/// Forwards connections to a list of servers.
pub struct Forwarder {
    address: SocketAddr,
    servers: Vec<SocketAddr>,
    /// The server that answered last.
    preferred: AtomicUsize,
}

impl Forwarder {
    pub fn new(address: SocketAddr, servers: Vec<SocketAddr>) -> Arc<Self> {
        Arc::new(Forwarder { address, servers, preferred: AtomicUsize::new(0) })
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
    async fn listen(&self) -> std::io::Result<TcpListener> {
        if !self.address.ip().is_loopback() {
            assign(self.address.ip()).await?;
        }
        let socket = if self.address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        socket.set_reuseaddr(true)?;
        socket.bind(self.address)?;
        socket.listen(CONNECTIONS_MAX as u32)
    }

    async fn serve(&self, listener: TcpListener) {
        let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        loop {
            let Ok(place) = places.clone().acquire_owned().await else {
                return;
            };
            let client = match listener.accept().await {
                Ok((client, _)) => client,
                Err(error) => {
                    tracing::warn!("cannot accept: {error}");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            };
            let server = self.connect().await;
            tokio::spawn(async move {
                if let Some(server) = server {
                    pass(client, server).await;
                }
                drop(place);
            });
        }
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

async fn pass(mut client: TcpStream, mut server: TcpStream) {
    let _ = client.set_nodelay(true);
    let _ = server.set_nodelay(true);
    // An error here is one side's reset: the connection is over, and both ends know.
    let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
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
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

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
        let address = listener.local_addr().unwrap();
        let task = tokio::spawn(async move { forwarder.serve(listener).await });
        for _ in 0..2 {
            let mut stream = TcpStream::connect(address).await.unwrap();
            stream.write_all(b"ping").await.unwrap();
            stream.shutdown().await.unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await.unwrap();
            assert_eq!(answer, "ping");
        }
        task.abort();
    }
}
