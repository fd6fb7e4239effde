//! A worker's state, as its connections and requests use it.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use tokio::sync::Notify;

use super::hashers::Hashers;
use super::live_config::ConfigHandle;
use super::scratch::Scratch;
use crate::admission::{Admission, Capacity};
use crate::lifecycle::drain::Drain;
use crate::time::clock::Clock;
use crate::upstream::balance::Balance;
use crate::upstream::dns;
use crate::upstream::pool::Pool;

/// A worker's state; it belongs to one thread.
pub(crate) struct Worker {
    /// From 0.
    pub(crate) number: usize,
    config: RefCell<ConfigHandle>,
    pub(crate) pool: Pool,
    pub(crate) balance: Balance,
    pub(crate) names: dns::ResolverCache,
    /// Upstream groups whose servers are resolved at run time.
    pub(crate) groups: dns::ResolvedGroups,
    pub(crate) drain: Drain,
    pub(crate) clock: Clock,
    connections: Cell<u64>,
    /// The number of workers: connection numbers do not repeat among them.
    workers: usize,
    pub(crate) admission: Rc<Admission>,
    /// For writing the heads of messages.
    pub(crate) scratch: Scratch,
    /// For `auth_basic`.
    pub(crate) hashers: Hashers,
    /// Wakes idle connections when the configuration changes.
    pub(crate) reloaded: Notify,
}

impl Worker {
    /// Worker `number`, from 0, of `workers`, without connections.
    pub(crate) fn new(
        number: usize,
        workers: usize,
        capacity: Capacity,
        config: ConfigHandle,
    ) -> Self {
        Self {
            number,
            workers,
            config: RefCell::new(config),
            pool: Pool::default(),
            balance: Balance::default(),
            names: dns::ResolverCache::default(),
            groups: dns::ResolvedGroups::default(),
            drain: Drain::new(),
            clock: Clock::new(),
            connections: Cell::new(0),
            admission: Admission::new(capacity),
            scratch: Scratch::default(),
            hashers: Hashers::default(),
            reloaded: Notify::new(),
        }
    }

    /// The configuration in force.
    pub(crate) fn config(&self) -> ConfigHandle {
        self.config.borrow().clone()
    }

    /// Sets the configuration for the requests to come.
    pub(crate) fn set_config(&self, config: ConfigHandle) {
        self.config.replace(config);
    }

    /// The number of a new connection, unique among all workers.
    pub(crate) fn next_connection(&self) -> u64 {
        let own = self.connections.get();
        self.connections.set(own + 1);
        own * self.workers as u64 + self.number as u64 + 1
    }

    /// Whether responses should close their connection.
    pub(crate) fn should_close(&self) -> bool {
        self.admission.is_crowded() || self.drain.phase().is_ending()
    }
}
