//! Time and randomness, through one injected handle.
//!
//! Everything in this crate that waits, measures or draws lots does it through an [`Env`], so that
//! a simulation decides what time it is and what the dice show.

use std::hash::{BuildHasher, Hasher};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use everynode_common::random::Random;
use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

/// The clock and the dice of one process, or of one simulated process.
#[derive(Clone)]
pub struct Env(Arc<Inner>);

struct Inner {
    clock: Clock,
    random: Mutex<Random>,
}

enum Clock {
    Wall,
    /// Follows tokio's clock, which a simulation runs paused; `offset_ms` are jumps of this clock.
    Simulated {
        origin: Timestamp,
        start: Instant,
        offset_ms: AtomicI64,
    },
}

impl Env {
    /// The machine's clock and a fresh seed.
    pub fn real() -> Env {
        let seed = std::collections::hash_map::RandomState::new().build_hasher().finish();
        Env::new(Clock::Wall, seed)
    }

    /// A clock that begins at `origin` and follows tokio's; dice from `seed`.
    ///
    /// Call it inside a current-thread runtime that was built with `start_paused(true)`: then time
    /// passes only when every task waits, and a run is a function of its seed.
    pub fn simulated(seed: u64, origin: Timestamp) -> Env {
        Env::new(Clock::Simulated { origin, start: Instant::now(), offset_ms: AtomicI64::new(0) }, seed)
    }

    fn new(clock: Clock, seed: u64) -> Env {
        Env(Arc::new(Inner { clock, random: Mutex::new(Random::new(seed)) }))
    }

    /// The wall-clock time.
    pub fn now(&self) -> Timestamp {
        match &self.0.clock {
            Clock::Wall => Timestamp::now(),
            Clock::Simulated { origin, start, offset_ms } => {
                let jumped = SignedDuration::from_millis(offset_ms.load(Ordering::Relaxed));
                let passed = SignedDuration::try_from(start.elapsed()).unwrap_or(SignedDuration::MAX);
                origin.checked_add(passed.saturating_add(jumped)).unwrap_or(Timestamp::MAX)
            }
        }
    }

    /// Makes a simulated wall clock jump; timers that already run do not notice. No effect on a
    /// real clock.
    pub fn jump(&self, by_ms: i64) {
        if let Clock::Simulated { offset_ms, .. } = &self.0.clock {
            offset_ms.fetch_add(by_ms, Ordering::Relaxed);
        }
    }

    /// Waits until `at`; returns at once if that has passed.
    pub async fn sleep_until(&self, at: Timestamp) {
        self.sleep(until(self.now(), at)).await;
    }

    pub async fn sleep(&self, duration: Duration) {
        tokio::time::sleep(duration).await;
    }

    /// 64 random bits; not for secrets.
    pub fn random(&self) -> u64 {
        self.0.random.lock().unwrap_or_else(PoisonError::into_inner).bits()
    }

    /// A duration between half and one and a half of `around`, so that many clients spread out.
    pub fn jitter(&self, around: Duration) -> Duration {
        around.mul_f64(0.5 + (self.random() >> 11) as f64 / (1u64 << 53) as f64)
    }
}

/// `now + after`, saturating.
pub fn later(now: Timestamp, after: Duration) -> Timestamp {
    now.checked_add(after).unwrap_or(Timestamp::MAX)
}

/// How long from `now` to `at`; zero if `at` has passed.
pub fn until(now: Timestamp, at: Timestamp) -> Duration {
    Duration::try_from(at.duration_since(now)).unwrap_or(Duration::ZERO)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn simulated_time_passes_only_while_waiting() {
        let origin: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let env = Env::simulated(1, origin);
        assert_eq!(env.now(), origin);
        env.sleep_until(later(origin, Duration::from_secs(3600))).await;
        assert_eq!(until(origin, env.now()).as_secs(), 3600);
        env.jump(-1000);
        assert_eq!(until(origin, env.now()).as_secs(), 3599);
    }

    #[tokio::test(start_paused = true)]
    async fn dice_follow_the_seed() {
        let draw = |seed| Env::simulated(seed, Timestamp::UNIX_EPOCH).random();
        assert_eq!(draw(7), draw(7));
        assert_ne!(draw(7), draw(8));
        let jittered = Env::simulated(7, Timestamp::UNIX_EPOCH).jitter(Duration::from_secs(10));
        assert!((5..15).contains(&jittered.as_secs()));
    }
}
