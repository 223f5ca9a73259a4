//! A histogram in Prometheus' text form.

use std::fmt::Write;

/// Counts of values below each of some bounds.
pub(crate) struct Histogram {
    bounds: &'static [f64],
    /// How many values were at most the bound, for each.
    buckets: Vec<u64>,
    count: u64,
    sum: f64,
}

impl Histogram {
    pub(crate) fn new(bounds: &'static [f64]) -> Histogram {
        Histogram { bounds, buckets: vec![0; bounds.len()], count: 0, sum: 0.0 }
    }

    pub(crate) fn observe(&mut self, value: f64) {
        for (bucket, bound) in self.buckets.iter_mut().zip(self.bounds) {
            *bucket += u64::from(value <= *bound);
        }
        self.count += 1;
        self.sum += value;
    }

    /// Its lines; `labels` is empty or `a="1",b="2"`.
    pub(crate) fn write(&self, out: &mut String, name: &str, labels: &str) {
        let comma = if labels.is_empty() { "" } else { "," };
        for (bound, count) in self.bounds.iter().zip(&self.buckets) {
            let _ = writeln!(out, "{name}_bucket{{{labels}{comma}le=\"{bound}\"}} {count}");
        }
        let _ = writeln!(out, "{name}_bucket{{{labels}{comma}le=\"+Inf\"}} {}", self.count);
        let labels = if labels.is_empty() { String::new() } else { format!("{{{labels}}}") };
        let _ = writeln!(out, "{name}_sum{labels} {}\n{name}_count{labels} {}", self.sum, self.count);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_count_everything_below_them() {
        let mut histogram = Histogram::new(&[1.0, 2.5]);
        [0.5, 2.0, 7.0].iter().for_each(|value| histogram.observe(*value));
        let text = |labels: &str| {
            let mut out = String::new();
            histogram.write(&mut out, "x", labels);
            out
        };
        let expected = "x_bucket{le=\"1\"} 1\nx_bucket{le=\"2.5\"} 2\nx_bucket{le=\"+Inf\"} 3\nx_sum 9.5\nx_count 3\n";
        assert_eq!(text(""), expected);
        assert!(
            text("a=\"b\"").starts_with("x_bucket{a=\"b\",le=\"1\"} 1\n")
                && text("a=\"b\"").ends_with("x_count{a=\"b\"} 3\n")
        );
    }
}
