//! Request heads (RFC 9112, sections 2 to 6), parsed like nginx.

use std::borrow::Cow;

use bytes::{Bytes, BytesMut};

use super::field_lines::FieldLines;
use super::request_line::{INVALID_OLD_METHOD, is_control, parse_line};
use crate::message::head::{Limits, RequestHead, Version};
use crate::message::rules::is_method_byte;

/// The part of a rejected request line that is logged, bytes (the size of nginx's first
/// buffer).
const SHOWN: usize = 1024;

/// Why a head is rejected.
#[derive(Clone, Debug)]
pub(crate) struct Error {
    /// The status; 494 is nginx's own, sent as a 400 with a page of its own.
    pub status: u16,
    /// The message for the error log.
    pub reason: Cow<'static, str>,
    /// What is known of the head.
    pub head: Box<RequestHead>,
    /// The request line is valid, and `head` has been taken: a field behind it is rejected.
    pub in_fields: bool,
}

/// Takes a head from `input`; `Ok(None)` if it is incomplete.
///
/// The limits of later fields may depend on the host: like nginx, this selects the server
/// as soon as the host is known.
pub(crate) fn parse(
    input: &mut BytesMut,
    limits: &Limits,
    of_host: impl Fn(&[u8]) -> Option<Limits>,
) -> Result<Option<Box<RequestHead>>, Error> {
    let empty = empty_lines(input);
    if empty > 0 {
        bytes::Buf::advance(input, empty);
    }
    let Some(line_end) = memchr::memchr(b'\n', input) else {
        return check_partial_line(input, limits).map(|()| None);
    };
    if line_end > limits.line {
        return Err(too_long_line(input, limits));
    }
    let line = parse_line(trim_line(&input[..line_end]))
        .map_err(|(status, reason)| reject_line(status, reason, input))?;
    let mut fields = FieldLines::after(line_end);
    let parsed = fields.parse(input, &line, limits, of_host);
    if matches!(parsed, Ok(false)) {
        return Ok(None);
    }
    // A head with an invalid line ends with the one before it.
    let text = input.split_to(fields.end).freeze();
    let head = line.into_head(text, fields.spans);
    match parsed {
        Ok(_) => Ok(Some(head)),
        Err((status, reason)) => Err(Error {
            status,
            reason,
            head,
            in_fields: true,
        }),
    }
}

/// What is known of a head that did not end: its line, or the beginning of it, and the fields whose
/// lines are complete.
pub(crate) fn parse_incomplete(input: &[u8], limits: &Limits) -> Box<RequestHead> {
    let input = &input[empty_lines(input)..];
    let line_end = memchr::memchr(b'\n', input);
    let line = line_end.map(|end| (parse_line(trim_line(&input[..end])), end));
    let Some((Ok(line), line_end)) = line else {
        return RequestHead::of_line(Bytes::copy_from_slice(first_line(input)), Version::Http11);
    };
    let mut fields = FieldLines::after(line_end);
    // Whatever is wrong with it, the fields before that are known.
    let _ = fields.parse(input, &line, limits, |_| None);
    let text = Bytes::copy_from_slice(&input[..fields.end]);
    line.into_head(text, fields.spans)
}

/// How many bytes of line ends there are before a request line: nginx ignores them.
fn empty_lines(input: &[u8]) -> usize {
    input
        .iter()
        .take_while(|byte| matches!(byte, b'\r' | b'\n'))
        .count()
}

fn trim_line(line: &[u8]) -> &[u8] {
    line.strip_suffix(b"\r").unwrap_or(line)
}

/// Up to the first line end.
fn first_line(input: &[u8]) -> &[u8] {
    let end = memchr::memchr2(b'\r', b'\n', input).unwrap_or(input.len());
    &input[..end]
}

fn reject_line(status: u16, reason: &'static str, input: &[u8]) -> Error {
    let line = first_line(input);
    let shown = match status {
        414 => line.len(),
        _ => line.len().min(SHOWN),
    };
    // The response to HTTP/0.9 has no head.
    let version = match reason == INVALID_OLD_METHOD.1 {
        true => Version::Http09,
        false => Version::Http11,
    };
    let head = RequestHead::of_line(Bytes::copy_from_slice(&line[..shown]), version);
    Error {
        status,
        reason: reason.into(),
        head,
        in_fields: false,
    }
}

fn too_long_line(input: &[u8], limits: &Limits) -> Error {
    reject_line(414, "client sent too long URI", &input[..limits.line])
}

