//! The time of day, formatted once a second.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;

use super::cached_time;

/// One second, formatted for logs and responses. Times are UTC: the image has no time zone
/// files.
#[derive(Debug)]
pub(crate) struct Stamp {
    /// `Date` (RFC 9110, section 5.6.7).
    pub(crate) http: Bytes,
    /// `$time_local`.
    pub(crate) local: String,
    /// `$time_iso8601`.
    pub(crate) iso8601: String,
    /// The prefix of a line of error.log.
    pub(crate) error_log: String,
}

/// A worker's clock: the last second it has formatted, and the end of that.
#[derive(Debug)]
pub(crate) struct Clock(RefCell<(Rc<Stamp>, Instant)>);

impl Clock {
    pub(crate) fn new() -> Self {
        Self(RefCell::new((Rc::new(Stamp::now()), Instant::now())))
    }

    /// The current second.
    pub(crate) fn now(&self) -> Rc<Stamp> {
        let now = cached_time::now();
        let (stamp, end) = &mut *self.0.borrow_mut();
        if now >= *end {
            let time = since_epoch();
            *stamp = Rc::new(Stamp::of(time.as_secs()));
            let left = Duration::from_secs(1) - Duration::from_nanos(time.subsec_nanos().into());
            *end = now + left;
        }
        stamp.clone()
    }

    /// Seconds and milliseconds since 1970 (`$msec`).
    pub(crate) fn unix_now(&self) -> (u64, u32) {
        let now = since_epoch();
        (now.as_secs(), now.subsec_millis())
    }
}

fn since_epoch() -> Duration {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
}

pub(crate) const MONTHS: [&str; 12] = [
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
];

impl Stamp {
    pub(crate) fn now() -> Self {
        Self::of(since_epoch().as_secs())
    }

    /// The time in the form of syslog (RFC 3164, section 4.1.2).
    pub(crate) fn syslog(&self) -> String {
        let (day, rest) = self.local.split_once('/').unwrap_or_default();
        let (month, rest) = rest.split_once('/').unwrap_or_default();
        let time = rest.get(5..13).unwrap_or_default();
        let day = day.trim_start_matches('0');
        format!("{month} {day:>2} {time}")
    }

    /// The time in the form of RFC 3339, in UTC.
    pub(crate) fn rfc3339(&self) -> String {
        self.iso8601.replace("+00:00", "Z")
    }

    /// The given second since 1970.
    pub(crate) fn of(second: u64) -> Self {
        const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
        let days = second / 86_400;
        let (hour, minute, s) = (second / 3600 % 24, second / 60 % 60, second % 60);
        let (year, month, day) = pod::calendar::civil(days);
        let name = DAYS[(days % 7) as usize];
        let month_name = MONTHS[month - 1];
        let time = format!("{hour:02}:{minute:02}:{s:02}");
        Self {
            http: format!("{name}, {day:02} {month_name} {year} {time} GMT").into(),
            local: format!("{day:02}/{month_name}/{year}:{time} +0000"),
            iso8601: format!("{year}-{month:02}-{day:02}T{time}+00:00"),
            error_log: format!("{year}/{month:02}/{day:02} {time}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_days_have_their_names() {
        let stamp = Stamp::of(1_790_000_000);
        assert_eq!(&stamp.http[..], b"Mon, 21 Sep 2026 14:13:20 GMT");
        assert_eq!(stamp.local, "21/Sep/2026:14:13:20 +0000");
        assert_eq!(stamp.iso8601, "2026-09-21T14:13:20+00:00");
    }
}
