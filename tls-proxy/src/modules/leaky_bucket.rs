//! The leaky buckets of `limit_req`: the excess of each key, within the memory of its zone.

use std::collections::HashMap;
use std::sync::OnceLock;
use std::time::Instant;

use bytes::Bytes;

/// What an entry costs besides its key, bytes.
const ENTRY: usize = 96;

/// The buckets of one zone.
///
/// When the young half of its memory is full, the old half is dropped: roughly LRU, at no cost for
/// each request.
#[derive(Debug, Default)]
pub(crate) struct Buckets {
    young: HashMap<Bytes, Bucket>,
    old: HashMap<Bytes, Bucket>,
    /// Bytes that the young ones take.
    used: usize,
}

/// The excess of a key above the rate, in thousandths of a request, and when it was counted.
#[derive(Clone, Copy, Debug, Default)]
struct Bucket {
    excess: u64,
    at: Option<u64>,
}

/// The parameters of a count.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Measure {
    /// Thousandths of a request in a second.
    pub(crate) rate: u64,
    /// Bytes.
    pub(crate) size: usize,
    /// Milliseconds, as [`now`] counts them.
    pub(crate) now: u64,
}

/// Milliseconds since the first call. Whole milliseconds lose nothing between two requests within
/// one.
pub(crate) fn now() -> u64 {
    static START: OnceLock<Instant> = OnceLock::new();
    let elapsed = START.get_or_init(Instant::now).elapsed();
    u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX)
}

impl Buckets {
    /// The excess with one more request of `key`, not counted.
    pub(crate) fn look(&mut self, key: &Bytes, measure: Measure) -> u64 {
        self.bucket(key, measure.size).with_one_more(measure)
    }

    /// Counts a request of `key`, and returns the excess.
    pub(crate) fn take(&mut self, key: &Bytes, measure: Measure) -> u64 {
        let bucket = self.bucket(key, measure.size);
        bucket.excess = bucket.with_one_more(measure);
        bucket.at = Some(measure.now);
        bucket.excess
    }

    /// Counts a request of `key` unless the excess would be more than `most`.
    ///
    /// # Errors
    /// The excess that is too much.
    pub(crate) fn take_up_to(
        &mut self,
        key: &Bytes,
        measure: Measure,
        most: u64,
    ) -> Result<u64, u64> {
        match self.look(key, measure) {
            excess if excess > most => Err(excess),
            _ => Ok(self.take(key, measure)),
        }
    }

    fn bucket(&mut self, key: &Bytes, size: usize) -> &mut Bucket {
        if !self.young.contains_key(key) {
            let cost = ENTRY + key.len();
            if self.used + cost > size / 2 {
                self.old = std::mem::take(&mut self.young);
                self.used = 0;
            }
            self.used += cost;
            let known = self.old.remove(key).unwrap_or_default();
            // Copied, since the key is a slice of a larger buffer.
            self.young.insert(Bytes::copy_from_slice(key), known);
        }
        self.young.entry(key.clone()).or_default()
    }
}

impl Bucket {
    fn with_one_more(&self, measure: Measure) -> u64 {
        let Some(at) = self.at else {
            return 0;
        };
        let drained = measure.rate.saturating_mul(measure.now.saturating_sub(at)) / 1000;
        (self.excess + 1000).saturating_sub(drained)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(now: u64) -> Measure {
        Measure {
            rate: 1000,
            size: 4 * (ENTRY + 1),
            now,
        }
    }

    #[test]
    fn a_bucket_fills_and_drains() {
        let (mut buckets, key) = (Buckets::default(), Bytes::from_static(b"k"));
        assert_eq!(buckets.take_up_to(&key, at(0), 1000), Ok(0));
        assert_eq!(buckets.take_up_to(&key, at(0), 1000), Ok(1000));
        assert_eq!(buckets.take_up_to(&key, at(0), 1000), Err(2000));
        assert_eq!(buckets.take_up_to(&key, at(1000), 1000), Ok(1000));
    }

    #[test]
    fn looking_takes_nothing() {
        let (mut buckets, key) = (Buckets::default(), Bytes::from_static(b"k"));
        assert_eq!(buckets.look(&key, at(5)), 0);
        assert_eq!(buckets.look(&key, at(5)), 0);
        assert_eq!(buckets.take(&key, at(5)), 0);
        assert_eq!(buckets.look(&key, at(5)), 1000);
    }

    #[test]
    fn who_has_not_asked_for_longest_is_forgotten() {
        let mut buckets = Buckets::default();
        let key = |name: u8| Bytes::from(vec![name]);
        buckets.take(&key(1), at(0));
        for name in 2..100 {
            assert_eq!(buckets.take(&key(name), at(0)), 0);
            assert!(buckets.take(&key(1), at(0)) > 0, "it keeps asking");
        }
        assert!(buckets.young.len() + buckets.old.len() <= 4);
        assert_eq!(buckets.take(&key(2), at(0)), 0, "forgotten");
    }
}
