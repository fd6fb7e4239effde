//! Peer selection as in nginx: weighted round robin and the other methods of an `upstream`
//! block; peers that failed are not used for a while.
//!
//! The state of a peer belongs to its group, which all workers share, and consists of
//! atomic numbers, without locks. Two workers that choose at the same time may take the
//! same peer, and their next choices compensate for that; a connection limit is exact.

use std::borrow::Cow;
use std::cell::Cell;
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use bytes::Bytes;

use crate::config::group::{Peer, Upstream};
use crate::config::method;
use crate::config::method::Method;

/// Attempts of a hash before falling back to round robin, as in nginx.
const MAX_HASHES: usize = 20;

/// A worker's part of peer selection.
#[derive(Debug, Default)]
pub(crate) struct Balance {
    random: Cell<u64>,
}

/// Values of the request that the choice may depend on.
#[derive(Clone, Debug)]
pub(crate) struct Hints {
    /// The client's address.
    pub(crate) client: IpAddr,
    /// The value of `hash`.
    pub(crate) key: Bytes,
}

/// The result of an attempt with a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PeerResult {
    Success,
    /// Counts towards `max_fails`.
    Failure,
}

/// Counts a request in progress as one of its peer's connections.
#[derive(Debug)]
pub(crate) struct Lease {
    group: Arc<Upstream>,
    peer: usize,
    /// Its attempt was reported as a failure.
    failed: Cell<bool>,
}

impl Lease {
    /// Counts one more; `None` if the peer is at its limit.
    fn take(group: &Arc<Upstream>, peer: usize) -> Option<Self> {
        let own = &group.peers[peer];
        let active = &own.account.active;
        if own.max_conns == 0 {
            active.fetch_add(1, Relaxed);
        } else {
            let fits = |active| (active < own.max_conns).then_some(active + 1);
            active.fetch_update(Relaxed, Relaxed, fits).ok()?;
        }
        Some(Self {
            group: group.clone(),
            peer,
            failed: Cell::new(false),
        })
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let peer = &self.group.peers[self.peer];
        peer.account.active.fetch_sub(1, Relaxed);
        // Its client may have left: that is no failure, and the peer gets no other attempt meanwhile.
        if !self.failed.get() {
            forgive(peer);
        }
    }
}

impl Balance {
    /// The next peer that is not in `tried`; `None` if there is none. The request counts as
    /// one of its connections until the lease is dropped, from before the connection is
    /// established.
    pub(crate) fn choose(
        &self,
        group: &Arc<Upstream>,
        tried: &[usize],
        hints: &Hints,
    ) -> Option<(usize, Option<Rc<Lease>>)> {
        if is_single(group) {
            let chosen = tried.is_empty() && !group.peers[0].down;
            return chosen.then_some((0, None));
        }
        if let Some(found) = &group.found {
            let chosen = next_of_family(&found.all, tried, || self.random() as usize);
            return chosen.map(|peer| (peer, None));
        }
        let mut choice = Choice {
            group,
            tried: tried.into(),
        };
        loop {
            let peer = choice.make(hints, || self.random())?;
            if let Some(lease) = Lease::take(group, peer) {
                start_retry(&group.peers[peer]);
                return Some((peer, Some(Rc::new(lease))));
            }
            // Meanwhile another worker has reached the peer's limit.
            choice.tried.to_mut().push(peer);
        }
    }

