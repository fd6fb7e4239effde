//! A request and its state.

pub(crate) mod conn_config;
pub(crate) mod connection;
pub(crate) mod content_result;
pub(crate) mod error_log;
pub(crate) mod file_body;
pub(crate) mod framing;
pub(crate) mod gather;
pub(crate) mod ignore_client_abort;
pub(crate) mod live_config;
pub(crate) mod pages;
pub(crate) mod response;
pub(crate) mod scratch;
mod slots;
pub(crate) mod source;
pub(crate) mod user_agent;
pub(crate) mod worker;

use std::any::Any;
use std::cell::{Cell, OnceCell};
use std::fmt;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;

use self::ignore_client_abort::IgnoreClientAbort;
use self::slots::Slots;
use crate::admission::{Permit, SMALL_BODY, TRANSFER};
use crate::config::group::PeerAddress;
use crate::config::settings::Settings;
use crate::config::{self, LocationId, ServerId};
use crate::message::fields::Fields;
use crate::message::head::{Framing, RequestHead, Version};
use crate::message::rules;
use crate::pattern::captured::Captured;
use crate::request::conn_config::ConnConfig;
use crate::request::connection::Connection;
use crate::request::live_config::ConfigHandle;
use crate::time::cached_time;
use crate::upstream::body::RequestBody;
use crate::upstream::spooled::Spooled;
use crate::upstream::target::ProxyTo;

