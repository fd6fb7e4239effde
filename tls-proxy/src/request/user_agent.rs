//! Browser detection of nginx's core module (`ngx_http_process_user_agent`).

use memchr::memmem::find;

use super::Request;
use crate::config::core::NoKeepalive;
use crate::message::head::Version;

/// What a `User-Agent` says of the browser.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Browser {
    msie: bool,
    /// MSIE 4 to 6, except for MSIE 6 of Windows XP SP2.
    msie6: bool,
    chrome: bool,
    safari: bool,
}

impl Browser {
    fn of(request: &Request) -> Self {
        let field = request.head.fields.first(b"user-agent");
        field.map_or_else(Self::default, Self::parse)
    }

    fn parse(text: &[u8]) -> Self {
        let has = |word: &[u8]| find(text, word).is_some();
        let mut own = Self::default();
        if has(b"Opera") {
            return own;
        }
        if let Some(old) = msie(text) {
            own.msie = true;
            own.msie6 = old;
            return own;
        }
        if !has(b"Gecko/") {
            own.chrome = has(b"Chrome/");
            own.safari = !own.chrome && has(b"Safari/") && has(b"Mac OS X");
        }
        own
    }
}

/// Whether it is MSIE (`Some`), and whether it is an old one.
fn msie(text: &[u8]) -> Option<bool> {
    let at = find(text, b"MSIE ")?;
    let [major, dot, rest @ ..] = &text[at + 5..] else {
        return None;
    };
    let rest = rest.get(1..)?;
    let old = match major {
        b'4' | b'5' => true,
        b'6' => find(rest, b"SV1").is_none(),
        _ => false,
    };
    Some(old && *dot == b'.')
}

/// Whether an error page is padded for this client.
pub(crate) fn wants_padding(request: &Request) -> bool {
    let browser = Browser::of(request);
    (browser.msie || browser.chrome) && request.head.version > Version::Http09
}

/// Whether it is an MSIE (`$msie`).
pub(crate) fn is_msie(request: &Request) -> bool {
    Browser::of(request).msie
}

/// Whether it is an MSIE that does not get gzip (`gzip_disable msie6`).
pub(crate) fn is_msie6(request: &Request) -> bool {
    Browser::of(request).msie6
}

/// Whether `keepalive_disable` forbids keeping the connection of this request.
pub(super) fn forbids_keepalive(set: NoKeepalive, request: &Request) -> bool {
    let msie6 = set.msie6 && &request.head.method[..] == b"POST";
    if !msie6 && !set.safari {
        return false;
    }
    let browser = Browser::of(request);
    (msie6 && browser.msie6) || (set.safari && browser.safari)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn browsers_are_told_apart_as_nginx_does() {
        let name = |text: &str| {
            let own = Browser::parse(text.as_bytes());
            (own.msie, own.msie6, own.chrome, own.safari)
        };
        for (text, expected) in [
            (
                "Mozilla/4.0 (compatible; MSIE 6.0; Windows NT 5.1)",
                (true, true, false, false),
            ),
            (
                "Mozilla/4.0 (compatible; MSIE 6.0; Windows NT 5.1; SV1)",
                (true, false, false, false),
            ),
            (
                "Mozilla/4.0 (compatible; MSIE 5.5)",
                (true, true, false, false),
            ),
            (
                "Mozilla/4.0 (compatible; MSIE 9.0)",
                (true, false, false, false),
            ),
            ("MSIE 6.0 Opera", (false, false, false, false)),
            ("MSIE 6", (false, false, false, false)),
            (
                "Mozilla/5.0 (X11) Chrome/120.0 Safari/537.36",
                (false, false, true, false),
            ),
            (
                "Mozilla/5.0 (Macintosh; Mac OS X) Safari/600",
                (false, false, false, true),
            ),
            (
                "Mozilla/5.0 (Macintosh; Mac OS X) Gecko/20100101",
                (false, false, false, false),
            ),
            ("", (false, false, false, false)),
        ] {
            assert_eq!(name(text), expected, "{text}");
        }
    }
}
