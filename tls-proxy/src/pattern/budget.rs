//! What the patterns of one request may take together, of those that take long.

use std::cell::Cell;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

use super::Error;

/// CPU time of searches that may take long, after which no more of them begin.
const MOST: Duration = Duration::from_millis(150);

/// The budget of a request.
#[derive(Debug, Default)]
pub(crate) struct Budget {
    /// CPU time so far, microseconds.
    spent: Cell<u32>,
    /// A pattern has given up, and what asked for it took another value.
    gave_up: Cell<bool>,
}

impl Budget {
    pub(super) fn is_spent(&self) -> bool {
        u128::from(self.spent.get()) >= MOST.as_micros()
    }

    /// Runs a search at its expense, unless it is spent.
    pub(super) fn spend<T>(&self, search: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
        if self.is_spent() {
            return Err(Error::Spent);
        }
        let began = cpu_time();
        let found = search();
        let took = cpu_time().saturating_sub(began).as_micros();
        let took = u32::try_from(took).unwrap_or(u32::MAX);
        self.spent.set(self.spent.get().saturating_add(took));
        found
    }

    /// Notes that a pattern has given up.
    #[cold]
    pub(crate) fn give_up(&self) {
        self.gave_up.set(true);
    }

    /// Whether a pattern has given up.
    #[inline]
    pub(crate) fn has_given_up(&self) -> bool {
        self.gave_up.get()
    }
}

/// The CPU time of this thread, which does not grow while others run.
fn cpu_time() -> Duration {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    let seconds = u64::try_from(now.tv_sec).unwrap_or_default();
    Duration::new(seconds, u32::try_from(now.tv_nsec).unwrap_or_default())
}
