//! One connection to an upstream.

use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Instant;

use bytes::BytesMut;
use tokio::net::{TcpSocket, TcpStream, UnixStream};

use super::balance::Lease;
use crate::admission::{Permit, UPSTREAM_TLS};
use crate::config::LocationId;
use crate::config::group::PeerAddress;
use crate::net::buffered_stream::BufferedStream;
use crate::net::socket_buffers;
use crate::time::cached_time;
use crate::tls::connector::Secured;
use crate::tls::upstream_stream::{HandshakeMemory, UpstreamTls};

/// A connection to a peer.
#[derive(Debug)]
pub(crate) struct UpstreamConnection {
    pub(crate) wire: BufferedStream<UpstreamStream>,
    pub(crate) address: PeerAddress,
    /// Its TLS parameters; `None` without TLS.
    pub(crate) secured: Option<Secured>,
    /// Memory for TLS while it is idle, bytes, without `certificates`.
    pub(crate) tls_memory: u64,
    /// The permit for many certificates of the peer.
    #[expect(dead_code, reason = "held for its drop")]
    certificates: Option<Permit>,
    /// Requests sent on it.
    pub(crate) requests: u64,
    /// The location it was opened for.
    pub(crate) location: LocationId,
    pub(crate) born: Instant,
    /// Counts it as one of its peer's connections while it is in use.
    pub(crate) lease: Option<Rc<Lease>>,
}

/// Options of the local end.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Outgoing {
    /// `proxy_bind`.
    pub(crate) bind: Option<SocketAddr>,
    /// `proxy_socket_keepalive`.
    pub(crate) keepalive: bool,
}

impl Outgoing {
    async fn connect(self, address: SocketAddr) -> io::Result<TcpStream> {
        let socket = if address.is_ipv4() {
            TcpSocket::new_v4()?
        } else {
            TcpSocket::new_v6()?
        };
        socket_buffers::bound(&socket);
        if self.keepalive {
            socket.set_keepalive(true)?;
        }
        let own = self.bind;
        if let Some(own) = own.filter(|own| own.is_ipv4() == address.is_ipv4()) {
            socket.set_reuseaddr(true)?;
            socket.bind(own)?;
        }
        socket.connect(address).await
    }
}

/// The kinds of stream to an upstream.
#[derive(Debug)]
pub(crate) enum UpstreamStream {
    Tcp(TcpStream),
    Unix(UnixStream),
    Tls(Box<UpstreamTls<UpstreamStream>>),
}

impl UpstreamStream {
    /// Ready when there may be something to read, or the upstream has closed. Nothing is read.
    pub(crate) fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<()> {
        match self {
            Self::Tcp(stream) => stream.poll_read_ready(cx).map(|_| ()),
            Self::Unix(stream) => stream.poll_read_ready(cx).map(|_| ()),
            Self::Tls(stream) => match stream.has_read() {
                true => Poll::Ready(()),
                false => stream.below().poll_readable(cx),
            },
        }
    }
}

impl UpstreamConnection {
    /// Connects to a peer. Boxed: each request moves it from the pool and back.
    pub(crate) async fn connect(
        address: &PeerAddress,
        secured: Option<Secured>,
        location: LocationId,
        outgoing: Outgoing,
        memory: HandshakeMemory<'_>,
    ) -> io::Result<Box<Self>> {
        let (mut tls_memory, mut certificates) = (0, None);
        let mut stream = match address {
            PeerAddress::Tcp(address) => {
                let stream = outgoing.connect(*address).await?;
                stream.set_nodelay(true)?;
                UpstreamStream::Tcp(stream)
            }
            PeerAddress::Unix(path) => UpstreamStream::Unix(UnixStream::connect(path).await?),
        };
        if let Some(secured) = &secured {
            let (tls, many) = secured
                .connector
                .connect(&secured.name, secured.own.as_ref(), stream, memory)
                .await?;
            let few = many.is_none().then(|| tls.size_of_certificates());
            tls_memory = UPSTREAM_TLS + few.unwrap_or(0) as u64;
            certificates = many;
            stream = UpstreamStream::Tls(Box::new(tls));
        }
        let wire = BufferedStream::new(stream, BytesMut::new());
        Ok(Box::new(Self {
            wire,
            address: address.clone(),
            secured,
            tls_memory,
            certificates,
            requests: 0,
            location,
            born: cached_time::now(),
            lease: None,
        }))
    }

    /// Whether nothing was received while it was idle: neither its end nor unexpected
    /// bytes.
    pub(crate) fn is_quiet(&mut self) -> bool {
        let mut cx = Context::from_waker(std::task::Waker::noop());
        self.wire.inbound.is_empty() && self.wire.poll_fill(&mut cx).is_pending()
    }
}

crate::net::delegate_io::stream_of!(UpstreamStream { Tcp, Unix, Tls });
