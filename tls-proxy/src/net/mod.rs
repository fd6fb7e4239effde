//! Byte streams, and the addresses they come from.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

pub(crate) mod buffered_stream;
pub(crate) mod cidr;
pub(crate) mod delegate_io;
pub(crate) mod prefixed;
pub(crate) mod proxy_protocol;
pub(crate) mod read_size;
pub(crate) mod socket_buffers;

/// The address of a peer that has none.
pub(crate) const UNSPECIFIED: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);
