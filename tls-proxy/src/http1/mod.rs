//! HTTP/1 on the wire (RFC 9112): parses heads and bodies, writes chunks.
//!
//! This is nginx's grammar, not the most lenient one of the RFC: what nginx rejects is
//! rejected here, because a proxy that forwards a head in another form than it understood
//! is open to request smuggling. There is no configuration and no socket here; every
//! function turns bytes into values.

pub(crate) mod body;
pub(crate) mod chunked;
mod field_lines;
pub(crate) mod outgoing;
pub(crate) mod request_head;
pub(crate) mod request_line;
pub(crate) mod response_head;
