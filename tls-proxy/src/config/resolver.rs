//! Name servers for names that are resolved at run time, and what they have found.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// One line of `resolver`.
#[derive(Debug)]
pub(crate) struct Resolver {
    /// Name servers, queried in turn.
    pub servers: Vec<SocketAddr>,
    /// `valid=`: how long answers are cached, whatever their TTL.
    pub valid: Option<Duration>,
    pub(crate) ipv4: bool,
    pub(crate) ipv6: bool,
}

/// The addresses of a name, IPv4 before IPv6.
#[derive(Debug)]
pub(crate) struct FoundAddresses {
    pub(crate) all: Box<[IpAddr]>,
    pub(crate) port: u16,
}