/// A request and everything known of it.
pub(crate) struct Request {
    pub(crate) connection: Rc<Connection>,
    pub(crate) config: ConfigHandle,
    /// Index of the address that accepted it.
    address: usize,
    /// The server selected by SNI, or the address's default.
    pub(crate) named: ServerId,
    /// The client: the connection's peer, or the address given by a trusted proxy.
    pub(crate) peer: SocketAddr,
    /// `peer` was given by a trusted proxy.
    pub(crate) behind_proxy: bool,
    /// Results of `limit_req` and `limit_conn`, once they have run.
    pub(crate) limit_req_status: Option<&'static str>,
    pub(crate) limit_conn_status: Option<&'static str>,
    /// `limit_conn`'s count of the request, dropped with it.
    pub(crate) counted: Option<Box<dyn Any>>,
    /// `set $limit_rate`.
    pub(crate) limit_rate: Option<Bytes>,
    /// `$request_body`, possibly empty, if the body was read before the content phase.
    pub(crate) whole_body: Option<Bytes>,
    /// The body, if it was written to a file.
    pub(crate) spooled: Option<Rc<Spooled>>,
    /// `$gzip_ratio`: bytes before and after compression so far.
    pub(crate) gzipped: OnceCell<Rc<Cell<(u64, u64)>>>,
    /// Other clients get the other of two files (`gzip_static`).
    pub(crate) varies: bool,
    /// `Some` if the response has trailers of this server; whether those without `always`
    /// are among them.
    pub(crate) own_trailers: Option<bool>,
    pub(crate) ignore_client_abort: IgnoreClientAbort,
    /// `$request_id`.
    pub(crate) id: OnceCell<u128>,
    /// `WWW-Authenticate` of a 401.
    pub(crate) challenge: Option<Bytes>,
    /// The status of the error that the response is for; 0 if there is none, or if
    /// `error_page … =` leaves the status to the page.
    pub(crate) error_status: u16,
    /// An error page has been looked for; no second one is.
    pub(crate) in_error_page: bool,
    /// An error closes the connection, whatever the response.
    pub(crate) closing: bool,
    /// How many of the response's first fields are this server's own (`Server`, `Date`,
    /// `Vary`): `$sent_http_…` does not show them.
    pub(crate) own_fields: Cell<usize>,
    /// `$sent_http_connection`, fixed when it is first evaluated.
    said_keep_alive: Cell<Option<bool>>,
    /// Fields of a response that an error page has replaced, to be sent with the page.
    pub(crate) kept_fields: Vec<(Bytes, Bytes)>,
    /// `Location` of a redirect whose page `error_page` replaced.
    pub(crate) kept_location: Option<Bytes>,
    /// Set on a subrequest: the method of the request it belongs to.
    pub(crate) outer_method: Option<Bytes>,
    pub(crate) head: RequestHead,
    /// The body's framing as the head announces it, until the phases have checked it.
    pub(crate) announced: Result<Framing, Box<rules::Error>>,
    pub(crate) framing: Framing,
    pub(crate) body: RequestBody,
    /// The part of the body already sent to an upstream, to be repeated to the next one.
    pub(crate) begun: Bytes,
    /// `$host`, if the client sent one.
    pub(crate) host: Bytes,
    /// `$uri`.
    pub(crate) path: Bytes,
    /// The target has a path that is not permitted.
    pub(crate) path_refused: bool,
    /// `$args`.
    pub(crate) args: Bytes,
    /// There have been arguments, though they may be empty now.
    pub(crate) args_known: bool,
    /// `try_files` found the path below an `alias` that names a file.
    pub(crate) behind_alias: bool,
    /// The target had percent-encoded bytes.
    pub(crate) quoted: bool,
    /// A location has been found: its limits on keep-alive apply.
    pub(crate) located: bool,
    /// Path or arguments were changed by rewriting.
    pub(crate) rewritten: bool,
    pub(crate) server: ServerId,
    pub(crate) location: LocationId,
    /// Values of the configuration's own variables.
    pub(crate) slots: Slots,
    /// Number of internal redirects.
    pub(crate) redirects: u32,
    /// Captures of the last regular expression that matched.
    pub(crate) captured: Captured,
    pub(crate) started: Instant,
    /// Its duration, once it has ended.
    pub(crate) took: Option<Duration>,
    /// Its number on its connection, from 1.
    pub(crate) number: u64,
    /// `$pipe`: more data had been read after its head.
    pub(crate) pipelined: bool,
    /// `$request_length`, bytes; over HTTP/2 without the body.
    pub(crate) received: u64,
    /// Bytes of its body so far, for HTTP/2.
    pub(crate) body_received: Option<Rc<Cell<u64>>>,
    /// The upstreams tried so far.
    pub(crate) attempts: Vec<Attempt>,
    pub(crate) proxy: Option<Arc<ProxyTo>>,
    pub(crate) upstream_fields: Option<Fields>,
    /// Trailer fields of the upstream's response.
    pub(crate) upstream_trailers: Option<Fields>,
    /// What `X-Accel-Redirect` keeps of the upstream's response.
    pub(crate) carried: Carried,
    pub(crate) outcome: Outcome,
    /// The memory it may hold; `None` for a subrequest.
    pub(crate) permit: Option<Permit>,
    /// The permit includes the memory of the response's body.
    pub(crate) has_transfer: Cell<bool>,
}

/// One upstream that was tried.
#[derive(Debug)]
pub(crate) struct Attempt {
    pub(crate) peer: Tried,
    pub(crate) began: Instant,
    /// `$upstream_status`; 0 if there was no response.
    pub(crate) status: u16,
    /// Time until the connection was established, the head received, and the end.
    pub(crate) connected: Option<Duration>,
    pub(crate) head: Option<Duration>,
    pub(crate) ended: Option<Duration>,
    /// Bytes of the request, of the response, and of the response's body.
    pub(crate) sent: u64,
    pub(crate) received: u64,
    pub(crate) body: u64,
}

/// What an attempt was made on.
#[derive(Clone, Debug)]
pub(crate) enum Tried {
    Peer(PeerAddress),
    /// A group without an available peer.
    Group(String),
    /// Not an upstream: separates the attempts of two locations.
    AnotherRound,
}

impl fmt::Display for Tried {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Peer(address) => address.fmt(out),
            Self::Group(name) => out.write_str(name),
            Self::AnotherRound => Ok(()),
        }
    }
}

