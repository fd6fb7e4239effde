//! Connections that have been accepted and are not served yet, because there is no
//! memory for them.
//!
//! The kernel's queue is first in, first out: behind some hundred clients that keep what
//! they get, no client is served in time. So while there is no memory to serve them,
//! connections are accepted into a small part of it, and once demands have waited long the
//! newest one is served first (adaptive LIFO): its client has not given up yet. Until it is
//! served, the event loop does not watch a connection, and it has no task.

use std::collections::VecDeque;
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::Admission;
use crate::metrics;
use crate::metrics::labels::Relief;

/// A connection that has waited this long may be closed to accept another one.
const STALE: Duration = Duration::from_secs(5);

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

    /// Whether one more may be accepted before there is memory to serve it. At the limit
    /// the oldest is closed for it, if that has waited too long.
    pub(crate) fn has_room(&mut self) -> bool {
        let (taken, places) = self.admission.pending();
        if taken < places {
            return true;
        }
        if self.stale_at().is_none_or(|at| at > Instant::now()) {
            return false;
        }
        metrics::relieved(Relief::Accept);
        self.take(false);
        true
    }

    /// When the oldest may be closed for another one.
    pub(crate) fn stale_at(&self) -> Option<Instant> {
        self.all.front().map(|(_, since)| *since + STALE)
    }

    pub(crate) fn push(&mut self, connection: T) {
        self.admission.add_pending(1);
        self.all.push_back((connection, Instant::now()));
    }

    /// Takes the next one to be served.
    pub(crate) fn next(&mut self) -> Option<T> {
        self.take(self.admission.is_crowded_for_long(Instant::now()))
    }

    fn take(&mut self, newest: bool) -> Option<T> {
        let (connection, _) = match newest {
            true => self.all.pop_back(),
            false => self.all.pop_front(),
        }?;
        self.admission.add_pending(-1);
        if self.all.is_empty() {
            self.all = VecDeque::new();
        }
        Some(connection)
    }
}

impl<T> Drop for Pending<T> {
    fn drop(&mut self) {
        let left = isize::try_from(self.all.len()).unwrap_or_default();
        self.admission.add_pending(-left);
    }
}
