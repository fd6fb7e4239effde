//! Heads of an upstream's responses (RFC 9112, section 4).

use bytes::{Bytes, BytesMut};

use crate::message::fields::{Fields, Span, contains};
use crate::message::head::{Framing, Version};
use crate::message::rules::parse_length;

/// More fields make a head too big, whatever `proxy_buffer_size` is: nobody means to send so many,
/// and HTTP/2 cannot pass on all that would fit.
pub(crate) const MOST_FIELDS: usize = 10_000;

/// The head of a response.
#[derive(Clone, Debug)]
pub(crate) struct ResponseHead {
    pub(crate) version: Version,
    pub(crate) status: u16,
    /// Everything after the status, space and reason phrase, as the upstream wrote it.
    pub(crate) reason: Bytes,
    pub(crate) fields: Fields,
}

/// Why a response is invalid; nginx returns 502 for all of these.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Error {
    #[error("upstream sent no valid HTTP/1.0 header")]
    NoHttp,
    #[error("upstream sent too big header")]
    TooBig,
    #[error("upstream sent invalid header")]
    Field,
    #[error("upstream sent unknown \"Transfer-Encoding\"")]
    Coding,
    #[error("upstream sent \"Content-Length\" and \"Transfer-Encoding\" headers at the same time")]
    Both,
    #[error("upstream sent invalid \"Content-Length\" header")]
    Length,
    #[error("upstream sent duplicate header line")]
    Duplicate,
    #[error("upstream sent HTTP/1.0 response with interim status")]
    Interim,
    #[error("upstream sent too many interim responses")]
    Interims,
}

/// How much a head may take, or takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct HeadSize {
    /// Bytes of text.
    pub(crate) text: usize,
    pub(crate) fields: usize,
}

impl HeadSize {
    /// That of the head at the beginning of `input`, as far as it has come, up to `limit` bytes.
    pub(crate) fn of(input: &[u8], limit: usize) -> Self {
        let mut size = Self { text: 0, fields: 0 };
        for line in input[..input.len().min(limit)].split_inclusive(|byte| *byte == b'\n') {
            size.text += line.len();
            size.fields += 1;
            if matches!(line, b"\n" | b"\r\n") {
                break;
            }
        }
        size
    }
}

/// Takes a head from `input`; `Ok(None)` if it is incomplete.
pub(crate) fn parse(input: &mut BytesMut, most: HeadSize) -> Result<Option<ResponseHead>, Error> {
    let limit = most.text;
    let Some(line_end) = memchr::memchr(b'\n', input) else {
        let start = &input[..input.len().min(5)];
        return match () {
            () if !b"HTTP/".starts_with(start) => Err(Error::NoHttp),
            () if input.len() >= limit => Err(Error::TooBig),
            () => Ok(None),
        };
    };
    let line_length = if input[..line_end].ends_with(b"\r") {
        line_end - 1
    } else {
        line_end
    };
    let (version, status, reason) = parse_status_line(&input[..line_length])?;
    let mut spans = Vec::with_capacity(16);
    let mut at = line_end + 1;
    loop {
        let Some(end) = memchr::memchr(b'\n', &input[at..]) else {
            return if input.len() >= limit {
                Err(Error::TooBig)
            } else {
                Ok(None)
            };
        };
        let line = &input[at..at + end];
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let next = at + end + 1;
        if next > limit {
            return Err(Error::TooBig);
        }
        if line.is_empty() {
            let text = input.split_to(next).freeze();
            let reason = text.slice(reason..line_length.max(reason));
            let fields = Fields::new(text, spans);
            return Ok(Some(ResponseHead {
                version,
                status,
                reason,
                fields,
            }));
        }
        if let Some(span) = parse_field(line, at)? {
            if spans.len() == most.fields {
                return Err(Error::TooBig);
            }
            spans.push(span);
        }
        at = next;
    }
}

/// Version, status, and the offset of the space and reason phrase; IIS writes `403.1 ` and
/// the like.
fn parse_status_line(line: &[u8]) -> Result<(Version, u16, usize), Error> {
    let rest = line.strip_prefix(b"HTTP/").ok_or(Error::NoHttp)?;
    if rest.starts_with(b"0") {
        return Err(Error::NoHttp);
    }
    let (major, rest) = split_number(rest)?;
    let (minor, rest) = split_number(rest.strip_prefix(b".").ok_or(Error::NoHttp)?)?;
    let version = if (major, minor) < (1, 1) {
        Version::Http10
    } else {
        Version::Http11
    };
    let spaces = rest.iter().take_while(|byte| **byte == b' ').count();
    let (status, behind) = rest[spaces..]
        .split_first_chunk::<3>()
        .ok_or(Error::NoHttp)?;
    let valid = spaces > 0 && status.iter().all(u8::is_ascii_digit);
    let ends = matches!(behind.first(), None | Some(b' ' | b'.'));
    if !valid || !ends || status[0] == b'0' || behind.contains(&b'\r') {
        return Err(Error::NoHttp);
    }
    let status = status
        .iter()
        .fold(0, |sum, digit| sum * 10 + u16::from(digit - b'0'));
    Ok((version, status, line.len() - behind.len()))
}

