//! A client's request body, over HTTP/1 or HTTP/2, read at the pace of its consumer.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use h2::RecvStream;

use super::spooled::Spooled;
use crate::admission::unread::BodyFlow;
use crate::admission::{Holder, Waits};
use crate::http1::body::{Decoder, Progress};
use crate::log::level::Level;
use crate::metrics;
use crate::net::buffered_stream::BufferedStream;
use crate::time::timer::Timer;
use crate::tls::client_stream::ClientStream;

/// A connection's buffered stream, shared by the connection and the body read from it; both
/// are used by one task.
pub(crate) type SharedWire = Rc<RefCell<BufferedStream<ClientStream>>>;

/// A request's body.
pub(crate) enum RequestBody {
    None,
    Http1(Box<Http1Body>),
    Http2(Box<Http2Body>),
    /// Read completely into a file.
    File(Box<FileReader>),
    /// The rest cannot be read: whatever arrives is no part of it.
    Failed {
        error: Error,
        /// Bytes read before.
        taken: u64,
    },
}

/// Reads a body from a file.
pub(crate) struct FileReader {
    file: Rc<Spooled>,
    at: u64,
}

impl FileReader {
    fn poll_data(&mut self) -> Poll<Option<Result<Bytes, Error>>> {
        if self.at >= self.file.length() {
            return Poll::Ready(None);
        }
        let read = self.file.read(self.at);
        Poll::Ready(Some(read.map_err(|_| Error::Lost).inspect(|data| {
            self.at += data.len() as u64;
        })))
    }
}

/// Why the rest of a body cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Error {
    #[error("client sent invalid chunked body")]
    Invalid,
    #[error("client prematurely closed connection")]
    Gone,
    #[error("client timed out")]
    TimedOut,
    #[error("client intended to send too large chunked body")]
    TooLarge,
    #[error("the request body is not at hand any more")]
    Lost,
}

impl Error {
    /// The status nginx responds with.
    pub(crate) fn status(self) -> u16 {
        match self {
            Self::Invalid | Self::Gone => 400,
            Self::TimedOut => 408,
            Self::TooLarge => 413,
            Self::Lost => 500,
        }
    }

    /// The severity in the error log.
    pub(crate) fn level(self) -> Level {
        match self {
            Self::Gone | Self::TimedOut => Level::Info,
            Self::Invalid | Self::TooLarge | Self::Lost => Level::Error,
        }
    }
}

/// How much of a body is read, and the longest pause.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// `client_max_body_size`, bytes; zero is no limit.
    pub(crate) size: u64,
    /// `client_body_timeout`.
    pub(crate) pause: Duration,
}

impl RequestBody {
    /// A body in a file, from its beginning.
    pub(crate) fn of_file(file: Rc<Spooled>) -> Self {
        Self::File(Box::new(FileReader { file, at: 0 }))
    }

    /// Whether everything has been read.
    pub(crate) fn is_done(&self) -> bool {
        match self {
            Self::None => true,
            Self::Http1(body) => body.decoder.is_done() && body.unsent_continue.is_none(),
            Self::Http2(body) => body.done,
            Self::File(reader) => reader.at >= reader.file.length(),
            Self::Failed { .. } => false,
        }
    }

    /// Whether its rest cannot be read.
    pub(crate) fn has_failed(&self) -> bool {
        matches!(self, Self::Failed { .. })
    }

    /// Nobody reads it any more: its reader does not notice that the client has left.
    #[cold]
    pub(crate) fn abandon(&self) {
        if let Self::Http1(body) = self {
            body.whole.set(true);
        }
    }

    /// Gives up the rest of it.
    pub(crate) fn fail(&mut self, error: Error) {
        self.abandon();
        let taken = self.taken();
        *self = Self::Failed { error, taken };
    }

    /// A flag, for others than its reader, that it has been read to its end; `None` if
    /// there is no body, or over HTTP/2.
    pub(crate) fn whole(&self) -> Option<Rc<Cell<bool>>> {
        match self {
            Self::Http1(body) => Some(body.whole.clone()),
            Self::None | Self::Http2(_) | Self::File(_) | Self::Failed { .. } => None,
        }
    }

    /// Sets the limits of the request's location.
    pub(crate) fn bound(&mut self, bounds: Bounds) {
        match self {
            Self::None | Self::File(_) | Self::Failed { .. } => {}
            Self::Http1(body) => body.meter.bounds = bounds,
            Self::Http2(body) => body.meter.bounds = bounds,
        }
    }

