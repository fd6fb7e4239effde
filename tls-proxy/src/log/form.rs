//! The format of log lines (`--log-format`): nginx's, or JSON objects.

use std::fmt::Write as _;

use crate::log::level::Level;
use crate::time::clock::Stamp;

/// The format of lines without a `log_format`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Form {
    /// As in nginx.
    #[default]
    Text,
    /// One JSON object each (RFC 8259).
    Json,
}

/// A line of `error_log`.
pub(crate) struct ErrorLogLine<'a> {
    pub(crate) level: Level,
    pub(crate) worker: usize,
    /// The client's connection number.
    pub(crate) connection: Option<u64>,
    pub(crate) message: &'a str,
    /// Additional information by name, in nginx's order.
    pub(crate) facts: &'a [(&'static str, String)],
}

impl ErrorLogLine<'_> {
    /// The line with its line end.
    pub(crate) fn written(&self, form: Form, now: &Stamp) -> String {
        match form {
            Form::Text => self.text(now),
            Form::Json => self.json(now),
        }
    }

    fn text(&self, now: &Stamp) -> String {
        let mut out = String::with_capacity(256);
        let (level, pid) = (self.level.name(), std::process::id());
        // Writing to memory cannot fail.
        let _ = write!(out, "{} [{level}] {pid}#{}: ", now.error_log, self.worker);
        if let Some(number) = self.connection {
            let _ = write!(out, "*{number} ");
        }
        push_in_line(self.message, &mut out);
        for (name, value) in self.facts {
            // nginx quotes values from outside.
            let quote = if matches!(*name, "client" | "server") {
                ""
            } else {
                "\""
            };
            let _ = write!(out, ", {name}: {quote}{value}{quote}");
        }
        out.push('\n');
        out
    }

    fn json(&self, now: &Stamp) -> String {
        let mut out = Vec::with_capacity(384);
        out.extend_from_slice(b"{\"time\":\"");
        out.extend_from_slice(now.iso8601.as_bytes());
        out.extend_from_slice(b"\",\"level\":\"");
        out.extend_from_slice(self.level.name().as_bytes());
        let pid = std::process::id();
        let numbers = format!("\",\"pid\":{pid},\"worker\":{}", self.worker);
        out.extend_from_slice(numbers.as_bytes());
        if let Some(number) = self.connection {
            out.extend_from_slice(format!(",\"connection\":{number}").as_bytes());
        }
        let message = ("message", self.message);
        let facts = self.facts.iter().map(|(name, value)| (*name, &value[..]));
        for (name, value) in std::iter::once(message).chain(facts) {
            out.extend_from_slice(b",\"");
            out.extend_from_slice(name.as_bytes());
            out.extend_from_slice(b"\":\"");
            push_json(value.as_bytes(), &mut out);
            out.push(b'"');
        }
        out.extend_from_slice(b"}\n");
        String::from_utf8(out).unwrap_or_default()
    }
}

/// Appends a message, which may quote what a client has sent: control characters, which could end the
/// line, become `\xHH`.
fn push_in_line(message: &str, out: &mut String) {
    for part in message.split_inclusive(char::is_control) {
        let plain = part.trim_end_matches(char::is_control);
        out.push_str(plain);
        for byte in part[plain.len()..].bytes() {
            let _ = write!(out, "\\x{byte:02X}");
        }
    }
}

/// Appends a value to a JSON string, as UTF-8. An invalid byte becomes `\xHH`, as in nginx,
/// and control characters are escaped.
pub(crate) fn push_json(value: &[u8], out: &mut Vec<u8>) {
    for chunk in value.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '"' | '\\' => out.extend_from_slice(&[b'\\', c as u8]),
                '\0'..='\x1f' | '\x7f'..='\u{9f}' => {
                    out.extend_from_slice(format!("\\u{:04x}", c as u32).as_bytes());
                }
                _ => out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
            }
        }
        for byte in chunk.invalid() {
            out.extend_from_slice(format!("\\\\x{byte:02X}").as_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line() -> ErrorLogLine<'static> {
        ErrorLogLine {
            level: Level::Error,
            worker: 1,
            connection: Some(7),
            message: "it \"failed\"",
            facts: const { &[] },
        }
    }

    #[test]
    fn text_is_that_of_nginx() {
        let facts = [("client", "127.0.0.1".to_owned()), ("host", "a".to_owned())];
        let line = ErrorLogLine {
            facts: &facts,
            ..line()
        };
        let pid = std::process::id();
        assert_eq!(
            line.written(Form::Text, &Stamp::of(1_790_000_000)),
            format!(
                "2026/09/21 14:13:20 [error] {pid}#1: *7 it \"failed\", client: 127.0.0.1, host: \"a\"\n"
            )
        );
    }

    #[test]
    fn a_message_stays_in_its_line() {
        let line = ErrorLogLine {
            message: "\na\r\nbä\u{9b}\x1b[2Jc\0",
            ..line()
        };
        let text = line.written(Form::Text, &Stamp::of(0));
        let escaped = "*7 \\x0Aa\\x0D\\x0Abä\\xC2\\x9B\\x1B[2Jc\\x00\n";
        assert!(text.ends_with(escaped), "{text}");
    }

    #[test]
    fn json_is_one_object() {
        let pid = std::process::id();
        assert_eq!(
            line().written(Form::Json, &Stamp::of(1_790_000_000)),
            format!(
                "{{\"time\":\"2026-09-21T14:13:20+00:00\",\"level\":\"error\",\"pid\":{pid},\"worker\":1,\"connection\":7,\"message\":\"it \\\"failed\\\"\"}}\n"
            )
        );
    }

    #[test]
    fn any_bytes_make_a_string() {
        let mut out = Vec::new();
        push_json(b"\"\\\n\x1b\x7f\xff\xc3\xa4\xc2\x9b\xe2\x82", &mut out);
        let expected = "\\\"\\\\\\u000a\\u001b\\u007f\\\\xFFä\\u009b\\\\xE2\\\\x82";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }
}
