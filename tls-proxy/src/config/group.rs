//! Groups of servers that a request may go to.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU32, AtomicU64, AtomicUsize};
use std::time::Duration;

use super::method::Method;
use crate::conf::{Position, Problem};

/// One `zone` of an `upstream` block.
#[derive(Debug)]
pub(crate) struct Zone {
    pub(crate) name: Box<str>,
    /// Bytes; none where another line says it.
    pub(crate) size: Option<u64>,
    pub(crate) at: Position,
}

impl Zone {
    /// What nginx says of zones that no line gives a size, or two lines a different one.
    pub(crate) fn check(zones: &[Self]) -> impl Iterator<Item = Problem> {
        let size = |name: &str| {
            let mut same = zones.iter().filter(move |zone| *zone.name == *name);
            same.find_map(|zone| zone.size)
        };
        zones.iter().filter_map(move |zone| {
            let name = &zone.name;
            match (size(name), zone.size) {
                (None, _) => {
                    let message = format!("zero size shared memory zone \"{name}\"");
                    Some(Problem::emerg(&zone.at, message).with_help("write a size, as 64k"))
                }
                (Some(first), Some(own)) if own != first => {
                    let message = format!(
                        "the size {own} of shared memory zone \"{name}\" conflicts with \
                         already declared size {first}"
                    );
                    Some(Problem::emerg(&zone.at, message))
                }
                _ => None,
            }
        })
    }
}

/// Where a peer is reached.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Address {
    /// TCP.
    Tcp(SocketAddr),
    /// A UNIX socket.
    Unix(PathBuf),
}

impl std::fmt::Display for Address {
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
    /// Where it is.
    pub address: Address,
    /// As the configuration writes it.
    pub server: Arc<str>,
    /// `weight=`.
    pub weight: u32,
    /// `max_fails=`; zero never marks it as failed.
    pub max_fails: u32,
    /// `fail_timeout=`: the time in which failures count, and for which the
    /// peer is then left alone.
    pub fail_timeout: Duration,
    /// `max_conns=`: requests at once, of all workers; zero is no limit.
    pub max_conns: usize,
    /// `backup`.
    pub backup: bool,
    /// `down`.
    pub down: bool,
    /// What all workers know of it.
    pub(crate) account: Account,
}

/// What all workers know of a peer, and each may change at any time without waiting for
/// another: a number may be old by a moment, but none is lost.
#[derive(Debug, Default)]
pub(crate) struct Account {
    /// Its turn in smooth weighted round robin.
    pub(crate) current: AtomicI64,
    /// By how much failures have lowered its weight.
    pub(crate) lowered: AtomicI64,
    pub(crate) fails: AtomicU32,
    /// When it failed last, and when it was last given another chance: milliseconds of
    /// the process, 0 for never.
    pub(crate) failed: AtomicU64,
    pub(crate) checked: AtomicU64,
    /// Requests under way.
    pub(crate) active: AtomicUsize,
}

impl Clone for Account {
    /// Another peer has an account of its own.
    fn clone(&self) -> Self {
        Self::default()
    }
}

/// A group of peers.
#[derive(Debug)]
pub struct Upstream {
    /// The name `proxy_pass` calls it by.
    pub name: String,
    /// Host and port where no `upstream` block made it, but an address in
    /// `proxy_pass`.
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
    /// Its peers are what a resolver found: nothing is remembered of them when
    /// the request has ended.
    pub transient: bool,
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
            transient: false,
        }
    }
}

impl Upstream {
    /// How many of its servers a request may be sent to.
    pub(crate) fn tries(&self) -> usize {
        self.peers.iter().filter(|peer| !peer.down).count()
    }

    /// The group that an address written in `proxy_pass` stands for.
    pub(crate) fn of_address(name: &str, addresses: Vec<Address>) -> Self {
        Self {
            name: name.to_owned(),
            peers: addresses.into_iter().map(Peer::at).collect(),
            // As in nginx: whoever wants connections kept says so with an
            // `upstream` block.
            keepalive: 0,
            ..Self::default()
        }
    }
}

impl Peer {
    /// One with nginx's defaults.
    pub(crate) fn at(address: Address) -> Self {
        Self {
            server: address.to_string().into(),
            address,
            weight: 1,
            max_fails: 1,
            fail_timeout: Duration::from_secs(10),
            max_conns: 0,
            backup: false,
            down: false,
            account: Account::default(),
        }
    }

    /// A peer that is nowhere, for tests of what only its name decides.
    #[cfg(test)]
    pub(crate) fn at_server(server: &str) -> Self {
        Self {
            server: server.into(),
            ..Self::at(Address::Unix(PathBuf::new()))
        }
    }
}
