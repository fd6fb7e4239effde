//! One request on one connection, up to the head of the response.
//!
//! The request's body is sent while waiting for the response, so an upstream may respond
//! before it has read everything.

use std::future::poll_fn;
use std::io;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::buf::Chain;
use bytes::{Buf as _, Bytes};

use super::body::{self, RequestBody};
use super::connection::UpstreamConnection;
use super::head_room::HeadRoom;
use crate::admission::Permit;
use crate::http1::chunked::{self, Chunk};
use crate::http1::response_head::{self, ResponseHead};
use crate::message::head::{Framing, Version};
use crate::time::timer::Timer;

/// Interim responses before the response. nginx skips as many early hints as arrive within
/// `proxy_read_timeout`.
const MAX_INTERIM: usize = 1000;

/// What is sent to the upstream: the head, the part of the body that has been read, and the
/// rest.
pub(crate) struct Upload {
    /// Written next: what is left of the head, and data, which is passed on without a copy.
    out: Chain<Bytes, Chunk>,
    /// `out` has not been written completely.
    sending: bool,
    rest: RequestBody,
    chunked: bool,
    /// Bytes of `rest` that the head has announced.
    announced: u64,
    /// The last byte has been written, or the upstream does not read the rest.
    done: bool,
    /// The upstream stopped reading; its response may have arrived nevertheless.
    refused: bool,
    /// A write failed since the upstream had reset the connection. After `BrokenPipe` all of its
    /// response can still be read.
    reset: bool,
}

