//! Name servers for names that are resolved at run time.

use std::net::SocketAddr;
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
