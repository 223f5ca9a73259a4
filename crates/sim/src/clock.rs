//! The server's time and randomness.

use std::fmt;
use std::sync::Arc;

use everynode_apiserver::Environment;
use everynode_runtime::Env;
use everynode_store::Clock;
use jiff::Timestamp;

/// When every simulated world begins: 2026-01-01T00:00:00Z.
pub(crate) fn origin() -> Timestamp {
    Timestamp::from_second(1_767_225_600).unwrap_or_default()
}

/// A simulated clock in the forms that server and store ask for.
#[derive(Clone)]
pub(crate) struct ServerClock(pub Env);

impl fmt::Debug for ServerClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ServerClock({})", self.0.now())
    }
}

impl Clock for ServerClock {
    fn now_ms(&self) -> u64 {
        u64::try_from(self.0.now().as_millisecond()).unwrap_or(0)
    }
}

impl Environment for ServerClock {
    fn now(&self) -> Timestamp {
        self.0.now()
    }

    fn fill(&self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            chunk.copy_from_slice(&self.0.random().to_le_bytes()[..chunk.len()]);
        }
    }
}

/// The clock as an environment of the server.
pub(crate) fn environment(clock: &ServerClock) -> Arc<dyn Environment> {
    Arc::new(clock.clone())
}
