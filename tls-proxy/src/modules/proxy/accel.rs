//! `X-Accel-*`: what an upstream tells the proxy in fields of its response, and
//! `proxy_ignore_headers`, which ignores them.

use bytes::Bytes;

use crate::conf::{Directive, Problem, units};
use crate::directive::arguments;
use crate::message::fields::Fields;

/// Fields of an upstream's response that are ignored.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Ignored(u16);

pub(crate) const NAMES: [&str; 9] = [
    "X-Accel-Redirect",
    "X-Accel-Expires",
    "X-Accel-Limit-Rate",
    "X-Accel-Buffering",
    "X-Accel-Charset",
    "Expires",
    "Cache-Control",
    "Set-Cookie",
    "Vary",
];

impl Ignored {
    fn has(self, name: &str) -> bool {
        let bit = NAMES.iter().position(|own| *own == name);
        bit.is_some_and(|bit| self.0 & (1 << bit) != 0)
    }

    /// The values of a field, unless it is ignored.
    fn values<'a>(self, name: &'a str, fields: &'a Fields) -> impl Iterator<Item = &'a [u8]> {
        fields.all(name.as_bytes()).filter(move |_| !self.has(name))
    }
}

/// The fields of a line, in addition to those `before` it.
pub(super) fn parse_ignored(
    directive: &Directive,
    before: Ignored,
    problems: &mut Vec<Problem>,
) -> Result<Ignored, Problem> {
    let mut own = before;
    for word in &directive.args {
        let named = NAMES
            .iter()
            .position(|own| own.eq_ignore_ascii_case(&word.text));
        let Some(bit) = named else {
            return Err(arguments::unknown_value(word, &NAMES));
        };
        if own.0 & (1 << bit) != 0 {
            let message = format!("duplicate value \"{}\"", word.text);
            problems.push(Problem::warn(&word.at, message));
        }
        own.0 |= 1 << bit;
    }
    Ok(own)
}

/// The fields of a response that are for the proxy.
#[derive(Debug, Default)]
pub(crate) struct AccelFields {
    /// `X-Accel-Redirect`: a path or a named location to serve instead.
    pub(crate) redirect: Option<Bytes>,
    /// `X-Accel-Limit-Rate`: bytes per second.
    pub(crate) rate: Option<u64>,
    /// `X-Accel-Buffering`.
    pub(crate) buffering: Option<bool>,
    /// `X-Accel-Charset`.
    pub(crate) charset: Option<Bytes>,
}

/// Reads the fields of a response that are for the proxy.
pub(crate) fn read(fields: &Fields, ignored: Ignored) -> AccelFields {
    let own = |value: &[u8]| Bytes::copy_from_slice(value);
    let first = |name| ignored.values(name, fields).next().map(own);
    let buffering = ignored.values("X-Accel-Buffering", fields);
    AccelFields {
        redirect: first("X-Accel-Redirect"),
        rate: ignored
            .values("X-Accel-Limit-Rate", fields)
            .next()
            .and_then(number),
        buffering: buffering.filter_map(yes_or_no).last(),
        charset: ignored.values("X-Accel-Charset", fields).last().map(own),
    }
}

/// What nginx reads as a number (`ngx_atoi`): one that fits a signed word.
fn number(value: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(value).ok()?;
    units::parse_number(text)
}

fn yes_or_no(value: &[u8]) -> Option<bool> {
    match value {
        value if value.eq_ignore_ascii_case(b"yes") => Some(true),
        value if value.eq_ignore_ascii_case(b"no") => Some(false),
        _ => None,
    }
}

/// Whether a field survives `X-Accel-Redirect`: the client gets it with the content that is served
/// instead.
pub(crate) fn outlives_redirect(name: &[u8]) -> bool {
    const KEPT: [&[u8]; 5] = [
        b"accept-ranges",
        b"set-cookie",
        b"content-disposition",
        b"cache-control",
        b"expires",
    ];
    KEPT.iter().any(|own| own.eq_ignore_ascii_case(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ignored_fields_have_no_effect() {
        let pairs = [
            (&b"X-Accel-Redirect"[..], &b"/x"[..]),
            (b"X-Accel-Limit-Rate", b"10"),
        ];
        let fields = Fields::collect(pairs.into_iter());
        let told = read(&fields, Ignored(1));
        assert_eq!((told.redirect, told.rate), (None, Some(10)));
        assert_eq!(
            read(&fields, Ignored(0)).redirect.as_deref(),
            Some(&b"/x"[..])
        );
    }
}