/// Why there is no response.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// Caused by the client.
    #[error(transparent)]
    Client(#[from] body::Error),
    #[error("{0}")]
    Io(io::Error),
    /// The proxy's own certificate, whose name contains variables, cannot be used.
    #[error("{0} while connecting to upstream")]
    Certificate(String),
    #[error("upstream prematurely closed connection while reading response header from upstream")]
    Closed,
    #[error("upstream timed out (110: Connection timed out) while {0}")]
    TimedOut(&'static str),
    #[error("{0} while reading response header from upstream")]
    Malformed(#[from] response_head::Error),
}

/// The time-outs of an exchange.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// `proxy_send_timeout`.
    pub(crate) send: Duration,
    /// `proxy_read_timeout`.
    pub(crate) read: Duration,
    /// `proxy_buffer_size`, bytes.
    pub(crate) head: usize,
}

/// A request in progress.
pub(crate) struct Exchange {
    pub(crate) link: Box<UpstreamConnection>,
    pub(crate) upload: Upload,
    pub(crate) limits: Limits,
    pub(crate) timer: Timer,
}

impl Upload {
    /// Sends as much as the socket accepts at once: the head, and in the same write `begun`, the
    /// part of the body that has been read.
    pub(crate) fn start(
        link: &mut UpstreamConnection,
        head: &Bytes,
        begun: Bytes,
        rest: RequestBody,
        framing: Framing,
    ) -> Self {
        let chunked = framing == Framing::Chunked;
        let (begun, announced) = match framing {
            Framing::Chunked => (begun, 0),
            Framing::Length(length) => within(begun, length),
            Framing::None | Framing::UntilClose => within(begun, 0),
        };
        let mut first = (&head[..]).chain(framed(begun, chunked));
        let mut cx = Context::from_waker(std::task::Waker::noop());
        let sent = link.wire.poll_send(&mut cx, &mut first);
        let (refused, reset) = match &sent {
            Poll::Ready(Err(error)) => (true, is_reset(error)),
            _ => (false, false),
        };
        let (left, begun) = first.into_inner();
        // Nothing is copied: its memory is counted once.
        let left = match left.is_empty() {
            true => Bytes::new(),
            false => head.slice_ref(left),
        };
        Self {
            out: left.chain(begun),
            sending: sent.is_pending(),
            chunked,
            announced,
            rest,
            done: refused,
            refused,
            reset,
        }
    }

    /// Whether everything has been written.
    pub(crate) fn is_done(&self) -> bool {
        self.done && !self.refused
    }

    /// Whether the upstream has reset the connection, of which a later read may show nothing.
    pub(crate) fn is_reset(&self) -> bool {
        self.reset
    }

    /// Bytes of the client's body that have been read so far.
    pub(crate) fn taken(&self) -> u64 {
        self.rest.taken()
    }

    /// The unread part of the body, after the exchange has failed.
    pub(crate) fn into_rest(self) -> RequestBody {
        self.rest
    }

    /// Copies the body to the upstream. Ready when it is complete. If the upstream stops
    /// reading, that is no error: the response says why.
    pub(crate) fn poll(
        &mut self,
        link: &mut UpstreamConnection,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), body::Error>> {
        while !self.done {
            if self.sending {
                match ready!(link.wire.poll_send(cx, &mut self.out)) {
                    Ok(()) => {
                        // Its memory is free for the next read.
                        self.out = alone(chunked::unframed(Bytes::new()));
                        self.sending = false;
                    }
                    Err(error) => {
                        self.refused = true;
                        self.reset = is_reset(&error);
                        self.done = true;
                        break;
                    }
                }
            }
            let next = match ready!(self.rest.poll_data(cx)) {
                Some(Ok(data)) if self.chunked => framed(data, true),
                Some(Ok(data)) => match self.announced.checked_sub(data.len() as u64) {
                    Some(left) => {
                        self.announced = left;
                        framed(data, false)
                    }
                    // The upstream would take what exceeds it for another request.
                    None => return Poll::Ready(Err(self.lose())),
                },
                Some(Err(error)) => return Poll::Ready(Err(error)),
                // The upstream would take what comes next for the rest of it.
                None if self.announced > 0 => return Poll::Ready(Err(self.lose())),
                None if self.chunked => {
                    self.chunked = false;
                    chunked::unframed(Bytes::from_static(b"0\r\n\r\n"))
                }
                None => {
                    self.done = true;
                    break;
                }
            };
            self.out = alone(next);
            self.sending = true;
        }
        Poll::Ready(Ok(()))
    }

    /// The body is not as long as announced.
    #[cold]
    fn lose(&mut self) -> body::Error {
        self.rest.fail(body::Error::Lost);
        body::Error::Lost
    }

    /// Whether it waits for the upstream, not for the client.
    fn waits_for_upstream(&self) -> bool {
        self.done || self.sending
    }
}

/// As much of the data as is announced, and what is announced beyond it.
fn within(mut data: Bytes, announced: u64) -> (Bytes, u64) {
    let fits = usize::try_from(announced).unwrap_or(usize::MAX);
    data.truncate(fits);
    let rest = announced - data.len() as u64;
    (data, rest)
}

fn is_reset(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::ConnectionReset
}

fn framed(data: Bytes, chunked: bool) -> Chunk {
    match chunked {
        true => chunked::chunk(data),
        false => chunked::unframed(data),
    }
}

/// Data without a head before it.
fn alone(data: Chunk) -> Chain<Bytes, Chunk> {
    Bytes::new().chain(data)
}

impl Exchange {
    /// Sends the request and reads the head of the response; skips interim responses (RFC
    /// 9110, section 15.2) except `101`. A head that is not small waits for memory of `permit`.
    pub(crate) async fn head(&mut self, permit: Option<&Permit>) -> Result<ResponseHead, Error> {
        let mut room = HeadRoom::default();
        for _ in 0..=MAX_INTERIM {
            let head = poll_fn(|cx| self.poll_head(&mut room, permit, cx)).await?;
            if head.status == 101 || head.status >= 200 {
                self.timer.progress();
                return Ok(head);
            }
            if head.version < Version::Http11 {
                return Err(response_head::Error::Interim.into());
            }
        }
        Err(response_head::Error::Interims.into())
    }

    fn poll_head(
        &mut self,
        room: &mut HeadRoom,
        permit: Option<&Permit>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<ResponseHead, Error>> {
        let sent = self.link.wire.sent;
        if let Poll::Ready(Err(error)) = self.upload.poll(&mut self.link, cx) {
            return Poll::Ready(Err(error.into()));
        }
        if self.link.wire.sent != sent {
            self.timer.progress();
        }
        loop {
            let (inbound, limit) = (&mut self.link.wire.inbound, self.limits.head);
            match response_head::parse(inbound, room.size(limit)) {
                Ok(Some(head)) => return Poll::Ready(Ok(head)),
                Ok(None) => {}
                Err(response_head::Error::TooBig)
                    if ready!(room.poll_grow(inbound, limit, permit, cx)) =>
                {
                    continue;
                }
                Err(error) => return Poll::Ready(Err(error.into())),
            }
            match self.link.wire.poll_fill(cx) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(Error::Closed)),
                // As in nginx the time-out is for the head as a whole, so that it cannot
                // arrive byte by byte for ever.
                Poll::Ready(Ok(_)) => {}
                Poll::Ready(Err(error)) => return Poll::Ready(Err(Error::Io(error))),
                Poll::Pending => break,
            }
        }
        if !self.upload.waits_for_upstream() {
            return Poll::Pending;
        }
        let (limit, doing) = if self.upload.done {
            (self.limits.read, "reading response header from upstream")
        } else {
            (self.limits.send, "sending request to upstream")
        };
        ready!(self.timer.poll(cx, limit));
        Poll::Ready(Err(Error::TimedOut(doing)))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test panics")]
mod tests {
    use std::rc::Rc;

    use tokio::io::AsyncReadExt as _;
    use tokio::net::{TcpListener, TcpStream};

    use super::*;
    use crate::admission::{Admission, Capacity};
    use crate::config::LocationId;
    use crate::config::group::PeerAddress;
    use crate::time::cached_time;
    use crate::time::stopwatch::Stopwatch;
    use crate::tls::upstream_stream::HandshakeMemory;
    use crate::upstream::connection::Outgoing;
    use crate::upstream::spooled::{Folder, Spooled};

    /// A connection, and the upstream's side of it.
    async fn connected() -> (Box<UpstreamConnection>, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = PeerAddress::Tcp(listener.local_addr().unwrap());
        let outgoing = Outgoing {
            bind: None,
            keepalive: false,
        };
        let time = Stopwatch::default();
        let memory = HandshakeMemory {
            permit: None,
            time: &time,
        };
        let location = LocationId(0);
        let link = UpstreamConnection::connect(&address, None, location, outgoing, memory);
        (link.await.unwrap(), listener.accept().await.unwrap().0)
    }

    /// A body of ten bytes in a file.
    fn ten_bytes() -> RequestBody {
        let admission = Admission::new(Capacity {
            connections: 1,
            descriptors: 1,
            memory: None,
        });
        let folder = Folder {
            path: std::env::temp_dir(),
            levels: Vec::new(),
        };
        let permit = admission.try_for_file().unwrap();
        let mut file = Spooled::create(&folder, false, permit).unwrap();
        file.append(b"0123456789").unwrap();
        RequestBody::of_file(Rc::new(file))
    }

    /// Sends a body that begins with `begun`, and returns what the upstream gets of it.
    async fn sent(framing: Framing, begun: &'static str) -> (Result<(), body::Error>, String) {
        let (mut link, mut upstream) = connected().await;
        let mut upload =
            Upload::start(&mut link, &Bytes::new(), begun.into(), ten_bytes(), framing);
        let end = poll_fn(|cx| upload.poll(&mut link, cx)).await;
        drop(link);
        let mut heard = String::new();
        upstream.read_to_string(&mut heard).await.unwrap();
        (end, heard)
    }

    #[tokio::test]
    async fn an_upstream_gets_no_more_and_no_less_than_was_announced() {
        let work = async {
            let lost = Err(body::Error::Lost);
            for (framing, begun, end, heard) in [
                (Framing::Length(13), "abc", Ok(()), "abc0123456789"),
                (Framing::Length(14), "abc", lost, "abc0123456789"),
                (Framing::Length(12), "abc", lost, "abc"),
                (Framing::Length(2), "abc", lost, "ab"),
                (Framing::None, "abc", lost, ""),
                (
                    Framing::Chunked,
                    "abc",
                    Ok(()),
                    "3\r\nabc\r\na\r\n0123456789\r\n0\r\n\r\n",
                ),
            ] {
                let expected = (end, heard.to_owned());
                assert_eq!(sent(framing, begun).await, expected, "{framing:?}");
            }
        };
        cached_time::scope(Box::pin(work)).await;
    }
}
