//! What the system gives a process, and asks of a socket.

use std::os::fd::AsFd;
use std::time::Duration;

use rustix::net::sockopt;
use rustix::process::{Resource, getrlimit};

/// A peer that has said nothing for so long is asked whether it is there …
const PROBE_AFTER: Duration = Duration::from_secs(60);
/// … this often …
const PROBE_EVERY: Duration = Duration::from_secs(10);
/// … and so many times: then the connection is over.
const PROBES: u32 = 3;
/// Where nothing limits the files of a process.
const UNLIMITED: u64 = 1 << 20;

/// How many files and sockets this process may have open at once.
pub fn descriptors_max() -> usize {
    usize::try_from(getrlimit(Resource::Nofile).current.unwrap_or(UNLIMITED).min(UNLIMITED)).unwrap_or(usize::MAX)
}

/// Lets the kernel find out when the peer is gone without a word, as a machine that lost its power.
pub fn keep_alive(socket: impl AsFd) {
    let socket = socket.as_fd();
    let set = || {
        sockopt::set_tcp_keepidle(socket, PROBE_AFTER)?;
        sockopt::set_tcp_keepintvl(socket, PROBE_EVERY)?;
        sockopt::set_tcp_keepcnt(socket, PROBES)?;
        sockopt::set_socket_keepalive(socket, true)
    };
    if let Err(error) = set() {
        tracing::debug!(%error, "a connection cannot be kept alive");
    }
}
