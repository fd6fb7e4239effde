//! A client's byte stream, with or without TLS.

use tokio::io::Interest;

use super::stream::TlsStream;
use crate::net::prefixed::Prefixed;

/// The stream below HTTP.
pub(crate) enum ClientStream {
    Plain(Prefixed),
    Tls(Box<TlsStream>),
}

impl ClientStream {
    /// Received bytes of an incomplete TLS record.
    pub(crate) fn unread(&self) -> usize {
        match self {
            Self::Plain(_) => 0,
            Self::Tls(stream) => stream.unread(),
        }
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
