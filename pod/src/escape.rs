//! Escapes untrusted text for a log line, as nginx's `log_format` does with
//! `escape=default`: quotes, backslashes and all but printable ASCII become `\xHH`
//! with uppercase digits.

use std::borrow::Cow;

/// Escapes `text` for one quoted field of one log line.
///
/// Control characters, `"`, `\` and bytes above `~` become `\xHH`. Text without any
/// of them is borrowed: most requests need no allocation.
pub fn escape(text: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(text) {
        Ok(whole) if clean(text) == text.len() => Cow::Borrowed(whole),
        _ => {
            let mut escaped = Vec::with_capacity(text.len() + 16);
            escape_into(text, &mut escaped);
            // It is ASCII.
            Cow::Owned(String::from_utf8(escaped).unwrap_or_default())
        }
    }
}

/// Appends the escaped `text` to a line.
pub fn escape_into(text: &[u8], line: &mut Vec<u8>) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    let clean = clean(text);
    line.extend_from_slice(&text[..clean]);
    for &byte in &text[clean..] {
        if must_escape(byte) {
            let [high, low] = [byte >> 4, byte & 0x0f].map(|digit| DIGITS[usize::from(digit)]);
            line.extend_from_slice(&[b'\\', b'x', high, low]);
        } else {
            line.push(byte);
        }
    }
}

/// How many of the first bytes need no escape.
fn clean(text: &[u8]) -> usize {
    let escaped = text.iter().position(|&byte| must_escape(byte));
    escaped.unwrap_or(text.len())
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
