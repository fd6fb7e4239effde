//! Escapes untrusted text for a log line, as nginx's `log_format` does with
//! `escape=default`: quotes, backslashes and all but printable ASCII become `\xHH`
//! with uppercase digits.

use std::borrow::Cow;

/// Escapes `text` for one quoted field of one log line.
///
/// Control characters, `"`, `\` and bytes above `~` become `\xHH`. Text without any
/// of them is borrowed: most requests need no allocation.
pub fn escape(text: &[u8]) -> Cow<'_, str> {
    let clean = text
        .iter()
        .position(|&byte| must_escape(byte))
        .unwrap_or(text.len());
    match std::str::from_utf8(&text[..clean]) {
        Ok(whole) if clean == text.len() => Cow::Borrowed(whole),
        // By `must_escape`, the clean part is ASCII.
        prefix => {
            let mut escaped = String::with_capacity(text.len() + 16);
            escaped.push_str(prefix.unwrap_or_default());
            for &byte in &text[clean..] {
                push(&mut escaped, byte);
            }
            Cow::Owned(escaped)
        }
    }
}

fn push(escaped: &mut String, byte: u8) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    if must_escape(byte) {
        escaped.push_str("\\x");
        escaped.push(char::from(DIGITS[usize::from(byte >> 4)]));
        escaped.push(char::from(DIGITS[usize::from(byte & 0x0f)]));
    } else {
        escaped.push(char::from(byte));
    }
}

fn must_escape(byte: u8) -> bool {
    !(0x20..0x7f).contains(&byte) || byte == b'"' || byte == b'\\'
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordinary_text_is_borrowed() {
        assert!(matches!(
            escape(b"GET /secure?a=b"),
            Cow::Borrowed("GET /secure?a=b")
        ));
        assert!(matches!(escape(b""), Cow::Borrowed("")));
    }

    #[test]
    fn a_line_cannot_be_ended_or_forged() {
        assert_eq!(escape(b"a\r\nb"), "a\\x0D\\x0Ab");
        assert_eq!(escape(b"\" 200"), "\\x22 200");
        assert_eq!(escape(b"\\x22"), "\\x5Cx22");
    }

    #[test]
    fn terminal_escapes_are_escaped() {
        assert_eq!(escape(b"\x1b[2J\x7f"), "\\x1B[2J\\x7F");
        assert_eq!(escape("é\u{9b}".as_bytes()), "\\xC3\\xA9\\xC2\\x9B");
    }
}
