//! HTTP messages, whatever the version (RFC 9110).
//!
//! HTTP/1 and HTTP/2 differ in how bytes become a head; the rules for a head are here, for
//! both. There is no configuration and no socket here.

pub(crate) mod base64;
pub(crate) mod fields;
pub(crate) mod head;
pub(crate) mod host;
pub(crate) mod internal_path;
pub(crate) mod rules;
pub(crate) mod status;
pub(crate) mod target;
