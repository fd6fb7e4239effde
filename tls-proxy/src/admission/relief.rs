//! Chooses whom to evict when demands wait:
//!
//! 1. clients that hold more than their share and are waited for,
//! 2. idle connections, the longest idle first,
//! 3. clients that hold more than their share, whatever they do,
//! 4. clients that are waited for, by memory times age,
//! 5. requests that wait for their upstream while later ones complete, or while none does or too
//!    few do, and who waits for more memory than it has.
//!
//! While no body is granted memory, those that wait for it may wait for each other's. So after
//! some time they, and the requests of 5, count as waited for even if no new client waits, if
//! they hold that of a body or are tunnels.
//!
//! The third and the fifth only after demands have waited long, and for memory. A client in
//! its handshake is evicted only for new clients, unless it has been waited for for long.

use std::cell::Cell;
use std::collections::BinaryHeap;
use std::time::{Duration, Instant};

use super::{Admission, FIRST_BYTES, GOAWAY_AFTER, Holder, NEW_CLIENT, SILENCE, Waits, to_signed};
use crate::time;

/// A client is evicted only after it has been waited for this long: its next bytes may need
/// a round trip.
const PATIENCE: Duration = Duration::from_millis(250);
/// The same once demands have waited long, except for a request's head; and for who waits
/// for a permit.
const LESS_PATIENCE: Duration = Duration::from_millis(100);
/// The same for tunnels, which may be quiet for a while, and for upstreams.
const STALL_TIME: Duration = Duration::from_secs(1);
/// Clients that would wait this long for others' requests to complete do not wait for those that
/// are stalled.
const LONG_WAIT: Duration = Duration::from_secs(2);
/// Holders that have waited this long for memory, while nobody was granted more for a body, are
/// taken to wait for each other.
const DEADLOCK: Duration = Duration::from_secs(5);
/// Time in which an evicted holder releases its memory. Later nothing is expected of it.
const RELEASE_TIME: Duration = Duration::from_millis(100);
/// After this many of its streams were reset to free memory, a connection is closed.
const CLOSE_AFTER: u32 = 2 * GOAWAY_AFTER;

/// The missing resources.
struct Missing {
    /// Connections or descriptors; only closing a connection frees these.
    connections: bool,
    /// Bytes missing for three sets of demands: the next one and all within a client's
    /// share; the next one and new clients; new clients only.
    all: i64,
    next: i64,
    new_clients: i64,
    /// A demand for memory has waited long.
    urgent: bool,
}

impl Missing {
    /// The bytes missing for the demands that a rank is evicted for: a holder of little is
    /// not evicted for a demand of much.
    fn for_rank(&self, (rank, _): Rank) -> i64 {
        match rank {
            STALLED | IN_HANDSHAKE => self.new_clients,
            WAITED_FOR => self.next,
            _ => self.all,
        }
    }

    fn expect(&mut self, memory: u64) {
        for missing in [&mut self.all, &mut self.next, &mut self.new_clients] {
            *missing -= to_signed(memory);
        }
    }
}

/// The order of eviction, the greatest first.
type Rank = (u8, u64);

const STALLED: u8 = 1;
const IN_HANDSHAKE: u8 = 2;
const WAITED_FOR: u8 = 3;
const OVER_SHARE_BUSY: u8 = 4;
const IDLE: u8 = 5;
const OVER_SHARE: u8 = 6;

impl Admission {
    /// Evicts as many holders as the waiting demands need.
    pub(super) fn relieve(&self) {
        let now = time::now();
        let last_eviction = self.last_eviction.get();
        if last_eviction.is_some_and(|time| now.saturating_duration_since(time) >= RELEASE_TIME) {
            self.expected.set(0);
        }
        let Some(mut missing) = self.missing(now) else {
            return;
        };
        if missing.all > 0 && self.reclaim_advances(&missing, now) {
            // It may be enough for those that wait.
            missing = match self.missing(now) {
                Some(missing) => missing,
                None => return,
            };
        }
        let mut candidates = self.candidates(&missing, now);
        // If nothing is missing for one rank, nothing is for lower ones.
        while let Some((rank, _, slot)) = candidates.pop()
            && (missing.connections || missing.for_rank(rank) > 0)
        {
            let victim = self.holders.borrow()[slot].clone();
            // Its connection has been evicted as a whole.
            if victim.client.closing.get() {
                continue;
            }
            let held = victim.evict().max(1);
            self.expect(held);
            missing.expect(held);
            if missing.connections {
                // One at a time, until it has been closed.
                return;
            }
        }
    }

    /// An evicted holder is expected to release `held` bytes soon.
    pub(super) fn expect(&self, held: u64) {
        self.expected.set(self.expected.get() + held);
        self.last_eviction.set(Some(time::now()));
    }

    /// Takes back what clients were granted for their first response, of those that are waited
    /// for: they keep their connections. Returns whether it was anything.
    fn reclaim_advances(&self, missing: &Missing, now: Instant) -> bool {
        let holders = self.holders.borrow();
        let unused = holders.iter().filter(|own| {
            let patience = match own.waits.get() {
                Waits::NotForClient | Waits::Memory => return false,
                Waits::FirstBytes => FIRST_BYTES,
                other => patience(other, missing.urgent),
            };
            own.is_connection && own.client.advance.get() > 0 && self.age(own, now) >= patience
        });
        unused.map(|own| self.release_advance(own)).count() > 0
    }

