//! Clocks, dates and timers.

pub(crate) mod cached_time;
pub(crate) mod clock;
pub(crate) mod http_date;
pub(crate) mod timer;

use std::time::Instant;

/// The current time, by the clock of timers: a test can stop it.
pub(crate) fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}
