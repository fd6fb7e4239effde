//! Permits: granted resources, which grow, shrink and are released when they are dropped.

use std::cell::Cell;
use std::fmt;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use super::capacity::{CONNECTION, MemoryUse};
use super::queue::Demand;
use super::{Account, Admission, Client, FIRST_RESPONSE, Holder};

/// Granted resources, released when it is dropped.
#[derive(Debug)]
pub(crate) struct Permit {
    pub(super) admission: Rc<Admission>,
    /// `None` if no client can be evicted for it.
    pub(super) holder: Option<Rc<Holder>>,
    pub(super) connections: u32,
    pub(super) descriptors: u32,
    /// Memory by use, bytes.
    pub(super) memory: [Cell<u64>; 3],
}

/// An accepted connection: its permit and its registration.
#[derive(Debug)]
pub(crate) struct Admitted {
    pub(crate) permit: Permit,
    pub(crate) account: Account,
}

/// Memory that a body needs before its next piece, and the wait for it.
#[derive(Default)]
pub(crate) struct Need {
    /// Bytes.
    memory: u64,
    wait: Option<Pin<Box<dyn Future<Output = ()>>>>,
}

impl Need {
    pub(crate) fn is_zero(&self) -> bool {
        self.memory == 0
    }

    /// `memory` more bytes are needed. Not while it is waited for.
    pub(crate) fn add(&mut self, memory: u64) {
        self.memory += memory;
    }
}

impl fmt::Debug for Need {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_tuple("Need").field(&self.memory).finish()
    }
}

impl Permit {
    /// The connection it was meant for has been accepted and can be evicted from now on.
    pub(crate) fn accepted(self) -> Admitted {
        let account = self.admission.register(Rc::new(Client::new()), true);
        let permit = self.transfer_to(account.holder());
        let advance = permit.advance();
        let connection = &permit.memory[MemoryUse::Connection as usize];
        connection.set(connection.get() - advance);
        account.holder().client.advance.set(advance);
        Admitted { permit, account }
    }

    /// Takes what its client needs until its first response, unless it has it; `false` if there
    /// is not so much. Before it is accepted.
    pub(crate) fn take_advance(&self) -> bool {
        if self.advance() > 0 {
            return true;
        }
        let demand = Demand::memory(MemoryUse::Connection, FIRST_RESPONSE);
        let taken = self.admission.try_take(&demand);
        if taken {
            let own = &self.memory[MemoryUse::Connection as usize];
            own.set(own.get() + demand.memory);
        }
        taken
    }

    /// An empty one of the same holder.
    pub(crate) fn another(&self) -> Option<Self> {
        Some(self.admission.empty_permit(self.holder.as_ref()?))
    }

    /// Keeps what a connection needs while its client sends nothing.
    pub(crate) fn give_up_advance(&self) {
        self.shrink(MemoryUse::Connection, self.advance());
    }

    /// What a connection has been granted for its first response, bytes.
    fn advance(&self) -> u64 {
        self.memory(MemoryUse::Connection)
            .saturating_sub(CONNECTION)
    }

    /// Waits for `memory` more bytes, for a body or another short-lived need.
    pub(crate) async fn grow(&self, memory: u64) {
        let demand = Demand::memory(MemoryUse::Transfer, memory);
        self.admission.acquire(demand, self.holder.as_ref()).await;
        self.add(memory);
    }

    /// The same as [`Self::grow`] for a task that does nothing else meanwhile: its client, whose
    /// request may not be whole yet, is not waited for.
    pub(crate) async fn grow_alone(&self, memory: u64) {
        if !self.try_grow(memory) {
            if let Some(holder) = &self.holder {
                holder.stop_waiting();
            }
            self.grow(memory).await;
        }
    }

    /// Takes `memory` more bytes if they are available and nobody waits.
    pub(crate) fn try_grow(&self, memory: u64) -> bool {
        let demand = Demand::memory(MemoryUse::Transfer, memory);
        let there = self.admission.take_now(&demand, self.holder.as_ref());
        if there {
            self.add(memory);
        }
        there
    }

    /// The same as [`Self::grow`] for what is polled. Nothing is needed any more when it is ready.
    pub(crate) fn poll_grow(&self, need: &mut Need, cx: &mut Context<'_>) -> Poll<()> {
        if need.memory == 0 {
            return Poll::Ready(());
        }
        if need.wait.is_some() || !self.try_grow(need.memory) {
            let wait = need.wait.get_or_insert_with(|| {
                let (admission, holder) = (self.admission.clone(), self.holder.clone());
                let demand = Demand::memory(MemoryUse::Transfer, need.memory);
                Box::pin(async move { admission.acquire(demand, holder.as_ref()).await })
            });
            ready!(wait.as_mut().poll(cx));
            self.add(need.memory);
        }
        *need = Need::default();
        Poll::Ready(())
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
        self.admission.put_back(Demand::memory(kind, less));
    }

    /// Takes `memory` bytes of [`MemoryUse::Transfer`] for what outlives the request, and so belongs
    /// to no client.
    pub(crate) fn split(&self, memory: u64) -> Self {
        let memory = memory.min(self.memory(MemoryUse::Transfer));
        self.reclassify(MemoryUse::Transfer, MemoryUse::Connection, memory);
        let own = &self.memory[MemoryUse::Connection as usize];
        own.set(own.get() - memory);
        if let Some(holder) = &self.holder {
            holder.subtract(memory);
        }
        let demand = Demand::memory(MemoryUse::Connection, memory);
        self.admission.granted(demand, None)
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

    /// Whether others wait for what it has.
    pub(crate) fn is_wanted(&self) -> bool {
        self.admission.is_crowded()
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
