//! The head of a stream's request, in the terms of HTTP/1, which is what goes
//! upstream.

use bytes::Bytes;
use http::header::HeaderValue;
use http::request::Parts;

use super::stream::Flaw;
use crate::http1::fields::Fields;
use crate::http1::host;
use crate::http1::request_head::{Framing, Limits, RequestHead, Version, parse_length};
use crate::upstream::body::Http2Body;

/// What is wrong with a head that `h2` has decoded.
pub(super) enum Fault {
    /// More than `large_client_header_buffers` allow: nginx ends the connection.
    TooLarge {
        /// As much of the request line as nginx knows by then.
        line: Bytes,
        reason: &'static str,
    },
    /// It is answered with an error, and nothing is known of the request but
    /// its line.
    Invalid { line: Bytes, flaw: Flaw },
}

/// A pseudo-field is none: to nginx the request has no line.
fn invalid(reason: &'static str) -> Fault {
    let line = Bytes::new();
    let flaw = (400, reason);
    Fault::Invalid { line, flaw }
}

/// Reads a head.
pub(super) fn read(parts: &Parts, limits: &Limits) -> Result<RequestHead, Fault> {
    let method = parts.method.as_str();
    let target = parts.uri.path_and_query().map(|target| target.as_str());
    let line = [method, " ", target.unwrap_or_default(), " HTTP/2.0"].concat();
    let line = Bytes::from(line);
    measure(parts, limits, &line)?;
    let Some(target) = target.filter(|_| method != "CONNECT") else {
        return Err(invalid("client sent no :path header"));
    };
    if !target.starts_with('/') {
        return Err(invalid("client sent invalid :path header"));
    }
    if !method.bytes().all(is_method_byte) {
        return Err(invalid("client sent invalid method"));
    }
    let authority = parts.uri.authority().map(|it| it.as_str().as_bytes());
    if authority.is_some_and(|authority| host::find(authority).is_none()) {
        return Err(invalid("client sent invalid \":authority\" header"));
    }
    // nginx counts cookies apart from other fields.
    let cookies = parts.headers.get_all(http::header::COOKIE).iter().count();
    if parts.headers.len() - cookies > limits.fields {
        let flaw = (494, "client sent too many header lines");
        return Err(Fault::Invalid { line, flaw });
    }
    let fields = fields(parts, limits, authority);
    let length: usize = fields
        .iter()
        .map(|(name, value)| name.len() + value.len() + 4)
        .sum();
    Ok(RequestHead {
        length: (line.len() + length + 4) as u64,
        method: line.slice(..method.len()),
        target: line.slice(method.len() + 1..method.len() + 1 + target.len()),
        line,
        authority: authority.map(Bytes::copy_from_slice),
        version: Version::Http2,
        fields,
    })
}

fn is_method_byte(byte: u8) -> bool {
    byte.is_ascii_uppercase() || matches!(byte, b'_' | b'-')
}

/// nginx holds the size of one buffer against each name and each value, and
/// that of all against their sum.
fn measure(parts: &Parts, limits: &Limits, line: &Bytes) -> Result<(), Fault> {
    let authority = parts.uri.authority().map_or("", |it| it.as_str());
    let path = parts.uri.path_and_query().map_or("", |it| it.as_str());
    let pseudo = [
        (":method", parts.method.as_str()),
        (":scheme", parts.uri.scheme_str().unwrap_or("http")),
        (":path", path),
        (":authority", authority),
    ];
    let pseudo = pseudo
        .iter()
        .map(|(name, value)| (name.len(), value.len(), false));
    let regular = parts
        .headers
        .iter()
        .map(|(name, value)| (name.as_str().len(), value.len(), true));
    let (mut left, mut known) = (limits.head, false);
    for (name, value, regular) in pseudo.chain(regular) {
        let line = if known { line.clone() } else { Bytes::new() };
        if name.max(value) > limits.line {
            let reason = "client sent too large header field";
            return Err(Fault::TooLarge { line, reason });
        }
        left = left.checked_sub(name + value).ok_or(Fault::TooLarge {
            line,
            reason: "client sent too large header",
        })?;
        known = regular;
    }
    Ok(())
}

/// `Host`, the regular fields, and the cookies, which may come in pieces
/// (RFC 9113, section 8.2.3).
fn fields(parts: &Parts, limits: &Limits, authority: Option<&[u8]>) -> Fields {
    // A `Host` beside `:authority` has to say the same, which is looked at when
    // the server is chosen.
    let host = authority
        .filter(|_| !parts.headers.contains_key(http::header::HOST))
        .map(|host| (&b"host"[..], host))
        .into_iter();
    let regular = parts
        .headers
        .iter()
        .map(|(name, value)| (name.as_str().as_bytes(), value.as_bytes()))
        .filter(|(name, _)| {
            *name != b"cookie" && (limits.is_regular(name) || !limits.ignore_invalid)
        });
    let cookies: Vec<&[u8]> = parts
        .headers
        .get_all(http::header::COOKIE)
        .iter()
        .map(HeaderValue::as_bytes)
        .collect();
    let cookie = cookies.join(&b"; "[..]);
    let joined = (!cookie.is_empty()).then_some((&b"cookie"[..], &cookie[..]));
    Fields::collect(host.chain(regular).chain(joined))
}

/// How long the body is, as far as it is said.
pub(super) fn framing(parts: &Parts, body: &Http2Body) -> Framing {
    let length = parts.headers.get(http::header::CONTENT_LENGTH);
    match length.map(HeaderValue::as_bytes).and_then(parse_length) {
        _ if body.is_done() => Framing::None,
        Some(length) => Framing::Length(length),
        None => Framing::Chunked,
    }
}
