//! Admission control: bounds what the connections, requests and bodies of a worker hold
//! together. Everything a peer can make the worker hold is reserved here first.
//!
//! A demand that does not fit waits; the smallest is served first. Meanwhile connections
//! and streams that hold memory without need are evicted ([`relief`]). Once a demand has
//! waited long, the newest client is served first ([`pending`]).

mod capacity;
mod holder;
pub(crate) mod pending;
mod permit;
mod queue;
mod relief;
pub(crate) mod table_size;
pub(crate) mod unread;

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::sync::Notify;

pub(crate) use crate::admission::capacity::*;
pub(crate) use crate::admission::holder::{Account, Client, Holder, Waits};
pub(crate) use crate::admission::permit::{Admitted, Need, Permit};
use crate::admission::queue::{Demand, Waiting};
use crate::metrics;
use crate::time;

/// Interval of looking for holders to evict while a demand waits.
const CHECK_INTERVAL: Duration = Duration::from_millis(50);
/// Once a demand has waited this long, holders are evicted that were spared before, and the
/// newest client is served first.
const URGENT_AFTER: Duration = Duration::from_millis(500);

/// A client's first bytes need no round trip: they are there after this time, or its client is
/// served after others, and nothing is kept for its first response while others wait.
pub(crate) const FIRST_BYTES: Duration = Duration::from_millis(20);
/// A connection whose client has sent nothing for so long may be closed for others.
pub(crate) const SILENCE: Duration = Duration::from_millis(100);

/// What a client needs beside its connection until its first response, bytes, if that is
/// small. The handshake's memory becomes that of HTTP/2.
const FIRST_RESPONSE: u64 = HTTP2 + REQUEST;
/// The memory a client holds until its first response, bytes, if that is small.
const NEW_CLIENT: u64 = CONNECTION + FIRST_RESPONSE;

/// What is logged of a request for which there is no memory.
pub(crate) const REJECTED: &str =
    "request rejected: memory limit reached; raise the container's memory limit";

/// The resources of a worker.
#[derive(Debug)]
pub(crate) struct Admission {
    capacity: Cell<Capacity>,
    /// Memory kept for each use, bytes.
    kept: [Cell<u64>; 3],
    /// Connections left.
    connections: Cell<i64>,
    /// Descriptors left.
    descriptors: Cell<i64>,
    /// Accepted connections that are not served yet.
    pending: Cell<usize>,
    /// Memory left, bytes; negative after the limit was lowered.
    memory: Cell<i64>,
    /// Memory in use, by use, bytes.
    used: [Cell<u64>; 3],
    /// Memory that the evicted holders are expected to release, bytes, and the time of the
    /// latest eviction.
    expected: Cell<u64>,
    last_eviction: Cell<Option<Instant>>,
    /// Delay of the latest check: for that long the worker may not have read from its
    /// clients.
    lag: Cell<Duration>,
    holders: RefCell<Vec<Rc<Holder>>>,
    waiting: RefCell<Vec<Rc<Waiting>>>,
    /// Demands granted after they had waited.
    grants: Cell<u32>,
    /// Start of the period in which a demand was waiting at each check.
    crowded_since: Cell<Option<Instant>>,
    /// Of the requests that completed while demands waited, the latest start: requests that
    /// started before it have been overtaken. And the time when the latest of them
    /// completed, and how long it takes from one to the next, on average.
    overtaken_before: Cell<Option<Instant>>,
    ended: Cell<Option<Instant>>,
    pause: Cell<Duration>,
    /// When a waiting demand for a body was last granted.
    body_granted: Cell<Option<Instant>>,
    /// A demand waits, or the limit has been lowered.
    pressed: Notify,
}

impl Admission {
    pub(crate) fn new(capacity: Capacity) -> Rc<Self> {
        let own = Self {
            capacity: Cell::new(capacity),
            kept: MemoryUse::ALL.map(|kind| Cell::new(capacity.kept(kind))),
            connections: Cell::new(to_signed(capacity.connections as u64)),
            descriptors: Cell::new(to_signed(capacity.descriptors as u64)),
            pending: Cell::new(0),
            memory: Cell::new(to_signed(capacity.memory())),
            used: Default::default(),
            expected: Cell::new(0),
            last_eviction: Cell::new(None),
            lag: Cell::new(Duration::ZERO),
            holders: RefCell::default(),
            waiting: RefCell::default(),
            grants: Cell::new(0),
            crowded_since: Cell::new(None),
            overtaken_before: Cell::new(None),
            ended: Cell::new(None),
            pause: Cell::new(Duration::ZERO),
            body_granted: Cell::new(None),
            pressed: Notify::new(),
        };
        metrics::memory_budget(capacity.budget());
        Rc::new(own)
    }

