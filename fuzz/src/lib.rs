//! tls-proxy's parsers, compiled from its files, and their properties. The targets call
//! these functions.

// Each is a part of a program that uses all of it.
#![allow(dead_code, unused_imports)]

#[path = "../../tls-proxy/src/http1/mod.rs"]
mod http1;
#[path = "../../tls-proxy/src/http2/mod.rs"]
mod http2;
#[path = "../../tls-proxy/src/message/mod.rs"]
mod message;
#[path = "../../tls-proxy/src/properties.rs"]
mod properties;

#[path = "../../tls-proxy/src/net"]
mod net {
    pub(crate) mod cidr;
    pub(crate) mod proxy_protocol;
}

#[path = "../../tls-proxy/src/upstream"]
mod upstream {
    #[path = "dns"]
    pub(crate) mod dns {
        pub(crate) mod message;
    }
}

#[path = "../../tls-proxy/src/tls"]
mod tls {
    mod certificate;
    pub(crate) mod chain_properties;
    mod crl;
    mod der;
    mod distinguished_name;
    mod distribution_point;
    mod extensions;
    mod general_name;
    mod name_constraints;
    mod signature;
    mod subtree_match;
    mod time;
    mod trust;
    mod verify_error;
}

/// How errors print bytes; the program's own function is part of its log.
mod log {
    pub(crate) mod level {
        pub(crate) fn shown(bytes: &[u8]) -> String {
            bytes.escape_ascii().to_string()
        }
    }
}

use tls_proxy::{cli, conf, load};

/// See `chain_properties::chain`.
pub fn chain(data: &[u8]) {
    properties::chain(data);
}

/// See `properties::chunked`.
pub fn chunked(data: &[u8]) {
    properties::chunked(data);
}

/// See `properties::configuration`.
pub fn configuration(data: &[u8]) {
    properties::configuration(data);
}

/// See `properties::http2_request`.
pub fn http2_request(data: &[u8]) {
    properties::http2_request(data);
}

/// See `properties::dns`.
pub fn dns(data: &[u8]) {
    properties::dns(data);
}

/// See `chain_properties::constraints`.
pub fn constraints(data: &[u8]) {
    properties::constraints(data);
}

/// See `properties::proxy_header`.
pub fn proxy_header(data: &[u8]) {
    properties::proxy_header(data);
}

/// See `properties::meaning`.
pub fn meaning(data: &[u8]) {
    properties::meaning(data);
}

/// See `properties::request`.
pub fn request(data: &[u8]) {
    properties::request(data);
}

/// See `properties::response`.
pub fn response(data: &[u8]) {
    properties::response(data);
}

/// See `properties::target`.
pub fn target(data: &[u8]) {
    properties::target(data);
}