impl Attempt {
    pub(crate) fn is_another_round(&self) -> bool {
        matches!(self.peer, Tried::AnotherRound)
    }

    pub(crate) fn new(peer: Tried) -> Self {
        Self {
            peer,
            began: cached_time::now(),
            status: 0,
            connected: None,
            head: None,
            ended: None,
            sent: 0,
            received: 0,
            body: 0,
        }
    }
}

/// What an upstream's response with `X-Accel-Redirect` passes to the one served instead.
#[derive(Debug, Default)]
pub(crate) struct Carried {
    /// The path or the name of the location.
    pub(crate) redirect: Option<Bytes>,
    pub(crate) content_type: Option<Bytes>,
    pub(crate) fields: Vec<(Bytes, Bytes)>,
}

/// The response as it was sent.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    /// `$status`; 0 until it is known.
    pub(crate) status: u16,
    pub(crate) head_bytes: u64,
    /// `$body_bytes_sent`: everything after the head.
    pub(crate) body_bytes: u64,
    /// The response's fields, as sent.
    pub(crate) fields: Vec<(Bytes, Bytes)>,
    /// Trailer lines, each with its line end.
    pub(crate) trailers: Vec<u8>,
    /// `$request_completion`.
    pub(crate) complete: bool,
    /// The connection was closed instead: nginx logs status 000.
    pub(crate) dropped: bool,
}

impl Outcome {
    /// `$bytes_sent`.
    pub(crate) fn bytes(&self) -> u64 {
        self.head_bytes + self.body_bytes
    }
}

/// Whether a request line that was rejected is valid up to its protocol.
fn rejected_at_protocol(line: &[u8]) -> bool {
    let mut words = line
        .split(|byte| *byte == b' ')
        .filter(|word| !word.is_empty());
    match (words.next(), words.next(), words.next()) {
        (Some(method), Some(target), Some(protocol)) => {
            rules::is_method(method)
                && rules::is_valid_target(target)
                && (target.starts_with(b"/") || memchr::memmem::find(target, b"://").is_some())
                && protocol.starts_with(b"H")
        }
        _ => false,
    }
}

impl Request {
    /// Whether the client's only address is a UNIX socket.
    pub(crate) fn is_unix(&self) -> bool {
        self.connection.is_unix && self.peer == self.connection.peer
    }

    /// A request whose head has been read. Its server is the connection's until its host
    /// has been checked.
    pub(crate) fn new(connection: &Rc<Connection>, head: RequestHead, body: RequestBody) -> Self {
        let ConnConfig {
            config,
            address,
            server,
        } = connection.conn_config();
        let location = config.server(server).root;
        let slots = Slots::new(config.variables.len());
        Self {
            peer: connection.peer,
            behind_proxy: false,
            limit_req_status: None,
            limit_conn_status: None,
            counted: None,
            limit_rate: None,
            whole_body: None,
            spooled: None,
            gzipped: OnceCell::new(),
            varies: false,
            own_trailers: None,
            ignore_client_abort: IgnoreClientAbort::new(config.ignores_client_abort),
            id: OnceCell::new(),
            challenge: None,
            outer_method: None,
            error_status: 0,
            in_error_page: false,
            closing: false,
            own_fields: Cell::new(0),
            said_keep_alive: Cell::new(None),
            kept_fields: Vec::new(),
            kept_location: None,
            announced: Ok(Framing::None),
            framing: Framing::None,
            body,
            begun: Bytes::new(),
            host: Bytes::new(),
            path: Bytes::new(),
            path_refused: false,
            args: Bytes::new(),
            args_known: false,
            behind_alias: false,
            quoted: false,
            rewritten: false,
            located: false,
            server,
            location,
            slots,
            redirects: 0,
            captured: Captured::default(),
            started: cached_time::now(),
            took: None,
            number: connection.requests.get(),
            pipelined: false,
            received: head.length,
            body_received: None,
            attempts: Vec::new(),
            proxy: None,
            upstream_fields: None,
            upstream_trailers: None,
            carried: Carried::default(),
            outcome: Outcome::default(),
            permit: None,
            has_transfer: Cell::new(false),
            connection: connection.clone(),
            config,
            address,
            named: server,
            head,
        }
    }

