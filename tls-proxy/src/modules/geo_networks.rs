//! The networks of `geo`: of those that have an address, the smallest counts.

use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;

use crate::net::cidr::Network;

/// A table from networks to values. There may be hundreds of thousands of them, so it takes one
/// look for each length of a prefix that occurs, not for each network.
#[derive(Debug, Default)]
pub(crate) struct Networks {
    values: HashMap<Network, Box<str>>,
    lengths: BTreeSet<u8>,
}

impl Networks {
    /// Gives a network its value; the last one counts.
    pub(crate) fn add(&mut self, network: Network, value: &str) {
        self.lengths.insert(network.bits());
        self.values.insert(network.masked(), value.into());
    }

    /// Removes a network.
    pub(crate) fn delete(&mut self, network: Network) {
        self.values.remove(&network.masked());
    }

    /// The value of the smallest network that has the address.
    pub(crate) fn find(&self, address: IpAddr) -> Option<&str> {
        let mut longest_first = self.lengths.iter().rev();
        let found = longest_first.find_map(|bits| {
            self.values
                .get(&Network::around(address.to_canonical(), *bits)?)
        });
        found.map(|value| &**value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(text: &str) -> Network {
        Network::parse(text).expect("valid").0
    }

    fn networks(list: &[(&str, &str)]) -> Networks {
        let mut networks = Networks::default();
        for (text, value) in list {
            networks.add(network(text), value);
        }
        networks
    }

    #[test]
    fn the_smallest_network_counts() {
        let mut networks = networks(&[
            ("10.0.0.0/8", "a"),
            ("10.1.0.0/16", "b"),
            ("::1", "c"),
            ("2001:db8::/32", "d"),
        ]);
        let find = |networks: &Networks, text: &str| {
            let found = networks.find(text.parse().expect("valid"));
            found.unwrap_or("-").to_owned()
        };
        for (text, value) in [
            ("10.1.2.3", "b"),
            ("::ffff:10.1.2.3", "b"),
            ("10.2.2.3", "a"),
            ("::1", "c"),
            ("2001:db8:1::", "d"),
            ("2001:db9::", "-"),
            ("1.1.1.1", "-"),
        ] {
            assert_eq!(find(&networks, text), value, "{text}");
        }
        networks.delete(network("10.1.9.9/16"));
        assert_eq!(find(&networks, "10.1.2.3"), "a");
    }

    #[test]
    fn each_family_has_its_own_networks() {
        let networks = networks(&[("0.0.0.0/0", "4"), ("::/0", "6")]);
        assert_eq!(networks.find(IpAddr::from([0; 4])), Some("4"));
        assert_eq!(networks.find(IpAddr::from([0_u8; 16])), Some("6"));
    }

    #[test]
    fn of_one_network_the_last_value_counts() {
        let networks = networks(&[("10.0.0.1/8", "a"), ("10.0.0.0/8", "b")]);
        assert_eq!(networks.find(IpAddr::from([10, 0, 0, 1])), Some("b"));
    }
}
