//! `log_format`: the lines of access logs and the escaping of their values.

use super::long_line::Lines;
use crate::conf::{Directive, Position, Problem, Word, did_you_mean};
use crate::log::form::{Form, push_json};
use crate::modules::variables::{Evaluate, write};
use crate::request::Request;
use crate::variables::registry::Registry;
use crate::variables::template::{Template, TemplatePart, Variable};

/// One `log_format`.
#[derive(Debug)]
pub(crate) struct Format {
    pub(super) line: Box<[Piece]>,
    pub(super) escape: Escape,
}

#[derive(Debug)]
pub(super) enum Piece {
    Text(Box<[u8]>),
    /// `$request_body`, which may be long.
    Body,
    /// One of nginx's fixed variables, as nearly all are: its function is looked up once, not for
    /// each line.
    Fixed(Evaluate),
    Variable(Variable),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Escape {
    Default,
    Json,
    None,
    /// Valid JSON whatever the bytes; nginx's `escape=json` passes on invalid UTF-8.
    Strict,
}

/// A line is built in memory that is not counted while it has no more than this, before the last
/// value in it is escaped, bytes.
pub(super) const SHORT: usize = 16 * 1024;

/// nginx's predefined format.
const COMBINED: &str = "$remote_addr - $remote_user [$time_local] \"$request\" $status \
                        $body_bytes_sent \"$http_referer\" \"$http_user_agent\"";

/// `main` of nginx's image, and of ours.
const MAIN: &str = "$remote_addr - $remote_user [$time_local] \"$request\" $status \
                    $body_bytes_sent \"$http_referer\" \"$http_user_agent\" \
                    \"$http_x_forwarded_for\"";

/// The same as JSON, with the time taken.
const COMBINED_JSON: &str = "{\"time\":\"$time_iso8601\",\"connection\":$connection,\
    \"client\":\"$remote_addr\",\"user\":\"$remote_user\",\"request\":\"$request\",\
    \"status\":$status,\"bytes\":$body_bytes_sent,\"duration\":$request_time,\
    \"referer\":\"$http_referer\",\"user_agent\":\"$http_user_agent\"}";

/// nginx allows no groups of regular expressions here.
fn check_names(line: &Template, at: &Position) -> Result<(), Problem> {
    let group = line.parts().iter().find_map(|part| match part {
        TemplatePart::Variable(Variable::Capture(group)) => Some(group),
        _ => None,
    });
    match group {
        Some(group) => Err(Problem::emerg(at, format!("unknown \"{group}\" variable"))
            .with_help("give the group a name, or `set` a variable")),
        None => Ok(()),
    }
}

impl Format {
    fn new(line: &Template, escape: Escape) -> Self {
        let piece = |part: &TemplatePart| match part {
            TemplatePart::Text(text) => Piece::Text(text.clone()),
            TemplatePart::Variable(variable) if variable.is_known("request_body") => Piece::Body,
            TemplatePart::Variable(variable) => variable
                .fixed()
                .map_or_else(|| Piece::Variable(variable.clone()), Piece::Fixed),
        };
        let line = line.parts().iter().map(piece).collect();
        Self { line, escape }
    }

    /// The predefined `combined`, or its JSON form.
    pub(crate) fn predefined(form: Form, variables: &mut Registry, at: &Position) -> Self {
        let (text, escape) = match form {
            Form::Text => (COMBINED, Escape::Default),
            Form::Json => (COMBINED_JSON, Escape::Strict),
        };
        let word = Word {
            text: text.to_owned(),
            quoted: true,
            at: at.clone(),
        };
        let line = Template::compile(&word, variables);
        Self::new(&line.unwrap_or_default(), escape)
    }

