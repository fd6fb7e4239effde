//! Byte streams and their addresses.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

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

/// The address of a peer without one.
pub(crate) const UNSPECIFIED: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);
