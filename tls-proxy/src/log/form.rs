//! The format of log lines (`--log-format`): nginx's, or JSON objects.

use std::fmt::{self, Display, Write};

use crate::log::level::{LONGEST, Level};
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

/// A line of `error_log`. Whatever its parts are, it is at most [`LONGEST`] in nginx's form, and each
/// value of a JSON object is before it is escaped.
pub(crate) struct ErrorLogLine<'a> {
    pub(crate) level: Level,
    pub(crate) worker: usize,
    /// The client's connection number.
    pub(crate) connection: Option<u64>,
    pub(crate) message: &'a dyn Display,
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
        push_in_line(&beginning(self.message), &mut out);
        for (name, value) in self.facts {
            // nginx quotes values from outside.
            let quote = if matches!(*name, "client" | "server") {
                ""
            } else {
                "\""
            };
            let value = cut(value, LONGEST);
            let _ = write!(out, ", {name}: {quote}{value}{quote}");
        }
        out.truncate(cut(&out, LONGEST - 1).len());
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
        let message = beginning(self.message);
        let message = ("message", &message[..]);
        let facts = self.facts.iter();
        let facts = facts.map(|(name, value)| (*name, cut(value, LONGEST)));
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

/// The beginning of a message; the rest is not even formed.
fn beginning(message: &dyn Display) -> String {
    let mut text = Beginning(String::with_capacity(128));
    // An error means that it is full.
    let _ = write!(text, "{message}");
    text.0
}

/// The first [`LONGEST`] bytes of a text.
struct Beginning(String);

impl Write for Beginning {
    fn write_str(&mut self, part: &str) -> fmt::Result {
        let known = cut(part, LONGEST - self.0.len());
        self.0.push_str(known);
        match known.len() == part.len() {
            true => Ok(()),
            false => Err(fmt::Error),
        }
    }
}

/// As many of a text's characters as fit into so many bytes.
fn cut(text: &str, most: usize) -> &str {
    if text.len() <= most {
        return text;
    }
    let end = (0..=most).rev().find(|end| text.is_char_boundary(*end));
    &text[..end.unwrap_or(0)]
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
            message: &"it \"failed\"",
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
            message: &"\na\r\nbä\u{9b}\x1b[2Jc\0",
            ..line()
        };
        let text = line.written(Form::Text, &Stamp::of(0));
        let escaped = "*7 \\x0Aa\\x0D\\x0Abä\\xC2\\x9B\\x1B[2Jc\\x00\n";
        assert!(text.ends_with(escaped), "{text}");
    }

    #[test]
    fn lines_have_a_bound_whatever_is_in_them() {
        let long = "ä".repeat(5000);
        let facts = [("client", "::1".to_owned()), ("host", "h".repeat(9000))];
        let of = |message, form| {
            let line = ErrorLogLine {
                message,
                facts: &facts,
                ..line()
            };
            line.written(form, &Stamp::of(0))
        };
        let text = of(&"short", Form::Text);
        assert!(text.len() == LONGEST && text.ends_with("hh\n"), "{text}");
        assert!(text.contains("short, client: ::1, host: \"h"), "{text}");
        for message in [&long as &dyn Display, &format_args!("{long}: {long}")] {
            let text = of(message, Form::Text);
            assert!((LONGEST - 1..=LONGEST).contains(&text.len()), "{text}");
            assert!(text.ends_with("ä\n"), "{text}");
            let json = of(message, Form::Json);
            assert!(json.contains(&format!("{}\",\"client\"", "ä".repeat(LONGEST / 2))));
            assert!(json.ends_with(&format!("\"host\":\"{}\"}}\n", "h".repeat(LONGEST))));
        }
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
