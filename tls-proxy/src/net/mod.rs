//! Byte streams and their addresses.

use std::io;
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

/// Writes all of `out`; what has been written is taken off it, even while it is pending.
///
/// # Errors
/// That of the stream, or `WriteZero` if it accepts no more.
pub(crate) fn poll_write_all(
    stream: &mut (impl AsyncWrite + Unpin),
    cx: &mut Context<'_>,
    out: &mut impl Buf,
) -> Poll<io::Result<()>> {
    while out.has_remaining() {
        let written = ready!(Pin::new(&mut *stream).poll_write(cx, out.chunk()))?;
        if written == 0 {
            return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
        }
        out.advance(written);
    }
    Poll::Ready(Ok(()))
}

/// The address of a peer without one.
pub(crate) const UNSPECIFIED: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);
