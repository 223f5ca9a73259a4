//! Renewing in time: waits until it is time, tries, and tries again.

use std::fmt::Display;
use std::time::Duration;

use jiff::Timestamp;

use super::Lifetime;
use crate::env::Environment;

/// The wall clock is looked at so often at least: it may be set, and a machine may sleep.
const LOOK: Duration = Duration::from_secs(600);

/// Renews for ever: `lifetime` is that of the certificate in use, `renew` puts another one in its
/// place.
pub async fn keep_renewed<Renewed, Error>(
    environment: &dyn Environment,
    what: &str,
    lifetime: impl Fn() -> Lifetime,
    mut renew: impl FnMut() -> Renewed,
) where
    Renewed: Future<Output = Result<(), Error>>,
    Error: Display,
{
    // One that is due as soon as it was issued (a clock that is far ahead) must not be renewed
    // without a pause.
    let mut earliest = Timestamp::MIN;
    loop {
        wait_until(environment, lifetime().renew_at(dice(environment)).max(earliest)).await;
        let mut failures = 0;
        while let Err(error) = renew().await {
            failures += 1;
            let until = lifetime().until;
            tracing::warn!(%error, failures, %until, "cannot renew {what}; trying again");
            let wait = lifetime().retry_after(failures, dice(environment));
            tokio::time::sleep(Duration::try_from(wait).unwrap_or_default().max(PAUSE_MIN)).await;
        }
        tracing::info!(until = %lifetime().until, "renewed {what}");
        let pause = lifetime().retry_after(1, dice(environment));
        earliest = environment.now().checked_add(pause).unwrap_or(Timestamp::MAX);
    }
}

/// Nothing is repeated faster, whatever a certificate says.
const PAUSE_MIN: Duration = Duration::from_millis(50);

async fn wait_until(environment: &dyn Environment, at: Timestamp) {
    tokio::time::sleep(PAUSE_MIN).await;
    while let Ok(left) = Duration::try_from(at.duration_since(environment.now()))
        && !left.is_zero()
    {
        tokio::time::sleep(left.min(LOOK)).await;
    }
}

/// A number between 0 and 1.
fn dice(environment: &dyn Environment) -> f64 {
    let mut bytes = [0; 4];
    environment.fill(&mut bytes);
    f64::from(u32::from_le_bytes(bytes)) / f64::from(u32::MAX)
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use jiff::SignedDuration;
    use tokio::time::Instant;

    use super::*;

    /// tokio's paused clock as the wall clock, and dice that always show the middle.
    struct Simulated(Instant);

    impl Environment for Simulated {
        fn now(&self) -> Timestamp {
            Timestamp::UNIX_EPOCH + SignedDuration::try_from(self.0.elapsed()).unwrap()
        }

        fn fill(&self, bytes: &mut [u8]) {
            bytes.fill(0x7f);
        }
    }

    const DAY: SignedDuration = SignedDuration::from_hours(24);

    /// Runs for so many days and answers the days on which it was tried; attempts with these
    /// numbers fail.
    async fn tried(days: i64, fail: impl Fn(usize) -> bool) -> Vec<f64> {
        let environment = Simulated(Instant::now());
        let fresh = || Lifetime { from: environment.now(), until: environment.now() + DAY * 300 };
        let (current, tried) = (Mutex::new(fresh()), Mutex::new(Vec::new()));
        let renew = || {
            let mut tried = tried.lock().unwrap();
            tried.push(environment.now().as_second() as f64 / 86_400.0);
            let failed = fail(tried.len());
            if !failed {
                *current.lock().unwrap() = fresh();
            }
            async move { if failed { Err("no") } else { Ok(()) } }
        };
        let life = || *current.lock().unwrap();
        let limit = Duration::try_from(DAY * i32::try_from(days).unwrap()).unwrap();
        let renewing = keep_renewed(&environment, "a certificate", life, renew);
        assert!(tokio::time::timeout(limit, renewing).await.is_err(), "it never ends");
        tried.into_inner().unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn each_is_renewed_with_less_than_a_third_left() {
        let days = tried(1_000, |_| false).await;
        assert_eq!(days.len(), 4);
        let lives: Vec<f64> = days.iter().scan(0.0, |last, day| Some(day - std::mem::replace(last, *day))).collect();
        assert!(lives.iter().all(|days| (200.0..=230.0).contains(days)), "{lives:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_failure_is_tried_again_slower_and_slower_until_it_works() {
        let days = tried(260, |attempt| attempt <= 20).await;
        assert_eq!(days.len(), 21);
        let pauses: Vec<f64> = days.windows(2).map(|pair| (pair[1] - pair[0]) * 86_400.0).collect();
        assert!(pauses[0] < 31.0 && pauses.windows(2).all(|pair| pair[0] <= pair[1] + 2.0), "{pauses:?}");
        assert!(pauses.iter().all(|seconds| *seconds <= 3_600.0), "{pauses:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_never_good_is_not_tried_without_a_pause() {
        let environment = Simulated(Instant::now());
        let over = || Lifetime { from: Timestamp::MIN, until: Timestamp::UNIX_EPOCH };
        let tries = Mutex::new(0);
        let renew = || {
            *tries.lock().unwrap() += 1;
            async { Ok::<(), &str>(()) }
        };
        let minute = Duration::from_secs(60);
        let _ended = tokio::time::timeout(minute, keep_renewed(&environment, "it", over, renew)).await;
        let tries = tries.into_inner().unwrap();
        assert!((2..=5).contains(&tries), "{tries}");
    }
}
