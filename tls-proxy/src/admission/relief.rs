//! Who is asked to give up what it holds, so that others need not wait:
//!
//! 1. whoever holds more than a client's share and is waited for,
//! 2. whoever has been idle, the longest first,
//! 3. whoever holds more than its share, whatever it does,
//! 4. whoever has been waited for, the more it holds and the longer it is, the sooner,
//! 5. requests that their upstream keeps waiting while later ones come to their end, or
//!    none does.
//!
//! The third and the last of them only when others have had to wait for long, and for
//! memory.

use std::collections::BinaryHeap;
use std::time::{Duration, Instant};

use super::{Admission, GOAWAY_AFTER, Holder, LONG, NEWCOMER, Waits, to_signed};

/// A client that has been waited for no longer than this is not asked to give up:
/// its next bytes may be on their way, for which they need a round trip.
const PATIENCE: Duration = Duration::from_millis(250);
/// The same for the rest of a handshake where others have waited for long.
const LESS_PATIENCE: Duration = Duration::from_millis(100);
/// What a client says first it sends as soon as it is connected: for that it needs no
/// round trip.
const FIRST_WORDS: Duration = Duration::from_millis(100);
/// A tunnel is meant to be still for a while, and an upstream may need some time.
const STILL: Duration = Duration::from_secs(1);
/// Who has been asked to give up does so at once, or cannot: from then on nothing is
/// expected of it.
const AT_ONCE: Duration = Duration::from_millis(100);
/// A connection of which so many streams have been reset to make room is closed.
const CLOSE_AFTER: u32 = 2 * GOAWAY_AFTER;

/// What is missing.
struct Missing {
    /// Connections; only whole connections help.
    connections: bool,
    /// Bytes: for those whose turn it is and all others who want no more than a
    /// client's share; for those whose turn it is and newcomers; for newcomers alone.
    all: i64,
    next: i64,
    newcomers: i64,
    /// Somebody has waited for long.
    urgent: bool,
}

impl Missing {
    /// What is missing for those for whom a holder of a rank is to give up, bytes: who
    /// holds little does not for those who want more.
    fn for_rank(&self, (rank, _): Rank) -> i64 {
        match rank {
            STUCK => self.newcomers,
            WAITED_FOR => self.next,
            _ => self.all,
        }
    }

    fn expect(&mut self, memory: u64) {
        for missing in [&mut self.all, &mut self.next, &mut self.newcomers] {
            *missing -= to_signed(memory);
        }
    }
}

/// The order in which holders give up, the greatest first.
type Rank = (u8, u64);

const STUCK: u8 = 1;
const WAITED_FOR: u8 = 2;
const BUSY_HOARDER: u8 = 3;
const IDLE: u8 = 4;
const HOARDER: u8 = 5;

impl Admission {
    /// Asks as many to give up as are needed for those who wait.
    pub(super) fn relieve(&self) {
        let now = Instant::now();
        let asked = self.asked.get();
        if asked.is_some_and(|asked| now.saturating_duration_since(asked) >= AT_ONCE) {
            self.expected.set(0);
        }
        let Some(mut missing) = self.missing(now) else {
            return;
        };
        let mut candidates = self.candidates(&missing, now);
        // Where nothing is missing for one rank, nothing is for those behind it.
        while let Some((rank, _, slot)) = candidates.pop()
            && (missing.connections || missing.for_rank(rank) > 0)
        {
            let victim = self.holders.borrow()[slot].clone();
            // With its connection it has been asked already.
            if victim.client.closing.get() {
                continue;
            }
            let held = victim.evict().max(1);
            self.expected.set(self.expected.get() + held);
            self.asked.set(Some(now));
            missing.expect(held);
            if missing.connections {
                // One is enough until its place is free.
                return;
            }
        }
    }