    fn missing(&self, now: Instant) -> Option<Missing> {
        let waiting = self.waiting.borrow();
        let for_long = self.is_crowded_for_long(now);
        let order = self.order(now);
        let next = waiting.iter().min_by_key(|own| own.turn(order, now));
        let demand = next.map(|own| own.demand);
        let sum = |most: u64| -> u64 {
            let some = waiting.iter().filter(|own| own.holds() <= most);
            some.map(|own| own.demand.memory).sum()
        };
        let left = self.memory.get() + to_signed(self.expected.get());
        let kept = demand.map_or(0, |own| self.kept_from(own.kind));
        let missing_of = |wanted: u64| match wanted {
            // The limit has been lowered.
            0 => left.min(0).saturating_neg(),
            _ => to_signed(wanted + kept) - left,
        };
        let own = demand.map_or(0, |own| own.memory);
        let new_clients = sum(NEW_CLIENT);
        let all = missing_of(sum(self.share()).max(own));
        let connections = demand.is_some_and(|demand| {
            i64::from(demand.connections) > self.connections.get()
                || i64::from(demand.descriptors) > self.descriptors.get()
        }) && self.expected.get() == 0;
        // Without a demand the limit has been lowered.
        let urgent = all > 0 && (for_long || self.crowded_since.get().is_none());
        (connections || all > 0).then_some(Missing {
            connections,
            all,
            next: missing_of(new_clients.max(own)),
            new_clients: missing_of(new_clients),
            urgent,
        })
    }

    /// Candidates for eviction: rank, memory held, index.
    fn candidates(&self, missing: &Missing, now: Instant) -> BinaryHeap<(Rank, u64, usize)> {
        let holders = self.holders.borrow();
        let all = holders.iter().enumerate();
        let ranked = all.filter_map(|(slot, own)| {
            let rank = self.rank(own, missing, now)?;
            Some((rank, own.held.get(), slot))
        });
        // A heap, because only few of perhaps many thousands are needed.
        ranked.collect::<Vec<_>>().into()
    }

    fn rank(&self, own: &Holder, missing: &Missing, now: Instant) -> Option<Rank> {
        let memory = missing.all > 0;
        if own.evicted.get().is_some() || (!memory && !own.is_connection) {
            return None;
        }
        let (age, urgent) = (self.age(own, now), missing.urgent);
        if age < patience(own.waits.get(), urgent) {
            return None;
        }
        let age_ms = u64::try_from(age.as_millis()).unwrap_or(u64::MAX);
        let by_size_and_age = age_ms.saturating_mul(own.held.get());
        let held = own.client.held.get();
        let over_share = held > self.share();
        // A connection whose memory is held by its streams is closed only after that many
        // of them were reset without effect.
        let by_streams = own.is_connection && own.held.get() < held.min(self.share());
        let in_vain = own.client.shed() >= CLOSE_AFTER;
        match own.waits.get() {
            Waits::Idle => Some((IDLE, age_ms)),
            Waits::NotForClient | Waits::Memory if !urgent || (by_streams && !in_vain) => None,
            Waits::NotForClient | Waits::Memory if over_share => Some((OVER_SHARE_BUSY, held)),
            // Tunnels whose side does not read what was sent to it give up first.
            Waits::Memory if own.is_of_tunnel() && age < STALL_TIME + PATIENCE => None,
            Waits::NotForClient if age < STALL_TIME || !self.is_stalled(own, now) => None,
            Waits::NotForClient | Waits::Memory
                if age >= DEADLOCK
                    && (own.held.get() > NEW_CLIENT || own.is_of_tunnel())
                    && self.is_deadlocked(now) =>
            {
                Some((WAITED_FOR, by_size_and_age))
            }
            // What it holds is what new clients wait for, and it may wait for theirs.
            Waits::NotForClient | Waits::Memory => Some((STALLED, by_size_and_age)),
            _ if over_share && memory => Some((OVER_SHARE, held)),
            Waits::FirstBytes | Waits::Handshake if age < STALL_TIME => {
                Some((IN_HANDSHAKE, by_size_and_age))
            }
            _ => Some((WAITED_FOR, by_size_and_age)),
        }
    }

    /// How long it has waited.
    fn age(&self, own: &Holder, now: Instant) -> Duration {
        // What a client has sent meanwhile may not have been read yet.
        let age = now.saturating_duration_since(own.since.get());
        age.saturating_sub(self.lag.get())
    }

    /// Whether a request that began after it has completed, or none for some time, while
    /// demands wait; or they complete so slowly that clients that have come wait too long.
    fn is_stalled(&self, own: &Holder, now: Instant) -> bool {
        let clients = u32::try_from(self.pending.get()).unwrap_or(u32::MAX);
        self.overtaken_before.get() > Some(own.since.get())
            || self.not_since(&self.ended, now)
            || self.pause.get().saturating_mul(clients) >= LONG_WAIT
    }

    /// Whether no body has been granted memory for some time although demands wait.
    fn is_deadlocked(&self, now: Instant) -> bool {
        self.not_since(&self.body_granted, now)
    }

    fn not_since(&self, last: &Cell<Option<Instant>>, now: Instant) -> bool {
        let last = last.get().max(self.crowded_since.get());
        last.is_some_and(|last| now.saturating_duration_since(last) >= STALL_TIME)
    }

    /// The memory one client may hold while others wait, bytes.
    pub(crate) fn share(&self) -> u64 {
        self.capacity.get().share()
    }
}

/// How long a holder is waited for before it is evicted. `urgent`: demands for memory have waited
/// long.
fn patience(waits: Waits, urgent: bool) -> Duration {
    match waits {
        Waits::Idle => Duration::ZERO,
        Waits::FirstBytes => SILENCE,
        Waits::Tunnel => STALL_TIME,
        Waits::Handshake | Waits::Body | Waits::Response | Waits::Memory if urgent => LESS_PATIENCE,
        _ => PATIENCE,
    }
}
