//! `proxy_pass`: sends a request to an upstream, tries the next peer if that is safe, and turns the
//! upstream's response into the client's.

use std::rc::Rc;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::attempt::{
    Awaited, connect_error, last_attempt, last_unsent, note_end, reserve_attempt,
};
use super::body::{Body, refuse_body};
use super::response::{apply_accel, framing, translate};
use super::{SelectedUpstream, Settings, buffers};
use crate::config::method::Method;
use crate::log::level::Level;
use crate::message::head::Framing;
use crate::metrics;
use crate::metrics::labels::UpstreamError;
use crate::modules::proxy;
use crate::modules::proxy_ssl;
use crate::request::error_log;
use crate::request::response::{Refusal, Response};
use crate::request::source::Source as _;
use crate::request::{Attempt, Request, Tried};
use crate::time::cached_time;
use crate::time::stopwatch::Stopwatch;
use crate::tls::upstream_stream::HandshakeMemory;
use crate::upstream::balance::{Hints, Lease, PeerResult};
use crate::upstream::connection::{Outgoing, UpstreamConnection};
use crate::upstream::exchange::{self, Exchange, Limits, Upload};
use crate::upstream::pool::Requirements;
use crate::upstream::target::Scheme;

/// Initial capacity for the head of a request, bytes.
const LIKELY_HEAD: usize = 1024;

/// Forwards a request to an upstream and returns its response.
pub(crate) async fn forward(request: &mut Request) -> Result<Box<Response>, Refusal> {
    let config = request.config.clone();
    let settings = config
        .location(request.location)
        .settings
        .of::<proxy::Settings>();
    let Some(pass) = &settings.pass else {
        return Err(Refusal::new(500));
    };
    request.proxy = Some(pass.to.clone());
    if !request.attempts.is_empty() {
        request.forget_upstream();
    }
    let chosen = proxy::choose(pass, request).await?;
    request
        .ignore_client_abort
        .set(settings.ignore_client_abort);
    if request.framing != Framing::None {
        // The body may take long to come.
        request.count_values(0)?;
    }
    let body = Body::begin(request).await?;
    let method = match proxy::method(settings, request) {
        Ok(method) => method,
        Err(refusal) => {
            body.give_back(request);
            return Err(refusal);
        }
    };
    let head = loop {
        let head = head_of(request, &chosen, &method, body.framing);
        let size = head.len();
        if request.try_keep_value(size) {
            break head;
        }
        // It is not held while it waits. Boxed, since it is rare.
        drop(head);
        Box::pin(request.reserve_values(size)).await;
    };
    let size = head.len();
    if !request.attempts.is_empty() {
        // Separates the attempts of another location from those that follow.
        request.attempts.push(Attempt::new(Tried::AnotherRound));
    }
    let key = match &chosen.group.method {
        Method::Hash(key) | Method::Consistent(key, _) => key.evaluate_kept(request),
        _ => Ok(Bytes::new()),
    };
    let key = match key {
        Ok(key) if !request.patterns.has_given_up() => key,
        failed => {
            body.give_back(request);
            request.release_value(size);
            return Err(failed.err().unwrap_or(Refusal::new(500)));
        }
    };
    let hints = Hints {
        client: request.peer.ip(),
        key,
    };
    let mut tries = Tries {
        settings,
        chosen,
        head,
        is_to_head: method == b"HEAD"[..],
        body,
        hints,
        peer: None,
        tried: Vec::new(),
        wants_next: false,
        began: cached_time::now(),
    };
    let mut result = tries.run(request).await;
    if request.accel.redirect.is_some()
        && let Ok(response) = &mut result
    {
        tries.body.take_back(response);
    }
    tries.body.give_back(request);
    request.release_value(size);
    result
}

/// The head for the upstream, without spare capacity: it is kept until there is a response.
fn head_of(request: &Request, chosen: &SelectedUpstream, method: &[u8], framing: Framing) -> Bytes {
    let scratch = &request.connection.worker.scratch;
    let mut out = scratch.take();
    out.reserve(LIKELY_HEAD);
    proxy::write_head(request, chosen, method, framing, &mut out);
    let head = Bytes::copy_from_slice(&out);
    scratch.give(out);
    head
}

/// The tries of one request.
struct Tries<'a> {
    settings: &'a Settings,
    chosen: SelectedUpstream,
    /// The same for all tries.
    head: Bytes,
    is_to_head: bool,
    body: Body,
    hints: Hints,
    /// The one that is tried now, and those before it.
    peer: Option<usize>,
    tried: Vec<usize>,
    /// The response that has come is not used: another peer is tried.
    wants_next: bool,
    began: Instant,
}

