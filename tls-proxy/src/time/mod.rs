//! Clocks, dates and timers.

pub(crate) mod cached_time;
pub(crate) mod clock;
pub(crate) mod http_date;
pub(crate) mod timer;
