//! Validity rules for requests (RFC 9110, RFC 9112, RFC 9113), as in nginx.
//!
//! They apply to HTTP/1 and HTTP/2. Where the versions differ, a rule takes the
//! [`Version`].

use std::borrow::Cow;

use bytes::Bytes;

use super::head::{Framing, Limits, RequestHead, Version};
use crate::message::fields::{FieldNameFilter, Fields};
use crate::message::host;

/// Why a request is rejected: the status for the client and the message for the error log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Error {
    pub(crate) status: u16,
    pub(crate) reason: Cow<'static, str>,
}

impl Error {
    pub(crate) const fn new(status: u16, reason: &'static str) -> Self {
        Self {
            status,
            reason: Cow::Borrowed(reason),
        }
    }
}

/// Fields that nginx accepts once: a second one is rejected, not ignored, since the next
/// recipient may use the other one.
const UNIQUE: [&str; 12] = [
    "host",
    "content-length",
    "transfer-encoding",
    "content-range",
    "if-modified-since",
    "if-unmodified-since",
    "if-match",
    "if-none-match",
    "if-range",
    "authorization",
    "proxy-authorization",
    "expect",
];

const UNIQUE_NAMES: FieldNameFilter = FieldNameFilter::of(&UNIQUE);

/// Fields about the connection, which are not allowed in HTTP/2 (RFC 9113, section 8.2.2).
const CONNECTION_SPECIFIC: [&str; 5] = [
    "connection",
    "keep-alive",
    "proxy-connection",
    "transfer-encoding",
    "upgrade",
];

const CONNECTION_SPECIFIC_NAMES: FieldNameFilter = FieldNameFilter::of(&CONNECTION_SPECIFIC);

/// What happens to a field by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FieldNameCheck {
    Kept,
    /// It is left out (`ignore_invalid_headers`).
    Ignored,
    /// The request is rejected.
    Broken,
}

/// Checks the name of a field. Characters that might end a name or a line are errors, as
/// are capitals in HTTP/2 (RFC 9113, section 8.2.1); other unusual ones depend on `limits`.
#[inline]
pub(crate) fn name(name: &[u8], version: Version, limits: &Limits) -> FieldNameCheck {
    let capitals = version < Version::Http2;
    let is_regular = |byte: &u8| {
        byte.is_ascii_lowercase()
            || byte.is_ascii_digit()
            || *byte == b'-'
            || (capitals && byte.is_ascii_uppercase())
            || (limits.underscores && *byte == b'_')
    };
    let is_broken = |byte: &u8| {
        *byte <= b' ' || matches!(byte, b':' | 0x7f) || (!capitals && byte.is_ascii_uppercase())
    };
    if !name.is_empty() && name.iter().all(is_regular) {
        FieldNameCheck::Kept
    } else if name.is_empty() || name.iter().any(is_broken) {
        FieldNameCheck::Broken
    } else if limits.ignore_invalid {
        FieldNameCheck::Ignored
    } else {
        FieldNameCheck::Kept
    }
}

/// Whether the text has no character that ends a line, or that some implementations treat
/// like that. It may be one value or several with their names.
pub(crate) fn is_single_line(text: &[u8]) -> bool {
    memchr::memchr3(b'\r', b'\n', 0, text).is_none()
}

/// Whether a target may contain these bytes: no blanks and no control characters.
pub(crate) fn is_valid_target(text: &[u8]) -> bool {
    text.iter().all(|byte| *byte > b' ' && *byte != 0x7f)
}

/// Whether nginx accepts it as a method.
pub(crate) fn is_method(text: &[u8]) -> bool {
    !text.is_empty() && text.iter().all(|byte| is_method_byte(*byte))
}

/// Whether a method may contain the byte.
pub(crate) fn is_method_byte(byte: u8) -> bool {
    byte.is_ascii_uppercase() || matches!(byte, b'_' | b'-')
}

/// Whether it is a URI scheme (RFC 3986, section 3.1).
pub(crate) fn is_scheme(text: &[u8]) -> bool {
    let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || b"+-.".contains(byte);
    text.first().is_some_and(u8::is_ascii_alphabetic) && text.iter().all(is_part)
}

/// The host of a request, for `$host`; empty if there is none. The target's host takes
/// precedence over `Host`, which must be valid nevertheless (RFC 9112, section 3.2.2).
pub(crate) fn host(head: &RequestHead) -> Result<Bytes, Error> {
    const INVALID: Error = Error::new(400, "client sent invalid host header");
    let field = head.fields.first_slice(b"host");
    let Some(authority) = &head.authority else {
        return field.map_or(Ok(Bytes::new()), |it| host::parse(&it).ok_or(INVALID));
    };
    // In HTTP/2 both are the same, or `check` rejects them.
    if field.is_some_and(|field| field != *authority && host::find(&field).is_none()) {
        return Err(INVALID);
    }
    host::parse(authority).ok_or(INVALID)
}

