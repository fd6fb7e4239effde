//! nginx's `ngx_http_proxy_module`: what a request to an upstream looks like,
//! and what of its answer reaches the client.

pub(crate) mod accel;
mod body;
pub(crate) mod buffers;
pub(crate) mod cache;
pub(crate) mod cookies;
mod directives;
pub(crate) mod handler;
pub(crate) mod next_upstream;
pub(crate) mod pass;
pub(crate) mod redirect;
pub(crate) mod request_head;
pub(crate) mod response;

use std::sync::Arc;
use std::time::Duration;

use crate::message::fields::{Fields, Names, is_hop_by_hop};
use crate::message::head::Version;
use bytes::Bytes;

use crate::vars::template::Template;
pub(crate) use directives::{DIRECTIVES, parse_bind};
pub(crate) use next_upstream::NextUpstream;
pub(crate) use pass::{Chosen, Pass, PassTarget, ProxyTo, Scheme, choose};
pub(crate) use redirect::{Redirect, rewrite_location, rewrite_refresh};
pub(crate) use request_head::write_head;

/// What the module keeps for each block.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `proxy_pass`.
    pub pass: Option<Arc<Pass>>,
    /// The location's prefix, which a path in `proxy_pass` replaces.
    pub location: Option<Box<[u8]>>,
    /// `proxy_set_header`, in order.
    pub set_headers: Arc<[(Box<str>, Template)]>,
    /// `proxy_http_version`.
    pub version: Version,
    /// `proxy_connect_timeout`.
    pub connect_timeout: Duration,
    /// `proxy_send_timeout`: between two writes.
    pub send_timeout: Duration,
    /// `proxy_read_timeout`: between two reads.
    pub read_timeout: Duration,
    /// `proxy_request_buffering`.
    pub request_buffering: bool,
    /// `proxy_buffer_size` and its like.
    pub buffers: buffers::Settings,
    /// `proxy_buffering`.
    pub buffering: bool,
    /// `proxy_limit_rate`.
    pub limit_rate: Option<Template>,
    /// `proxy_set_body`.
    pub body: Option<Template>,
    /// `proxy_bind`.
    pub bind: Option<Template>,
    /// `proxy_socket_keepalive`.
    pub socket_keepalive: bool,
    /// `proxy_pass_request_headers`.
    pub pass_request_headers: bool,
    /// `proxy_pass_request_body`.
    pub pass_request_body: bool,
    /// `proxy_method`.
    pub method: Option<Template>,
    /// `proxy_hide_header`.
    pub hide: Arc<[Box<str>]>,
    /// `proxy_pass_header`.
    pub show: Arc<[Box<str>]>,
    /// `proxy_ignore_headers`.
    pub ignored: accel::Ignored,
    /// `proxy_cookie_*`.
    pub cookies: cookies::Settings,
    /// `proxy_redirect`.
    pub(crate) redirect: Redirect,
    /// `proxy_intercept_errors`.
    pub intercept_errors: bool,
    /// `proxy_ignore_client_abort`.
    pub ignore_client_abort: bool,
    /// `proxy_next_upstream`.
    pub next_upstream: NextUpstream,
    /// `proxy_next_upstream_tries`; zero is no limit.
    pub next_tries: usize,
    /// `proxy_next_upstream_timeout`; zero is no limit.
    pub next_timeout: Duration,
    /// `proxy_pass_trailers`.
    pub pass_trailers: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            pass: None,
            location: None,
            set_headers: Arc::new([]),
            version: Version::Http11,
            connect_timeout: Duration::from_secs(60),
            send_timeout: Duration::from_secs(60),
            read_timeout: Duration::from_secs(60),
            request_buffering: true,
            buffers: buffers::Settings::default(),
            buffering: true,
            limit_rate: None,
            body: None,
            bind: None,
            socket_keepalive: false,
            pass_request_headers: true,
            pass_request_body: true,
            method: None,
            hide: Arc::new([]),
            show: Arc::new([]),
            ignored: accel::Ignored::default(),
            cookies: cookies::Settings::default(),
            redirect: Redirect::Default,
            intercept_errors: false,
            ignore_client_abort: false,
            next_upstream: NextUpstream::default(),
            next_tries: 0,
            next_timeout: Duration::ZERO,
            pass_trailers: false,
        }
    }
}

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

/// Takes out of a response's fields what nginx ignores: the second and later ones
/// of those that a response has once.
pub(crate) fn ignore_duplicates(fields: &mut Fields) -> Vec<(Bytes, Bytes)> {
    const NAMES: Names = Names::of(&SENT_ONCE);
    fields.keep_first(&SENT_ONCE, NAMES)
}

/// Whether a trailer field of the upstream's does not go on. Those that frame or
/// route a message would be taken for fields of it by whoever merges the two
/// (RFC 9110, section 6.5.1).
pub(crate) fn hides_trailer(settings: &Settings, name: &[u8]) -> bool {
    hides(settings, name) || is_hop_by_hop(name) || name.eq_ignore_ascii_case(b"host")
}

/// Whether a field of the upstream's answer stays between it and the proxy.
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
    const HIDDEN_NAMES: Names = Names::of(&HIDDEN);
    let is = |own: &str| own.as_bytes().eq_ignore_ascii_case(name);
    let hidden = match HIDDEN_NAMES.may_have(name) {
        true => HIDDEN.iter().position(|own| is(own)),
        false => None,
    };
    match hidden {
        // About the connection, whatever the configuration says.
        Some(0..4) => true,
        // What is passed on is not hidden, whichever block says so.
        None if !settings.hide.iter().any(|own| is(own)) => false,
        _ => !settings.show.iter().any(|own| is(own)),
    }
}

#[cfg(test)]
mod tests {
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
