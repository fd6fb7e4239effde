//! State of the main thread that the admin port reports: the configuration in force, and
//! the drain.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::tls::lifetime::Lifetime;

/// Written seldom by the main thread, read by the admin thread.
#[derive(Debug)]
pub(crate) struct Status(Mutex<Snapshot>);

/// The current values.
#[derive(Clone, Debug)]
pub(crate) struct Snapshot {
    /// Whether the last reload succeeded, and when it was.
    pub(crate) last_successful: bool,
    pub(crate) last_read: Duration,
    /// Reloads after the start: successful and failed.
    pub(crate) taken: u64,
    pub(crate) refused: u64,
    pub(crate) certificates: Vec<Lifetime>,
    pub(crate) workers: usize,
    /// The connection limit of all workers together.
    pub(crate) connections: usize,
    /// Connections closed before the drain began; `None` until then.
    pub(crate) closed_before_drain: Option<u64>,
    /// Connections that were cut.
    pub(crate) cut: usize,
}

impl Snapshot {
    /// Starts at 1 and is incremented by each successful reload.
    pub(crate) fn generation(&self) -> u64 {
        1 + self.taken
    }

    /// Connections that have ended by themselves during the drain, given the `closed` ones
    /// so far.
    pub(crate) fn finished_in_drain(&self, closed: u64) -> u64 {
        let before = self.closed_before_drain.unwrap_or(closed);
        closed
            .saturating_sub(before)
            .saturating_sub(self.cut as u64)
    }
}

impl Status {
    /// With the first configuration.
    pub(crate) fn new(certificates: Vec<Lifetime>, workers: usize, connections: usize) -> Self {
        Self(Mutex::new(Snapshot {
            last_successful: true,
            last_read: since_epoch(),
            taken: 0,
            refused: 0,
            certificates,
            workers,
            connections,
            closed_before_drain: None,
            cut: 0,
        }))
    }

    /// A copy of all values.
    pub(crate) fn snapshot(&self) -> Snapshot {
        self.lock().clone()
    }

    /// A new configuration is in force.
    pub(crate) fn taken(&self, certificates: Vec<Lifetime>) {
        let mut snapshot = self.lock();
        snapshot.taken += 1;
        snapshot.last_successful = true;
        snapshot.last_read = since_epoch();
        snapshot.certificates = certificates;
    }

    /// A new configuration was rejected.
    pub(crate) fn refused(&self) {
        let mut snapshot = self.lock();
        snapshot.refused += 1;
        snapshot.last_successful = false;
        snapshot.last_read = since_epoch();
    }

    /// Sets the connection limit; `false` if it is unchanged.
    pub(crate) fn resized(&self, connections: usize) -> bool {
        let before = std::mem::replace(&mut self.lock().connections, connections);
        before != connections
    }

    /// The drain begins; `closed` connections have ended so far.
    pub(crate) fn drains(&self, closed: u64) {
        self.lock().closed_before_drain.get_or_insert(closed);
    }

    /// Adds connections that were cut.
    pub(crate) fn cut(&self, connections: usize) {
        self.lock().cut += connections;
    }

    fn lock(&self) -> MutexGuard<'_, Snapshot> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn since_epoch() -> Duration {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
}
