//! One connection to an upstream.

use std::io;
use std::task::Context;

use bytes::BytesMut;
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::client::TlsStream;

use crate::modules::proxy_ssl::Secured;
use crate::modules::upstream::Address;
use crate::wire::Wire;

/// A connection to a peer.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) wire: Wire<UpstreamStream>,
    pub(crate) address: Address,
    /// How it is secured; none in clear text.
    pub(crate) secured: Option<Secured>,
    /// Requests it has carried.
    pub(crate) requests: u64,
}

/// The kinds of stream an upstream is reached by.
#[derive(Debug)]
pub(crate) enum UpstreamStream {
    Tcp(TcpStream),
    Unix(UnixStream),
    Tls(Box<TlsStream<UpstreamStream>>),
}

impl Link {
    /// Connects to a peer.
    pub(crate) async fn connect(address: &Address, secured: Option<Secured>) -> io::Result<Self> {
        let mut stream = match address {
            Address::Tcp(address) => {
                let stream = TcpStream::connect(address).await?;
                stream.set_nodelay(true)?;
                UpstreamStream::Tcp(stream)
            }
            Address::Unix(path) => UpstreamStream::Unix(UnixStream::connect(path).await?),
        };
        if let Some(secured) = &secured {
            let tls = secured.connector.connect(&secured.name, stream).await?;
            stream = UpstreamStream::Tls(Box::new(tls));
        }
        let wire = Wire::new(stream, BytesMut::new());
        Ok(Self {
            wire,
            address: address.clone(),
            secured,
            requests: 0,
        })
    }

    /// Whether nothing has come on it while it was idle: neither its end nor
    /// bytes that nobody asked for.
    pub(crate) fn is_quiet(&mut self) -> bool {
        let mut cx = Context::from_waker(std::task::Waker::noop());
        self.wire.inbound.is_empty() && self.wire.poll_fill(&mut cx).is_pending()
    }
}

crate::either::stream_of!(UpstreamStream { Tcp, Unix, Tls });