    /// Applies new limits, lower or higher.
    pub(crate) fn resize(&self, capacity: Capacity) {
        let before = self.capacity.replace(capacity);
        let more = |left: &Cell<i64>, now: u64, then: u64| {
            left.set(left.get() + to_signed(now) - to_signed(then));
        };
        let connections = |it: Capacity| it.connections as u64;
        let descriptors = |it: Capacity| it.descriptors as u64;
        more(
            &self.connections,
            connections(capacity),
            connections(before),
        );
        more(
            &self.descriptors,
            descriptors(capacity),
            descriptors(before),
        );
        more(&self.memory, capacity.memory(), before.memory());
        for kind in MemoryUse::ALL {
            self.kept[kind as usize].set(capacity.kept(kind));
        }
        metrics::memory_budget(capacity.budget());
        self.grant();
        self.pressed.notify_one();
    }

    /// Updates the metrics of memory in use.
    fn publish(&self) {
        metrics::memory_held(self.used.iter().map(Cell::get).sum());
    }

    /// A permit for one more connection, which may be accepted much later; `None` if it is
    /// not available or others wait.
    pub(crate) fn try_for_connection(self: &Rc<Self>) -> Option<Permit> {
        self.try_for(Demand::CONNECTION, None)
    }

    /// A permit for a connection of a socket that is closed next, beyond the limits: only its memory is
    /// counted, and up to a small part more than there is granted.
    pub(crate) fn beyond_limits(self: &Rc<Self>) -> Option<Permit> {
        let demand = Demand::memory(MemoryUse::Connection, CONNECTION);
        self.overdraw(&demand).then(|| self.granted(demand, None))
    }

    /// Waits for the permit of one more connection, with the memory that its client needs
    /// until its first response.
    pub(crate) async fn for_new_client(self: &Rc<Self>) -> Permit {
        self.acquire(Demand::NEW_CLIENT, None).await;
        self.granted(Demand::NEW_CLIENT, None)
    }

    /// An empty permit, for memory that a connection reserves separately from its own.
    pub(crate) fn empty_permit(self: &Rc<Self>, holder: &Rc<Holder>) -> Permit {
        self.granted(Demand::memory(MemoryUse::Transfer, 0), Some(holder.clone()))
    }

    /// A permit without resources, for a connection that is accepted in any case.
    pub(crate) fn uncounted(self: &Rc<Self>) -> Permit {
        self.granted(Demand::memory(MemoryUse::Connection, 0), None)
    }

    /// Registers a stream of a connection, which can be evicted by itself.
    pub(crate) fn stream(self: &Rc<Self>, connection: &Holder) -> Account {
        self.register(connection.client.clone(), false)
    }

    /// Waits for the permit of one more request of a connection or stream.
    pub(crate) async fn for_request(self: &Rc<Self>, holder: &Rc<Holder>) -> Permit {
        let demand = Demand::memory(MemoryUse::Request, REQUEST);
        self.acquire(demand, Some(holder)).await;
        self.granted(demand, Some(holder.clone()))
    }

    /// The same without waiting; `None` if it is not available or others wait.
    pub(crate) fn try_for_request(self: &Rc<Self>, holder: &Rc<Holder>) -> Option<Permit> {
        self.try_for(Demand::memory(MemoryUse::Request, REQUEST), Some(holder))
    }

    /// Whether memory is short for a request of this connection, or others wait.
    pub(crate) fn is_short_for_request(&self, holder: &Holder) -> bool {
        let demand = Demand::memory(MemoryUse::Request, REQUEST);
        self.capacity.get().memory.is_some()
            && holder.client.advance.get() < demand.memory
            && (self.is_crowded() || !self.has_memory(&demand))
    }

    /// Waits for the permit of one more stream's request, with a descriptor for its
    /// upstream.
    pub(crate) async fn for_stream(self: &Rc<Self>, holder: &Rc<Holder>) -> Permit {
        self.acquire(Demand::STREAM, Some(holder)).await;
        self.granted(Demand::STREAM, Some(holder.clone()))
    }

    /// The same without waiting; `None` if it is not available or others wait.
    pub(crate) fn try_for_stream(self: &Rc<Self>, holder: &Rc<Holder>) -> Option<Permit> {
        self.try_for(Demand::STREAM, Some(holder))
    }