    /// The next piece; `None` at the end. An error stays.
    pub(crate) fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Error>>> {
        self.poll_next(cx, false)
    }

    /// The same for what is kept and not passed on at once: it is not read in bulk.
    pub(crate) fn poll_kept(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Error>>> {
        self.poll_next(cx, true)
    }

    fn poll_next(
        &mut self,
        cx: &mut Context<'_>,
        kept: bool,
    ) -> Poll<Option<Result<Bytes, Error>>> {
        let next = match self {
            Self::None => return Poll::Ready(None),
            Self::Http1(body) => body.poll_data(cx, kept),
            Self::Http2(body) => body.poll_data(cx),
            Self::File(reader) => reader.poll_data(),
            Self::Failed { error, .. } => return Poll::Ready(Some(Err(*error))),
        };
        if let Poll::Ready(Some(Err(error))) = next {
            self.fail(error);
        }
        next
    }

    /// Bytes read so far.
    pub(crate) fn taken(&self) -> u64 {
        match self {
            // They are complete.
            Self::None | Self::File(_) => 0,
            Self::Http1(body) => body.meter.taken,
            Self::Http2(body) => body.meter.taken,
            Self::Failed { taken, .. } => *taken,
        }
    }
}

/// Applies the limits while the body is read.
struct Meter {
    bounds: Bounds,
    taken: u64,
    timer: Timer,
    /// Who waits for the client meanwhile.
    holder: Rc<Holder>,
}

impl Meter {
    fn new(holder: Rc<Holder>) -> Self {
        let bounds = Bounds {
            size: 0,
            pause: Duration::from_secs(60),
        };
        Self {
            bounds,
            taken: 0,
            timer: Timer::default(),
            holder,
        }
    }

    fn count(&mut self, data: &Bytes) -> Result<(), Error> {
        self.timer.progress();
        self.holder.stop_waiting();
        self.taken += data.len() as u64;
        let fits = self.bounds.size == 0 || self.taken <= self.bounds.size;
        if fits { Ok(()) } else { Err(Error::TooLarge) }
    }

    /// Waits for data, for at most `client_body_timeout`.
    fn poll_wait(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Error>>> {
        self.holder.wait(Waits::Body, self.taken);
        ready!(self.timer.poll(cx, self.bounds.pause));
        Poll::Ready(Some(Err(Error::TimedOut)))
    }
}

/// A body on an HTTP/1 connection.
pub(crate) struct Http1Body {
    wire: SharedWire,
    decoder: Decoder,
    meter: Meter,
    /// The unsent part of `100 Continue` if the client waits for it.
    unsent_continue: Option<&'static [u8]>,
    /// Set when it has been read to its end, and its reader has asked for more: by then the last
    /// piece has been sent or copied. Also when nobody reads it any more.
    whole: Rc<Cell<bool>>,
}

impl Http1Body {
    pub(crate) fn new(
        wire: SharedWire,
        decoder: Decoder,
        expects_continue: bool,
        holder: Rc<Holder>,
    ) -> Self {
        const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";
        Self {
            wire,
            decoder,
            meter: Meter::new(holder),
            unsent_continue: expects_continue.then_some(CONTINUE),
            whole: Rc::default(),
        }
    }

    /// Whether the client still waits for `100 Continue` and sends nothing.
    pub(crate) fn is_withheld(&self) -> bool {
        self.unsent_continue.is_some()
    }

    /// Whether there is nothing more of it to come.
    pub(crate) fn is_at_end(&self) -> bool {
        self.decoder.is_done()
    }

