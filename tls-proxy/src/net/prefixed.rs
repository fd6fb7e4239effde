//! A socket whose first bytes have been inspected.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, BytesMut};
use tokio::io::{AsyncRead, ReadBuf};
use tokio::net::TcpStream;

/// A socket whose first bytes have been inspected; they are read again.
#[derive(Debug)]
pub(crate) struct Prefixed {
    pub(crate) seen: BytesMut,
    pub(crate) socket: TcpStream,
}

impl Prefixed {
    /// Reads available data and keeps it in `seen`; 0 at the end of the stream.
    pub(crate) async fn peek(&mut self) -> io::Result<usize> {
        poll_fn(|cx| {
            let mut space = [0; 2048];
            let mut space = ReadBuf::new(&mut space);
            ready!(Pin::new(&mut self.socket).poll_read(cx, &mut space))?;
            self.seen.extend_from_slice(space.filled());
            Poll::Ready(Ok(space.filled().len()))
        })
        .await
    }
}

impl AsyncRead for Prefixed {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.seen.is_empty() {
            return Pin::new(&mut self.socket).poll_read(cx, buffer);
        }
        let size = self.seen.len().min(buffer.remaining());
        buffer.put_slice(&self.seen[..size]);
        self.seen.advance(size);
        if self.seen.is_empty() {
            self.seen = BytesMut::new();
        }
        Poll::Ready(Ok(()))
    }
}

crate::net::delegate_io::writes_to!(Prefixed, socket);
