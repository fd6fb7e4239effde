//! Sends the body of a response on its stream.

use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use h2::SendStream;
use http::HeaderMap;
use http::header::{HeaderName, HeaderValue};

use super::SEND_BUFFER;
use super::send_buffer::{Chunk, InFlight, UnsentBlocks};
use crate::admission::{Holder, Waits};
use crate::log::level::Level;
use crate::message::fields;
use crate::modules::proxy;
use crate::modules::trailers;
use crate::request::Request;
use crate::request::error_log;
use crate::request::gather::{Gather, OutgoingPart, SHORTER, Then};
use crate::request::response::Content;
use crate::request::source::Source as _;
use crate::time::timer::Timer;

/// Why a body was not sent completely.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Error {
    /// The client has left or cancelled the stream.
    Gone,
    /// The client does not read it (`send_timeout`).
    Stalled,
    /// The body was incomplete.
    Cut,
    /// The stream was evicted.
    Evicted,
}

/// Sends a body on a stream.
pub(super) struct Sender {
    out: SendStream<Chunk>,
    queue: Rc<InFlight>,
    timer: Timer,
    /// `send_timeout`.
    pause: Duration,
    holder: Rc<Holder>,
}

impl Sender {
    /// `queue` has to be empty.
    pub(super) fn new(
        out: SendStream<Chunk>,
        queue: Rc<InFlight>,
        timer: Timer,
        pause: Duration,
        holder: Rc<Holder>,
    ) -> Self {
        queue.begin(out.stream_id().as_u32());
        Self {
            out,
            queue,
            timer,
            pause,
            holder,
        }
    }

    /// Sends a body of `length` bytes, if that is known.
    pub(super) async fn send(
        &mut self,
        request: &mut Request,
        content: &mut Content,
        length: Option<u64>,
        blocks: &UnsentBlocks,
    ) -> Result<(), Error> {
        // If trailers may follow, the last byte is not the end of the stream.
        let own_trailers = request.own_trailers.is_some();
        let mut left = length.filter(|_| !own_trailers);
        let pass_trailers =
            own_trailers || request.settings().of::<proxy::Settings>().pass_trailers;
        let mut gather = Gather::default();
        loop {
            let OutgoingPart { data, then } = self.next(&mut gather, content, request).await?;
            left = left.map(|left| left.saturating_sub(data.len() as u64));
            if matches!(then, Then::End(_)) && left.is_some_and(|left| left > 0) {
                error_log::request(request, Level::Alert, SHORTER);
                self.write(data, false, request).await?;
                self.wait_until_sent().await?;
                return Err(Error::Cut);
            }
            let trailers = match &then {
                Then::End(lines) if pass_trailers => {
                    let upstream = content.upstream_body();
                    let Ok(lines) = trailers::at_end(request, lines.clone(), upstream) else {
                        self.write(data, false, request).await?;
                        self.wait_until_sent().await?;
                        return Err(Error::Cut);
                    };
                    Some(fields_of(&lines))
                }
                _ => None,
            };
            let trailers = trailers.filter(|fields| !fields.is_empty());
            let ends = matches!(then, Then::End(_)) && trailers.is_none();
            let last = ends || (left == Some(0) && !data.is_empty());
            if last && data.is_empty() {
                self.send_piece(data, true)?;
            } else {
                self.write(data, last, request).await?;
            }
            if let Some(fields) = trailers {
                let sent = self.out.send_trailers(fields);
                sent.map_err(|_| Error::Gone)?;
                blocks.add(&self.queue);
                break;
            }
            if let Then::Cut(cut) = then {
                error_log::request(request, cut.level(), cut);
                // A reset discards data that is not sent yet.
                self.wait_until_sent().await?;
                return Err(Error::Cut);
            }
            if last {
                if let Some(body) = content.upstream_body() {
                    // Reusing a timer is cheaper than creating one.
                    self.timer = body.take_timer();
                }
                break;
            }
        }
        self.wait_until_sent().await
    }

