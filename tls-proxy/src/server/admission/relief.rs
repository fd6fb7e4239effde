//! Who is asked to give up what it holds, so that others need not wait: first
//! whoever holds more than a client's share and is waited for, then whoever has
//! been idle the longest, then whoever has been waited for, the more it holds and
//! the longer it is, the sooner. When
//! somebody has waited for long and memory is short, whoever holds more than its
//! share gives up, whatever it does.

use std::rc::Rc;
use std::time::{Duration, Instant};

use super::{Admission, Holder, Waits, to_signed};

/// A client that has been waited for no longer than this is not asked to give up:
/// its next bytes may be on their way.
const PATIENCE: Duration = Duration::from_millis(250);
/// A tunnel is meant to be still for a while.
const STILL: Duration = Duration::from_secs(1);
/// Who has waited for this long for memory need not care what others need theirs
/// for.
const LONG: Duration = Duration::from_millis(500);

/// What is missing.
struct Missing {
    /// Connections; only whole connections help.
    connections: bool,
    /// Bytes.
    memory: i64,
    /// Somebody has waited for long.
    urgent: bool,
}

impl Admission {
    /// Asks as many to give up as are needed for whoever comes next.
    pub(super) fn relieve(&self) {
        let now = Instant::now();
        while let Some(missing) = self.missing(now) {
            let Some(victim) = self.choose(&missing, now) else {
                return;
            };
            let held = victim.evict();
            self.expected.set(self.expected.get() + held.max(1));
            if missing.connections {
                // One is enough until its place is free.
                return;
            }
        }
    }

    fn missing(&self, now: Instant) -> Option<Missing> {
        let waiting = self.waiting.borrow();
        let next = waiting.iter().min_by_key(|own| (own.held(), own.since));
        let demand = next.map(|own| own.demand);
        let wanted = demand.map_or(0, |own| own.memory + self.kept_from(own.kind));
        let memory = to_signed(wanted) - self.memory.get() - to_signed(self.expected.get());
        let connections = demand.is_some_and(|demand| {
            i64::from(demand.connections) > self.connections.get()
                || i64::from(demand.descriptors) > self.descriptors.get()
        }) && self.expected.get() == 0;
        let urgent = next.is_none_or(|own| now.saturating_duration_since(own.since) >= LONG);
        let some = connections || memory > 0;
        (some && (next.is_some() || self.memory.get() < 0)).then_some(Missing {
            connections,
            memory,
            urgent,
        })
    }

    /// The next one to give up.
    fn choose(&self, missing: &Missing, now: Instant) -> Option<Rc<Holder>> {
        let share = self.capacity.get().share();
        let holders = self.holders.borrow();
        let rank = |own: &Holder| -> Option<(u8, u64)> {
            if own.evicted.get().is_some() || (missing.memory <= 0 && !own.is_connection) {
                return None;
            }
            let age = now.saturating_duration_since(own.since.get());
            let age_ms = u64::try_from(age.as_millis()).unwrap_or(u64::MAX);
            let hoards = own.client.held.get() > share;
            match own.waits.get() {
                Waits::Idle => Some((2, age_ms)),
                Waits::Otherwise if missing.urgent && missing.memory > 0 && hoards => {
                    // Its streams, before the connection they are on.
                    (!own.is_connection || own.held.get() > share)
                        .then(|| (0, own.client.held.get()))
                }
                Waits::Otherwise => None,
                Waits::Tunnel if age < STILL => None,
                _ if age < PATIENCE => None,
                _ if hoards && missing.memory > 0 => Some((3, own.client.held.get())),
                _ => Some((1, age_ms.saturating_mul(own.held.get()))),
            }
        };
        let ranked = holders
            .iter()
            .filter_map(|own| rank(own).map(|rank| (rank, own)));
        ranked
            .max_by_key(|(rank, own)| (*rank, own.held.get()))
            .map(|(_, own)| own.clone())
    }
}
