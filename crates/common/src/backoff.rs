//! Delays that double.

use std::time::Duration;

/// The delay after so many earlier failures in a row: `first`, then twice as long each time, and
/// never more than `longest`.
#[must_use]
pub fn doubled(first: Duration, failures: u32, longest: Duration) -> Duration {
    first.saturating_mul(1u32.checked_shl(failures).unwrap_or(u32::MAX)).min(longest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_up_to_the_longest() {
        let delay = |failures| doubled(Duration::from_millis(5), failures, Duration::from_secs(1000)).as_millis();
        assert_eq!([delay(0), delay(1), delay(4)], [5, 10, 80]);
        assert_eq!(
            [delay(17), delay(18), delay(31), delay(32), delay(u32::MAX)],
            [655_360, 1_000_000, 1_000_000, 1_000_000, 1_000_000]
        );
    }
}
