//! The head of a stream's request, as the head of an HTTP/1 request, which is what
//! upstreams get.

use bytes::Bytes;

use crate::message::fields::{Fields, Span, append};
use crate::message::head::{Limits, RequestHead, Version};
use crate::message::host;
use crate::message::rules::{self, FieldNameCheck};

/// A decoded head that has not been checked. `fields` returns the regular fields, from the
/// first at each call.
#[derive(Clone, Debug)]
pub(crate) struct Decoded<'a, F> {
    pub(crate) method: &'a [u8],
    pub(crate) scheme: Option<&'a [u8]>,
    pub(crate) authority: Option<&'a [u8]>,
    pub(crate) path: Option<&'a [u8]>,
    pub(crate) fields: F,
}

/// Why a head is rejected.
#[derive(Debug)]
pub(crate) enum Error {
    /// It exceeds `large_client_header_buffers`: nginx closes the connection.
    TooLarge {
        /// The part of the request line that nginx knows then.
        line: Bytes,
        reason: &'static str,
    },
    /// It gets an error response.
    Invalid {
        /// What is known of it.
        head: Box<RequestHead>,
        error: rules::Error,
    },
}

const LINE_BREAK: rules::Error = rules::Error::new(400, "client sent a line break in a header");

/// A pseudo-header is missing or invalid: nginx logs no request line then. The method says whether the
/// response may have a body.
#[cold]
fn invalid(method: &[u8], reason: &'static str) -> Error {
    let method = if rules::is_method(method) {
        method
    } else {
        b""
    };
    let head = Box::new(RequestHead {
        method: Bytes::copy_from_slice(method),
        ..*RequestHead::of_line(Bytes::new(), Version::Http2)
    });
    let error = rules::Error::new(400, reason);
    Error::Invalid { head, error }
}

/// Parses a head, which was sent in `encoded` bytes if that is known. `of_host` returns the limits
/// of the server that a host selects, if they differ: they apply from there on.
pub(crate) fn read<'a, F, I>(
    decoded: &Decoded<'a, F>,
    encoded: Option<u32>,
    limits: &Limits,
    of_host: impl Fn(&[u8]) -> Option<Limits>,
) -> Result<Box<RequestHead>, Error>
where
    F: Fn() -> I,
    I: Iterator<Item = (&'a [u8], &'a [u8])>,
{
    let method = decoded.method;
    let Measured { size, fields } = decoded.measure(encoded, limits)?;
    let target = decoded.path.filter(|_| method != b"CONNECT");
    let Some(target) = target else {
        return Err(invalid(method, "client sent no :path header"));
    };
    if !target.starts_with(b"/") || !rules::is_valid_target(target) {
        return Err(invalid(method, "client sent invalid :path header"));
    }
    if !rules::is_method(method) {
        return Err(invalid(method, "client sent invalid method"));
    }
    if decoded
        .scheme
        .is_some_and(|scheme| !rules::is_scheme(scheme))
    {
        return Err(invalid(method, "client sent invalid :scheme header"));
    }
    let authority = decoded.authority;
    if authority.is_some_and(|authority| host::find(authority).is_none()) {
        return Err(invalid(method, "client sent invalid \":authority\" header"));
    }
    // All pseudo-headers are known then.
    let refuse = |error| {
        let line = decoded.line();
        let head = Box::new(RequestHead {
            method: line.slice(..method.len()),
            target: line.slice(method.len() + 1..method.len() + 1 + target.len()),
            authority: authority.map(Bytes::copy_from_slice),
            length: (line.len() + authority.map_or(0, <[u8]>::len)) as u64,
            ..*RequestHead::of_line(line, Version::Http2)
        });
        Error::Invalid { head, error }
    };
    let limits = authority.and_then(&of_host).unwrap_or(*limits);
    // nginx does not count cookies as fields.
    if fields > limits.fields {
        return Err(refuse(rules::Error::new(
            494,
            "client sent too many header lines",
        )));
    }
    // Line, authority and fields are slices of one buffer. The separators fit into what
    // `measure` counted for the names of pseudo-headers.
    let mut text = Vec::with_capacity(size);
    decoded.write_line(&mut text);
    let line = text.len();
    let authority = authority.map(|authority| append(&mut text, authority));
    let spans = decoded.write_fields((limits, &of_host), fields, authority, &mut text);
    let spans = spans.map_err(refuse)?;
    // All of it at once.
    if !rules::is_single_line(&text) {
        return Err(refuse(LINE_BREAK));
    }
    let text = Bytes::from(text);
    let size = |(start, end): (u32, u32)| (end - start) as usize;
    let length: usize = spans
        .iter()
        .map(|span| size(span.name) + size(span.value) + 4)
        .sum();
    Ok(Box::new(RequestHead {
        length: (line + length + 4) as u64,
        line: text.slice(..line),
        method: text.slice(..method.len()),
        target: text.slice(method.len() + 1..method.len() + 1 + target.len()),
        authority: authority.map(|(start, end)| text.slice(start as usize..end as usize)),
        version: Version::Http2,
        fields: Fields::new(text, spans),
    }))
}

