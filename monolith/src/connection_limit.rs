//! The limit on connections of a port. At the limit, a new connection evicts
//! another one or waits in the backlog.
//!
//! A connection whose response is pending is never evicted. Of the others, those
//! with an unfinished request go first, then idle ones, the oldest first: a client
//! that sends half a request must not keep others out.

use crate::activity::{Activity, State};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;

/// At the limit, one connection of every so many is evicted at once, so that the
/// search for candidates is rare where there are many.
const EVICTION_SHARE: usize = 64;
/// How long to wait for a permit before evicting again: a connection that could
/// not be evicted may have got its response by then.
const RETRY: Duration = Duration::from_millis(100);

/// The limit of one port. Clones share it.
#[derive(Debug, Clone)]
pub(crate) struct ConnectionLimit(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    max: AtomicUsize,
    open: AtomicUsize,
    connections: Mutex<Connections>,
    /// Notified when a connection has closed or the limit has changed. Only one
    /// task waits: the accept loop, and during the drain the one that ends it.
    released: Notify,
}

#[derive(Debug, Default)]
struct Connections {
    next_id: u64,
    /// Ordered by age.
    by_id: BTreeMap<u64, (Activity, Arc<Notify>)>,
}

/// One connection's part of the limit, returned when dropped.
#[derive(Debug)]
pub(crate) struct ConnectionPermit {
    limit: ConnectionLimit,
    id: u64,
    pub(crate) activity: Activity,
    evict: Arc<Notify>,
}

impl ConnectionLimit {
    pub(crate) fn new(max: u32) -> Self {
        Self(Arc::new(Shared {
            max: AtomicUsize::new(max as usize),
            open: AtomicUsize::new(0),
            connections: Mutex::default(),
            released: Notify::new(),
        }))
    }

    /// The largest number of connections.
    pub(crate) fn max(&self) -> usize {
        self.0.max.load(Ordering::Relaxed)
    }

    /// Whether a new connection has to evict another one.
    pub(crate) fn is_reached(&self) -> bool {
        self.0.open.load(Ordering::Relaxed) >= self.max()
    }

    /// Changes the limit. If more connections are open, those that may be evicted
    /// are, and the others close after their response.
    pub(crate) fn resize(&self, max: u32) {
        self.0.max.store(max as usize, Ordering::Relaxed);
        let open = self.0.open.load(Ordering::Relaxed);
        if let Some(excess) = open.checked_sub(max as usize) {
            self.evict(excess);
        }
        self.0.released.notify_one();
    }

    /// A permit for a new connection, as soon as the limit allows it.
    pub(crate) async fn acquire(&self) -> ConnectionPermit {
        while self.is_reached() {
            let open = self.0.open.load(Ordering::Relaxed);
            self.evict((open / EVICTION_SHARE).max(1));
            let _ = tokio::time::timeout(RETRY, self.0.released.notified()).await;
        }
        let activity = Activity::begin();
        let evict = Arc::new(Notify::new());
        let mut connections = self.connections();
        let id = connections.next_id;
        connections.next_id += 1;
        connections
            .by_id
            .insert(id, (activity.clone(), Arc::clone(&evict)));
        let open = connections.by_id.len();
        self.0.open.store(open, Ordering::Relaxed);
        ConnectionPermit {
            limit: self.clone(),
            id,
            activity,
            evict,
        }
    }

    /// Waits until no connection is open.
    pub(crate) async fn all_released(&self) {
        while self.0.open.load(Ordering::Relaxed) > 0 {
            self.0.released.notified().await;
        }
    }

    /// Evicts up to `count` connections.
    fn evict(&self, count: usize) {
        let connections = self.connections();
        let in_state = |matches: fn(State) -> bool| {
            let all = connections.by_id.values();
            all.filter(move |(activity, _)| matches(activity.state()))
        };
        let unfinished = in_state(|state| matches!(state, State::Connected | State::ReadingHeader));
        let idle = in_state(|state| state == State::Idle);
        for (_, evict) in unfinished.chain(idle).take(count) {
            evict.notify_one();
        }
    }

    fn connections(&self) -> MutexGuard<'_, Connections> {
        let lock = self.0.connections.lock();
        lock.unwrap_or_else(PoisonError::into_inner)
    }
}

impl ConnectionPermit {
    /// Waits until the connection is to close in favour of a new one.
    pub(crate) async fn evicted(&self) {
        self.evict.notified().await;
    }

    /// The limit that this permit is of.
    pub(crate) fn limit(&self) -> &ConnectionLimit {
        &self.limit
    }
}

impl Drop for ConnectionPermit {
    fn drop(&mut self) {
        let mut connections = self.limit.connections();
        connections.by_id.remove(&self.id);
        let shared = &self.limit.0;
        shared
            .open
            .store(connections.by_id.len(), Ordering::Relaxed);
        drop(connections);
        shared.released.notify_one();
    }
}
