//! The body of an upstream's response.

use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;

use super::fields;
use super::settings::Settings;
use crate::admission::{HEAD_FIELD, Need, TRANSFER};
use crate::config::LocationId;
use crate::config::group::Upstream;
use crate::http1::body::{self, Decoder, Progress};
use crate::log::level::Level;
use crate::message::fields::Fields;
use crate::message::head::Framing;
use crate::metrics;
use crate::metrics::labels::UpstreamError;
use crate::net::read_size::BulkPermit;
use crate::request::Request;
use crate::request::error_log;
use crate::request::live_config::ConfigHandle;
use crate::request::source::{self, FilterContext, Frame, Next, Source, UpstreamBody};
use crate::request::worker::Worker;
use crate::time::cached_time;
use crate::time::timer::Timer;
use crate::upstream::body::RequestBody;
use crate::upstream::connection::UpstreamConnection;
use crate::upstream::exchange::Exchange;

/// A response whose head has been read.
pub(super) struct ResponseBody {
    /// `None` once the response has ended.
    exchange: Option<Exchange>,
    decoder: Decoder,
    chunked: bool,
    /// The end of the connection is that of the body.
    until_close: bool,
    /// The connection may serve another request.
    keepable: bool,
    group: Arc<Upstream>,
    worker: Rc<Worker>,
    /// Its offset on the connection, bytes.
    start: u64,
    sent: u64,
    received: u64,
    unread: RequestBody,
    /// That of the last piece if it was read in bulk: its client may not have read it yet.
    bulk: Option<BulkPermit>,
    /// There is no body, whatever `Content-Length` says.
    bodiless: bool,
    /// The end of the body is known without the end of the connection.
    pub(super) announced: bool,
    /// What followed that end.
    surplus: Option<&'static str>,
    /// If trailers are passed on (`proxy_pass_trailers`): the location whose settings say which.
    pub(super) passes: Option<(ConfigHandle, LocationId)>,
    /// The trailer lines, while they wait for memory.
    ending: Option<Bytes>,
    need: Need,
    /// The trailer fields, if they are passed on.
    trailers: Option<Fields>,
    /// The exchange's timer, once that has ended.
    timer: Timer,
}

impl ResponseBody {
    pub(super) fn new(
        exchange: Exchange,
        framing: Framing,
        keepable: bool,
        group: Arc<Upstream>,
        worker: Rc<Worker>,
    ) -> Self {
        let decoder = Decoder::new(framing);
        let wire = &exchange.link.wire;
        let start = wire.received - wire.inbound.len() as u64;
        Self {
            exchange: Some(exchange),
            chunked: matches!(decoder, Decoder::Chunked(_)),
            until_close: framing == Framing::UntilClose,
            decoder,
            keepable,
            group,
            worker,
            start,
            sent: 0,
            received: 0,
            unread: RequestBody::None,
            bulk: None,
            bodiless: framing == Framing::None,
            announced: false,
            surplus: None,
            passes: None,
            ending: None,
            need: Need::default(),
            trailers: None,
            timer: Timer::default(),
        }
    }

    /// The memory of trailer lines beyond that of a body, whose end they are, bytes: as received, as
    /// sent and for the log, and their fields.
    fn needs(&self, lines: &[u8]) -> u64 {
        if self.passes.is_none() {
            return 0;
        }
        let fields = lines.iter().filter(|byte| **byte == b'\n').count();
        (3 * lines.len() as u64 + fields as u64 * HEAD_FIELD).saturating_sub(TRANSFER)
    }

    /// Parses the trailer lines as field lines of a head; returns those that are passed on to the
    /// client.
    fn take_trailers(&mut self, lines: Bytes) -> Result<Bytes, source::Error> {
        let limits = self.exchange.as_ref().map(|exchange| exchange.limits);
        let (Some((config, location)), Some(limits)) = (&self.passes, limits) else {
            return Ok(Bytes::new());
        };
        if lines.len() > limits.head {
            return Err(source::Error::Trailers);
        }
        let fields = Fields::parse(lines).map_err(|_| source::Error::Trailer)?;
        let settings = config.location(*location).settings.of::<Settings>();
        let mut out = Vec::new();
        for (name, value) in fields.iter() {
            if !fields::hides_trailer(settings, name) {
                for part in [name, b": ", value, b"\r\n"] {
                    out.extend_from_slice(part);
                }
            }
        }
        self.trailers = Some(fields);
        Ok(out.into())
    }

    fn cut(&mut self, why: source::Error) -> Poll<Next> {
        let failure = match why {
            // The client's.
            source::Error::Request(_) => None,
            source::Error::Invalid | source::Error::Trailer | source::Error::Trailers => {
                Some(UpstreamError::Malformed)
            }
            source::Error::TimedOut => Some(UpstreamError::Timeout),
            _ => Some(UpstreamError::Closed),
        };
        if let Some(failure) = failure {
            metrics::upstream_failed(failure);
        }
        self.keepable = false;
        self.finish();
        Poll::Ready(Some(Err(why)))
    }

