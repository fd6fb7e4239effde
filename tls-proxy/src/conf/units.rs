//! Values with units, by nginx's rules: `10m`, `1h 30m`, `on`.

/// The largest number nginx keeps.
const MAX: u64 = i64::MAX.unsigned_abs();

/// A size in bytes: digits, and `k` or `m` in either case.
#[must_use]
pub fn parse_size(text: &str) -> Option<u64> {
    scaled(text, &[('k', 10), ('m', 20)])
}

/// A file offset in bytes: as a size, or with `g` (`client_max_body_size`).
#[must_use]
pub fn parse_offset(text: &str) -> Option<u64> {
    scaled(text, &[('k', 10), ('m', 20), ('g', 30)])
}

/// A time in milliseconds: `500ms`, `30` (seconds), `1h30m`, `1w 2d`. Units in descending order,
/// each once; no years or months.
#[must_use]
pub fn parse_time_ms(text: &str) -> Option<u64> {
    parse_time(text, Precision::Milliseconds)
}

/// A time in seconds: as in milliseconds, with `y` (365 days) and `M` (30
/// days), without `ms`.
#[must_use]
pub fn parse_time_s(text: &str) -> Option<u64> {
    parse_time(text, Precision::Seconds)
}

/// `on` or `off`, in either case.
#[must_use]
pub fn parse_flag(text: &str) -> Option<bool> {
    if text.eq_ignore_ascii_case("on") {
        Some(true)
    } else if text.eq_ignore_ascii_case("off") {
        Some(false)
    } else {
        None
    }
}

fn scaled(text: &str, units: &[(char, u32)]) -> Option<u64> {
    let last = text.chars().last()?.to_ascii_lowercase();
    let (digits, shift) = match units.iter().find(|(unit, _)| *unit == last) {
        Some((_, shift)) => (text.get(..text.len() - 1)?, *shift),
        None => (text, 0),
    };
    parse_number(digits)?
        .checked_mul(1 << shift)
        .filter(|bytes| *bytes <= MAX)
}

/// A plain number: digits and nothing else.
#[must_use]
pub fn parse_number(digits: &str) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.bytes().try_fold(0, append)
}

/// A plain number that fits into `T`, such as a port or a status. Unlike `str::parse` it takes no
/// sign, as nginx.
pub fn parse_integer<T: TryFrom<u64>>(digits: &str) -> Option<T> {
    T::try_from(parse_number(digits)?).ok()
}

fn append(value: u64, digit: u8) -> Option<u64> {
    let digit = char::from(digit).to_digit(10)?;
    value
        .checked_mul(10)?
        .checked_add(u64::from(digit))
        .filter(|value| *value <= MAX)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Precision {
    Seconds,
    Milliseconds,
}

/// The last unit read, in descending order.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Unit {
    Start,
    Year,
    Month,
    Week,
    Day,
    Hour,
    Minute,
    Second,
    Millisecond,
    Last,
}

