//! The field lines of a request head (RFC 9112, section 5), parsed like nginx.

use std::borrow::Cow;

use super::request_line::RequestLine;
use crate::message::fields::Span;
use crate::message::head::{Limits, Version};
use crate::message::rules::{self, FieldNameCheck};

/// The field lines of a head.
pub(super) struct FieldLines {
    pub(super) spans: Vec<Span>,
    /// The offset after those that were parsed; in the end after the empty line.
    pub(super) end: usize,
}

impl FieldLines {
    /// Those behind a request line, of which none is parsed yet.
    pub(super) fn after(line_end: usize) -> Self {
        Self {
            spans: Vec::with_capacity(16),
            end: line_end + 1,
        }
    }

    /// Parses up to the empty line; `false` if it has not arrived.
    pub(super) fn parse(
        &mut self,
        input: &[u8],
        line: &RequestLine,
        limits: &Limits,
        of_host: impl Fn(&[u8]) -> Option<Limits>,
    ) -> Result<bool, (u16, Cow<'static, str>)> {
        if line.version == Version::Http09 {
            return Ok(true);
        }
        let named = line.authority.is_some();
        let own = line.authority.clone().and_then(|at| of_host(&input[at]));
        let mut limits = own.unwrap_or(*limits);
        let mut lines = 0;
        loop {
            let at = self.end;
            let rest = &input[at..];
            let line_end = memchr::memchr(b'\n', rest);
            if line_end.unwrap_or(rest.len()) > limits.line || at > limits.head {
                return Err((494, "client sent too long header line".into()));
            }
            let Some(line_end) = line_end else {
                return Ok(false);
            };
            let line = trim_field_line(&rest[..line_end]);
            let next = at + line_end + 1;
            if matches!(&rest[..line_end], b"" | b"\r") {
                self.end = next;
                return Ok(true);
            }
            lines += 1;
            if lines > limits.fields {
                return Err((494, "client sent too many header lines".into()));
            }
            match parse_field(line, &limits) {
                Ok(Some((name, value))) => {
                    // The host of the target has selected the server.
                    if !named && line[..name].eq_ignore_ascii_case(b"host") {
                        limits = of_host(&line[value.clone()]).unwrap_or(limits);
                    }
                    self.spans.push(Span {
                        name: (at as u32, (at + name) as u32),
                        value: ((at + value.start) as u32, (at + value.end) as u32),
                    });
                }
                Ok(None) => {}
                Err(InvalidLine) => {
                    let shown = String::from_utf8_lossy(&line[..line.len().min(128)]).into_owned();
                    return Err((
                        400,
                        format!("client sent invalid header line: \"{shown}\"").into(),
                    ));
                }
            }
            self.end = next;
        }
    }
}

struct InvalidLine;

/// Length of the name and range of the value; `None` for a line that is ignored
/// (`ignore_invalid_headers`).
fn parse_field(
    line: &[u8],
    limits: &Limits,
) -> Result<Option<(usize, std::ops::Range<usize>)>, InvalidLine> {
    let name = memchr::memchr(b':', line).unwrap_or(line.len());
    let kept = match rules::name(&line[..name], Version::Http11, limits) {
        FieldNameCheck::Kept => true,
        FieldNameCheck::Ignored => false,
        FieldNameCheck::Broken => return Err(InvalidLine),
    };
    let value_start = (name + 1).min(line.len());
    let raw = &line[value_start..];
    if !rules::is_single_line(raw) {
        return Err(InvalidLine);
    }
    let leading = raw.iter().take_while(|byte| **byte == b' ').count();
    let trailing = raw[leading..]
        .iter()
        .rev()
        .take_while(|byte| **byte == b' ')
        .count();
    if !kept {
        return Ok(None);
    }
    Ok(Some((name, value_start + leading..line.len() - trailing)))
}

/// nginx accepts several carriage returns at the end of a field line.
fn trim_field_line(line: &[u8]) -> &[u8] {
    let ends = line.iter().rev().take_while(|byte| **byte == b'\r');
    &line[..line.len() - ends.count()]
}
