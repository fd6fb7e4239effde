//! Groups of servers that a request may go to, and those whose servers are found while
//! the program runs (`server … resolve`).

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering::{Acquire, Release};
use std::sync::atomic::{AtomicI64, AtomicU32, AtomicU64, AtomicUsize};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::method::{Method, Ring};
use super::resolver::{FoundAddresses, Resolver};

/// The address of a peer.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum PeerAddress {
    /// TCP.
    Tcp(SocketAddr),
    /// A UNIX socket.
    Unix(PathBuf),
}

impl std::fmt::Display for PeerAddress {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Tcp(address) => write!(out, "{address}"),
            Self::Unix(path) => write!(out, "unix:{}", path.display()),
        }
    }
}

/// One server of a group.
#[derive(Clone, Debug)]
pub struct Peer {
    /// Its address.
    pub address: PeerAddress,
    /// As the configuration writes it.
    pub server: Arc<str>,
    /// `weight=`.
    pub weight: u32,
    /// `max_fails=`; zero never marks it as failed.
    pub max_fails: u32,
    /// `fail_timeout=`: the time in which failures count, and for which the peer is then avoided.
    pub fail_timeout: Duration,
    /// `max_conns=`: requests at once, of all workers; zero is no limit.
    pub max_conns: usize,
    /// `backup`.
    pub backup: bool,
    /// `down`.
    pub down: bool,
    /// The index of its `server` line in the group.
    pub(crate) line: usize,
    /// Its state, shared by all workers.
    pub(crate) account: Arc<Account>,
}

/// The state of a peer, shared by all workers without a lock: a value read may be slightly out of
/// date, but no update is lost.
#[derive(Debug, Default)]
pub(crate) struct Account {
    /// Its current weight in smooth weighted round robin.
    pub(crate) current: AtomicI64,
    /// By how much failures have lowered its weight.
    pub(crate) lowered: AtomicI64,
    pub(crate) fails: AtomicU32,
    /// When it failed last, and when it was last given another chance: milliseconds of
    /// the process, 0 for never.
    pub(crate) failed: AtomicU64,
    pub(crate) checked: AtomicU64,
    /// Requests in flight.
    pub(crate) active: AtomicUsize,
}

/// A group of peers.
#[derive(Debug)]
pub struct Upstream {
    /// The name `proxy_pass` calls it by.
    pub name: String,
    /// Host and port if the group stems from an address in `proxy_pass`, not from an `upstream`
    /// block.
    pub address: Option<(String, u16)>,
    /// Its servers, in order.
    pub peers: Vec<Peer>,
    /// `keepalive`: idle connections a worker keeps.
    pub keepalive: usize,
    /// `keepalive_timeout`.
    pub keepalive_timeout: Duration,
    /// `keepalive_requests`.
    pub keepalive_requests: u64,
    /// `keepalive_time`: a connection's whole life.
    pub keepalive_time: Duration,
    /// `keepalive … local`: each location has its own.
    pub keepalive_local: bool,
    /// How a server is chosen.
    pub method: Method,
    /// Addresses that a name of a request has, instead of `peers`: there may be many of them, and
    /// they have no state.
    pub(crate) found: Option<FoundAddresses>,
    /// Members resolved at run time; `peers` are those with a literal address.
    pub(crate) members: Option<Arc<Members>>,
    /// The identity of such a group across generations: idle connections belong to it.
    pub(crate) identity: Option<Arc<()>>,
}

impl Default for Upstream {
    fn default() -> Self {
        Self {
            name: String::new(),
            address: None,
            peers: Vec::new(),
            keepalive: 32,
            keepalive_timeout: Duration::from_secs(60),
            keepalive_requests: 1000,
            keepalive_time: Duration::from_secs(3600),
            keepalive_local: true,
            method: Method::RoundRobin,
            found: None,
            members: None,
            identity: None,
        }
    }
}

