//! The page at `/` for browsers: `page.html`, with what this program knows of the
//! visitor. It is one response, whose policy forbids the browser to load or run
//! anything else.

use crate::response;
use crate::segmented_body::SegmentedBody;
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
/// The placeholder for the part that depends on the visitor.
const PLACEHOLDER: &str = "<!-- visitor -->\n";

/// How many characters of a value are shown, and after how many bytes no more
/// fields are: a page that waits for its client counts as the connection's memory.
const MAX_VALUE: usize = 200;
const MAX_VISITOR: usize = 4096;

/// What the proxy in front says of its connection with the client; `nginx/proxy.conf`
/// sets these fields and replaces those that a client sends.
const PROTOCOL: &str = "x-ssl-protocol";
const CURVE: &str = "x-ssl-curve";
const VERIFY: &str = "x-ssl-client-verify";
const SUBJECT: &str = "x-ssl-client-s-dn";
const ADDRESS: &str = "x-forwarded-for";

/// The page for a client that sent these header fields.
pub(crate) fn page(headers: &HeaderMap) -> Response<Body> {
    let (before, after) = TEMPLATE.split_once(PLACEHOLDER).unwrap_or((TEMPLATE, ""));
    let mut response = response::html(Body::new(SegmentedBody::new([
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

/// Allows the template's script and style, by their hashes, and requests to this
/// origin.
static POLICY: LazyLock<HeaderValue> = LazyLock::new(|| {
    let policy = format!(
        "default-src 'none'; script-src {}; style-src {}; connect-src 'self'; \
         base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
         require-trusted-types-for 'script'",
        hash_between("<script>", "</script>"),
        hash_between("<style>", "</style>"),
    );
    // The policy is ASCII, so this does not fail; if it did, nothing would run.
    HeaderValue::try_from(policy).unwrap_or_else(|_| HeaderValue::from_static("default-src 'none'"))
});

fn hash_between(begin: &str, end: &str) -> String {
    let (_, rest) = TEMPLATE.split_once(begin).unwrap_or_default();
    let (content, _) = rest.split_once(end).unwrap_or_default();
    format!("'sha256-{}'", STANDARD.encode(Sha256::digest(content)))
}

/// The connection as the proxy describes it, and the request's header fields.
fn visitor(headers: &HeaderMap) -> String {
    let mut out = String::with_capacity(MAX_VISITOR);
    out.push_str("<dl>\n");
    for (term, value) in [
        ("Your address", field(headers, ADDRESS)),
        ("TLS version", field(headers, PROTOCOL)),
        ("Group of the key exchange", field(headers, CURVE)),
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
            display(value)
        };
        let _ = writeln!(
            out,
            "<tr><th scope=row>{}</th><td>{}</td></tr>",
            Escaped(&truncate(name.as_str())),
            Escaped(&value)
        );
    }
    out.push_str("</table>\n</details>\n");
    out
}

/// Not shown, since people share screenshots.
fn is_secret(name: &HeaderName) -> bool {
    [AUTHORIZATION, COOKIE, PROXY_AUTHORIZATION].contains(name)
}

/// From nginx's `$ssl_client_verify` and `$ssl_client_s_dn`.
fn certificate(headers: &HeaderMap) -> Option<String> {
    let verify = field(headers, VERIFY)?;
    let subject = field(headers, SUBJECT).unwrap_or_default();
    Some(match verify.as_str() {
        "NONE" => "none sent".to_owned(),
        "SUCCESS" => subject,
        _ => format!("{subject} ({verify})"),
    })
}

fn field(headers: &HeaderMap, name: &str) -> Option<String> {
    headers.get(name).map(display)
}

fn display(value: &HeaderValue) -> String {
    truncate(&String::from_utf8_lossy(value.as_bytes()))
}

fn truncate(text: &str) -> String {
    match text.char_indices().nth(MAX_VALUE) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// Text escaped for HTML.
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
    fn the_template_has_one_placeholder_one_script_and_one_style() {
        for part in [PLACEHOLDER, "<script>", "</script>", "<style>", "</style>"] {
            assert_eq!(TEMPLATE.matches(part).count(), 1, "{part}");
        }
    }

    #[test]
    fn special_characters_of_html_are_escaped() {
        let escape = |text| Escaped(text).to_string();
        assert_eq!(escape("a<b>&\"'é"), "a&lt;b&gt;&amp;&quot;&#39;é");
        assert_eq!(escape("plain"), "plain");
        assert_eq!(escape(""), "");
    }

    #[test]
    fn a_long_value_is_truncated_between_characters() {
        assert_eq!(truncate(&"é".repeat(200)), "é".repeat(200));
        assert_eq!(truncate(&"é".repeat(201)), format!("{}…", "é".repeat(200)));
    }
}
