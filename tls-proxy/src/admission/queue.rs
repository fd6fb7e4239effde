//! Demands that wait for a permit: what they ask for, their order, and who is served next.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};

use super::capacity::{CONNECTION, MemoryUse, OVERDRAFT, REQUEST, TRANSFER};
use super::{Admission, Client, Holder, NEW_CLIENT, to_signed};
use crate::time;
use crate::time::cached_time;

/// The resources a demand is for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Demand {
    pub(super) kind: MemoryUse,
    pub(super) connections: u32,
    pub(super) descriptors: u32,
    /// Bytes.
    pub(super) memory: u64,
}

impl Demand {
    /// A connection, with a descriptor for the upstream of its first request.
    pub(super) const CONNECTION: Self = Self {
        kind: MemoryUse::Connection,
        connections: 1,
        descriptors: 2,
        memory: CONNECTION,
    };

    /// The same with what its client needs until its first response, so that nobody who has
    /// been let in waits for more while holding what others wait for.
    pub(super) const NEW_CLIENT: Self = Self {
        memory: NEW_CLIENT,
        ..Self::CONNECTION
    };

    /// A stream's request, with a descriptor for its upstream.
    pub(super) const STREAM: Self = Self {
        kind: MemoryUse::Request,
        connections: 0,
        descriptors: 1,
        memory: REQUEST,
    };

    pub(super) fn memory(kind: MemoryUse, memory: u64) -> Self {
        Self {
            kind,
            connections: 0,
            descriptors: 0,
            memory,
        }
    }
}

/// Once the newest are served first, every so many grants one goes to the accepted client
/// that has waited longest: however many connect, those who stay are served, too.
pub(super) const ACCEPTED_EVERY: u32 = 8;

/// The order of demands whose clients would hold the same.
#[derive(Clone, Copy, Debug)]
pub(super) enum Order {
    Arrival,
    /// Connections that have not been accepted, their listeners in turn, then the newest
    /// client.
    Newest,
    /// Clients that have been accepted, the longest waiting first.
    Accepted,
}

/// A waiting demand.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) demand: Demand,
    /// `None` for a connection that has not been accepted.
    client: Option<Rc<Client>>,
    since: Instant,
    granted: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

impl Waiting {
    /// The memory its client would then hold, bytes.
    pub(super) fn holds(&self) -> u64 {
        let held = self.client.as_ref().map_or(0, |client| client.held.get());
        held + self.demand.memory
    }

    /// Whether a request that waits for the memory of a body, or of more of it, gets on by it. A
    /// small amount of more is needed for less: a head, unread frames.
    fn is_for_body(&self) -> bool {
        let demand = &self.demand;
        demand.kind == MemoryUse::Transfer && demand.memory >= TRANSFER / 2
    }

    /// The order of service, lowest first: by the memory the client would then hold;
    /// clients that wait for their first response count alike.
    pub(super) fn turn(&self, order: Order, now: Instant) -> (u64, u8, Duration) {
        let longest_first = Duration::MAX - now.saturating_duration_since(self.since);
        let (group, order) = match (&self.client, order) {
            (Some(client), Order::Newest) => (2, now.saturating_duration_since(client.came)),
            (Some(_), Order::Accepted) => (0, longest_first),
            _ => (1, longest_first),
        };
        (self.holds().max(NEW_CLIENT), group, order)
    }
}

impl Admission {
    pub(super) async fn acquire(&self, demand: Demand, holder: Option<&Rc<Holder>>) {
        if self.take_now(&demand, holder) {
            return;
        }
        if let Some(holder) = holder {
            holder.wait_for_permit();
            if self.exceeds_all(&demand, holder) {
                // It ends, and nobody else is evicted for it in vain.
                return holder.refused().await;
            }
        }
        let waiting = Rc::new(Waiting {
            demand,
            client: holder.map(|holder| holder.client.clone()),
            since: cached_time::now(),
            granted: Cell::new(false),
            waker: RefCell::default(),
        });
        if self.crowded_since.get().is_none() {
            self.crowded_since.set(Some(waiting.since));
        }
        self.waiting.borrow_mut().push(waiting.clone());
        let entry = QueueEntry {
            admission: self,
            holder,
            waiting,
        };
        self.grant();
        self.relieve();
        self.pressed.notify_one();
        poll_fn(|cx| {
            if entry.waiting.granted.get() {
                return Poll::Ready(());
            }
            if let Some(holder) = holder {
                // Its task may have done something else meanwhile.
                holder.wait_for_permit();
            }
            *entry.waiting.waker.borrow_mut() = Some(cx.waker().clone());
            Poll::Pending
        })
        .await;
        entry.waiting.granted.set(false);
    }

    /// Whether there will never be so much memory, whoever else is evicted.
    fn exceeds_all(&self, demand: &Demand, holder: &Holder) -> bool {
        let others = MemoryUse::ALL
            .iter()
            .filter(|kind| **kind != demand.kind)
            .map(|kind| self.kept[*kind as usize].get());
        let others: u64 = others.sum();
        // What it has for bodies it keeps while it waits.
        let all = demand.memory + holder.held.get().saturating_sub(NEW_CLIENT);
        all > self.capacity.get().memory().saturating_sub(others)
    }

    /// Takes the resources if they are available and nobody waits, or out of what the
    /// client was granted in advance.
    pub(super) fn take_now(&self, demand: &Demand, holder: Option<&Rc<Holder>>) -> bool {
        let taken = holder.is_some_and(|holder| self.take_from_advance(demand, holder))
            || (self.waiting.borrow().is_empty() && self.try_take(demand));
        if let Some(holder) = holder
            && taken
            && holder.is_connection
            && demand.kind == MemoryUse::Request
        {
            self.release_advance(holder);
        }
        taken
    }

