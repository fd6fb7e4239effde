//! Byte streams and their addresses.

use std::io::{self, IoSlice};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Buf;
use tokio::io::AsyncWrite;

pub(crate) mod buffered_stream;
pub(crate) mod cidr;
pub(crate) mod delegate_io;
pub(crate) mod prefixed;
pub(crate) mod proxy_protocol;
pub(crate) mod read_size;
pub(crate) mod socket_buffers;
pub(crate) mod tcp_info;

/// Sets the memory limit of this thread's worker, bytes; `None` if there is none.
pub(crate) fn set_memory_limit(memory: Option<u64>) {
    read_size::set_memory_limit(memory);
    socket_buffers::set_memory_limit(memory);
}

/// Slices that are written together: a head, a chunk's size line, its data and its end.
const MAX_SLICES: usize = 4;

/// Writes all of `out`; what has been written is taken off it, even while it is pending.
/// Several slices are written together if the stream can do that.
///
/// # Errors
/// That of the stream, or `WriteZero` if it accepts no more.
pub(crate) fn poll_write_all(
    stream: &mut (impl AsyncWrite + Unpin),
    cx: &mut Context<'_>,
    out: &mut impl Buf,
) -> Poll<io::Result<()>> {
    while out.has_remaining() {
        let stream = Pin::new(&mut *stream);
        let mut slices = [IoSlice::new(&[]); MAX_SLICES];
        let count = match stream.is_write_vectored() {
            true => out.chunks_vectored(&mut slices),
            false => 1,
        };
        let written = match count {
            0 | 1 => stream.poll_write(cx, out.chunk()),
            _ => stream.poll_write_vectored(cx, &slices[..count]),
        };
        let written = ready!(written)?;
        if written == 0 {
            return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
        }
        out.advance(written);
    }
    Poll::Ready(Ok(()))
}

/// The address of a peer without one.
pub(crate) const UNSPECIFIED: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);
