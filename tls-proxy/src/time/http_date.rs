//! Dates in HTTP (RFC 9110, section 5.6.7).

use pod::calendar;

use super::clock::{MONTHS, Stamp};

/// Seconds since 1970 as a date.
pub(crate) fn format(seconds: u64) -> bytes::Bytes {
    Stamp::of(seconds).http.clone()
}

/// Parses a date to seconds since 1970: `Sun, 06 Nov 1994 08:49:37 GMT`, and the two older
/// forms.
pub(crate) fn parse(text: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(text).ok()?.trim();
    let words: Vec<&str> = text
        .split([' ', '-', ','])
        .filter(|word| !word.is_empty())
        .collect();
    let (day, month, year, time) = match &words[..] {
        // asctime: `Sun Nov  6 08:49:37 1994`
        [_, month, day, time, year] => (*day, *month, *year, *time),
        [_, day, month, year, time, ..] => (*day, *month, *year, *time),
        _ => return None,
    };
    let month = MONTHS.iter().position(|own| *own == month)? as u64 + 1;
    let day: u64 = day.parse().ok().filter(|day| (1..=31).contains(day))?;
    let year: u64 = match (year.parse().ok()?, year.len()) {
        (year @ 70.., 2) => 1900 + year,
        (year, 2) => 2000 + year,
        (year @ 1970.., 4) => year,
        _ => return None,
    };
    let mut parts = time.split(':').map(|part| part.parse::<u64>().ok());
    let (hour, minute, second) = (parts.next()??, parts.next()??, parts.next()??);
    if hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let days = calendar::days(year, month, day);
    Some(days * 86_400 + hour * 3600 + minute * 60 + second)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_of_a_date_is_read() {
        for text in [
            "Sun, 06 Nov 1994 08:49:37 GMT",
            "Sunday, 06-Nov-94 08:49:37 GMT",
            "Sun Nov  6 08:49:37 1994",
        ] {
            assert_eq!(parse(text.as_bytes()), Some(784_111_777), "{text}");
        }
        for text in [
            "",
            "x",
            "Sun, 06 Foo 1994 08:49:37 GMT",
            "Sun, 06 Nov 1994 25:49:37 GMT",
        ] {
            assert_eq!(parse(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn reading_undoes_writing() {
        for seconds in [0, 951_782_400, 1_000_000_000, 1_790_000_000] {
            assert_eq!(parse(&format(seconds)), Some(seconds));
        }
    }
}
