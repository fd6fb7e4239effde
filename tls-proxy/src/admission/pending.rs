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
//! something come first, and memory is asked for only if there is one. Those that send nothing
//! are served if nobody has to give way for them, and are the first to be closed for others.

use std::collections::VecDeque;
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::{Admission, FIRST_BYTES, SILENCE};
use crate::metrics;
use crate::metrics::labels::Relief;
use crate::time;

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
    /// The next one, whatever the order.
    first: Option<T>,
    /// The last look found one that has sent something.
    found_ready: bool,
    /// Once demands have waited long: the next one is not the newest.
    by_arrival: bool,
}

impl<T> Pending<T> {
    pub(crate) fn new(admission: Rc<Admission>) -> Self {
        Self {
            admission,
            all: VecDeque::new(),
            first: None,
            found_ready: false,
            by_arrival: false,
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.all.is_empty() && self.first.is_none()
    }

    /// Whether one more may be accepted before there is memory to serve it: below the limit
    /// of the worker, or if there is none yet, so that a listener asks for memory only if it
    /// has a client. At the limit [`Self::push`] closes one.
    pub(crate) fn has_room(&self, has_sent: impl Fn(&T) -> bool) -> bool {
        let (taken, places) = self.admission.pending();
        taken < places || (places > 0 && self.is_empty()) || self.dispensable(has_sent).is_some()
    }

    /// Whether connections may wait here at all: memory is limited.
    pub(crate) fn is_open(&self) -> bool {
        self.admission.pending().1 > 0
    }

    /// When to look at them again.
    pub(crate) fn next_look(&self) -> Duration {
        match self.all.back() {
            Some((_, newest)) if time::now().saturating_duration_since(*newest) >= FIRST_BYTES => {
                SILENCE / 2
            }
            _ => FIRST_BYTES / 4,
        }
    }

    /// Whether one of them waits for memory: its client has sent something.
    pub(crate) fn is_ready(&mut self, has_sent: impl Fn(&T) -> bool) -> bool {
        self.found_ready = self.all.iter().any(|(connection, _)| has_sent(connection));
        self.first.is_some() || self.found_ready
    }

    /// The one that may be closed for another one: the oldest, if it cannot be served in time any
    /// more, or else one of the oldest whose client has sent nothing for some time.
    fn dispensable(&self, has_sent: impl Fn(&T) -> bool) -> Option<usize> {
        let now = time::now();
        let age = |since: &Instant| now.saturating_duration_since(*since);
        let (_, oldest) = self.all.front()?;
        let (_, newest) = self.all.back()?;
        if age(oldest) >= STALE && age(newest) >= FRESH {
            return Some(0);
        }
        let mut oldest = self.all.iter().take(MAX_PEEKED);
        oldest.position(|(connection, since)| age(since) >= SILENCE && !has_sent(connection))
    }

    /// Adds a connection. If there was room only in place of another one, closes that.
    pub(crate) fn push(&mut self, connection: T, has_sent: impl Fn(&T) -> bool) {
        let (taken, places) = self.admission.pending();
        if taken >= places
            && let Some(at) = self.dispensable(has_sent)
        {
            metrics::relieved(Relief::Accept);
            self.all.remove(at);
            self.note_removed();
        }
        self.admission.add_pending(1);
        self.all.push_back((connection, time::now()));
    }

    /// Takes the next one to be served: of the first [`MAX_PEEKED`] in order the first whose
    /// client has sent something, or else the first that has had time for it. The flag is set
    /// if the client has sent something.
    pub(crate) fn next(&mut self, has_sent: impl Fn(&T) -> bool) -> Option<(T, bool)> {
        if let Some(first) = self.first.take() {
            self.note_removed();
            return Some((first, true));
        }
        let count = self.all.len();
        let last = count.checked_sub(1)?;
        let now = time::now();
        let start = self.first_in_order_of_arrival(now);
        let place = |nth| start.map_or_else(|| last - nth, |start| start + nth);
        let candidates = (count - start.unwrap_or(0)).min(MAX_PEEKED);
        let find = |wanted: &dyn Fn(&(T, Instant)) -> bool| {
            let mut places = (0..candidates).map(place);
            places.find(|at| wanted(&self.all[*at]))
        };
        let has_sent = |(connection, _): &(T, Instant)| has_sent(connection);
        let ready = find(&has_sent).or_else(|| {
            // Memory was asked for one of them, wherever it is.
            let found = std::mem::take(&mut self.found_ready);
            found.then(|| self.all.iter().position(has_sent)).flatten()
        });
        let next = ready
            .or_else(|| find(&|(_, since)| now.saturating_duration_since(*since) >= FIRST_BYTES))?;
        let (connection, _) = self.all.remove(next)?;
        self.note_removed();
        Some((connection, ready.is_some()))
    }

    /// Puts back one that has sent something: there is not enough memory for its response.
    pub(crate) fn put_back(&mut self, connection: T) {
        self.first = Some(connection);
        self.admission.add_pending(1);
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
        let left = self.all.len() + usize::from(self.first.is_some());
        let left = isize::try_from(left).unwrap_or_default();
        self.admission.add_pending(-left);
    }
}
