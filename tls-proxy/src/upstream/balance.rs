//! Choosing a peer as nginx does it: weighted round robin and the other
//! methods of an `upstream` block, with peers that failed left alone for a
//! while. Each worker keeps its own account.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use bytes::Bytes;

use crate::config::group::Upstream;
use crate::config::method;
use crate::config::method::Method;

/// Tries of a hash before round robin takes over, as in nginx.
const MOST_HASHES: usize = 20;

/// The accounts of all groups that need one.
#[derive(Debug, Default)]
pub(crate) struct Balance {
    groups: Rc<RefCell<HashMap<usize, Group>>>,
    random: Cell<u64>,
}

/// What a choice may depend on besides the group.
#[derive(Clone, Debug)]
pub(crate) struct Hints {
    /// The client's address.
    pub(crate) client: IpAddr,
    /// The value of `hash`.
    pub(crate) key: Bytes,
}

/// How a try with a peer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    Well,
    /// It counts against the peer (`max_fails`).
    Badly,
}

/// A request under way counts as one of its peer's connections.
#[derive(Debug)]
pub(crate) struct Lease {
    groups: Rc<RefCell<HashMap<usize, Group>>>,
    group: usize,
    peer: usize,
}

impl Drop for Lease {
    fn drop(&mut self) {
        let mut groups = self.groups.borrow_mut();
        if let Some(account) = groups
            .get_mut(&self.group)
            .and_then(|group| group.peers.get_mut(self.peer))
        {
            account.active = account.active.saturating_sub(1);
        }
    }
}

#[derive(Debug)]
struct Group {
    /// Held, so that its address stays its own.
    upstream: Arc<Upstream>,
    peers: Vec<Account>,
}

#[derive(Clone, Debug)]
struct Account {
    current: i64,
    /// The weight, lowered by failures.
    effective: i64,
    fails: u32,
    /// When it failed last, and when it was last given another chance.
    failed: Option<Instant>,
    checked: Option<Instant>,
    active: usize,
}

impl Balance {
    /// The next peer that is not in `tried`; `None` when there is no more. The
    /// request counts as one of its connections until the lease is dropped, also
    /// while the connection is being made.
    pub(crate) fn choose(
        &self,
        group: &Arc<Upstream>,
        tried: &[usize],
        hints: &Hints,
    ) -> Option<(usize, Option<Lease>)> {
        if is_single(group) {
            let chosen = tried.is_empty() && !group.peers[0].down;
            return chosen.then_some((0, None));
        }
        if group.transient {
            let count = group.peers.len();
            let first = tried.first().copied();
            let first = first.unwrap_or_else(|| self.random() as usize % count);
            let chosen = (first + tried.len()) % count;
            return (tried.len() < count).then_some((chosen, None));
        }
        let mut groups = self.groups.borrow_mut();
        if !groups.contains_key(&key(group)) {
            // Groups of an earlier configuration, or of an earlier lookup.
            groups.retain(|_, group| Arc::strong_count(&group.upstream) > 1);
        }
        let account = groups
            .entry(key(group))
            .or_insert_with(|| Group::new(group));
        let chosen = match &group.method {
            Method::RoundRobin | Method::LeastConnections => None,
            Method::IpHash => account.by_hash(tried, method::ip_hashes(hints.client)),
            Method::Hash(_) | Method::Consistent(..) if hints.key.is_empty() => None,
            Method::Hash(_) => account.by_hash(tried, method::key_hashes(&hints.key)),
            Method::Consistent(_, ring) => account.by_ring(tried, ring, &hints.key),
            Method::Random { two } => account.at_random(tried, *two, || self.random()),
        };
        let chosen = chosen
            .or_else(|| account.in_turn(tried, |peer, _| !group.peers[peer].backup))
            .or_else(|| account.in_turn(tried, |peer, _| group.peers[peer].backup))?;
        account.take(chosen);
        drop(groups);
        Some((chosen, self.lease(group, chosen)))
    }

    /// Counts a request to the peer until it is dropped; none where nobody asks
    /// how many there are.
    pub(crate) fn lease(&self, group: &Arc<Upstream>, peer: usize) -> Option<Lease> {
        if is_single(group) || group.transient {
            return None;
        }
        let mut groups = self.groups.borrow_mut();
        let account = groups.get_mut(&key(group));
        if let Some(account) = account.and_then(|group| group.peers.get_mut(peer)) {
            account.active += 1;
        }
        Some(Lease {
            groups: self.groups.clone(),
            group: key(group),
            peer,
        })
    }

    /// A try with the peer has ended; `true` when it is left alone from now
    /// on.
    pub(crate) fn report(&self, group: &Arc<Upstream>, peer: usize, ended: Ended) -> bool {
        if group.peers.len() == 1 {
            return false;
        }
        if group.transient {
            return ended == Ended::Badly;
        }
        let mut groups = self.groups.borrow_mut();
        let account = groups.get_mut(&key(group));
        let Some(state) = account.and_then(|account| account.peers.get_mut(peer)) else {
            return false;
        };
        let settings = &group.peers[peer];
        match ended {
            Ended::Badly => {
                let now = Some(Instant::now());
                (state.failed, state.checked) = (now, now);
                state.fails += 1;
                let Some(less) = settings.weight.checked_div(settings.max_fails) else {
                    return false;
                };
                state.effective = (state.effective - i64::from(less)).max(0);
                state.fails >= settings.max_fails
            }
            Ended::Well => {
                if state.failed < state.checked {
                    state.fails = 0;
                }
                false
            }
        }
    }

