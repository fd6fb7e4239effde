//! Request heads (RFC 9112, sections 2 to 6), read as nginx reads them.

use std::borrow::Cow;

use bytes::{Bytes, BytesMut};

use super::fields::{Fields, Span, contains, members};

/// As much of a refused request line as the logs show, bytes (nginx: what its
/// first buffer holds).
const SHOWN: usize = 1024;

/// How much of a head a stranger may send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Longest request line and longest field line, in bytes
    /// (`large_client_header_buffers`, second argument).
    pub line: usize,
    /// The whole head, in bytes (`large_client_header_buffers`, both arguments).
    pub head: usize,
    /// How many field lines (`max_headers`).
    pub fields: usize,
    /// `underscores_in_headers`.
    pub underscores: bool,
    /// `ignore_invalid_headers`.
    pub ignore_invalid: bool,
}

/// The version a request line names (RFC 9112, section 2.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    /// A line without a version: `GET /` and nothing else.
    Http09,
    /// `HTTP/1.0`.
    Http10,
    /// `HTTP/1.1`, and any later minor version.
    Http11,
    /// HTTP/2 (RFC 9113); never parsed here.
    Http2,
}

/// A request head.
#[derive(Clone, Debug)]
pub(crate) struct RequestHead {
    /// The request line without its line end (`$request`).
    pub line: Bytes,
    /// The method, case-sensitive.
    pub method: Bytes,
    /// The target in origin form (`$request_uri`).
    pub target: Bytes,
    /// The host of an absolute-form target; it overrides `Host`.
    pub authority: Option<Bytes>,
    /// The version.
    pub version: Version,
    /// The fields.
    pub fields: Fields,
    /// Bytes of the head, its empty line too.
    pub length: u64,
}

/// Why a head is refused, and with what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Rejection {
    /// The status; 494 is nginx's own, answered as a 400 with a page that says so.
    pub status: u16,
    /// What the client did, for the error log.
    pub reason: Cow<'static, str>,
    /// As much of the request line as there is, for the logs.
    pub line: Bytes,
    /// The version, as far as it is known: HTTP/0.9 gets a page and no head.
    pub version: Version,
}

/// How the end of a message's body is found (RFC 9112, section 6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    /// There is no body.
    None,
    /// `Content-Length`, in bytes.
    Length(u64),
    /// `Transfer-Encoding: chunked`.
    Chunked,
    /// Everything until the connection closes; answers only.
    UntilClose,
}

/// Takes one head off `input`, or says that more is needed (`Ok(None)`).
///
/// The limits of what follows may depend on the host that the client names:
/// nginx chooses the server as soon as it has read that.
pub(crate) fn parse(
    input: &mut BytesMut,
    limits: &Limits,
    of_host: impl Fn(&[u8]) -> Option<Limits>,
) -> Result<Option<RequestHead>, Rejection> {
    skip_empty_lines(input);
    let Some(line_end) = memchr::memchr(b'\n', input) else {
        return check_partial_line(input, limits).map(|()| None);
    };
    if line_end > limits.line {
        return Err(rejection(
            414,
            "client sent too long URI",
            &input[..limits.line],
        ));
    }
    let line = parse_line(trim_line(&input[..line_end]))
        .map_err(|(status, reason)| rejection(status, reason, input))?;
    let (spans, end) = if line.version == Version::Http09 {
        (Vec::new(), line_end + 1)
    } else {
        let named = line.authority.clone().and_then(|at| of_host(&input[at]));
        let limits = named.unwrap_or(*limits);
        match parse_fields(input, line_end + 1, limits, of_host) {
            Ok(Some(found)) => found,
            Ok(None) => return Ok(None),
            Err((status, reason)) => return Err(rejection(status, reason, input)),
        }
    };
    let text = input.split_to(end).freeze();
    Ok(Some(line.into_head(text, spans)))
}

/// nginx reads over line ends before a request line.
fn skip_empty_lines(input: &mut BytesMut) {
    let empty = input
        .iter()
        .take_while(|byte| matches!(byte, b'\r' | b'\n'))
        .count();
    if empty > 0 {
        bytes::Buf::advance(input, empty);
    }
}

fn trim_line(line: &[u8]) -> &[u8] {
    line.strip_suffix(b"\r").unwrap_or(line)
}

/// nginx lets several carriage returns end a field line.
fn trim_field_line(line: &[u8]) -> &[u8] {
    let ends = line.iter().rev().take_while(|byte| **byte == b'\r');
    &line[..line.len() - ends.count()]
}

fn rejection(status: u16, reason: impl Into<Cow<'static, str>>, input: &[u8]) -> Rejection {
    let end = memchr::memchr2(b'\r', b'\n', input).unwrap_or(input.len());
    let reason = reason.into();
    let old = reason == INVALID_OLD_METHOD.1;
    let shown = if status == 414 { input.len() } else { SHOWN };
    Rejection {
        status,
        reason,
        line: Bytes::copy_from_slice(&input[..end.min(shown)]),
        version: if old {
            Version::Http09
        } else {
            Version::Http11
        },
    }
}

