//! A histogram of durations: buckets whose width grows with their value, so that each is about 3 % wide.
//! Knows no command and no clock.

use std::sync::atomic::{AtomicU32, Ordering};

/// Bits of precision: each power of two has this many buckets as a power of two.
const PRECISION: u32 = 5;
const SUB_BUCKETS: usize = 1 << PRECISION;
/// Powers of two above the first range: up to 2^35 ns, some 34 seconds; longer ones count as that.
const RANGES: usize = 31;
const BUCKETS: usize = SUB_BUCKETS * RANGES;

/// Durations in nanoseconds.
#[derive(Debug)]
pub struct Histogram {
    buckets: [AtomicU32; BUCKETS],
}

impl Default for Histogram {
    fn default() -> Self {
        Self {
            buckets: [const { AtomicU32::new(0) }; BUCKETS],
        }
    }
}

fn bucket_of(ns: u64) -> usize {
    let range = (64 - (ns >> PRECISION).leading_zeros()) as usize;
    if range == 0 {
        return ns as usize;
    }
    let sub = (ns >> (range - 1)) as usize & (SUB_BUCKETS - 1);
    (range * SUB_BUCKETS + sub).min(BUCKETS - 1)
}

/// The largest duration that falls into a bucket.
fn upper_bound(bucket: usize) -> u64 {
    let (range, sub) = (bucket / SUB_BUCKETS, (bucket % SUB_BUCKETS) as u64);
    match range {
        0 => sub,
        _ => ((SUB_BUCKETS as u64 + sub + 1) << (range - 1)) - 1,
    }
}

/// The microseconds of a power of two, at the upper end of what Redis, with steps of 1/128, cannot tell from it.
const fn shown_us(limit_ns: u64) -> u64 {
    (limit_ns + limit_ns / 128 - 1) / 1000
}

impl Histogram {
    /// Counts a duration.
    pub fn record(&self, ns: u64) {
        self.record_many(ns, 1);
    }

    /// Counts a duration several times. Nothing takes less than a nanosecond.
    pub fn record_many(&self, ns: u64, times: u64) {
        self.buckets[bucket_of(ns.max(1))].fetch_add(times as u32, Ordering::Relaxed);
    }

    /// Forgets all.
    pub fn clear(&self) {
        for bucket in &self.buckets {
            bucket.store(0, Ordering::Relaxed);
        }
    }

    /// How many were counted.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.buckets
            .iter()
            .map(|bucket| u64::from(bucket.load(Ordering::Relaxed)))
            .sum()
    }

    /// The duration that `percent` of all do not exceed; 0 when there is none.
    #[must_use]
    pub fn percentile_ns(&self, percent: f64) -> u64 {
        let count = self.count();
        let wanted = ((count as f64 * percent / 100.0).ceil() as u64).clamp(1, count.max(1));
        let mut seen = 0;
        for (index, bucket) in self.buckets.iter().enumerate() {
            seen += u64::from(bucket.load(Ordering::Relaxed));
            if seen >= wanted {
                return upper_bound(index);
            }
        }
        0
    }

    /// For each power of two of 1024 ns, from 1 on, in microseconds as Redis shows it, how many took at most about that
    /// long; only those where the number grows.
    #[must_use]
    pub fn by_power_of_two(&self) -> Vec<(u64, u64)> {
        let mut steps = Vec::new();
        let (mut seen, mut limit_ns, mut before) = (0, 1024, 0);
        for (index, bucket) in self.buckets.iter().enumerate() {
            while upper_bound(index) > limit_ns {
                if seen > before {
                    steps.push((shown_us(limit_ns), seen));
                    before = seen;
                }
                limit_ns *= 2;
            }
            seen += u64::from(bucket.load(Ordering::Relaxed));
        }
        if seen > before {
            steps.push((shown_us(limit_ns), seen));
        }
        steps
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_cover_their_durations() {
        let mut ns = 1_u64;
        while ns < 30_000_000_000 {
            let bucket = bucket_of(ns);
            assert!(ns <= upper_bound(bucket), "{ns}");
            assert!(bucket == 0 || ns > upper_bound(bucket - 1), "{ns}");
            ns += ns / 7 + 1;
        }
        assert_eq!(bucket_of(u64::MAX), BUCKETS - 1);
    }

    #[test]
    fn percentiles_and_steps() {
        let histogram = Histogram::default();
        assert_eq!(histogram.percentile_ns(50.0), 0);
        histogram.record(0);
        assert_eq!(histogram.percentile_ns(50.0), 1);
        histogram.clear();
        for us in 1..=100 {
            histogram.record(us * 1000);
        }
        let median = histogram.percentile_ns(50.0);
        assert!((50_000..52_000).contains(&median), "{median}");
        assert!(histogram.percentile_ns(100.0) >= 100_000);
        let steps = histogram.by_power_of_two();
        assert_eq!(steps.first(), Some(&(1, 1)));
        assert_eq!(steps.last(), Some(&(132, 100)));
        assert_eq!(
            [15, 20, 26].map(|power| shown_us(1024 << power)),
            [33_816, 1_082_130, 69_256_347]
        );
    }
}