impl Upstream {
    /// How many of its servers a request may be sent to.
    pub(crate) fn tries(&self) -> usize {
        self.size() - self.peers.iter().filter(|peer| peer.down).count()
    }

    /// How many servers it has.
    pub(crate) fn size(&self) -> usize {
        match &self.found {
            Some(found) => found.all.len(),
            None => self.peers.len(),
        }
    }

    /// The address of one of them.
    pub(crate) fn address_of(&self, server: usize) -> PeerAddress {
        match &self.found {
            Some(found) => PeerAddress::Tcp(SocketAddr::new(found.all[server], found.port)),
            None => self.peers[server].address.clone(),
        }
    }

    /// The same group with other servers.
    fn with_peers(&self, peers: Vec<Peer>) -> Self {
        let method = match &self.method {
            Method::Consistent(key, _) => Method::Consistent(key.clone(), Ring::new(&peers)),
            other => other.clone(),
        };
        Self {
            name: self.name.clone(),
            address: self.address.clone(),
            identity: self.identity.clone(),
            peers,
            method,
            found: None,
            members: None,
            ..*self
        }
    }

    /// The group that an address written in `proxy_pass` stands for.
    pub(crate) fn of_address(name: &str, addresses: Vec<PeerAddress>) -> Self {
        Self {
            name: name.to_owned(),
            peers: addresses.into_iter().map(Peer::at).collect(),
            // As in nginx: only an `upstream` block keeps idle connections.
            keepalive: 0,
            ..Self::default()
        }
    }
}

impl Peer {
    /// A peer with nginx's defaults.
    pub(crate) fn at(address: PeerAddress) -> Self {
        Self {
            server: address.to_string().into(),
            address,
            weight: 1,
            max_fails: 1,
            fail_timeout: Duration::from_secs(10),
            max_conns: 0,
            backup: false,
            down: false,
            line: 0,
            account: Arc::default(),
        }
    }

    /// Another server of the same line.
    pub(crate) fn elsewhere(&self, address: PeerAddress) -> Self {
        Self {
            address,
            account: Arc::default(),
            ..self.clone()
        }
    }

    /// A peer without a real address, for tests in which only its name matters.
    #[cfg(test)]
    pub(crate) fn at_server(server: &str) -> Self {
        Self {
            server: server.into(),
            ..Self::at(PeerAddress::Unix(PathBuf::new()))
        }
    }
}

/// The name of a `server … resolve` line, which is resolved again and again.
#[derive(Clone, Debug)]
pub(crate) struct Named {
    /// The name to resolve.
    pub(crate) name: String,
    /// The port of every address; `None` if SRV records give it (`service=`).
    pub(crate) port: Option<u16>,
    /// The parameters of the line, for each of its servers.
    like: Peer,
}

/// One server that such a name resolves to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ResolvedServer {
    address: SocketAddr,
    weight: u32,
    backup: bool,
}

/// The resolved members of a group. All workers share it.
#[derive(Debug)]
pub(crate) struct Members {
    pub(crate) names: Vec<Named>,
    pub(crate) resolver: Arc<Resolver>,
    /// `resolver_timeout`.
    pub(crate) timeout: Duration,
    /// Rises with every change, so that a worker notices one without a lock.
    generation: AtomicU64,
    current: Mutex<Arc<Upstream>>,
}

impl ResolvedServer {
    /// Whether a peer is this server.
    fn is(&self, peer: &Peer) -> bool {
        peer.address == PeerAddress::Tcp(self.address)
            && (peer.weight, peer.backup) == (self.weight, self.backup)
    }
}

impl Named {
    /// A line; `like` holds its other parameters.
    pub(crate) fn new(name: &str, port: Option<u16>, like: Peer) -> Self {
        Self {
            name: name.to_owned(),
            port,
            like,
        }
    }

    /// Whether its servers are backups.
    pub(crate) fn is_backup(&self) -> bool {
        self.like.backup
    }