    /// Records the result of an attempt; `true` if the peer is not used for a while from
    /// now on. `lease` is the attempt's, held until here: dropped before, it would forgive the peer
    /// what is reported now.
    pub(crate) fn report(
        &self,
        group: &Arc<Upstream>,
        peer: usize,
        lease: Option<Rc<Lease>>,
        ended: PeerResult,
    ) -> bool {
        if group.size() == 1 {
            return false;
        }
        if group.found.is_some() {
            return ended == PeerResult::Failure;
        }
        let own = &group.peers[peer];
        let account = &own.account;
        match ended {
            PeerResult::Failure => {
                if let Some(lease) = lease {
                    lease.failed.set(true);
                }
                let now = now();
                account.failed.store(now, Relaxed);
                account.checked.store(now, Relaxed);
                let fails = account.fails.fetch_add(1, Relaxed) + 1;
                let Some(less) = own.weight.checked_div(own.max_fails) else {
                    return false;
                };
                let lower = |lowered: i64| Some((lowered + i64::from(less)).min(own.weight.into()));
                let _ = account.lowered.fetch_update(Relaxed, Relaxed, lower);
                fails >= own.max_fails
            }
            PeerResult::Success => {
                forgive(own);
                false
            }
        }
    }

    /// The next pseudo-random number; it need not be unpredictable.
    fn random(&self) -> u64 {
        if self.random.get() == 0 {
            self.random
                .set(RandomState::new().build_hasher().finish() | 1);
        }
        // Xorshift: Marsaglia 2003.
        let mut state = self.random.get();
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        self.random.set(state);
        state
    }
}

/// Whether there is no choice and nothing to count.
fn is_single(group: &Upstream) -> bool {
    matches!(&group.peers[..], [only] if only.max_conns == 0)
}

/// The next of the addresses found by a resolver: IPv4 before IPv6, each family from a
/// random one on.
fn next_of_family(
    addresses: &[IpAddr],
    tried: &[usize],
    random: impl FnOnce() -> usize,
) -> Option<usize> {
    let first_ipv6 = addresses.partition_point(IpAddr::is_ipv4);
    let (start, end) = match tried.len() < first_ipv6 {
        true => (0, first_ipv6),
        false => (first_ipv6, addresses.len()),
    };
    let (tried, size) = (&tried[start..], end - start);
    let first = match tried.first() {
        Some(first) => first - start,
        None => random().checked_rem(size)?,
    };
    (tried.len() < size).then(|| start + (first + tried.len()) % size)
}

/// Milliseconds since the process first asked, never 0.
fn now() -> u64 {
    static BEGAN: OnceLock<Instant> = OnceLock::new();
    let began = BEGAN.get_or_init(Instant::now);
    began.elapsed().as_millis() as u64 + 1
}

/// Whether `fail_timeout` has passed since then.
fn has_passed(peer: &Peer, since: u64) -> bool {
    since > 0 && u128::from(now().saturating_sub(since)) > peer.fail_timeout.as_millis()
}

/// Starts a peer's next `fail_timeout` if one has passed, so that it gets only one attempt.
fn start_retry(peer: &Peer) {
    let checked = peer.account.checked.load(Relaxed);
    if has_passed(peer, checked) {
        peer.account.checked.store(now(), Relaxed);
    }
}

/// Forgets a peer's failures if an attempt after the last of them has ended without another.
fn forgive(peer: &Peer) {
    let account = &peer.account;
    if account.failed.load(Relaxed) < account.checked.load(Relaxed) {
        account.fails.store(0, Relaxed);
    }
}

/// One selection from a group.
struct Choice<'a> {
    group: &'a Upstream,
    tried: Cow<'a, [usize]>,
}

