//! The body of an upstream's answer, on its way to the client.

use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;

use super::body::RequestBody;
use super::exchange::Exchange;
use super::link::Link;
use crate::error_log::{self, Level};
use crate::http1::body::{Broken, Decoder, Step};
use crate::message::fields::Fields;
use crate::message::head::Framing;
use crate::modules::upstream::Upstream;
use crate::server::counters::{self, labels::Upstream as Trouble};
use crate::server::moment;
use crate::server::request::Request;
use crate::server::worker::Worker;
use crate::timer::Timer;

/// An answer whose head has been read.
pub(crate) struct Answer {
    /// Gone once the answer has ended.
    exchange: Option<Exchange>,
    decoder: Decoder,
    /// The connection may serve another request.
    keepable: bool,
    group: Arc<Upstream>,
    worker: Rc<Worker>,
    /// Bytes of the body so far.
    body: u64,
    sent: u64,
    received: u64,
    unread: RequestBody,
    /// There is no body, whatever its head says of a length.
    bodiless: bool,
    /// The body's length was announced.
    announced: bool,
    overlong: bool,
    /// Trailer field lines, each with its end.
    trailers: Bytes,
    /// The exchange's, once that has ended.
    timer: Timer,
}

/// A piece of a body.
#[derive(Debug)]
pub(crate) enum Frame {
    Data(Bytes),
    /// Trailer field lines, each with its end.
    Trailers(Bytes),
}

/// Why an answer stops in the middle; the client's connection is closed, since
/// nothing else tells it that this is not the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Cut {
    #[error("upstream prematurely closed connection while reading upstream")]
    Closed,
    #[error("upstream sent invalid chunked response while reading upstream")]
    Invalid,
    #[error("upstream timed out (110: Connection timed out) while reading upstream")]
    TimedOut,
    #[error("file was truncated while it was sent")]
    File,
}

impl Answer {
    pub(crate) fn new(
        exchange: Exchange,
        framing: Framing,
        keepable: bool,
        group: Arc<Upstream>,
        worker: Rc<Worker>,
    ) -> Self {
        let exchange = Some(exchange);
        let decoder = Decoder::new(framing);
        let announced = matches!(decoder, Decoder::Length(_));
        Self {
            exchange,
            decoder,
            keepable,
            group,
            worker,
            body: 0,
            sent: 0,
            received: 0,
            unread: RequestBody::None,
            bodiless: framing == Framing::None,
            announced,
            overlong: false,
            trailers: Bytes::new(),
            timer: Timer::default(),
        }
    }

    /// The next piece; `None` at the end.
    pub(crate) fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame, Cut>>> {
        loop {
            let Some(exchange) = &mut self.exchange else {
                return Poll::Ready(None);
            };
            // A client that still uploads is heard while the answer comes; that
            // it fails shows in the answer or on its own connection.
            let _ = exchange.upload.poll(&mut exchange.link, cx);
            let wire = &mut exchange.link.wire;
            let ended = wire.ended;
            match self.decoder.step(&mut wire.inbound, ended) {
                Ok(Step::Data(data)) => {
                    exchange.timer.progress();
                    self.body += data.len() as u64;
                    if self.decoder.is_done() {
                        self.finish();
                    }
                    return Poll::Ready(Some(Ok(Frame::Data(data))));
                }
                Ok(Step::End(trailers)) => {
                    self.trailers = trailers.clone();
                    self.finish();
                    let frame = (!trailers.is_empty()).then_some(Ok(Frame::Trailers(trailers)));
                    return Poll::Ready(frame);
                }
                Ok(Step::Starved) => {}
                Err(Broken::Chunk) => return self.cut(Cut::Invalid),
                Err(Broken::Truncated) => return self.cut(Cut::Closed),
            }
            match wire.poll_fill(cx) {
                Poll::Ready(_) => {}
                Poll::Pending => {
                    ready!(exchange.timer.poll(cx, exchange.limits.read));
                    return self.cut(Cut::TimedOut);
                }
            }
        }
    }

    fn cut(&mut self, why: Cut) -> Poll<Option<Result<Frame, Cut>>> {
        counters::upstream_failed(match why {
            Cut::Closed | Cut::File => Trouble::Closed,
            Cut::Invalid => Trouble::Malformed,
            Cut::TimedOut => Trouble::Timeout,
        });
        self.keepable = false;
        self.finish();
        Poll::Ready(Some(Err(why)))
    }

    /// The answer has ended: its connection goes to the pool or is closed.
    pub(crate) fn finish(&mut self) {
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
        self.overlong = self.announced && self.decoder.is_done() && !link.wire.inbound.is_empty();
        if self.keepable && clean && self.decoder.is_done() && upload.is_done() {
            link.wire.rest();
            self.worker.pool.give(link, &self.group);
        }
        self.unread = upload.into_rest();
    }

    /// What the client has still to send of its body, once the answer has
    /// ended.
    pub(crate) fn take_unread(&mut self) -> RequestBody {
        self.finish();
        std::mem::replace(&mut self.unread, RequestBody::None)
    }

    /// Whether there is no body, whatever its head says of a length.
    pub(crate) fn is_bodiless(&self) -> bool {
        self.bodiless
    }

    /// A timer that is at hand, for whoever sends the answer.
    pub(crate) fn take_timer(&mut self) -> Timer {
        std::mem::take(&mut self.timer)
    }

    /// Whether nothing of the client's body is on its way any more.
    pub(crate) fn has_whole_request(&self) -> bool {
        let upload = self.exchange.as_ref().map(|exchange| &exchange.upload);
        upload.is_none_or(|upload| upload.is_done())
    }

    /// The fields behind the body.
    fn trailers(&self) -> Fields {
        let lines = self.trailers.split(|byte| *byte == b'\n');
        Fields::collect(lines.filter_map(|line| {
            let colon = memchr::memchr(b':', line)?;
            Some((&line[..colon], line[colon + 1..].trim_ascii()))
        }))
    }

    fn note(&mut self, link: &Link) {
        (self.sent, self.received) = (link.wire.sent, link.wire.received);
    }

    /// Writes what became of it into the account of the request.
    pub(crate) fn note_end(&mut self, request: &mut Request) {
        if self.overlong {
            let what = "upstream sent more data than specified in \"Content-Length\" header while reading upstream";
            error_log::request(request, Level::Warn, what);
        }
        if request.settings().proxy.pass_trailers {
            request.upstream_trailers = Some(self.trailers());
        }
        let Some(attempt) = request.attempts.last_mut() else {
            return;
        };
        if let Some(exchange) = &self.exchange {
            (self.sent, self.received) = (exchange.link.wire.sent, exchange.link.wire.received);
        }
        attempt.body = self.body;
        attempt.sent = self.sent.saturating_sub(attempt.sent);
        attempt.received = self.received.saturating_sub(attempt.received);
        attempt.ended = Some(moment::since(attempt.began));
    }
}
