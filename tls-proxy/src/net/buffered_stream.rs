//! A byte stream with a buffer of data that was read and not used yet.

use std::future::Future;
use std::io;
use std::mem::MaybeUninit;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};

use bytes::{Buf, BufMut as _, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};

use super::poll_write_all;
use super::read_size::{Bulk, BulkPermit};

/// Size of the first read of an idle connection, into the stack, bytes.
const IDLE_READ_SIZE: usize = 2048;

/// Spare buffer capacity that is kept during a wait, bytes.
const SLACK: usize = 1024;

/// The proxy's end of a connection.
#[derive(Debug)]
pub(crate) struct BufferedStream<S> {
    io: S,
    /// Read and not used yet.
    pub(crate) inbound: BytesMut,
    /// The peer has ended its side.
    pub(crate) ended: bool,
    /// The last read was large: a body is probably being transferred.
    flowing: bool,
    bulk: Bulk,
    /// Bytes read from the stream so far.
    pub(crate) received: u64,
    /// Bytes written to the stream so far.
    pub(crate) sent: u64,
}

impl<S> BufferedStream<S> {
    /// The underlying stream.
    pub(crate) fn stream(&self) -> &S {
        &self.io
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> BufferedStream<S> {
    /// A stream from which `inbound` was read before.
    pub(crate) fn new(io: S, inbound: BytesMut) -> Self {
        let received = inbound.len() as u64;
        Self {
            io,
            inbound,
            ended: false,
            flowing: false,
            bulk: Bulk::new(),
            received,
            sent: 0,
        }
    }

    /// Bytes that were read and used.
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
            // While it waits, it holds no buffer beyond the data received.
            if self.inbound.is_empty() {
                self.inbound = BytesMut::new();
                self.bulk.give_back();
            } else {
                self.give_back_spare();
            }
        }
        self.count(read)
    }

    /// Reads once, a small piece, into `inbound`, which is empty.
    pub(crate) fn poll_fill_small(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if self.ended {
            return Poll::Ready(Ok(0));
        }
        self.inbound = BytesMut::new();
        self.bulk.give_back();
        let read = self.poll_first(cx);
        self.count(read)
    }

    /// Shrinks the buffer to the data received. During a transfer of large pieces this
    /// copies only if the buffer is mostly empty.
    fn give_back_spare(&mut self) {
        let came = self.inbound.len();
        let spare = self.inbound.capacity() - came;
        if spare > SLACK && (!self.flowing || spare > came) {
            self.shrink();
            self.bulk.give_back();
        }
    }

    /// Reads a small piece through the stack, so that a waiting connection holds no buffer.
    fn poll_first(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let mut space = [const { MaybeUninit::uninit() }; IDLE_READ_SIZE];
        let mut space = ReadBuf::uninit(&mut space);
        std::task::ready!(Pin::new(&mut self.io).poll_read(cx, &mut space))?;
        self.inbound.extend_from_slice(space.filled());
        Poll::Ready(Ok(space.filled().len()))
    }

