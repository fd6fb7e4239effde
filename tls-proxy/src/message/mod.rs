//! What a message of HTTP says, whichever version carries it (RFC 9110).
//!
//! HTTP/1 and HTTP/2 differ in how bytes become a head; what a head may say is
//! decided here, once. Nothing here knows of configuration or of sockets.

pub(crate) mod base64;
pub(crate) mod fields;
pub(crate) mod head;
pub(crate) mod host;
pub(crate) mod internal_path;
pub(crate) mod rules;
pub(crate) mod status;
pub(crate) mod target;
