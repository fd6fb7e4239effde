//! A byte stream with what has been read of it and not been used yet.

use std::cell::Cell;
use std::future::Future;
use std::io;
use std::mem::MaybeUninit;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};

/// Memory for one read while a body is moving, in bytes.
const READ_SIZE: usize = 16 * 1024;
/// The same where a body fills every read, in bytes: a quarter of the system
/// calls.
const BULK_SIZE: usize = 64 * 1024;
/// Wires of a worker that may read so much at once. Whoever takes nothing of
/// what has been read keeps its memory, so there are few.
const MOST_BULK: usize = 4;
/// What an idle connection may receive before it gets memory of its own; it
/// stands on the stack.
const IDLE_READ_SIZE: usize = 2048;

/// Room behind what has come that is not given back during a wait, bytes.
const SLACK: usize = 1024;

thread_local! {
    /// Wires of this worker that read in bulk.
    static IN_BULK: Cell<usize> = const { Cell::new(0) };
}

/// The right to read in bulk.
#[derive(Debug)]
struct Bulk;

impl Bulk {
    fn take() -> Option<Self> {
        let free = IN_BULK.get() < MOST_BULK;
        free.then(|| {
            IN_BULK.set(IN_BULK.get() + 1);
            Self
        })
    }
}

impl Drop for Bulk {
    fn drop(&mut self) {
        IN_BULK.set(IN_BULK.get().saturating_sub(1));
    }
}

/// One end of a connection.
#[derive(Debug)]
pub(crate) struct Wire<S> {
    io: S,
    /// Read and not used yet.
    pub(crate) inbound: BytesMut,
    /// The peer has ended its side.
    pub(crate) ended: bool,
    /// The last read was a large one: a body is probably moving.
    flowing: bool,
    may_bulk: bool,
    /// Given back with the first read that finds nothing.
    bulk: Option<Bulk>,
    /// Bytes taken from the stream so far.
    pub(crate) received: u64,
    /// Bytes given to the stream so far.
    pub(crate) sent: u64,
}

impl<S> Wire<S> {
    /// What is read from.
    pub(crate) fn stream(&self) -> &S {
        &self.io
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Wire<S> {
    /// A wire on which `inbound` has been read already.
    pub(crate) fn new(io: S, inbound: BytesMut) -> Self {
        let received = inbound.len() as u64;
        Self {
            io,
            inbound,
            ended: false,
            flowing: false,
            may_bulk: false,
            bulk: None,
            received,
            sent: 0,
        }
    }

    /// Reads in bulk where that pays: behind TLS, which has to be decrypted, larger
    /// pieces save time, while on the way to it they leave the CPU's cache.
    pub(crate) fn in_bulk(mut self) -> Self {
        self.may_bulk = true;
        self
    }

    /// Bytes that have been read and used.
    pub(crate) fn consumed(&self) -> u64 {
        self.received - self.inbound.len() as u64
    }

    /// Reads once, into `inbound`. `Ok(0)` is the end of the stream.
    pub(crate) fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if self.ended {
            return Poll::Ready(Ok(0));
        }
        let idle = self.inbound.is_empty() && !self.flowing;
        let read = if idle && self.inbound.capacity() < IDLE_READ_SIZE {
            self.poll_first(cx)
        } else {
            self.poll_next(cx)
        };
        if read.is_pending() {
            // However long the wait is, it holds no buffer but what has come.
            if self.inbound.is_empty() {
                self.inbound = BytesMut::new();
                self.bulk = None;
            } else if !self.flowing && self.inbound.capacity() > self.inbound.len() + SLACK {
                self.inbound = BytesMut::from(&self.inbound[..]);
            }
        }
        self.count(read)
    }

    /// Reads a small piece through the stack: while nothing comes, a waiting
    /// connection holds no buffer.
    fn poll_first(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let mut space = [const { MaybeUninit::uninit() }; IDLE_READ_SIZE];
        let mut space = ReadBuf::uninit(&mut space);
        std::task::ready!(Pin::new(&mut self.io).poll_read(cx, &mut space))?;
        self.inbound.extend_from_slice(space.filled());
        Poll::Ready(Ok(space.filled().len()))
    }

    /// Reads a large piece.
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let size = match self.bulk {
            Some(_) => BULK_SIZE,
            None => READ_SIZE,
        };
        self.inbound.reserve(size);
        let read = pin!(self.io.read_buf(&mut self.inbound)).poll(cx);
        let filled = matches!(read, Poll::Ready(Ok(got)) if got >= READ_SIZE);
        if filled && self.may_bulk && self.bulk.is_none() {
            self.bulk = Bulk::take();
        }
        read
    }

    fn count(&mut self, read: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        match &read {
            Poll::Ready(Ok(0)) | Poll::Ready(Err(_)) => self.ended = true,
            Poll::Ready(Ok(size)) => {
                self.flowing = *size >= IDLE_READ_SIZE;
                self.received += *size as u64;
            }
            Poll::Pending => {}
        }
        read
    }

    /// Writes `out` to its end and hands it to the network.
    pub(crate) fn poll_send(
        &mut self,
        cx: &mut Context<'_>,
        out: &mut impl Buf,
    ) -> Poll<io::Result<()>> {
        while out.has_remaining() {
            let written = std::task::ready!(Pin::new(&mut self.io).poll_write(cx, out.chunk()))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            out.advance(written);
            self.sent += written as u64;
        }
        Pin::new(&mut self.io).poll_flush(cx)
    }

    /// Ends our side: TLS `close_notify`, then FIN.
    pub(crate) fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
