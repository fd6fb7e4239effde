//! TLS towards clients: certificates, handshakes. HTTP is not known here.

pub(crate) mod accept;
pub(crate) mod keys;
pub(crate) mod server_config;
