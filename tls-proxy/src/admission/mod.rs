//! Admission control: bounds what the connections, requests and bodies of a worker hold
//! together. Everything a peer can make the worker hold is reserved here first.
//!
//! Who finds no room waits; whoever wants least comes first. Meanwhile those who
//! hold memory without need are asked to give it up ([`relief`]). Once somebody has
//! waited for long the newest client is served first ([`pending`]).

mod capacity;
mod holder;
mod pending;
mod relief;
mod unread;

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

pub(crate) use crate::admission::capacity::*;
pub(crate) use crate::admission::holder::{Account, Client, Holder, Waits};
pub(crate) use crate::admission::pending::Pending;
pub(crate) use crate::admission::unread::{BodyFlow, Unread};
use crate::metrics;
use crate::time::cached_time;

/// How often those who hold memory without need are looked for while somebody
/// waits.
const CHECK_INTERVAL: Duration = Duration::from_millis(50);
/// Who has waited for this long for memory need not care what others need theirs
/// for, and not for whose turn it would be.
const URGENT_AFTER: Duration = Duration::from_millis(500);

/// The memory a client holds until its first response, bytes, if that is small.
const NEWCOMER: u64 = CONNECTION + HTTP2 + REQUEST;

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
    /// Connections that have been accepted and wait for their place.
    pending: Cell<usize>,
    /// Memory that may still be taken, bytes; below zero where the limit has
    /// become smaller.
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
    /// Start of the period in which a demand was waiting at each check.
    crowded_since: Cell<Option<Instant>>,
    /// Of the requests that completed while demands waited, the latest start: requests that
    /// started before it have been overtaken. And the time when the latest of them
    /// completed.
    overtaken_before: Cell<Option<Instant>>,
    ended: Cell<Option<Instant>>,
    /// A demand waits, or the limit has been lowered.
    pressed: Notify,
}

/// The resources a demand is for.
#[derive(Clone, Copy, Debug)]
struct Demand {
    kind: MemoryUse,
    connections: u32,
    descriptors: u32,
    /// Bytes.
    memory: u64,
}

impl Demand {
    /// A connection, with a descriptor for the upstream of its first request.
    const CONNECTION: Self = Self {
        kind: MemoryUse::Connection,
        connections: 1,
        descriptors: 2,
        memory: CONNECTION,
    };

    /// A stream's request, with a descriptor for its upstream.
    const STREAM: Self = Self {
        kind: MemoryUse::Request,
        connections: 0,
        descriptors: 1,
        memory: REQUEST,
    };

    fn memory(kind: MemoryUse, memory: u64) -> Self {
        Self {
            kind,
            connections: 0,
            descriptors: 0,
            memory,
        }
    }
}

/// A waiting demand.
#[derive(Debug)]
struct Waiting {
    demand: Demand,
    /// `None` for a connection that has not been accepted.
    client: Option<Rc<Client>>,
    since: Instant,
    /// When its client came, or else since when a place is wanted for the next one.
    came: Instant,
    granted: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

impl Waiting {
    /// The memory its client would then hold, bytes.
    fn holds(&self) -> u64 {
        let held = self.client.as_ref().map_or(0, |client| client.held.get());
        held + self.demand.memory
    }

    /// Whose turn it is: those who want less come before those who want more, and
    /// clients on their way to their first response one after the other, or, where others
    /// have waited for long, the newest first.
    fn turn(&self, newest_first: bool, now: Instant) -> (u64, Duration) {
        let order = match newest_first {
            true => now.saturating_duration_since(self.came),
            false => Duration::MAX - now.saturating_duration_since(self.since),
        };
        (self.holds().max(NEWCOMER), order)
    }
}

/// Granted resources, released when it is dropped.
#[derive(Debug)]
pub(crate) struct Permit {
    admission: Rc<Admission>,
    /// `None` if no client can be evicted for it.
    holder: Option<Rc<Holder>>,
    connections: u32,
    descriptors: u32,
    /// Memory by use, bytes.
    memory: [Cell<u64>; 3],
}

/// An accepted connection: its permit and its registration.
#[derive(Debug)]
pub(crate) struct Admitted {
    pub(crate) permit: Permit,
    pub(crate) account: Account,
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
            crowded_since: Cell::new(None),
            overtaken_before: Cell::new(None),
            ended: Cell::new(None),
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

