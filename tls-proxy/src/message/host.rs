//! The host of a request (RFC 3986, section 3.2.2; RFC 9112, section 3.2).

use bytes::Bytes;

/// The host in `Host` or an absolute target: in lower case, without port and final dot
/// (`$host`). `None` if it is invalid.
pub(crate) fn parse(text: &Bytes) -> Option<Bytes> {
    let host = find(text)?;
    // Upper case is rare.
    Some(match host.iter().any(u8::is_ascii_uppercase) {
        true => host.to_ascii_lowercase().into(),
        false => text.slice_ref(host),
    })
}

/// The same in the original case.
pub(crate) fn find(text: &[u8]) -> Option<&[u8]> {
    let literal = text.starts_with(b"[");
    let end = match literal {
        true => memchr::memchr(b']', text)? + 1,
        false => memchr::memchr(b':', text).unwrap_or(text.len()),
    };
    let (host, port) = text.split_at(end);
    let valid = match literal {
        true => host[1..end - 1].iter().all(is_literal_byte),
        false => host.iter().all(is_host_byte),
    };
    let doubled = host.windows(2).any(|pair| pair == b"..");
    if !valid || doubled || !is_port(port) {
        return None;
    }
    let host = host.strip_suffix(b".").unwrap_or(host);
    (!host.is_empty()).then_some(host)
}

/// Length of the authority in a request target; `None` if it is invalid. As in nginx fewer
/// characters are allowed than in `Host`: of a registered name in RFC 3986, letters,
/// digits, `.` and `-`.
pub(crate) fn length_in_target(text: &[u8]) -> Option<usize> {
    let is_name_byte = |byte: &&u8| byte.is_ascii_alphanumeric() || b".-".contains(byte);
    let host = match text.starts_with(b"[") {
        true => memchr::memchr(b']', text)? + 1,
        false => text.iter().take_while(is_name_byte).count(),
    };
    let port = match text.get(host) {
        Some(b':') => {
            1 + text[host + 1..]
                .iter()
                .take_while(|it| it.is_ascii_digit())
                .count()
        }
        _ => 0,
    };
    find(&text[..host + port]).map(|_| host + port)
}

/// Empty, or a colon and an optional 16-bit number.
fn is_port(text: &[u8]) -> bool {
    let Some((colon, digits)) = text.split_first() else {
        return true;
    };
    let add = |sum: u16, byte: &u8| {
        let digit = byte.is_ascii_digit().then(|| u16::from(byte - b'0'))?;
        sum.checked_mul(10)?.checked_add(digit)
    };
    *colon == b':' && digits.iter().try_fold(0, add).is_some()
}

/// Of each byte, whether it is a letter, a digit, or one of `others`.
const fn alphanumeric_or(others: &[u8]) -> [bool; 256] {
    let (mut table, mut byte) = ([false; 256], 0);
    while byte < table.len() {
        table[byte] = (byte as u8).is_ascii_alphanumeric();
        byte += 1;
    }
    let mut at = 0;
    while at < others.len() {
        table[others[at] as usize] = true;
        at += 1;
    }
    table
}

fn is_host_byte(byte: &u8) -> bool {
    static TABLE: [bool; 256] = alphanumeric_or(b"-._~%!$&'()*+,;=");
    TABLE[*byte as usize]
}

/// A character of an IP literal (RFC 3986, section 3.2.2) of any version.
fn is_literal_byte(byte: &u8) -> bool {
    static TABLE: [bool; 256] = alphanumeric_or(b":-._~!$&'()*+,;=");
    TABLE[*byte as usize]
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
            ("a:000080", "a"),
            ("[::1]:80", "[::1]"),
            ("[v1.A:b]", "[v1.a:b]"),
            ("[]", "[]"),
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
            "[::1].",
            "[a..b]",
            "[::1%25eth0]",
            "user@a",
            "\u{e9}",
            "a:99999",
            "a:99999999999",
        ] {
            assert_eq!(parse(&Bytes::from_static(text.as_bytes())), None, "{text}");
        }
    }
    #[test]
    fn a_target_holds_fewer_hosts_than_the_field() {
        for (text, length) in [
            ("a.b-c:80/x", Some(8)),
            ("a", Some(1)),
            ("a:?x", Some(2)),
            ("[::1]:80", Some(8)),
            // The caller checks what follows.
            ("a%2fb/", Some(1)),
            ("a_b", Some(1)),
            ("a..b/", None),
            ("/x", None),
            (":80", None),
            ("[::1", None),
            ("[a b]", None),
            ("a:65536", None),
        ] {
            assert_eq!(length_in_target(text.as_bytes()), length, "{text}");
        }
    }
}
