//! Choosing a peer: weighted round robin as nginx does it, with peers that
//! failed left alone for a while. Each worker keeps its own account.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use crate::modules::upstream::Upstream;

/// The accounts of all groups with more than one peer.
#[derive(Debug, Default)]
pub(crate) struct Balance(RefCell<HashMap<usize, Group>>);

#[derive(Debug)]
struct Group {
    /// Held, so that its address stays its own.
    upstream: Arc<Upstream>,
    peers: Vec<Account>,
}

#[derive(Clone, Debug, Default)]
struct Account {
    current: i64,
    fails: u32,
    failed_at: Option<Instant>,
    active: usize,
}

impl Balance {
    /// The next peer that is not in `tried`; `None` when there is no more.
    pub(crate) fn choose(&self, group: &Arc<Upstream>, tried: &[usize]) -> Option<usize> {
        if let [only] = &group.peers[..] {
            return (tried.is_empty() && !only.down).then_some(0);
        }
        let mut groups = self.0.borrow_mut();
        let account = groups
            .entry(key(group))
            .or_insert_with(|| Group::new(group));
        account
            .choose(tried, false)
            .or_else(|| account.choose(tried, true))
    }

    /// A request to the peer has ended, well or badly.
    pub(crate) fn report(&self, group: &Arc<Upstream>, peer: usize, failed: bool) {
        let mut groups = self.0.borrow_mut();
        let Some(account) = groups.get_mut(&key(group)) else {
            return;
        };
        let Some(state) = account.peers.get_mut(peer) else {
            return;
        };
        state.active = state.active.saturating_sub(1);
        if failed {
            let window = group.peers[peer].fail_timeout;
            if state.failed_at.is_none_or(|at| at.elapsed() > window) {
                state.fails = 0;
            }
            state.fails += 1;
            state.failed_at = Some(Instant::now());
        } else {
            state.fails = 0;
        }
    }
}

fn key(group: &Arc<Upstream>) -> usize {
    Arc::as_ptr(group).addr()
}

impl Group {
    fn new(upstream: &Arc<Upstream>) -> Self {
        let peers = vec![Account::default(); upstream.peers.len()];
        // Workers begin with different peers.
        let first = upstream.first.fetch_add(1, Ordering::Relaxed) % peers.len().max(1);
        let mut group = Self {
            upstream: upstream.clone(),
            peers,
        };
        for _ in 0..first {
            group.choose(&[], false);
        }
        for account in &mut group.peers {
            account.active = 0;
        }
        group
    }

    fn choose(&mut self, tried: &[usize], backup: bool) -> Option<usize> {
        let mut total = 0;
        let mut best: Option<usize> = None;
        for (index, peer) in self.upstream.peers.iter().enumerate() {
            let account = &mut self.peers[index];
            let resting = peer.max_fails > 0
                && account.fails >= peer.max_fails
                && account
                    .failed_at
                    .is_some_and(|at| at.elapsed() <= peer.fail_timeout);
            if peer.down || peer.backup != backup || resting || tried.contains(&index) {
                continue;
            }
            total += i64::from(peer.weight);
            account.current += i64::from(peer.weight);
            let better = |best: usize| {
                let (own, other) = (&self.peers[index], &self.peers[best]);
                if self.upstream.least_connections && own.active != other.active {
                    own.active < other.active
                } else {
                    own.current > other.current
                }
            };
            if best.is_none_or(better) {
                best = Some(index);
            }
        }
        let chosen = best?;
        self.peers[chosen].current -= total;
        self.peers[chosen].active += 1;
        Some(chosen)
    }
}
