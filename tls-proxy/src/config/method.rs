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
pub struct Ring {
    /// Each with the index of its server.
    points: Vec<(u32, u32)>,
    servers: Vec<Arc<str>>,
}

impl Ring {
    /// Points of a server for each unit of its weight.
    const POINTS: u64 = 160;
    /// The most points of all servers: weights may come from a name server (`service=`).
    const MOST: u64 = 160_000;
    /// One part in so many of the memory limit is for them.
    const SHARE: u64 = 64;

    /// Many points for each server, by its weight.
    pub(crate) fn new(peers: &[Peer]) -> Self {
        let memory = pod::cgroup::memory_limit().unwrap_or(u64::MAX);
        let fit = memory / Self::SHARE / size_of::<(u32, u32)>() as u64;
        Self::with(peers, fit.min(Self::MOST))
    }

    /// The same with no more than `most` points, unless there are very many servers: all weights
    /// are scaled down to that.
    fn with(peers: &[Peer], most: u64) -> Self {
        // The servers of a name have the same points, and who has the largest weight has them all.
        let mut weights: Vec<(&Arc<str>, u64)> = Vec::new();
        for peer in peers {
            let weight = u64::from(peer.weight);
            match weights.iter_mut().find(|(own, _)| **own == peer.server) {
                Some((_, largest)) => *largest = weight.max(*largest),
                None => weights.push((&peer.server, weight)),
            }
        }
        let total = weights.iter().map(|(_, weight)| weight).sum::<u64>();
        let most = total.min(most / Self::POINTS);
        let mut points = Vec::new();
        for (number, (server, weight)) in (0..).zip(&weights) {
            let (host, port) = split(server);
            let mut before = [0; 4];
            let scaled = (weight * most).checked_div(total).unwrap_or_default();
            for _ in 0..Self::POINTS * scaled.max(1) {
                let hash = crc(&[host.as_bytes(), b"\0", port.as_bytes(), &before]);
                points.push((hash, number));
                before = hash.to_le_bytes();
            }
        }
        points.sort_by_key(|(hash, _)| *hash);
        points.dedup_by_key(|(hash, _)| *hash);
        points.shrink_to_fit();
        let servers = weights.into_iter().map(|(server, _)| server.clone());
        Self {
            points,
            servers: servers.collect(),
        }
    }

    /// The servers from a key's place on.
    pub(crate) fn from(&self, key: &[u8]) -> impl Iterator<Item = &Arc<str>> {
        let hash = crc(&[key]);
        let start = self.points.partition_point(|(point, _)| *point < hash);
        let (before, after) = self.points.split_at(start);
        let numbers = after.iter().chain(before).map(|(_, number)| *number);
        numbers.filter_map(|number| self.servers.get(number as usize))
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
    fn points_are_bounded_and_keep_the_proportion_of_weights() {
        let weighted = |weights: &[u32]| -> Vec<Peer> {
            let peer = |(port, weight): (usize, &u32)| Peer {
                weight: *weight,
                ..Peer::at_server(&format!("127.0.0.1:{port}"))
            };
            weights.iter().enumerate().map(peer).collect()
        };
        let shares = |ring: &Ring| {
            let count = |number| ring.points.iter().filter(|(_, of)| *of == number).count();
            [0, 1, 2].map(count)
        };
        let most = 160 * 40;
        // As many as there are by the weights, but for a few that are equal.
        let [one, two, three] = shares(&Ring::with(&weighted(&[1, 2, 30]), most));
        assert!((one, two, three) <= (160, 320, 4800) && one + two + three > 5270);
        // A tenth of them.
        let [one, two, three] = shares(&Ring::with(&weighted(&[40, 80, 280]), most));
        assert!(one > 630 && two > 1270 && three > 4470 && one + two + three <= 6400);
        let large = [u32::MAX, u32::MAX, 1];
        let [one, two, three] = shares(&Ring::with(&weighted(&large), most));
        assert!(one > 3000 && two > 3000 && three > 100 && one + two + three <= 6400);
        // All servers of a name are one on the ring.
        let of_a_name = vec![Peer::at_server("a.example"); 1000];
        let ring = Ring::with(&of_a_name, most);
        assert_eq!((ring.points.len(), ring.servers.len()), (160, 1));
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
