//! The configuration as an immutable value, built whole or not at all.

pub(crate) mod core;
pub(crate) mod draft;
pub(crate) mod group;
pub(crate) mod host_key;
pub(crate) mod host_table;
pub(crate) mod listen;
pub(crate) mod locations;
pub(crate) mod method;
pub(crate) mod names;
pub(crate) mod parts;
pub(crate) mod process;
pub(crate) mod resolver;
pub(crate) mod settings;
pub(crate) mod spec;
pub(crate) mod walk;
pub(crate) mod zone;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use self::listen::{Endpoint, Listen};
use crate::config::group::Upstream;
use crate::log::files::LogFile;
use crate::log::form::Form;
use crate::tls::lifetime::Lifetime;
use crate::tls::server_config::TlsServer;
use crate::variables::registry::Registry;
use locations::LocationTree;
use names::ServerNames;
use parts::Parts;
use settings::Settings;

/// The whole configuration.
#[derive(Debug)]
pub struct Config {
    /// What concerns the process.
    pub main: process::Settings,
    /// Every address, once.
    pub listens: Vec<ListenAddress>,
    /// The servers, in order.
    pub(crate) servers: Vec<Server>,
    /// The locations of all servers.
    pub(crate) locations: Vec<Location>,
    /// The groups of `upstream` blocks and of addresses in `proxy_pass`.
    pub upstreams: Vec<Arc<Upstream>>,
    /// The variables of the configuration.
    pub(crate) variables: Registry,
    /// A location has `proxy_ignore_client_abort` on.
    pub(crate) ignores_client_abort: bool,
    /// `--log-format`.
    pub(crate) form: Form,
    /// What modules keep once for the whole configuration.
    pub(crate) parts: Parts,
    /// Files that logs go to.
    pub log_files: Vec<LogFile>,
    /// `$hostname`.
    pub hostname: String,
    /// The default of `root`.
    pub html: PathBuf,
    /// The folder of relative file names with variables: of `root` and `alias`, and of the
    /// configuration's own files.
    pub(crate) prefix: PathBuf,
    pub(crate) conf: PathBuf,
    /// Every file the configuration was read from, certificates too.
    pub sources: Vec<PathBuf>,
    /// Identifies the contents of those that are no texts.
    pub(crate) tls_contents: [u8; 32],
}

/// A server of [`Config`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ServerId(pub(crate) usize);

/// A location of [`Config`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LocationId(pub(crate) usize);

/// An address that is listened on, and the servers behind it.
#[derive(Debug)]
pub struct ListenAddress {
    /// The address, and the options of all `listen` lines for it together.
    pub listen: Listen,
    /// The server if no name matches.
    pub default: ServerId,
    /// The servers by name.
    pub(crate) names: ServerNames,
    /// The servers differ in their limits on heads.
    pub(crate) limits_differ: bool,
    /// Index of the wildcard address of its port and family, whose socket it shares: as in nginx,
    /// only the wildcard address is bound then.
    pub(crate) wildcard: Option<usize>,
}

/// One `server` block.
#[derive(Debug)]
pub struct Server {
    /// Its first name (`$server_name`).
    pub name: String,
    /// Settings where no location matches.
    pub root: LocationId,
    /// Its locations.
    pub(crate) tree: LocationTree,
    /// TLS for connections to it; `None` without a certificate.
    pub(crate) tls: Option<Arc<TlsServer>>,
}

/// One `location` block, or the inside of a server.
#[derive(Debug)]
pub struct Location {
    /// The settings here.
    pub settings: Settings,
    /// Locations inside.
    pub(crate) tree: LocationTree,
}

impl Config {
    /// A server by its number.
    pub fn server(&self, id: ServerId) -> &Server {
        &self.servers[id.0]
    }

    /// Takes over the names that an earlier configuration has resolved.
    pub(crate) fn adopt_members(&self, old: &Self) {
        let members = |group: &&Arc<Upstream>| group.members.is_some();
        for group in self.upstreams.iter().filter(members) {
            let mut same = old.upstreams.iter().filter(members);
            let same = same.find(|own| own.name == group.name);
            let same = same.and_then(|own| own.members.as_ref());
            if let (Some(own), Some(same)) = (&group.members, same) {
                own.adopt(same);
            }
        }
    }

    /// When the certificates in force expire, each file once.
    pub(crate) fn lifetimes(&self) -> Vec<Lifetime> {
        let mut all: Vec<Lifetime> = Vec::new();
        for own in self.servers.iter().filter_map(|server| server.tls.as_ref()) {
            for lifetime in &own.lifetimes {
                if !all.contains(lifetime) {
                    all.push(lifetime.clone());
                }
            }
        }
        all
    }

    /// The addresses to bind: those without a wildcard address that has the socket.
    pub(crate) fn sockets(&self) -> impl Iterator<Item = &Listen> + Clone {
        let bound = self.listens.iter().filter(|own| own.wildcard.is_none());
        bound.map(|own| &own.listen)
    }

    /// Whether it has a socket of this address.
    pub(crate) fn binds(&self, place: &Endpoint) -> bool {
        self.sockets().any(|own| own.address == *place)
    }

    /// Index of the address of a connection that the socket of `bound` has accepted: that of its
    /// local address if this shares the socket. `None` if `bound` is not in the configuration.
    pub(crate) fn listener_of(
        &self,
        bound: &Endpoint,
        local: impl FnOnce() -> SocketAddr,
    ) -> Option<usize> {
        let mut all = self.listens.iter();
        let at = all.position(|own| own.listen.address == *bound)?;
        let shares = |own: &ListenAddress| own.wildcard == Some(at);
        // Asking for the local address is a system call.
        if !self.listens.iter().any(shares) {
            return Some(at);
        }
        let ip = local().ip();
        let is_own = |own| shares(own) && own.listen.address.is_at(ip);
        Some(self.listens.iter().position(is_own).unwrap_or(at))
    }

    /// A location by its number.
    pub fn location(&self, id: LocationId) -> &Location {
        &self.locations[id.0]
    }
}
