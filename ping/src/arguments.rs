//! The command line: the options of busybox's ping that people type.

use std::str::FromStr;
use std::time::Duration;

/// What is shown where it was called wrongly.
pub(crate) const USAGE: &str = "usage: ping [-4|-6] [-c COUNT] [-i SECONDS] [-W SECONDS] HOST";

/// Whose addresses of a host are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Family {
    /// The resolver's first.
    Either,
    /// IPv4 alone.
    V4,
    /// IPv6 alone.
    V6,
}

/// What to do.
#[derive(Debug, PartialEq)]
pub(crate) struct Arguments {
    /// A name or an address.
    pub(crate) host: String,
    /// How many requests to send; without it, until the process is ended.
    pub(crate) count: Option<u32>,
    /// Between a reply, or its time-out, and the next request.
    pub(crate) interval: Duration,
    /// How long to wait for a reply.
    pub(crate) timeout: Duration,
    /// IPv4, IPv6 or either.
    pub(crate) family: Family,
}

/// A command line that cannot be read.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum UsageError {
    #[error("name one host")]
    Host,
    #[error("unknown option {0}")]
    Unknown(String),
    #[error("{option} needs {what}")]
    Value { option: String, what: &'static str },
}

impl Arguments {
    /// Reads the words after the program's name.
    ///
    /// # Errors
    /// Unknown options, values that are missing or none, and any number of hosts but one.
    pub(crate) fn parse(words: impl Iterator<Item = String>) -> Result<Self, UsageError> {
        let mut words = words;
        let mut parsed = Self {
            host: String::new(),
            count: None,
            interval: Duration::from_secs(1),
            timeout: Duration::from_secs(10),
            family: Family::Either,
        };
        while let Some(word) = words.next() {
            // The value may follow at once, as in -c3.
            let (option, rest) = match word.strip_prefix('-') {
                Some(option) if !option.is_empty() && option.is_char_boundary(1) => {
                    option.split_at(1)
                }
                _ if parsed.host.is_empty() => {
                    parsed.host = word;
                    continue;
                }
                _ => return Err(UsageError::Host),
            };
            let mut value = || {
                Some(rest.to_owned())
                    .filter(|it| !it.is_empty())
                    .or_else(|| words.next())
            };
            match option {
                "4" if rest.is_empty() => parsed.family = Family::V4,
                "6" if rest.is_empty() => parsed.family = Family::V6,
                "c" => parsed.count = Some(number(&word, "a number", value())?),
                "i" => parsed.interval = seconds(&word, value())?,
                "W" => parsed.timeout = seconds(&word, value())?.max(Duration::from_millis(1)),
                _ => return Err(UsageError::Unknown(word)),
            }
        }
        if parsed.host.is_empty() {
            return Err(UsageError::Host);
        }
        Ok(parsed)
    }
}

fn number<T: FromStr>(
    word: &str,
    what: &'static str,
    value: Option<String>,
) -> Result<T, UsageError> {
    value
        .and_then(|value| value.parse().ok())
        .ok_or_else(|| UsageError::Value {
            option: word.to_owned(),
            what,
        })
}

fn seconds(word: &str, value: Option<String>) -> Result<Duration, UsageError> {
    let of_a_day = |value: &String| value.parse().is_ok_and(|it| (0.0..=86_400.0).contains(&it));
    number(word, "seconds, up to a day", value.filter(of_a_day)).map(Duration::from_secs_f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Arguments, UsageError> {
        Arguments::parse(line.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn options_are_read_wherever_they_stand() {
        let read = parse("-c 3 google.com -W2 -i 0.5 -6").unwrap();
        assert_eq!(read.host, "google.com");
        assert_eq!(read.count, Some(3));
        assert_eq!(read.timeout, Duration::from_secs(2));
        assert_eq!(read.interval, Duration::from_millis(500));
        assert_eq!(read.family, Family::V6);
    }

    #[test]
    fn what_cannot_be_read_is_refused() {
        assert_eq!(parse(""), Err(UsageError::Host));
        assert_eq!(parse("a b"), Err(UsageError::Host));
        assert_eq!(parse("-x a"), Err(UsageError::Unknown("-x".into())));
        for line in [
            "-c", "-c x a", "-c -1 a", "-i -1 a", "-W 1e9 a", "-i nan a", "-ä a",
        ] {
            assert!(parse(line).is_err(), "{line}");
        }
    }
}
