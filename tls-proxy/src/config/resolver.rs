//! Name servers for names that are resolved at run time, and what they have found.

use std::cell::Cell;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

/// One line of `resolver`.
#[derive(Debug)]
pub(crate) struct Resolver {
    pub(crate) servers: NameServers,
    /// `valid=`: how long answers are cached, whatever their TTL.
    pub valid: Option<Duration>,
    pub(crate) ipv4: bool,
    pub(crate) ipv6: bool,
}

/// Name servers, which all workers query.
#[derive(Debug, Default)]
pub(crate) struct NameServers {
    pub(crate) all: Vec<SocketAddr>,
    /// The index of the one that is queried first: one that does not respond must not delay each query.
    first: AtomicUsize,
    /// How often each has responded.
    responses: Vec<AtomicUsize>,
}

impl NameServers {
    pub(crate) fn new(all: Vec<SocketAddr>) -> Self {
        Self {
            first: AtomicUsize::new(0),
            responses: all.iter().map(|_| AtomicUsize::new(0)).collect(),
            all,
        }
    }
}

/// The order in which the queries of one lookup use name servers.
#[derive(Debug)]
pub(crate) struct Turns<'a> {
    pub(crate) servers: &'a NameServers,
    /// The first one of all lookups when this one began, and how often it had responded.
    of_all: usize,
    responses: usize,
    /// The first one of this lookup.
    first: Cell<usize>,
}

impl<'a> Turns<'a> {
    pub(crate) fn new(servers: &'a NameServers) -> Self {
        let first = servers.first.load(Relaxed);
        let responses = servers.responses.get(first);
        Self {
            servers,
            of_all: first,
            responses: responses.map_or(0, |own| own.load(Relaxed)),
            first: Cell::new(first),
        }
    }

    /// The indices of the servers for the next query.
    pub(crate) fn next(&self) -> impl Iterator<Item = usize> + use<> {
        let first = self.first.get();
        (first..self.servers.all.len()).chain(0..first)
    }

    /// This server has an error for the name. It may not have for others.
    pub(crate) fn failed(&self, server: usize) {
        self.servers.responses[server].fetch_add(1, Relaxed);
    }

    /// This server has responded: the lookup goes on with it. Later ones begin with it if the first one
    /// has not responded meanwhile, to this or any other lookup: it may be silent only about this name.
    pub(crate) fn responded(&self, server: usize) {
        let servers = self.servers;
        servers.responses[server].fetch_add(1, Relaxed);
        self.first.set(server);
        if servers.responses[self.of_all].load(Relaxed) == self.responses {
            let first = &servers.first;
            let _ = first.compare_exchange(self.of_all, server, Relaxed, Relaxed);
        }
    }
}

/// The addresses of a name, IPv4 before IPv6.
#[derive(Debug)]
pub(crate) struct FoundAddresses {
    pub(crate) all: Box<[IpAddr]>,
    pub(crate) port: u16,
}
