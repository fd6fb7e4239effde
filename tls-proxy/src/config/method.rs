//! How a group's servers are chosen. The hashes are nginx's, so that a client or a key is mapped to
//! the same server.

use std::net::IpAddr;
use std::sync::Arc;

use super::group::Peer;
use crate::variables::template::Template;

/// How a group's servers are chosen.
#[derive(Clone, Debug, Default)]
pub enum Method {
    /// In turn, by weight.
    #[default]
    RoundRobin,
    /// `least_conn`.
    LeastConnections,
    /// `ip_hash`.
    IpHash,
    /// `hash KEY`.
    Hash(Template),
    /// `hash KEY consistent`.
    Consistent(Template, Ring),
    /// `random [two]`.
    Random {
        /// The less busy one of two.
        two: bool,
    },
}

/// The hashes of a client's address; each is tried if the one before led to a server that is down.
pub(crate) fn ip_hashes(client: IpAddr) -> impl Iterator<Item = u64> {
    let bytes = match client.to_canonical() {
        IpAddr::V4(address) => address.octets()[..3].to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    };
    let mut hash = 89_u64;
    std::iter::repeat_with(move || {
        for byte in &bytes {
            hash = (hash * 113 + u64::from(*byte)) % 6271;
        }
        hash
    })
}

/// The hashes of a key, those of `Cache::Memcached`.
pub(crate) fn key_hashes(key: &[u8]) -> impl Iterator<Item = u64> {
    let mut sum = 0_u64;
    (0_u32..).map(move |round| {
        let round = if round == 0 {
            String::new()
        } else {
            round.to_string()
        };
        sum += u64::from((crc(&[round.as_bytes(), key]) >> 16) & 0x7fff);
        sum
    })
}

fn crc(parts: &[&[u8]]) -> u32 {
    let mut crc = flate2::Crc::new();
    for part in parts {
        crc.update(part);
    }
    crc.sum()
}

/// Points of servers on a ring, those of `Cache::Memcached::Fast`.
#[derive(Clone, Debug, Default)]
pub struct Ring(Vec<(u32, Arc<str>)>);

impl Ring {
    const POINTS: usize = 160;

    /// Many points for each server, by its weight.
    pub(crate) fn new(peers: &[Peer]) -> Self {
        let mut points = Vec::new();
        for peer in peers {
            let (host, port) = split(&peer.server);
            let mut before = [0; 4];
            for _ in 0..Self::POINTS.saturating_mul(peer.weight as usize) {
                let hash = crc(&[host.as_bytes(), b"\0", port.as_bytes(), &before]);
                points.push((hash, peer.server.clone()));
                before = hash.to_le_bytes();
            }
        }
        points.sort_by_key(|(hash, _)| *hash);
        points.dedup_by_key(|(hash, _)| *hash);
        Self(points)
    }

    /// The servers from a key's place on.
    pub(crate) fn from(&self, key: &[u8]) -> impl Iterator<Item = &Arc<str>> {
        let hash = crc(&[key]);
        let start = self.0.partition_point(|(point, _)| *point < hash);
        let (before, after) = self.0.split_at(start);
        after.iter().chain(before).map(|(_, server)| server)
    }
}

/// Host and port of a server as it is written.
fn split(server: &str) -> (&str, &str) {
    if let Some(path) = server.strip_prefix("unix:") {
        return (path, "");
    }
    match server.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => (host, port),
        _ => (server, ""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_of_one_network_have_one_hash() {
        let first = |text: &str| ip_hashes(text.parse().expect("address")).next();
        assert_eq!(first("127.0.0.1"), first("127.0.0.9"));
        assert_ne!(first("127.0.0.1"), first("127.0.1.1"));
        assert_eq!(first("127.0.0.1"), Some(3913 * 113 % 6271 * 113 % 6271));
    }

    #[test]
    fn a_ring_keeps_most_keys_when_a_server_goes() {
        let peers: Vec<_> = (0..4)
            .map(|port| Peer::at_server(&format!("127.0.0.1:{port}")))
            .collect();
        let (all, fewer) = (Ring::new(&peers), Ring::new(&peers[..3]));
        let mut moved = 0;
        for key in 0..1000_u32 {
            let key = key.to_string();
            let before = all.from(key.as_bytes()).next().expect("a server");
            let after = fewer.from(key.as_bytes()).next().expect("a server");
            moved += usize::from(before != after && **before != *"127.0.0.1:3");
        }
        assert_eq!(moved, 0);
    }

    #[test]
    fn names_split_as_nginx_splits_them() {
        for (server, host, port) in [
            ("a:80", "a", "80"),
            ("a", "a", ""),
            ("unix:/x", "/x", ""),
            ("[::1]:8", "[::1]", "8"),
        ] {
            assert_eq!(split(server), (host, port));
        }
    }
}
