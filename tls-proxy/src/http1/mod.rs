//! HTTP/1 on the wire (RFC 9112): heads in, bodies in, chunks out.
//!
//! This is nginx's grammar, not the RFC's most lenient one: what nginx refuses
//! is refused here, because a proxy that forwards a head in another shape than
//! it understood it is open to request smuggling. Nothing here knows of
//! configuration or of sockets; every function turns bytes into values.

pub(crate) mod body;
pub(crate) mod chunked;
pub(crate) mod outgoing;
pub(crate) mod request_head;
mod request_line;
pub(crate) mod response_head;