    /// A subrequest of `outer` for `path`, without a body. They share the configuration's
    /// own variables.
    pub(crate) fn on_behalf_of(outer: &Self, path: &[u8]) -> Self {
        let head = RequestHead {
            method: Bytes::from_static(b"GET"),
            ..outer.head.clone()
        };
        let mut own = Self::new(&outer.connection, head, RequestBody::None);
        let root = outer.config.server(outer.server).root;
        own.config = outer.config.clone();
        (own.address, own.named) = (outer.address, outer.named);
        (own.server, own.location) = (outer.server, root);
        own.peer = outer.peer;
        own.behind_proxy = outer.behind_proxy;
        own.limit_req_status = outer.limit_req_status;
        own.limit_conn_status = outer.limit_conn_status;
        own.id = outer.id.clone();
        own.host = outer.host.clone();
        own.path = Bytes::copy_from_slice(path);
        own.rewritten = true;
        own.slots = outer.slots.clone();
        own.started = outer.started;
        own.number = outer.number;
        own.outer_method = Some(outer.client_method().clone());
        own
    }

    /// A substitute request, for variables that are evaluated during a handshake.
    pub(crate) fn of_handshake(connection: &Rc<Connection>) -> Self {
        let head = RequestHead::of_line(Bytes::new(), Version::Http11);
        let mut own = Self::new(connection, head, RequestBody::None);
        own.number = 1;
        own.outer_method = Some(Bytes::new());
        own
    }

    /// Waits for the memory for a response's body, of `length` bytes if that is known.
    pub(crate) async fn reserve_transfer(&self, length: Option<u64>) {
        if self.needs_transfer(length)
            && let Some(permit) = &self.permit
        {
            self.has_transfer.set(true);
            permit.grow(TRANSFER).await;
        }
    }

    /// The same without waiting; `false` if there is no memory.
    pub(crate) fn try_reserve_transfer(&self, length: Option<u64>) -> bool {
        if !self.needs_transfer(length) {
            return true;
        }
        let permit = self.permit.as_ref();
        let there = permit.is_none_or(|permit| permit.try_grow(TRANSFER));
        self.has_transfer.set(there);
        there
    }

    /// Reserves `memory` bytes if they are available and nobody waits for memory.
    pub(crate) fn try_reserve(&self, memory: u64) -> bool {
        let permit = self.permit.as_ref();
        permit.is_none_or(|permit| permit.try_grow(memory))
    }

    fn needs_transfer(&self, length: Option<u64>) -> bool {
        !self.has_transfer.get() && length.is_none_or(|length| length > SMALL_BODY)
    }

    /// Waits for the memory to send its own body to an upstream.
    pub(crate) async fn reserve_upload(&self) {
        let small = match self.framing {
            Framing::None => true,
            Framing::Length(length) => length <= SMALL_BODY,
            Framing::Chunked | Framing::UntilClose => self.body.is_done(),
        };
        if !small && let Some(permit) = &self.permit {
            permit.grow(TRANSFER).await;
        }
    }

    /// Whether it is a subrequest.
    pub(crate) fn is_inner(&self) -> bool {
        self.outer_method.is_some()
    }

    /// `$request_method`.
    pub(crate) fn client_method(&self) -> &Bytes {
        self.outer_method.as_ref().unwrap_or(&self.head.method)
    }

    /// A request whose head was rejected or did not end.
    pub(crate) fn broken(connection: &Rc<Connection>, mut head: RequestHead) -> Self {
        // The response to a HEAD has no body, even if the rest of its line is invalid.
        let is_head = head.version > Version::Http09 && head.line.starts_with(b"HEAD ");
        if is_head {
            head.method = head.line.slice(..4);
        }
        Self::new(connection, head, RequestBody::None)
    }