impl Choice<'_> {
    fn make(&self, hints: &Hints, random: impl Fn() -> u64) -> Option<usize> {
        let peers = &self.group.peers;
        let chosen = match &self.group.method {
            Method::RoundRobin | Method::LeastConnections => None,
            Method::IpHash => self.by_hash(method::ip_hashes(hints.client)),
            Method::Hash(_) | Method::Consistent(..) if hints.key.is_empty() => None,
            Method::Hash(_) => self.by_hash(method::key_hashes(&hints.key)),
            Method::Consistent(_, ring) => self.by_ring(ring, &hints.key),
            Method::Random { two } => self.at_random(*two, random),
        };
        chosen
            .or_else(|| self.in_turn(|peer| !peers[peer].backup))
            .or_else(|| self.in_turn(|peer| peers[peer].backup))
    }

    /// Whether a peer may be used now.
    fn is_free(&self, peer: usize) -> bool {
        let own = &self.group.peers[peer];
        let account = &own.account;
        let resting = own.max_fails > 0
            && account.fails.load(Relaxed) >= own.max_fails
            && !has_passed(own, account.checked.load(Relaxed));
        let full = own.max_conns > 0 && self.active(peer) >= own.max_conns as u64;
        !own.down && !resting && !full && !self.tried.contains(&peer)
    }

    fn active(&self, peer: usize) -> u64 {
        self.group.peers[peer].account.active.load(Relaxed) as u64
    }

    fn weight(&self, peer: usize) -> u64 {
        self.group.peers[peer].weight.into()
    }

    /// Smooth weighted round robin among the peers that `fit`; with `least_conn` only among
    /// those with the fewest connections for their weight.
    fn in_turn(&self, fits: impl Fn(usize) -> bool) -> Option<usize> {
        let peers = &self.group.peers;
        let mut free: Vec<usize> = (0..peers.len())
            .filter(|peer| self.is_free(*peer) && fits(*peer))
            .collect();
        if matches!(self.group.method, Method::LeastConnections) {
            // Compared as fractions, by cross multiplication. Read once, because other
            // workers change them.
            let loads: Vec<_> = free
                .iter()
                .map(|peer| (self.active(*peer), self.weight(*peer)))
                .collect();
            let least = loads
                .iter()
                .min_by(|(a, wa), (b, wb)| (a * wb).cmp(&(b * wa)))?;
            let mut of = loads.iter();
            free.retain(|_| of.next().is_some_and(|(a, w)| a * least.1 == least.0 * w));
        }
        let mut total = 0;
        let mut best: Option<(usize, i64)> = None;
        for peer in free {
            let account = &peers[peer].account;
            let lowered = account.lowered.load(Relaxed);
            let effective = i64::from(peers[peer].weight) - lowered;
            total += effective;
            if lowered > 0 {
                let raise = |lowered: i64| (lowered > 0).then_some(lowered - 1);
                let _ = account.lowered.fetch_update(Relaxed, Relaxed, raise);
            }
            let current = account.current.fetch_add(effective, Relaxed) + effective;
            if best.is_none_or(|(_, best)| current > best) {
                best = Some((peer, current));
            }
        }
        let (chosen, _) = best?;
        peers[chosen].account.current.fetch_sub(total, Relaxed);
        Some(chosen)
    }

    /// The peer in whose share of the total weight `point` falls.
    fn at(&self, point: u64) -> Option<usize> {
        let peers = 0..self.group.peers.len();
        let weights = peers.map(|peer| self.weight(peer));
        let total: u64 = weights.clone().sum();
        let mut rest = point.checked_rem(total)?;
        for (peer, weight) in weights.enumerate() {
            if rest < weight {
                return Some(peer);
            }
            rest -= weight;
        }
        None
    }

    /// The first available peer in a sequence of hashes.
    fn by_hash(&self, hashes: impl Iterator<Item = u64>) -> Option<usize> {
        hashes.take(MAX_HASHES + 1).find_map(|hash| {
            let peer = self.at(hash)?;
            self.is_free(peer).then_some(peer)
        })
    }

    /// The server that follows the key on the ring, or a later one.
    fn by_ring(&self, ring: &method::Ring, key: &[u8]) -> Option<usize> {
        let peers = &self.group.peers;
        ring.from(key)
            .take(MAX_HASHES + 1)
            .find_map(|server| self.in_turn(|peer| peers[peer].server == *server))
    }

    fn at_random(&self, two: bool, random: impl Fn() -> u64) -> Option<usize> {
        let one = |other: Option<usize>| {
            (0..=MAX_HASHES).find_map(|_| {
                let peer = self.at(random())?;
                (self.is_free(peer) && Some(peer) != other).then_some(peer)
            })
        };
        let first = one(None)?;
        let second = if two { one(Some(first)) } else { None };
        let heavier = |one: usize, other: usize| {
            self.active(other) * self.weight(one) < self.active(one) * self.weight(other)
        };
        match second {
            Some(second) if heavier(first, second) => Some(second),
            _ => Some(first),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::thread;
    use std::time::Duration;

    use super::*;
    use crate::config::group::PeerAddress;

    const FAIL_TIMEOUT: Duration = Duration::from_millis(20);

    /// A group of two, the second of which is never used.
    fn group() -> Arc<Upstream> {
        let address = "192.0.2.1:80".parse().expect("an address");
        let peer = |down| Peer {
            max_fails: 3,
            fail_timeout: FAIL_TIMEOUT,
            down,
            ..Peer::at(PeerAddress::Tcp(address))
        };
        Arc::new(Upstream {
            peers: vec![peer(false), peer(true)],
            ..Upstream::default()
        })
    }

    /// Chooses a peer; `None` if it is not used for a while.
    fn choose(group: &Arc<Upstream>) -> Option<Option<Rc<Lease>>> {
        let hints = Hints {
            client: IpAddr::from([192, 0, 2, 9]),
            key: Bytes::new(),
        };
        let chosen = Balance::default().choose(group, &[], &hints);
        chosen.map(|(_, lease)| lease)
    }

    /// An attempt that ends so; whether the peer is not used for a while.
    fn attempt(group: &Arc<Upstream>, ended: PeerResult) -> bool {
        let lease = choose(group).expect("a peer");
        // That of the connection, which is closed first.
        drop(lease.clone());
        Balance::default().report(group, 0, lease, ended)
    }

    fn wait() {
        thread::sleep(FAIL_TIMEOUT + Duration::from_millis(5));
    }

    #[test]
    fn a_peer_out_of_use_gets_one_attempt_after_a_while() {
        let group = group();
        let fails = || attempt(&group, PeerResult::Failure);
        assert_eq!([fails(), fails(), fails()], [false, false, true]);
        for _ in 0..3 {
            wait();
            assert!(fails(), "one more is enough");
        }
        wait();
        assert!(!attempt(&group, PeerResult::Success));
        assert_eq!([fails(), fails(), fails()], [false, false, true]);
    }

    #[test]
    fn an_attempt_given_up_forgives_and_one_that_failed_does_not() {
        let group = group();
        let fails = || attempt(&group, PeerResult::Failure);
        assert_eq!([fails(), fails(), fails()], [false, false, true]);
        wait();
        let failing = choose(&group).expect("a peer");
        // The connection is closed late, when another attempt is under way.
        let connection = failing.clone();
        assert!(Balance::default().report(&group, 0, failing, PeerResult::Failure));
        wait();
        let given_up = choose(&group).expect("a peer");
        drop(connection);
        assert_eq!(group.peers[0].account.fails.load(Relaxed), 4);
        drop(given_up);
        assert_eq!(group.peers[0].account.fails.load(Relaxed), 0);
    }

    #[test]
    fn addresses_of_a_name_come_by_family() {
        let found = ["192.0.2.1", "192.0.2.2", "2001:db8::1", "2001:db8::2"];
        let found = found.map(|text| text.parse().expect("an address"));
        for (random, expected) in [(0, [0, 1, 2, 3]), (1, [1, 0, 3, 2])] {
            let mut tried = Vec::new();
            while let Some(next) = next_of_family(&found, &tried, || random) {
                tried.push(next);
            }
            assert_eq!(tried, expected);
        }
        let ipv6 = &found[2..];
        assert_eq!(next_of_family(ipv6, &[], || 3), Some(1));
        assert_eq!(next_of_family(ipv6, &[1, 0], || 3), None);
    }
}
