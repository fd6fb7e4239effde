//! A request and its state.

pub(crate) mod conn_config;
pub(crate) mod connection;
pub(crate) mod content_result;
mod create;
pub(crate) mod error_log;
pub(crate) mod file_body;
pub(crate) mod framing;
pub(crate) mod gather;
pub(crate) mod hashers;
pub(crate) mod ignore_client_abort;
pub(crate) mod live_config;
pub(crate) mod pages;
mod record;
pub(crate) mod response;
pub(crate) mod response_fields;
pub(crate) mod scratch;
mod slots;
pub(crate) mod source;
pub(crate) mod user_agent;
mod values;
pub(crate) mod worker;

use std::any::Any;
use std::cell::{Cell, OnceCell};
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;

use self::ignore_client_abort::IgnoreClientAbort;
use self::record::{AccelRedirect, Outcome};
pub(crate) use self::record::{Attempt, Tried};
use self::slots::Slots;
use crate::admission::{Permit, SMALL_BODY, TRANSFER};
use crate::config::settings::Settings;
use crate::config::{self, LocationId, ServerId};
use crate::http1::request_line::is_rejected_at_protocol;
use crate::message::fields::Fields;
use crate::message::head::{Framing, RequestHead, Version};
use crate::message::{internal_path, rules};
use crate::pattern::budget::Budget;
use crate::pattern::captured::Captured;
use crate::request::connection::Connection;
use crate::request::live_config::ConfigHandle;
use crate::request::response::Refusal;
use crate::request::source::UpstreamBody;
use crate::time::cached_time;
use crate::time::timer::Timer;
use crate::upstream::body::RequestBody;
use crate::upstream::spooled::Spooled;
use crate::upstream::target::ProxyTo;

/// A request and everything known of it.
pub(crate) struct Request {
    pub(crate) connection: Rc<Connection>,
    pub(crate) config: ConfigHandle,
    /// Index of the address that accepted it.
    address: usize,
    /// The client: the connection's peer, or the address given by a trusted proxy.
    pub(crate) peer: SocketAddr,
    /// `peer` was given by a trusted proxy.
    pub(crate) behind_proxy: bool,
    /// Results of `limit_req` and `limit_conn`, once they have run.
    pub(crate) limit_req_status: Option<&'static str>,
    pub(crate) limit_conn_status: Option<&'static str>,
    /// `limit_conn`'s count of the request, dropped with it.
    pub(crate) counted: Option<Box<dyn Any>>,
    /// `$limit_rate`, bytes per second; 0 is no limit, `None` leaves it to `limit_rate`.
    pub(crate) limit_rate: Option<u64>,
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
    pub(crate) main_method: Option<Bytes>,
    /// Boxed, since it is moved a few times before it is here.
    pub(crate) head: Box<RequestHead>,
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
    /// The path is not the client's (nginx's `internal`): `internal` locations are open to it.
    pub(crate) rewritten: bool,
    /// The location has been found by this path, so that the path of `proxy_pass` replaces the
    /// location's prefix (nginx's `valid_location`): not after `rewrite … break`.
    pub(crate) valid_location: bool,
    /// The body has been refused, and is discarded (nginx's `discard_body`).
    pub(crate) discard_body: bool,
    /// `set $args`: the arguments are not the client's.
    pub(crate) args_set: bool,
    pub(crate) server: ServerId,
    pub(crate) location: LocationId,
    /// Values of the configuration's own variables.
    pub(crate) slots: Slots,
    /// Number of internal redirects.
    pub(crate) redirects: u32,
    /// Captures of the last regular expression that matched.
    pub(crate) captured: Captured,
    /// What its patterns may take.
    pub(crate) patterns: Budget,
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
    pub(crate) accel: AccelRedirect,
    pub(crate) outcome: Outcome,
    /// The memory it may hold; that of a subrequest is in addition to its request's.
    pub(crate) permit: Option<Permit>,
    /// The permit includes the memory of the response's body.
    pub(crate) has_transfer: Cell<bool>,
    /// Memory that the filters of the response's body need, bytes, until it is reserved.
    pub(crate) filter_memory: Cell<u64>,
    /// Filters may compute values for its response: there was memory so far.
    pub(crate) computes_response: bool,
    /// Memory for its own body on the way to an upstream that the permit includes, bytes.
    pub(crate) upload_memory: Cell<u64>,
    /// Memory for values that were computed for it that the permit includes, bytes.
    value_memory: Cell<u64>,
    /// Bytes of values that it keeps, besides those of variables.
    kept_values: Cell<usize>,
    /// Over HTTP/2, the timer of its stream.
    pub(crate) timer: Cell<Timer>,
}

impl Request {
    /// Whether the client's only address is a UNIX socket.
    pub(crate) fn is_unix(&self) -> bool {
        self.connection.is_unix && self.peer == self.connection.peer
    }

