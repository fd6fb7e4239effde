//! Connections that have been accepted and are not served yet, because there is no
//! memory for them.
//!
//! The kernel's queue is first in, first out: behind some hundred clients that keep what
//! they get, no client is served in time. So while there is no memory to serve them,
//! connections are accepted into a small part of it, and once demands have waited long the
//! newest one is served first (adaptive LIFO): its client has not given up yet. Every other
//! time it is the one that has waited longest of those that can still be served in time:
//! otherwise one that was not the newest for a moment would never be. Until it is served, the
//! event loop does not watch a connection, and it has no task. Those whose clients have sent
//! something come first.

use std::collections::VecDeque;
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::Admission;
use crate::metrics;
use crate::metrics::labels::Relief;

/// A connection that has waited this long may be closed to accept another one.
const STALE: Duration = Duration::from_secs(2);
/// One that has waited for less can still get its response in time. While there is one, no
/// other is closed for yet another: if more were accepted than are served, some would never be.
pub(super) const FRESH: Duration = Duration::from_secs(1);
/// The next one is searched for among so many: each costs a system call.
pub(super) const MAX_PEEKED: usize = 32;

/// The waiting connections of one listening socket, the newest last.
#[derive(Debug)]
pub(crate) struct Pending<T> {
    admission: Rc<Admission>,
    all: VecDeque<(T, Instant)>,
    /// Once demands have waited long: the next one is not the newest.
    by_arrival: bool,
}

impl<T> Pending<T> {
    pub(crate) fn new(admission: Rc<Admission>) -> Self {
        Self {
            admission,
            all: VecDeque::new(),
            by_arrival: false,
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Whether one more may be accepted before there is memory to serve it: below the limit
    /// of the worker, or if there is none yet, so that a listener asks for memory only if it
    /// has a client. At the limit [`Self::push`] closes the oldest, if that has waited too
    /// long.
    pub(crate) fn has_room(&self) -> bool {
        let (taken, places) = self.admission.pending();
        taken < places || (places > 0 && self.is_empty()) || self.has_stale()
    }

    fn has_stale(&self) -> bool {
        self.stale_at().is_some_and(|at| at <= Instant::now())
    }

    /// When the oldest may be closed for another one.
    pub(crate) fn stale_at(&self) -> Option<Instant> {
        let (_, oldest) = self.all.front()?;
        let (_, newest) = self.all.back()?;
        Some((*oldest + STALE).max(*newest + FRESH))
    }

    /// Adds a connection. If there was room only in place of the oldest, closes that.
    pub(crate) fn push(&mut self, connection: T) {
        let (taken, places) = self.admission.pending();
        if taken >= places && self.has_stale() {
            metrics::relieved(Relief::Accept);
            self.all.pop_front();
            self.note_removed();
        }
        self.admission.add_pending(1);
        self.all.push_back((connection, Instant::now()));
    }

    /// Takes the next one to be served: of the first [`MAX_PEEKED`] in order the first whose
    /// client has sent something, or else the first. The flag is set if the client has sent
    /// something.
    pub(crate) fn next(&mut self, has_sent: impl Fn(&T) -> bool) -> Option<(T, bool)> {
        let count = self.all.len();
        let last = count.checked_sub(1)?;
        let start = self.first_in_order_of_arrival(Instant::now());
        let place = |nth| start.map_or_else(|| last - nth, |start| start + nth);
        let candidates = (count - start.unwrap_or(0)).min(MAX_PEEKED);
        let ready = (0..candidates)
            .map(place)
            .find(|at| has_sent(&self.all[*at].0));
        let (connection, _) = self.all.remove(ready.unwrap_or_else(|| place(0)))?;
        self.note_removed();
        Some((connection, ready.is_some()))
    }

    /// The one whose turn it is in order of arrival, with those behind it; `None` if the newest
    /// is served first.
    fn first_in_order_of_arrival(&mut self, now: Instant) -> Option<usize> {
        if !self.admission.is_crowded_for_long(now) {
            return Some(0);
        }
        let by_arrival = self.by_arrival;
        self.by_arrival = !by_arrival;
        if !by_arrival {
            return None;
        }
        let is_stale = |(_, since): &(T, Instant)| now.saturating_duration_since(*since) >= FRESH;
        let first = self.all.partition_point(is_stale);
        (first < self.all.len()).then_some(first)
    }

    /// Makes all of them so much older.
    #[cfg(test)]
    pub(super) fn pass(&mut self, time: Duration) {
        for (_, since) in &mut self.all {
            *since -= time;
        }
    }

    fn note_removed(&mut self) {
        self.admission.add_pending(-1);
        if self.all.is_empty() {
            self.all = VecDeque::new();
        }
    }
}

impl<T> Drop for Pending<T> {
    fn drop(&mut self) {
        let left = isize::try_from(self.all.len()).unwrap_or_default();
        self.admission.add_pending(-left);
    }
}
