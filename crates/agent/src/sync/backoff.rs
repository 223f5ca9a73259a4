//! Exponential delays as data.

use jiff::{SignedDuration, Timestamp};

/// First delay and ceiling of restarts and pulls (DS-H10, DS-H11).
pub(super) const CRASH: (SignedDuration, SignedDuration) =
    (SignedDuration::from_secs(10), SignedDuration::from_secs(300));
/// Of work that usually succeeds at the next try: volumes, sandboxes, clean-up.
pub(super) const RETRY: (SignedDuration, SignedDuration) =
    (SignedDuration::from_millis(500), SignedDuration::from_secs(10));

/// A delay that doubles with every step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Backoff {
    pub delay: SignedDuration,
    /// When the last step was taken.
    pub last: Timestamp,
}

impl Backoff {
    /// The step after `earlier`. `event` is when the thing failed: if that is more than twice the
    /// ceiling after the last step, it had been well and the delay starts anew (DS-H10).
    pub fn next(
        earlier: Option<Backoff>,
        event: Timestamp,
        now: Timestamp,
        (first, ceiling): (SignedDuration, SignedDuration),
    ) -> Backoff {
        let doubled = |earlier: Backoff| earlier.delay.saturating_add(earlier.delay).min(ceiling);
        let delay = match earlier {
            Some(earlier) if event.duration_since(earlier.last) <= ceiling.saturating_add(ceiling) => doubled(earlier),
            _ => first,
        };
        Backoff { delay, last: now }
    }

    /// Until when to wait after a failure at `event`.
    pub fn until(self, event: Timestamp, ceiling: SignedDuration) -> Timestamp {
        if event.duration_since(self.last) > ceiling.saturating_add(ceiling) {
            return event;
        }
        event.saturating_add(self.delay).unwrap_or(Timestamp::MAX)
    }
}

#[cfg(test)]
mod tests {
    use everynode_common::go_duration;

    use super::*;

    /// DS-H10: 10 s doubling to 300 s, anew after ten good minutes.
    #[test]
    fn doubles_and_starts_anew() {
        let at = |seconds: i64| Timestamp::from_second(seconds).unwrap();
        let mut backoff = None;
        let mut printed = Vec::new();
        for step in 0..7 {
            backoff = Some(Backoff::next(backoff, at(step * 300), at(step * 300), CRASH));
            printed.push(go_duration::whole_seconds(backoff.unwrap().delay.unsigned_abs()));
        }
        assert_eq!(printed, ["10s", "20s", "40s", "1m20s", "2m40s", "5m0s", "5m0s"]);
        let late = at(6 * 300 + 601);
        assert_eq!(backoff.unwrap().until(late, CRASH.1), late);
        assert_eq!(Backoff::next(backoff, late, late, CRASH).delay, CRASH.0);
    }
}