/// A line that is not whole yet can already be wrong; whoever sends garbage
/// learns it at once instead of at the time-out.
fn check_partial_line(input: &[u8], limits: &Limits) -> Result<(), Rejection> {
    if input.len() > limits.line {
        return Err(rejection(
            414,
            "client sent too long URI",
            &input[..limits.line],
        ));
    }
    let method = input
        .iter()
        .take_while(|byte| is_method_byte(**byte))
        .count();
    if method < input.len() && (input[method] != b' ' || method == 0) {
        return Err(rejection(400, "client sent invalid method", input));
    }
    if input[method..]
        .iter()
        .any(|byte| is_control(*byte) && *byte != b'\r')
    {
        return Err(rejection(400, "client sent invalid request", input));
    }
    Ok(())
}

fn is_method_byte(byte: u8) -> bool {
    byte.is_ascii_uppercase() || byte == b'_' || byte == b'-'
}

fn is_control(byte: u8) -> bool {
    byte < 0x20 || byte == 0x7f
}

/// The parts of a request line, as ranges of it.
struct Line {
    method: usize,
    target: std::ops::Range<usize>,
    /// The target had an authority and an empty path.
    empty_path: bool,
    authority: Option<std::ops::Range<usize>>,
    version: Version,
    length: usize,
}

