//! Connections that have been accepted and are not served yet, because there is no
//! memory for them.
//!
//! The kernel's queue is first in, first out: behind some hundred clients that keep what
//! they get, no client is served in time. So while there is no memory to serve them,
//! connections are accepted into a small part of it, and once demands have waited long the
//! newest one is served first (adaptive LIFO): its client has not given up yet. Until it is
//! served, the event loop does not watch a connection, and it has no task. Those whose
//! clients have sent something come first.

use std::collections::VecDeque;
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::Admission;
use crate::metrics;
use crate::metrics::labels::Relief;

/// A connection that has waited this long may be closed to accept another one.
const STALE: Duration = Duration::from_secs(2);
/// The next one is closed only after this time: until then the one accepted for it, which is
/// the newest, is likely to be served. If many were accepted at once, only the last of them
/// would be.
pub(super) const EVICTION_INTERVAL: Duration = Duration::from_millis(50);
/// The next one is searched for among so many: each costs a system call.
pub(super) const MAX_PEEKED: usize = 32;

/// The waiting connections of one listening socket, the newest last.
#[derive(Debug)]
pub(crate) struct Pending<T> {
    admission: Rc<Admission>,
    all: VecDeque<(T, Instant)>,
}

impl<T> Pending<T> {
    pub(crate) fn new(admission: Rc<Admission>) -> Self {
        Self {
            admission,
            all: VecDeque::new(),
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
        Some((*oldest + STALE).max(*newest + EVICTION_INTERVAL))
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
        let newest = self.admission.is_crowded_for_long(Instant::now());
        let is_ready = |(connection, _): &(T, Instant)| has_sent(connection);
        let ready = match newest {
            true => {
                let mut last = self.all.iter().rev().take(MAX_PEEKED);
                last.position(is_ready).map(|at| self.all.len() - 1 - at)
            }
            false => self.all.iter().take(MAX_PEEKED).position(is_ready),
        };
        let connection = match ready {
            Some(place) => self.all.remove(place).map(|(connection, _)| connection),
            None if newest => self.all.pop_back().map(|(connection, _)| connection),
            None => self.all.pop_front().map(|(connection, _)| connection),
        }?;
        self.note_removed();
        Some((connection, ready.is_some()))
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
