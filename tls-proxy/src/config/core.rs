//! The settings of each block that the server itself uses (nginx's `ngx_http_core_module`): limits,
//! time-outs and what belongs to no other module.

use std::sync::Arc;
use std::time::Duration;

use crate::log::error_logs::ErrorLogs;
use crate::message::head::Limits;
use crate::variables::template::Template;

/// The core settings of a block.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// `client_header_timeout`: for a whole head.
    pub client_header_timeout: Duration,
    /// `client_body_timeout`: between two reads.
    pub client_body_timeout: Duration,
    /// `send_timeout`: between two writes.
    pub send_timeout: Duration,
    /// `keepalive_timeout`; zero closes the connection after the response.
    pub keepalive_timeout: Duration,
    /// `keepalive_timeout`, second argument: the `Keep-Alive` field, seconds.
    pub keepalive_header: Option<u64>,
    /// `keepalive_requests`.
    pub keepalive_requests: u64,
    /// `connection_pool_size`, bytes.
    pub connection_pool_size: usize,
    /// `keepalive_time`: a connection's whole life.
    pub keepalive_time: Duration,
    /// `client_max_body_size`, bytes; zero is no limit.
    pub client_max_body_size: u64,
    /// `client_body_buffer_size`, bytes.
    pub client_body_buffer_size: usize,
    /// `large_client_header_buffers` and what else bounds a head.
    pub head: Limits,
    /// `lingering_close`.
    pub lingering_close: Lingering,
    /// `lingering_time`.
    pub lingering_time: Duration,
    /// `lingering_timeout`.
    pub lingering_timeout: Duration,
    /// `merge_slashes`.
    pub merge_slashes: bool,
    /// `server_tokens`.
    pub server_tokens: bool,
    /// `chunked_transfer_encoding`.
    pub chunked: bool,
    /// `absolute_redirect`.
    pub absolute_redirect: bool,
    /// `server_name_in_redirect`.
    pub server_name_in_redirect: bool,
    /// `port_in_redirect`.
    pub port_in_redirect: bool,
    /// `tcp_nodelay`.
    pub tcp_nodelay: bool,
    /// `error_page`.
    pub error_pages: Arc<[ErrorPage]>,
    /// `recursive_error_pages`.
    pub recursive_error_pages: bool,
    /// `keepalive_disable`.
    pub keepalive_disable: NoKeepalive,
    /// `msie_padding`.
    pub msie_padding: bool,
    /// `internal`.
    pub internal: bool,
    /// `uninitialized_variable_warn`.
    pub(crate) warns_of_unset: bool,
    /// `error_log`.
    pub error_log: ErrorLogs,
}

/// `lingering_close` (nginx): when to read on before closing, so that the client sees the response
/// and not a reset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lingering {
    /// Never.
    Off,
    /// If unread data may be on its way.
    On,
    /// Before every close.
    Always,
}

/// One line of `error_page`, for one status.
#[derive(Clone, Debug)]
pub(crate) struct ErrorPage {
    /// The status it replaces.
    pub status: u16,
    /// The status to send instead.
    pub replacement: ErrorPageStatus,
    /// A path, a named location (`@…`) or an address.
    pub target: Template,
}

/// The status that an `error_page` sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ErrorPageStatus {
    /// The original status.
    Same,
    /// `=200`.
    Fixed(u16),
    /// `=`: the status of the page's own response.
    FromPage,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            client_header_timeout: Duration::from_secs(60),
            client_body_timeout: Duration::from_secs(60),
            send_timeout: Duration::from_secs(60),
            keepalive_timeout: Duration::from_secs(75),
            keepalive_header: None,
            keepalive_requests: 1000,
            connection_pool_size: 512,
            keepalive_time: Duration::from_secs(3600),
            client_max_body_size: 1 << 20,
            client_body_buffer_size: 16 << 10,
            head: Limits {
                line: 8 << 10,
                head: 32 << 10,
                fields: 1000,
                underscores: false,
                ignore_invalid: true,
            },
            lingering_close: Lingering::On,
            lingering_time: Duration::from_secs(30),
            lingering_timeout: Duration::from_secs(5),
            merge_slashes: true,
            server_tokens: true,
            chunked: true,
            absolute_redirect: true,
            server_name_in_redirect: false,
            port_in_redirect: true,
            tcp_nodelay: true,
            error_pages: Arc::new([]),
            recursive_error_pages: false,
            keepalive_disable: NoKeepalive::default(),
            msie_padding: true,
            internal: false,
            warns_of_unset: true,
            error_log: ErrorLogs::default(),
        }
    }
}

/// `keepalive_disable`: browsers whose connections are not kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NoKeepalive {
    /// MSIE 4 to 6, after a POST.
    pub(crate) msie6: bool,
    /// Safari on a Mac.
    pub(crate) safari: bool,
}

impl Default for NoKeepalive {
    fn default() -> Self {
        Self {
            msie6: true,
            safari: false,
        }
    }
}
