//! Text from a stranger, made safe for one line of a log.
//!
//! The escaping is that of nginx's `log_format` with `escape=default`: what
//! could end the field or the line, and whatever is not printable ASCII,
//! becomes `\xHH` with capital digits.

use std::borrow::Cow;

/// Escapes `text` for one quoted field of one log line.
///
/// Control characters, `"`, `\` and every byte above `~` become `\xHH`. Text
/// that needs none of it is borrowed, so an ordinary request costs no
/// allocation.
pub fn escape(text: &[u8]) -> Cow<'_, str> {
    let clean = text
        .iter()
        .position(|&byte| must_escape(byte))
        .unwrap_or(text.len());
    match std::str::from_utf8(&text[..clean]) {
        Ok(whole) if clean == text.len() => Cow::Borrowed(whole),
        // The clean part is ASCII by the definition of `must_escape`.
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
    fn a_terminal_cannot_be_driven() {
        assert_eq!(escape(b"\x1b[2J\x7f"), "\\x1B[2J\\x7F");
        assert_eq!(escape("é\u{9b}".as_bytes()), "\\xC3\\xA9\\xC2\\x9B");
    }
}
