//! Which media type a client would rather have: `Accept`, RFC 9110, section 12.5.1.

use axum::http::header::ACCEPT;
use axum::http::{HeaderMap, HeaderValue};

/// Whether the client prefers HTML to JSON. Without a preference, as with curl's
/// `*/*`, it gets JSON.
pub(crate) fn prefers_html(headers: &HeaderMap) -> bool {
    let names_text = |value: &HeaderValue| {
        let mut starts = value.as_bytes().windows(5);
        starts.any(|start| start.eq_ignore_ascii_case(b"text/"))
    };
    headers.get_all(ACCEPT).iter().any(names_text)
        && weight(headers, "text", "html") > weight(headers, "application", "json")
}

/// The weight of a media type, from 0 to 1: that of the most specific range that
/// matches it, 0 if none does.
fn weight(headers: &HeaderMap, kind: &str, subtype: &str) -> f32 {
    headers
        .get_all(ACCEPT)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|range| {
            let mut parts = range.split(';').map(str::trim);
            let specificity = specificity(parts.next()?, kind, subtype)?;
            Some((specificity, quality(parts)?))
        })
        .max_by_key(|&(specificity, _)| specificity)
        .map_or(0.0, |(_, quality)| quality)
}

fn specificity(range: &str, kind: &str, subtype: &str) -> Option<u8> {
    match range.split_once('/')? {
        ("*", "*") => Some(0),
        (left, _) if !left.eq_ignore_ascii_case(kind) => None,
        (_, "*") => Some(1),
        (_, right) => right.eq_ignore_ascii_case(subtype).then_some(2),
    }
}

/// The parameter `q`, 1 by default. None if it is not a valid weight.
fn quality<'a>(mut parameters: impl Iterator<Item = &'a str>) -> Option<f32> {
    let q = parameters.find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        name.eq_ignore_ascii_case("q").then_some(value)
    });
    let Some(q) = q else { return Some(1.0) };
    q.parse().ok().filter(|q| (0.0..=1.0).contains(q))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn html(values: &[&'static str]) -> bool {
        let fields = values
            .iter()
            .map(|value| (ACCEPT, HeaderValue::from_static(value)));
        prefers_html(&fields.collect())
    }

    #[test]
    fn browsers_prefer_html() {
        // Chromium, Firefox and Safari; then an old one.
        assert!(html(&[
            "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
        ]));
        assert!(html(&["text/html;q=1.0, */*;q=0.1"]));
        assert!(html(&["text/html"]));
        assert!(html(&["text/*"]));
        assert!(html(&["TEXT/HTML; charset=utf-8"]));
        assert!(html(&["application/json;q=0.5", "text/html ; Q=0.6"]));
    }

    #[test]
    fn a_client_without_a_preference_gets_json() {
        assert!(!html(&[]));
        assert!(!html(&[""]));
        assert!(!html(&["*/*"]));
        assert!(!html(&["text/html, application/json"]));
        assert!(!html(&["text/html, */*"]));
        assert!(!html(&["image/png"]));
        assert!(!html(&["application/json;q=0, */*"]));
    }

    #[test]
    fn the_most_specific_range_decides_in_any_order() {
        assert!(!html(&["text/html;q=0.1, text/*, */*;q=0.5"]));
        assert!(!html(&["*/*;q=0.5, text/*, text/html;q=0.1"]));
        assert!(html(&["application/*;q=0.1, text/*;q=0.2, */*"]));
    }

    #[test]
    fn invalid_ranges_are_ignored() {
        for value in [
            "text",
            "text/html;q=2",
            "text/html;q=-1",
            "text/html;q=x",
            "text/html;q=nan",
            "*/html",
            ";,/,=;q",
        ] {
            assert!(!html(&[value]), "{value}");
        }
    }
}
