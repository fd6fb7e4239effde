//! The Gregorian calendar, for lines of a log.

/// Days from 0000-03-01 to 1970-01-01.
const BEFORE_1970: u64 = 719_468;
/// Days of 400 years, after which the calendar repeats.
const CYCLE: u64 = 146_097;

/// Year, month from 1 and day from 1 of a day since 1970-01-01.
#[must_use]
pub fn civil(days: u64) -> (u64, usize, u64) {
    // Years begin in March here, so that the leap day is the last one.
    let days = days + BEFORE_1970;
    let (cycles, day) = (days / CYCLE, days % CYCLE);
    // Without the leap days before it (one in 4 years, none in 100, one in 400) a day
    // belongs to the year that 365 gives.
    let leap_days = day / 1460 - day / 36_524 + day / (CYCLE - 1);
    let year = (day - leap_days) / 365;
    let day = day - before_year(year);
    // Five months from March or August have 153 days.
    let month = (5 * day + 2) / 153;
    let day = day - before_month(month) + 1;
    let (month, next_year) = if month < 10 {
        (month + 3, 0)
    } else {
        (month - 9, 1)
    };
    (400 * cycles + year + next_year, month as usize, day)
}

/// The inverse of [`civil`].
#[must_use]
pub fn days(year: u64, month: u64, day: u64) -> u64 {
    let (year, month) = if month > 2 {
        (year, month - 3)
    } else {
        (year - 1, month + 9)
    };
    before_year(year) + before_month(month) + day - 1 - BEFORE_1970
}

/// Days before a year that begins in March.
fn before_year(year: u64) -> u64 {
    year * 365 + year / 4 - year / 100 + year / 400
}

/// Days of such a year before a month, March being 0.
fn before_month(month: u64) -> u64 {
    (153 * month + 2) / 5
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_days_have_their_dates() {
        assert_eq!(civil(0), (1970, 1, 1));
        assert_eq!(civil(11_016), (2000, 2, 29));
        assert_eq!(civil(19_782), (2024, 2, 29));
        assert_eq!(civil(47_540), (2100, 2, 28));
        assert_eq!(civil(47_541), (2100, 3, 1));
    }

    #[test]
    fn each_day_follows_the_one_before() {
        let leap = |year: u64| {
            year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
        };
        let mut expected = (1970, 1, 1);
        for days in 0..2 * CYCLE {
            assert_eq!(civil(days), expected, "day {days}");
            let (year, month, day) = expected;
            assert_eq!(super::days(year, month as u64, day), days);
            let february = if leap(year) { 29 } else { 28 };
            let lengths = [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
            expected = match (month, day) {
                (12, 31) => (year + 1, 1, 1),
                (_, day) if day == lengths[month - 1] => (year, month + 1, 1),
                _ => (year, month, day + 1),
            };
        }
    }
}
