//! Whether a client accepts gzip, and whether a proxy in between may get it (`gzip_proxied`).

use crate::conf::{Directive, Problem};
use crate::directive::arguments;
use crate::request::Request;
use crate::request::response::Response;
use crate::time::http_date;

/// Whether an `Accept-Encoding` accepts gzip, as nginx reads it (`ngx_http_gzip_accept_encoding`):
/// the first `gzip` decides, and `*` does not count.
pub(crate) fn accepts(field: &[u8]) -> bool {
    let begins = |at: &usize| {
        let before = at.checked_sub(1).map(|before| field[before]);
        field[*at..*at + 4].eq_ignore_ascii_case(b"gzip")
            && matches!(before, None | Some(b',' | b' '))
    };
    let last = (field.len() + 1).saturating_sub(4);
    let Some(at) = (0..last).find(begins) else {
        return false;
    };
    match skip_spaces(&field[at + 4..]) {
        [] | [b',', ..] => true,
        [b';', weight @ ..] => match skip_spaces(weight) {
            [] => true,
            [b'q' | b'Q', b'=', weight @ ..] => is_wanted(weight),
            _ => false,
        },
        _ => false,
    }
}

fn skip_spaces(text: &[u8]) -> &[u8] {
    let spaces = text.iter().take_while(|byte| **byte == b' ');
    &text[spaces.count()..]
}

/// A weight above 0 and at most 1, with three decimals at most.
fn is_wanted(weight: &[u8]) -> bool {
    let end = weight.iter().position(|byte| matches!(byte, b',' | b' '));
    let weight = &weight[..end.unwrap_or(weight.len())];
    match weight {
        [b'1'] => true,
        [b'1', b'.', rest @ ..] => rest.len() <= 3 && rest.iter().all(|digit| *digit == b'0'),
        [b'0', b'.', rest @ ..] => {
            rest.len() <= 3
                && rest.iter().all(u8::is_ascii_digit)
                && rest.iter().any(|digit| *digit != b'0')
        }
        _ => false,
    }
}

/// `gzip_proxied`, as a set.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Proxied(u16);

const OFF: u16 = 0;
const EXPIRED: u16 = 1;
const NO_CACHE: u16 = 1 << 1;
const NO_STORE: u16 = 1 << 2;
const PRIVATE: u16 = 1 << 3;
const NO_LAST_MODIFIED: u16 = 1 << 4;
const NO_ETAG: u16 = 1 << 5;
const AUTH: u16 = 1 << 6;
const ANY: u16 = 1 << 7;

const NAMES: [(&str, u16); 9] = [
    ("off", OFF),
    ("expired", EXPIRED),
    ("no-cache", NO_CACHE),
    ("no-store", NO_STORE),
    ("private", PRIVATE),
    ("no_last_modified", NO_LAST_MODIFIED),
    ("no_etag", NO_ETAG),
    ("auth", AUTH),
    ("any", ANY),
];

impl Proxied {
    /// The set of the directive, added to that of one `before`.
    pub(crate) fn parse(
        directive: &Directive,
        before: Option<Self>,
        problems: &mut Vec<Problem>,
    ) -> Result<Self, Problem> {
        let mut set = before.map_or(0, |before| before.0);
        for word in &directive.args {
            let found = NAMES
                .iter()
                .find(|(name, _)| name.eq_ignore_ascii_case(&word.text));
            let invalid = || arguments::unknown_value(word, &NAMES.map(|(name, _)| name));
            let bit = found.ok_or_else(invalid)?.1;
            if set & bit != 0 {
                let message = format!("duplicate value \"{}\"", word.text);
                problems.push(Problem::warn(&word.at, message));
            }
            set |= bit;
        }
        Ok(Self(set))
    }

    fn has(self, bit: u16) -> bool {
        self.0 & bit != 0
    }
}

/// Whether a response to a request that came through a proxy may be compressed, in the order of
/// nginx's checks (`ngx_http_gzip_ok`): the fields about caching come before the absence of others.
pub(crate) fn may_for_proxy(set: Proxied, request: &Request, response: Option<&Response>) -> bool {
    if request.head.fields.first(b"via").is_none() || set.has(ANY) {
        return true;
    }
    let all = |name: &'static [u8]| {
        let named = response.into_iter().flat_map(|response| &response.fields);
        named.filter(move |(own, _)| own.eq_ignore_ascii_case(name))
    };
    let has = |name: &'static [u8]| all(name).next().is_some();
    if set.0 == OFF {
        return false;
    }
    if set.has(AUTH) && request.head.fields.first(b"authorization").is_some() {
        return true;
    }
    if let Some((_, expires)) = all(b"expires").next() {
        let (now, _) = request.connection.worker.clock.unix_now();
        let date = match all(b"date").next() {
            Some((_, date)) => http_date::parse(date),
            None => Some(now),
        };
        let past =
            matches!((http_date::parse(expires), date), (Some(then), Some(date)) if then < date);
        return set.has(EXPIRED) && past;
    }
    if has(b"cache-control") {
        let says = |word: &[u8]| all(b"cache-control").any(|(_, value)| names(value, word));
        return (set.has(NO_CACHE) && says(b"no-cache"))
            || (set.has(NO_STORE) && says(b"no-store"))
            || (set.has(PRIVATE) && says(b"private"));
    }
    // nginx checks before a file's `Last-Modified` is a field.
    let modified = has(b"last-modified") && response.is_some_and(|it| it.validators.is_none());
    let forbidden = set.has(NO_LAST_MODIFIED) && modified || set.has(NO_ETAG) && has(b"etag");
    !forbidden
}

/// Whether a list names the word, without a value.
fn names(value: &[u8], word: &[u8]) -> bool {
    let mut parts = value.split(|byte| matches!(byte, b',' | b';'));
    parts.any(|part| part.trim_ascii().eq_ignore_ascii_case(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gzip_must_be_named_and_wanted() {
        for (field, expected) in [
            ("gzip", true),
            ("deflate, gzip;q=1.0", true),
            ("GZIP", true),
            ("gzip;q=0", false),
            ("gzip; q=0.0", false),
            ("gzip;q=0.5", true),
            ("*", false),
            ("x-gzip", false),
            ("zgzip, gzip", true),
            ("gzip;q=2", false),
            ("gzip;q=1.1", false),
            ("gzip;q=0.0001", false),
            ("gzip ; q=1.000, br", true),
            ("gzip;q=0, gzip", false),
            ("gzip;", true),
            ("gzip;q", false),
            ("gzi", false),
            ("", false),
        ] {
            assert_eq!(accepts(field.as_bytes()), expected, "{field}");
        }
    }
}
