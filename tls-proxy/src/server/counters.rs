//! What `stub_status` counts: one set for each worker's thread, summed when
//! somebody reads.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

/// One worker's counters.
#[derive(Debug, Default)]
struct Counters {
    accepted: AtomicU64,
    closed: AtomicU64,
    /// Heads that began to come, and those of them that are whole or broken.
    heads: AtomicU64,
    read: AtomicU64,
    requests: AtomicU64,
    answered: AtomicU64,
    /// Times a connection had a request after it had none, and the reverse.
    busy: AtomicU64,
    idle: AtomicU64,
}

/// The sets of all threads that ever counted.
static ALL: Mutex<Vec<Arc<Counters>>> = Mutex::new(Vec::new());

thread_local! {
    static OWN: Arc<Counters> = {
        let own = Arc::new(Counters::default());
        ALL.lock().unwrap_or_else(PoisonError::into_inner).push(own.clone());
        own
    };
}

fn count(which: fn(&Counters) -> &AtomicU64) {
    OWN.with(|own| which(own).fetch_add(1, Relaxed));
}

/// A connection while it is open.
#[derive(Debug)]
pub(crate) struct Open;

impl Open {
    pub(crate) fn new() -> Self {
        count(|own| &own.accepted);
        Self
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        count(|own| &own.closed);
    }
}

/// A head while it is being read.
#[derive(Debug)]
pub(crate) struct Reading;

impl Reading {
    pub(crate) fn new() -> Self {
        count(|own| &own.heads);
        Self
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        count(|own| &own.read);
    }
}

/// A connection got its first request of several at once, or its only one.
pub(crate) fn becomes_busy() {
    count(|own| &own.busy);
}

/// A connection has no request any more.
pub(crate) fn becomes_idle() {
    count(|own| &own.idle);
}

/// A request while it is under way.
#[derive(Debug)]
pub(crate) struct UnderWay;

impl UnderWay {
    pub(crate) fn new() -> Self {
        count(|own| &own.requests);
        Self
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        count(|own| &own.answered);
    }
}

/// The sums of all workers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sums {
    pub(crate) accepted: u64,
    pub(crate) active: u64,
    /// Requests, with those whose head is still coming.
    pub(crate) requests: u64,
    /// Requests whose head is being read.
    pub(crate) reading: u64,
    /// Requests that are under way.
    pub(crate) writing: u64,
    /// Connections with requests under way.
    busy: u64,
}

impl Sums {
    /// Connections without a request.
    pub(crate) fn waiting(self) -> u64 {
        self.active.saturating_sub(self.busy + self.reading)
    }
}

/// Adds up what the workers counted.
pub(crate) fn sums() -> Sums {
    let all = ALL.lock().unwrap_or_else(PoisonError::into_inner);
    all.iter().fold(Sums::default(), |sums, own| {
        let read = |counter: &AtomicU64| counter.load(Relaxed);
        let (accepted, requests) = (read(&own.accepted), read(&own.requests));
        let reading = read(&own.heads).saturating_sub(read(&own.read));
        Sums {
            accepted: sums.accepted + accepted,
            active: sums.active + accepted.saturating_sub(read(&own.closed)),
            requests: sums.requests + requests + reading,
            reading: sums.reading + reading,
            writing: sums.writing + requests.saturating_sub(read(&own.answered)),
            busy: sums.busy + read(&own.busy).saturating_sub(read(&own.idle)),
        }
    })
}
