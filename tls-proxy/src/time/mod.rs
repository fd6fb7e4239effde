//! Clocks, dates and timers.

pub(crate) mod cached_time;
pub(crate) mod clock;
pub(crate) mod http_date;
pub(crate) mod stopwatch;
pub(crate) mod timer;

use std::time::{Duration, Instant};

/// Used for never: time-outs may exceed the range of `Instant`.
const FAR: Duration = Duration::from_secs(30 * 365 * 86_400);

/// The current time, by the clock of timers: a test can stop it.
pub(crate) fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}