/// The leading number of up to three digits, and the rest of the text.
fn split_number(text: &[u8]) -> Result<(u16, &[u8]), Error> {
    let digits = text.iter().take_while(|byte| byte.is_ascii_digit());
    let (number, rest) = text.split_at(digits.count());
    if !matches!(number.len(), 1..=3) {
        return Err(Error::NoHttp);
    }
    let value = |sum, digit: &u8| sum * 10 + u16::from(digit - b'0');
    Ok((number.iter().fold(0, value), rest))
}

/// Parses a field line, which ends with a line feed, at offset `at` of its text. A line
/// without a colon is a name without a value; `None` is a second status line, which IIS may
/// send. All of it like nginx.
#[inline]
fn parse_field(line: &[u8], at: usize) -> Result<Option<Span>, Error> {
    if line.starts_with(b"HTTP/") {
        return Ok(None);
    }
    let mut line = line;
    while let Some(shorter) = line.strip_suffix(b"\r") {
        line = shorter;
    }
    let name = memchr::memchr(b':', line).unwrap_or(line.len());
    let invalid_name = line[..name]
        .iter()
        .any(|byte| *byte <= 0x20 || *byte == 0x7f);
    if name == 0 || invalid_name || line[name..].iter().any(|byte| matches!(byte, 0 | b'\r')) {
        return Err(Error::Field);
    }
    let value = (name + 1).min(line.len());
    let raw = &line[value..];
    let leading = raw
        .iter()
        .take_while(|byte| matches!(byte, b' ' | b'\t'))
        .count();
    let trailing = raw[leading..]
        .iter()
        .rev()
        .take_while(|byte| matches!(byte, b' ' | b'\t'))
        .count();
    Ok(Some(Span {
        name: (at as u32, (at + name) as u32),
        value: (
            (at + value + leading) as u32,
            (at + line.len() - trailing) as u32,
        ),
    }))
}

impl Fields {
    /// Trailer field lines, each with its line end.
    pub(crate) fn parse(text: Bytes) -> Result<Self, Error> {
        let (mut spans, mut at) = (Vec::new(), 0);
        for line in text.split_inclusive(|byte| *byte == b'\n') {
            let length = line.len();
            spans.extend(parse_field(line.strip_suffix(b"\n").unwrap_or(line), at)?);
            at += length;
        }
        Ok(Self::new(text, spans))
    }
}

impl ResponseHead {
    /// Determines the body's framing (RFC 9112, section 6.3); `to_head` if the request was
    /// a `HEAD`.
    pub(crate) fn framing(&self, to_head: bool) -> Result<Framing, Error> {
        for name in [&b"content-length"[..], b"transfer-encoding"] {
            if self.fields.repeats(name) {
                return Err(Error::Duplicate);
            }
        }
        let coding = self.fields.first(b"transfer-encoding");
        let length = self.fields.first(b"content-length");
        if coding.is_some() && length.is_some() {
            return Err(Error::Both);
        }
        let length = match length {
            Some(value) => Some(parse_length(value).ok_or(Error::Length)?),
            None => None,
        };
        if coding.is_some_and(|coding| !coding.eq_ignore_ascii_case(b"chunked")) {
            return Err(Error::Coding);
        }
        Ok(match (coding, length) {
            _ if to_head || matches!(self.status, 100..=199 | 204 | 304) => Framing::None,
            (Some(_), _) => Framing::Chunked,
            (None, Some(length)) => Framing::Length(length),
            (None, None) => Framing::UntilClose,
        })
    }

