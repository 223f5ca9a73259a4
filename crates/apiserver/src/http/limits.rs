//! How much of the server clients may take, in number, bytes and time.

use std::time::Duration;

use super::class::{CLASSES, Class};
use super::quota;

const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;

/// Bounds of what clients may do; the default is what everynode runs with, others are for tests.
#[derive(Clone, Debug)]
pub struct Limits {
    /// A request's body is there after so long, and [`Limits::body_bytes_per_second`] for what comes later.
    pub body_grace: Duration,
    /// The slowest that a body may come.
    pub body_bytes_per_second: usize,
    /// Nobody waits longer for a place.
    pub wait: Duration,
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
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            body_grace: Duration::from_secs(10),
            // A body of 3 MiB has a minute.
            body_bytes_per_second: 64 * KIB,
            wait: Duration::from_secs(15),
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
    /// On two cores more places cost memory and time to wait for a core: a write waits for the disk with many others. Every
    /// connection of the largest fleet may have a request waiting. Bodies of all classes together take 320 MiB at the worst; each
    /// client may send at least one of the largest.
    fn of(class: Class) -> ClassLimits {
        let (places, waiting, long_running, body_bytes) = match class {
            Class::Leaders => (50, limits(500, 50), limits(100, 50), limits(8 * MIB, 4 * MIB)),
            Class::Heartbeats => (200, limits(20_000, 20), limits(0, 0), limits(64 * MIB, 4 * MIB)),
            Class::Nodes => (300, limits(20_000, 500), limits(40_000, 1_000), limits(64 * MIB, 8 * MIB)),
            // One administrator may be a fleet of simulated nodes.
            Class::Controllers => (1_000, limits(20_000, 20_000), limits(40_000, 40_000), limits(128 * MIB, 64 * MIB)),
            Class::Everybody => (200, limits(4_000, 500), limits(10_000, 1_000), limits(64 * MIB, 16 * MIB)),
        };
        ClassLimits { places, waiting, long_running, body_bytes }
    }
}