    /// Reads a large piece.
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let before = self.bulk.is_permitted();
        let size = self.bulk.size();
        if before && !self.bulk.is_permitted() {
            self.shrink();
        }
        self.inbound.reserve(size);
        // The buffer may have room for more.
        let mut room = (&mut self.inbound).limit(size);
        let read = pin!(self.io.read_buf(&mut room)).poll(cx);
        if let Poll::Ready(Ok(size)) = read {
            self.bulk.record(size);
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

    /// After the end of a body, frees the memory reserved for more of it. If its last piece was
    /// read in bulk, returns the permission, to be kept as long as the piece.
    pub(crate) fn rest(&mut self) -> Option<BulkPermit> {
        let permit = self.bulk.give_back();
        if permit.is_some() {
            self.shrink();
        }
        permit
    }

    /// Moves what is left in the buffer to one of its size: a buffer of bulk reads is not counted
    /// without their permission.
    fn shrink(&mut self) {
        self.inbound = BytesMut::from(&self.inbound[..]);
    }

    /// What is read next is kept and not passed on at once: it is not read in bulk.
    pub(crate) fn read_small(&mut self) {
        self.rest();
        self.bulk.restart();
    }

    /// Writes all of `out` and flushes. Several slices are written together if the stream
    /// can do that.
    pub(crate) fn poll_send(
        &mut self,
        cx: &mut Context<'_>,
        out: &mut impl Buf,
    ) -> Poll<io::Result<()>> {
        let before = out.remaining();
        let written = poll_write_all(&mut self.io, cx, out);
        self.sent += (before - out.remaining()) as u64;
        ready!(written)?;
        Pin::new(&mut self.io).poll_flush(cx)
    }

    /// Shuts down the sending side: TLS `close_notify`, then FIN.
    pub(crate) fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test panics")]
mod tests {
    use std::future::poll_fn;

    use tokio::io::AsyncWriteExt as _;

    use super::*;
    use crate::net::read_size::{BULK_SIZE, READ_SIZE};
    use crate::time::cached_time;

    /// A stream with more to read than requested, and the size of a bulk read.
    async fn read_twice() -> (BufferedStream<tokio::io::DuplexStream>, usize) {
        let (mut far, near) = tokio::io::duplex(4 * BULK_SIZE);
        far.write_all(&vec![b'x'; 2 * BULK_SIZE]).await.unwrap();
        let mut wire = BufferedStream::new(near, BytesMut::with_capacity(IDLE_READ_SIZE));
        cached_time::scope(Box::pin(async {
            poll_fn(|cx| wire.poll_fill(cx)).await.unwrap();
            drop(wire.inbound.split());
            let size = poll_fn(|cx| wire.poll_fill(cx)).await.unwrap();
            drop(wire.inbound.split());
            (wire, size)
        }))
        .await
    }

    #[tokio::test]
    async fn what_waits_for_its_rest_holds_little_more_than_has_come() {
        let (mut far, near) = tokio::io::duplex(BULK_SIZE);
        far.write_all(&[b'x'; 3000]).await.unwrap();
        let mut wire = BufferedStream::new(near, BytesMut::new());
        let read_all = poll_fn(|cx| {
            while wire.poll_fill(cx).is_ready() {}
            Poll::Ready(())
        });
        cached_time::scope(Box::pin(read_all)).await;
        assert_eq!(wire.inbound.len(), 3000);
        assert!(wire.inbound.capacity() <= 3000 + SLACK);
    }

    #[tokio::test]
    async fn what_is_kept_is_not_read_in_bulk() {
        let (mut far, near) = tokio::io::duplex(4 * BULK_SIZE);
        far.write_all(&vec![b'x'; 2 * BULK_SIZE]).await.unwrap();
        let mut wire = BufferedStream::new(near, BytesMut::with_capacity(IDLE_READ_SIZE));
        let read = poll_fn(|cx| {
            for _ in 0..4 {
                wire.read_small();
                assert!(wire.poll_fill(cx).is_ready());
            }
            Poll::Ready(())
        });
        cached_time::scope(Box::pin(read)).await;
        assert!(wire.inbound.len() < BULK_SIZE);
    }

    #[tokio::test]
    async fn the_buffer_of_bulk_reads_is_not_kept_without_their_permission() {
        let (mut far, near) = tokio::io::duplex(4 * BULK_SIZE);
        far.write_all(&vec![b'x'; 3 * BULK_SIZE]).await.unwrap();
        let mut wire = BufferedStream::new(near, BytesMut::with_capacity(IDLE_READ_SIZE));
        let read = cached_time::scope(Box::pin(async {
            let mut sizes = Vec::new();
            for _ in 0..2 {
                sizes.push(poll_fn(|cx| wire.poll_fill(cx)).await.unwrap());
                drop(wire.inbound.split());
            }
            // Its task is woken again: what was read has waited for its reader.
            tokio::task::yield_now().await;
            sizes.push(poll_fn(|cx| wire.poll_fill(cx)).await.unwrap());
            sizes
        }))
        .await;
        assert_eq!(read, [READ_SIZE, BULK_SIZE, READ_SIZE]);
        assert_eq!(wire.inbound.capacity(), READ_SIZE);
    }

    #[tokio::test]
    async fn what_follows_a_body_is_kept_in_a_buffer_of_its_size() {
        let (mut far, near) = tokio::io::duplex(4 * BULK_SIZE);
        far.write_all(&vec![b'x'; 2 * BULK_SIZE]).await.unwrap();
        let mut wire = BufferedStream::new(near, BytesMut::with_capacity(IDLE_READ_SIZE));
        cached_time::scope(Box::pin(async {
            for _ in 0..2 {
                poll_fn(|cx| wire.poll_fill(cx)).await.unwrap();
                drop(wire.inbound.split_to(wire.inbound.len() - 100));
            }
        }))
        .await;
        wire.rest();
        wire.inbound.reserve(READ_SIZE);
        assert!(wire.inbound.capacity() < 2 * READ_SIZE);
    }

    #[tokio::test]
    async fn who_waits_for_the_rest_of_a_line_keeps_neither_buffer_nor_permission() {
        let (mut far, near) = tokio::io::duplex(4 * BULK_SIZE);
        far.write_all(&vec![b'x'; READ_SIZE + BULK_SIZE])
            .await
            .unwrap();
        let mut wire = BufferedStream::new(near, BytesMut::with_capacity(IDLE_READ_SIZE));
        let read = poll_fn(|cx| {
            while wire.poll_fill(cx).is_ready() {
                drop(wire.inbound.split_to(wire.inbound.len() - 5));
            }
            Poll::Ready(())
        });
        cached_time::scope(Box::pin(read)).await;
        assert!(wire.inbound.capacity() <= SLACK, "{:?}", wire.inbound);
        assert!(!wire.bulk.is_permitted());
    }

    #[tokio::test]
    async fn a_body_is_read_in_bulk_until_its_end() {
        let (mut wire, size) = read_twice().await;
        assert_eq!(size, BULK_SIZE);
        wire.rest();
        assert_eq!(wire.inbound.capacity(), 0);
        // Its permission has been released for others.
        let others = [read_twice().await, read_twice().await];
        assert_eq!(others.map(|(_, size)| size), [BULK_SIZE; 2]);
    }
}
