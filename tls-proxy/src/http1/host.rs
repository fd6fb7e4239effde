//! The host a request names (RFC 3986, section 3.2.2; RFC 9112, section 3.2).

use bytes::Bytes;

/// The host of `Host` or of an absolute target: in lower case, without port
/// and final dot (`$host`). `None` where it is not a valid one.
pub(crate) fn parse(text: &Bytes) -> Option<Bytes> {
    let host = find(text)?;
    // Few clients write capitals.
    Some(match host.iter().any(u8::is_ascii_uppercase) {
        true => host.to_ascii_lowercase().into(),
        false => text.slice_ref(host),
    })
}

/// The same, with the letters that the client used.
pub(crate) fn find(text: &[u8]) -> Option<&[u8]> {
    let (host, port) = if text.starts_with(b"[") {
        let end = memchr::memchr(b']', text)?;
        let inside = &text[1..end];
        let valid = inside
            .iter()
            .all(|byte| byte.is_ascii_hexdigit() || b":.".contains(byte));
        if inside.is_empty() || !valid {
            return None;
        }
        text.split_at(end + 1)
    } else {
        let end = memchr::memchr(b':', text).unwrap_or(text.len());
        let host = &text[..end];
        let doubled = host.windows(2).any(|pair| pair == b"..");
        if host.is_empty() || doubled || !host.iter().all(is_host_byte) {
            return None;
        }
        text.split_at(end)
    };
    let port = match port {
        b"" => b"",
        _ => port.strip_prefix(b":")?,
    };
    // At most five digits, so that the sum below cannot overflow.
    if port.len() > 5 || !port.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let number = port
        .iter()
        .fold(0, |sum, digit| sum * 10 + u32::from(digit - b'0'));
    if number > 65535 {
        return None;
    }
    let host = host.strip_suffix(b".").unwrap_or(host);
    (!host.is_empty()).then_some(host)
}

fn is_host_byte(byte: &u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~%!$&'()*+,;=".contains(byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_read_as_nginx_reads_them() {
        for (text, host) in [
            ("a", "a"),
            ("A.B.", "a.b"),
            ("a:", "a"),
            ("a:80", "a"),
            (".a", ".a"),
            ("a,b", "a,b"),
            ("a_b", "a_b"),
            ("[::1]:80", "[::1]"),
        ] {
            assert_eq!(
                parse(&Bytes::from_static(text.as_bytes())).as_deref(),
                Some(host.as_bytes()),
                "{text}"
            );
        }
        for text in [
            "",
            ":80",
            ".",
            "a/b",
            "a b",
            "a..b",
            "a:b",
            "a:80:90",
            "[::1",
            "[::1]x",
            "user@a",
            "\u{e9}",
            "a:99999",
            "a:99999999999",
            "[]",
        ] {
            assert_eq!(parse(&Bytes::from_static(text.as_bytes())), None, "{text}");
        }
    }
}
