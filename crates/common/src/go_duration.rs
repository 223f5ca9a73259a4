//! Durations as Go prints them, for messages that users know from Kubernetes.

use std::time::Duration;

/// Whole seconds: `10s`, `1m30s`, `1h0m0s`.
#[must_use]
pub fn whole_seconds(duration: Duration) -> String {
    let (seconds, minutes) = (duration.as_secs() % 60, duration.as_secs() / 60);
    match (minutes / 60, minutes % 60) {
        (0, 0) => format!("{seconds}s"),
        (0, minutes) => format!("{minutes}m{seconds}s"),
        (hours, minutes) => format!("{hours}h{minutes}m{seconds}s"),
    }
}

/// Milliseconds of a short duration: `812ms`, `1.204s`.
#[must_use]
pub fn milliseconds(duration: Duration) -> String {
    match duration.as_millis() {
        millis if millis < 1000 => format!("{millis}ms"),
        millis => format!("{}.{:03}s", millis / 1000, millis % 1000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts() {
        let seconds = |seconds| whole_seconds(Duration::from_secs(seconds));
        assert_eq!([seconds(0), seconds(10), seconds(90)], ["0s", "10s", "1m30s"]);
        assert_eq!([seconds(300), seconds(3600)], ["5m0s", "1h0m0s"]);
        let millis = |millis| milliseconds(Duration::from_millis(millis));
        assert_eq!([millis(0), millis(812), millis(1204)], ["0ms", "812ms", "1.204s"]);
    }
}
