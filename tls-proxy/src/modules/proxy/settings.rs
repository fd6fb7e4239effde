//! What the module keeps for each block.

use std::sync::Arc;
use std::time::Duration;

use super::accel::Ignored;
use super::next_upstream::NextUpstream;
use super::pass::Pass;
use super::redirect::Redirect;
use crate::config::settings::{Inside, ModuleSettings};
use crate::message::head::Version;
use crate::variables::template::Template;

/// What the module keeps for each block.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
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
    pub ignored: Ignored,
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
            ignored: Ignored::default(),
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

impl ModuleSettings for Settings {
    fn inside(&self, inside: Inside) -> Option<Self> {
        let kept = inside != Inside::Location || self.pass.is_none();
        (!kept).then(|| Self {
            pass: None,
            ..self.clone()
        })
    }
}