    /// Whether the request line is known to be valid, or, over HTTP/2, the pseudo-headers are.
    pub(crate) fn has_line(&self) -> bool {
        self.path_refused || !self.head.target.is_empty()
    }

    /// Whether the connection may be kept after this request.
    pub(crate) fn keeps_alive(&self) -> bool {
        let core = &self.settings().core;
        // A response made before a location is found is not subject to the location's
        // limits.
        let limits = !self.located
            || (!core.keepalive_timeout.is_zero()
                && self.number < core.keepalive_requests
                && cached_time::since(self.connection.began) < core.keepalive_time
                && !user_agent::forbids_keepalive(core.keepalive_disable, self));
        let http1 = self.head.version < Version::Http2;
        http1 && self.head.wants_keep_alive() && !self.closing && limits
    }

    /// Whether `Connection` says `keep-alive`, for variables. nginx shows `close` in the
    /// log phase unless the variable was evaluated before.
    pub(crate) fn says_keep_alive(&self) -> bool {
        let said = self.said_keep_alive.get();
        let said = said.unwrap_or_else(|| self.keeps_alive());
        self.said_keep_alive.set(Some(said));
        said
    }

    /// Whether it exceeds nginx's limit of ten internal redirects
    /// (`NGX_HTTP_MAX_URI_CHANGES`).
    pub(crate) fn too_many_redirects(&self) -> bool {
        self.redirects > 10
    }

    /// The address that accepted it.
    pub(crate) fn listen(&self) -> &config::ListenAddress {
        &self.config.listens[self.address]
    }

    /// The settings of its current location.
    pub(crate) fn settings(&self) -> &Settings {
        &self.config.location(self.location).settings
    }

    /// `$scheme`.
    pub(crate) fn scheme(&self) -> &'static str {
        if self.connection.tls.is_some() {
            "https"
        } else {
            "http"
        }
    }

    /// `$server_protocol`; of a line that was rejected at its protocol, nothing.
    pub(crate) fn protocol(&self) -> Option<&[u8]> {
        let line = &self.head.line;
        match self.head.version {
            Version::Http2 => Some(b"HTTP/2.0"),
            _ if !self.has_line() => rejected_at_protocol(line).then_some(b""),
            Version::Http09 => Some(b"HTTP/0.9"),
            Version::Http10 | Version::Http11 => {
                let start = memchr::memmem::rfind(line, b" HTTP/")? + 1;
                Some(line[start..].trim_ascii_end())
            }
        }
    }

    /// `$host`.
    pub(crate) fn host_or_server_name(&self) -> &[u8] {
        if self.host.is_empty() {
            self.config.server(self.server).name.as_bytes()
        } else {
            &self.host
        }
    }

    /// Whether it is a HEAD, whose response has no body (RFC 9110, section 9.3.2).
    pub(crate) fn is_head(&self) -> bool {
        &self.head.method[..] == b"HEAD"
    }

    /// Ends the request: what is logged is final from here on.
    pub(crate) fn end(&mut self) {
        if self.outcome.status == 0 && !self.outcome.dropped {
            // The client left (499, nginx's own status), or was evicted to free memory.
            let permit = self.permit.as_ref();
            let evicted = permit.is_some_and(Permit::is_evicted);
            self.outcome.status = if evicted { 503 } else { 499 };
        }
        if self.said_keep_alive.get().is_none() {
            self.said_keep_alive.set(Some(false));
        }
        // Read once, for the log and for the histogram.
        self.took = Some(cached_time::since(self.started));
        if let (true, Some(permit)) = (self.outcome.complete, &self.permit) {
            permit.completed();
        }
        if let Some(last) = self.attempts.last_mut()
            && last.ended.is_none()
        {
            // It was given up, or ended with its connection.
            last.ended = Some(cached_time::since(last.began));
        }
    }
}
