//! How a group's servers are chosen: `least_conn`, `ip_hash`, `hash`,
//! `random`. The hashes are nginx's, so that a client or a key stays with the
//! server it had.

use std::net::IpAddr;
use std::sync::Arc;

use super::super::{Contexts, Effect, Scope, Spec};
use super::{Allowed, Peer};
use crate::conf::{Directive, Problem};
use crate::directive::arguments;
use crate::vars::template::Template;

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

pub(crate) const DIRECTIVES: &[Spec] = &[
    Spec::set(
        "least_conn",
        Contexts::UPSTREAM,
        (0, 0),
        |scope, directive| choose(scope, directive, Method::LeastConnections, true),
    )
    .about("Prefers the server with the fewest requests in flight, per worker.")
    .repeats(),
    Spec::set("ip_hash", Contexts::UPSTREAM, (0, 0), |scope, directive| {
        choose(scope, directive, Method::IpHash, false)
    })
    .about("A client's address (of IPv4 the first three bytes) decides.")
    .repeats(),
    Spec::set("hash", Contexts::UPSTREAM, (1, 2), |scope, directive| {
        let key = Template::compile(arguments::first(directive), &mut scope.draft.variables)?;
        let method = match directive.args.get(1) {
            None => Method::Hash(key),
            Some(word) if word.text == "consistent" => Method::Consistent(key, Ring::default()),
            Some(word) => return Err(arguments::invalid_parameter(word)),
        };
        choose(scope, directive, method, false)
    })
    .about("A key decides; `consistent`: most keys stay where they are when servers come and go.")
    .repeats(),
    Spec::set("random", Contexts::UPSTREAM, (0, 2), |scope, directive| {
        let words: Vec<_> = directive
            .args
            .iter()
            .map(|word| word.text.as_str())
            .collect();
        let two = match &words[..] {
            [] => false,
            ["two"] | ["two", "least_conn"] => true,
            [first, ..] => {
                let wrong = usize::from(*first == "two");
                return Err(arguments::invalid_parameter(&directive.args[wrong]));
            }
        };
        choose(scope, directive, Method::Random { two }, false)
    })
    .about("By chance and weight; `two`: the less busy one of two.")
    .repeats(),
    Spec::new(
        "sticky",
        Contexts::UPSTREAM,
        (1, usize::MAX),
        Effect::Refused("sessions are not tied to a server; use ip_hash or hash"),
    ),
    Spec::new(
        "least_time",
        Contexts::UPSTREAM,
        (1, 2),
        Effect::Refused("response times are not compared; use least_conn"),
    ),
];

fn choose(
    scope: &mut Scope<'_>,
    directive: &Directive,
    method: Method,
    backup: bool,
) -> Result<(), Problem> {
    let own = &mut scope.place.upstream;
    if !matches!(own.method, Method::RoundRobin) {
        let message = "load balancing method redefined";
        let problem = Problem::warn(&directive.name.at, message);
        scope.draft.problems.push(problem);
    }
    own.method = method;
    own.allowed = Allowed { backup };
    Ok(())
}

/// The hashes of a client's address; each is tried if the one before led to a
/// server that is not there.
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
