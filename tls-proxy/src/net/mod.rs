//! Byte streams, and the addresses they come from.

pub(crate) mod buffered_stream;
pub(crate) mod cidr;
pub(crate) mod delegate_io;
pub(crate) mod proxy_protocol;
pub(crate) mod read_size;
pub(crate) mod socket_buffers;