/// The size of a head.
struct Measured {
    /// All names and values, bytes.
    size: usize,
    /// Regular fields except cookies.
    fields: usize,
}

impl<'a, F, I> Decoded<'a, F>
where
    F: Fn() -> I,
    I: Iterator<Item = (&'a [u8], &'a [u8])>,
{
    /// The request line in HTTP/1.
    fn line(&self) -> Bytes {
        let mut line = Vec::new();
        self.write_line(&mut line);
        line.into()
    }

    fn write_line(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.method);
        out.push(b' ');
        out.extend_from_slice(self.path.unwrap_or_default());
        out.extend_from_slice(b" HTTP/2.0");
    }

    fn cookies(&self) -> impl Iterator<Item = &'a [u8]> {
        let cookies = (self.fields)().filter(|(name, _)| *name == b"cookie");
        cookies.map(|(_, value)| value)
    }

    /// nginx compares each name and each value, as it was sent, with the size of one buffer, and the
    /// sum of all, decoded, with that of all buffers. `h2` does not tell how each was sent, but none
    /// is longer than the whole block.
    fn measure(&self, encoded: Option<u32>, limits: &Limits) -> Result<Measured, Error> {
        let all_fit = encoded.is_some_and(|size| size as usize <= limits.line);
        let pseudo = [
            (":method", self.method),
            (":scheme", self.scheme.unwrap_or(b"http")),
            (":path", self.path.unwrap_or_default()),
            (":authority", self.authority.unwrap_or_default()),
        ];
        let pseudo = pseudo
            .iter()
            .map(|(name, value)| (name.as_bytes(), value.len(), false));
        let regular = (self.fields)().map(|(name, value)| (name, value.len(), true));
        let (mut size, mut fields, mut known) = (0, 0, false);
        for (name, value, regular) in pseudo.chain(regular) {
            size += name.len() + value;
            fields += usize::from(regular && name != b"cookie");
            let reason = if !all_fit && name.len().max(value) > limits.line {
                "client sent too large header field"
            } else if size > limits.head {
                "client sent too large header"
            } else {
                known = regular;
                continue;
            };
            // The part of it that nginx knows then.
            let line = if known { self.line() } else { Bytes::new() };
            return Err(Error::TooLarge { line, reason });
        }
        Ok(Measured { size, fields })
    }

    /// `Host`, the regular fields, and the cookies, which may come in several fields (RFC
    /// 9113, section 8.2.3).
    fn write_fields(
        &self,
        (mut limits, of_host): (Limits, impl Fn(&[u8]) -> Option<Limits>),
        fields: usize,
        authority: Option<(u32, u32)>,
        text: &mut Vec<u8>,
    ) -> Result<Vec<Span>, rules::Error> {
        let mut spans = Vec::with_capacity(fields + 2);
        // A `Host` beside `:authority` has to be the same; this is checked when the server
        // is selected.
        let host = authority.filter(|_| (self.fields)().all(|(name, _)| name != b"host"));
        spans.extend(host.map(|value| Span {
            name: append(text, b"host"),
            value,
        }));
        for (name, value) in (self.fields)() {
            if name == b"cookie" {
                continue;
            }
            if name == b"host" && authority.is_none() {
                limits = of_host(value).unwrap_or(limits);
            }
            match rules::name(name, Version::Http2, &limits) {
                FieldNameCheck::Kept => {
                    let name = append(text, name);
                    let value = append(text, value);
                    spans.push(Span { name, value });
                }
                // Left out, but still checked.
                FieldNameCheck::Ignored if rules::is_single_line(value) => {}
                FieldNameCheck::Ignored => return Err(LINE_BREAK),
                FieldNameCheck::Broken => {
                    return Err(rules::Error::new(400, "client sent invalid header name"));
                }
            }
        }
        let mut cookies = self.cookies();
        if let Some(first) = cookies.next() {
            let name = append(text, b"cookie");
            let (start, mut end) = append(text, first);
            for cookie in cookies {
                append(text, b"; ");
                (_, end) = append(text, cookie);
            }
            let value = (start, end);
            spans.push(Span { name, value });
        }
        Ok(spans)
    }
}
