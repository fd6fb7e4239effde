//! Which fields of an upstream's response are hidden from the client.

use super::settings::Settings;
use crate::message::fields::{FieldNameFilter, Fields, is_hop_by_hop};

/// Fields of which nginx takes the first and ignores the others; a second
/// `Content-Length` or `Transfer-Encoding` makes the response invalid.
const SENT_ONCE: [&str; 12] = [
    "status",
    "content-type",
    "date",
    "last-modified",
    "etag",
    "server",
    "location",
    "refresh",
    "expires",
    "x-accel-expires",
    "x-accel-redirect",
    "x-accel-limit-rate",
];

/// Removes what nginx ignores from a response's fields: the second and later ones of those that a
/// response has once. Returns them.
pub(crate) fn ignore_duplicates(fields: &mut Fields) -> Fields {
    const NAMES: FieldNameFilter = FieldNameFilter::of(&SENT_ONCE);
    fields.keep_first(&SENT_ONCE, NAMES)
}

/// Whether a trailer field of the upstream is hidden. Those that frame or route a message would
/// take effect if a client merged trailers into the header (RFC 9110, section 6.5.1).
pub(crate) fn hides_trailer(settings: &Settings, name: &[u8]) -> bool {
    hides(settings, name) || is_hop_by_hop(name) || name.eq_ignore_ascii_case(b"host")
}

/// Whether a field of the upstream's response is hidden from the client.
pub(crate) fn hides(settings: &Settings, name: &[u8]) -> bool {
    const HIDDEN: [&str; 12] = [
        "connection",
        "keep-alive",
        "transfer-encoding",
        "content-length",
        "date",
        "server",
        "x-pad",
        "x-accel-expires",
        "x-accel-redirect",
        "x-accel-limit-rate",
        "x-accel-buffering",
        "x-accel-charset",
    ];
    const HIDDEN_NAMES: FieldNameFilter = FieldNameFilter::of(&HIDDEN);
    let is = |own: &str| own.as_bytes().eq_ignore_ascii_case(name);
    let hidden = match HIDDEN_NAMES.may_have(name) {
        true => HIDDEN.iter().position(|own| is(own)),
        false => None,
    };
    match hidden {
        // Connection-specific, whatever the configuration says.
        Some(0..4) => true,
        // `proxy_pass_header` overrides `proxy_hide_header`, whichever block has it.
        None if !settings.hide.iter().any(|own| is(own)) => false,
        _ => !settings.show.iter().any(|own| is(own)),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn framing_and_upstream_identity_stay_behind() {
        let settings = Settings::default();
        for name in [
            "Transfer-Encoding",
            "connection",
            "Server",
            "X-Accel-Redirect",
        ] {
            assert!(hides(&settings, name.as_bytes()), "{name}");
        }
        assert!(!hides(&settings, b"X-Foo"));
        let shown = Settings {
            show: Arc::new(["server".into()]),
            ..Settings::default()
        };
        assert!(!hides(&shown, b"Server"));
    }
}