    /// Continues with another target (nginx's `internal`).
    ///
    /// # Errors
    /// It is large and there is no memory for it.
    pub(crate) fn relocate(&mut self, (path, args): internal_path::Target) -> Result<(), Refusal> {
        let args_known = args.is_some();
        let args = args.unwrap_or_default();
        self.count_values((path.len() + args.len()).saturating_sub(self.own_target()))?;
        (self.path, self.args) = (path, args);
        self.args_known = args_known;
        self.rewritten = true;
        Ok(())
    }

    /// Forgets the fields of an upstream's earlier response.
    pub(crate) fn forget_upstream(&mut self) {
        self.upstream_fields = None;
        self.upstream_trailers = None;
    }

    /// Whether upstreams get nothing of the body: it was refused, or cannot be read to its end.
    pub(crate) fn discards_body(&self) -> bool {
        self.discard_body || self.body.has_failed()
    }

    /// No upstream gets the body. It is read after the response, if the connection is kept.
    #[cold]
    pub(crate) fn discard(&mut self) {
        self.discard_body = true;
        self.body.abandon();
    }

    /// Discards the body of a refused head if its framing is not known: an error page's upstream
    /// would get it behind a head without a length.
    #[cold]
    pub(crate) fn discard_unframed(&mut self) {
        if self.framing == Framing::None {
            self.discard();
        }
    }

    /// Whether all of the body can be sent to another upstream.
    pub(crate) fn has_body_at_hand(&self) -> bool {
        let is_read = self.body.is_done() && self.body.taken() <= self.begun.len() as u64;
        is_read || self.spooled.is_some()
    }

    /// Takes back the unread part of the client's body when an upstream's response has ended or is
    /// replaced. If the upstream was sent another body, or none, it is here already.
    pub(crate) fn take_back(&mut self, response: &mut dyn UpstreamBody) {
        let unread = response.take_unread();
        if !matches!(unread, RequestBody::None | RequestBody::File(_)) {
            self.body = unread;
        }
    }

    /// Waits for the memory for a response's body, of `length` bytes if that is known.
    ///
    /// It includes that of the filters: if they waited for theirs with that of the body in hand,
    /// requests would wait for each other. So they would with that of the request's body, which
    /// serves for this one unless the request is still being sent (`uploads`).
    pub(crate) async fn reserve_transfer(&self, length: Option<u64>, uploads: bool) {
        let mut memory = self.filter_memory.take() + self.take_lacking(0);
        let Some(permit) = &self.permit else { return };
        if self.needs_transfer(length) {
            self.has_transfer.set(true);
            memory += match uploads {
                true => TRANSFER,
                false => TRANSFER.saturating_sub(self.spare_upload_memory()),
            };
        }
        if memory > 0 {
            permit.grow_alone(memory).await;
        }
    }

    /// A filter of the response's body needs `memory` bytes, which are reserved with the body's.
    pub(crate) fn needs_for_filter(&self, memory: u64) {
        self.filter_memory.set(self.filter_memory.get() + memory);
    }

    /// The same as [`Self::reserve_transfer`] without waiting and without that of filters; `false`
    /// if there is no memory.
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

    /// What its own body does not need any more when it has been sent, bytes.
    fn spare_upload_memory(&self) -> u64 {
        // The same memory, if all of it has been read.
        let whole = self.whole_body.as_ref().map_or(0, Bytes::len);
        let kept = whole.max(self.begun.len()) as u64;
        self.upload_memory.take().saturating_sub(kept)
    }

    /// Waits for the memory to send its own body to an upstream, and to keep `kept` bytes of it.
    pub(crate) async fn reserve_upload(&self, kept: u64) {
        let small = match self.framing {
            Framing::None => true,
            Framing::Length(length) => length <= SMALL_BODY,
            Framing::Chunked | Framing::UntilClose => self.body.is_done(),
        };
        let wanted = TRANSFER.saturating_add(kept);
        let more = wanted.saturating_sub(self.upload_memory.get());
        if !small
            && more > 0
            && let Some(permit) = &self.permit
        {
            permit.grow(more).await;
            self.upload_memory.set(wanted);
        }
    }

    /// Takes the timer of its connection or stream, for a new time-out.
    pub(crate) fn take_timer(&self) -> Timer {
        let mut timer = match self.head.version {
            Version::Http2 => self.timer.take(),
            _ => self.connection.timer.take(),
        };
        timer.progress();
        timer
    }

    /// Whether it is a subrequest.
    pub(crate) fn is_subrequest(&self) -> bool {
        self.main_method.is_some()
    }

    /// `$request_method`.
    pub(crate) fn client_method(&self) -> &Bytes {
        self.main_method.as_ref().unwrap_or(&self.head.method)
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

    /// Whether the request line is known to be valid, or, over HTTP/2, the pseudo-headers are.
    pub(crate) fn has_line(&self) -> bool {
        self.path_refused || !self.head.target.is_empty()
    }

    /// `$server_protocol`; of a line that was rejected at its protocol, nothing.
    pub(crate) fn protocol(&self) -> Option<&[u8]> {
        let line = &self.head.line;
        match self.head.version {
            Version::Http2 => Some(b"HTTP/2.0"),
            _ if !self.has_line() => is_rejected_at_protocol(line).then_some(b""),
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
