//! Numbers about the machinery itself: work queues as client-go names them (DS-F18), and counters
//! of what went wrong. Plain values with a text renderer; the binary exposes them.

use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Upper bounds of client-go's work queue histograms, in seconds: 10 ns to 1000 s.
const BOUNDS_SECONDS: [f64; 12] = [1e-8, 1e-7, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0, 100.0, 1000.0];

/// A histogram with fixed bounds.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Histogram {
    buckets: [u64; BOUNDS_SECONDS.len()],
    count: u64,
    sum_seconds: f64,
}

impl Histogram {
    pub(crate) fn observe(&mut self, value: Duration) {
        let seconds = value.as_secs_f64();
        if let Some(index) = BOUNDS_SECONDS.iter().position(|bound| seconds <= *bound) {
            self.buckets[index] += 1;
        }
        self.count += 1;
        self.sum_seconds += seconds;
    }

    /// How many values were observed.
    pub fn count(&self) -> u64 {
        self.count
    }

    fn render(&self, out: &mut String, name: &str, labels: &str) {
        let mut below = 0;
        for (bound, count) in BOUNDS_SECONDS.iter().zip(self.buckets) {
            below += count;
            let _ = writeln!(out, "{name}_bucket{{{labels},le=\"{bound}\"}} {below}");
        }
        let _ = writeln!(out, "{name}_bucket{{{labels},le=\"+Inf\"}} {}", self.count);
        let _ = writeln!(out, "{name}_sum{{{labels}}} {}", self.sum_seconds);
        let _ = writeln!(out, "{name}_count{{{labels}}} {}", self.count);
    }
}

/// The numbers of one work queue at one moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct QueueNumbers {
    pub adds_total: u64,
    pub retries_total: u64,
    pub depth: usize,
    pub queue_duration: Histogram,
    pub work_duration: Histogram,
    pub unfinished_work_seconds: f64,
    pub longest_running_processor_seconds: f64,
}

/// Renders work queues in the Prometheus text format, one block per metric.
pub fn render_queues(queues: &[(&str, QueueNumbers)]) -> String {
    let mut out = String::new();
    let mut scalar = |name: &str, kind: &str, value: &dyn Fn(&QueueNumbers) -> f64| {
        let _ = writeln!(out, "# TYPE workqueue_{name} {kind}");
        for (queue, numbers) in queues {
            let _ = writeln!(out, "workqueue_{name}{{name=\"{queue}\"}} {}", value(numbers));
        }
    };
    scalar("adds_total", "counter", &|numbers| numbers.adds_total as f64);
    scalar("retries_total", "counter", &|numbers| numbers.retries_total as f64);
    scalar("depth", "gauge", &|numbers| numbers.depth as f64);
    scalar("unfinished_work_seconds", "gauge", &|numbers| numbers.unfinished_work_seconds);
    scalar("longest_running_processor_seconds", "gauge", &|numbers| numbers.longest_running_processor_seconds);
    for (name, pick) in HISTOGRAMS {
        let _ = writeln!(out, "# TYPE {name} histogram");
        for (queue, numbers) in queues {
            pick(numbers).render(&mut out, name, &format!("name=\"{queue}\""));
        }
    }
    out
}

type Pick = fn(&QueueNumbers) -> &Histogram;
const HISTOGRAMS: [(&str, Pick); 2] = [
    ("workqueue_queue_duration_seconds", |numbers| &numbers.queue_duration),
    ("workqueue_work_duration_seconds", |numbers| &numbers.work_duration),
];

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident;)*) => {
        /// Counters of one process; all start at zero and only grow.
        #[derive(Debug, Default)]
        pub struct Counters { $($(#[$doc])* pub $name: AtomicU64,)* }

        impl Counters {
            /// Renders in the Prometheus text format as `everynode_NAME`.
            pub fn render(&self) -> String {
                let mut out = String::new();
                $(let _ = writeln!(
                    out,
                    concat!("# TYPE everynode_", stringify!($name), " counter\neverynode_", stringify!($name), " {}"),
                    self.$name.load(Ordering::Relaxed)
                );)*
                out
            }
        }
    };
}

counters! {
    /// Objects from the server that could not be decoded.
    decode_errors_total;
    /// Complete lists that an informer took.
    lists_total;
    /// Watches that an informer opened.
    watches_total;
    /// Plans that were made.
    plans_total;
    /// Plans that were thrown away because an audit found fault.
    audit_violations_total;
    /// Plans that panicked.
    panics_total;
    /// Writes that the server carried out.
    writes_total;
    /// Writes that failed.
    write_errors_total;
    /// Writes whose outcome had to be looked up.
    unknown_outcomes_total;
    /// Creates whose name was taken.
    collisions_total;
    /// Plans put off because the cache had not caught up with the key's own writes.
    stale_sync_skips_total;
    /// Lists taken because the cache did not catch up in time.
    stale_relists_total;
    /// Events that were written.
    events_written_total;
    /// Events that were dropped: rate limit, full queue, or the server refused them.
    events_dropped_total;
}

/// Adds one.
pub(crate) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn renders_as_client_go_names_them() {
        // DS-F18
        let mut numbers = QueueNumbers { adds_total: 3, ..QueueNumbers::default() };
        numbers.work_duration.observe(Duration::from_millis(2));
        let text = render_queues(&[("daemonset", numbers)]);
        for line in [
            "workqueue_adds_total{name=\"daemonset\"} 3",
            "workqueue_depth{name=\"daemonset\"} 0",
            "workqueue_work_duration_seconds_bucket{name=\"daemonset\",le=\"0.001\"} 0",
            "workqueue_work_duration_seconds_bucket{name=\"daemonset\",le=\"0.01\"} 1",
            "workqueue_work_duration_seconds_bucket{name=\"daemonset\",le=\"+Inf\"} 1",
            "workqueue_work_duration_seconds_count{name=\"daemonset\"} 1",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
        }
    }

    #[test]
    fn counters_render_by_name() {
        let counters = Counters::default();
        count(&counters.writes_total);
        assert!(counters.render().contains("\neverynode_writes_total 1\n"));
    }
}
