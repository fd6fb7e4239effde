//! The counters of `stub_status` and `/metrics`: one set for each worker's thread, summed
//! when read. Formatting is elsewhere.

pub(crate) mod counter;
pub(crate) mod labels;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::message::head::Version;
use crate::metrics::counter::Merge;
pub(crate) use crate::metrics::counter::{BOUNDS, Counter, Histogram};
use crate::metrics::labels::{Handshake, Relief, UpstreamError};

/// One worker's counters.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    accepted: Counter,
    closed: Counter,
    /// Idle connections closed to free memory.
    pub(crate) made_room: Counter,
    /// Evicted connections and streams, by what they waited for.
    pub(crate) relieved: [Counter; labels::RELIEFS.len()],
    /// Memory for connections and requests, and the part they hold, bytes.
    pub(crate) budget: Counter,
    pub(crate) held: Counter,
    /// Heads of which a part was received, and those that are complete or rejected.
    heads: Counter,
    read: Counter,
    requests: Counter,
    completed: Counter,
    /// How often a connection became busy, and idle.
    busy: Counter,
    idle: Counter,
    /// Completed requests, as in the access log.
    pub(crate) ended: [[Counter; labels::CODES.len()]; labels::PROTOCOLS.len()],
    pub(crate) durations: Histogram,
    /// Bytes of requests and responses (`$request_length`, `$bytes_sent`).
    pub(crate) received: Counter,
    pub(crate) sent: Counter,
    pub(crate) limited: [Counter; labels::LIMITS.len()],
    pub(crate) handshakes: [[Counter; labels::SESSIONS.len()]; labels::TLS.len()],
    pub(crate) handshake_failures: [Counter; labels::HANDSHAKES.len()],
    /// Requests sent to a peer, and those of them that were retries.
    pub(crate) tries: Counter,
    pub(crate) retries: Counter,
    /// Connections opened to peers.
    pub(crate) connected: Counter,
    pub(crate) upstream_responses: [Counter; labels::CLASSES.len()],
    pub(crate) upstream_errors: [Counter; labels::UPSTREAM_ERRORS.len()],
}

/// The sets of all threads that have counted.
static ALL: Mutex<Vec<Arc<Counters>>> = Mutex::new(Vec::new());

thread_local! {
    static OWN: Arc<Counters> = {
        let own = Arc::new(Counters::default());
        ALL.lock().unwrap_or_else(PoisonError::into_inner).push(own.clone());
        own
    };
}

/// Increments a counter of this thread.
pub(crate) fn count(which: impl FnOnce(&Counters) -> &Counter) {
    OWN.with(|own| which(own).add(1));
}

/// A completed request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FinishedRequest {
    pub(crate) version: Version,
    pub(crate) status: u16,
    pub(crate) took: Duration,
    /// Bytes of the request and of its response.
    pub(crate) received: u64,
    pub(crate) sent: u64,
    /// Whether `limit_req` and `limit_conn` rejected it.
    pub(crate) limited: [bool; 2],
}

/// Counts a client's request.
pub(crate) fn request_ended(request: FinishedRequest) {
    OWN.with(|own| {
        own.ended[labels::protocol(request.version)][labels::code(request.status)].add(1);
        // A tunnel's duration says nothing about response times.
        if request.status != 101 {
            own.durations.add(request.took);
        }
        own.received.add(request.received);
        own.sent.add(request.sent);
        for (count, refused) in own.limited.iter().zip(request.limited) {
            if refused {
                count.add(1);
            }
        }
    });
}

/// Counts bytes of a body that are not counted with their request.
pub(crate) fn received(size: usize) {
    OWN.with(|own| own.received.add(size as u64));
}

/// Counts an evicted connection or stream.
pub(crate) fn relieved(what: Relief) {
    count(|own| &own.relieved[what as usize]);
}

/// Sets the memory for connections and requests, bytes; `None` if it is not limited.
pub(crate) fn memory_budget(budget: Option<u64>) {
    OWN.with(|own| own.budget.set(budget.unwrap_or(0)));
}

