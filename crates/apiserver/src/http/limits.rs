//! How much of the server clients may take, in number, bytes and time.

use std::time::Duration;

use super::class::{CLASSES, Class};
use super::quota;

const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;

/// Bounds of what clients may do; the default is what everynode runs with, others are for tests.
#[derive(Clone, Debug)]
pub struct Limits {
    /// A request's body is there after so long, and [`Limits::body_bytes_per_second`] for what
    /// comes later.
    pub body_grace: Duration,
    /// The slowest that a body may come.
    pub body_bytes_per_second: usize,
    /// Of a body that is not needed, the next part comes within this, or the answer is sent without
    /// it.
    pub drain_pause: Duration,
    /// No request waits longer for a place.
    pub wait: Duration,
    /// A connection's first request has come after so long.
    pub first_request: Duration,
    /// How often connections are looked at. An answer that its client has not begun to take, or not
    /// gone on taking, for one to two of these ends the connection.
    pub interval: Duration,
    /// A connection whose client is not known, and that has no request, lives on for so many
    /// intervals.
    pub idle_intervals_stranger: u32,
    /// The same of a client that has shown a certificate.
    pub idle_intervals_known: u32,
    /// Over HTTP/1, the head of the next request of a stranger has come after so long.
    pub head_stranger: Duration,
    /// The same of a client that has shown a certificate: longer than what client libraries keep a
    /// connection for (90 s), so that the client closes it, and not the server in the moment in
    /// which the client uses it.
    pub head_known: Duration,
    /// Over HTTP/2, a peer that has said nothing for so long is asked whether it is there …
    pub ping_after: Duration,
    /// … and has so long to say so.
    pub ping_timeout: Duration,
    /// Of each class, in the order of [`Class::ALL`].
    pub(crate) classes: [ClassLimits; CLASSES],
}

/// The share of a class.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ClassLimits {
    /// Requests served at once.
    pub(crate) places: usize,
    /// Requests that wait for a place.
    pub(crate) waiting: quota::Limits,
    /// Watches, logs and streams.
    pub(crate) long_running: quota::Limits,
    /// Bytes of bodies that are being read, or whose requests are not answered yet.
    pub(crate) body_bytes: quota::Limits,
    /// Bytes of answers that their clients have not taken yet.
    pub(crate) answer_bytes: quota::Limits,
    /// Connections of clients that are known.
    pub(crate) connections: quota::Limits,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            body_grace: Duration::from_secs(10),
            // A body of 3 MiB has a minute.
            body_bytes_per_second: 64 * KIB,
            drain_pause: Duration::from_secs(1),
            wait: Duration::from_secs(15),
            first_request: Duration::from_secs(10),
            interval: Duration::from_secs(30),
            idle_intervals_stranger: 1,
            idle_intervals_known: 6,
            head_stranger: Duration::from_secs(30),
            head_known: Duration::from_secs(100),
            ping_after: Duration::from_secs(30),
            ping_timeout: Duration::from_secs(20),
            classes: Class::ALL.map(ClassLimits::of),
        }
    }
}

impl Limits {
    pub(crate) fn of(&self, class: Class) -> &ClassLimits {
        &self.classes[class as usize]
    }
}

/// Limits for all clients of a class, and for each of them.
const fn limits(all: usize, each: usize) -> quota::Limits {
    quota::Limits { all, each }
}

impl ClassLimits {
    /// On two cores more places cost memory and time to wait for a core: a write waits for the disk
    /// with many others. Every connection of the largest fleet may have a request waiting. Bodies
    /// of all classes together take 328 MiB at the worst; each client may send at least one of the
    /// largest. One administrator may be a fleet of simulated nodes.
    fn of(class: Class) -> ClassLimits {
        let none = limits(0, 0);
        match class {
            Class::Leaders => ClassLimits {
                places: 50,
                waiting: limits(500, 50),
                long_running: limits(100, 50),
                body_bytes: limits(8 * MIB, 4 * MIB),
                answer_bytes: limits(8 * MIB, 4 * MIB),
                connections: none,
            },
            Class::Heartbeats => ClassLimits {
                places: 200,
                waiting: limits(20_000, 20),
                long_running: none,
                body_bytes: limits(64 * MIB, 4 * MIB),
                answer_bytes: limits(64 * MIB, 4 * MIB),
                connections: none,
            },
            Class::Nodes => ClassLimits {
                places: 300,
                waiting: limits(20_000, 500),
                long_running: limits(40_000, 1_000),
                body_bytes: limits(64 * MIB, 8 * MIB),
                answer_bytes: limits(256 * MIB, 32 * MIB),
                connections: limits(60_000, 1_000),
            },
            Class::Controllers => ClassLimits {
                places: 1_000,
                waiting: limits(20_000, 20_000),
                long_running: limits(40_000, 40_000),
                body_bytes: limits(128 * MIB, 64 * MIB),
                answer_bytes: limits(512 * MIB, 256 * MIB),
                connections: limits(60_000, 60_000),
            },
            Class::Everybody => ClassLimits {
                places: 200,
                waiting: limits(4_000, 500),
                long_running: limits(10_000, 1_000),
                body_bytes: limits(64 * MIB, 16 * MIB),
                answer_bytes: limits(128 * MIB, 32 * MIB),
                connections: limits(4_000, 500),
            },
        }
    }
}
