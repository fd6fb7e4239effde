//! The addresses that a server listens on.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use crate::conf::Position;

/// An address to listen on.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Endpoint {
    /// TCP.
    Tcp(SocketAddr),
    /// A UNIX socket.
    Unix(Arc<Path>),
}

impl Endpoint {
    /// Its path, where it is a UNIX socket.
    pub(crate) fn path(&self) -> Option<&Path> {
        match self {
            Self::Tcp(_) => None,
            Self::Unix(path) => Some(path),
        }
    }

    /// The wildcard address of its port and family; `None` for one and for a UNIX socket.
    pub(crate) fn wildcard(&self) -> Option<Self> {
        let (ip, port) = match self {
            Self::Tcp(address) => (address.ip(), address.port()),
            Self::Unix(_) => return None,
        };
        let wildcard: IpAddr = match ip {
            IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
            IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
        };
        (ip != wildcard).then(|| Self::Tcp(SocketAddr::new(wildcard, port)))
    }

    /// Whether its host is `ip`.
    pub(crate) fn is_at(&self, ip: IpAddr) -> bool {
        matches!(self, Self::Tcp(address) if address.ip() == ip)
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => write!(out, "{address}"),
            Self::Unix(path) => write!(out, "unix:{}", path.display()),
        }
    }
}

/// One `listen` line.
#[derive(Clone, Debug)]
pub struct Listen {
    /// Address and port, or a UNIX socket.
    pub address: Endpoint,
    /// `default_server`.
    pub default_server: bool,
    /// `ssl`.
    pub ssl: bool,
    /// `http2`.
    pub http2: bool,
    /// `proxy_protocol`.
    pub proxy_protocol: bool,
    /// `backlog=`, connections.
    pub backlog: Option<u32>,
    /// `ipv6only=`.
    pub ipv6_only: bool,
    /// It has socket options (`backlog=`, `reuseport`), which one line of an address may have.
    pub makes_socket: bool,
    /// Where the line stands.
    pub at: Position,
}

impl Listen {
    /// A line without options.
    pub(crate) fn new(address: Endpoint, at: Position) -> Self {
        Self {
            address,
            default_server: false,
            ssl: false,
            http2: false,
            proxy_protocol: false,
            backlog: None,
            ipv6_only: true,
            makes_socket: false,
            at,
        }
    }
}