    /// Waits for the permit of one more connection, which may be accepted much later.
    pub(crate) async fn for_connection(self: &Rc<Self>) -> Permit {
        self.acquire(Demand::CONNECTION, None).await;
        self.granted(Demand::CONNECTION, None)
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

    /// A permit for an idle connection to an upstream.
    pub(crate) fn try_for_idle_upstream(self: &Rc<Self>) -> Option<Permit> {
        let demand = Demand {
            descriptors: 1,
            ..Demand::memory(MemoryUse::Connection, IDLE_UPSTREAM)
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
        self.take_now(&demand)
            .then(|| self.granted(demand, holder.cloned()))
    }

    /// Whether a demand waits: responses then close their connections.
    pub(crate) fn is_crowded(&self) -> bool {
        !self.waiting.borrow().is_empty()
    }

    /// The same, for so long that the newest client is served first.
    fn is_crowded_for_long(&self) -> bool {
        let since = self.crowded_since.get();
        since.is_some_and(|since| since.elapsed() >= URGENT_AFTER)
    }

    /// Connections that wait for their place, and how many may.
    fn pending(&self) -> (usize, usize) {
        (self.pending.get(), self.capacity.get().pending())
    }

    fn add_pending(&self, more: isize) {
        let all = self.pending.get().saturating_add_signed(more);
        self.pending.set(all);
    }

    /// Whether descriptors are what somebody waits for.
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
                let checked = Instant::now();
                tokio::time::sleep(CHECK_INTERVAL).await;
                let late = checked.elapsed().saturating_sub(CHECK_INTERVAL);
                self.lag.set(late.max(self.lag.get() / 2));
            }
            self.crowded_since.set(None);
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
        if let Some(expected) = holder.evicted.get() {
            self.no_longer_expect(expected);
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

    async fn acquire(&self, demand: Demand, holder: Option<&Rc<Holder>>) {
        if self.take_now(&demand) {
            return;
        }
        if let Some(holder) = holder {
            holder.wait_for_permit();
        }
        let since = cached_time::now();
        let waiting = Rc::new(Waiting {
            demand,
            client: holder.map(|holder| holder.client.clone()),
            since,
            came: holder.map_or(since, |holder| holder.client.came),
            granted: Cell::new(false),
            waker: RefCell::default(),
        });
        if self.crowded_since.get().is_none() {
            self.crowded_since.set(Some(waiting.since));
        }
        self.waiting.borrow_mut().push(waiting.clone());
        let entry = QueueEntry {
            admission: self,
            waiting,
        };
        self.grant();
        self.relieve();
        self.pressed.notify_one();
        poll_fn(|cx| {
            if entry.waiting.granted.get() {
                return Poll::Ready(());
            }
            *entry.waiting.waker.borrow_mut() = Some(cx.waker().clone());
            Poll::Pending
        })
        .await;
        entry.waiting.granted.set(false);
    }

    /// Takes the resources if they are available and nobody waits.
    fn take_now(&self, demand: &Demand) -> bool {
        self.waiting.borrow().is_empty() && self.try_take(demand)
    }

    fn try_take(&self, demand: &Demand) -> bool {
        let connections = self.connections.get() - i64::from(demand.connections);
        let descriptors = self.descriptors.get() - i64::from(demand.descriptors);
        let memory = self.memory.get() - to_signed(demand.memory);
        let fits = (demand.connections == 0 || connections >= 0)
            && (demand.descriptors == 0 || descriptors >= 0)
            && (demand.memory == 0 || self.has_memory(demand));
        if fits {
            let used = &self.used[demand.kind as usize];
            used.set(used.get() + demand.memory);
            self.connections.set(connections);
            self.descriptors.set(descriptors);
            self.memory.set(memory);
            self.publish();
        }
        fits
    }

    fn has_memory(&self, demand: &Demand) -> bool {
        let left = self.memory.get() - to_signed(demand.memory);
        left >= to_signed(self.kept_from(demand.kind))
    }

    /// Memory that one use must leave to the others, bytes.
    fn kept_from(&self, kind: MemoryUse) -> u64 {
        let unused = MemoryUse::ALL.map(|other| match other == kind {
            true => 0,
            false => {
                let used = self.used[other as usize].get();
                self.kept[other as usize].get().saturating_sub(used)
            }
        });
        unused.iter().sum()
    }

    fn give_back(&self, connections: u32, descriptors: u32, memory: [u64; 3]) {
        for (used, memory) in self.used.iter().zip(memory) {
            used.set(used.get().saturating_sub(memory));
        }
        let memory = memory.iter().sum();
        self.connections
            .set(self.connections.get() + i64::from(connections));
        self.descriptors
            .set(self.descriptors.get() + i64::from(descriptors));
        self.memory.set(self.memory.get() + to_signed(memory));
        self.publish();
        if self.is_crowded() {
            self.grant();
        }
    }

    /// A request has completed. If others wait, requests that started before it have been
    /// overtaken.
    fn note_completed(&self, holder: &Holder) {
        if self.is_crowded() && holder.never_waited_for_client() && holder.evicted.get().is_none() {
            let began = Some(holder.since.get());
            self.overtaken_before
                .set(self.overtaken_before.get().max(began));
            self.ended.set(Some(cached_time::now()));
        }
    }

    /// Serves waiting demands in order. One that lacks memory is passed only by demands
    /// within the memory kept for their use.
    fn grant(&self) {
        let mut passed: Option<Rc<Waiting>> = None;
        let (newest_first, now) = (self.is_crowded_for_long(), Instant::now());
        loop {
            let short = passed
                .as_ref()
                .is_some_and(|own| !self.has_memory(&own.demand));
            let next = {
                let waiting = self.waiting.borrow();
                let others = waiting.iter().filter(|own| match &passed {
                    None => true,
                    Some(_) if short => self.is_kept_for(&own.demand),
                    // Connections or descriptors are lacking.
                    Some(_) => own.demand.connections + own.demand.descriptors == 0,
                });
                others
                    .min_by_key(|own| own.turn(newest_first, now))
                    .cloned()
            };
            let Some(next) = next else { return };
            if self.try_take(&next.demand) {
                self.waiting
                    .borrow_mut()
                    .retain(|own| !Rc::ptr_eq(own, &next));
                next.granted.set(true);
                if let Some(waker) = next.waker.borrow_mut().take() {
                    waker.wake();
                }
            } else if passed.replace(next).is_some() {
                return;
            }
        }
    }

    /// Whether a demand fits into the memory kept for its use.
    fn is_kept_for(&self, demand: &Demand) -> bool {
        let used = self.used[demand.kind as usize].get();
        used + demand.memory <= self.kept[demand.kind as usize].get()
    }
}

/// An entry of the queue, removed when it is granted or dropped.
struct QueueEntry<'a> {
    admission: &'a Admission,
    waiting: Rc<Waiting>,
}

impl Drop for QueueEntry<'_> {
    fn drop(&mut self) {
        let own = &self.waiting;
        if own.granted.get() {
            // It was granted, but its owner is gone.
            let demand = own.demand;
            let mut memory = [0; 3];
            memory[demand.kind as usize] = demand.memory;
            self.admission
                .give_back(demand.connections, demand.descriptors, memory);
        }
        self.admission
            .waiting
            .borrow_mut()
            .retain(|other| !Rc::ptr_eq(other, own));
    }
}

impl Holder {
    fn add(&self, memory: u64) {
        self.held.set(self.held.get() + memory);
        self.client.held.set(self.client.held.get() + memory);
    }