fn parse_time(text: &str, precision: Precision) -> Option<u64> {
    const DAY: u64 = 24 * 3600;
    let in_ms = precision == Precision::Milliseconds;
    let per_second = if in_ms { 1000 } else { 1 };
    let mut step = if in_ms { Unit::Month } else { Unit::Start };
    let (mut total, mut value, mut digits) = (0_u64, 0_u64, false);
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        if byte.is_ascii_digit() {
            value = append(value, byte)?;
            digits = true;
            continue;
        }
        let (unit, seconds) = match byte {
            b'y' => (Unit::Year, 365 * DAY),
            b'M' => (Unit::Month, 30 * DAY),
            b'w' => (Unit::Week, 7 * DAY),
            b'd' => (Unit::Day, DAY),
            b'h' => (Unit::Hour, 3600),
            b'm' if rest.first() == Some(&b's') => (Unit::Millisecond, 0),
            b'm' => (Unit::Minute, 60),
            b's' => (Unit::Second, 1),
            // `1h 30`: what follows a bare number and a space is in seconds.
            b' ' if step < Unit::Second => (Unit::Last, 1),
            _ => return None,
        };
        if step >= unit || (unit == Unit::Millisecond && !in_ms) {
            return None;
        }
        let scale = match unit {
            Unit::Millisecond => {
                rest = rest.get(1..)?;
                1
            }
            _ => seconds * per_second,
        };
        step = unit;
        total = total
            .checked_add(value.checked_mul(scale)?)
            .filter(|sum| *sum <= MAX)?;
        value = 0;
        while let Some((b' ', after)) = rest.split_first() {
            rest = after;
        }
    }
    if !digits {
        return None;
    }
    total
        .checked_add(value.checked_mul(per_second)?)
        .filter(|sum| *sum <= MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_take_k_and_m_and_offsets_also_g() {
        assert_eq!(parse_size("0"), Some(0));
        assert_eq!(parse_size("1k"), Some(1024));
        assert_eq!(parse_size("10M"), Some(10 << 20));
        assert_eq!(parse_size("1g"), None);
        assert_eq!(parse_offset("2G"), Some(2 << 30));
        for wrong in [
            "", "k", "-1", "+1", "1.5m", "1kk", " 1", "1 ", "1b", "0x10", "1é", "٣",
        ] {
            assert_eq!(parse_size(wrong), None, "{wrong}");
            assert_eq!(parse_offset(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn sizes_that_overflow_are_refused() {
        assert_eq!(parse_size("9223372036854775807"), Some(MAX));
        assert_eq!(parse_size("9223372036854775808"), None);
        assert_eq!(
            parse_size("9007199254740991k"),
            Some(9_007_199_254_740_991 << 10)
        );
        assert_eq!(parse_size("9007199254740992k"), None);
        assert_eq!(parse_size("99999999999999999999999999"), None);
    }

    #[test]
    fn integers_are_digits_that_fit() {
        assert_eq!(parse_integer::<u16>("65535"), Some(65535));
        assert_eq!(parse_integer::<u16>("0080"), Some(80));
        for wrong in ["", "65536", "+80", "-80", " 80", "8_0"] {
            assert_eq!(parse_integer::<u16>(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn times_add_up_in_falling_units() {
        for (text, expected) in [
            ("30", Some(30_000)),
            ("500ms", Some(500)),
            ("75s", Some(75_000)),
            ("1h30m", Some(5_400_000)),
            ("1h 30m", Some(5_400_000)),
            ("1m30", Some(90_000)),
            ("1d2h3m4s5ms", Some(93_784_005)),
            ("1w", Some(604_800_000)),
            ("1h5ms", Some(3_600_005)),
            ("30m1h", None),
            ("1h1h", None),
            ("1M", None),
            ("1y", None),
            ("", None),
            ("s", None),
            ("-1", None),
            ("1.5s", None),
            ("1H", None),
            ("1s 5", Some(6_000)),
            ("5 1", Some(6_000)),
        ] {
            assert_eq!(parse_time_ms(text), expected, "{text}");
        }
    }

    #[test]
    fn times_in_seconds_know_years_and_no_milliseconds() {
        assert_eq!(parse_time_s("1y"), Some(31_536_000));
        assert_eq!(parse_time_s("1y1M"), Some(34_128_000));
        assert_eq!(parse_time_s("1d"), Some(86_400));
        assert_eq!(parse_time_s("1ms"), None);
    }

    #[test]
    fn times_that_overflow_are_refused() {
        assert_eq!(
            parse_time_ms("9223372036854775"),
            Some(9_223_372_036_854_775_000)
        );
        assert_eq!(parse_time_ms("9223372036854776"), None);
        assert_eq!(parse_time_ms("9223372036854775s808ms"), None);
        assert_eq!(parse_time_ms("9223372036854775807w"), None);
    }

    #[test]
    fn flags_are_on_or_off_in_either_case() {
        assert_eq!(parse_flag("on"), Some(true));
        assert_eq!(parse_flag("OFF"), Some(false));
        assert_eq!(parse_flag("yes"), None);
    }
}
