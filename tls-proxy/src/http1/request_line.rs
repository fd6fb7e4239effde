//! The first line of a request (RFC 9112, section 3), read as nginx reads it.

use bytes::Bytes;

use super::fields::{Fields, Span};
use crate::message::head::{RequestHead, Version};

/// The parts of a request line, as ranges of it.
pub(super) struct Line {
    method: usize,
    target: std::ops::Range<usize>,
    /// The target had an authority and an empty path.
    empty_path: bool,
    pub(super) authority: Option<std::ops::Range<usize>>,
    pub(super) version: Version,
    length: usize,
}

pub(super) type Fault = (u16, &'static str);

const INVALID_REQUEST: Fault = (400, "client sent invalid request");
pub(super) const INVALID_OLD_METHOD: Fault =
    (400, "client sent invalid method in HTTP/0.9 request");

pub(super) fn parse_line(line: &[u8]) -> Result<Line, Fault> {
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
    pub(super) fn into_head(self, text: Bytes, spans: Vec<Span>) -> RequestHead {
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

pub(super) fn is_method_byte(byte: u8) -> bool {
    byte.is_ascii_uppercase() || byte == b'_' || byte == b'-'
}

pub(super) fn is_control(byte: u8) -> bool {
    byte < 0x20 || byte == 0x7f
}
