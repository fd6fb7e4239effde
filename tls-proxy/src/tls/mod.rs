//! TLS towards clients and upstreams: certificates, handshakes. HTTP is not
//! known here.

pub(crate) mod accept;
mod authorities;
mod certificate;
mod certificate_choice;
#[cfg(test)]
pub(crate) mod chain_properties;
mod cipher_list;
mod client_auth;
pub(crate) mod client_certificate;
pub(crate) mod client_stream;
pub(crate) mod connector;
mod crl;
mod der;
mod distinguished_name;
mod distribution_point;
mod encrypted_key;
mod extensions;
pub(crate) mod files;
mod general_name;
mod handshake;
mod handshake_failure;
mod hashes;
mod host_name;
pub(crate) mod keys;
pub(crate) mod lifetime;
mod name_constraints;
pub(crate) mod named_certificates;
mod names;
mod offers;
mod parameters;
mod pem;
mod record;
pub(crate) mod server_config;
mod sessions;
pub(crate) mod settings;
mod signature;
mod stapling;
pub(crate) mod stream;
mod subtree_match;
mod suites;
mod tickets;
mod time;
mod trust;
pub(crate) mod verify_error;
