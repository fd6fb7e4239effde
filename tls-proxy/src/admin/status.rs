//! What the main thread knows and the admin port tells: the configuration in
//! force, and how the drain went.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::tls::lifetime::Lifetime;

/// Written by the main thread, seldom; read by the admin's.
#[derive(Debug)]
pub(crate) struct Status(Mutex<Facts>);

/// What is known now.
#[derive(Clone, Debug)]
pub(crate) struct Facts {
    /// Whether the last one that was read was taken, and when that was.
    pub(crate) last_successful: bool,
    pub(crate) last_read: Duration,
    /// Readings after the start: taken and refused.
    pub(crate) taken: u64,
    pub(crate) refused: u64,
    pub(crate) certificates: Vec<Lifetime>,
    pub(crate) workers: usize,
    /// Most connections of all workers.
    pub(crate) connections: usize,
    /// Connections that had been closed when the drain began; none before.
    pub(crate) closed_before_drain: Option<u64>,
    /// Connections that were cut.
    pub(crate) cut: usize,
}

impl Facts {
    /// From 1; one more with each configuration that is taken.
    pub(crate) fn generation(&self) -> u64 {
        1 + self.taken
    }

    /// Connections that ended by themselves since the drain began, of `closed`
    /// that have ended so far.
    pub(crate) fn finished_in_drain(&self, closed: u64) -> u64 {
        let before = self.closed_before_drain.unwrap_or(closed);
        closed
            .saturating_sub(before)
            .saturating_sub(self.cut as u64)
    }
}

impl Status {
    /// The first configuration is in force.
    pub(crate) fn new(certificates: Vec<Lifetime>, workers: usize, connections: usize) -> Self {
        Self(Mutex::new(Facts {
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

    /// A copy of everything.
    pub(crate) fn facts(&self) -> Facts {
        self.lock().clone()
    }

    /// A new configuration is in force.
    pub(crate) fn taken(&self, certificates: Vec<Lifetime>) {
        let mut facts = self.lock();
        facts.taken += 1;
        facts.last_successful = true;
        facts.last_read = since_epoch();
        facts.certificates = certificates;
    }

    /// A new configuration is rejected; the previous one is kept.
    pub(crate) fn refused(&self) {
        let mut facts = self.lock();
        facts.refused += 1;
        facts.last_successful = false;
        facts.last_read = since_epoch();
    }

    /// So many connections fit in now; `false` where as many did before.
    pub(crate) fn resized(&self, connections: usize) -> bool {
        let before = std::mem::replace(&mut self.lock().connections, connections);
        before != connections
    }

    /// The drain begins; `closed` connections have ended before.
    pub(crate) fn drains(&self, closed: u64) {
        self.lock().closed_before_drain.get_or_insert(closed);
    }

    /// So many more connections were cut.
    pub(crate) fn cut(&self, connections: usize) {
        self.lock().cut += connections;
    }

    fn lock(&self) -> MutexGuard<'_, Facts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn since_epoch() -> Duration {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
}