type Fault = (u16, &'static str);

const INVALID_REQUEST: Fault = (400, "client sent invalid request");
const INVALID_OLD_METHOD: Fault = (400, "client sent invalid method in HTTP/0.9 request");

fn parse_line(line: &[u8]) -> Result<Line, Fault> {
    let method = line
        .iter()
        .take_while(|byte| is_method_byte(**byte))
        .count();
    if method == 0 || line.get(method) != Some(&b' ') {
        return Err((400, "client sent invalid method"));
    }
    let mut at = skip_spaces(line, method);
    let start = at;
    let mut authority = None;
    if &line[..method] == b"CONNECT" {
        // Its target is an authority alone (RFC 9112, section 3.2.3).
        let end = line[at..].iter().take_while(|byte| **byte != b' ').count();
        let known = authority_length(&line[at..]) == Some(end);
        return Err(if known {
            (405, "client sent CONNECT method")
        } else {
            INVALID_REQUEST
        });
    }
    if line.get(at) != Some(&b'/') {
        let host = authority_start(&line[at..]).ok_or(INVALID_REQUEST)? + at;
        let length = authority_length(&line[host..]).ok_or(INVALID_REQUEST)?;
        authority = Some(host..host + length);
        at = host + length;
    }
    let target_start = at;
    at += line[at..].iter().take_while(|byte| **byte != b' ').count();
    if line[start..at].iter().any(|byte| is_control(*byte)) {
        return Err(INVALID_REQUEST);
    }
    let target = target_start..at;
    let version = parse_version(line, skip_spaces(line, at))?;
    if version == Version::Http09 && &line[..method] != b"GET" {
        return Err(INVALID_OLD_METHOD);
    }
    let empty_path = line.get(target_start) != Some(&b'/') || target.is_empty();
    if &line[..method] == b"TRACE" {
        return Err((405, "client sent TRACE method"));
    }
    Ok(Line {
        method,
        target,
        empty_path,
        authority,
        version,
        length: line.len(),
    })
}

fn skip_spaces(line: &[u8], at: usize) -> usize {
    at + line[at..].iter().take_while(|byte| **byte == b' ').count()
}

/// Where the authority of `scheme://authority` begins.
fn authority_start(text: &[u8]) -> Option<usize> {
    let scheme = text
        .iter()
        .take_while(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.'))
        .count();
    let first_is_letter = text.first().is_some_and(u8::is_ascii_alphabetic);
    (first_is_letter && text[scheme..].starts_with(b"://")).then_some(scheme + 3)
}

/// How long the authority is; none without a host.
fn authority_length(text: &[u8]) -> Option<usize> {
    let length = text
        .iter()
        .take_while(|byte| !matches!(byte, b'/' | b'?' | b' '))
        .count();
    let valid = text[..length].iter().all(|byte| {
        byte.is_ascii_alphanumeric()
            || matches!(
                byte,
                b'.' | b'-' | b':' | b'[' | b']' | b'_' | b'~' | b'%' | b'!'
            )
            || matches!(
                byte,
                b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b',' | b';' | b'='
            )
    });
    (valid && length > 0 && text[0] != b':').then_some(length)
}

fn parse_version(line: &[u8], at: usize) -> Result<Version, Fault> {
    let text = &line[at..];
    if text.is_empty() {
        return Ok(Version::Http09);
    }
    let digits = text.strip_prefix(b"HTTP/").ok_or(INVALID_REQUEST)?;
    let count = digits
        .iter()
        .take_while(|byte| byte.is_ascii_digit())
        .count();
    let major = &digits[..count];
    if major.is_empty() || major[0] == b'0' {
        return Err(INVALID_REQUEST);
    }
    if major != b"1" {
        return Err((505, "client sent invalid version"));
    }
    let minor = digits[1..].strip_prefix(b".").ok_or(INVALID_REQUEST)?;
    let spaces = minor.iter().rev().take_while(|byte| **byte == b' ').count();
    let minor = &minor[..minor.len() - spaces];
    if minor.is_empty() || minor.len() > 3 || !minor.iter().all(u8::is_ascii_digit) {
        return Err(INVALID_REQUEST);
    }
    Ok(if minor == b"0" {
        Version::Http10
    } else {
        Version::Http11
    })
}

impl Line {
    fn into_head(self, text: Bytes, spans: Vec<Span>) -> RequestHead {
        let target = match (self.empty_path, self.target.is_empty()) {
            (true, true) => Bytes::from_static(b"/"),
            (true, false) => [b"/", &text[self.target.clone()]].concat().into(),
            _ => text.slice(self.target.clone()),
        };
        RequestHead {
            line: text.slice(..self.length),
            method: text.slice(..self.method),
            target,
            authority: self.authority.map(|range| text.slice(range)),
            version: self.version,
            length: text.len() as u64,
            fields: Fields::new(text, spans),
        }
    }
}

type Found = (Vec<Span>, usize);

/// The field lines from `start` to the empty line; the offset behind it.
fn parse_fields(
    input: &[u8],
    start: usize,
    mut limits: Limits,
    of_host: impl Fn(&[u8]) -> Option<Limits>,
) -> Result<Option<Found>, (u16, Cow<'static, str>)> {
    let mut spans = Vec::with_capacity(16);
    let (mut at, mut lines) = (start, 0);
    loop {
        let rest = &input[at..];
        let line_end = memchr::memchr(b'\n', rest);
        if line_end.unwrap_or(rest.len()) > limits.line || at > limits.head {
            return Err((494, "client sent too long header line".into()));
        }
        let Some(line_end) = line_end else {
            return Ok(None);
        };
        let line = trim_field_line(&rest[..line_end]);
        let next = at + line_end + 1;
        if matches!(&rest[..line_end], b"" | b"\r") {
            return Ok(Some((spans, next)));
        }
        lines += 1;
        if lines > limits.fields {
            return Err((494, "client sent too many header lines".into()));
        }
        match parse_field(line, &limits) {
            Ok(Some((name, value))) => {
                if line[..name].eq_ignore_ascii_case(b"host") {
                    limits = of_host(&line[value.clone()]).unwrap_or(limits);
                }
                spans.push(Span {
                    name: (at as u32, (at + name) as u32),
                    value: ((at + value.start) as u32, (at + value.end) as u32),
                });
            }
            Ok(None) => {}
            Err(Invalid) => {
                let shown = String::from_utf8_lossy(&line[..line.len().min(128)]).into_owned();
                return Err((
                    400,
                    format!("client sent invalid header line: \"{shown}\"").into(),
                ));
            }
        }
        at = next;
    }
}

impl Limits {
    /// Whether a field's name is one that nginx does not call invalid.
    pub(crate) fn is_regular(&self, name: &[u8]) -> bool {
        name.iter().all(|byte| {
            byte.is_ascii_alphanumeric() || *byte == b'-' || (self.underscores && *byte == b'_')
        })
    }
}

struct Invalid;

/// Length of the name and range of the value; `None` for a line that is
/// ignored (`ignore_invalid_headers`).
fn parse_field(
    line: &[u8],
    limits: &Limits,
) -> Result<Option<(usize, std::ops::Range<usize>)>, Invalid> {
    let name = memchr::memchr(b':', line).unwrap_or(line.len());
    let regular = name > 0 && limits.is_regular(&line[..name]);
    let broken = |byte: &u8| *byte <= 0x20 || *byte == 0x7f;
    if !regular && (name == 0 || line[..name].iter().any(broken)) {
        return Err(Invalid);
    }
    let value_start = (name + 1).min(line.len());
    let raw = &line[value_start..];
    if memchr::memchr2(0, b'\r', raw).is_some() {
        return Err(Invalid);
    }
    let leading = raw.iter().take_while(|byte| **byte == b' ').count();
    let trailing = raw[leading..]
        .iter()
        .rev()
        .take_while(|byte| **byte == b' ')
        .count();
    if !regular && limits.ignore_invalid {
        return Ok(None);
    }
    Ok(Some((name, value_start + leading..line.len() - trailing)))
}

impl RequestHead {
    /// Checks what the fields say together (RFC 9112, sections 3.2 and 6.3)
    /// and finds the body's end.
    pub(crate) fn framing(&self) -> Result<Framing, Rejection> {
        let refuse = |status, reason: &str| Rejection {
            status,
            reason: reason.to_owned().into(),
            line: self.line.clone(),
            version: self.version,
        };
        self.check_unique(&refuse)?;
        if self.version == Version::Http11 && self.fields.first(b"host").is_none() {
            return Err(refuse(
                400,
                "client sent HTTP/1.1 request without \"Host\" header",
            ));
        }
        let coding = self.fields.first(b"transfer-encoding");
        let length = match self.fields.first(b"content-length") {
            Some(value) => Some(
                parse_length(value)
                    .ok_or_else(|| refuse(400, "client sent invalid \"Content-Length\" header"))?,
            ),
            None => None,
        };
        match (coding, length) {
            (Some(_), _) if self.version < Version::Http11 => Err(refuse(
                400,
                "client sent HTTP/1.0 request with \"Transfer-Encoding\" header",
            )),
            (Some(_), Some(_)) => Err(refuse(
                400,
                "client sent \"Content-Length\" and \"Transfer-Encoding\" headers at the same time",
            )),
            (Some(coding), None) if coding.eq_ignore_ascii_case(b"chunked") => Ok(Framing::Chunked),
            (Some(_), None) => Err(refuse(501, "client sent unknown \"Transfer-Encoding\"")),
            (None, Some(length)) => Ok(Framing::Length(length)),
            (None, None) => Ok(Framing::None),
        }
    }

    /// Fields that may stand once only.
    fn check_unique(&self, refuse: &dyn Fn(u16, &str) -> Rejection) -> Result<(), Rejection> {
        const UNIQUE: [&[u8]; 13] = [
            b"host",
            b"content-length",
            b"transfer-encoding",
            b"content-type",
            b"content-range",
            b"range",
            b"if-modified-since",
            b"if-unmodified-since",
            b"if-match",
            b"if-none-match",
            b"if-range",
            b"authorization",
            b"expect",
        ];
        for name in UNIQUE {
            if self.fields.repeats(name) {
                let name = String::from_utf8_lossy(name);
                return Err(refuse(
                    400,
                    &format!("client sent duplicate header line: \"{name}\""),
                ));
            }
        }
        Ok(())
    }

    /// Whether the client wants the connection kept (RFC 9112, section 9.3);
    /// of several `Connection` fields the last word counts.
    pub(crate) fn wants_keep_alive(&self) -> bool {
        let said = self.fields.all(b"connection").filter_map(|value| {
            let close = contains(value, b"close");
            (close || contains(value, b"keep-alive")).then_some(!close)
        });
        match (said.last(), self.version) {
            (_, Version::Http09) => false,
            (Some(keep), _) => keep,
            // HTTP/2 has no such thing; nginx calls it closed.
            (None, version) => version == Version::Http11,
        }
    }

    /// Whether the client waits for `100 Continue` (RFC 9110, section 10.1.1).
    pub(crate) fn expects_continue(&self) -> bool {
        self.version == Version::Http11
            && self
                .fields
                .all(b"expect")
                .any(|value| value.eq_ignore_ascii_case(b"100-continue"))
    }

    /// The protocol the client wants to change to (RFC 9110, section 7.8).
    pub(crate) fn upgrade(&self) -> Option<&[u8]> {
        let named = self
            .fields
            .all(b"connection")
            .flat_map(members)
            .any(|member| member.eq_ignore_ascii_case(b"upgrade"));
        if named {
            self.fields.first(b"upgrade")
        } else {
            None
        }
    }
}

/// A decimal number of bytes and nothing else.
pub(crate) fn parse_length(value: &[u8]) -> Option<u64> {
    if value.is_empty() || value.len() > 18 || !value.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(value).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits {
        line: 8192,
        head: 32768,
        fields: 1000,
        underscores: false,
        ignore_invalid: true,
    };

    fn head(text: &str) -> Result<RequestHead, u16> {
        let mut input = BytesMut::from(text.as_bytes());
        match parse(&mut input, &LIMITS, |_| None) {
            Ok(Some(head)) => Ok(head),
            Ok(None) => Err(0),
            Err(rejection) => Err(rejection.status),
        }
    }

    fn framing(text: &str) -> Result<Framing, u16> {
        head(text)?.framing().map_err(|rejection| rejection.status)
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
        let without = head("GET http://a?d HTTP/1.1\r\nHost: a\r\n\r\n").expect("whole");
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
            ("CONNECT a:1 HTTP/1.1", 405),
            ("CONNECT / HTTP/1.1", 400),
            ("TRACE / HTTP/1.1", 405),
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
