//! A client's byte stream, in clear text or under TLS.

use super::stream::TlsStream;
use crate::net::prefixed::Prefixed;

/// What HTTP is spoken over.
pub(crate) enum ClientStream {
    Plain(Prefixed),
    Tls(Box<TlsStream>),
}

impl ClientStream {
    /// What has come and cannot be read before more comes, bytes.
    pub(crate) fn unread(&self) -> usize {
        match self {
            Self::Plain(_) => 0,
            Self::Tls(stream) => stream.unread(),
        }
    }
}

crate::net::delegate_io::stream_of!(ClientStream { Plain, Tls });