    fn missing(&self, now: Instant) -> Option<Missing> {
        let waiting = self.waiting.borrow();
        let newest_first = self.is_crowded_for_long();
        let next = waiting.iter().min_by_key(|own| own.turn(newest_first, now));
        let demand = next.map(|own| own.demand);
        let sum = |most: u64| -> u64 {
            let some = waiting.iter().filter(|own| own.holds() <= most);
            some.map(|own| own.demand.memory).sum()
        };
        let left = self.memory.get() + to_signed(self.expected.get());
        let kept = demand.map_or(0, |own| self.kept_from(own.kind));
        let lacks = |wanted: u64| match wanted {
            // The limit has become smaller.
            0 => left.min(0).saturating_neg(),
            _ => to_signed(wanted + kept) - left,
        };
        let own = demand.map_or(0, |own| own.memory);
        let newcomers = sum(NEWCOMER);
        let all = lacks(sum(self.share()).max(own));
        let connections = demand.is_some_and(|demand| {
            i64::from(demand.connections) > self.connections.get()
                || i64::from(demand.descriptors) > self.descriptors.get()
        }) && self.expected.get() == 0;
        let crowded = self.crowded_since.get();
        let urgent = crowded.is_none_or(|since| now.saturating_duration_since(since) >= LONG);
        (connections || all > 0).then_some(Missing {
            connections,
            all,
            next: lacks(newcomers.max(own)),
            newcomers: lacks(newcomers),
            urgent,
        })
    }

    /// Those who may be asked to give up, by rank, by what each holds, and by its place.
    fn candidates(&self, missing: &Missing, now: Instant) -> BinaryHeap<(Rank, u64, usize)> {
        let holders = self.holders.borrow();
        let all = holders.iter().enumerate();
        let ranked = all.filter_map(|(slot, own)| {
            let rank = self.rank(own, missing, now)?;
            Some((rank, own.held.get(), slot))
        });
        // A few of perhaps many thousands are needed: they are not sorted.
        ranked.collect::<Vec<_>>().into()
    }

    fn rank(&self, own: &Holder, missing: &Missing, now: Instant) -> Option<Rank> {
        let memory = missing.all > 0;
        if own.evicted.get().is_some() || (!memory && !own.is_connection) {
            return None;
        }
        // What a client has sent meanwhile may not have been read yet.
        let age = now.saturating_duration_since(own.since.get());
        let age = age.saturating_sub(self.lag.get());
        let urgent = missing.urgent && memory;
        let patience = match own.waits.get() {
            Waits::Idle => Duration::ZERO,
            Waits::FirstWords => FIRST_WORDS,
            Waits::Tunnel => STILL,
            Waits::Handshake if urgent => LESS_PATIENCE,
            _ => PATIENCE,
        };
        if age < patience {
            return None;
        }
        let age_ms = u64::try_from(age.as_millis()).unwrap_or(u64::MAX);
        let by_size_and_age = age_ms.saturating_mul(own.held.get());
        let held = own.client.held.get();
        let hoards = held > self.share();
        // A connection whose streams hold it all is closed once so many of them have been
        // reset in vain.
        let by_streams = own.is_connection && own.held.get() < held.min(self.share());
        let in_vain = own.client.shed() >= CLOSE_AFTER;
        match own.waits.get() {
            Waits::Idle => Some((IDLE, age_ms)),
            Waits::Otherwise if !urgent || (by_streams && !in_vain) => None,
            Waits::Otherwise if hoards => Some((BUSY_HOARDER, held)),
            Waits::Otherwise => {
                let stuck = self.overtaking.get() > Some(own.since.get()) || self.stands_still(now);
                (stuck && age >= STILL).then_some((STUCK, by_size_and_age))
            }
            _ if hoards && memory => Some((HOARDER, held)),
            _ => Some((WAITED_FOR, by_size_and_age)),
        }
    }

    /// Whether no request has come to its end for some time though others wait.
    fn stands_still(&self, now: Instant) -> bool {
        let last = self.ended.get().max(self.crowded_since.get());
        last.is_some_and(|last| now.saturating_duration_since(last) >= STILL)
    }

    fn share(&self) -> u64 {
        self.capacity.get().share()
    }
}
