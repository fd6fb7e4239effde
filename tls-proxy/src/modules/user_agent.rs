//! `keepalive_disable`, `msie_padding` and what else of nginx's core module
//! goes by the browser, as it tells them apart
//! (`ngx_http_process_user_agent`).

use memchr::memmem::find;

use super::{Contexts, Effect, MANY, Spec};
use crate::conf::Problem;
use crate::directive::arguments;
use crate::message::head::Version;
use crate::request::Request;
use crate::vars::{Evaluate, write};

/// `keepalive_disable`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoKeepalive {
    msie6: bool,
    safari: bool,
}

impl Default for NoKeepalive {
    fn default() -> Self {
        Self {
            msie6: true,
            safari: false,
        }
    }
}

pub(crate) const DIRECTIVES: &[Spec] = &[
    Spec::set(
        "keepalive_disable",
        Contexts::ALL,
        (1, MANY),
        |scope, directive| {
            let mut set = NoKeepalive {
                msie6: false,
                safari: false,
            };
            for word in &directive.args {
                match word.text.as_str() {
                    "none" => {}
                    "msie6" => set.msie6 = true,
                    "safari" => set.safari = true,
                    other => {
                        let message = format!("invalid value \"{other}\"");
                        return Err(Problem::emerg(&word.at, message));
                    }
                }
            }
            scope.settings.core.keepalive_disable = set;
            Ok(())
        },
    )
    .default("msie6")
    .about("Browsers whose connections are not kept: `msie6` behind a POST, `safari` on a Mac; `none`."),
    Spec::set("msie_padding", Contexts::ALL, (1, 1), |scope, directive| {
        scope.settings.core.msie_padding = arguments::flag(directive)?;
        Ok(())
    })
    .default("on")
    .about("Error pages are long enough for MSIE and Chrome to show them."),
    Spec::new(
        "msie_refresh",
        Contexts::ALL,
        (1, 1),
        Effect::Set(|_, directive| {
            let word = arguments::first(directive);
            if !arguments::flag(directive)? {
                return Ok(());
            }
            let message = "the \"msie_refresh on\" directive is not supported";
            Err(Problem::emerg(&word.at, message)
                .with_help("browsers follow redirects; remove the line"))
        }),
    )
    .default("off")
    .about("Only `off`: redirects are redirects for every browser."),
];

/// What a `User-Agent` tells.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Browser {
    msie: bool,
    /// MSIE 4 to 6, but for the 6 of Windows XP's second service pack.
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

/// Whether it is MSIE, and an old one.
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

/// `$msie` of nginx's browser module.
pub(crate) const VARIABLES: &[(&str, Evaluate)] = &[("msie", |request, out| {
    let is_msie = Browser::of(request).msie;
    write(Some(if is_msie { b"1" } else { b"" }), out)
})];

/// Whether an error page is padded for this client.
pub(crate) fn wants_padding(request: &Request) -> bool {
    let browser = Browser::of(request);
    (browser.msie || browser.chrome) && request.head.version > Version::Http09
}

/// Whether the client is an MSIE that gzip is not for (`gzip_disable msie6`).
pub(crate) fn is_msie6(request: &Request) -> bool {
    Browser::of(request).msie6
}

impl NoKeepalive {
    /// Whether the request's connection is not to be kept.
    pub(crate) fn forbids(self, request: &Request) -> bool {
        let msie6 = self.msie6 && &request.head.method[..] == b"POST";
        if !msie6 && !self.safari {
            return false;
        }
        let browser = Browser::of(request);
        (msie6 && browser.msie6) || (self.safari && browser.safari)
    }
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
