//! Accepting connections: at once, whatever else is busy, so that the kernel's short queue does not
//! overflow. What it drops comes back after seconds only.

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinSet;

use crate::descriptors::keep_alive;
use crate::table::{Id, Table};

/// Connections that the kernel keeps until they are accepted; it has a bound of its own
/// (`net.core.somaxconn`).
const BACKLOG: u32 = 4_096;
/// Out of file descriptors: give the connections that end a moment.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// Out of file descriptors: so many connections of strangers are closed at a time.
const SHED_AT_ONCE: usize = 16;

/// The connections of a listener.
pub struct Connections {
    table: Mutex<Table>,
    endings: Mutex<std::collections::HashMap<Id, Arc<Notify>>>,
    shed: AtomicU64,
    refused: AtomicU64,
}

impl Connections {
    /// At most so many at once; each takes a file descriptor.
    pub fn new(max: usize) -> Arc<Connections> {
        Arc::new(Connections {
            table: Mutex::new(Table::new(max)),
            endings: Mutex::default(),
            shed: AtomicU64::default(),
            refused: AtomicU64::default(),
        })
    }

    /// How many there are.
    pub fn open(&self) -> usize {
        lock(&self.table).len()
    }

    /// How many were closed to make room.
    pub fn shed_total(&self) -> u64 {
        self.shed.load(Ordering::Relaxed)
    }

    /// How many were closed at once because there was no room.
    pub fn refused_total(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    /// Enters a new connection.
    fn enter(self: &Arc<Self>, peer: SocketAddr) -> Option<Entry> {
        let Some((id, closed)) = lock(&self.table).open(peer.ip()) else {
            self.refused.fetch_add(1, Ordering::Relaxed);
            return None;
        };
        let ending = Arc::new(Notify::new());
        lock(&self.endings).insert(id, ending.clone());
        if let Some(closed) = closed {
            self.end(closed);
        }
        Some(Entry { connections: self.clone(), id, ending })
    }

    fn end(&self, id: Id) {
        self.shed.fetch_add(1, Ordering::Relaxed);
        if let Some(ending) = lock(&self.endings).get(&id) {
            ending.notify_one();
        }
    }

    /// Ends some connections of strangers.
    fn make_room(&self) {
        for _ in 0..SHED_AT_ONCE {
            let Some(id) = lock(&self.table).shed() else { return };
            self.end(id);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A connection's entry; drop it when the connection has ended.
pub struct Entry {
    connections: Arc<Connections>,
    id: Id,
    ending: Arc<Notify>,
}

impl Entry {
    /// The client has said something.
    pub fn heard(&self) {
        lock(&self.connections.table).heard(self.id);
    }

    /// The client is known: the connection is no longer closed for others.
    pub fn known(&self) {
        lock(&self.connections.table).known(self.id);
    }

    /// Returns when the connection must end to make room for another one.
    pub async fn shed(&self) {
        self.ending.notified().await;
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        lock(&self.connections.endings).remove(&self.id);
        lock(&self.connections.table).close(self.id);
    }
}

/// A bound address whose connections are accepted from now on; they are served once they are taken.
pub struct Listener {
    address: SocketAddr,
    connections: Arc<Connections>,
    accepted: mpsc::UnboundedReceiver<Accepted>,
    /// Accepts; ends with this value.
    accepting: JoinSet<()>,
}

/// A connection that nothing has been read from.
pub struct Accepted {
    pub stream: TcpStream,
    pub peer: SocketAddr,
    pub entry: Entry,
}

impl Listener {
    /// Listens on an address, for at most so many connections at once. Call it inside a tokio
    /// runtime.
    ///
    /// # Errors
    /// The address cannot be had.
    pub fn bind(address: SocketAddr, connections_max: usize) -> io::Result<Listener> {
        let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        let listener = socket.listen(BACKLOG)?;
        let address = listener.local_addr()?;
        let connections = Connections::new(connections_max);
        let (sender, accepted) = mpsc::unbounded_channel();
        let mut accepting = JoinSet::new();
        accepting.spawn(accept(listener, connections.clone(), sender));
        Ok(Listener { address, connections, accepted, accepting })
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn connections(&self) -> &Arc<Connections> {
        &self.connections
    }

    /// The next connection; `None`: the address is lost.
    pub async fn next(&mut self) -> Option<Accepted> {
        self.accepted.recv().await
    }

    /// Gives the address free; connections that were not taken are closed.
    pub async fn close(mut self) {
        self.accepting.shutdown().await;
    }
}

async fn accept(listener: TcpListener, connections: Arc<Connections>, accepted: mpsc::UnboundedSender<Accepted>) {
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                // Without an entry it is closed: to leave it to the kernel would keep others out.
                let Some(entry) = connections.enter(peer) else { continue };
                // Small answers are wanted at once.
                let _ = stream.set_nodelay(true);
                keep_alive(&stream);
                if accepted.send(Accepted { stream, peer, entry }).is_err() {
                    return;
                }
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                connections.make_room();
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::task::Poll;

    use super::*;

    async fn is_shed(entry: &Entry) -> bool {
        let mut shed = std::pin::pin!(entry.shed());
        std::future::poll_fn(|context| Poll::Ready(shed.as_mut().poll(context).is_ready())).await
    }

    #[tokio::test]
    async fn a_new_connection_takes_a_strangers_place_and_nobodys_who_is_known() {
        let mut listener = Listener::bind("127.0.0.1:0".parse().unwrap(), 2).unwrap();
        let connect = || TcpStream::connect(listener.address());
        let (a, _b) = (connect().await.unwrap(), connect().await.unwrap());
        let (first, second) = (listener.next().await.unwrap(), listener.next().await.unwrap());
        assert_eq!(first.peer, a.local_addr().unwrap());
        first.entry.known();
        let _c = TcpStream::connect(listener.address()).await.unwrap();
        let third = listener.next().await.unwrap();
        assert!(is_shed(&second.entry).await && !is_shed(&first.entry).await);
        drop(second);
        third.entry.known();
        let mut d = TcpStream::connect(listener.address()).await.unwrap();
        let read = tokio::io::AsyncReadExt::read(&mut d, &mut [0; 1]).await;
        assert!(matches!(read, Ok(0) | Err(_)), "there is no room: it is closed at once");
        let connections = listener.connections().clone();
        assert_eq!((connections.open(), connections.shed_total(), connections.refused_total()), (2, 1, 1));
        drop((first, third));
        assert_eq!(connections.open(), 0);
        let address = listener.address();
        listener.close().await;
        assert!(TcpStream::connect(address).await.is_err(), "nobody listens any more");
    }

    #[tokio::test]
    async fn without_descriptors_strangers_make_room() {
        let connections = Connections::new(10);
        let peer = "127.0.0.1:1".parse().unwrap();
        let (known, stranger) = (connections.enter(peer).unwrap(), connections.enter(peer).unwrap());
        known.known();
        connections.make_room();
        assert!(is_shed(&stranger).await && !is_shed(&known).await);
    }
}