    /// The next number of a row that nobody needs to foresee or not to.
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

/// Whether there is nothing to choose and nothing to count.
fn is_single(group: &Upstream) -> bool {
    matches!(&group.peers[..], [only] if only.max_conns == 0)
}

fn key(group: &Arc<Upstream>) -> usize {
    Arc::as_ptr(group).addr()
}

impl Group {
    fn new(upstream: &Arc<Upstream>) -> Self {
        let account = |weight| Account {
            current: 0,
            effective: i64::from(weight),
            fails: 0,
            failed: None,
            checked: None,
            active: 0,
        };
        let peers: Vec<_> = upstream
            .peers
            .iter()
            .map(|peer| account(peer.weight))
            .collect();
        // Workers begin with different peers.
        let first = upstream.first.fetch_add(1, Ordering::Relaxed) % peers.len().max(1);
        let mut group = Self {
            upstream: upstream.clone(),
            peers,
        };
        for _ in 0..first {
            group.in_turn(&[], |peer, _| !upstream.peers[peer].backup);
        }
        group
    }

    /// Whether a peer may be asked now.
    fn is_free(&self, peer: usize, tried: &[usize]) -> bool {
        let (settings, account) = (&self.upstream.peers[peer], &self.peers[peer]);
        let resting = settings.max_fails > 0
            && account.fails >= settings.max_fails
            && account
                .checked
                .is_some_and(|at| at.elapsed() <= settings.fail_timeout);
        let full = settings.max_conns > 0 && account.active >= settings.max_conns;
        !settings.down && !resting && !full && !tried.contains(&peer)
    }

    /// Notes that a peer was chosen.
    fn take(&mut self, peer: usize) {
        let settings = &self.upstream.peers[peer];
        let account = &mut self.peers[peer];
        if account
            .checked
            .is_some_and(|at| at.elapsed() > settings.fail_timeout)
        {
            account.checked = Some(Instant::now());
        }
    }

    /// Smooth weighted round robin among those that `fit`; `least_conn` first
    /// leaves only those with the fewest requests for their weight.
    fn in_turn(&mut self, tried: &[usize], fits: impl Fn(usize, &Self) -> bool) -> Option<usize> {
        let mut free: Vec<usize> = (0..self.peers.len())
            .filter(|peer| self.is_free(*peer, tried) && fits(*peer, self))
            .collect();
        if matches!(self.upstream.method, Method::LeastConnections) {
            let load = |peer: usize| {
                let weight = u64::from(self.upstream.peers[peer].weight);
                // Compared as fractions: times the other's weight.
                (self.peers[peer].active as u64, weight)
            };
            let least = free.iter().map(|peer| load(*peer));
            let least = least.min_by(|(a, wa), (b, wb)| (a * wb).cmp(&(b * wa)))?;
            free.retain(|peer| {
                let (active, weight) = load(*peer);
                active * least.1 == least.0 * weight
            });
        }
        let mut total = 0;
        let mut best: Option<usize> = None;
        for peer in free {
            let weight = i64::from(self.upstream.peers[peer].weight);
            let account = &mut self.peers[peer];
            account.current += account.effective;
            total += account.effective;
            account.effective = weight.min(account.effective + 1);
            let current = account.current;
            if best.is_none_or(|best| current > self.peers[best].current) {
                best = Some(peer);
            }
        }
        let chosen = best?;
        self.peers[chosen].current -= total;
        Some(chosen)
    }

    /// The peer into whose share of all weights `point` falls.
    fn at(&self, point: u64) -> Option<usize> {
        let peers = self.upstream.peers.iter();
        let weights = peers.map(|peer| u64::from(peer.weight));
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

    /// The first free peer that a row of hashes leads to.
    fn by_hash(&self, tried: &[usize], hashes: impl Iterator<Item = u64>) -> Option<usize> {
        hashes.take(MOST_HASHES + 1).find_map(|hash| {
            let peer = self.at(hash)?;
            self.is_free(peer, tried).then_some(peer)
        })
    }

    /// The server behind the key on the ring, or one of those behind it.
    fn by_ring(&mut self, tried: &[usize], ring: &method::Ring, key: &[u8]) -> Option<usize> {
        let upstream = self.upstream.clone();
        ring.from(key).take(MOST_HASHES + 1).find_map(|server| {
            self.in_turn(tried, |peer, _| upstream.peers[peer].server == *server)
        })
    }

    fn at_random(&self, tried: &[usize], two: bool, random: impl Fn() -> u64) -> Option<usize> {
        let one = |other: Option<usize>| {
            (0..=MOST_HASHES).find_map(|_| {
                let peer = self.at(random())?;
                (self.is_free(peer, tried) && Some(peer) != other).then_some(peer)
            })
        };
        let first = one(None)?;
        let second = if two { one(Some(first)) } else { None };
        let load = |peer: usize| self.peers[peer].active as u64;
        let weight = |peer: usize| u64::from(self.upstream.peers[peer].weight);
        match second {
            Some(second) if load(second) * weight(first) < load(first) * weight(second) => {
                Some(second)
            }
            _ => Some(first),
        }
    }
}
