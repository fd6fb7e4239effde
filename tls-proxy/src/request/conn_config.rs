//! The configuration that a connection uses.

use std::net::SocketAddr;

use bytes::Bytes;

use super::live_config::ConfigHandle;
use crate::config::listen::Endpoint;
use crate::config::settings::Settings;
use crate::config::{ListenAddress, ServerId};
use crate::message::head::Limits;
use crate::message::host;

/// The configuration, address and server that apply to the next request of a connection. A
/// request keeps those it began with.
#[derive(Clone, Debug)]
pub(crate) struct ConnConfig {
    pub(crate) config: ConfigHandle,
    /// Index of its address, in the configuration's addresses.
    pub(crate) address: usize,
    /// The server for requests whose host matches none: the address's default, or the one
    /// selected by SNI.
    pub(crate) server: ServerId,
}

impl ConnConfig {
    /// A connection that the socket of `bound` has just accepted; `None` if the configuration has no
    /// such address.
    pub(crate) fn of_accepted(
        config: ConfigHandle,
        bound: &Endpoint,
        local: impl FnOnce() -> SocketAddr,
    ) -> Option<Self> {
        let number = config.listener_of(bound, local)?;
        Some(Self::new(config, number))
    }

    fn new(config: ConfigHandle, address: usize) -> Self {
        let server = config.listens[address].default;
        Self {
            config,
            address,
            server,
        }
    }

    /// Its address.
    pub(crate) fn listen(&self) -> &ListenAddress {
        &self.config.listens[self.address]
    }

    /// Settings that apply before a request has selected its server.
    pub(crate) fn settings(&self) -> &Settings {
        let server = self.config.server(self.server);
        &self.config.location(server.root).settings
    }

    /// The limits of a request's head by the server that its host, as sent, selects; `None` if all
    /// servers have the same.
    pub(crate) fn limits_of(&self, host: &[u8]) -> Option<Limits> {
        let listen = self.listen();
        if !listen.limits_differ {
            return None;
        }
        let host = host::parse(&Bytes::copy_from_slice(host))?;
        let server = listen
            .names
            .find_without_captures(std::str::from_utf8(&host).ok()?)?;
        let root = self.config.server(server).root;
        Some(self.config.location(root).settings.core.head)
    }

    /// The address in another configuration of a connection to `local`, with the server that
    /// `named`, the SNI, selects there. `None` if that configuration has no such address.
    pub(crate) fn in_config(
        &self,
        config: ConfigHandle,
        local: SocketAddr,
        named: Option<&str>,
    ) -> Option<Self> {
        let own = self.listen();
        let bound = own.wildcard.map_or(own, |at| &self.config.listens[at]);
        let address = config.listener_of(&bound.listen.address, || local)?;
        let (own, other) = (&own.listen, &config.listens[address].listen);
        if other.ssl != own.ssl || other.proxy_protocol != own.proxy_protocol {
            return None;
        }
        let mut there = Self::new(config, address);
        if let Some(name) = named {
            let names = &there.listen().names;
            let server = names.find_without_captures(&name.to_ascii_lowercase());
            there.server = server.unwrap_or(there.server);
        }
        Some(there)
    }
}
