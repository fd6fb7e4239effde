//! The head of a stream's request, in the terms of HTTP/1, which is what goes
//! upstream.

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, COOKIE, HOST};
use http::request::Parts;

use super::stream::Flaw;
use crate::http1::fields::{Fields, Span, append};
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
    let size = measure(parts, limits)?;
    let target = target(parts).filter(|_| method != "CONNECT");
    let Some(target) = target else {
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
    if parts.headers.len() - cookies(parts).count() > limits.fields {
        let flaw = (494, "client sent too many header lines");
        let line = line(parts);
        return Err(Fault::Invalid { line, flaw });
    }
    // Line, authority and fields are slices of one piece of memory. Between them
    // stands no more than `measure` has counted for the pseudo-fields' names.
    let mut text = Vec::with_capacity(size);
    write_line(parts, &mut text);
    let line = text.len();
    let authority = authority.map(|authority| append(&mut text, authority));
    let spans = fields(parts, limits, authority, &mut text);
    let text = Bytes::from(text);
    let size = |(start, end): (u32, u32)| (end - start) as usize;
    let length: usize = spans
        .iter()
        .map(|span| size(span.name) + size(span.value) + 4)
        .sum();
    Ok(RequestHead {
        length: (line + length + 4) as u64,
        line: text.slice(..line),
        method: text.slice(..method.len()),
        target: text.slice(method.len() + 1..method.len() + 1 + target.len()),
        authority: authority.map(|(start, end)| text.slice(start as usize..end as usize)),
        version: Version::Http2,
        fields: Fields::new(text, spans),
    })
}

fn target(parts: &Parts) -> Option<&str> {
    parts.uri.path_and_query().map(|target| target.as_str())
}

/// The request line that HTTP/1 would have.
fn line(parts: &Parts) -> Bytes {
    let mut line = Vec::new();
    write_line(parts, &mut line);
    line.into()
}

fn write_line(parts: &Parts, out: &mut Vec<u8>) {
    out.extend_from_slice(parts.method.as_str().as_bytes());
    out.push(b' ');
    out.extend_from_slice(target(parts).unwrap_or_default().as_bytes());
    out.extend_from_slice(b" HTTP/2.0");
}

fn cookies(parts: &Parts) -> impl Iterator<Item = &[u8]> {
    let cookies = parts.headers.iter().filter(|(name, _)| *name == COOKIE);
    cookies.map(|(_, value)| value.as_bytes())
}

fn is_method_byte(byte: u8) -> bool {
    byte.is_ascii_uppercase() || matches!(byte, b'_' | b'-')
}

/// nginx holds the size of one buffer against each name and each value, and
/// that of all against their sum, which this tells: bytes.
fn measure(parts: &Parts, limits: &Limits) -> Result<usize, Fault> {
    let authority = parts.uri.authority().map_or("", |it| it.as_str());
    let pseudo = [
        (":method", parts.method.as_str()),
        (":scheme", parts.uri.scheme_str().unwrap_or("http")),
        (":path", target(parts).unwrap_or_default()),
        (":authority", authority),
    ];
    let pseudo = pseudo
        .iter()
        .map(|(name, value)| (name.len(), value.len(), false));
    let regular = parts
        .headers
        .iter()
        .map(|(name, value)| (name.as_str().len(), value.len(), true));
    let (mut sum, mut known) = (0, false);
    for (name, value, regular) in pseudo.chain(regular) {
        sum += name + value;
        let reason = if name.max(value) > limits.line {
            "client sent too large header field"
        } else if sum > limits.head {
            "client sent too large header"
        } else {
            known = regular;
            continue;
        };
        // As much of it as nginx knows by then.
        let line = if known { line(parts) } else { Bytes::new() };
        return Err(Fault::TooLarge { line, reason });
    }
    Ok(sum)
}

/// `Host`, the regular fields, and the cookies, which may come in pieces
/// (RFC 9113, section 8.2.3).
fn fields(
    parts: &Parts,
    limits: &Limits,
    authority: Option<(u32, u32)>,
    text: &mut Vec<u8>,
) -> Vec<Span> {
    let mut spans = Vec::with_capacity(parts.headers.len() + 1);
    // A `Host` beside `:authority` has to say the same, which is looked at when
    // the server is chosen.
    let host = authority.filter(|_| parts.headers.keys().all(|name| name != HOST));
    spans.extend(host.map(|value| Span {
        name: append(text, b"host"),
        value,
    }));
    for (name, value) in &parts.headers {
        let bytes = name.as_str().as_bytes();
        if *name != COOKIE && (limits.is_regular(bytes) || !limits.ignore_invalid) {
            let name = append(text, bytes);
            let value = append(text, value.as_bytes());
            spans.push(Span { name, value });
        }
    }
    let mut cookies = cookies(parts);
    if let Some(first) = cookies.next() {
        let name = append(text, b"cookie");
        let (start, mut end) = append(text, first);
        for cookie in cookies {
            append(text, b"; ");
            (_, end) = append(text, cookie);
        }
        let value = (start, end);
        spans.extend((end > start).then_some(Span { name, value }));
    }
    spans
}

/// How long the body is, as far as it is said.
pub(super) fn framing(parts: &Parts, body: &Http2Body) -> Framing {
    if body.is_done() {
        return Framing::None;
    }
    let length = parts.headers.get(CONTENT_LENGTH);
    match length.and_then(|length| parse_length(length.as_bytes())) {
        Some(length) => Framing::Length(length),
        None => Framing::Chunked,
    }
}
