//! Paths of internal redirects: those from the configuration are used unchanged, those from
//! an upstream are not trusted.

use bytes::Bytes;

/// A path and its arguments, if it has a question mark.
pub(crate) type Target = (Bytes, Option<Bytes>);

/// Splits the arguments off a configured address (`try_files`, `error_page`), as nginx's
/// `ngx_http_split_args`.
pub(crate) fn split(address: &Bytes) -> Target {
    match memchr::memchr(b'?', address) {
        Some(mark) => (address.slice(..mark), Some(address.slice(mark + 1..))),
        None => (address.clone(), None),
    }
}

/// Parses an address from an upstream: its path is percent-decoded and must not leave its
/// location. `None` if it is unsafe: not an absolute path, a `..` segment before or after
/// decoding, a NUL. Unlike a request's target it is not normalized
/// (`ngx_http_parse_unsafe_uri`).
pub(crate) fn parse_untrusted(address: &Bytes) -> Option<Target> {
    let (path, args) = split(address);
    if !is_safe(&path) {
        return None;
    }
    if memchr::memchr(b'%', &path).is_none() {
        return Some((path, args));
    }
    let decoded = unescape(&path);
    is_safe(&decoded).then(|| (decoded.into(), args))
}

fn is_safe(path: &[u8]) -> bool {
    path.starts_with(b"/") && !path.contains(&0) && !has_dot_dot(path)
}

/// Whether a segment of the path is `..`.
pub(crate) fn has_dot_dot(path: &[u8]) -> bool {
    path.split(|byte| *byte == b'/').any(|part| part == b"..")
}

/// nginx's `ngx_unescape_uri`: a `%` without a following digit is dropped, and so is one
/// with a single digit, with the byte after it.
fn unescape(path: &[u8]) -> Vec<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let mut out = Vec::with_capacity(path.len());
    let mut bytes = path.iter().copied();
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            out.push(byte);
            continue;
        }
        let Some(first) = bytes.next() else { break };
        match digit(first) {
            None => out.push(first),
            Some(high) => {
                let low = bytes.next().and_then(digit);
                out.extend(low.map(|low| (high * 16 + low) as u8));
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(address: &str) -> Option<(String, Option<String>)> {
        let text = |bytes: Bytes| String::from_utf8_lossy(&bytes).into_owned();
        let (path, args) = parse_untrusted(&Bytes::copy_from_slice(address.as_bytes()))?;
        Some((text(path), args.map(text)))
    }

    #[test]
    fn what_could_leave_its_location_is_unsafe() {
        for address in [
            "",
            "?a=b",
            "files/x",
            "..",
            "/..",
            "/files/../x",
            "/files/..",
            "/files/..?x",
            "/files/%2e%2e/x",
            "/files/.%2E/x",
            "/files%2f..%2fx",
            "/files/%2e%2e",
            "%2e%2e/x",
            "/files/%00",
            "/files/\0",
        ] {
            assert_eq!(read(address), None, "{address:?}");
        }
    }

    #[test]
    fn everything_else_stays_as_it_is_but_for_its_escapes() {
        for (address, path, args) in [
            ("/a/./b//c", "/a/./b//c", None),
            ("/a?b=/../c", "/a", Some("b=/../c")),
            ("/a?", "/a", Some("")),
            ("/a..b/..c/d../...", "/a..b/..c/d../...", None),
            ("/a%20b%3fc?d%20e", "/a b?c", Some("d%20e")),
            ("/a%252e%252e/b", "/a%2e%2e/b", None),
            ("/a#b", "/a#b", None),
            ("/%zz%4z%4", "/zz", None),
            ("/%", "/", None),
        ] {
            let expected = Some((path.to_owned(), args.map(str::to_owned)));
            assert_eq!(read(address), expected, "{address:?}");
        }
    }
}