    /// The response has ended: its connection goes to the pool or is closed.
    pub(super) fn finish(&mut self) {
        let Some(exchange) = self.exchange.take() else {
            return;
        };
        self.note(&exchange.link);
        let Exchange {
            mut link,
            upload,
            timer,
            ..
        } = exchange;
        self.timer = timer;
        let clean = link.wire.inbound.is_empty() && !link.wire.ended;
        if self.announced && self.decoder.is_done() && !link.wire.inbound.is_empty() {
            self.surplus = Some(match self.chunked {
                true => "upstream sent data after final chunk",
                false => "upstream sent more data than specified in \"Content-Length\" header",
            });
        }
        if self.keepable && clean && self.decoder.is_done() && upload.is_done() {
            link.wire.rest();
            let worker = &self.worker;
            worker.pool.give(link, &self.group, &worker.admission);
        }
        self.unread = upload.into_rest();
    }

    fn note(&mut self, link: &UpstreamConnection) {
        (self.sent, self.received) = (link.wire.sent, link.wire.received);
    }
}

impl Source for ResponseBody {
    fn poll_frame(&mut self, request: &dyn FilterContext, cx: &mut Context<'_>) -> Poll<Next> {
        loop {
            if let Some(lines) = &self.ending {
                ready!(request.poll_memory(&mut self.need, cx));
                let lines = lines.clone();
                self.ending = None;
                return match self.take_trailers(lines) {
                    Ok(lines) => {
                        self.finish();
                        let frame = (!lines.is_empty()).then_some(Ok(Frame::Trailers(lines)));
                        Poll::Ready(frame)
                    }
                    Err(why) => self.cut(why),
                };
            }
            let Some(exchange) = &mut self.exchange else {
                self.bulk = None;
                return Poll::Ready(match self.decoder.is_done() {
                    true => None,
                    // It was ended early, for a response that is not sent.
                    false => Some(Err(source::Error::Closed)),
                });
            };
            // The request's body is still sent while the response arrives.
            if let Poll::Ready(Err(error)) = exchange.upload.poll(&mut exchange.link, cx) {
                return self.cut(source::Error::Request(error));
            }
            let wire = &mut exchange.link.wire;
            let ended = wire.ended;
            match self.decoder.step(&mut wire.inbound, ended) {
                Ok(Progress::Data(data)) => {
                    exchange.timer.progress();
                    if self.decoder.is_done() {
                        self.bulk = wire.rest();
                        self.finish();
                    }
                    return Poll::Ready(Some(Ok(Frame::Data(data))));
                }
                // The kernel reports a reset once: here the upload got the error.
                Ok(Progress::End(_)) if self.until_close && exchange.upload.is_reset() => {
                    return self.cut(source::Error::Closed);
                }
                Ok(Progress::End(lines)) => {
                    self.need.add(self.needs(&lines));
                    self.ending = Some(lines);
                    continue;
                }
                Ok(Progress::Starved) => {}
                Err(body::Error::Chunk) => return self.cut(source::Error::Invalid),
                Err(body::Error::Truncated) => return self.cut(source::Error::Closed),
            }
            match wire.poll_fill(cx) {
                Poll::Ready(Ok(_)) => {}
                // Without `close_notify`: as in nginx, that is an end.
                Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::UnexpectedEof => {}
                Poll::Ready(Err(_)) => return self.cut(source::Error::Closed),
                Poll::Pending => {
                    ready!(exchange.timer.poll(cx, exchange.limits.read));
                    return self.cut(source::Error::TimedOut);
                }
            }
        }
    }

    fn upstream_body(&mut self) -> Option<&mut dyn UpstreamBody> {
        Some(self)
    }
}

impl UpstreamBody for ResponseBody {
    fn take_unread(&mut self) -> RequestBody {
        self.finish();
        std::mem::replace(&mut self.unread, RequestBody::None)
    }

    fn is_bodiless(&self) -> bool {
        self.bodiless
    }

    fn take_timer(&mut self) -> Timer {
        std::mem::take(&mut self.timer)
    }

    fn has_whole_request(&self) -> bool {
        let upload = self.exchange.as_ref().map(|exchange| &exchange.upload);
        upload.is_none_or(|upload| upload.is_done())
    }

    fn note_end(&mut self, request: &mut Request) {
        if let Some(what) = self.surplus.take() {
            let what = format!("{what} while reading upstream");
            error_log::request(request, Level::Warn, what);
        }
        if let Some(trailers) = self.trailers.take() {
            request.upstream_trailers = Some(trailers);
        }
        let Some(attempt) = request.attempts.last_mut() else {
            return;
        };
        if attempt.ended.is_some() {
            // Trailers have been written since, so this was the end.
            return;
        }
        if let Some(exchange) = &self.exchange {
            (self.sent, self.received) = (exchange.link.wire.sent, exchange.link.wire.received);
        }
        if !self.bodiless {
            // Including framing, as nginx counts.
            attempt.body = self.received.saturating_sub(self.start);
        }
        attempt.sent = self.sent.saturating_sub(attempt.sent);
        attempt.received = self.received.saturating_sub(attempt.received);
        attempt.ended = Some(cached_time::since(attempt.began));
    }
}