    /// The next piece. What is `kept` is not read in bulk.
    fn poll_data(
        &mut self,
        cx: &mut Context<'_>,
        kept: bool,
    ) -> Poll<Option<Result<Bytes, Error>>> {
        let mut wire = self.wire.borrow_mut();
        if let Some(text) = &mut self.unsent_continue {
            if ready!(wire.poll_send(cx, text)).is_err() {
                return Poll::Ready(Some(Err(Error::Gone)));
            }
            self.unsent_continue = None;
        }
        if self.decoder.is_done() {
            self.whole.set(true);
            return Poll::Ready(None);
        }
        loop {
            let ended = wire.ended;
            match self.decoder.step(&mut wire.inbound, ended) {
                Ok(Progress::Data(data)) => {
                    return Poll::Ready(Some(self.meter.count(&data).map(|()| data)));
                }
                Ok(Progress::End(_)) => {
                    self.whole.set(true);
                    self.meter.holder.stop_waiting();
                    return Poll::Ready(None);
                }
                Err(_) if ended => return Poll::Ready(Some(Err(Error::Gone))),
                Err(_) => return Poll::Ready(Some(Err(Error::Invalid))),
                Ok(Progress::Starved) => {
                    if kept {
                        wire.read_small();
                    }
                    // The next step detects the end of the stream.
                    if wire.poll_fill(cx).is_pending() {
                        drop(wire);
                        return self.meter.poll_wait(cx);
                    }
                }
            }
        }
    }
}

/// A body on an HTTP/2 stream.
pub(crate) struct Http2Body {
    incoming: RecvStream,
    /// Its received and unread part.
    flow: BodyFlow,
    meter: Meter,
    done: bool,
    /// Bytes read so far, for others than its reader.
    received: Rc<Cell<u64>>,
}

impl Http2Body {
    pub(crate) fn new(incoming: RecvStream, flow: BodyFlow, holder: Rc<Holder>) -> Self {
        let done = incoming.is_end_stream();
        Self {
            incoming,
            flow,
            meter: Meter::new(holder),
            done,
            received: Rc::default(),
        }
    }

    /// The counter of bytes read.
    pub(crate) fn received(&self) -> Rc<Cell<u64>> {
        self.received.clone()
    }

    /// Whether the stream ended with its head.
    pub(crate) fn is_done(&self) -> bool {
        self.done
    }

    /// Trailer fields of requests are not read: as in nginx, they are not passed on.
    fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Error>>> {
        if self.done {
            return Poll::Ready(None);
        }
        match self.incoming.poll_data(cx) {
            Poll::Pending => {
                self.flow.caught_up();
                self.meter.poll_wait(cx)
            }
            Poll::Ready(None) => {
                self.done = true;
                self.meter.holder.stop_waiting();
                Poll::Ready(None)
            }
            Poll::Ready(Some(Err(_))) => Poll::Ready(Some(Err(Error::Gone))),
            Poll::Ready(Some(Ok(data))) => {
                // Opens the window again. This fails if the stream was reset, which the
                // next poll reports.
                let _ = self.incoming.flow_control().release_capacity(data.len());
                self.flow.taken(data.len());
                self.received.set(self.received.get() + data.len() as u64);
                metrics::received(data.len());
                Poll::Ready(Some(self.meter.count(&data).map(|()| data)))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::io::Result;

    use bytes::BytesMut;
    use tokio::io::AsyncWriteExt as _;
    use tokio::net::{TcpListener, TcpStream};

    use super::*;
    use crate::admission::{Admission, Capacity};
    use crate::message::head::Framing;
    use crate::net::prefixed::Prefixed;

    #[tokio::test]
    async fn a_body_that_has_ended_is_not_waited_for() -> Result<()> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let mut client = TcpStream::connect(listener.local_addr()?).await?;
        let (socket, _) = listener.accept().await?;
        let stream = Prefixed {
            seen: BytesMut::new(),
            socket,
        };
        let wire = BufferedStream::new(ClientStream::Plain(stream), BytesMut::new());
        let admission = Admission::new(Capacity {
            connections: 1,
            descriptors: 2,
            memory: None,
        });
        let own = admission.for_new_client().await.accepted();
        let holder = own.account.holder();
        let decoder = Decoder::new(Framing::Chunked);
        let wire = Rc::new(RefCell::new(wire));
        let mut body = Http1Body::new(wire, decoder, false, holder.clone());
        client.write_all(b"3\r\nabc\r\n").await?;
        let data = poll_fn(|cx| body.poll_data(cx, false)).await;
        assert_eq!(data, Some(Ok(Bytes::from("abc"))));
        let pending = poll_fn(|cx| Poll::Ready(body.poll_data(cx, false).is_pending())).await;
        assert!(pending && holder.waits() == Waits::Body);
        client.write_all(b"0\r\n\r\n").await?;
        assert_eq!(poll_fn(|cx| body.poll_data(cx, false)).await, None);
        assert_eq!(holder.waits(), Waits::NotForClient);
        Ok(())
    }
}