    /// Whether the upstream keeps the connection open: never with HTTP/1.0, as in nginx.
    pub(crate) fn keeps_alive(&self) -> bool {
        let mut connection = self.fields.all(b"connection");
        self.version == Version::Http11 && !connection.any(|value| contains(value, b"close"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOST: HeadSize = HeadSize {
        text: 4096,
        fields: 3,
    };

    fn head(text: &str) -> Result<Option<ResponseHead>, Error> {
        parse(&mut BytesMut::from(text.as_bytes()), MOST)
    }

    #[test]
    fn a_head_keeps_its_reason_and_fields() {
        let head = head("HTTP/1.1 207 Multi Status\r\nx-A: b \r\n\r\n")
            .expect("valid")
            .expect("whole");
        assert_eq!(
            (head.status, &head.reason[..]),
            (207, &b" Multi Status"[..])
        );
        assert_eq!(head.fields.iter().next(), Some((&b"x-A"[..], &b"b"[..])));
        assert_eq!(head.framing(false), Ok(Framing::UntilClose));
    }

    #[test]
    fn a_reason_may_be_missing() {
        for (text, reason) in [
            ("HTTP/1.1 200\r\n\r\n", &b""[..]),
            ("HTTP/1.0 200 \r\n\r\n", b" "),
        ] {
            assert_eq!(head(text).expect("valid").expect("whole").reason, reason);
        }
    }

    #[test]
    fn broken_responses_are_refused() {
        for text in [
            "hello\r\n",
            "HTTP/1.1 20\r\n\r\n",
            "HTTP/2 200 OK\r\n\r\n",
            "HTTP/1.1. 200 OK\r\n\r\n",
            "SSH-2.0",
            "HTTP/1.1 2000\r\n\r\n",
            "HTTP/1.1 099 OK\r\n\r\n",
            "HTTP/01.1 200 OK\r\n\r\n",
            "HTTP/1.1000 200 OK\r\n\r\n",
            "HTTP/1.1 200 a\rb\r\n\r\n",
        ] {
            assert!(matches!(head(text), Err(Error::NoHttp)), "{text:?}");
        }
        assert!(matches!(
            head("HTTP/1.1 200 OK\r\nno colon\r\n\r\n"),
            Err(Error::Field)
        ));
        let big = format!("HTTP/1.1 200 OK\r\nA: {}\r\n\r\n", "b".repeat(5000));
        assert!(matches!(head(&big), Err(Error::TooBig)));
        let many = format!("HTTP/1.1 200 OK\r\n{}\r\n", "A:\r\n".repeat(4));
        assert!(matches!(head(&many), Err(Error::TooBig)));
    }

    #[test]
    fn the_size_of_a_head_is_that_of_its_lines() {
        let size = |text: &str, limit| {
            let HeadSize { text, fields } = HeadSize::of(text.as_bytes(), limit);
            (text, fields)
        };
        assert_eq!(size("HTTP/1.1 200 OK\r\nA: b\r\n\r\nbody\n", 99), (25, 3));
        assert_eq!(size("HTTP/1.1 200 OK\nA: b\n\nbody", 99), (22, 3));
        assert_eq!(size("HTTP/1.1 200 OK\nA: b", 99), (20, 2));
        assert_eq!(size("HTTP/1.1 200 OK\nA: b", 17), (17, 2));
    }

    #[test]
    fn versions_are_numbers() {
        for (version, expected) in [
            ("1.0", Version::Http10),
            ("1.00", Version::Http10),
            ("1.1", Version::Http11),
            ("1.12", Version::Http11),
            ("2.0", Version::Http11),
        ] {
            let head = head(&format!("HTTP/{version} 403.1 x\r\n\r\n"));
            let head = head.expect("valid").expect("whole");
            let seen = (head.version, head.status, &head.reason[..]);
            assert_eq!(seen, (expected, 403, &b".1 x"[..]), "{version}");
        }
    }

    #[test]
    fn field_lines_are_read_as_nginx_reads_them() {
        let text = "HTTP/1.1 200 OK\r\nNoColon\r\nHTTP/1.1 404 No\r\nA: b\r\r\n\r\n";
        let head = head(text).expect("valid").expect("whole");
        let fields: Vec<_> = head.fields.iter().collect();
        assert_eq!(fields, [(&b"NoColon"[..], &b""[..]), (b"A", b"b")]);
    }

    #[test]
    fn ambiguous_framing_is_refused() {
        let framing = |fields: &str| {
            head(&format!("HTTP/1.1 200 OK\r\n{fields}\r\n\r\n"))
                .expect("valid")
                .expect("whole")
                .framing(false)
        };
        assert_eq!(
            framing("Content-Length: 1\r\nTransfer-Encoding: chunked"),
            Err(Error::Both)
        );
        assert_eq!(
            framing("Content-Length: 1\r\nContent-Length: 2"),
            Err(Error::Duplicate)
        );
        assert_eq!(framing("Content-Length: x"), Err(Error::Length));
        assert_eq!(framing("Transfer-Encoding: gzip"), Err(Error::Coding));
        assert_eq!(framing("Transfer-Encoding: Chunked"), Ok(Framing::Chunked));
    }
}