    /// One of its servers, with fresh state.
    fn peer(&self, server: &ResolvedServer) -> Peer {
        Peer {
            weight: server.weight,
            backup: server.backup,
            ..self.like.elsewhere(PeerAddress::Tcp(server.address))
        }
    }

    /// A server with the line's own parameters.
    pub(crate) fn server(&self, address: SocketAddr) -> ResolvedServer {
        ResolvedServer {
            address,
            weight: self.like.weight,
            backup: self.like.backup,
        }
    }

    /// A server from an SRV record: those of the lowest priority value are primary, the others
    /// backups; a line that is a backup itself takes those of the lowest priority value alone. The
    /// line's own weight overrides the record's.
    pub(crate) fn server_of_service(
        &self,
        address: SocketAddr,
        weight: u16,
        is_first: bool,
    ) -> Option<ResolvedServer> {
        let weight = match self.like.weight {
            1 => u32::from(weight.max(1)),
            own => own,
        };
        let backup = self.like.backup || !is_first;
        (is_first || !self.like.backup).then_some(ResolvedServer {
            address,
            weight,
            backup,
        })
    }
}

impl Members {
    /// The members of `group`, which has the servers with literal addresses.
    pub(crate) fn new(
        names: Vec<Named>,
        resolver: Arc<Resolver>,
        timeout: Duration,
        group: &Upstream,
    ) -> Self {
        Self {
            names,
            resolver,
            timeout,
            generation: AtomicU64::new(0),
            current: Mutex::new(Arc::new(group.with_peers(group.peers.clone()))),
        }
    }

    /// A number that changes with every update.
    pub(crate) fn generation(&self) -> u64 {
        self.generation.load(Acquire)
    }

    /// The group with its current servers. Takes the lock: call it only when the generation has
    /// changed.
    pub(crate) fn current(&self) -> Arc<Upstream> {
        self.lock().clone()
    }

    /// Replaces the servers of a name. Those that stay keep their state.
    pub(crate) fn update(&self, named: &Named, mut found: Vec<ResolvedServer>) {
        let mut current = self.lock();
        found.sort_unstable_by_key(|server| (server.backup, server.address));
        let all = current.peers.iter();
        let (mut own, mut peers): (Vec<&Peer>, Vec<&Peer>) =
            all.partition(|peer| peer.line == named.like.line);
        let (mut fresh, mut is_new) = (Vec::new(), false);
        for server in &found {
            // Two equal records are two servers.
            match own.iter().position(|peer| server.is(peer)) {
                Some(known) => fresh.push(own.swap_remove(known).clone()),
                None => {
                    is_new = true;
                    fresh.push(named.peer(server));
                }
            }
        }
        if !is_new && own.is_empty() {
            return;
        }
        peers.extend(&fresh);
        peers.sort_by_key(|peer| peer.line);
        let next = Arc::new(current.with_peers(peers.into_iter().cloned().collect()));
        *current = next;
        self.generation.fetch_add(1, Release);
    }

    /// Takes over what an earlier configuration has resolved for the same names.
    pub(crate) fn adopt(&self, old: &Self) {
        let before = old.current();
        for named in &self.names {
            let mut same = old.names.iter();
            let Some(same) = same.find(|own| own.name == named.name) else {
                continue;
            };
            let peers = before.peers.iter();
            let peers = peers.filter(|peer| peer.line == same.like.line);
            let servers = peers.filter_map(|peer| match (&peer.address, named.port) {
                (PeerAddress::Tcp(own), Some(port)) => {
                    Some(named.server(SocketAddr::new(own.ip(), port)))
                }
                (PeerAddress::Tcp(own), None) => Some(ResolvedServer {
                    address: *own,
                    weight: peer.weight,
                    backup: peer.backup,
                }),
                (PeerAddress::Unix(_), _) => None,
            });
            self.update(named, servers.collect());
        }
    }

    fn lock(&self) -> MutexGuard<'_, Arc<Upstream>> {
        // A panic leaves no inconsistent state behind.
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
#[path = "group_tests.rs"]
mod tests;
