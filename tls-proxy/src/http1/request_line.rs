//! The first line of a request (RFC 9112, section 3), parsed like nginx.

use std::ops::Range;

use bytes::Bytes;

use crate::message::fields::{Fields, Span};
use crate::message::head::{RequestHead, Version};
use crate::message::host;
use crate::message::rules::{self, is_method_byte};

/// The parts of a request line, as ranges in it.
pub(super) struct RequestLine {
    method: usize,
    target: Range<usize>,
    /// The target had an authority and an empty path.
    empty_path: bool,
    pub(super) authority: Option<Range<usize>>,
    pub(super) version: Version,
    length: usize,
}

pub(super) type Error = (u16, &'static str);

const INVALID_REQUEST: Error = (400, "client sent invalid request");
pub(super) const INVALID_OLD_METHOD: Error =
    (400, "client sent invalid method in HTTP/0.9 request");

pub(super) fn parse_line(line: &[u8]) -> Result<RequestLine, Error> {
    let method = line
        .iter()
        .take_while(|byte| is_method_byte(**byte))
        .count();
    if method == 0 || line.get(method) != Some(&b' ') {
        return Err((400, "client sent invalid method"));
    }
    let start = skip_spaces(line, method);
    let (authority, target_start) = if &line[..method] == b"CONNECT" {
        let named = authority_of_connect(line, start)?;
        (Some(named.clone()), named.end)
    } else if line.get(start) == Some(&b'/') {
        (None, start)
    } else {
        let named = authority_of_uri(line, start)?;
        (Some(named.clone()), named.end)
    };
    let mut at = target_start;
    at += line[at..].iter().take_while(|byte| **byte != b' ').count();
    if !rules::is_valid_target(&line[start..at]) {
        return Err(INVALID_REQUEST);
    }
    let target = target_start..at;
    let version = parse_version(line, skip_spaces(line, at))?;
    if version == Version::Http09 && &line[..method] != b"GET" {
        return Err(INVALID_OLD_METHOD);
    }
    let empty_path = line.get(target_start) != Some(&b'/') || target.is_empty();
    Ok(RequestLine {
        method,
        target,
        empty_path,
        authority,
        version,
        length: line.len(),
    })
}

/// Whether a line that was rejected is valid up to its protocol.
pub(crate) fn is_rejected_at_protocol(line: &[u8]) -> bool {
    let words = line.split(|byte| *byte == b' ');
    let mut words = words.filter(|word| !word.is_empty());
    let (Some(method), Some(target), Some(protocol)) = (words.next(), words.next(), words.next())
    else {
        return false;
    };
    rules::is_method(method)
        && rules::is_valid_target(target)
        && (target.starts_with(b"/") || memchr::memmem::find(target, b"://").is_some())
        && protocol.starts_with(b"H")
}

fn skip_spaces(line: &[u8], at: usize) -> usize {
    at + line[at..].iter().take_while(|byte| **byte == b' ').count()
}

/// The authority of `scheme://authority/…`, a target in absolute form.
fn authority_of_uri(line: &[u8], start: usize) -> Result<Range<usize>, Error> {
    let text = &line[start..];
    let scheme = memchr::memchr(b':', text).ok_or(INVALID_REQUEST)?;
    if !rules::is_scheme(&text[..scheme]) || !text[scheme..].starts_with(b"://") {
        return Err(INVALID_REQUEST);
    }
    let named = authority(line, start + scheme + 3)?;
    match line.get(named.end) {
        Some(b'/' | b'?' | b' ') => Ok(named),
        _ => Err(INVALID_REQUEST),
    }
}

/// The target of CONNECT: an authority with a port (RFC 9112, section 3.2.3).
fn authority_of_connect(line: &[u8], start: usize) -> Result<Range<usize>, Error> {
    let named = authority(line, start)?;
    let host = host::find(&line[named.clone()]).ok_or(INVALID_REQUEST)?;
    let has_port = line[named.end - 1].is_ascii_digit() && host.len() < named.len();
    match line.get(named.end) {
        Some(b' ') if has_port => Ok(named),
        _ => Err(INVALID_REQUEST),
    }
}

fn authority(line: &[u8], start: usize) -> Result<Range<usize>, Error> {
    let length = host::length_in_target(&line[start..]).ok_or(INVALID_REQUEST)?;
    Ok(start..start + length)
}

fn parse_version(line: &[u8], at: usize) -> Result<Version, Error> {
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

impl RequestLine {
    pub(super) fn into_head(self, text: Bytes, spans: Vec<Span>) -> Box<RequestHead> {
        let target = match (self.empty_path, self.target.is_empty()) {
            (true, true) => Bytes::from_static(b"/"),
            (true, false) => {
                // The target is rebuilt without a fragment.
                let raw = &text[self.target.clone()];
                let end = memchr::memchr(b'#', raw).unwrap_or(raw.len());
                [b"/", &raw[..end]].concat().into()
            }
            _ => text.slice(self.target.clone()),
        };
        Box::new(RequestHead {
            line: text.slice(..self.length),
            method: text.slice(..self.method),
            target,
            authority: self.authority.map(|range| text.slice(range)),
            version: self.version,
            length: text.len() as u64,
            fields: Fields::new(text, spans),
        })
    }
}

pub(super) fn is_control(byte: u8) -> bool {
    byte < 0x20 || byte == 0x7f
}
