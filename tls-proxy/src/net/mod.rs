//! Byte streams, and the addresses they come from.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

pub(crate) mod buffered_stream;
pub(crate) mod cidr;
pub(crate) mod delegate_io;
pub(crate) mod prefixed;
pub(crate) mod proxy_protocol;
pub(crate) mod read_size;
pub(crate) mod socket_buffers;
pub(crate) mod tcp_info;

/// Says how much memory this thread's worker may use, bytes, if that is limited.
pub(crate) fn fit_into(memory: Option<u64>) {
    read_size::fit_into(memory);
    socket_buffers::fit_into(memory);
}

/// The address of a peer that has none.
pub(crate) const UNSPECIFIED: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);
