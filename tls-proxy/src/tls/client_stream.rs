//! A client's byte stream, with or without TLS.

use std::io;
use std::task::{Context, Poll};

use tokio::io::{Interest, ReadBuf};

use super::stream::TlsStream;
use crate::net::prefixed::Prefixed;

/// The stream below HTTP.
pub(crate) enum ClientStream {
    Plain(Prefixed),
    Tls(Box<TlsStream>),
}

impl ClientStream {
    pub(crate) fn is_tls(&self) -> bool {
        matches!(self, Self::Tls(_))
    }

    /// Received bytes of an incomplete TLS record.
    pub(crate) fn unread(&self) -> usize {
        match self {
            Self::Plain(_) => 0,
            Self::Tls(stream) => stream.unread(),
        }
    }

    /// Ready when there is something to read, or the client has closed its side (`false`). Nothing is
    /// read.
    pub(crate) fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        let (socket, has_read) = match self {
            Self::Plain(stream) => (&stream.socket, !stream.seen.is_empty()),
            Self::Tls(stream) if stream.has_read_end() => return Poll::Ready(Ok(false)),
            Self::Tls(stream) => (stream.socket(), stream.has_read()),
        };
        if has_read {
            return Poll::Ready(Ok(true));
        }
        let mut space = [0];
        let peeked = socket.poll_peek(cx, &mut ReadBuf::new(&mut space));
        peeked.map_ok(|size| size > 0)
    }

    /// Whether the client has closed its side, even if data before that is not read yet.
    pub(crate) fn has_hung_up(&self) -> bool {
        let socket = match self {
            Self::Plain(stream) => &stream.socket,
            Self::Tls(stream) => stream.socket(),
        };
        // `PRIORITY` readiness is urgent data, and the end of the stream.
        socket.try_io(Interest::PRIORITY, || Ok(())).is_ok()
    }
}

crate::net::delegate_io::stream_of!(ClientStream { Plain, Tls });