    /// A permit for an idle connection to an upstream, with so many bytes for TLS.
    pub(crate) fn try_for_idle_upstream(self: &Rc<Self>, tls: u64) -> Option<Permit> {
        let demand = Demand {
            descriptors: 1,
            ..Demand::memory(MemoryUse::Connection, IDLE_UPSTREAM + tls)
        };
        self.try_for(demand, None)
    }

    /// A permit for a file kept open during a request; `None` if a demand waits for
    /// descriptors. Demands for other resources do not matter.
    pub(crate) fn try_for_file(self: &Rc<Self>) -> Option<Permit> {
        let demand = Demand {
            descriptors: 1,
            ..Demand::memory(MemoryUse::Transfer, 0)
        };
        let there = !self.wants_descriptors() && self.try_take(&demand);
        there.then(|| self.granted(demand, None))
    }

    fn try_for(self: &Rc<Self>, demand: Demand, holder: Option<&Rc<Holder>>) -> Option<Permit> {
        self.take_now(&demand, holder)
            .then(|| self.granted(demand, holder.cloned()))
    }

    /// One part in `parts` of the memory, bytes.
    pub(crate) fn part(&self, parts: u64) -> u64 {
        self.capacity.get().memory() / parts
    }

    /// Whether a demand waits: responses then close their connections.
    pub(crate) fn is_crowded(&self) -> bool {
        !self.waiting.borrow().is_empty()
    }

    /// Whether demands have waited so long that the newest client is served first.
    fn is_crowded_for_long(&self, now: Instant) -> bool {
        let since = self.crowded_since.get();
        since.is_some_and(|since| now.saturating_duration_since(since) >= URGENT_AFTER)
    }

    /// Accepted connections that are not served yet, and their limit.
    fn pending(&self) -> (usize, usize) {
        (self.pending.get(), self.capacity.get().pending())
    }

    fn add_pending(&self, more: isize) {
        let all = self.pending.get().saturating_add_signed(more);
        self.pending.set(all);
    }

    /// Whether a demand waits for descriptors.
    fn wants_descriptors(&self) -> bool {
        let left = self.descriptors.get();
        let waiting = self.waiting.borrow();
        waiting
            .iter()
            .any(|own| i64::from(own.demand.descriptors) > left)
    }

    /// Grants and evicts as long as a demand waits. Runs as a task of the worker.
    pub(crate) async fn run(&self, mut more_descriptors: impl FnMut()) {
        loop {
            self.pressed.notified().await;
            while self.is_crowded() || self.memory.get() < 0 {
                if self.wants_descriptors() {
                    more_descriptors();
                }
                self.grant();
                self.relieve();
                let checked = time::now();
                tokio::time::sleep(CHECK_INTERVAL).await;
                let late = time::now()
                    .saturating_duration_since(checked)
                    .saturating_sub(CHECK_INTERVAL);
                self.lag.set(late.max(self.lag.get() / 2));
            }
            self.crowded_since.set(None);
            self.pause.set(Duration::ZERO);
            self.lag.set(Duration::ZERO);
        }
    }

    fn register(self: &Rc<Self>, client: Rc<Client>, is_connection: bool) -> Account {
        let mut holders = self.holders.borrow_mut();
        let holder = Holder::new(self.clone(), client, is_connection, holders.len());
        let holder = Rc::new(holder);
        holders.push(holder.clone());
        Account(holder)
    }

    fn remove(&self, holder: &Holder) {
        let slot = holder.slot.get();
        let mut holders = self.holders.borrow_mut();
        holders.swap_remove(slot);
        if let Some(moved) = holders.get(slot) {
            moved.slot.set(slot);
        }
        drop(holders);
        if holder.is_connection {
            self.release_advance(holder);
        }
        if let Some(eviction) = holder.evicted.get() {
            self.no_longer_expect(eviction.held);
        }
    }

    /// Memory of an evicted holder that is no longer expected.
    fn no_longer_expect(&self, expected: u64) {
        let left = self.expected.get().saturating_sub(expected);
        self.expected.set(left);
        self.pressed.notify_one();
    }

    fn granted(self: &Rc<Self>, demand: Demand, holder: Option<Rc<Holder>>) -> Permit {
        if let Some(holder) = &holder {
            holder.add(demand.memory);
        }
        let permit = Permit {
            admission: self.clone(),
            holder,
            connections: demand.connections,
            descriptors: demand.descriptors,
            memory: Default::default(),
        };
        permit.memory[demand.kind as usize].set(demand.memory);
        permit
    }
}

fn to_signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX / 2)
}

#[cfg(test)]
mod tests;
