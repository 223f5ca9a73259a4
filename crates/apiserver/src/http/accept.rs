//! The address that the API is served on.

use std::io;
use std::net::SocketAddr;

use everynode_listen::{Accepted, Connections, descriptors_max};

/// More connections than the largest fleet has, of those that one process serves.
const CONNECTIONS_MAX: usize = 60_000;
/// Of the files that the process may open, the API's connections have so many eighths; the rest is
/// for the store, for streams to agents and, in `everynode up`, for the agent.
const DESCRIPTORS_EIGHTHS: usize = 5;

/// A bound address whose connections are accepted from now on; they are served once the server
/// serves.
pub struct Listener(everynode_listen::Listener);

impl Listener {
    /// Listens on an address, for as many connections as the process may have files. Call it inside
    /// a tokio runtime.
    ///
    /// # Errors
    /// The address cannot be had.
    pub fn bind(address: SocketAddr) -> io::Result<Listener> {
        Listener::limited(address, CONNECTIONS_MAX.min(descriptors_max() / 8 * DESCRIPTORS_EIGHTHS))
    }

    /// The same, for at most so many connections at once.
    ///
    /// # Errors
    /// The address cannot be had.
    pub fn limited(address: SocketAddr, connections_max: usize) -> io::Result<Listener> {
        everynode_listen::Listener::bind(address, connections_max).map(Listener)
    }

    pub fn address(&self) -> SocketAddr {
        self.0.address()
    }

    pub(crate) fn connections(&self) -> &std::sync::Arc<Connections> {
        self.0.connections()
    }

    /// The next connection.
    pub(crate) async fn next(&mut self) -> Option<Accepted> {
        self.0.next().await
    }

    /// Gives the address free; connections that were not taken are closed.
    pub(crate) async fn close(self) {
        self.0.close().await;
    }
}