/// Checks a head as a whole, and determines the body's framing (RFC 9112, section 6.3).
/// `ended` is whether nothing follows the head, which only HTTP/2 knows.
pub(crate) fn check(head: &RequestHead, ended: bool) -> Result<Framing, Error> {
    check_repeats(head)?;
    let length = match head.fields.first(b"content-length") {
        Some(value) => Some(parse_length(value).ok_or(Error::new(
            400,
            "client sent invalid \"Content-Length\" header",
        ))?),
        None => None,
    };
    let framing = match head.version {
        Version::Http2 => {
            check_http2(head)?;
            framing_of_http2(length, ended)?
        }
        _ => framing_of_http1(head, length)?,
    };
    match &head.method[..] {
        b"CONNECT" => Err(Error::new(405, "client sent CONNECT method")),
        b"TRACE" => Err(Error::new(405, "client sent TRACE method")),
        _ => Ok(framing),
    }
}

/// How many fields nginx has read when it refuses one of a request of HTTP/1: those up to an
/// invalid `Host` or a repeated one.
pub(crate) fn read_before_refusal(fields: &Fields) -> usize {
    let is_invalid = |(name, value): (&[u8], &[u8])| {
        name.eq_ignore_ascii_case(b"host") && host::find(value).is_none()
    };
    let invalid = fields.iter().position(is_invalid);
    let repeated = repeated(fields).map(|(index, _)| index);
    let refused = invalid.into_iter().chain(repeated).min();
    refused.map_or(fields.len(), |index| index + 1)
}

/// The first field in order of arrival that repeats one of [`UNIQUE`]: its index and name.
fn repeated(fields: &Fields) -> Option<(usize, &str)> {
    fields.repeated(&UNIQUE, UNIQUE_NAMES).next()
}

fn check_repeats(head: &RequestHead) -> Result<(), Error> {
    match repeated(&head.fields) {
        Some((_, name)) => Err(Error {
            status: 400,
            reason: format!("client sent duplicate header line: \"{name}\"").into(),
        }),
        None => Ok(()),
    }
}

fn framing_of_http1(head: &RequestHead, length: Option<u64>) -> Result<Framing, Error> {
    if head.version == Version::Http11 && head.fields.first(b"host").is_none() {
        return Err(Error::new(
            400,
            "client sent HTTP/1.1 request without \"Host\" header",
        ));
    }
    match (head.fields.first(b"transfer-encoding"), length) {
        (None, None) => Ok(Framing::None),
        (None, Some(length)) => Ok(Framing::Length(length)),
        (Some(_), _) if head.version < Version::Http11 => Err(Error::new(
            400,
            "client sent HTTP/1.0 request with \"Transfer-Encoding\" header",
        )),
        (Some(coding), _) if !coding.eq_ignore_ascii_case(b"chunked") => {
            Err(Error::new(501, "client sent unknown \"Transfer-Encoding\""))
        }
        (Some(_), None) => Ok(Framing::Chunked),
        (Some(_), Some(_)) => Err(Error::new(
            400,
            "client sent \"Content-Length\" and \"Transfer-Encoding\" headers at the same time",
        )),
    }
}

fn framing_of_http2(length: Option<u64>, ended: bool) -> Result<Framing, Error> {
    match (length, ended) {
        (None, true) => Ok(Framing::None),
        (None, false) => Ok(Framing::Chunked),
        (Some(1..), true) => Err(Error::new(400, "client prematurely closed stream")),
        (Some(length), _) => Ok(Framing::Length(length)),
    }
}

/// An HTTP/2 request has its host exactly once (RFC 9113, section 8.3.1) and no
/// connection-specific fields (section 8.2.2).
fn check_http2(head: &RequestHead) -> Result<(), Error> {
    match (head.fields.first(b"host"), &head.authority) {
        (None, _) => {
            let reason = "client sent neither \":authority\" nor \"Host\" header";
            return Err(Error::new(400, reason));
        }
        (Some(field), Some(authority)) if field != authority => {
            let reason = "client sent \":authority\" and \"Host\" headers with different values";
            return Err(Error::new(400, reason));
        }
        _ => {}
    }
    let fields = &head.fields;
    if fields.may_have_any(CONNECTION_SPECIFIC_NAMES)
        && let Some(name) = CONNECTION_SPECIFIC
            .iter()
            .find(|name| fields.first(name.as_bytes()).is_some())
    {
        return Err(Error {
            status: 400,
            reason: format!("client sent \"{name}\" header").into(),
        });
    }
    let mut te = fields.all(b"te");
    match (te.next(), te.next()) {
        (None, _) => Ok(()),
        (Some(te), None) if te.eq_ignore_ascii_case(b"trailers") => Ok(()),
        _ => Err(Error::new(400, "client sent invalid \"TE\" header")),
    }
}

