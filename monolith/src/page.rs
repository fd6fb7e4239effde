//! The page at `/` for browsers: `page.html`, and in it what this program sees of
//! the visitor. All of it is in this one response, which forbids the browser to
//! load or run anything else.

use crate::answer;
use crate::pieces::Pieces;
use axum::body::{Body, Bytes};
use axum::http::header::{
    AUTHORIZATION, CONTENT_SECURITY_POLICY, COOKIE, HeaderName, PROXY_AUTHORIZATION,
    REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderMap, HeaderValue, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};
use std::fmt::Write as _;
use std::sync::LazyLock;

const TEMPLATE: &str = include_str!("page.html");
/// Where the part that depends on the visitor stands in the template.
const MARK: &str = "<!-- visitor -->\n";

/// What is shown of one value, in characters, and after how many bytes no further
/// field is: a page that waits for its client is part of what a connection needs.
const MAX_VALUE: usize = 200;
const MAX_VISITOR: usize = 4096;

/// What the proxy in front tells of its connection; `nginx/proxy.conf` sets these
/// and overwrites what a client sends under their names.
const PROTOCOL: &str = "x-ssl-protocol";
const CURVE: &str = "x-ssl-curve";
const VERIFY: &str = "x-ssl-client-verify";
const SUBJECT: &str = "x-ssl-client-s-dn";
const ADDRESS: &str = "x-forwarded-for";

/// The page for the visitor who sent these fields.
pub(crate) fn page(headers: &HeaderMap) -> Response<Body> {
    let (before, after) = TEMPLATE.split_once(MARK).unwrap_or((TEMPLATE, ""));
    let mut response = answer::html(Body::new(Pieces::new([
        Bytes::from_static(before.as_bytes()),
        Bytes::from(visitor(headers)),
        Bytes::from_static(after.as_bytes()),
    ])));
    let fields = response.headers_mut();
    fields.extend([
        (CONTENT_SECURITY_POLICY, POLICY.clone()),
        (X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
        (REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    ]);
    response
}

/// The template's own script and style, by their hashes, and requests to this
/// origin; nothing else.
static POLICY: LazyLock<HeaderValue> = LazyLock::new(|| {
    let policy = format!(
        "default-src 'none'; script-src {}; style-src {}; connect-src 'self'; \
         base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
         require-trusted-types-for 'script'",
        hash_between("<script>", "</script>"),
        hash_between("<style>", "</style>"),
    );
    // A hash is ASCII; were it not, the page would do nothing.
    HeaderValue::try_from(policy).unwrap_or_else(|_| HeaderValue::from_static("default-src 'none'"))
});

fn hash_between(begin: &str, end: &str) -> String {
    let (_, rest) = TEMPLATE.split_once(begin).unwrap_or_default();
    let (content, _) = rest.split_once(end).unwrap_or_default();
    format!("'sha256-{}'", STANDARD.encode(Sha256::digest(content)))
}

/// Who asks: the connection as the proxy tells of it, and the request's fields.
fn visitor(headers: &HeaderMap) -> String {
    let mut out = String::with_capacity(MAX_VISITOR);
    out.push_str("<dl>\n");
    for (term, value) in [
        ("Your address", sent(headers, ADDRESS)),
        ("TLS version", sent(headers, PROTOCOL)),
        ("Group of the key exchange", sent(headers, CURVE)),
        ("Your certificate", certificate(headers)),
    ] {
        let value = value.as_deref().unwrap_or("not known");
        let _ = writeln!(out, "<dt>{term}</dt><dd>{}</dd>", Escaped(value));
    }
    out.push_str("</dl>\n<details>\n<summary>The fields of your request</summary>\n");
    out.push_str("<table aria-label=\"The fields of your request\">\n");
    let mut rest = headers.len();
    for (name, value) in headers {
        if out.len() > MAX_VISITOR {
            let _ = writeln!(
                out,
                "<tr><th scope=row>…</th><td>{rest} more, not shown</td></tr>"
            );
            break;
        }
        rest -= 1;
        let value = if is_secret(name) {
            "sent, not shown".to_owned()
        } else {
            shown(value)
        };
        let _ = writeln!(
            out,
            "<tr><th scope=row>{}</th><td>{}</td></tr>",
            Escaped(&cut(name.as_str())),
            Escaped(&value)
        );
    }
    out.push_str("</table>\n</details>\n");
    out
}

/// Pages are shown to others and become pictures.
fn is_secret(name: &HeaderName) -> bool {
    [AUTHORIZATION, COOKIE, PROXY_AUTHORIZATION].contains(name)
}

/// What nginx's `$ssl_client_verify` and `$ssl_client_s_dn` say together.
fn certificate(headers: &HeaderMap) -> Option<String> {
    let verify = sent(headers, VERIFY)?;
    let subject = sent(headers, SUBJECT).unwrap_or_default();
    Some(match verify.as_str() {
        "NONE" => "none sent".to_owned(),
        "SUCCESS" => subject,
        _ => format!("{subject} ({verify})"),
    })
}

fn sent(headers: &HeaderMap, name: &str) -> Option<String> {
    headers.get(name).map(shown)
}

fn shown(value: &HeaderValue) -> String {
    cut(&String::from_utf8_lossy(value.as_bytes()))
}

fn cut(text: &str) -> String {
    match text.char_indices().nth(MAX_VALUE) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// Text in which no character means something in HTML.
struct Escaped<'a>(&'a str);

impl std::fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for part in self.0.split_inclusive(['&', '<', '>', '"', '\'']) {
            let (text, special) = match part.char_indices().next_back() {
                Some((at, '&')) => (&part[..at], "&amp;"),
                Some((at, '<')) => (&part[..at], "&lt;"),
                Some((at, '>')) => (&part[..at], "&gt;"),
                Some((at, '"')) => (&part[..at], "&quot;"),
                Some((at, '\'')) => (&part[..at], "&#39;"),
                _ => (part, ""),
            };
            f.write_str(text)?;
            f.write_str(special)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_template_has_one_mark_one_script_and_one_style() {
        for part in [MARK, "<script>", "</script>", "<style>", "</style>"] {
            assert_eq!(TEMPLATE.matches(part).count(), 1, "{part}");
        }
    }

    #[test]
    fn every_character_that_means_something_is_escaped() {
        let escape = |text| Escaped(text).to_string();
        assert_eq!(escape("a<b>&\"'é"), "a&lt;b&gt;&amp;&quot;&#39;é");
        assert_eq!(escape("plain"), "plain");
        assert_eq!(escape(""), "");
    }

    #[test]
    fn a_long_value_is_cut_between_characters() {
        assert_eq!(cut(&"é".repeat(200)), "é".repeat(200));
        assert_eq!(cut(&"é".repeat(201)), format!("{}…", "é".repeat(200)));
    }
}
