//! Connections that have been accepted and are not served yet, because there is no
//! memory for them.
//!
//! The kernel's queue is first come, first served: behind some hundred clients who hold
//! on to whatever they get, nobody is served in time. So while there is no room,
//! connections are accepted as far as a small part of the memory goes, and once others
//! have waited for long the newest one is served first (adaptive LIFO): its client is
//! still there. Until then the event loop does not watch them, and they have no task. Who
//! has sent nothing yet needs no memory for a response, and others are served before it.

use std::collections::VecDeque;
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::Admission;
use crate::metrics;
use crate::metrics::labels::Relief;

/// A connection that has not been served for so long gives its place to another one.
const STALE: Duration = Duration::from_secs(2);
/// The next one does so only after this time: until then the other one, which is the newest
/// now, is likely to be served. If they came all at once, the last of them would be served
/// and the others would become stale in turn.
const APART: Duration = Duration::from_millis(50);

/// Those of one listening socket, the newest at the end.
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

    /// Whether one more may be accepted before there is room for it. Where all places
    /// are taken, one that has waited in vain is closed.
    pub(crate) fn has_room(&mut self) -> bool {
        let (taken, places) = self.admission.pending();
        if taken < places {
            return true;
        }
        if self.stale_at().is_none_or(|at| at > Instant::now()) {
            return false;
        }
        metrics::relieved(Relief::Accept);
        self.all.pop_front();
        self.gave_place();
        true
    }

    /// When the oldest one may be closed for another.
    pub(crate) fn stale_at(&self) -> Option<Instant> {
        let (_, oldest) = self.all.front()?;
        let (_, newest) = self.all.back()?;
        Some((*oldest + STALE).max(*newest + APART))
    }

    pub(crate) fn push(&mut self, connection: T) {
        self.admission.add_pending(1);
        self.all.push_back((connection, Instant::now()));
    }

    /// The next one to be served: the first in turn whose client has sent something, or else
    /// the first in turn. The flag tells which.
    pub(crate) fn next(&mut self, has_sent: impl Fn(&T) -> bool) -> Option<(T, bool)> {
        let newest = self.admission.is_crowded_for_long();
        let is_ready = |(connection, _): &(T, Instant)| has_sent(connection);
        let ready = match newest {
            true => self.all.iter().rposition(is_ready),
            false => self.all.iter().position(is_ready),
        };
        let connection = match ready {
            Some(place) => self.all.remove(place).map(|(connection, _)| connection),
            None if newest => self.all.pop_back().map(|(connection, _)| connection),
            None => self.all.pop_front().map(|(connection, _)| connection),
        }?;
        self.gave_place();
        Some((connection, ready.is_some()))
    }

    /// Makes all of them so much older.
    #[cfg(test)]
    pub(super) fn pass(&mut self, time: Duration) {
        for (_, since) in &mut self.all {
            *since -= time;
        }
    }

    fn gave_place(&mut self) {
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