/// A decimal number of bytes, up to 2^63-1 as in nginx.
pub(crate) fn parse_length(value: &[u8]) -> Option<u64> {
    let add = |sum: u64, byte: &u8| {
        let digit = byte.is_ascii_digit().then(|| u64::from(byte - b'0'))?;
        sum.checked_mul(10)?.checked_add(digit)
    };
    let length = value.iter().try_fold(0, add)?;
    (!value.is_empty() && length <= i64::MAX as u64).then_some(length)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::fields::Fields;

    const ALL: [Version; 3] = [Version::Http10, Version::Http11, Version::Http2];

    fn head(version: Version, method: &str, fields: &[(&str, &str)]) -> RequestHead {
        let fields = fields
            .iter()
            .map(|(name, value)| (name.as_bytes(), value.as_bytes()));
        RequestHead {
            line: Bytes::new(),
            method: Bytes::copy_from_slice(method.as_bytes()),
            target: Bytes::from_static(b"/"),
            authority: None,
            version,
            fields: Fields::collect(fields),
            length: 0,
        }
    }

    fn status(head: &RequestHead) -> u16 {
        check(head, false).map_or_else(|error| error.status, |_| 200)
    }

    #[test]
    fn what_may_stand_once_may_not_stand_twice_in_any_version() {
        for version in ALL {
            for name in UNIQUE {
                let twice = [("host", "a"), (name, "5"), (name, "5")];
                assert_eq!(status(&head(version, "GET", &twice)), 400, "{name}");
            }
            let twice = [("host", "a"), ("range", "x"), ("range", "x")];
            assert_eq!(status(&head(version, "GET", &twice)), 200);
        }
    }

    #[test]
    fn the_first_field_that_repeats_one_is_named() {
        let fields = [
            ("host", "a"),
            ("if-match", "x"),
            ("if-match", "x"),
            ("host", "a"),
        ];
        let head = head(Version::Http11, "GET", &fields);
        let error = check(&head, false).expect_err("refused");
        assert!(error.reason.ends_with("\"if-match\""), "{}", error.reason);
        assert_eq!(read_before_refusal(&head.fields), 3);
    }

    #[test]
    fn a_field_is_looked_at_before_the_method() {
        for version in ALL {
            for method in ["CONNECT", "TRACE"] {
                let good = [("host", "a")];
                assert_eq!(status(&head(version, method, &good)), 405);
                let bad = [("host", "a"), ("content-length", "x")];
                assert_eq!(status(&head(version, method, &bad)), 400);
            }
        }
    }

    #[test]
    fn a_request_over_http2_says_nothing_about_the_connection() {
        for (name, value, expected) in [
            ("te", "trailers", 200),
            ("te", "gzip", 400),
            ("connection", "close", 400),
            ("keep-alive", "", 400),
            ("proxy-connection", "close", 400),
            ("transfer-encoding", "chunked", 400),
            ("upgrade", "h2c", 400),
        ] {
            let fields = [("host", "a"), (name, value)];
            let asked = head(Version::Http2, "GET", &fields);
            assert_eq!(status(&asked), expected, "{name}");
        }
    }

    #[test]
    fn names_are_judged_as_nginx_judges_them() {
        let limits = Limits {
            line: 0,
            head: 0,
            fields: 0,
            underscores: false,
            ignore_invalid: true,
        };
        for (text, http1, http2) in [
            ("x-1", FieldNameCheck::Kept, FieldNameCheck::Kept),
            ("X", FieldNameCheck::Kept, FieldNameCheck::Broken),
            ("x_y", FieldNameCheck::Ignored, FieldNameCheck::Ignored),
            ("x.y", FieldNameCheck::Ignored, FieldNameCheck::Ignored),
            ("x y", FieldNameCheck::Broken, FieldNameCheck::Broken),
            (":x", FieldNameCheck::Broken, FieldNameCheck::Broken),
            ("", FieldNameCheck::Broken, FieldNameCheck::Broken),
        ] {
            let judged = |version| name(text.as_bytes(), version, &limits);
            let both = (judged(Version::Http11), judged(Version::Http2));
            assert_eq!(both, (http1, http2), "{text:?}");
        }
    }

    #[test]
    fn a_length_is_a_number_of_63_bits() {
        for (text, length) in [
            ("5", Some(5)),
            ("0000000000000000000000005", Some(5)),
            ("9223372036854775807", Some(i64::MAX as u64)),
            ("9223372036854775808", None),
            ("99999999999999999999", None),
            ("", None),
            ("+5", None),
            ("5 ", None),
            ("5,5", None),
            ("0x5", None),
        ] {
            assert_eq!(parse_length(text.as_bytes()), length, "{text:?}");
        }
    }
}
