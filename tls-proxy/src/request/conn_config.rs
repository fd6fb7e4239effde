//! Where a connection stands in a configuration.

use super::live_config::ConfigHandle;
use crate::config::settings::Settings;
use crate::config::{ListenAddress, ServerId};

/// Where a connection stands in a configuration: what holds for its next
/// request. A request keeps the one it began with.
#[derive(Clone, Debug)]
pub(crate) struct ConnConfig {
    pub(crate) config: ConfigHandle,
    /// Which of the configuration's addresses it came in by.
    pub(crate) address: usize,
    /// The server for requests whose host names none: the address's default,
    /// or the one the TLS handshake named.
    pub(crate) server: ServerId,
}

impl ConnConfig {
    /// A connection that has just come in by an address.
    pub(crate) fn new(config: ConfigHandle, address: usize) -> Self {
        let server = config.listens[address].default;
        Self {
            config,
            address,
            server,
        }
    }

    /// The address it came in by.
    pub(crate) fn listen(&self) -> &ListenAddress {
        &self.config.listens[self.address]
    }

    /// Settings for what happens before a request has chosen its server.
    pub(crate) fn settings(&self) -> &Settings {
        let server = self.config.server(self.server);
        &self.config.location(server.root).settings
    }

    /// The same place in another configuration, for a client that named a
    /// server in its handshake or none; none where there is no such place.
    pub(crate) fn in_config(&self, config: ConfigHandle, named: Option<&str>) -> Option<Self> {
        let own = &self.listen().listen;
        let address = config.listens.iter().position(|other| {
            let other = &other.listen;
            other.address == own.address
                && other.ssl == own.ssl
                && other.proxy_protocol == own.proxy_protocol
        })?;
        let mut there = Self::new(config, address);
        if let Some(name) = named {
            let names = &there.listen().names;
            let server = names.find_quietly(&name.to_ascii_lowercase());
            there.server = server.unwrap_or(there.server);
        }
        Some(there)
    }
}