/// Sets the memory held by connections and requests, bytes.
pub(crate) fn memory_held(held: u64) {
    OWN.with(|own| own.held.set(held));
}

/// Counts a finished handshake.
pub(crate) fn handshake_done(tls13: bool, resumed: bool) {
    count(|own| &own.handshakes[usize::from(tls13)][usize::from(resumed)]);
}

/// Counts a failed handshake.
pub(crate) fn handshake_failed(why: Handshake) {
    count(|own| &own.handshake_failures[why as usize]);
}

/// Counts an upstream's response head.
pub(crate) fn upstream_responded(status: u16) {
    count(|own| &own.upstream_responses[labels::class(status)]);
}

/// Counts an error of an upstream.
pub(crate) fn upstream_failed(why: UpstreamError) {
    count(|own| &own.upstream_errors[why as usize]);
}

/// Counts a connection while it is open.
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

/// Counts a head while it is read.
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

/// A connection without requests got one.
pub(crate) fn becomes_busy() {
    count(|own| &own.busy);
}

/// A connection has no more requests.
pub(crate) fn becomes_idle() {
    count(|own| &own.idle);
}

/// Counts a request in progress.
#[derive(Debug)]
pub(crate) struct InProgress;

impl InProgress {
    pub(crate) fn new() -> Self {
        count(|own| &own.requests);
        Self
    }
}

impl Drop for InProgress {
    fn drop(&mut self) {
        count(|own| &own.completed);
    }
}

/// The sums of all workers, for `stub_status`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sums {
    pub(crate) accepted: u64,
    pub(crate) closed: u64,
    pub(crate) active: u64,
    /// Requests, including those whose head is being read.
    pub(crate) requests: u64,
    /// Requests whose head is being read.
    pub(crate) reading: u64,
    /// Requests in progress.
    pub(crate) writing: u64,
    /// Connections with requests in progress.
    busy: u64,
}

impl Sums {
    /// Connections without a request.
    pub(crate) fn waiting(self) -> u64 {
        self.active.saturating_sub(self.busy + self.reading)
    }
}

/// Sums the workers' connection counters.
pub(crate) fn sums() -> Sums {
    let all = ALL.lock().unwrap_or_else(PoisonError::into_inner);
    all.iter().fold(Sums::default(), |sums, own| {
        let (accepted, requests) = (own.accepted.read(), own.requests.read());
        let closed = own.closed.read();
        let reading = own.heads.read().saturating_sub(own.read.read());
        Sums {
            accepted: sums.accepted + accepted,
            closed: sums.closed + closed,
            active: sums.active + accepted.saturating_sub(closed),
            requests: sums.requests + requests + reading,
            reading: sums.reading + reading,
            writing: sums.writing + requests.saturating_sub(own.completed.read()),
            busy: sums.busy + own.busy.read().saturating_sub(own.idle.read()),
        }
    })
}

/// Sums all counters of the workers into a new set.
pub(crate) fn totals() -> Counters {
    let totals = Counters::default();
    let all = ALL.lock().unwrap_or_else(PoisonError::into_inner);
    for own in all.iter() {
        totals.made_room.merge(&own.made_room);
        totals.relieved.merge(&own.relieved);
        totals.budget.merge(&own.budget);
        totals.held.merge(&own.held);
        totals.ended.merge(&own.ended);
        totals.durations.merge(&own.durations);
        totals.received.merge(&own.received);
        totals.sent.merge(&own.sent);
        totals.limited.merge(&own.limited);
        totals.handshakes.merge(&own.handshakes);
        totals.handshake_failures.merge(&own.handshake_failures);
        totals.tries.merge(&own.tries);
        totals.retries.merge(&own.retries);
        totals.connected.merge(&own.connected);
        totals.upstream_responses.merge(&own.upstream_responses);
        totals.upstream_errors.merge(&own.upstream_errors);
    }
    totals
}
