//! Latencies in constant memory: buckets that are about 3 % wide.

use std::time::Duration;

use serde::Serialize;

/// Buckets per power of two.
const FINE: u64 = 32;
/// Up to 2^40 µs, about 12 days.
const BUCKETS: usize = (40 * FINE) as usize;

/// Counts durations by size.
#[derive(Clone, Debug)]
pub(crate) struct Histogram {
    buckets: Box<[u32]>,
    count: u64,
    max: Duration,
}

impl Default for Histogram {
    fn default() -> Self {
        Histogram { buckets: vec![0; BUCKETS].into(), count: 0, max: Duration::ZERO }
    }
}

/// What is told of many durations, in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Percentiles {
    pub count: u64,
    pub p50: f64,
    pub p90: f64,
    pub p99: f64,
    pub max: f64,
}

impl Histogram {
    pub(crate) fn add(&mut self, duration: Duration) {
        let micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        let bucket = &mut self.buckets[bucket_of(micros)];
        *bucket = bucket.saturating_add(1);
        self.count += 1;
        self.max = self.max.max(duration);
    }

    pub(crate) fn percentiles(&self) -> Percentiles {
        Percentiles {
            count: self.count,
            p50: self.at(0.5),
            p90: self.at(0.9),
            p99: self.at(0.99),
            max: milliseconds(self.max),
        }
    }

    /// The upper edge of the bucket that holds this share of all, in milliseconds.
    fn at(&self, share: f64) -> f64 {
        let rank = (self.count as f64 * share).ceil() as u64;
        let mut passed = 0;
        for (index, count) in self.buckets.iter().enumerate() {
            passed += u64::from(*count);
            if passed >= rank.max(1) {
                return milliseconds(Duration::from_micros(upper_edge(index)).min(self.max));
            }
        }
        0.0
    }
}

/// Rounded to a microsecond.
fn milliseconds(duration: Duration) -> f64 {
    duration.as_micros() as f64 / 1000.0
}

/// Exact below `FINE`, then `FINE` buckets per power of two.
fn bucket_of(micros: u64) -> usize {
    let index = if micros < FINE {
        micros
    } else {
        let shift = micros.ilog2() - FINE.ilog2();
        u64::from(shift) * FINE + (micros >> shift)
    };
    usize::try_from(index).unwrap_or(BUCKETS).min(BUCKETS - 1)
}

fn upper_edge(index: usize) -> u64 {
    let index = index as u64;
    if index < 2 * FINE {
        return index;
    }
    let shift = index / FINE - 1;
    ((index % FINE + FINE + 1) << shift) - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_narrow_and_in_order() {
        for micros in (0..100_000).chain([1 << 30, (1 << 39) + 12_345]) {
            let index = bucket_of(micros);
            let edge = upper_edge(index);
            assert!(edge >= micros && edge - micros <= micros / FINE + 1, "{micros} {index} {edge}");
            assert!(index == 0 || upper_edge(index - 1) < micros, "{micros}");
        }
        assert_eq!(bucket_of(u64::MAX), BUCKETS - 1);
    }

    #[test]
    fn percentiles_of_a_thousand() {
        let mut histogram = Histogram::default();
        assert_eq!(histogram.percentiles(), Percentiles::default());
        (1..=1000).for_each(|ms| histogram.add(Duration::from_millis(ms)));
        let Percentiles { count, p50, p90, p99, max } = histogram.percentiles();
        assert_eq!((count, max), (1000, 1000.0));
        assert!((500.0..520.0).contains(&p50) && (900.0..930.0).contains(&p90) && (990.0..=1000.0).contains(&p99));
    }
}