impl Tries<'_> {
    async fn run(&mut self, request: &mut Request) -> Result<Box<Response>, Refusal> {
        let worker = request.connection.worker.clone();
        let mut last = 502;
        loop {
            self.tried.extend(self.peer.take());
            let Some((peer, lease)) =
                worker
                    .balance
                    .choose(&self.chosen.group, &self.tried, &self.hints)
            else {
                if self.tried.is_empty() || self.tried.len() < self.chosen.group.tries() {
                    last = 502;
                    let group = Tried::Group(self.chosen.group.name.clone());
                    request.attempts.push(Attempt::new(group));
                    note_end(request, last);
                    metrics::upstream_failed(UpstreamError::NoLivePeer);
                    let what = "no live upstreams while connecting to upstream";
                    error_log::request(request, Level::Error, what);
                }
                return Err(Refusal::new(last));
            };
            self.peer = Some(peer);
            self.wants_next = false;
            if !self.tried.is_empty() {
                request.forget_upstream();
            }
            let result = self.attempt(request, peer, lease.as_ref()).await;
            let ended = match &result {
                // 403 and 404 say nothing about a peer's health.
                Ok(response) if self.wants_next && !matches!(response.status, 403 | 404) => {
                    PeerResult::Failure
                }
                Ok(_) | Err(exchange::Error::Client(_) | exchange::Error::Certificate(_)) => {
                    PeerResult::Success
                }
                Err(_) => PeerResult::Failure,
            };
            let group = &self.chosen.group;
            if worker.balance.report(group, peer, lease, ended) {
                let what = "upstream server temporarily disabled while connecting to upstream";
                error_log::request(request, Level::Warn, what);
            }
            let error = match result {
                Ok(mut response) if self.wants_next => {
                    last = response.status;
                    self.body.take_back(&mut response);
                    if let Some(body) = response.content.upstream_body() {
                        body.note_end(request);
                    }
                    continue;
                }
                Ok(response) => return Ok(response),
                Err(exchange::Error::Client(error)) => return Err(refuse_body(request, error)),
                Err(error) => error,
            };
            metrics::upstream_failed(error.reason(last_unsent(request)));
            let is_own = matches!(error, exchange::Error::Certificate(_));
            note_end(request, if is_own { 0 } else { error.status() });
            error_log::request(request, Level::Error, &error);
            last = error.status();
            if !self.may_retry(request, &error) {
                return Err(Refusal::new(last));
            }
        }
    }

    /// One try with one peer: over an idle connection first, and if that was closed meanwhile, over
    /// a new one.
    async fn attempt(
        &mut self,
        request: &mut Request,
        peer: usize,
        lease: Option<&Rc<Lease>>,
    ) -> Result<Box<Response>, exchange::Error> {
        let worker = request.connection.worker.clone();
        if !self.tried.is_empty() {
            metrics::count(|own| &own.retries);
        }
        let address = self.chosen.group.address_of(peer);
        let attempt = Attempt::new(Tried::Peer(address.clone()));
        let began = attempt.began;
        request.attempts.reserve_exact(1);
        request.attempts.push(attempt);
        let secured = match self.chosen.to.scheme {
            Scheme::Http => None,
            Scheme::Https => proxy_ssl::secured(request, &self.chosen.to)
                .map_err(|problem| exchange::Error::Certificate(problem.message))?,
        };
        let location = request.location;
        let wanted = Requirements {
            group: &self.chosen.group,
            address: &address,
            secured: secured.as_ref(),
            location,
        };
        if let Some(mut link) = worker.pool.take(&wanted, began) {
            link.lease = lease.cloned();
            match self.exchange(request, link).await {
                Err(error @ (exchange::Error::Closed | exchange::Error::Io(_)))
                    if self.is_repeatable(request) =>
                {
                    metrics::upstream_failed(UpstreamError::Stale);
                    metrics::count(|own| &own.retries);
                    error_log::request(request, Level::Error, &error);
                    note_end(request, 502);
                    request
                        .attempts
                        .push(Attempt::new(Tried::Peer(address.clone())));
                }
                result => return result,
            }
        }
        let outgoing = self.outgoing(request);
        let time = Stopwatch::default();
        let memory = HandshakeMemory {
            permit: request.permit.as_ref(),
            time: &time,
        };
        let connect = UpstreamConnection::connect(&address, secured, location, outgoing, memory);
        // Boxed, since most requests use an idle connection.
        let connected = Box::pin(time.within(self.settings.connect_timeout, connect)).await;
        let mut link = match connected {
            Some(Ok(link)) => {
                metrics::count(|own| &own.connected);
                link
            }
            Some(Err(error)) => return Err(exchange::Error::Io(connect_error(&error))),
            None => return Err(exchange::Error::TimedOut("connecting to upstream")),
        };
        link.lease = lease.cloned();
        self.exchange(request, link).await
    }

    fn outgoing(&self, request: &Request) -> Outgoing {
        let bind = self.settings.bind.as_ref().and_then(|bind| {
            let text = bind.evaluate(request);
            proxy::parse_bind(std::str::from_utf8(&text).ok()?)
        });
        Outgoing {
            bind,
            keepalive: self.settings.socket_keepalive,
        }
    }

    async fn exchange(
        &mut self,
        request: &mut Request,
        mut link: Box<UpstreamConnection>,
    ) -> Result<Box<Response>, exchange::Error> {
        metrics::count(|own| &own.tries);
        let attempt = last_attempt(&mut request.attempts);
        attempt.connected = Some(match link.requests {
            0 => cached_time::since(attempt.began),
            _ => Duration::ZERO,
        });
        (attempt.sent, attempt.received) = (link.wire.sent, link.wire.received);
        link.requests += 1;
        let upload = self.start_upload(&mut link);
        let mut exchange = Exchange {
            link,
            upload,
            limits: Limits {
                send: self.settings.send_timeout,
                read: self.settings.read_timeout,
                head: request.settings().of::<buffers::Settings>().head,
            },
            timer: request.take_timer(),
        };
        let mut awaited = Awaited {
            attempt: last_attempt(&mut request.attempts),
            exchange: &mut exchange,
            abandoned: true,
        };
        let head = awaited.exchange.head(request.permit.as_ref()).await;
        awaited.abandoned = false;
        drop(awaited);
        self.body.taken = exchange.upload.taken();
        let is_to_head = self.is_to_head;
        let head = head.and_then(|mut head| Ok((framing(request, &mut head, is_to_head)?, head)));
        let (framing, head) = match head {
            Ok(head) => head,
            Err(error) => {
                self.body.put_rest(exchange.upload.into_rest());
                return Err(error);
            }
        };
        let attempt = last_attempt(&mut request.attempts);
        attempt.head = Some(cached_time::since(attempt.began));
        attempt.status = head.status;
        metrics::upstream_responded(head.status);
        self.wants_next = self.asks_for_next(request, head.status);
        let (settings, group) = (self.settings, &self.chosen.group);
        let is_used = !self.wants_next && !proxy::intercepts(request, head.status);
        let mut response = translate(
            settings, request, &head, framing, is_to_head, exchange, group,
        );
        if is_used && head.status != 101 {
            apply_accel(request, &mut response, &head, settings);
        }
        request.upstream_fields = Some(head.fields);
        Ok(response)
    }

    /// Sends the head and what has been read of the body.
    fn start_upload(&mut self, link: &mut UpstreamConnection) -> Upload {
        let rest = self.body.take_rest();
        let begun = self.body.begun.clone();
        Upload::start(link, &self.head, begun, rest, self.body.framing)
    }

    /// Whether the request can be sent again: no part of its body was sent that is not buffered.
    fn is_repeatable(&self, request: &Request) -> bool {
        // nginx's list of methods that are not idempotent.
        let idempotent = !matches!(&request.head.method[..], b"POST" | b"LOCK" | b"PATCH");
        self.body.is_at_hand() && (idempotent || self.settings.next_upstream.non_idempotent)
    }

    /// Whether the request may be tried with another peer after this error
    /// (`proxy_next_upstream`).
    fn may_retry(&self, request: &Request, error: &exchange::Error) -> bool {
        let next = &self.settings.next_upstream;
        let unsent = last_unsent(request);
        let kind = match error {
            exchange::Error::Client(_) | exchange::Error::Certificate(_) => false,
            exchange::Error::Io(_) | exchange::Error::Closed => next.error,
            exchange::Error::TimedOut(_) => next.timeout,
            exchange::Error::Malformed(_) => next.invalid_header,
        };
        kind && self.has_time()
            && (unsent || self.is_repeatable(request))
            && reserve_attempt(request)
    }

    /// Whether `proxy_next_upstream` names the response's status, and there is another peer.
    fn asks_for_next(&self, request: &Request, status: u16) -> bool {
        self.settings.next_upstream.statuses.has(status)
            && self.has_time()
            && self.is_repeatable(request)
            && self.chosen.group.size() > self.tried.len() + 1
            && reserve_attempt(request)
    }

    fn has_time(&self) -> bool {
        let (tries, time) = (self.settings.next_tries, self.settings.next_timeout);
        (tries == 0 || self.tried.len() + 1 < tries)
            && (time.is_zero() || cached_time::since(self.began) < time)
    }
}