    /// `log_format`. With `--log-format json` the image's own `main` becomes JSON, since nobody
    /// chose it.
    pub(crate) fn parse(
        directive: &Directive,
        form: Form,
        variables: &mut Registry,
    ) -> Result<Self, Problem> {
        let mut words = directive.args[1..].iter().peekable();
        let mut escape = Escape::Default;
        if let Some(word) = words.next_if(|word| word.text.starts_with("escape=")) {
            escape = match &word.text[7..] {
                "default" => Escape::Default,
                "json" => Escape::Json,
                "none" => Escape::None,
                other => {
                    let message = format!("unknown log format escaping \"{other}\"");
                    let help = did_you_mean(other, ["default", "json", "none"]);
                    return Err(Problem::emerg(&word.at, message).with_help_if(help));
                }
            };
        }
        let at = &directive.args[0].at;
        let text: String = words.map(|word| word.text.as_str()).collect();
        if form == Form::Json && text == MAIN {
            return Ok(Self::predefined(form, variables, at));
        }
        let line = Template::compile(
            &Word {
                text,
                quoted: true,
                at: at.clone(),
            },
            variables,
        )?;
        check_names(&line, at)?;
        Ok(Self::new(&line, escape))
    }

    /// Writes the line of `request`, and a line feed, to `out`, which is empty. `value` is for what
    /// has to be escaped. The memory of a long line belongs to `lines`.
    pub(crate) fn write(&self, lines: &Lines<'_>, value: &mut Vec<u8>, out: &mut Vec<u8>) {
        if !self.write_short(lines.request, value, out) {
            self.write_long(lines, out);
        }
    }

    /// The same; `false` if the line is long. Then a part of it is in `out`.
    fn write_short(&self, request: &Request, value: &mut Vec<u8>, out: &mut Vec<u8>) -> bool {
        for piece in &self.line {
            let start = out.len();
            let found = match piece {
                Piece::Text(text) => {
                    out.extend_from_slice(text);
                    continue;
                }
                Piece::Body => {
                    let body = request.whole_body.as_deref();
                    let known = body.filter(|body| body.len() <= SHORT);
                    if known.is_none() && body.is_some() {
                        return false;
                    }
                    write(known, out)
                }
                Piece::Fixed(evaluate) => evaluate(request, out),
                Piece::Variable(variable) => variable.evaluate(request, out),
            };
            if out.len() > SHORT {
                return false;
            }
            if !found {
                out.truncate(start);
                if self.escape == Escape::Default {
                    out.push(b'-');
                }
            } else if !self.escape.leaves_all(&out[start..], &out[..start]) {
                value.clear();
                value.extend_from_slice(&out[start..]);
                out.truncate(start);
                self.escape.write(value, out);
            }
        }
        out.push(b'\n');
        true
    }
}

impl Escape {
    /// Whether a byte is certainly written as it is.
    fn leaves(self, byte: u8) -> bool {
        match self {
            Self::None => true,
            Self::Json => !matches!(byte, 0..=0x1f | b'"' | b'\\'),
            Self::Default | Self::Strict => !matches!(byte, 0..=0x1f | b'"' | b'\\' | 0x7f..),
        }
    }

    /// Whether a value behind `line` is certainly written as it is, as nearly all are.
    fn leaves_all(self, value: &[u8], line: &[u8]) -> bool {
        // Without an early exit, so that it is vectorised.
        let leaves = || value.iter().fold(true, |all, it| all & self.leaves(*it));
        !(self == Self::Strict && is_number(line)) && leaves()
    }

    /// Appends the value, escaped.
    pub(super) fn write(self, value: &[u8], out: &mut Vec<u8>) {
        if self == Self::Strict {
            return write_strictly(value, out);
        }
        for byte in value {
            match (self, byte) {
                (Self::None, _) => out.push(*byte),
                (Self::Default, 0..=0x1f | b'"' | b'\\' | 0x7f..) => {
                    let [high, low] = digits(*byte);
                    out.extend_from_slice(&[b'\\', b'x', high, low]);
                }
                (Self::Json, b'"' | b'\\') => out.extend_from_slice(&[b'\\', *byte]),
                (Self::Json, b'\n') => out.extend_from_slice(b"\\n"),
                (Self::Json, b'\r') => out.extend_from_slice(b"\\r"),
                (Self::Json, b'\t') => out.extend_from_slice(b"\\t"),
                (Self::Json, 0x08) => out.extend_from_slice(b"\\b"),
                (Self::Json, 0x0c) => out.extend_from_slice(b"\\f"),
                (Self::Json, 0..=0x1f) => {
                    let [high, low] = digits(*byte);
                    out.extend_from_slice(&[b'\\', b'u', b'0', b'0', high, low]);
                }
                _ => out.push(*byte),
            }
        }
    }

