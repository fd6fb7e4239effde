//! Whether a client wants gzip, and whether a proxy in between may have it
//! (`gzip_proxied`).

use crate::conf::{Directive, Problem};
use crate::http1::fields::{contains, members};
use crate::server::request::Request;
use crate::server::response::Response;

/// Whether an `Accept-Encoding` has gzip in it, as nginx reads it: the name
/// itself with a weight above 0, and not `*`.
pub(crate) fn accepts(field: &[u8]) -> bool {
    members(field).any(|member| {
        let mut parts = member.split(|byte| *byte == b';').map(<[u8]>::trim_ascii);
        let named = parts
            .next()
            .is_some_and(|name| name.eq_ignore_ascii_case(b"gzip"));
        named && !parts.any(is_zero_weight)
    })
}

/// `q=0`, `q=0.000`.
fn is_zero_weight(part: &[u8]) -> bool {
    match part {
        [b'q' | b'Q', b'=', digits @ ..] => digits.iter().all(|digit| matches!(digit, b'0' | b'.')),
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
    pub(crate) fn parse(directive: &Directive) -> Result<Self, Problem> {
        let mut set = 0;
        for word in &directive.args {
            let found = NAMES.iter().find(|(name, _)| *name == word.text);
            let invalid = || Problem::emerg(&word.at, format!("invalid value \"{}\"", word.text));
            set |= found.ok_or_else(invalid)?.1;
        }
        Ok(Self(set))
    }

    fn has(self, bit: u16) -> bool {
        self.0 & bit != 0
    }
}

/// Whether an answer may be compressed for a request that came by a proxy.
pub(crate) fn may_for_proxy(set: Proxied, request: &Request, response: &Response) -> bool {
    if request.head.fields.first(b"via").is_none() || set.has(ANY) {
        return true;
    }
    let field = |name: &[u8]| {
        let found = response
            .fields
            .iter()
            .find(|(own, _)| own.eq_ignore_ascii_case(name));
        found.map(|(_, value)| &value[..])
    };
    let control = field(b"cache-control");
    let says = |word: &[u8]| control.is_some_and(|control| contains(control, word));
    (set.has(AUTH) && request.head.fields.first(b"authorization").is_some())
        || (set.has(EXPIRED) && field(b"expires").is_some() && control.is_none())
        || (set.has(NO_CACHE) && says(b"no-cache"))
        || (set.has(NO_STORE) && says(b"no-store"))
        || (set.has(PRIVATE) && says(b"private"))
        || (set.has(NO_LAST_MODIFIED) && field(b"last-modified").is_none())
        || (set.has(NO_ETAG) && field(b"etag").is_none())
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
            ("", false),
        ] {
            assert_eq!(accepts(field.as_bytes()), expected, "{field}");
        }
    }
}