    fn subtract(&self, memory: u64) {
        self.held.set(self.held.get().saturating_sub(memory));
        let all = &self.client.held;
        all.set(all.get().saturating_sub(memory));
    }
}

impl Permit {
    /// The connection it was meant for has been accepted and can be evicted from now on.
    pub(crate) fn accepted(self) -> Admitted {
        let account = self.admission.register(Rc::new(Client::new()), true);
        let permit = self.transfer_to(account.holder());
        Admitted { permit, account }
    }

    /// Waits for `memory` more bytes, for a body or another short-lived need.
    pub(crate) async fn grow(&self, memory: u64) {
        let demand = Demand::memory(MemoryUse::Transfer, memory);
        self.admission.acquire(demand, self.holder.as_ref()).await;
        self.add(memory);
    }

    /// Takes `memory` more bytes if they are available and nobody waits.
    pub(crate) fn try_grow(&self, memory: u64) -> bool {
        let demand = Demand::memory(MemoryUse::Transfer, memory);
        let there = self.admission.take_now(&demand);
        if there {
            self.add(memory);
        }
        there
    }

    fn add(&self, memory: u64) {
        let own = &self.memory[MemoryUse::Transfer as usize];
        own.set(own.get() + memory);
        if let Some(holder) = &self.holder {
            holder.add(memory);
        }
    }

    /// Releases `memory` bytes of one use, or as many as it has.
    pub(crate) fn shrink(&self, kind: MemoryUse, memory: u64) {
        let own = &self.memory[kind as usize];
        let less = memory.min(own.get());
        own.set(own.get() - less);
        if let Some(holder) = &self.holder {
            holder.subtract(less);
        }
        let mut all = [0; 3];
        all[kind as usize] = less;
        self.admission.give_back(0, 0, all);
    }

    /// Counts `memory` bytes under another use from now on.
    pub(crate) fn reclassify(&self, before: MemoryUse, now: MemoryUse, memory: u64) {
        let moved = memory.min(self.memory(before));
        let used = &self.admission.used;
        for table in [&self.memory, used] {
            let (less, more) = (&table[before as usize], &table[now as usize]);
            less.set(less.get() - moved);
            more.set(more.get() + moved);
        }
    }

    fn sum(&self) -> u64 {
        self.memory.iter().map(Cell::get).sum()
    }

    /// Transfers it to another holder of the same client.
    pub(crate) fn transfer_to(mut self, holder: &Rc<Holder>) -> Self {
        let memory = self.sum();
        if let Some(before) = self.holder.replace(holder.clone()) {
            before.subtract(memory);
        }
        holder.add(memory);
        self
    }

    /// The response to its request has been sent.
    pub(crate) fn completed(&self) {
        if let Some(holder) = &self.holder {
            self.admission.note_completed(holder);
        }
    }

    /// Whether its holder has been evicted.
    pub(crate) fn is_evicted(&self) -> bool {
        let holder = self.holder.as_ref();
        holder.is_some_and(|holder| holder.evicted.get().is_some())
    }

    /// The memory of one use, bytes.
    pub(crate) fn memory(&self, kind: MemoryUse) -> u64 {
        self.memory[kind as usize].get()
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if let Some(holder) = &self.holder {
            holder.subtract(self.sum());
        }
        let memory = self.memory.each_ref().map(Cell::get);
        self.admission
            .give_back(self.connections, self.descriptors, memory);
    }
}

fn to_signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX / 2)
}

#[cfg(test)]
mod tests;
