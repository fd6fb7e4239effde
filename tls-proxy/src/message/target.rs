//! The request target (RFC 9112, section 3.2) and its path.
//!
//! nginx matches locations against the *normalized* path: percent-decoded, with `.`, `..`
//! and repeated slashes resolved. Unless it was rewritten, the target is passed to
//! upstreams as the client sent it.

use std::ops::Range;

use bytes::Bytes;

/// The path is not allowed: it goes above the root, contains a NUL or an invalid
/// percent-encoding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid request target")]
pub(crate) struct Error;

/// A normalized target.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct NormalizedTarget {
    /// nginx's `$uri`: the decoded path.
    pub(crate) path: Bytes,
    /// The position of the query in the raw target, without its `?`.
    pub(crate) args: Option<Range<usize>>,
    /// The raw path had percent-encoded bytes, so a rewritten path must be escaped for
    /// upstreams.
    pub(crate) quoted: bool,
}

/// Normalizes an origin-form target (as nginx: `ngx_http_parse_complex_uri`,
/// `merge_slashes`).
pub(crate) fn normalise(raw: &Bytes, merge_slashes: bool) -> Result<NormalizedTarget, Error> {
    let end = memchr::memchr(b'?', raw).unwrap_or(raw.len());
    if is_normal(&raw[..end]) && !raw[end..].contains(&b'#') {
        return Ok(NormalizedTarget {
            path: raw.slice(..end),
            args: (end < raw.len()).then(|| end + 1..raw.len()),
            quoted: false,
        });
    }
    let mut path = Vec::with_capacity(raw.len());
    let (mut args, mut quoted) = (None, false);
    let mut at = 0;
    while at < raw.len() {
        let byte = match raw[at] {
            b'?' => {
                let end = memchr::memchr(b'#', &raw[at..]).map_or(raw.len(), |found| at + found);
                args = Some(at + 1..end);
                break;
            }
            b'#' => break,
            b'%' => {
                let byte = raw.get(at + 1..at + 3).and_then(decode_pair).ok_or(Error)?;
                quoted = true;
                at += 2;
                byte
            }
            byte => byte,
        };
        at += 1;
        if byte == 0 {
            return Err(Error);
        }
        if byte == b'/' {
            end_segment(&mut path, merge_slashes, true)?;
        } else {
            path.push(byte);
        }
    }
    end_segment(&mut path, merge_slashes, false)?;
    Ok(NormalizedTarget {
        path: path.into(),
        args,
        quoted,
    })
}

/// Whether a path is normalized already, as almost all are: no encoded byte, no empty
/// segment and none that begins with a dot.
fn is_normal(path: &[u8]) -> bool {
    let mut before = 0;
    let plain = path.iter().all(|byte| {
        let starts = std::mem::replace(&mut before, *byte) == b'/';
        !(matches!(byte, 0 | b'%' | b'#') || starts && matches!(byte, b'/' | b'.'))
    });
    plain && path.starts_with(b"/")
}

/// Resolves the last written segment and starts the next one if a slash follows.
fn end_segment(path: &mut Vec<u8>, merge: bool, slash: bool) -> Result<(), Error> {
    let Some(start) = memchr::memrchr(b'/', path) else {
        if !path.is_empty() {
            return Err(Error);
        }
        path.push(b'/');
        return Ok(());
    };
    match &path[start + 1..] {
        b"." => path.truncate(start + 1),
        b".." => {
            let parent = memchr::memrchr(b'/', &path[..start]).ok_or(Error)?;
            path.truncate(parent + 1);
        }
        b"" if merge => {}
        _ if slash => path.push(b'/'),
        _ => {}
    }
    Ok(())
}

/// The byte of two hexadecimal digits.
pub(crate) fn decode_pair(pair: &[u8]) -> Option<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    Some((digit(pair[0])? * 16 + digit(pair[1])?) as u8)
}

/// Percent-encodes a path for an upstream's request line: unprintable characters and those
/// that end a path (nginx: `NGX_ESCAPE_URI`).
pub(crate) fn escape_path(path: &[u8], out: &mut Vec<u8>) {
    for byte in path {
        match byte {
            0..=0x20
            | 0x7f..=0xff
            | b'#'
            | b'%'
            | b'?'
            | b'"'
            | b'<'
            | b'>'
            | b'\\'
            | b'^'
            | b'`'
            | b'{'
            | b'|'
            | b'}' => push_escaped(*byte, out),
            _ => out.push(*byte),
        }
    }
}

/// Writes `%XX`.
pub(crate) fn push_escaped(byte: u8, out: &mut Vec<u8>) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    out.extend_from_slice(&[
        b'%',
        HEX[usize::from(byte >> 4)],
        HEX[usize::from(byte & 15)],
    ]);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(raw: &str) -> Result<String, Error> {
        normalise(&Bytes::copy_from_slice(raw.as_bytes()), true)
            .map(|it| String::from_utf8_lossy(&it.path).into_owned())
    }

    #[test]
    fn dots_and_slashes_are_resolved() {
        for (raw, expected) in [
            ("/", "/"),
            ("/a/b", "/a/b"),
            ("/a/./b", "/a/b"),
            ("/a/../b", "/b"),
            ("/a/..", "/"),
            ("/a/.", "/a/"),
            ("/a//b///c", "/a/b/c"),
            ("/a%2fb%2F..%2fc", "/a/c"),
            ("/%2e%2e%2fa/..", "!"),
            ("/a/...", "/a/..."),
            ("/.a/..b", "/.a/..b"),
            ("/a%20b%25%3f%23", "/a b%?#"),
        ] {
            match path(raw) {
                Ok(found) => assert_eq!(found, expected, "{raw}"),
                Err(Error) => assert_eq!("!", expected, "{raw}"),
            }
        }
    }

    #[test]
    fn what_climbs_or_is_broken_is_refused() {
        for raw in ["/..", "/a/../..", "/%2e%2e", "/%", "/%4", "/%zz", "/a%00b"] {
            assert_eq!(path(raw), Err(Error), "{raw}");
        }
    }

    #[test]
    fn slashes_stay_where_merging_is_off() {
        let normal = normalise(&Bytes::from_static(b"/a//b?x#y"), false).expect("valid");
        assert_eq!(&normal.path[..], b"/a//b");
        assert_eq!(normal.args, Some(6..7));
    }

    #[test]
    fn escaping_keeps_the_path_in_one_piece() {
        let mut out = Vec::new();
        escape_path(b"/a b?\xc3\xa9#%", &mut out);
        assert_eq!(out, b"/a%20b%3F%C3%A9%23%25");
    }
}
