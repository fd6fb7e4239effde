//! The addresses of the hosts that a configuration names. The system's resolver, which looks them
//! up, blocks: ten seconds for each name if its name servers do not respond.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr, SocketAddr, ToSocketAddrs as _};

/// Prefix of addresses that lead nowhere (RFC 6666).
const NOWHERE: u128 = 0x0100 << 112;

/// The hosts of one configuration, each looked up once.
#[derive(Debug, Default)]
pub(crate) struct Hosts {
    /// By name, with port 0; empty for one that was not found.
    known: HashMap<String, Vec<SocketAddr>>,
    assumed: bool,
}

impl Hosts {
    /// Of a configuration that is only checked: every name is taken for known, and none is looked
    /// up. Its addresses lead nowhere.
    pub(crate) fn assumed() -> Self {
        Self {
            assumed: true,
            ..Self::default()
        }
    }

    /// The addresses of a name or of an address without brackets, with `port`; none if it is not
    /// found. May block.
    pub(crate) fn find(&mut self, host: &str, port: u16) -> Vec<SocketAddr> {
        let with_port = |own: &SocketAddr| {
            let mut own = *own;
            own.set_port(port);
            own
        };
        if let Some(known) = self.known.get(host) {
            return known.iter().map(with_port).collect();
        }
        let found = match host.parse::<IpAddr>() {
            Ok(address) => vec![SocketAddr::new(address, 0)],
            // Another one for each name: `listen` takes no address twice.
            Err(_) if self.assumed && !host.is_empty() => {
                let address = Ipv6Addr::from(NOWHERE + 1 + self.known.len() as u128);
                vec![SocketAddr::new(address.into(), 0)]
            }
            Err(_) => (host, 0)
                .to_socket_addrs()
                .map(Iterator::collect)
                .unwrap_or_default(),
        };
        let addresses = found.iter().map(with_port).collect();
        self.known.insert(host.to_owned(), found);
        addresses
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(found: &[SocketAddr]) -> Vec<String> {
        found.iter().map(SocketAddr::to_string).collect()
    }

    #[test]
    fn a_name_is_looked_up_once_and_has_each_port_it_is_asked_for() {
        let mut hosts = Hosts::default();
        assert_eq!(shown(&hosts.find("192.0.2.1", 80)), ["192.0.2.1:80"]);
        assert_eq!(shown(&hosts.find("::1", 81)), ["[::1]:81"]);
        assert!(hosts.find("a..b", 80).is_empty());
        let once: SocketAddr = ([192, 0, 2, 2], 0).into();
        hosts.known.insert("a..b".to_owned(), vec![once]);
        assert_eq!(shown(&hosts.find("a..b", 80)), ["192.0.2.2:80"]);
        assert_eq!(shown(&hosts.find("a..b", 81)), ["192.0.2.2:81"]);
    }

    #[test]
    fn assumed_names_are_not_looked_up_and_differ() {
        let mut hosts = Hosts::assumed();
        assert_eq!(shown(&hosts.find("192.0.2.1", 80)), ["192.0.2.1:80"]);
        let (one, other) = (hosts.find("a..b", 80), hosts.find("c..d", 80));
        assert_eq!((one.len(), other.len()), (1, 1));
        assert_ne!(one, other);
        assert_eq!(hosts.find("a..b", 80), one);
    }
}
