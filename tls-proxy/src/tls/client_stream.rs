//! A client's byte stream, with or without TLS.

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
}

crate::net::delegate_io::stream_of!(ClientStream { Plain, Tls });
