//! What patterns may take of those that take long: of one request together, and of a worker.

use std::cell::Cell;
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

use super::Error;
use crate::time;

/// CPU time of searches that may take long, after which no more of them begin for a request.
const MOST: Duration = Duration::from_millis(150);
/// Time of a worker for such searches, after which they are [brief](Allowed::Brief): its clients wait
/// meanwhile, also while the container gets no CPU time.
const MOST_OF_WORKER: Duration = Duration::from_millis(400);
/// What a worker has taken beyond that counts no longer than this.
const MOST_BEYOND: Duration = Duration::from_millis(200);
/// One part in so many of a worker's time is for them.
const PART: u32 = 2;
/// A request's searches count for its worker once they have taken more CPU time than this, so that
/// those of ordinary requests do not.
const ORDINARY: Duration = Duration::from_millis(10);

/// How much a search may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Allowed {
    Usual,
    /// Little: others have taken what the worker has for them.
    Brief,
}

/// What searches have taken beyond their part of the worker's time, and when that was so.
#[derive(Clone, Copy, Debug, Default)]
struct Debt {
    sum: Duration,
    at: Option<Instant>,
}

thread_local! {
    /// This worker's.
    static DEBT: Cell<Debt> = const { Cell::new(Debt { sum: Duration::ZERO, at: None }) };
}

impl Debt {
    fn at(self, now: Instant) -> Duration {
        let passed = self.at.map(|at| now.saturating_duration_since(at));
        self.sum.saturating_sub(passed.unwrap_or_default() / PART)
    }

    fn add(self, took: Duration, now: Instant) -> Self {
        Self {
            sum: (self.at(now) + took).min(MOST_OF_WORKER + MOST_BEYOND),
            at: Some(now),
        }
    }
}

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

    /// Runs a search at its expense and the worker's, unless it is spent.
    pub(super) fn spend<T>(
        &self,
        search: impl FnOnce(Allowed) -> Result<T, Error>,
    ) -> Result<T, Error> {
        if self.is_spent() {
            return Err(Error::Spent);
        }
        let (debt, now) = (DEBT.get(), time::now());
        let allowed = match debt.at(now) > MOST_OF_WORKER {
            true => Allowed::Brief,
            false => Allowed::Usual,
        };
        let began = cpu_time();
        let found = search(allowed);
        let took = cpu_time().saturating_sub(began).as_micros();
        let took = u32::try_from(took).unwrap_or(u32::MAX);
        let spent = self.spent.get().saturating_add(took);
        self.spent.set(spent);
        if u128::from(spent) > ORDINARY.as_micros() {
            let ended = time::now();
            DEBT.set(debt.add(ended.saturating_duration_since(now), ended));
        }
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

/// Forgets what searches of this thread have taken.
#[cfg(test)]
pub(super) fn pay() {
    DEBT.take();
}
