//! The memory of tables that clients fill: `limit_req_zone`, `ssl_session_cache`; and of the blocks
//! that `access_log` collects before it compresses them, one for each worker.
//!
//! nginx maps a zone's memory when it starts, whatever the container has; what is not there is
//! missing when clients fill it. So all tables together may have a part of what the memory limit
//! leaves, each in proportion to the size that the configuration gives it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// The size of a table.
#[derive(Debug)]
pub(crate) struct TableSize {
    /// The size in the configuration, bytes.
    pub(crate) configured: u64,
    /// What it may have of that, bytes.
    allowed: Arc<AtomicU64>,
}

/// Those of all tables of a configuration, by their names.
#[derive(Debug, Default)]
pub(crate) struct TableSizes {
    /// Tables that workers share.
    shared: BTreeMap<Box<str>, Arc<TableSize>>,
    /// Tables of which each worker has one.
    each: BTreeMap<Box<str>, Arc<TableSize>>,
    workers: AtomicUsize,
}

impl TableSize {
    pub(crate) fn new(configured: u64) -> Self {
        Self {
            configured,
            allowed: Arc::new(AtomicU64::new(configured)),
        }
    }

    /// What the table may have now, bytes.
    pub(crate) fn allowed(&self) -> usize {
        usize::try_from(self.allowed.load(Ordering::Relaxed)).unwrap_or(usize::MAX)
    }
}

impl TableSizes {
    /// That of the table called `name`, of so many bytes if it is the first use of the name.
    pub(crate) fn named(&mut self, name: &str, configured: u64) -> Arc<TableSize> {
        let new = || Arc::new(TableSize::new(configured));
        self.shared.entry(name.into()).or_insert_with(new).clone()
    }

    /// What each worker may have of its own table called `name`, of so many bytes.
    pub(crate) fn for_each_worker(&mut self, name: &str, configured: u64) -> Arc<AtomicU64> {
        let new = || Arc::new(TableSize::new(configured));
        let size = self.each.entry(name.into()).or_insert_with(new);
        size.allowed.clone()
    }

    /// All of them, with how many tables there are of each.
    fn all(&self) -> impl Iterator<Item = (&TableSize, u64)> {
        let workers = self.workers.load(Ordering::Relaxed).max(1) as u64;
        let shared = self.shared.values().map(|it| (&**it, 1));
        shared.chain(self.each.values().map(move |it| (&**it, workers)))
    }

    /// Their sizes in the configuration together, and what they may have, bytes.
    pub(crate) fn sums(&self) -> (u64, u64) {
        let each = self.all().map(|(size, tables)| {
            let allowed = size.allowed.load(Ordering::Relaxed);
            (
                size.configured.saturating_mul(tables),
                allowed.saturating_mul(tables),
            )
        });
        each.fold((0, 0), |(configured, allowed), own| {
            (
                configured.saturating_add(own.0),
                allowed.saturating_add(own.1),
            )
        })
    }

    /// Allows them `most` bytes together, or as much as is configured, in so many workers. Returns
    /// what they may have.
    pub(crate) fn allow(&self, most: u64, workers: usize) -> u64 {
        self.workers.store(workers, Ordering::Relaxed);
        let all = u128::from(self.sums().0.max(1));
        for (size, _) in self.all() {
            let part = u128::from(size.configured) * u128::from(most) / all;
            let allowed = u64::try_from(part).map_or(size.configured, |it| it.min(size.configured));
            size.allowed.store(allowed, Ordering::Relaxed);
        }
        self.sums().1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_one_table() {
        let mut sizes = TableSizes::default();
        let first = sizes.named("a", 1);
        assert!(Arc::ptr_eq(&first, &sizes.named("a", 2)));
        assert_eq!(sizes.sums(), (1, 1));
    }

    #[test]
    fn tables_share_what_there_is_in_proportion_and_get_no_more_than_is_configured() {
        let mut sizes = TableSizes::default();
        let own = [sizes.named("a", 3 << 20), sizes.named("b", 1 << 20)];
        let allowed = || own.each_ref().map(|size| size.allowed());
        assert_eq!(allowed(), [3 << 20, 1 << 20]);
        assert_eq!(sizes.allow(1 << 20, 2), 1 << 20);
        assert_eq!(allowed(), [768 << 10, 256 << 10]);
        assert_eq!(sizes.allow(u64::MAX, 2), 4 << 20);
        assert_eq!(allowed(), [3 << 20, 1 << 20]);
        assert_eq!(TableSizes::default().allow(0, 1), 0);
    }

    #[test]
    fn what_each_worker_has_is_counted_for_each() {
        let mut sizes = TableSizes::default();
        let shared = sizes.named("a", 2 << 20);
        let own = sizes.for_each_worker("a", 1 << 20);
        assert!(Arc::ptr_eq(&own, &sizes.for_each_worker("a", 1 << 20)));
        assert_eq!(sizes.allow(1 << 20, 2), 1 << 20);
        assert_eq!(shared.allowed(), 512 << 10);
        assert_eq!(own.load(Ordering::Relaxed), 256 << 10);
        assert_eq!(sizes.sums(), (4 << 20, 1 << 20));
    }
}