    fn take_from_advance(&self, demand: &Demand, holder: &Holder) -> bool {
        let Some(rest) = holder.client.advance.get().checked_sub(demand.memory) else {
            return false;
        };
        let descriptors = self.descriptors.get() - i64::from(demand.descriptors);
        if !holder.is_connection || (demand.descriptors > 0 && descriptors < 0) {
            return false;
        }
        self.descriptors.set(descriptors);
        let (advance, own) = (MemoryUse::Connection as usize, demand.kind as usize);
        self.used[advance].set(self.used[advance].get() - demand.memory);
        self.used[own].set(self.used[own].get() + demand.memory);
        // It is added again as what it is granted for.
        holder.subtract(demand.memory);
        holder.client.advance.set(rest);
        true
    }

    /// Releases what is left of a client's advance.
    pub(super) fn release_advance(&self, holder: &Holder) {
        let rest = holder.client.advance.take();
        if rest > 0 {
            holder.subtract(rest);
            self.put_back(Demand::memory(MemoryUse::Connection, rest));
        }
    }

    pub(super) fn try_take(&self, demand: &Demand) -> bool {
        self.take_beyond(demand, 0)
    }

    /// Takes memory although it is not available, or others wait for it, up to a small part more than
    /// there is.
    pub(super) fn overdraw(&self, demand: &Demand) -> bool {
        self.take_beyond(demand, self.capacity.get().memory() / OVERDRAFT)
    }

    /// Takes the resources if no more than so many bytes are missing.
    fn take_beyond(&self, demand: &Demand, memory: u64) -> bool {
        let connections = self.connections.get() - i64::from(demand.connections);
        let descriptors = self.descriptors.get() - i64::from(demand.descriptors);
        let fits = (demand.connections == 0 || connections >= 0)
            && (demand.descriptors == 0 || descriptors >= 0)
            && (demand.memory == 0 || self.lacks(demand) <= to_signed(memory));
        if fits {
            let used = &self.used[demand.kind as usize];
            used.set(used.get() + demand.memory);
            self.connections.set(connections);
            self.descriptors.set(descriptors);
            self.memory
                .set(self.memory.get() - to_signed(demand.memory));
            self.publish();
        }
        fits
    }

    /// The memory that is missing for the demand, bytes; negative if more is there.
    fn lacks(&self, demand: &Demand) -> i64 {
        let left = self.memory.get() - to_signed(demand.memory);
        to_signed(self.kept_from(demand.kind)) - left
    }

    pub(super) fn has_memory(&self, demand: &Demand) -> bool {
        self.lacks(demand) <= 0
    }

    /// Memory that one use must leave to the others, bytes.
    pub(super) fn kept_from(&self, kind: MemoryUse) -> u64 {
        let unused = MemoryUse::ALL.map(|other| match other == kind {
            true => 0,
            false => {
                let used = self.used[other as usize].get();
                self.kept[other as usize].get().saturating_sub(used)
            }
        });
        unused.iter().sum()
    }

    /// Releases what has been taken for a demand.
    pub(super) fn put_back(&self, demand: Demand) {
        let mut memory = [0; 3];
        memory[demand.kind as usize] = demand.memory;
        self.give_back(demand.connections, demand.descriptors, memory);
    }

    pub(super) fn give_back(&self, connections: u32, descriptors: u32, memory: [u64; 3]) {
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
    pub(super) fn note_completed(&self, holder: &Holder) {
        if self.is_crowded() && holder.never_waited_for_client() && holder.evicted.get().is_none() {
            let began = Some(holder.since.get());
            self.overtaken_before
                .set(self.overtaken_before.get().max(began));
            let now = cached_time::now();
            // One before all this is no measure.
            let last = self.ended.replace(Some(now)).max(self.crowded_since.get());
            let pause = last.map_or(Duration::ZERO, |last| now.saturating_duration_since(last));
            self.pause.set((self.pause.get() * 3 + pause) / 4);
        }
    }

    /// Serves waiting demands in order. One that lacks memory is passed only by demands
    /// within the memory kept for their use.
    pub(super) fn grant(&self) {
        let mut passed: Option<Rc<Waiting>> = None;
        let now = time::now();
        loop {
            let order = self.order(now);
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
                others.min_by_key(|own| own.turn(order, now)).cloned()
            };
            let Some(next) = next else { return };
            if self.try_take(&next.demand) {
                self.grants.set(self.grants.get().wrapping_add(1));
                if next.is_for_body() {
                    self.body_granted.set(Some(now));
                }
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

    /// Whose turn it is.
    pub(super) fn order(&self, now: Instant) -> Order {
        match self.is_crowded_for_long(now) {
            false => Order::Arrival,
            true if self.grants.get() % ACCEPTED_EVERY == ACCEPTED_EVERY - 1 => Order::Accepted,
            true => Order::Newest,
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
    holder: Option<&'a Rc<Holder>>,
    waiting: Rc<Waiting>,
}

impl Drop for QueueEntry<'_> {
    fn drop(&mut self) {
        let own = &self.waiting;
        if let Some(holder) = self.holder {
            holder.stop_waiting_for_permit();
        }
        if own.granted.get() {
            // It was granted, but its owner is gone.
            self.admission.put_back(own.demand);
        }
        self.admission
            .waiting
            .borrow_mut()
            .retain(|other| !Rc::ptr_eq(other, own));
    }
}
