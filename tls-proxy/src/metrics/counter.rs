//! Counters that one thread writes and any thread may read.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// A counter that only its own thread increments.
///
/// So it uses a load and a store instead of a locked addition: no other thread writes in
/// between, and readers get the old value or the new one.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    /// Adds to it; for the owning thread only.
    pub(super) fn add(&self, amount: u64) {
        self.0
            .store(self.0.load(Relaxed).wrapping_add(amount), Relaxed);
    }

    /// Sets it; for the owning thread only.
    pub(super) fn set(&self, value: u64) {
        self.0.store(value, Relaxed);
    }

    /// The current value.
    pub(crate) fn read(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// Counters that can be summed.
pub(super) trait Merge {
    /// Adds the counts of `other`.
    fn merge(&self, other: &Self);
}

impl Merge for Counter {
    fn merge(&self, other: &Self) {
        self.add(other.read());
    }
}

impl<T: Merge, const N: usize> Merge for [T; N] {
    fn merge(&self, other: &Self) {
        for (own, other) in self.iter().zip(other) {
            own.merge(other);
        }
    }
}

/// Upper bounds of a histogram's buckets, microseconds; one more bucket has everything
/// above.
pub(crate) const BOUNDS: [u64; 12] = [
    1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000,
    10_000_000,
];

/// A histogram of durations.
#[derive(Debug, Default)]
pub(crate) struct Histogram {
    /// Each bucket by itself; the cumulative counts are computed when read.
    buckets: [Counter; BOUNDS.len() + 1],
    /// In microseconds.
    sum: Counter,
}

impl Histogram {
    pub(super) fn add(&self, took: Duration) {
        let took = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let bucket = BOUNDS.iter().position(|bound| took <= *bound);
        self.buckets[bucket.unwrap_or(BOUNDS.len())].add(1);
        self.sum.add(took);
    }

    /// For each bound the number of durations up to it, then the total.
    pub(crate) fn cumulative(&self) -> [u64; BOUNDS.len() + 1] {
        let mut sum = 0;
        std::array::from_fn(|bucket| {
            sum += self.buckets[bucket].read();
            sum
        })
    }

    /// The sum of all durations, seconds.
    pub(crate) fn seconds(&self) -> f64 {
        self.sum.read() as f64 / 1e6
    }
}

impl Merge for Histogram {
    fn merge(&self, other: &Self) {
        self.buckets.merge(&other.buckets);
        self.sum.merge(&other.sum);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_belongs_to_its_own_bucket() {
        let own = Histogram::default();
        for micros in [0, 1_000, 1_001, 10_000_001] {
            own.add(Duration::from_micros(micros));
        }
        let sums = own.cumulative();
        assert_eq!((sums[0], sums[1], sums[11], sums[12]), (2, 3, 3, 4));
        assert!((own.seconds() - 10.002_002).abs() < 1e-9);
    }

    #[test]
    fn sets_are_summed_bucket_by_bucket() {
        let (all, own) = (Histogram::default(), Histogram::default());
        own.add(Duration::from_secs(1));
        all.merge(&own);
        all.merge(&own);
        assert_eq!(all.cumulative()[12], 2);
    }
}
