//! Who is asked for names that only a request knows.

use std::net::SocketAddr;
use std::time::Duration;

use super::Kind;

/// One line of `resolver`.
#[derive(Debug)]
pub(crate) struct Resolver {
    /// Name servers, asked in turn.
    pub servers: Vec<SocketAddr>,
    /// `valid=`: for how long answers hold, whatever they say themselves.
    pub valid: Option<Duration>,
    pub(crate) ipv4: bool,
    pub(crate) ipv6: bool,
}

impl Resolver {
    /// The kinds of address that are asked for.
    pub(crate) fn kinds(&self) -> &'static [Kind] {
        match (self.ipv4, self.ipv6) {
            (true, true) => &[Kind::A, Kind::Aaaa],
            (true, false) => &[Kind::A],
            (false, _) => &[Kind::Aaaa],
        }
    }
}
