//! Accepting connections: at once, whatever else is busy, so that the kernel's short queue does not overflow. What it drops
//! comes back after seconds only.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::JoinSet;

/// Connections that the kernel keeps until they are accepted; it has a bound of its own (`net.core.somaxconn`).
const BACKLOG: u32 = 4_096;
/// Connections that are accepted and not through their handshake yet. More than the largest fleet: the rest waits in the
/// kernel. Each takes a file descriptor and some KB.
const PENDING_MAX: usize = 20_000;
/// Out of file descriptors: give the connections that end a moment.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// A bound address whose connections are accepted from now on; they are served once the server serves.
pub struct Listener {
    address: SocketAddr,
    accepted: mpsc::UnboundedReceiver<Accepted>,
    /// Accepts; ends with this value.
    accepting: JoinSet<()>,
}

/// A connection that nothing has been read from.
pub(crate) struct Accepted {
    pub(crate) stream: TcpStream,
    pub(crate) peer: SocketAddr,
    /// Held until the connection is through its handshake.
    pub(crate) place: OwnedSemaphorePermit,
}

impl Listener {
    /// Listens on an address. Call it inside a tokio runtime.
    ///
    /// # Errors
    /// The address cannot be had.
    pub fn bind(address: SocketAddr) -> io::Result<Listener> {
        let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        Listener::new(socket.listen(BACKLOG)?)
    }

    /// Accepts from a socket that listens already. Call it inside a tokio runtime.
    ///
    /// # Errors
    /// It has no address.
    pub fn new(listener: TcpListener) -> io::Result<Listener> {
        Listener::limited(listener, PENDING_MAX)
    }

    fn limited(listener: TcpListener, pending_max: usize) -> io::Result<Listener> {
        let address = listener.local_addr()?;
        let (sender, accepted) = mpsc::unbounded_channel();
        let mut accepting = JoinSet::new();
        accepting.spawn(accept(listener, Arc::new(Semaphore::new(pending_max)), sender));
        Ok(Listener { address, accepted, accepting })
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The next connection.
    pub(crate) async fn next(&mut self) -> Option<Accepted> {
        self.accepted.recv().await
    }

    /// Gives the address free; connections that nobody took are closed.
    pub(crate) async fn close(mut self) {
        self.accepting.shutdown().await;
    }
}

async fn accept(listener: TcpListener, places: Arc<Semaphore>, accepted: mpsc::UnboundedSender<Accepted>) {
    loop {
        let Ok(place) = places.clone().acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, peer)) => {
                if accepted.send(Accepted { stream, peer, place }).is_err() {
                    return;
                }
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn no_more_are_accepted_than_there_are_places() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut listener = Listener::limited(listener, 2).unwrap();
        let mut clients = Vec::new();
        for _ in 0..3 {
            // The kernel answers, whoever accepts.
            clients.push(TcpStream::connect(listener.address()).await.unwrap());
        }
        let (first, _second) = (listener.next().await.unwrap(), listener.next().await.unwrap());
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
        assert!(listener.accepted.try_recv().is_err(), "the third one waits");
        assert_eq!(first.peer, clients[0].local_addr().unwrap());
        drop(first.place);
        assert_eq!(listener.next().await.unwrap().peer, clients[2].local_addr().unwrap());
        let address = listener.address();
        listener.close().await;
        assert!(TcpStream::connect(address).await.is_err(), "nobody listens any more");
    }
}