    /// The size of the value when it is escaped, at most, bytes.
    pub(super) fn size(self, value: &[u8]) -> usize {
        let of = |byte: &u8| match (self, byte) {
            (Self::Json, b'"' | b'\\' | b'\n' | b'\r' | b'\t' | 8 | 12) => 2,
            _ if self.leaves(*byte) => 1,
            (Self::Default, _) => 4,
            _ => 6,
        };
        // A number of JSON without digits gets one.
        value.iter().map(of).sum::<usize>() + usize::from(self == Self::Strict)
    }
}

/// The digits of a byte.
fn digits(byte: u8) -> [u8; 2] {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    [HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]
}

/// Whether a value of JSON behind `line` has no quotes.
fn is_number(line: &[u8]) -> bool {
    line.last() == Some(&b':')
}

/// A value without quotes is a number, which JSON allows no leading zeros (nginx's status 000).
fn write_strictly(value: &[u8], out: &mut Vec<u8>) {
    if !is_number(out) {
        return push_json(value, out);
    }
    let zeros = value.iter().take_while(|byte| **byte == b'0').count();
    let number = &value[zeros..];
    if !number.first().is_some_and(u8::is_ascii_digit) {
        out.push(b'0');
    }
    out.extend_from_slice(number);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn escaped(escape: Escape, value: &[u8]) -> String {
        let mut out = Vec::new();
        escape.write(value, &mut out);
        String::from_utf8_lossy(&out).into_owned()
    }

    #[test]
    fn main_is_the_one_of_the_image() {
        let text = crate::conf::standard::main_configuration();
        let (_, format) = text.split_once("log_format main").unwrap();
        let (format, _) = format.split_once(';').unwrap();
        let format: String = format.split('\'').skip(1).step_by(2).collect();
        assert_eq!(format, MAIN);
    }

    #[test]
    fn a_number_of_json_has_no_zeros_in_front() {
        for (value, expected) in [
            ("000", ":0"),
            ("0.001", ":0.001"),
            ("009", ":9"),
            ("", ":0"),
        ] {
            let mut out = b":".to_vec();
            Escape::Strict.write(value.as_bytes(), &mut out);
            assert_eq!(String::from_utf8_lossy(&out), expected);
        }
    }

    #[test]
    fn the_size_of_what_is_escaped_is_known() {
        let all: Vec<u8> = (0..=255).collect();
        for escape in [Escape::Default, Escape::Json, Escape::None, Escape::Strict] {
            for value in [&all[..], "\u{80}a\"ä".as_bytes(), b""] {
                let mut out = Vec::new();
                escape.write(value, &mut out);
                let exact = escape != Escape::Strict;
                let size = escape.size(value);
                assert!(
                    size >= out.len() && (size == out.len() || !exact),
                    "{escape:?}"
                );
            }
        }
    }

    #[test]
    fn a_value_cannot_leave_its_line_or_its_quotes() {
        assert_eq!(
            escaped(Escape::Default, b"a\"b\\\n\x1f\xff"),
            "a\\x22b\\x5C\\x0A\\x1F\\xFF"
        );
        assert_eq!(
            escaped(Escape::Json, b"a\"b\\\n\x01\x08"),
            "a\\\"b\\\\\\n\\u0001\\b"
        );
        assert_eq!(escaped(Escape::None, b"a\"b"), "a\"b");
        assert_eq!(escaped(Escape::Strict, b"\xff\""), "\\\\xFF\\\"");
    }
}