    /// The next part of the body.
    async fn next(
        &mut self,
        gather: &mut Gather,
        content: &mut Content,
        request: &Request,
    ) -> Result<OutgoingPart, Error> {
        poll_fn(|cx| match gather.poll(content, request, cx) {
            // If data is ready, writing it shows whether the client has left.
            Poll::Pending if self.out.poll_reset(cx).is_ready() => Poll::Ready(Err(Error::Gone)),
            Poll::Pending => self.poll_evicted(cx),
            part => part.map(Ok),
        })
        .await
    }

    /// Sends a piece as the client's window allows.
    async fn write(
        &mut self,
        mut data: Bytes,
        last: bool,
        request: &mut Request,
    ) -> Result<(), Error> {
        self.timer.progress();
        // Kept up to date for the log, in case the request ends early.
        request.outcome.body_bytes = self.queue.sent();
        if last && data.len() <= SEND_BUFFER && self.queue.is_empty() {
            // This is all that waits for the client, even if it does not read now.
            return self.send_piece(data, true);
        }
        while !data.is_empty() {
            self.out.reserve_capacity(data.len());
            let room = self.room().await?;
            let part = data.split_to(room.min(data.len()));
            let end = last && data.is_empty();
            self.send_piece(part, end)?;
            self.timer.progress();
        }
        if self.holder.waits() == Waits::Response {
            self.holder.stop_waiting();
        }
        Ok(())
    }

    fn send_piece(&mut self, part: Bytes, end: bool) -> Result<(), Error> {
        let part = Chunk::new(part, &self.queue);
        let handed = self.out.send_data(part, end);
        handed.map_err(|_| Error::Gone)
    }

    /// The number of bytes that the window and the buffer take now; at least one.
    async fn room(&mut self) -> Result<usize, Error> {
        poll_fn(|cx| {
            let room = self.out.capacity();
            if room > 0 {
                return Poll::Ready(Ok(room));
            }
            if self.out.poll_reset(cx).is_ready() {
                return Poll::Ready(Err(Error::Gone));
            }
            match self.out.poll_capacity(cx) {
                Poll::Ready(Some(Ok(room))) if room > 0 => Poll::Ready(Ok(room)),
                Poll::Ready(_) => Poll::Ready(Err(Error::Gone)),
                Poll::Pending => self.poll_stalled(cx),
            }
        })
        .await
    }

    /// The client does not read at present; ready when it has not for `send_timeout`.
    fn poll_stalled<T>(&mut self, cx: &mut Context<'_>) -> Poll<Result<T, Error>> {
        self.holder.wait(Waits::Response, self.queue.sent());
        if self.timer.poll(cx, self.pause).is_ready() {
            return Poll::Ready(Err(Error::Stalled));
        }
        self.poll_evicted(cx)
    }

    fn poll_evicted<T>(&self, cx: &mut Context<'_>) -> Poll<Result<T, Error>> {
        let evicted = self.holder.poll_evicted(cx);
        evicted.map(|()| Err(Error::Evicted))
    }

    /// Waits until everything has been sent.
    pub(super) async fn wait_until_sent(&mut self) -> Result<(), Error> {
        self.timer.progress();
        poll_fn(|cx| {
            if self.queue.poll_sent(cx, &mut self.timer) {
                return Poll::Ready(match self.queue.is_lost() {
                    true => Err(Error::Gone),
                    false => Ok(()),
                });
            }
            // A reset drops pieces, of which `h2` tells.
            if self.queue.has_unsent_block() && self.out.poll_reset(cx).is_ready() {
                return Poll::Ready(Err(Error::Gone));
            }
            self.poll_stalled(cx)
        })
        .await
    }

    /// Its timer, for the next stream.
    pub(super) fn into_timer(self) -> Timer {
        self.timer
    }

    /// Resets the stream.
    pub(super) fn reset(&mut self, reason: h2::Reason) {
        self.out.send_reset(reason);
    }
}

/// Trailer lines as fields.
fn fields_of(lines: &[u8]) -> HeaderMap {
    let mut map = HeaderMap::new();
    for (name, value) in fields::of_lines(lines) {
        let (name, value) = (HeaderName::from_bytes(name), HeaderValue::from_bytes(value));
        if let (Ok(name), Ok(value)) = (name, value) {
            // As many as fit.
            let _ = map.try_append(name, value);
        }
    }
    map
}