/// Rejects an incomplete line that is invalid already, instead of waiting for the time-out.
fn check_partial_line(input: &[u8], limits: &Limits) -> Result<(), Error> {
    if input.len() > limits.line {
        return Err(too_long_line(input, limits));
    }
    let method = input
        .iter()
        .take_while(|byte| is_method_byte(**byte))
        .count();
    if method < input.len() && (input[method] != b' ' || method == 0) {
        return Err(reject_line(400, "client sent invalid method", input));
    }
    if input[method..]
        .iter()
        .any(|byte| is_control(*byte) && *byte != b'\r')
    {
        return Err(reject_line(400, "client sent invalid request", input));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::head::Framing;
    use crate::message::rules;

    const LIMITS: Limits = Limits {
        line: 8192,
        head: 32768,
        fields: 1000,
        underscores: false,
        ignore_invalid: true,
    };

    fn head(text: &str) -> Result<Box<RequestHead>, u16> {
        let mut input = BytesMut::from(text.as_bytes());
        match parse(&mut input, &LIMITS, |_| None) {
            Ok(Some(head)) => Ok(head),
            Ok(None) => Err(0),
            Err(error) => Err(error.status),
        }
    }

    fn framing(text: &str) -> Result<Framing, u16> {
        rules::check(&*head(text)?, false).map_err(|error| error.status)
    }

    #[test]
    fn a_head_keeps_its_words() {
        let head = head("\r\nGET /a?b HTTP/1.1\r\nHost: x\r\nX-Foo:  bar \r\n\r\n").expect("whole");
        assert_eq!(&head.line[..], b"GET /a?b HTTP/1.1");
        assert_eq!(&head.target[..], b"/a?b");
        assert_eq!(head.fields.first(b"x-foo"), Some(&b"bar"[..]));
        assert!(head.wants_keep_alive());
    }

    #[test]
    fn an_absolute_form_gives_authority_and_path() {
        let with_path = head("GET http://a.b:81/c?d HTTP/1.1\r\nHost: x\r\n\r\n").expect("whole");
        assert_eq!(with_path.authority.as_deref(), Some(&b"a.b:81"[..]));
        assert_eq!(&with_path.target[..], b"/c?d");
        let without = head("GET http://a?d#e HTTP/1.1\r\nHost: a\r\n\r\n").expect("whole");
        assert_eq!(&without.target[..], b"/?d");
    }

    #[test]
    fn broken_request_lines_are_refused() {
        for (line, status) in [
            ("get / HTTP/1.1", 400),
            ("GET  HTTP/1.1", 400),
            ("GET * HTTP/1.1", 400),
            ("GET /\u{1} HTTP/1.1", 400),
            ("GET / HTTP/2.0", 505),
            ("GET / HTTP/1", 400),
            ("GET / HTTP/11", 505),
            ("GET / HTTP/01.1", 400),
            ("GET / HTTP/1.1\r", 400),
            ("GET / HTTP/1.1\t", 400),
            ("GET / HTTP/1.1 x", 400),
            ("GET / FTP/1.1", 400),
            ("POST /", 400),
            ("CONNECT a HTTP/1.1", 400),
            ("CONNECT [::1] HTTP/1.1", 400),
            ("CONNECT a: HTTP/1.1", 400),
            ("CONNECT / HTTP/1.1", 400),
            ("GET http://a%2fb/ HTTP/1.1", 400),
            ("GET http://a_b HTTP/1.1", 400),
            ("GET http://a#b HTTP/1.1", 400),
            ("GET http://a@b/ HTTP/1.1", 400),
            ("\u{16}\u{3}\u{1}", 400),
        ] {
            assert_eq!(
                head(&format!("{line}\r\nHost: a\r\n\r\n")).map(|_| ()),
                Err(status),
                "{line:?}"
            );
        }
    }

    #[test]
    fn some_methods_are_not_allowed() {
        for line in ["CONNECT a:1", "CONNECT [::1]:1", "TRACE /"] {
            let text = format!("{line} HTTP/1.1\r\nHost: a\r\n\r\n");
            assert_eq!(framing(&text), Err(405), "{line}");
        }
    }

    #[test]
    fn garbage_is_refused_before_its_line_ends() {
        assert_eq!(head("\u{16}\u{3}").map(|_| ()), Err(400));
        assert_eq!(head("GE").map(|_| ()), Err(0));
        assert_eq!(head("GET /\u{0}").map(|_| ()), Err(400));
    }

    #[test]
    fn smuggling_shapes_are_refused() {
        for (fields, status) in [
            ("Content-Length: 3\r\nTransfer-Encoding: chunked", 400),
            ("Content-Length: 3\r\nContent-Length: 3", 400),
            ("Content-Length: 3, 3", 400),
            ("Content-Length: +3", 400),
            ("Content-Length: -1", 400),
            ("Content-Length: 99999999999999999999", 400),
            ("Content-Length:", 400),
            (
                "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
                400,
            ),
            ("Transfer-Encoding: gzip, chunked", 501),
            ("Transfer-Encoding: xchunked", 501),
            ("Transfer-Encoding : chunked", 400),
            ("X: a\r\n b", 400),
            (" X: a", 400),
            (": a", 400),
            ("X: a\u{0}b", 400),
            ("X: a\rb", 400),
            ("\r", 400),
            ("Host: b", 400),
        ] {
            let text = format!("POST / HTTP/1.1\r\nHost: a\r\n{fields}\r\n\r\n");
            assert_eq!(framing(&text), Err(status), "{fields:?}");
        }
        assert_eq!(
            framing("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n"),
            Err(400)
        );
        assert_eq!(framing("GET / HTTP/1.1\r\n\r\n"), Err(400));
    }

    #[test]
    fn odd_names_are_left_out() {
        let head = head("GET / HTTP/1.1\r\nHost: a\r\nX_A: 1\r\nX@B: 2\r\n\r\n").expect("whole");
        assert_eq!(head.fields.iter().count(), 1);
    }

    #[test]
    fn sizes_are_bounded() {
        let long = "a".repeat(9000);
        assert_eq!(
            head(&format!("GET /{long} HTTP/1.1\r\n\r\n")).map(|_| ()),
            Err(414)
        );
        assert_eq!(
            head(&format!("GET / HTTP/1.1\r\nX: {long}\r\n\r\n")).map(|_| ()),
            Err(494)
        );
        let many = "A: b\r\n".repeat(1001);
        assert_eq!(
            head(&format!("GET / HTTP/1.1\r\n{many}\r\n")).map(|_| ()),
            Err(494)
        );
        let total = format!("A: {}\r\n", "b".repeat(8000)).repeat(5);
        assert_eq!(
            head(&format!("GET / HTTP/1.1\r\n{total}\r\n")).map(|_| ()),
            Err(494)
        );
    }

    #[test]
    fn http_0_9_has_no_head() {
        assert_eq!(
            head("GET /\r\n").map(|head| head.version),
            Ok(Version::Http09)
        );
    }
}
